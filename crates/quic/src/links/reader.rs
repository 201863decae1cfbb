//! Reading the streams of envelopes of one connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use paxlog_paxos::{Class, ClusterId, Envelope, Incarnation, ReplicaId};
use paxlog_wire::replica::{LinkOpen, Purpose, ReplicaHello, decode_envelope};
use paxlog_wire::{Code, DecodeError, FrameLimits, decode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::events::{EventSender, WAITING_BYTES_MAX};
use super::peer::Peer;
use crate::connection::Connection;
use crate::failure::PeerError;
use crate::framed::{FrameReceiver, ReceiveError};

/// How long a stream may be open before it says what it is.
const OPENING_PATIENCE: Duration = Duration::from_secs(3);

/// Why a stream, and with it the connection, is of no more use.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the stream ended")]
    Finished,
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the stream belongs to another link")]
    OtherLink,
    #[error("there is a {0:?} stream already, or it does not belong on this connection")]
    Class(Class),
    #[error("a message names another sender than the hello")]
    OtherSender,
    #[error("a message came on the stream of another class")]
    OtherClass,
}

/// Reads one connection.
pub(super) struct Reader {
    peer: Arc<Peer>,
    connection: Connection,
    hello: ReplicaHello,
    events: EventSender,
    /// What the owner has not taken yet, of this connection.
    credit: Arc<Semaphore>,
    /// The classes whose stream is still to come.
    awaited: Mutex<Vec<Class>>,
}

impl Reader {
    pub(super) fn new(
        peer: Arc<Peer>,
        connection: Connection,
        hello: ReplicaHello,
        events: EventSender,
    ) -> Self {
        let awaited = Mutex::new(peer.of(hello.purpose).0.to_vec());
        let credit = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
        Self {
            peer,
            connection,
            hello,
            events,
            credit,
            awaited,
        }
    }

    /// Reads as many streams as the connection's purpose has, until one ends.
    pub(super) async fn run(self) -> PeerError {
        let reader = Arc::new(self);
        let streams_max = reader.peer.of(reader.hello.purpose).0.len();
        let address = reader.connection.address();
        let lost = |why: String| PeerError::Lost { address, why };
        let mut streams = JoinSet::new();
        let mut opened = 0;
        loop {
            tokio::select! {
                Some(ended) = streams.join_next() => return match ended {
                    Ok(Ended::Receive(ReceiveError::Lost(error))) => error,
                    Ok(ended) => {
                        let why = ended.to_string();
                        reader.connection.close(Code::Invalid, &why);
                        lost(why)
                    }
                    Err(panicked) => lost(panicked.to_string()),
                },
                stream = reader.connection.accept_uni(FrameLimits::FIRST) => match stream {
                    Err(error) => return error,
                    Ok(_) if opened == streams_max => return lost("it opened more streams than a link has".to_owned()),
                    Ok(receiver) => {
                        opened += 1;
                        let reader = reader.clone();
                        streams.spawn(async move { reader.read(receiver).await.err().unwrap_or(Ended::Finished) });
                    }
                },
            }
        }
    }

    async fn read(&self, mut receiver: FrameReceiver) -> Result<(), Ended> {
        let class = self.opening(&mut receiver).await?;
        let current = self.peer.of(self.hello.purpose).1;
        while let Some(frame) = receiver.next().await? {
            let bytes = frame.body_len() as u32;
            let envelope = decode_envelope(frame)?;
            self.check(&envelope, class)?;
            self.events
                .deliver(envelope, bytes, &self.credit, current, self.hello.link)
                .await;
        }
        Ok(())
    }

    /// The first frame, which says what the stream is for.
    async fn opening(&self, receiver: &mut FrameReceiver) -> Result<Class, Ended> {
        let first = receiver
            .next_within(OPENING_PATIENCE)
            .await?
            .ok_or(Ended::Finished)?;
        let open: LinkOpen = decode(&first)?;
        if open.link != self.hello.link {
            return Err(Ended::OtherLink);
        }
        let class = Class::from(open.class);
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let at = awaited
            .iter()
            .position(|awaited| *awaited == class)
            .ok_or(Ended::Class(class))?;
        awaited.swap_remove(at);
        receiver.set_limits(match self.hello.purpose {
            // Nothing on it has a value.
            Purpose::Control => FrameLimits {
                body_bytes_max: 0,
                ..FrameLimits::REPLICA
            },
            Purpose::Accepts => FrameLimits::REPLICA,
        });
        Ok(class)
    }

    /// The certificate and the hello have proved who speaks.
    fn check(&self, envelope: &Envelope, class: Class) -> Result<(), Ended> {
        let hello = &self.hello;
        let proved = (
            ClusterId(hello.cluster),
            ReplicaId(hello.replica),
            Incarnation(hello.incarnation),
        );
        if (envelope.cluster, envelope.from, envelope.incarnation) != proved {
            return Err(Ended::OtherSender);
        }
        if envelope.message.class() != class {
            return Err(Ended::OtherClass);
        }
        Ok(())
    }
}
