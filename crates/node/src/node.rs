//! The core itself: events in, effects out.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use paxlog_log::{
    Body, Command, LogId, LogName, Offset, Origin, Outcome, ProducerId, ProducerName, State,
};
use paxlog_paxos::{
    Ballot, GroupId, Paxos, PersistId, ProposeError, ReadId, ReplicaId, Role, RoleChange, Slot,
    Standing, Value,
};
use paxlog_wire::client::{CommandBody, CommandReply, CommandRequest};
use paxlog_wire::{Code, LeaderHint, WireError, batch};

use crate::commands::{Commands, Queued, Waiting};
use crate::durable;
use crate::effect::{Effect, Effects, EntryPlace};
use crate::entry::{ENTRY_HEADER_BYTES, EntryHeader};
use crate::event::{EntryToken, Event, Now, StreamId};
use crate::housekeeping::Housekeeping;
use crate::index::Index;
use crate::place::{Batch, Place};
use crate::queries::Queries;
use crate::readers::{Readers, View};
use crate::replies;
use crate::segments::Segments;
use crate::slots::{Entry, SlotMap};
use crate::status::{Counters, Status};
use crate::value::{Front, ValueBuilder};

/// A value closes once it holds so many bytes of batches; one larger batch may
/// be in it alone.
const VALUE_BYTES_TARGET: usize = 1 << 20;
/// Bytes of batches that may wait for a value before appends are refused.
const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Commands that may wait for a value before more are refused.
const QUEUE_COMMANDS_MAX: usize = 100_000;
/// Chosen values read back from the write-ahead log ahead of the one applied.
const READ_AHEAD_SLOTS: usize = 32;
/// How often what waits is looked at for its deadline.
const SWEEP_NS: u64 = 10_000_000;
/// How long a client is told to wait where there is no leader.
const ELECTING_RETRY_MS: u32 = 20;

/// The core's settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// Paxos' settings.
    pub paxos: paxlog_paxos::Config,
    /// Whether a client may make a log by appending to it.
    pub create_on_append: bool,
    /// Where clients reach this replica.
    pub addresses: Vec<String>,
}

/// A chosen slot on its way to being applied.
#[derive(Debug)]
struct ChosenSlot {
    slot: Slot,
    value: Option<Value>,
    /// It was asked for by this token.
    reading: Option<EntryToken>,
}

/// Whom a frame that was asked for is for.
#[derive(Clone, Copy, Debug)]
enum EntryFor {
    Apply(Slot),
    Paxos(ReadId),
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
    paxos_fx: paxlog_paxos::Effects,
    pub(crate) state: State,
    /// Every slot below is applied.
    pub(crate) applied: Slot,
    chosen: VecDeque<ChosenSlot>,
    pub(crate) index: Index,
    pub(crate) slots: SlotMap,
    pub(crate) segments: Segments,
    /// Frames handed out whose position is not told yet.
    unplaced: BTreeMap<PersistId, Option<(Slot, Entry)>>,
    /// Frames whose position is known and that are not durable yet, in order.
    placed: VecDeque<(u64, PersistId)>,
    /// One beyond the position of the last frame.
    pub(crate) placed_end: u64,
    pub(crate) durable: u64,
    pub(crate) commands: Commands,
    pub(crate) queries: Queries,
    pub(crate) readers: Readers,
    pub(crate) housekeeping: Housekeeping,
    entries: BTreeMap<EntryToken, EntryFor>,
    /// Frames asked for that are not durable yet, and so may not even be
    /// written: asked for once they are.
    unwritten: Vec<(u64, EntryToken)>,
    next_entry: u64,
    addresses: BTreeMap<ReplicaId, Vec<String>>,
    hint: Option<LeaderHint>,
    /// What was known chosen at the start; before it is applied the replica is
    /// not ready.
    replay_to: Slot,
    disk_full: bool,
    handing_over: bool,
    handed_over: bool,
    stopped: bool,
    next_sweep: u64,
    changed_logs: Vec<LogId>,
    counters: Counters,
    /// Nanoseconds from admission to answer of the appends answered since they
    /// were last taken.
    receipt_ns: Vec<u64>,
}

