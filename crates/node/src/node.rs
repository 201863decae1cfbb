//! The core itself: events in, effects out.

use std::collections::{BTreeMap, VecDeque};

use paxlog_log::{LogId, State};
use paxlog_paxos::{
    Ballot, GroupId, Paxos, PersistId, ReadId, ReplicaId, Role, Slot, Standing, Value,
};
use paxlog_wire::LeaderHint;

use crate::commands::Commands;
use crate::effect::{Effect, Effects};
use crate::event::{ClientId, EntryToken, Event, Now};
use crate::housekeeping::Housekeeping;
use crate::index::Index;
use crate::queries::Queries;
use crate::rates::Rates;
use crate::readers::{Readers, View};
use crate::segments::Segments;
use crate::slots::{Entry, SlotMap};
use crate::status::{Counters, Status};

/// The core's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Paxos' settings.
    pub paxos: paxlog_paxos::Config,
    /// A client may make a log by appending to it if its name begins with one of these; an empty one allows every name.
    pub create_on_append: Vec<String>,
    /// Bytes of batches a second that a client's connection may append; 0: no bound.
    pub client_append_bytes_per_s: u64,
    /// Where clients reach this replica.
    pub addresses: Vec<String>,
    /// A value closes once it is so many bytes long; one larger command may be
    /// in it alone. A frame of the log must hold it, with the largest command.
    pub value_bytes_target: usize,
}

impl Config {
    /// Whether a client may make a log of that name by appending to it.
    pub(crate) fn may_create_on_append(&self, log: &str) -> bool {
        let mut prefixes = self.create_on_append.iter();
        prefixes.any(|prefix| log.starts_with(prefix.as_str()))
    }
}

/// The default of [`Config::value_bytes_target`].
pub const VALUE_BYTES_TARGET: usize = 1 << 20;

/// A chosen slot on its way to being applied.
#[derive(Debug)]
pub(crate) struct ChosenSlot {
    pub(crate) slot: Slot,
    pub(crate) value: Option<Value>,
    /// It was asked for by this token.
    pub(crate) reading: Option<EntryToken>,
}

/// Whom a frame that was asked for is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EntryFor {
    Apply(Slot),
    /// As accepted in this ballot: a frame of another one is not it.
    Paxos(ReadId, Slot, Ballot),
}

/// The core of one replica of one group.
///
/// Calling contract: feed events with [`Node::step`]; carry out the effects in
/// order after each or after several, telling [`Node::placed`] for each frame
/// appended before the next event; call [`Node::end_turn`] once a turn's events
/// are all in; call `step(Event::Tick)` when [`Node::poll_timer`] is due.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) paxos: Paxos,
    pub(crate) paxos_fx: paxlog_paxos::Effects,
    pub(crate) state: State,
    /// Every slot below is applied.
    pub(crate) applied: Slot,
    pub(crate) chosen: VecDeque<ChosenSlot>,
    pub(crate) index: Index,
    pub(crate) slots: SlotMap,
    pub(crate) segments: Segments,
    /// Frames handed out whose position is not told yet.
    pub(crate) unplaced: BTreeMap<PersistId, Option<(Slot, Entry)>>,
    /// Frames whose position is known and that are not durable yet, in order.
    pub(crate) placed: VecDeque<(u64, PersistId)>,
    /// One beyond the position of the last frame.
    pub(crate) placed_end: u64,
    pub(crate) durable: u64,
    pub(crate) commands: Commands,
    pub(crate) queries: Queries,
    pub(crate) readers: Readers,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) entries: BTreeMap<EntryToken, EntryFor>,
    /// Frames asked for that are not durable yet, and so may not even be
    /// written: asked for once they are. None: not even placed, and perhaps
    /// never, if the log has failed.
    pub(crate) unwritten: Vec<(Option<u64>, Slot, EntryToken)>,
    pub(crate) next_entry: u64,
    pub(crate) addresses: BTreeMap<ReplicaId, Vec<String>>,
    pub(crate) hint: Option<LeaderHint>,
    /// What was known chosen at the start; before it is applied the replica is
    /// not ready, and shows nothing: it may have shown more before, and its
    /// index lacks what was trimmed by then.
    pub(crate) replay_to: Slot,
    pub(crate) disk_full: bool,
    pub(crate) handing_over: bool,
    pub(crate) handed_over: bool,
    pub(crate) stopped: bool,
    pub(crate) next_sweep: u64,
    /// When to look at what is beyond the logs' retention, monotonic ns.
    pub(crate) next_retention: u64,
    pub(crate) rates: Rates<LogId>,
    pub(crate) client_rates: Rates<ClientId>,
    pub(crate) changed_logs: Vec<LogId>,
    pub(crate) counters: Counters,
    /// Nanoseconds from admission to answer of the appends answered since they
    /// were last taken.
    pub(crate) receipt_ns: Vec<u64>,
}

