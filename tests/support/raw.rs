//! A client by hand: one connection to one replica, and what that replica says as it says it. The library tries again
//! elsewhere, and would hide it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use paxlog_client::{Profile, Record};
use paxlog_quic::{
    Connection, Credentials, Endpoint, Expect, FrameReceiver, FrameSender, PeerError, Plane, Tuning,
};
use paxlog_wire::client::{
    Answer, ClientHello, CommandBody, CommandOutcome, CommandReply, CommandRequest, ControlEvent,
    LogConfig, LogRef, Origin, Query, QueryReply, QueryRequest, ReadEvent, ReadFrom, ReadRequest,
    Receipt,
};
use paxlog_wire::{Flags, Frame, FrameLimits, Message, WireError, batch};

use super::LIVENESS;

/// As long as anything may take.
const PATIENT_MS: u32 = LIVENESS.as_millis() as u32;

/// A connection to one replica.
pub(crate) struct Raw {
    connection: Connection,
    /// They end when they are dropped.
    _kept: (Endpoint, FrameSender, FrameReceiver),
}

impl Raw {
    /// Connects, and is let in.
    pub(crate) async fn connect(profile: &Profile, address: SocketAddr) -> Raw {
        let hello = ClientHello::new(profile.cluster);
        let (raw, event) = Raw::greet(profile, address, &hello).await;
        assert!(matches!(event, ControlEvent::Hello(_)), "{event:?}");
        raw
    }

    /// Connects, and says any hello; gives the answer.
    pub(crate) async fn greet(
        profile: &Profile,
        address: SocketAddr,
        hello: &ClientHello,
    ) -> (Raw, ControlEvent) {
        let credentials =
            Credentials::load(&profile.ca, &profile.cert, &profile.key).expect("good credentials");
        let endpoint =
            Endpoint::dial_only(Plane::Clients, &credentials, Tuning::of(Plane::Clients))
                .expect("a socket");
        let connection = endpoint.connect(address, Expect::AnyReplica).await;
        let connection = connection.expect("the replica answers");
        let (mut control, mut events) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        control.send(hello).await.expect("sent");
        let event = next(&mut events).await.expect("an answer");
        let raw = Raw {
            connection,
            _kept: (endpoint, control, events),
        };
        (raw, event)
    }

    /// Why the other side closed the connection, once it has.
    pub(crate) async fn closed(&self) -> PeerError {
        let closed = tokio::time::timeout(LIVENESS, self.connection.closed());
        closed.await.expect("it closes the connection")
    }

    async fn open(&self) -> (FrameSender, FrameReceiver) {
        let stream = self.connection.open_bi(FrameLimits::TO_CLIENT).await;
        stream.expect("a stream")
    }

    /// A command stream.
    pub(crate) async fn commands(&self) -> Commands {
        let (sender, receiver) = self.open().await;
        Commands {
            sender,
            receiver,
            deadline_ms: PATIENT_MS,
            producer: 0,
            epoch: 0,
            sequence: 0,
            request: 0,
        }
    }

    /// The same, with an anonymous producer that is open.
    pub(crate) async fn producer(&self) -> Commands {
        let mut commands = self.commands().await;
        commands.open(None).await.expect("opened");
        commands
    }

    /// Asks one question.
    pub(crate) async fn ask(&self, query: Query, deadline_ms: u32) -> Result<Answer, WireError> {
        let (mut sender, mut receiver) = self.open().await;
        let request = QueryRequest { deadline_ms, query };
        sender.send(&request).await.expect("sent");
        let reply: QueryReply = next(&mut receiver).await.expect("a reply");
        reply.result
    }

    /// Begins a strict read, up to the tail.
    pub(crate) async fn read(&self, log: &str, from: ReadFrom, records_max: u64) -> Reading {
        let (mut sender, receiver) = self.open().await;
        let request = ReadRequest {
            deadline_ms: PATIENT_MS,
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
        Reading {
            _sender: sender,
            receiver,
        }
    }

    /// With what a strict read from a place is refused or broken off.
    pub(crate) async fn read_refused(&self, log: &str, from: ReadFrom) -> WireError {
        let mut stream = self.read(log, from, 0).await;
        loop {
            match stream.next().await.0 {
                ReadEvent::Refused(error) => return error,
                ReadEvent::End { .. } => panic!("{log} was read to its end"),
                ReadEvent::Started(_) | ReadEvent::Records(_) | ReadEvent::Gap { .. } => {}
            }
        }
    }
}

/// A read stream.
pub(crate) struct Reading {
    _sender: FrameSender,
    receiver: FrameReceiver,
}

impl Reading {
    pub(crate) async fn next(&mut self) -> (ReadEvent, Vec<Bytes>) {
        let frame = frame(&mut self.receiver).await.expect("a last event");
        let event = paxlog_wire::decode::<ReadEvent>(&frame).expect("an event");
        (event, frame.body)
    }
}

/// A command stream, and one producer's numbers.
pub(crate) struct Commands {
    sender: FrameSender,
    receiver: FrameReceiver,
    /// Of the requests to come.
    pub(crate) deadline_ms: u32,
    pub(crate) producer: u64,
    pub(crate) epoch: u32,
    /// The next one.
    pub(crate) sequence: u64,
    request: u64,
}

impl Commands {
    /// Opens a producer: an anonymous one, or the next epoch of a named one.
    pub(crate) async fn open(&mut self, name: Option<&str>) -> Result<(), WireError> {
        /// Producers are told apart by it.
        static NONCE: AtomicU64 = AtomicU64::new(1);
        let nonce = u128::from(NONCE.fetch_add(1, Ordering::Relaxed))
            | u128::from(std::process::id()) << 64;
        let name = name.map(str::to_owned);
        let opened = self.call(CommandBody::OpenProducer { nonce, name }).await?;
        let CommandOutcome::ProducerOpened {
            producer, epoch, ..
        } = opened
        else {
            panic!("{opened:?}");
        };
        (self.producer, self.epoch, self.sequence) = (producer, epoch, 0);
        Ok(())
    }

