//! Where streams and core meet: what the streams hand in, whom the core's
//! answers are for, and how much waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use paxlog_node::{ClientId, Event, QueryId, ReaderEffect, ReaderId, StreamId};
use paxlog_wal::Wal;
use paxlog_wire::LeaderHint;
use paxlog_wire::client::{CommandReply, QueryReply, Status};
use tokio::sync::{Notify, oneshot, watch};

use super::outbox::Outbox;
use crate::aux_io::AuxIo;
use crate::http::Published;
use crate::mailbox::Mailbox;

/// Bytes handed in and not yet proposed, beyond which no more is read from
/// clients.
const BACKLOG_BYTES_MAX: usize = 32 << 20;
/// What a command counts for, besides its batch.
const COMMAND_BYTES: usize = 512;
/// Events handed in that the core has not taken, beyond which no more questions,
/// readers and credit are taken from clients. They do not wait for commands to
/// be proposed.
const INBOX_EVENTS_MAX: usize = 16_384;

/// The meeting place. Everything is on the core's thread.
pub(crate) struct Desk {
    pub(crate) cluster: u128,
    pub(crate) replica: u16,
    pub(crate) wal: Arc<Wal>,
    pub(crate) aux: Rc<AuxIo>,
    mailbox: Arc<Mailbox>,
    inbox: RefCell<VecDeque<Event>>,
    /// What the commands in the inbox count for.
    inbox_bytes: Cell<usize>,
    /// What the commands that wait in the core count for.
    core_bytes: Cell<usize>,
    /// Rings when commands may be handed in again.
    room: Notify,
    /// Rings when other events may.
    event_room: Notify,
    commands: RefCell<BTreeMap<StreamId, Rc<Outbox<CommandReply>>>>,
    readers: RefCell<BTreeMap<ReaderId, Rc<Outbox<ReaderEffect>>>>,
    queries: RefCell<BTreeMap<QueryId, oneshot::Sender<QueryReply>>>,
    next: Cell<u64>,
    /// The leader, for the control streams.
    pub(crate) leader: watch::Sender<Option<LeaderHint>>,
    /// Whether the replica is stopping, for the control streams.
    pub(crate) going_away: watch::Sender<bool>,
    /// Answers the status query.
    pub(crate) status: RefCell<Option<Status>>,
    /// Where a fresh one is asked for.
    pub(crate) published: Arc<Published>,
    /// Open client connections.
    pub(crate) connections: Cell<u64>,
    /// Bytes of batches sent to readers.
    pub(crate) read_bytes: Cell<u64>,
}

impl Desk {
    pub(crate) fn new(
        cluster: u128,
        replica: u16,
        wal: Arc<Wal>,
        aux: Rc<AuxIo>,
        mailbox: Arc<Mailbox>,
        published: Arc<Published>,
    ) -> Rc<Desk> {
        Rc::new(Desk {
            cluster,
            replica,
            wal,
            aux,
            mailbox,
            inbox: RefCell::default(),
            inbox_bytes: Cell::new(0),
            core_bytes: Cell::new(0),
            room: Notify::new(),
            event_room: Notify::new(),
            commands: RefCell::default(),
            readers: RefCell::default(),
            queries: RefCell::default(),
            next: Cell::new(1),
            leader: watch::Sender::new(None),
            going_away: watch::Sender::new(false),
            status: RefCell::new(None),
            published,
            connections: Cell::new(0),
            read_bytes: Cell::new(0),
        })
    }

    fn number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    // ---- for the streams ----

    /// Hands an event to the core, which wakes for it.
    pub(crate) fn hand_in(&self, event: Event) {
        self.hand_in_quietly(event);
        self.mailbox.ring();
    }

    /// Hands an event to the core without waking it: [`Desk::ring`] follows.
    pub(crate) fn hand_in_quietly(&self, event: Event) {
        self.inbox_bytes.set(self.inbox_bytes.get() + cost(&event));
        self.inbox.borrow_mut().push_back(event);
    }

