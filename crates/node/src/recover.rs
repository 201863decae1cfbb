//! From what an opening found on disk to a running core.
//!
//! The mistakes to fear, worst first: to call a slot empty that may have held a
//! value (a new leader would put a no-op over it); to vouch for a prefix that
//! is not held; to go on from a state that misses commands. So whatever damage
//! may have touched is handed to Paxos as *unknown*, and a hole that damage
//! does not explain is an error, never skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use paxlog_log::State;
use paxlog_paxos::{AcceptedEntry, Ballot, Paxos, Recovered, Slot, UnknownSlots};

use crate::checkpoint::Checkpoint;
use crate::durable;
use crate::entry::EntryHeader;
use crate::event::Now;
use crate::housekeeping::Housekeeping;
use crate::idx_file::IdxFile;
use crate::index::Index;
use crate::node::{Config, Node, Parts};
use crate::place::segment_of;
use crate::segments::Segments;
use crate::slots::{Entry, SlotMap};

/// What an opening of the write-ahead log found.
#[derive(Debug, Default)]
pub struct Found {
    /// Nothing was ever written here.
    pub blank: bool,
    /// Every valid STATE payload, oldest first, also those beyond the end of the log.
    pub states: Vec<Bytes>,
    /// The newest that the log holds, and repeats.
    pub state: Option<Bytes>,
    /// The readable checkpoint files, newest first.
    pub checkpoints: Vec<Bytes>,
    /// The segments, in order.
    pub segments: Vec<FoundSegment>,
    /// Frames that were durable and can't be read. Every frame from the newest
    /// readable checkpoint's slot on was looked at, so that none of them stops
    /// the replica later: they are had from the others.
    pub damaged: Vec<DamagedFrame>,
    /// Something that a crash had left unfinished was cut from the end of the log: nothing of it was promised.
    pub cut: bool,
    /// Both copies of a promise, or the end of the log, may be lost.
    pub promise_may_be_lost: bool,
    /// One beyond the last durable frame.
    pub durable: u64,
}

/// A segment.
#[derive(Debug)]
pub struct FoundSegment {
    /// Its sequence number.
    pub number: u32,
    /// Its `.idx` file, if it is there, whole and [checked](IdxFile::check).
    pub annotation: Option<Bytes>,
    /// There is an `.idx` file, and it can't be read: what it had of batches
    /// below the checkpoint is known nowhere else.
    pub annotation_lost: bool,
    /// Its accepted slots' frames in order; may be left empty where there is an
    /// annotation and nothing is damaged.
    pub frames: Vec<FoundFrame>,
}

/// A readable frame of an accepted slot.
#[derive(Clone, Copy, Debug)]
pub struct FoundFrame {
    /// Its position.
    pub lsn: u64,
    /// Its entry's header.
    pub header: EntryHeader,
}

/// A frame that was durable and can't be read.
#[derive(Clone, Copy, Debug)]
pub struct DamagedFrame {
    /// Its position, or where the damaged place begins.
    pub lsn: u64,
    /// Slot and ballot, if something that survives tells.
    pub identity: Option<(Slot, Ballot)>,
}

/// Why the replica can't start from what was found.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// No checkpoint can be read, and what it held is no longer in the log.
    #[error(
        "no checkpoint can be read ({why}), and the slots before {from} are no longer in the write-ahead log: this \
         replica's data is lost here; replace the replica"
    )]
    NoCheckpoint {
        /// The first slot found.
        from: Slot,
        /// Why the newest could not be read.
        why: String,
    },
    /// A slot that this replica vouched for is not there, and no damage explains it.
    #[error(
        "slot {slot} was held by this replica and is not in its write-ahead log: replace the replica"
    )]
    Missing {
        /// The slot.
        slot: Slot,
    },
    /// A frame that is whole and is no entry that this release can read.
    #[error(
        "the frame at {lsn:#x} is not an entry of this release's format: start the release that wrote it"
    )]
    NotAnEntry {
        /// Its position.
        lsn: u64,
    },
}