    /// This sequence of the producer.
    pub(crate) fn at(&self, sequence: u64) -> Origin {
        Origin {
            producer: self.producer,
            epoch: self.epoch,
            sequence,
        }
    }

    /// The next sequence of the producer.
    pub(crate) fn next(&mut self) -> Origin {
        self.sequence += 1;
        self.at(self.sequence - 1)
    }

    /// The log's id.
    pub(crate) async fn find(&mut self, name: &str) -> Result<u64, WireError> {
        let found = CommandBody::OpenLog {
            origin: None,
            name: name.into(),
            create: false,
        };
        opened(self.call(found).await)
    }

    /// Makes a log.
    pub(crate) async fn create(&mut self, name: &str, config: LogConfig) -> Result<u64, WireError> {
        let create = CommandBody::CreateLog {
            origin: Some(self.next()),
            name: name.into(),
            if_absent: false,
            config,
        };
        opened(self.call(create).await)
    }

    /// One append under the next sequence, which stays the next one if it is refused: the stream is resumed with it.
    pub(crate) async fn append(&mut self, log: u64, payload: &[u8]) -> Result<Receipt, WireError> {
        let origin = self.at(self.sequence);
        let append = CommandBody::Append {
            origin,
            log,
            if_tail: None,
            fence: None,
        };
        let outcome = self.send(append, &batch_of(payload), Flags::RESUME).await;
        let receipt = appended(outcome)?;
        self.sequence += 1;
        Ok(receipt)
    }

    /// A command without a batch.
    pub(crate) async fn call(&mut self, command: CommandBody) -> Result<CommandOutcome, WireError> {
        self.send(command, &[], Flags::NONE).await
    }

    /// A command, and its answer.
    pub(crate) async fn send(
        &mut self,
        command: CommandBody,
        batch: &[Bytes],
        flags: Flags,
    ) -> Result<CommandOutcome, WireError> {
        self.push(command, batch, flags);
        self.flush().await;
        self.reply().await.1
    }

    /// Puts a command into the next packets; gives its number.
    pub(crate) fn push(&mut self, command: CommandBody, batch: &[Bytes], flags: Flags) -> u64 {
        self.request += 1;
        let request = CommandRequest {
            request: self.request,
            deadline_ms: self.deadline_ms,
            command,
        };
        let pushed = self.sender.push_with(&request, flags, batch);
        pushed.expect("within the limits");
        self.request
    }

    pub(crate) async fn flush(&mut self) {
        self.sender.flush().await.expect("sent");
    }

    /// The next answer, of whichever command.
    pub(crate) async fn reply(&mut self) -> (u64, Result<CommandOutcome, WireError>) {
        let reply: CommandReply = next(&mut self.receiver).await.expect("a reply");
        (reply.request, reply.result)
    }
}

/// A batch of one record.
pub(crate) fn batch_of(payload: &[u8]) -> Vec<Bytes> {
    let mut builder = batch::BatchBuilder::new();
    builder
        .push(&Record::new(payload.to_vec()))
        .expect("within the limits");
    builder.finish().expect("one record").into_parts()
}

/// The receipt of an append.
pub(crate) fn appended(outcome: Result<CommandOutcome, WireError>) -> Result<Receipt, WireError> {
    match outcome? {
        CommandOutcome::Appended(receipt) => Ok(receipt),
        other => panic!("{other:?}"),
    }
}

fn opened(outcome: Result<CommandOutcome, WireError>) -> Result<u64, WireError> {
    match outcome? {
        CommandOutcome::LogOpened { log, .. } => Ok(log),
        other => panic!("{other:?}"),
    }
}

async fn frame(receiver: &mut FrameReceiver) -> Option<Frame> {
    let frame = tokio::time::timeout(LIVENESS, receiver.next()).await;
    frame.expect("it says something").expect("received")
}

async fn next<M: Message>(receiver: &mut FrameReceiver) -> Option<M> {
    let frame = frame(receiver).await?;
    Some(paxlog_wire::decode(&frame).expect("the message that is due"))
}
