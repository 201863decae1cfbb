//! Chosen slots become state: applied once and in order, answered, shown to readers.

use paxlog_log::{Outcome, Receipt};
use paxlog_paxos::{Slot, Value};
use paxlog_wire::client::Durability;

use crate::effect::Effects;
use crate::entry::ENTRY_HEADER_BYTES;
use crate::event::Now;
use crate::node::{EntryFor, Node};
use crate::place::{Batch, Place};
use crate::value::{Front, PlacedCommand};

/// Chosen values read back from the write-ahead log ahead of the one applied.
const READ_AHEAD_SLOTS: usize = 32;

impl Node {
    pub(crate) fn apply_chosen(&mut self, now: Now, fx: &mut Effects) {
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

    pub(crate) fn apply(
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
        let durability = match waiting.is_empty() {
            true => Durability::MAJORITY,
            false => Durability::on(self.paxos.holders(slot).map(|replica| replica.0)),
        };
        for (i, placed) in front.commands.iter().enumerate() {
            let outcome = self
                .state
                .apply(slot.0, i as u32, front.clock_ns, &placed.command);
            if let Outcome::Applied { receipt, duplicate } = outcome {
                match duplicate {
                    false => self.note_applied(&receipt, placed, lsn),
                    true if matches!(receipt, Receipt::Appended { .. }) => {
                        self.counters.duplicates += 1
                    }
                    true => {}
                }
            }
            if let Some(waiting) = waiting.get_mut(i).and_then(Option::take) {
                self.answer(now, waiting, &outcome, durability, fx);
            }
        }
        Ok(())
    }

    /// What follows from a command besides its answer: where its batch lies, what is gone, whom to wake.
    fn note_applied(&mut self, receipt: &Receipt, placed: &PlacedCommand, lsn: Option<u64>) {
        match *receipt {
            Receipt::Appended {
                log,
                start,
                records,
                timestamp,
                ..
            } => {
                let len = placed.command.batch_bytes();
                self.counters.appends += 1;
                self.counters.records += u64::from(records);
                self.counters.bytes += u64::from(len);
                let lsn = lsn
                    .expect("a chosen slot that is applied is held: its frame was placed or found");
                let at = ENTRY_HEADER_BYTES as u32 + placed.batch_at;
                let place = Place { lsn, at, len };
                // Replayed from a segment whose `.idx` file has it, it needs no place in memory.
                if !self.segments.is_given_up(place.segment()) {
                    let batch = Batch {
                        start,
                        records,
                        timestamp,
                        place,
                    };
                    self.index.push(log, batch);
                }
                self.changed_logs.push(log);
            }
            Receipt::Trimmed {
                log, trim_point, ..
            } => {
                self.index.trim(log, trim_point);
                self.changed_logs.push(log);
            }
            Receipt::Sealed { log, .. } => self.changed_logs.push(log),
            Receipt::Deleted { log, .. } => {
                self.index.remove(log);
                self.rates.forget(&log);
                self.changed_logs.push(log);
            }
            Receipt::Created { .. }
            | Receipt::Altered { .. }
            | Receipt::FenceSet { .. }
            | Receipt::CursorSet { .. }
            | Receipt::CursorDeleted { .. } => {}
        }
    }

    pub(crate) fn wake_readers(&mut self, now: Now, fx: &mut Effects) {
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
}
