//! A read by hand from one replica: the client library is free to ask another one.

use std::net::SocketAddr;

use bytes::Bytes;
use paxlog_client::Profile;
use paxlog_wire::batch;
use paxlog_wire::client::{ReadEvent, ReadFrom, split_batches};

use super::LIVENESS;
use super::raw::Raw;

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
        let replica = Raw::connect(profile, address).await;
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

async fn read(profile: &Profile, address: SocketAddr, log: &str) -> Vec<Stored> {
    let replica = Raw::connect(profile, address).await;
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