/// What recovery hands to a new core; see [`Node::recover`].
pub(crate) struct Parts {
    pub(crate) paxos: Paxos,
    pub(crate) state: State,
    pub(crate) applied: Slot,
    pub(crate) chosen_prefix: Slot,
    /// Everything below was applied before, whether it can be replayed or not.
    pub(crate) seen: Slot,
    pub(crate) index: Index,
    pub(crate) slots: SlotMap,
    pub(crate) segments: Segments,
    pub(crate) housekeeping: Housekeeping,
    pub(crate) durable: u64,
}

impl Node {
    pub(crate) fn from_parts(config: Config, parts: Parts, now: Now) -> Node {
        let replay = (parts.applied.0..parts.chosen_prefix.0).map(|slot| ChosenSlot {
            slot: Slot(slot),
            value: None,
            reading: None,
        });
        Node {
            config,
            chosen: replay.collect(),
            replay_to: parts.chosen_prefix.max(parts.seen),
            paxos: parts.paxos,
            paxos_fx: paxlog_paxos::Effects::new(),
            state: parts.state,
            applied: parts.applied,
            index: parts.index,
            slots: parts.slots,
            segments: parts.segments,
            unplaced: BTreeMap::new(),
            placed: VecDeque::new(),
            placed_end: parts.durable,
            durable: parts.durable,
            commands: Commands::default(),
            queries: Queries::default(),
            readers: Readers::default(),
            housekeeping: parts.housekeeping,
            entries: BTreeMap::new(),
            unwritten: Vec::new(),
            next_entry: 0,
            addresses: BTreeMap::new(),
            hint: None,
            disk_full: false,
            handing_over: false,
            handed_over: false,
            stopped: false,
            next_sweep: now.mono,
            next_retention: now.mono,
            rates: Rates::default(),
            client_rates: Rates::default(),
            changed_logs: Vec::new(),
            counters: Counters::default(),
            receipt_ns: Vec::new(),
        }
    }

