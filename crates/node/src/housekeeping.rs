//! What bounds disk, memory and replay: `.idx` files, checkpoints, retirement.
//!
//! In this order, each only after the one before is durable: a sealed segment
//! whose slots are all applied gets its `.idx` file; then a checkpoint is taken,
//! which waits until every frame written before it is durable here; then
//! segments in which nothing can be read any more, and which neither the older
//! of the two checkpoints nor any member needs, are retired.

use paxlog_paxos::Slot;

use crate::checkpoint::Checkpoint;
use crate::effect::{Effect, Effects};
use crate::event::Now;
use crate::idx_file::{self, SlotRow};
use crate::node::Node;

/// How long to wait after a failure (a full disk) before trying again.
const RETRY_NS: u64 = 1_000_000_000;
/// How often a checkpoint is taken only so that dead segments can go.
const IDLE_CHECKPOINT_NS: u64 = 1_000_000_000;
/// How often to look for segments that can be retired.
const LOOK_NS: u64 = 250_000_000;

/// What is under way.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    annotating: Option<u32>,
    /// The next segment's `.idx` file, and the position below which the log must
    /// be durable before it is written: the file vouches for every slot applied
    /// when it was made, and those have frames beyond the segment, too.
    made: Option<(u64, u32, Vec<u8>)>,
    /// A checkpoint is wanted: a segment was annotated since the last one.
    wanted: bool,
    /// Taken, and waiting until the log is durable below this position.
    taken: Option<(u64, Box<Checkpoint>)>,
    writing: bool,
    retiring: bool,
    /// The slot of the older of the two checkpoints that are kept, whole both.
    older: Slot,
    /// The first segment with damage, if any was found at opening. While slots are unknown because of it, it is all
    /// that says so at the next start: it is neither given an `.idx` file, which would vouch for it, nor retired.
    damaged_from: Option<u32>,
    not_before: u64,
    next_look: u64,
    next_idle_checkpoint: u64,
}

impl Housekeeping {
    /// With what was found at opening: the slot of the older of two checkpoints, and the first segment with damage.
    pub(crate) fn new(older: Slot, damaged_from: Option<u32>) -> Housekeeping {
        Housekeeping {
            annotating: None,
            made: None,
            wanted: false,
            taken: None,
            writing: false,
            retiring: false,
            older,
            damaged_from,
            not_before: 0,
            next_look: 0,
            next_idle_checkpoint: 0,
        }
    }

    /// Something could not be written: it is tried again after a while.
    pub(crate) fn failed(&mut self, now: u64) {
        self.annotating = None;
        if std::mem::take(&mut self.writing) {
            self.wanted = true;
        }
        self.retiring = false;
        self.not_before = now + RETRY_NS;
    }

    /// Segments were retired.
    pub(crate) fn retired(&mut self) {
        self.retiring = false;
    }

    /// When to look again, monotonic ns.
    pub(crate) fn poll_timer(&self) -> u64 {
        self.next_look.max(self.not_before)
    }
}

impl Node {
    pub(crate) fn handle_annotated(&mut self, segment: u32) {
        self.segments.annotated(segment);
        self.housekeeping.annotating = None;
        self.housekeeping.wanted = true;
    }

    pub(crate) fn handle_checkpoint_done(&mut self, older: Slot) {
        self.housekeeping.writing = false;
        self.housekeeping.older = older;
    }

    pub(crate) fn keep_house(&mut self, now: Now, fx: &mut Effects) {
        let due = now.mono >= self.housekeeping.next_look;
        let moved = self.housekeeping.wanted
            || self.housekeeping.taken.is_some()
            || self.housekeeping.made.is_some();
        if (!due && !moved) || now.mono < self.housekeeping.not_before {
            return;
        }
        self.housekeeping.next_look = now.mono + LOOK_NS;
        self.annotate(fx);
        self.give_up();
        self.checkpoint(fx);
        self.retire(now, fx);
    }