impl Node {
    /// A core that goes on from what was found on disk.
    ///
    /// Feed it a [`Event::Tick`](crate::Event::Tick) at once: it says what is due.
    ///
    /// # Errors
    /// [`RecoverError`]: what was found is not enough to go on from.
    pub fn recover(config: Config, found: Found, now: Now) -> Result<Node, RecoverError> {
        let group = config.paxos.group;
        let (checkpoint, older, checkpoint_error) = newest_checkpoint(&found.checkpoints);
        let checkpoint = checkpoint.unwrap_or_else(|| Checkpoint {
            group,
            slot: Slot(0),
            state: State::new(),
            recent: Vec::new(),
        });

        let mut promised = Ballot::NONE;
        let mut formed = None;
        let mut chosen_prefix = checkpoint.slot;
        for (_, state) in found
            .states
            .iter()
            .filter_map(|bytes| durable::decode(bytes))
            .filter(|(g, _)| *g == group)
        {
            promised = promised.max(state.promised);
            formed = state.formed.or(formed);
        }
        let newest = found
            .state
            .as_deref()
            .and_then(durable::decode)
            .filter(|(g, _)| *g == group)
            .map(|(_, state)| state);
        // Never that of a STATE beyond the end of the log: a promise from there only asks more of this replica, but
        // the values that its prefix vouches for were dropped with it.
        if let Some(state) = &newest {
            chosen_prefix = chosen_prefix.max(state.chosen_prefix);
        }

        // What was applied before. What was trimmed by then is in no `.idx` file.
        let mut seen = Slot(0);
        let mut slots = SlotMap::default();
        let mut segments = Segments::default();
        let mut index = Index::default();
        let mut runs: Vec<Range<u64>> = Vec::new();
        // Everything that is held, also below the checkpoint: Paxos vouches for nothing that it is not told.
        let mut accepted: Vec<AcceptedEntry> = Vec::new();
        let damaged: BTreeSet<u64> = found.damaged.iter().map(|damage| damage.lsn).collect();
        // (position, the chosen prefix that the frame there vouches for), in order of position.
        let mut prefixes: Vec<(u64, Slot)> = Vec::new();
        for segment in &found.segments {
            segments.note_open(segment.number);
            let idx = segment
                .annotation
                .as_deref()
                .and_then(|bytes| IdxFile::open(segment.number, bytes));
            if idx.is_none() && (segment.annotation_lost || segment.annotation.is_some()) {
                segments.note_pinned(segment.number);
            }
            if let Some(idx) = idx {
                let range = idx.slot_range();
                segments.note_annotated(segment.number, range, true);
                // It was written once every slot below was applied, from durable frames only.
                seen = seen.max(idx.applied());
                for (log, extent) in idx.extents() {
                    let state = &checkpoint.state;
                    let trimmed = state
                        .describe(log)
                        .is_some_and(|log| extent.end <= log.trim_point);
                    if !trimmed && !state.was_deleted(log) {
                        index.push_cold(segment.number, log, extent);
                    }
                }
                let checksums: BTreeMap<u64, u32> = segment
                    .frames
                    .iter()
                    .map(|frame| (frame.lsn, frame.header.checksum))
                    .collect();
                for row in idx.slots() {
                    let lsn = u64::from(segment.number) << 32 | u64::from(row.frame);
                    // Where anything is damaged every frame was looked for: some lay in a hole of which nothing else
                    // tells what it held.
                    let gone = !damaged.is_empty() && !checksums.contains_key(&lsn);
                    if damaged.contains(&lsn) || gone {
                        continue;
                    }
                    push_run(&mut runs, row.slot.0);
                    // Not in the file. It is compared only beyond a hole that damage made, and then the frames
                    // were read.
                    let checksum = checksums.get(&lsn).copied().unwrap_or(0);
                    accepted.push(AcceptedEntry {
                        slot: row.slot,
                        ballot: row.ballot,
                        len: row.len,
                        checksum,
                    });
                    promised = promised.max(row.ballot);
                    if row.slot >= checkpoint.slot {
                        slots.insert(
                            row.slot,
                            Entry {
                                ballot: row.ballot,
                                lsn,
                                len: row.len,
                                checksum,
                            },
                        );
                    }
                }
            } else {
                for frame in &segment.frames {
                    let header = frame.header;
                    segments.note_frame(frame.lsn, header.slot);
                    push_run(&mut runs, header.slot.0);
                    accepted.push(AcceptedEntry {
                        slot: header.slot,
                        ballot: header.ballot,
                        len: header.len,
                        checksum: header.checksum,
                    });
                    promised = promised.max(header.ballot);
                    chosen_prefix = chosen_prefix.max(header.chosen_prefix);
                    prefixes.push((frame.lsn, header.chosen_prefix));
                    let entry = Entry {
                        ballot: header.ballot,
                        lsn: frame.lsn,
                        len: header.len,
                        checksum: header.checksum,
                    };
                    slots.insert(header.slot, entry);
                }
            }
        }
        for (log, batch) in &checkpoint.recent {
            if !segments.is_annotated(batch.place.segment()) {
                index.push(*log, *batch);
            }
        }

        chosen_prefix = chosen_prefix.max(seen);
        let chosen_below = Slot(held_down_to(runs, checkpoint.slot.0));
        if checkpoint.slot == Slot(0)
            && let Some(why) = checkpoint_error
        {
            let first = slots.from(Slot(0)).next().map(|(slot, _)| slot);
            if first != Some(Slot(0)) {
                let from = first.unwrap_or(checkpoint.slot);
                return Err(RecoverError::NoCheckpoint { from, why });
            }
        }

        let damaged_from = damaged.first().map(|&lsn| segment_of(lsn));
        let unknown = unknown_slots(&found.damaged, &slots, &prefixes, checkpoint.slot);
        let lasting = newest.map_or((Ballot::NONE, false), |state| {
            (state.promised, state.formed.is_some())
        });
        let recovered = Recovered {
            blank: found.blank,
            promised,
            formed,
            lasting,
            chosen_prefix,
            chosen_below,
            accepted,
            unknown,
            promise_may_be_lost: found.promise_may_be_lost,
        };
        let paxos = Paxos::new(config.paxos.clone(), recovered, now.mono);
        let chosen_prefix = paxos.chosen_prefix().max(checkpoint.slot);
        for slot in checkpoint.slot.0..chosen_prefix.0 {
            if slots.get(Slot(slot)).is_none() {
                return Err(RecoverError::Missing { slot: Slot(slot) });
            }
        }
        let parts = Parts {
            paxos,
            applied: checkpoint.slot,
            chosen_prefix,
            seen,
            housekeeping: Housekeeping::new(older, damaged_from),
            state: checkpoint.state,
            index,
            slots,
            segments,
            durable: found.durable,
        };
        Ok(Node::from_parts(config, parts, now))
    }
}

