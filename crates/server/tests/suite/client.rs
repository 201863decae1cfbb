//! A client by hand: frames on streams, so that tests can misbehave.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use paxlog_quic::{
    Connection, Endpoint, Expect, FrameReceiver, FrameSender, Identity, Plane, Tuning,
};
use paxlog_wire::client::{
    ClientHello, CommandBody, CommandOutcome, CommandReply, CommandRequest, ControlEvent, LogRef,
    Origin, ReadEvent, ReadFrom, ReadRequest,
};
use paxlog_wire::{Flags, Frame, FrameLimits, WireError, batch};

use crate::support::{CLUSTER, Group, PATIENCE};

/// Producers are told apart by it.
static NONCE: AtomicU64 = AtomicU64::new(1);

/// One connection with one command stream and one producer.
pub(crate) struct Client {
    connection: Connection,
    /// Open as long as the connection.
    _control: (FrameSender, FrameReceiver),
    pub(crate) sender: FrameSender,
    pub(crate) receiver: FrameReceiver,
    producer: u64,
    epoch: u32,
    sequence: u64,
    request: u64,
}

impl Client {
    pub(crate) async fn connect(group: &Group, address: SocketAddr) -> Client {
        let endpoint = Endpoint::dial_only(
            Plane::Clients,
            &group.credentials(),
            Tuning::of(Plane::Clients),
        )
        .expect("a socket");
        let connection = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .expect("connected");
        assert!(matches!(
            connection.peer(),
            Identity {
                cluster: CLUSTER,
                ..
            }
        ));
        let (mut control, mut events) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        control
            .send(&ClientHello::new(CLUSTER))
            .await
            .expect("sent");
        let hello = next(&mut events).await;
        assert!(matches!(
            paxlog_wire::decode(&hello),
            Ok(ControlEvent::Hello(_))
        ));
        let (sender, receiver) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        Client {
            connection,
            _control: (control, events),
            sender,
            receiver,
            producer: 0,
            epoch: 0,
            sequence: 0,
            request: 0,
        }
    }

    pub(crate) fn request(&mut self, command: CommandBody) -> CommandRequest {
        self.request += 1;
        CommandRequest {
            request: self.request,
            deadline_ms: 10_000,
            command,
        }
    }

    pub(crate) fn origin(&mut self) -> Origin {
        self.sequence += 1;
        Origin {
            producer: self.producer,
            epoch: self.epoch,
            sequence: self.sequence - 1,
        }
    }

    pub(crate) async fn call(&mut self, command: CommandBody) -> CommandOutcome {
        let request = self.request(command);
        self.sender.send(&request).await.expect("sent");
        self.reply().await
    }

    pub(crate) async fn reply(&mut self) -> CommandOutcome {
        self.try_reply().await.expect("no refusal")
    }

    async fn try_reply(&mut self) -> Result<CommandOutcome, WireError> {
        let frame = next(&mut self.receiver).await;
        let reply: CommandReply = paxlog_wire::decode(&frame).expect("a reply");
        reply.result
    }

    /// Opens a producer, and makes the log `t`.
    pub(crate) async fn open_log(&mut self) -> u64 {
        let opened = CommandBody::OpenProducer {
            nonce: u128::from(NONCE.fetch_add(1, Ordering::Relaxed)),
            name: None,
        };
        match self.call(opened).await {
            CommandOutcome::ProducerOpened {
                producer, epoch, ..
            } => (self.producer, self.epoch) = (producer, epoch),
            other => panic!("{other:?}"),
        }
        let origin = self.origin();
        let open = CommandBody::OpenLog {
            origin: Some(origin),
            name: "t".into(),
            create: true,
        };
        match self.call(open).await {
            CommandOutcome::LogOpened { log, .. } => log,
            other => panic!("{other:?}"),
        }
    }

    fn push(&mut self, log: u64, payload: &[u8], flags: Flags) {
        let mut builder = batch::BatchBuilder::new();
        builder
            .push(&batch::Record::new(payload.to_vec()))
            .expect("small");
        let parts = builder.finish().expect("one record").into_parts();
        let origin = self.origin();
        let append = self.request(CommandBody::Append {
            origin,
            log,
            if_tail: None,
            fence: None,
        });
        self.sender
            .push_with(&append, flags, &parts)
            .expect("small");
    }

    /// One append; after a refusal the next one takes its sequence.
    pub(crate) async fn try_append(
        &mut self,
        log: u64,
        payload: &[u8],
    ) -> Result<CommandOutcome, WireError> {
        self.push(log, payload, Flags::RESUME);
        self.sender.flush().await.expect("sent");
        let result = self.try_reply().await;
        if result.is_err() {
            self.sequence -= 1;
        }
        result
    }

    /// One append a payload, all in flight at once; they are the log's next.
    pub(crate) async fn append<P: AsRef<[u8]>>(&mut self, log: u64, payloads: &[P]) {
        for payload in payloads {
            self.push(log, payload.as_ref(), Flags::NONE);
        }
        self.sender.flush().await.expect("sent");
        let mut expected = None;
        for _ in payloads {
            match self.reply().await {
                CommandOutcome::Appended(receipt) => {
                    assert_eq!(receipt.start, *expected.get_or_insert(receipt.start));
                    assert_eq!(receipt.end, receipt.start + 1);
                    assert!(!receipt.duplicate);
                    expected = Some(receipt.end);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn stream(&self) -> (FrameSender, FrameReceiver) {
        self.connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream")
    }

    /// Everything in a log, as this replica knows it; nothing where it is refused.
    pub(crate) async fn read_all(&self, log: u64) -> Vec<String> {
        let (mut sender, mut receiver) = self.stream().await;
        let request = ReadRequest {
            deadline_ms: 10_000,
            log: LogRef::Id(log),
            from: ReadFrom::First,
            records_max: 0,
            bytes_max: 0,
            until_tail: true,
            until_timestamp: 0,
            wait_ms: 0,
            strict: false,
            linearizable: false,
        };
        sender.send(&request).await.expect("sent");
        let mut payloads = Vec::new();
        loop {
            let frame = next(&mut receiver).await;
            match paxlog_wire::decode::<ReadEvent>(&frame).expect("an event") {
                ReadEvent::Records(metas) => {
                    for parts in paxlog_wire::client::split_batches(&metas, &frame.body)
                        .expect("lengths add up")
                    {
                        for record in batch::BatchView::parse_parts(&parts)
                            .expect("a whole batch")
                            .records()
                        {
                            payloads
                                .push(String::from_utf8(record.payload.to_vec()).expect("text"));
                        }
                    }
                }
                ReadEvent::End { .. } => return payloads,
                ReadEvent::Refused(_) => return Vec::new(),
                ReadEvent::Started(_) | ReadEvent::Gap { .. } => {}
            }
        }
    }
}

/// The next frame, within patience.
pub(crate) async fn next(receiver: &mut FrameReceiver) -> Frame {
    tokio::time::timeout(PATIENCE, receiver.next())
        .await
        .expect("in time")
        .expect("received")
        .expect("a frame")
}