/// What recovery hands to a new core; see [`Node::recover`].
pub(crate) struct Parts {
    pub(crate) paxos: Paxos,
    pub(crate) state: State,
    pub(crate) applied: Slot,
    pub(crate) chosen_prefix: Slot,
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
            replay_to: parts.chosen_prefix,
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
            Event::Durable(lsn) => self.handle_durable(now, lsn, fx),
            Event::Disk(health) => self.paxos.handle_disk(now.mono, health, &mut self.paxos_fx),
            Event::DiskFull(full) => self.disk_full = full,
            Event::Command {
                stream,
                resume,
                request,
                batch,
            } => {
                self.handle_command(now, stream, resume, request, batch, fx);
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
            Event::ColdFailed(reader) => self.readers.cold_failed(reader, fx),
            Event::Entry(token, entry) => self.handle_entry(now, token, entry, fx),
            Event::Annotated(segment) => self.handle_annotated(segment),
            Event::CheckpointDone { slot } => self.handle_checkpoint_done(Slot(slot)),
            Event::HousekeepingFailed => self.housekeeping.failed(now.mono),
            Event::Retired(below) => self.housekeeping.retired(below),
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
        self.close_value(now, fx);
        self.wake_readers(now, fx);
        self.keep_house(now, fx);
        if self.handing_over
            && !self.handed_over
            && !matches!(self.paxos.role(), Role::Leader { .. })
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

    /// Bytes of batches that wait for a value. The owner stops reading from
    /// clients while there are too many.
    pub fn queue_bytes(&self) -> usize {
        self.commands.queue_bytes()
    }

    /// Whether commands wait that [`Node::end_turn`] could propose at once.
    pub fn wants_turn(&self) -> bool {
        !self.commands.queue_is_empty() && self.paxos.can_propose()
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
        if self.applied < self.replay_to {
            let left = self.replay_to.since(self.applied);
            return (
                false,
                format!("Replaying the write-ahead log: {left} slots to go."),
            );
        }
        match role {
            Role::Leader { .. } if !self.paxos.quorum_is_reached() => (
                false,
                "This replica leads, but reaches no majority: appends wait until one is up and connected."
                    .into(),
            ),
            Role::Leader { ready: true } => (true, "This replica leads and serves.".into()),
            Role::Leader { ready: false } => (
                false,
                "This replica leads, and takes over what came before.".into(),
            ),
            Role::Candidate => (false, "This replica stands for leader.".into()),
            Role::Follower {
                leader: Some(leader),
            } => (true, format!("This replica follows {leader}.")),
            Role::Follower { leader: None } => (
                false,
                "There is no leader: no majority is up and connected.".into(),
            ),
        }
    }

    // ---- the write-ahead log ----

    fn handle_durable(&mut self, now: Now, lsn: u64, fx: &mut Effects) {
        self.durable = self.durable.max(lsn);
        let durable = self.durable;
        for (lsn, token) in self.unwritten.extract_if(.., |(lsn, _)| *lsn < durable) {
            fx.push(Effect::ReadEntry(token, EntryPlace::At(lsn)));
        }
        let mut upto = None;
        while let Some((at, persist)) = self.placed.front().copied() {
            if at >= self.durable {
                break;
            }
            upto = Some(persist);
            self.placed.pop_front();
        }
        if let Some(upto) = upto {
            self.paxos
                .handle_durable(now.mono, upto, &mut self.paxos_fx);
        }
    }

    fn handle_entry(
        &mut self,
        now: Now,
        token: EntryToken,
        entry: Option<(EntryHeader, Value)>,
        fx: &mut Effects,
    ) {
        match self.entries.remove(&token) {
            None => {}
            Some(EntryFor::Paxos(id)) => {
                self.paxos.handle_value(
                    now.mono,
                    id,
                    entry.map(|(_, value)| value),
                    &mut self.paxos_fx,
                );
            }
            Some(EntryFor::Apply(slot)) => {
                let Some((_, value)) = entry.filter(|(header, _)| header.slot == slot) else {
                    // It was held and durable, and can't be read now. To go on without it would make this
                    // replica differ from the others.
                    self.stop(
                        format!(
                            "slot {slot} is chosen, but its frame can't be read from the write-ahead log: restart this \
                             replica, so that it checks its disk and fetches what is damaged from the others"
                        ),
                        fx,
                    );
                    return;
                };
                if let Some(chosen) = self.chosen.iter_mut().find(|chosen| chosen.slot == slot) {
                    chosen.value = Some(value);
                }
            }
        }
    }

    fn read_entry(
        &mut self,
        slot: Slot,
        purpose: EntryFor,
        fx: &mut Effects,
    ) -> Option<EntryToken> {
        let place = match self.slots.get(slot) {
            Some(entry) => EntryPlace::At(entry.lsn),
            None => EntryPlace::InSegment(self.segments.holding(slot).next()?, slot),
        };
        let token = EntryToken(self.next_entry);
        self.next_entry += 1;
        self.entries.insert(token, purpose);
        match place {
            EntryPlace::At(lsn) if lsn >= self.durable => self.unwritten.push((lsn, token)),
            EntryPlace::At(_) | EntryPlace::InSegment(..) => {
                fx.push(Effect::ReadEntry(token, place))
            }
        }
        Some(token)
    }

    pub(crate) fn stop(&mut self, why: String, fx: &mut Effects) {
        self.stopped = true;
        fx.push(Effect::Stop(why));
    }

    // ---- Paxos ----

    pub(crate) fn run_paxos(&mut self, now: Now, fx: &mut Effects) {
        let queue = std::mem::take(&mut self.paxos_fx);
        self.paxos_fx = self.run_effects(now, queue, fx);
    }

    /// Carries out what Paxos wants; gives the empty queue back for its room.
    pub(crate) fn run_effects(
        &mut self,
        now: Now,
        mut queue: paxlog_paxos::Effects,
        fx: &mut Effects,
    ) -> paxlog_paxos::Effects {
        loop {
            let mut unreadable = Vec::new();
            for effect in queue.drain() {
                match effect {
                    paxlog_paxos::Effect::Persist { id, what } => self.persist(id, what, fx),
                    paxlog_paxos::Effect::Send { to, message } => {
                        fx.push(Effect::Send(to, message))
                    }
                    paxlog_paxos::Effect::Chosen {
                        slot,
                        ballot: _,
                        value,
                    } => {
                        self.chosen.push_back(ChosenSlot {
                            slot,
                            value,
                            reading: None,
                        });
                    }
                    paxlog_paxos::Effect::ReadValue {
                        id,
                        slot,
                        ballot: _,
                    } => {
                        if self.read_entry(slot, EntryFor::Paxos(id), fx).is_none() {
                            unreadable.push(id);
                        }
                    }
                    paxlog_paxos::Effect::Role(change) => self.handle_role(&change, fx),
                    paxlog_paxos::Effect::ReadReady { token, index } => {
                        self.read_ready(now, token, index, fx)
                    }
                    paxlog_paxos::Effect::ReadFailed { token } => self.read_failed(token, fx),
                }
            }
            for id in unreadable {
                self.paxos.handle_value(now.mono, id, None, &mut queue);
            }
            if queue.is_empty() {
                return queue;
            }
        }
    }

    fn persist(&mut self, persist: PersistId, what: paxlog_paxos::Persist, fx: &mut Effects) {
        let group = self.config.paxos.group;
        match what {
            paxlog_paxos::Persist::Accepted {
                slot,
                ballot,
                value,
                chosen_prefix,
            } => {
                let header = EntryHeader {
                    slot,
                    ballot,
                    len: value.len(),
                    checksum: value.checksum(),
                    chosen_prefix,
                    config: self.config.paxos.config,
                };
                let mut parts = Vec::with_capacity(1 + value.parts().len());
                parts.push(Bytes::copy_from_slice(&header.encode()));
                parts.extend_from_slice(value.parts());
                let entry = Entry {
                    ballot,
                    lsn: 0,
                    len: value.len(),
                    checksum: value.checksum(),
                };
                self.unplaced.insert(persist, Some((slot, entry)));
                fx.push(Effect::Append {
                    persist,
                    group: group.0,
                    tag: slot.0,
                    aux: ballot.to_u64(),
                    parts,
                });
            }
            paxlog_paxos::Persist::State(state) => {
                self.unplaced.insert(persist, None);
                fx.push(Effect::State {
                    persist,
                    bytes: durable::encode(group, &state),
                });
            }
        }
    }

    fn handle_role(&mut self, change: &RoleChange, fx: &mut Effects) {
        if let Some(first) = change.unknown.first() {
            for waiting in self.commands.take_unknown(*first) {
                let error = WireError::new(
                    Code::OutcomeUnknown,
                    "leadership was lost while this was under way: send it again under the same sequence to learn \
                     what became of it",
                );
                self.refuse(waiting, error, fx);
            }
        }
        self.refresh_hint(fx);
        if !matches!(change.role, Role::Leader { .. }) && !self.commands.queue_is_empty() {
            let error = self.not_leading();
            let queued: Vec<Waiting> = self
                .commands
                .drain_queue()
                .map(|queued| queued.waiting)
                .collect();
            for waiting in queued {
                self.refuse(waiting, error.clone(), fx);
            }
        }
    }

    fn refresh_hint(&mut self, fx: &mut Effects) {
        let hint = self.paxos.leader().map(|(ballot, replica)| {
            let addresses = if replica == self.config.paxos.id {
                self.config.addresses.clone()
            } else {
                self.addresses.get(&replica).cloned().unwrap_or_default()
            };
            LeaderHint {
                ballot: ballot.to_u64(),
                replica: replica.0,
                addresses,
            }
        });
        if hint != self.hint {
            let ballot = |hint: &Option<LeaderHint>| hint.as_ref().map(|hint| hint.ballot);
            if hint.is_some() && ballot(&hint) != ballot(&self.hint) {
                self.counters.leader_changes += 1;
            }
            self.hint = hint.clone();
            fx.push(Effect::Leader(hint));
        }
    }

    /// Why this replica can't take a command: somebody else leads, or nobody.
    pub(crate) fn not_leading(&self) -> WireError {
        let other = self
            .hint
            .as_ref()
            .filter(|hint| hint.replica != self.config.paxos.id.0);
        match other {
            Some(hint) => WireError::new(
                Code::NotLeader,
                format!("replica {} leads: ask it", hint.replica),
            )
            .with_leader(Some(hint.clone())),
            None if self.handing_over => {
                WireError::new(Code::Unavailable, "this replica is stopping: ask another")
            }
            None => WireError::new(
                Code::Electing,
                "there is no leader at present: try again in a moment",
            )
            .with_retry_after_ms(ELECTING_RETRY_MS),
        }
    }

    fn handle_hand_over(&mut self, now: Now, fx: &mut Effects) {
        self.handing_over = true;
        self.paxos.hand_over(now.mono, &mut self.paxos_fx);
        let error = WireError::new(Code::Unavailable, "this replica is stopping: ask another");
        let queued: Vec<Waiting> = self
            .commands
            .drain_queue()
            .map(|queued| queued.waiting)
            .collect();
        for waiting in queued {
            self.refuse(waiting, error.clone(), fx);
        }
    }

    // ---- commands ----

    fn handle_command(
        &mut self,
        now: Now,
        stream: StreamId,
        resume: bool,
        request: CommandRequest,
        batch: Vec<Bytes>,
        fx: &mut Effects,
    ) {
        let append = matches!(request.command, CommandBody::Append { .. });
        if resume {
            self.commands.resume(stream);
        }
        let waiting = Waiting {
            stream,
            request: request.request,
            append,
            since: now.mono,
            deadline: now
                .mono
                .saturating_add(u64::from(request.deadline_ms) * 1_000_000),
        };
        if append && let Some(refusal) = self.commands.refusal(stream) {
            let refusal = refusal.clone();
            self.counters.refused += 1;
            fx.push(Effect::Reply(
                stream,
                CommandReply {
                    request: request.request,
                    result: Err(refusal),
                },
            ));
            return;
        }
        match self.admit(&waiting, request.command, &batch) {
            Ok(Admitted::Queue(command)) => self.commands.push(Queued {
                waiting,
                command,
                batch,
            }),
            Ok(Admitted::Answer(outcome)) => {
                if outcome_is_duplicate(&outcome) {
                    self.counters.duplicates += 1;
                }
                self.answer(now, waiting, &outcome, fx);
            }
            Err(error) => self.refuse(waiting, error, fx),
        }
    }

    /// Looks at size, format, window, disk space, deadline and leadership; what
    /// depends on a log's or producer's state is decided at apply.
    fn admit(
        &self,
        waiting: &Waiting,
        body: CommandBody,
        batch: &[Bytes],
    ) -> Result<Admitted, WireError> {
        if self.handing_over {
            return Err(WireError::new(
                Code::Unavailable,
                "this replica is stopping: ask another",
            ));
        }
        if !matches!(self.paxos.role(), Role::Leader { .. }) {
            return Err(self.not_leading());
        }
        if waiting.deadline <= waiting.since {
            return Err(WireError::new(
                Code::DeadlineExceeded,
                "the deadline passed before anything was done",
            ));
        }
        if !waiting.append && !batch.is_empty() {
            return Err(WireError::new(
                Code::Invalid,
                "only an append carries a batch",
            ));
        }
        let command = match self.command_of(body, batch)? {
            Ok(command) => command,
            Err(answer) => return Ok(Admitted::Answer(answer)),
        };
        if let Some(known) = self.state.lookup(&command) {
            return Ok(Admitted::Answer(known));
        }
        if self.disk_full && matches!(command.body, Body::Append { .. } | Body::CreateLog { .. }) {
            return Err(WireError::new(
                Code::DiskFull,
                "the leader's disk is full: trim logs or make room; reads and trims still work",
            )
            .with_retry_after_ms(1_000));
        }
        if self.commands.queue_bytes() > QUEUE_BYTES_MAX
            || self.commands.queue_len() >= QUEUE_COMMANDS_MAX
        {
            return Err(WireError::new(
                Code::Overloaded,
                "too much waits at the leader: try again in a moment",
            )
            .with_retry_after_ms(50));
        }
        Ok(Admitted::Queue(command))
    }

    /// The command of a request; or its answer, where nothing is to be ordered.
    fn command_of(
        &self,
        body: CommandBody,
        batch: &[Bytes],
    ) -> Result<Result<Command, Outcome>, WireError> {
        let numbered = |origin: Option<paxlog_wire::client::Origin>, body: Body| match origin {
            Some(origin) => Ok(Ok(Command {
                origin: Some(origin_of(origin)),
                body,
            })),
            None => Err(WireError::new(
                Code::Invalid,
                "the command needs a producer's number",
            )),
        };
        let log_name = |name: String| {
            LogName::new(&name)
                .map_err(|error| WireError::new(Code::Invalid, format!("bad log name: {error}")))
        };
        match body {
            CommandBody::OpenProducer { nonce, name } => {
                let name = name
                    .map(|name| ProducerName::new(&name))
                    .transpose()
                    .map_err(|error| {
                        WireError::new(Code::Invalid, format!("bad producer name: {error}"))
                    })?;
                Ok(Ok(Command {
                    origin: None,
                    body: Body::OpenProducer { nonce, name },
                }))
            }
            CommandBody::CreateLog {
                origin,
                name,
                if_absent,
            } => numbered(
                origin,
                Body::CreateLog {
                    name: log_name(name)?,
                    if_absent,
                },
            ),
            CommandBody::OpenLog {
                origin,
                name,
                create,
            } => {
                let name = log_name(name)?;
                let found = self.state.by_name(name.as_str());
                match (found, origin) {
                    // With a number the command is ordered in any case, so that its sequence counts.
                    (_, Some(_)) if create && (found.is_some() || self.config.create_on_append) => {
                        numbered(
                            origin,
                            Body::CreateLog {
                                name,
                                if_absent: true,
                            },
                        )
                    }
                    (Some(log), _) => {
                        let version = self.state.describe(log).map_or(0, |log| log.version);
                        Ok(Err(Outcome::Created {
                            log,
                            version,
                            existed: true,
                            duplicate: false,
                        }))
                    }
                    (None, _) if create && self.config.create_on_append => Err(WireError::new(
                        Code::Invalid,
                        "making a log needs a producer's number",
                    )),
                    (None, _) => {
                        let hint = if create {
                            " (this cluster does not create logs on append)"
                        } else {
                            ""
                        };
                        Err(WireError::new(
                            Code::NotFound,
                            format!(
                                "there is no log {:?}{hint}: make it with `paxlog log create`",
                                name.as_str()
                            ),
                        ))
                    }
                }
            }
            CommandBody::Append { origin, log } => {
                let info = batch::check(batch).map_err(|error| batch_refused(&error))?;
                let body = Body::Append {
                    log: LogId(log),
                    records: info.records,
                    bytes: info.bytes,
                };
                Ok(Ok(Command {
                    origin: Some(origin_of(origin)),
                    body,
                }))
            }
            CommandBody::Trim { origin, log, to } => numbered(
                origin,
                Body::Trim {
                    log: LogId(log),
                    to: Offset(to),
                },
            ),
            CommandBody::Seal { origin, log } => numbered(origin, Body::Seal { log: LogId(log) }),
        }
    }

    /// Refuses a command, and with it the appends behind it on its stream.
    fn refuse(&mut self, waiting: Waiting, error: WireError, fx: &mut Effects) {
        self.counters.refused += 1;
        if waiting.append {
            // What comes behind was never looked at: whatever became of this one, it is not applied.
            let behind = match error.code {
                Code::OutcomeUnknown => self.not_leading(),
                _ => error.clone(),
            };
            self.commands.refuse(waiting.stream, behind);
        }
        fx.push(Effect::Reply(
            waiting.stream,
            CommandReply {
                request: waiting.request,
                result: Err(error),
            },
        ));
    }

    fn answer(&mut self, now: Now, waiting: Waiting, outcome: &Outcome, fx: &mut Effects) {
        let result = replies::reply(outcome, &self.state);
        if result.is_err() {
            self.counters.refused += 1;
        }
        if waiting.append {
            self.receipt_ns.push(now.mono.saturating_sub(waiting.since));
        }
        fx.push(Effect::Reply(
            waiting.stream,
            CommandReply {
                request: waiting.request,
                result,
            },
        ));
    }

    fn close_value(&mut self, now: Now, fx: &mut Effects) {
        if self.commands.queue_is_empty() || self.handing_over || !self.paxos.can_propose() {
            return;
        }
        let mut builder = ValueBuilder::default();
        let mut waiting = Vec::new();
        let mut room = None;
        while let Some(queued) = self.commands.pop_fitting(room) {
            if queued.waiting.deadline <= now.mono {
                let error = WireError::new(
                    Code::DeadlineExceeded,
                    "the deadline passed before this was proposed",
                );
                self.refuse(queued.waiting, error, fx);
                continue;
            }
            if queued.waiting.append && self.commands.refusal(queued.waiting.stream).is_some() {
                // An append before it on its stream has just expired.
                let error = WireError::new(
                    Code::DeadlineExceeded,
                    "an append before it was not proposed in time",
                );
                self.refuse(queued.waiting, error, fx);
                continue;
            }
            builder.push(&queued.command, queued.batch);
            waiting.push(queued.waiting);
            room = Some(VALUE_BYTES_TARGET.saturating_sub(builder.bytes()));
        }
        if builder.is_empty() {
            return;
        }
        let value = builder.close(now.wall);
        match self.paxos.propose(now.mono, value, &mut self.paxos_fx) {
            Ok(slot) => {
                self.counters.values += 1;
                self.commands.proposed(slot, waiting);
            }
            Err(error) => {
                let error = match error {
                    ProposeError::NotLeader { .. } | ProposeError::NotReady => self.not_leading(),
                    ProposeError::Full => WireError::new(
                        Code::Overloaded,
                        "too much is under way at the leader: try again in a moment",
                    )
                    .with_retry_after_ms(10),
                };
                for waiting in waiting {
                    self.refuse(waiting, error.clone(), fx);
                }
            }
        }
        self.run_paxos(now, fx);
    }

    fn sweep(&mut self, now: Now, fx: &mut Effects) {
        if now.mono < self.next_sweep {
            return;
        }
        self.next_sweep = now.mono + SWEEP_NS;
        for waiting in self.commands.take_expired_queued(now.mono) {
            let error = WireError::new(
                Code::DeadlineExceeded,
                "the deadline passed before this was proposed",
            );
            self.refuse(waiting, error, fx);
        }
        for waiting in self.commands.take_expired_proposed(now.mono) {
            let error = WireError::new(
                Code::OutcomeUnknown,
                "the deadline passed while this was under way: send it again under the same sequence to learn what \
                 became of it",
            );
            self.counters.refused += 1;
            fx.push(Effect::Reply(
                waiting.stream,
                CommandReply {
                    request: waiting.request,
                    result: Err(error),
                },
            ));
        }
        self.sweep_queries(now, fx);
        let (readers, view) = self.readers_and_view(now);
        readers.sweep(view, fx);
    }

    // ---- applying ----

    fn apply_chosen(&mut self, now: Now, fx: &mut Effects) {
        let before = self.applied;
        while let Some(front) = self.chosen.front_mut() {
            if front.value.is_none() {
                break;
            }
            let slot = front.slot;
            // A value that came as chosen is applied once its frame's place is known.
            if self
                .unplaced
                .values()
                .flatten()
                .any(|(unplaced, _)| *unplaced == slot)
            {
                break;
            }
            let Some(value) = self.chosen.pop_front().and_then(|chosen| chosen.value) else {
                break;
            };
            if let Err(error) = self.apply(now, slot, &value, fx) {
                self.stop(
                    format!("slot {slot} can't be applied: {error}; this replica needs the release that wrote it"),
                    fx,
                );
                return;
            }
        }
        for i in 0..self.chosen.len().min(READ_AHEAD_SLOTS) {
            let (slot, wanted) = (
                self.chosen[i].slot,
                self.chosen[i].value.is_none() && self.chosen[i].reading.is_none(),
            );
            if wanted
                && !self
                    .unplaced
                    .values()
                    .flatten()
                    .any(|(unplaced, _)| *unplaced == slot)
            {
                let Some(token) = self.read_entry(slot, EntryFor::Apply(slot), fx) else {
                    self.stop(
                        format!("slot {slot} is chosen, but no segment here holds it"),
                        fx,
                    );
                    return;
                };
                self.chosen[i].reading = Some(token);
            }
        }
        if self.applied != before {
            self.paxos.note_applied(self.applied);
            self.applied_up_to(now, fx);
        }
    }

    fn apply(
        &mut self,
        now: Now,
        slot: Slot,
        value: &Value,
        fx: &mut Effects,
    ) -> Result<(), crate::ValueError> {
        assert_eq!(slot, self.applied, "slots are applied once and in order");
        let mut waiting = self.commands.take_chosen(slot);
        self.applied = slot.next();
        if value.is_noop() {
            return Ok(());
        }
        let front = Front::parse(value.parts())?;
        let lsn = self.slots.get(slot).map(|entry| entry.lsn);
        for (i, placed) in front.commands.iter().enumerate() {
            let outcome = self
                .state
                .apply(slot.0, i as u32, front.clock_ns, &placed.command);
            match outcome {
                Outcome::Appended {
                    log,
                    start,
                    end,
                    timestamp,
                    duplicate: false,
                    ..
                } => {
                    let len = placed.command.batch_bytes();
                    let records = (end.0 - start.0) as u32;
                    self.counters.appends += 1;
                    self.counters.records += u64::from(records);
                    self.counters.bytes += u64::from(len);
                    let lsn = lsn.expect(
                        "a chosen slot that is applied is held: its frame was placed or found",
                    );
                    let at = ENTRY_HEADER_BYTES as u32 + placed.batch_at;
                    let place = Place { lsn, at, len };
                    // Replayed from a segment whose `.idx` file has it, it needs no place in memory.
                    if !self.segments.is_given_up(place.segment()) {
                        self.index.push(
                            log,
                            Batch {
                                start,
                                records,
                                timestamp,
                                place,
                            },
                        );
                    }
                    self.changed_logs.push(log);
                }
                Outcome::Appended {
                    duplicate: true, ..
                } => self.counters.duplicates += 1,
                Outcome::Trimmed {
                    log, trim_point, ..
                } => {
                    self.index.trim(log, trim_point);
                    self.changed_logs.push(log);
                }
                Outcome::Sealed { log, .. } => self.changed_logs.push(log),
                Outcome::ProducerOpened { .. }
                | Outcome::Created { .. }
                | Outcome::Refused { .. } => {}
            }
            if let Some(waiting) = waiting.get_mut(i).and_then(Option::take) {
                self.answer(now, waiting, &outcome, fx);
            }
        }
        Ok(())
    }

    fn wake_readers(&mut self, now: Now, fx: &mut Effects) {
        if self.changed_logs.is_empty() {
            return;
        }
        let mut changed = std::mem::take(&mut self.changed_logs);
        changed.sort_unstable();
        changed.dedup();
        for log in &changed {
            let (readers, view) = self.readers_and_view(now);
            readers.log_changed(*log, view, fx);
        }
        changed.clear();
        self.changed_logs = changed;
    }

    pub(crate) fn readers_and_view(&mut self, now: Now) -> (&mut Readers, View<'_>) {
        (
            &mut self.readers,
            View {
                state: &self.state,
                index: &self.index,
                now: now.mono,
            },
        )
    }

    /// The ballot that is led or followed; for tests.
    pub fn ballot(&self) -> Ballot {
        self.paxos.ballot()
    }
}

/// What admission made of a request.
enum Admitted {
    Queue(Command),
    Answer(Outcome),
}

fn outcome_is_duplicate(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Appended {
            duplicate: true,
            ..
        }
    )
}

fn origin_of(origin: paxlog_wire::client::Origin) -> Origin {
    Origin {
        producer: ProducerId(origin.producer),
        epoch: origin.epoch,
        sequence: origin.sequence,
    }
}

fn batch_refused(error: &batch::BatchError) -> WireError {
    use batch::BatchError as E;
    let code = match error {
        E::RecordTooLarge { .. } | E::HeadersTooLarge { .. } | E::BatchTooLarge { .. } => {
            Code::TooLarge
        }
        E::Empty | E::Checksum | E::Malformed(_) | E::Compression(_) => Code::Invalid,
    };
    WireError::new(code, error.to_string())
}
