//! Clones: at random moments the power is cut, in thought. Copies of the disks, as a power cut would leave them,
//! are opened by the real code; what replicas have promised to others must be on them.
//!
//! * *Durable votes*: each honours the ballot that it promised, and holds what it accepted, as far as it was told
//!   that this is durable.
//! * *Upkeep follows*: what the newest checkpoint names is there.
//! * *An honest crash is no damage*: nothing says that something may be lost.
//! * *Durable acks*: in a random majority phase 1 would find every slot that is chosen: its highest ballot there
//!   carries the chosen value.

use std::sync::Arc;

use paxlog_node::{Checkpoint, Found, IdxFile, Place, decode_state};
use paxlog_paxos::Ballot;

use super::*;
use crate::invariants::ValueId;
use crate::replica::GROUP;

/// The mean time between two looks.
const EVERY: u64 = 3 * SECOND;

/// Of so many times that something became durable, a clone is looked at once.
const LOOKS_AT_ONE_IN: u64 = 256;

/// Of so many pieces of upkeep, a clone is looked at right after one.
const LOOKS_AFTER_UPKEEP_ONE_IN: u64 = 16;

/// What a recovered clone holds.
struct Recovered {
    id: u16,
    /// The frame of a batch that its newest checkpoint names and that is not there.
    missing: Option<u64>,
    promised: Ballot,
    /// Below, everything is in its checkpoint or applied from a segment with an `.idx` file.
    settled: Slot,
    accepted: BTreeMap<Slot, (Ballot, ValueId)>,
}

impl World {
    pub(crate) fn schedule_clones(&mut self) {
        let after = MS + self.invariants.rng.exponential(EVERY);
        self.queue.push(self.now + after, Happening::Clones);
    }

    pub(crate) fn look_at_clones(&mut self) {
        let members = self.invariants.members().to_vec();
        let mut sound: Vec<usize> = (0..self.replicas.len())
            .filter(|&at| {
                let replica = &self.replicas[at];
                let listed = members
                    .iter()
                    .any(|member| member.incarnation.0 == replica.incarnation);
                listed && !replica.out && !replica.damaged
            })
            .collect();
        let majority = members.len() / 2 + 1;
        if members.is_empty() || sound.len() < majority {
            return;
        }
        while sound.len() > majority {
            let gone = self.invariants.rng.below(sound.len() as u64) as usize;
            sound.remove(gone);
        }
        let mut clones = Vec::new();
        for at in sound {
            let worst = self.invariants.rng.half();
            let checked = self.recover_clone(at, worst).and_then(|clone| {
                self.honours(at, &clone)?;
                clones.push(clone);
                Ok(())
            });
            self.check(checked);
        }
        if clones.len() == majority {
            let checked = self.holds_what_is_chosen(&clones);
            self.check(checked);
            self.coverage.hit("clones were recovered");
        }
    }

    /// Now and then, right after a core was told that something is durable: what was not synced is not there.
    pub(crate) fn look_at_what_was_told(&mut self, at: usize) {
        let replica = &self.replicas[at];
        if replica.damaged || replica.out || self.invariants.rng.below(LOOKS_AT_ONE_IN) > 0 {
            return;
        }
        let checked = self
            .recover_clone(at, true)
            .and_then(|clone| self.honours(at, &clone));
        self.check(checked);
    }

    /// Now and then, right after an `.idx` file or a checkpoint was written, or segments were retired: what it builds
    /// on must be there already.
    pub(crate) fn look_after_upkeep(&mut self, at: usize) {
        let replica = &self.replicas[at];
        if replica.damaged
            || replica.out
            || self.invariants.rng.below(LOOKS_AFTER_UPKEEP_ONE_IN) > 0
        {
            return;
        }
        let checked = self
            .recover_clone(at, true)
            .and_then(|clone| self.honours(at, &clone));
        self.check(checked);
    }

    fn recover_clone(&mut self, at: usize, worst: bool) -> Result<Recovered, Broken> {
        let replica = &self.replicas[at];
        let seed = self.invariants.rng.next_u64();
        let disk = match worst {
            true => replica.disk.worst_power_cut(),
            false => replica.disk.power_cut(seed),
        };
        let options = replica.options(&self.plan);
        let id = replica.id;
        match paxlog_store::open(Arc::new(disk), options, GROUP) {
            Ok((_, found)) if found.promise_may_be_lost || !found.damaged.is_empty() => {
                Err(Broken {
                    rule: "an honest crash is no damage",
                    what: format!(
                        "after a power cut now replica {id} would say that it is damaged"
                    ),
                })
            }
            Ok((_, found)) => Ok(Recovered::of(id, &found)),
            Err(error) => Err(Broken {
                rule: "durable votes",
                what: format!("after a power cut now replica {id} would not open: {error}"),
            }),
        }
    }

