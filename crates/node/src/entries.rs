//! The core and its write-ahead log: what became durable, and frames read back.

use paxlog_paxos::{Slot, Value};

use crate::effect::{Effect, Effects, EntryPlace};
use crate::entry::EntryHeader;
use crate::event::{EntryToken, Now};
use crate::node::{EntryFor, Node};

impl Node {
    pub(crate) fn handle_durable(&mut self, now: Now, lsn: u64, fx: &mut Effects) {
        self.durable = self.durable.max(lsn);
        let durable = self.durable;
        let written =
            |(lsn, ..): &mut (Option<u64>, Slot, EntryToken)| lsn.is_some_and(|lsn| lsn < durable);
        for (lsn, _, token) in self.unwritten.extract_if(.., written) {
            if let Some(lsn) = lsn {
                fx.push(Effect::ReadEntry(token, EntryPlace::At(lsn)));
            }
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

    pub(crate) fn handle_entry(
        &mut self,
        now: Now,
        token: EntryToken,
        entry: Option<(EntryHeader, Value)>,
        fx: &mut Effects,
    ) {
        match self.entries.remove(&token) {
            None => {}
            Some(EntryFor::Paxos(id, slot, ballot)) => {
                // Another ballot's value under this one's name would be a lie, told to others as chosen.
                let entry =
                    entry.filter(|(header, _)| (header.slot, header.ballot) == (slot, ballot));
                let value = entry.map(|(_, value)| value);
                self.paxos
                    .handle_value(now.mono, id, value, &mut self.paxos_fx);
            }
            Some(EntryFor::Apply(slot)) => {
                let Some((_, value)) = entry.filter(|(header, _)| header.slot == slot) else {
                    // It was held and durable, and can't be read now. To go on without it would make this
                    // replica differ from the others.
                    self.stop(
                        format!(
                            "slot {slot} is chosen, but its frame can't be read from the write-ahead log: check \
                             the disk and restart this replica, which then takes the slot from the others"
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

    pub(crate) fn read_entry(
        &mut self,
        slot: Slot,
        purpose: EntryFor,
        fx: &mut Effects,
    ) -> Option<EntryToken> {
        // The newest frame of the slot counts, also where its place is not told yet: an older one holds another
        // ballot's value.
        let unplaced = self.unplaced.values().flatten().any(|(s, _)| *s == slot);
        let place = match self.slots.get(slot) {
            _ if unplaced => {
                let token = self.new_entry(purpose);
                self.unwritten.push((None, slot, token));
                return Some(token);
            }
            Some(entry) => EntryPlace::At(entry.lsn),
            None => {
                // Ranges of slots overlap where a replica caught up under load: any of them may have it.
                let segments: Vec<u32> = self.segments.holding(slot).collect();
                if segments.is_empty() {
                    return None;
                }
                EntryPlace::InSegments(segments, slot)
            }
        };
        let token = self.new_entry(purpose);
        match place {
            EntryPlace::At(lsn) if lsn >= self.durable => {
                self.unwritten.push((Some(lsn), slot, token));
            }
            EntryPlace::At(_) | EntryPlace::InSegments(..) => {
                fx.push(Effect::ReadEntry(token, place))
            }
        }
        Some(token)
    }

    fn new_entry(&mut self, purpose: EntryFor) -> EntryToken {
        let token = EntryToken(self.next_entry);
        self.next_entry += 1;
        self.entries.insert(token, purpose);
        token
    }

    pub(crate) fn stop(&mut self, why: String, fx: &mut Effects) {
        self.stopped = true;
        fx.push(Effect::Stop(why));
    }
}