/// The newest checkpoint that can be read, the slot of the next older one, and
/// why a newer one could not be read.
fn newest_checkpoint(files: &[Bytes]) -> (Option<Checkpoint>, Slot, Option<String>) {
    let mut newest = None;
    let mut older = Slot(0);
    let mut error = None;
    for file in files {
        match Checkpoint::decode(file) {
            Ok(read) if newest.is_none() => newest = Some(read),
            Ok(read) => {
                older = read.slot;
                break;
            }
            Err(why) => error = error.or(Some(why.to_string())),
        }
    }
    (newest, older, error)
}

fn push_run(runs: &mut Vec<Range<u64>>, slot: u64) {
    match runs.last_mut() {
        Some(last) if last.end == slot => last.end += 1,
        Some(last) if last.contains(&slot) => {}
        _ => runs.push(slot..slot + 1),
    }
}

/// The lowest slot from which on every slot below `top` is in one of the runs.
fn held_down_to(mut runs: Vec<Range<u64>>, top: u64) -> u64 {
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.end));
    let mut low = top;
    // Runs by falling end: one that does not reach `low` leaves a hole, and so do all after it.
    for run in runs {
        if run.end < low {
            break;
        }
        low = low.min(run.start);
    }
    low
}

/// Which slots damage leaves unknown: for each it may have held the newest
/// accepted value.
fn unknown_slots(
    damaged: &[DamagedFrame],
    slots: &SlotMap,
    prefixes: &[(u64, Slot)],
    checkpoint: Slot,
) -> Vec<UnknownSlots> {
    let mut unknown = Vec::new();
    for damage in damaged {
        match damage.identity {
            Some((slot, ballot)) => {
                let newer = slots.get(slot).is_some_and(|entry| entry.lsn > damage.lsn);
                if slot >= checkpoint && !newer {
                    unknown.push(UnknownSlots {
                        slots: slot..slot.next(),
                        ballot: Some(ballot),
                    });
                }
            }
            None => {
                let before = prefixes.iter().take_while(|(lsn, _)| *lsn < damage.lsn);
                let vouched = before
                    .map(|(_, prefix)| *prefix)
                    .max()
                    .unwrap_or(checkpoint)
                    .max(checkpoint);
                // Every slot from there on, but those with a frame beyond the damage.
                let mut from = vouched;
                for (slot, entry) in slots.from(vouched) {
                    if entry.lsn > damage.lsn {
                        if from < slot {
                            unknown.push(UnknownSlots {
                                slots: from..slot,
                                ballot: None,
                            });
                        }
                        from = slot.next();
                    }
                }
                unknown.push(UnknownSlots {
                    slots: from..Slot::MAX,
                    ballot: None,
                });
            }
        }
    }
    unknown
}

impl FoundFrame {
    /// A frame from its position and the first bytes of its payload.
    ///
    /// # Errors
    /// [`RecoverError::NotAnEntry`] if they are no entry of this release.
    pub fn read(lsn: u64, head: &[u8]) -> Result<FoundFrame, RecoverError> {
        let header = EntryHeader::decode(head).ok_or(RecoverError::NotAnEntry { lsn })?;
        Ok(FoundFrame { lsn, header })
    }

    /// The segment it lies in.
    pub fn segment(&self) -> u32 {
        segment_of(self.lsn)
    }
}

#[cfg(test)]
mod tests;
