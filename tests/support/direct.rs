//! A read by hand from one replica: the client library is free to ask another one.

use std::net::SocketAddr;

use bytes::Bytes;
use paxlog_client::Profile;
use paxlog_quic::{
    Connection, Credentials, Endpoint, Expect, FrameReceiver, FrameSender, Plane, Tuning,
};
use paxlog_wire::client::{
    ClientHello, ControlEvent, LogRef, ReadEvent, ReadFrom, ReadRequest, split_batches,
};
use paxlog_wire::{FrameLimits, batch};

use super::LIVENESS;

/// A record as one replica has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) offset: u64,
    pub(crate) timestamp: u64,
    pub(crate) payload: Bytes,
}

/// The whole log as this one replica has applied it.
pub(crate) async fn read_at(profile: &Profile, address: SocketAddr, log: &str) -> Vec<Stored> {
    tokio::time::timeout(LIVENESS, read(profile, address, log))
        .await
        .expect("a read ends")
}

/// Where reads from these places begin at this one replica.
pub(crate) async fn starts_at(
    profile: &Profile,
    address: SocketAddr,
    log: &str,
    from: &[ReadFrom],
) -> Vec<u64> {
    let begin = async {
        let replica = Replica::connect(profile, address).await;
        let mut starts = Vec::with_capacity(from.len());
        for from in from {
            // One record: where it begins is all that is asked.
            let mut stream = replica.read(log, from.clone(), 1).await;
            match stream.next().await.0 {
                ReadEvent::Started(started) => starts.push(started.from),
                other => panic!("{address} does not begin to read {log}: {other:?}"),
            }
        }
        starts
    };
    tokio::time::timeout(LIVENESS, begin)
        .await
        .expect("reads begin")
}

/// A connection to one replica.
struct Replica {
    connection: Connection,
    /// They end when they are dropped.
    _kept: (Endpoint, FrameSender, FrameReceiver),
}

/// A read stream of it.
struct Stream {
    _sender: FrameSender,
    receiver: FrameReceiver,
}

impl Replica {
    async fn connect(profile: &Profile, address: SocketAddr) -> Replica {
        let credentials =
            Credentials::load(&profile.ca, &profile.cert, &profile.key).expect("good credentials");
        let endpoint =
            Endpoint::dial_only(Plane::Clients, &credentials, Tuning::of(Plane::Clients))
                .expect("a socket");
        let connection = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .expect("the replica answers");
        let (mut control, mut events) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        control
            .send(&ClientHello::new(profile.cluster))
            .await
            .expect("sent");
        let hello = events.next().await.expect("received").expect("a frame");
        assert!(matches!(
            paxlog_wire::decode(&hello),
            Ok(ControlEvent::Hello(_))
        ));
        Replica {
            connection,
            _kept: (endpoint, control, events),
        }
    }

    async fn read(&self, log: &str, from: ReadFrom, records_max: u64) -> Stream {
        let (mut sender, receiver) = self
            .connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        let request = ReadRequest {
            deadline_ms: LIVENESS.as_millis() as u32,
            log: LogRef::Name(log.into()),
            from,
            records_max,
            bytes_max: 0,
            until_tail: true,
            until_timestamp: 0,
            wait_ms: 0,
            strict: true,
            linearizable: false,
        };
        sender.send(&request).await.expect("sent");
        Stream {
            _sender: sender,
            receiver,
        }
    }
}

impl Stream {
    async fn next(&mut self) -> (ReadEvent, Vec<Bytes>) {
        let frame = self.receiver.next().await.expect("received");
        let frame = frame.expect("a read ends with a last event");
        let event = paxlog_wire::decode::<ReadEvent>(&frame).expect("an event");
        (event, frame.body)
    }
}

async fn read(profile: &Profile, address: SocketAddr, log: &str) -> Vec<Stored> {
    let replica = Replica::connect(profile, address).await;
    let mut stream = replica.read(log, ReadFrom::First, 0).await;
    let mut stored = Vec::new();
    loop {
        let (event, body) = stream.next().await;
        match event {
            ReadEvent::Started(_) => {}
            ReadEvent::Records(metas) => {
                let batches = split_batches(&metas, &body).expect("lengths add up");
                for (meta, parts) in metas.iter().zip(batches) {
                    let view = batch::BatchView::parse_parts(&parts).expect("a whole batch");
                    for (offset, record) in (meta.start..).zip(view.records()) {
                        stored.push(Stored {
                            offset,
                            timestamp: meta.timestamp,
                            payload: record.payload.clone(),
                        });
                    }
                }
            }
            ReadEvent::End { .. } => return stored,
            other => panic!("{address} refuses to read {log}: {other:?}"),
        }
    }
}
