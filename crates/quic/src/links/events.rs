//! What links tell their owner: two queues, so that control overtakes bulk, both bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use paxlog_paxos::{Class, Envelope};
use paxlog_wire::replica::ReplicaHello;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::failure::PeerError;

/// Events waiting in each queue; whoever has more waits, and with it the peer.
const EVENTS_MAX: usize = 1_024;
/// Bytes of values waiting, of each peer.
pub(super) const WAITING_BYTES_MAX: u32 = 16 << 20;

/// Something that happened to a link.
#[derive(Debug)]
pub enum LinkEvent {
    /// The control connection is there (again); what was under way on an older one is lost.
    ControlUp {
        /// The peer's id.
        peer: u16,
        /// What the peer said of itself; its certificate names the same replica and cluster.
        hello: ReplicaHello,
    },
    /// The connection for accepts and catch-up is there (again); what was under way on an older one is lost.
    AcceptsUp {
        /// The peer's id.
        peer: u16,
    },
    /// No connection to the peer any more.
    Down {
        /// The peer's id.
        peer: u16,
        /// What ended it.
        why: PeerError,
    },
    /// A message; cluster, sender and incarnation are those of the peer's hello and certificate.
    Message(Envelope),
}

/// The link that messages must belong to; 0 while there is none.
pub(super) type Current = Arc<AtomicU64>;

/// An event with what it holds until the owner takes it.
struct Queued {
    event: LinkEvent,
    /// For messages: which link it came on.
    link: Option<(Current, u64)>,
    _credit: Option<OwnedSemaphorePermit>,
}

/// The owner's end.
pub struct LinkEvents {
    control: mpsc::Receiver<Queued>,
    bulk: mpsc::Receiver<Queued>,
}

impl std::fmt::Debug for LinkEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkEvents").finish_non_exhaustive()
    }
}

impl LinkEvents {
    /// The next event; control messages, and links coming and going, first. None once the links are gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<LinkEvent> {
        loop {
            let queued = tokio::select! {
                biased;
                Some(queued) = self.control.recv() => queued,
                Some(queued) = self.bulk.recv() => queued,
                else => return None,
            };
            if let Some(event) = queued.current() {
                return Some(event);
            }
        }
    }

    /// The next event that is there already; so one turn takes many.
    pub fn try_next(&mut self) -> Option<LinkEvent> {
        loop {
            let queued = self
                .control
                .try_recv()
                .or_else(|_| self.bulk.try_recv())
                .ok()?;
            if let Some(event) = queued.current() {
                return Some(event);
            }
        }
    }
}

impl Queued {
    /// The event, unless it came on a link that has been replaced or lost since.
    fn current(self) -> Option<LinkEvent> {
        match &self.link {
            Some((current, link)) if current.load(Ordering::Acquire) != *link => None,
            _ => Some(self.event),
        }
    }
}

/// The links' end.
#[derive(Clone)]
pub(super) struct EventSender {
    control: mpsc::Sender<Queued>,
    bulk: mpsc::Sender<Queued>,
}

impl EventSender {
    /// Waits for room. An owner that is gone is no error: the links are about to be dropped too.
    pub(super) async fn tell(&self, event: LinkEvent) {
        let queue = match &event {
            // Ahead of the messages of its connection, and behind those of the one before.
            LinkEvent::AcceptsUp { .. } => &self.bulk,
            LinkEvent::ControlUp { .. } | LinkEvent::Down { .. } | LinkEvent::Message(_) => {
                &self.control
            }
        };
        let _ = queue
            .send(Queued {
                event,
                link: None,
                _credit: None,
            })
            .await;
    }

    /// Waits for room, and for credit if the message has a value.
    pub(super) async fn deliver(
        &self,
        envelope: Envelope,
        bytes: u32,
        credit: &Arc<Semaphore>,
        current: &Current,
        link: u64,
    ) {
        let queue = match envelope.message.class() {
            Class::Control => &self.control,
            Class::Accepts | Class::CatchUp => &self.bulk,
        };
        let permits = bytes.min(WAITING_BYTES_MAX);
        let credit = match permits {
            0 => None,
            permits => credit.clone().acquire_many_owned(permits).await.ok(),
        };
        let link = Some((current.clone(), link));
        let _ = queue
            .send(Queued {
                event: LinkEvent::Message(envelope),
                link,
                _credit: credit,
            })
            .await;
    }
}

pub(super) fn channel() -> (EventSender, LinkEvents) {
    let (control, control_events) = mpsc::channel(EVENTS_MAX);
    let (bulk, bulk_events) = mpsc::channel(EVENTS_MAX);
    (
        EventSender { control, bulk },
        LinkEvents {
            control: control_events,
            bulk: bulk_events,
        },
    )
}