    /// Handles one event.
    pub fn step(&mut self, now: Now, event: Event, fx: &mut Effects) {
        if self.stopped {
            return;
        }
        match event {
            Event::Tick => {
                self.paxos.handle_tick(now.mono, &mut self.paxos_fx);
                self.sweep(now, fx);
            }
            Event::Peer(envelope) => {
                self.paxos
                    .handle_message(now.mono, envelope, &mut self.paxos_fx)
            }
            Event::Link(peer, event) => {
                self.paxos
                    .handle_link(now.mono, peer, event, &mut self.paxos_fx)
            }
            Event::Addresses(replica, addresses) => {
                self.addresses.insert(replica, addresses);
                self.refresh_hint(fx);
            }
            Event::Durable(lsn) => {
                self.handle_durable(now, lsn, fx);
                let (readers, view) = self.readers_and_view(now);
                readers.durable_advanced(view, fx);
            }
            Event::Disk(health) => self.paxos.handle_disk(now.mono, health, &mut self.paxos_fx),
            Event::DiskFull(full) => self.disk_full = full,
            Event::Command {
                client,
                stream,
                resume,
                request,
                batch,
            } => {
                let from = (client, stream);
                self.handle_command(now, from, resume, request, batch, fx);
            }
            Event::StreamClosed(stream) => self.commands.close(stream),
            Event::Query {
                query,
                deadline_ms,
                ask,
            } => self.handle_query(now, query, deadline_ms, ask, fx),
            Event::Read(reader, request) => self.handle_read(now, reader, request, fx),
            Event::Tail(reader, request) => self.handle_tail(now, reader, request, fx),
            Event::Credit(reader, bytes) => {
                let (readers, view) = self.readers_and_view(now);
                readers.credit(reader, bytes, view, fx);
            }
            Event::ReaderClosed(reader) => {
                self.readers.close(reader);
                self.queries.forget_reader(reader);
            }
            Event::ColdRead {
                reader,
                next,
                bytes,
            } => {
                let (readers, view) = self.readers_and_view(now);
                readers.cold_read(reader, next, bytes, view, fx);
            }
            Event::TimeFound(reader, found) => self.handle_time_found(now, reader, found, fx),
            Event::ColdFailed(reader) => {
                let (readers, view) = self.readers_and_view(now);
                readers.cold_failed(reader, view, fx);
            }
            Event::Entry(token, entry) => self.handle_entry(now, token, entry, fx),
            Event::Annotated(segment) => self.handle_annotated(segment),
            Event::CheckpointDone { older, .. } => self.handle_checkpoint_done(Slot(older)),
            Event::HousekeepingFailed => self.housekeeping.failed(now.mono),
            Event::Retired(_) => self.housekeeping.retired(),
            Event::HandOver => self.handle_hand_over(now, fx),
        }
        self.run_paxos(now, fx);
    }

    /// Ends a turn: applies what is chosen, closes at most one value out of what
    /// waits, wakes the readers of what changed, and keeps house.
    pub fn end_turn(&mut self, now: Now, fx: &mut Effects) {
        if self.stopped {
            return;
        }
        self.apply_chosen(now, fx);
        self.retain(now);
        self.close_value(now, fx);
        self.wake_readers(now, fx);
        self.keep_house(now, fx);
        // Without a majority there is nobody to hand over to, and nothing under way can end; alone there is nobody
        // either, but what is under way ends.
        let leads = || matches!(self.paxos.role(), Role::Leader { .. });
        let alone = || self.paxos.members().len() == 1 && self.commands.is_idle();
        if self.handing_over
            && !self.handed_over
            && (!leads() || !self.paxos.quorum_is_reached() || alone())
        {
            self.handed_over = true;
            fx.push(Effect::HandedOver);
        }
    }

    /// Tells where a frame that [`Effect::Append`] or [`Effect::State`] wanted
    /// begins in the write-ahead log.
    pub fn placed(&mut self, persist: PersistId, lsn: u64) {
        debug_assert!(
            self.placed.back().is_none_or(|(last, _)| *last < lsn),
            "frames are placed in order"
        );
        self.segments.note_open(crate::place::segment_of(lsn));
        if let Some(Some((slot, mut entry))) = self.unplaced.remove(&persist) {
            entry.lsn = lsn;
            for (place, waits, _) in &mut self.unwritten {
                if *waits == slot && place.is_none() {
                    *place = Some(lsn);
                }
            }
            self.segments.note_frame(lsn, slot);
            self.slots.insert(slot, entry);
        }
        self.placed_end = lsn + 1;
        self.placed.push_back((lsn, persist));
    }

    /// When the next [`Event::Tick`] is due, monotonic ns.
    pub fn poll_timer(&self) -> u64 {
        let paxos = self.paxos.poll_timer();
        let waits =
            !self.commands.is_idle() || !self.queries.is_empty() || self.readers.any_waiting_read();
        let sweep = if waits { self.next_sweep } else { u64::MAX };
        paxos.min(sweep).min(self.housekeeping.poll_timer())
    }