    /// Wakes the core.
    pub(crate) fn ring(&self) {
        self.mailbox.ring();
    }

    fn is_full(&self) -> bool {
        self.inbox_bytes.get() + self.core_bytes.get() > BACKLOG_BYTES_MAX
    }

    /// Waits while too much waits to be proposed. Whoever hands in a command
    /// waits here before it reads on.
    pub(crate) async fn room(&self) {
        while self.is_full() {
            self.room.notified().await;
        }
        // One ring wakes one stream: pass it on.
        self.room.notify_one();
    }

    /// Waits while too much waits for the core to take it. Whoever hands in
    /// anything but a command waits here first.
    pub(crate) async fn event_room(&self) {
        while self.inbox.borrow().len() > INBOX_EVENTS_MAX {
            self.event_room.notified().await;
        }
        self.event_room.notify_one();
    }

    /// Names a connection.
    pub(crate) fn client(&self) -> ClientId {
        ClientId(self.number())
    }

    pub(crate) fn open_commands(&self) -> (StreamId, Rc<Outbox<CommandReply>>) {
        let (id, outbox) = (StreamId(self.number()), Rc::new(Outbox::new()));
        self.commands.borrow_mut().insert(id, Rc::clone(&outbox));
        (id, outbox)
    }

    pub(crate) fn close_commands(&self, id: StreamId) {
        self.commands.borrow_mut().remove(&id);
        self.hand_in(Event::StreamClosed(id));
    }

    pub(crate) fn open_reader(&self) -> (ReaderId, Rc<Outbox<ReaderEffect>>) {
        let (id, outbox) = (ReaderId(self.number()), Rc::new(Outbox::new()));
        self.readers.borrow_mut().insert(id, Rc::clone(&outbox));
        (id, outbox)
    }

    pub(crate) fn close_reader(&self, id: ReaderId) {
        self.readers.borrow_mut().remove(&id);
        self.hand_in(Event::ReaderClosed(id));
    }

    pub(crate) fn open_query(&self) -> (QueryId, oneshot::Receiver<QueryReply>) {
        let id = QueryId(self.number());
        let (answer, answered) = oneshot::channel();
        self.queries.borrow_mut().insert(id, answer);
        (id, answered)
    }

    pub(crate) fn close_query(&self, id: QueryId) {
        self.queries.borrow_mut().remove(&id);
    }

    // ---- for the core ----

    /// Moves at most `limit` events that were handed in to the end of `to`;
    /// says whether more are left.
    pub(crate) fn take_inbox(&self, to: &mut Vec<Event>, limit: usize) -> bool {
        let mut inbox = self.inbox.borrow_mut();
        let count = inbox.len().min(limit);
        let taken: usize = inbox.range(..count).map(cost).sum();
        self.inbox_bytes.set(self.inbox_bytes.get() - taken);
        to.extend(inbox.drain(..count));
        !inbox.is_empty()
    }

    /// Tells how much waits in the core: bytes of batches, and commands.
    pub(crate) fn set_backlog(&self, batch_bytes: usize, commands: usize) {
        self.core_bytes.set(batch_bytes + commands * COMMAND_BYTES);
        if !self.is_full() {
            self.room.notify_one();
        }
        self.event_room.notify_one();
    }

    pub(crate) fn reply(&self, stream: StreamId, reply: CommandReply) {
        if let Some(outbox) = self.commands.borrow().get(&stream) {
            outbox.put(reply);
        }
    }

    pub(crate) fn read(&self, reader: ReaderId, effect: ReaderEffect) {
        if let Some(outbox) = self.readers.borrow().get(&reader) {
            outbox.put(effect);
        }
    }

    pub(crate) fn answer(&self, query: QueryId, reply: QueryReply) {
        if let Some(answer) = self.queries.borrow_mut().remove(&query) {
            // The asker may be gone.
            let _ = answer.send(reply);
        }
    }
}

fn cost(event: &Event) -> usize {
    match event {
        Event::Command { batch, .. } => COMMAND_BYTES + paxlog_wire::parts::len(batch),
        _ => 0,
    }
}