    /// The first segment that must stay as it is, for what damage in it says. (That a promise may be lost the
    /// write-ahead log remembers by itself.)
    fn evidence_from(&self) -> u32 {
        match self.housekeeping.damaged_from {
            Some(segment) if !self.paxos.unknown_slots().is_empty() => segment,
            _ => u32::MAX,
        }
    }

    fn annotate(&mut self, fx: &mut Effects) {
        if self.housekeeping.annotating.is_some() {
            return;
        }
        if self.housekeeping.made.is_none() {
            let Some((segment, slots)) = self.segments.to_annotate(self.applied) else {
                return;
            };
            if segment >= self.evidence_from() {
                return;
            }
            let (start, end) = slots.unwrap_or((Slot(0), Slot(0)));
            let rows: Vec<SlotRow> = self
                .slots
                .in_segment(segment, start, end)
                .map(|(slot, entry)| SlotRow {
                    slot,
                    ballot: entry.ballot,
                    frame: entry.lsn as u32,
                    len: entry.len,
                })
                .collect();
            let batches = self.index.in_segment(segment);
            let bytes = idx_file::encode(segment, self.applied, &batches, &rows);
            self.housekeeping.made = Some((self.placed_end, segment, bytes));
        }
        if let Some((_, segment, bytes)) = self
            .housekeeping
            .made
            .take_if(|(end, ..)| *end <= self.durable)
        {
            self.housekeeping.annotating = Some(segment);
            fx.push(Effect::Annotate { segment, bytes });
        }
    }

    /// Forgets, batch by batch, what the `.idx` files have and the hot window
    /// has left behind.
    fn give_up(&mut self) {
        while let Some((segment, slots)) = self.segments.give_up_next() {
            self.index.forget_segment(segment);
            if let Some((start, end)) = slots {
                self.slots.forget_segment(segment, start, end);
            }
        }
    }

    fn checkpoint(&mut self, fx: &mut Effects) {
        if self.housekeeping.wanted
            && self.housekeeping.taken.is_none()
            && !self.housekeeping.writing
        {
            self.housekeeping.wanted = false;
            let recent = self
                .index
                .recent()
                .filter(|(_, batch)| !self.segments.is_annotated(batch.place.segment()))
                .collect();
            let checkpoint = Checkpoint {
                group: self.group(),
                slot: self.applied,
                state: self.state.clone(),
                recent,
            };
            self.housekeeping.taken = Some((self.placed_end, Box::new(checkpoint)));
        }
        if let Some((_, checkpoint)) = self
            .housekeeping
            .taken
            .take_if(|(end, _)| *end <= self.durable)
        {
            self.housekeeping.writing = true;
            fx.push(Effect::Checkpoint(checkpoint));
        }
    }

    fn retire(&mut self, now: Now, fx: &mut Effects) {
        if self.housekeeping.retiring {
            return;
        }
        let (checkpoint, members) = (
            self.housekeeping.older,
            self.paxos.min_applied_of_all_members(),
        );
        let (index, evidence_from) = (&self.index, self.evidence_from());
        let live = |segment| index.is_live(segment) || segment >= evidence_from;
        let found = self
            .segments
            .retirable(self.applied, checkpoint, members, live);
        if let Some(below) = found.below {
            self.paxos.note_checkpoint(found.slots_end);
            self.segments.retired(below);
            self.index.retire_below(below);
            self.housekeeping.retiring = true;
            fx.push(Effect::Retire(below));
        }
        // A log that is trimmed and then left alone gets its space back too, not only with the next segment.
        if let Some(slot) = found.waits_for
            && slot > self.housekeeping.older
            && now.mono >= self.housekeeping.next_idle_checkpoint
        {
            self.housekeeping.wanted = true;
            self.housekeeping.next_idle_checkpoint = now.mono + IDLE_CHECKPOINT_NS;
        }
    }
}