    /// Bytes of batches that wait for a value, and how many commands. The owner
    /// stops reading from clients while there are too many.
    pub fn queue(&self) -> (usize, usize) {
        (self.commands.queue_bytes(), self.commands.queue_len())
    }

    /// Whether commands wait that [`Node::end_turn`] could propose at once.
    pub fn wants_turn(&self) -> bool {
        !self.commands.queue_is_empty() && !self.commands.holds() && self.paxos.can_propose()
    }

    /// Everything below is applied.
    pub fn applied(&self) -> Slot {
        self.applied
    }

    /// The replicated state, as applied here.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The group.
    pub fn group(&self) -> GroupId {
        self.config.paxos.group
    }

    /// Counts since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What Paxos counted since the start.
    pub fn paxos_counters(&self) -> paxlog_paxos::Counters {
        self.paxos.counters()
    }

    /// Takes the nanoseconds from admission to answer of the appends answered
    /// since the last call.
    pub fn drain_receipt_ns(&mut self) -> std::vec::Drain<'_, u64> {
        self.receipt_ns.drain(..)
    }

    /// The leader, if one is known.
    pub fn leader_hint(&self) -> Option<&LeaderHint> {
        self.hint.as_ref()
    }

    /// A look at the core.
    pub fn status(&self) -> Status {
        let standing = self.paxos.standing();
        let role = self.paxos.role();
        let (ready, sentence) = self.readiness(standing, role);
        Status {
            replica: self.config.paxos.id,
            incarnation: self.config.paxos.incarnation,
            role,
            leader: self.paxos.leader(),
            ballot: self.paxos.ballot(),
            standing,
            chosen_index: self.paxos.chosen_index(),
            chosen_prefix: self.paxos.chosen_prefix(),
            applied: self.applied,
            ready,
            sentence,
            slots_in_flight: self.paxos.in_flight(),
            commands_queued: self.commands.queue_len(),
            peers: self.paxos.peers(),
            logs: self.state.logs(),
            producers: self.state.producers(),
            readers: self.readers.len(),
            recent_batches: self.index.recent_batches(),
            segments: self.segments.len(),
        }
    }

    fn readiness(&self, standing: Standing, role: Role) -> (bool, String) {
        if self.stopped {
            return (false, "This replica has stopped: see its log.".into());
        }
        if standing != Standing::Voter {
            return (false, standing.sentence().into());
        }
        if self.applied < self.replay_to && !self.paxos.is_stranded() {
            let left = self.replay_to.since(self.applied);
            return (
                false,
                format!("Replaying the write-ahead log: {left} slots to go."),
            );
        }
        match role {
            Role::Leader { .. } if !self.paxos.quorum_is_reached() => (
                false,
                "This replica leads, but reaches no majority: no append is taken until one is up and connected."
                    .into(),
            ),
            Role::Leader { ready: true } => (true, "This replica leads and serves.".into()),
            Role::Leader { ready: false } => (
                false,
                "This replica leads, and takes over what came before.".into(),
            ),
            Role::Candidate => (false, "This replica stands for leader.".into()),
            Role::Follower { .. } if self.paxos.is_stranded() => (
                false,
                format!(
                    "This replica lacks what was chosen from slot {} on, and the others hold it only in checkpoints, which \
                     this release does not copy: it votes, and shows nothing newer.",
                    self.paxos.chosen_prefix()
                ),
            ),
            Role::Follower {
                leader: Some(leader),
            } => (true, format!("This replica follows {leader}.")),
            Role::Follower { leader: None } => (
                false,
                "There is no leader: no majority is up and connected.".into(),
            ),
        }
    }

    pub(crate) fn readers_and_view(&mut self, now: Now) -> (&mut Readers, View<'_>) {
        (
            &mut self.readers,
            View {
                state: &self.state,
                index: &self.index,
                durable: self.durable,
                now: now.mono,
            },
        )
    }

    /// A look at Paxos: the getters that cost nothing.
    pub fn paxos(&self) -> &Paxos {
        &self.paxos
    }
}