    fn honours(&self, at: usize, clone: &Recovered) -> Result<(), Broken> {
        let replica = &self.replicas[at];
        if let Some(lsn) = clone.missing {
            return Err(Broken {
                rule: "upkeep follows",
                what: format!(
                    "after a power cut now the newest checkpoint of replica {} would name a batch at {lsn:x}, where \
                     nothing is",
                    clone.id
                ),
            });
        }
        let broken = |what| {
            Err(Broken {
                rule: "durable votes",
                what,
            })
        };
        if clone.promised < replica.promised {
            return broken(format!(
                "after a power cut now replica {} would honour {} and has promised {}",
                clone.id, clone.promised, replica.promised
            ));
        }
        for (&slot, &(ballot, value)) in replica.told.range(clone.settled..) {
            match clone.accepted.get(&slot) {
                Some(&(newer, _)) if newer > ballot => {}
                Some(&(same, held)) if same == ballot && held == value => {}
                other => {
                    return broken(format!(
                        "after a power cut now replica {} would hold {other:?} in slot {slot}, and has accepted \
                         {value:?} in {ballot}",
                        clone.id
                    ));
                }
            }
        }
        Ok(())
    }

    /// Phase 1 over the clones.
    fn holds_what_is_chosen(&self, clones: &[Recovered]) -> Result<(), Broken> {
        let settled = clones.iter().map(|clone| clone.settled).max();
        let settled = settled.unwrap_or_default();
        for slot in (settled.0..self.invariants.chosen_end().0).map(Slot) {
            let found = clones.iter().filter_map(|clone| clone.accepted.get(&slot));
            let highest = found.max_by_key(|(ballot, _)| *ballot);
            let chosen = self.invariants.chosen_in(slot);
            if chosen.is_some() && highest.map(|(_, value)| *value) != chosen {
                let who: Vec<u16> = clones.iter().map(|clone| clone.id).collect();
                return Err(Broken {
                    rule: "durable acks",
                    what: format!(
                        "after a power cut now replicas {who:?} would take {highest:?} for slot {slot}, in which \
                         {chosen:?} is chosen"
                    ),
                });
            }
        }
        Ok(())
    }
}

impl Recovered {
    fn of(id: u16, found: &Found) -> Recovered {
        let states = found.states.iter().filter_map(|bytes| decode_state(bytes));
        let mut promised = states
            .map(|(_, state)| state.promised)
            .max()
            .unwrap_or(Ballot::NONE);
        let mut settled = found
            .checkpoints
            .iter()
            .find_map(|file| Checkpoint::slot_of(file))
            .unwrap_or_default();
        let mut accepted: BTreeMap<Slot, (Ballot, ValueId)> = BTreeMap::new();
        for segment in &found.segments {
            let idx = segment
                .annotation
                .as_deref()
                .and_then(|bytes| IdxFile::open(segment.number, bytes));
            settled = settled.max(idx.map_or(Slot(0), |idx| idx.applied()));
            for frame in &segment.frames {
                let header = frame.header;
                promised = promised.max(header.ballot);
                let this = (header.ballot, (header.len, header.checksum));
                let held = accepted.entry(header.slot).or_insert(this);
                if held.0 <= this.0 {
                    *held = this;
                }
            }
        }
        Recovered {
            id,
            missing: missing(found),
            promised,
            settled,
            accepted,
        }
    }
}

/// A frame that the newest checkpoint names and that is not there, though its segment was read.
fn missing(found: &Found) -> Option<u64> {
    let mut files = found.checkpoints.iter();
    let newest = files.find_map(|file| Checkpoint::decode(file).ok())?;
    let lowest = found.segments.first().map(|segment| segment.number)?;
    let is_missing = |place: &Place| {
        let number = place.segment();
        let segment = found.segments.iter().find(|of| of.number == number);
        match segment {
            // Only its `.idx` file was read.
            Some(segment) if segment.annotation.is_some() => false,
            Some(segment) => !segment.frames.iter().any(|frame| frame.lsn == place.lsn),
            None => number > lowest,
        }
    };
    let mut places = newest.recent.iter().map(|(_, batch)| batch.place);
    places.find(is_missing).map(|place| place.lsn)
}
