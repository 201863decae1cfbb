//! A model of one replica's write-ahead log: frames in order, of which a durable prefix survives a crash
//! whole, the rest as a random prefix; and damage, found when the log is opened again.

use std::collections::BTreeMap;

use paxlog_paxos::{
    AcceptedEntry, Ballot, DurableState, Member, Persist, Recovered, Slot, UnknownSlots, Value,
};

use crate::rng::Rng;

/// What a value is, for the checks: the number in its first bytes, 0 for a no-op.
pub(crate) fn value_number(value: &Value) -> u64 {
    let mut bytes = value.parts().iter().flat_map(|p| p.iter().copied());
    let mut number = [0; 8];
    for byte in &mut number {
        *byte = bytes.next().unwrap_or(0);
    }
    u64::from_le_bytes(number)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    None,
    /// The header survives: slot and ballot are known, the value is lost.
    Value,
    /// Nothing tells what was here.
    All,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Accepted {
        slot: Slot,
        ballot: Ballot,
        value: Value,
    },
    State {
        formed: Option<Vec<Member>>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) what: What,
    pub(crate) promised: Ballot,
    pub(crate) prefix: Slot,
    pub(crate) damage: Damage,
    /// What was promised when it was queued: above its own ballot only for what was learned as chosen.
    pub(crate) under: Ballot,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) frames: Vec<Frame>,
    /// Frames below are durable.
    pub(crate) durable: usize,
    /// The frame of `PersistId(1)` of this life.
    pub(crate) base: usize,
    pub(crate) checkpoint: Slot,
    /// Slot → its newest frame, durable or not; after an opening, of those that could be read.
    pub(crate) newest: BTreeMap<Slot, usize>,
    /// Slot → (ballot, promised then) of its newest durable frame, damaged or not.
    pub(crate) newest_durable: BTreeMap<Slot, (Ballot, Ballot)>,
    pub(crate) promised_durable: Ballot,
}

impl Disk {
    /// The durable list.
    pub(crate) fn formed(&self) -> Option<&[Member]> {
        let durable = self.frames[..self.durable].iter().rev();
        let mut lists = durable.filter_map(|frame| match &frame.what {
            What::State { formed } => formed.as_deref(),
            What::Accepted { .. } => None,
        });
        lists.next()
    }

    pub(crate) fn append(&mut self, what: Persist, under: Ballot) {
        let frame = match what {
            Persist::Accepted {
                slot,
                ballot,
                value,
                chosen_prefix,
            } => {
                self.newest.insert(slot, self.frames.len());
                Frame {
                    what: What::Accepted {
                        slot,
                        ballot,
                        value,
                    },
                    promised: ballot,
                    prefix: chosen_prefix,
                    damage: Damage::None,
                    under,
                }
            }
            Persist::State(DurableState {
                promised,
                formed,
                chosen_prefix,
            }) => Frame {
                what: What::State { formed },
                promised,
                prefix: chosen_prefix,
                damage: Damage::None,
                under,
            },
        };
        self.frames.push(frame);
    }

    /// Makes one more frame durable and returns it.
    pub(crate) fn sync_one(&mut self) -> &Frame {
        let frame = &self.frames[self.durable];
        self.durable += 1;
        self.promised_durable = self.promised_durable.max(frame.promised);
        if let What::Accepted { slot, ballot, .. } = &frame.what {
            self.newest_durable.insert(*slot, (*ballot, frame.under));
        }
        frame
    }

    /// Loses what was not durable, but for a random prefix of it.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let keep = self.durable + rng.below((self.frames.len() - self.durable) as u64 + 1) as usize;
        self.truncate(keep);
    }

    pub(crate) fn truncate(&mut self, keep: usize) {
        self.frames.truncate(keep);
        self.durable = self.durable.min(keep);
        self.newest.clear();
        self.newest_durable.clear();
        for (at, frame) in self.frames.iter().enumerate() {
            if let What::Accepted { slot, ballot, .. } = &frame.what {
                self.newest.insert(*slot, at);
                if at < self.durable {
                    self.newest_durable.insert(*slot, (*ballot, frame.under));
                }
            }
        }
    }

    /// Damages a random durable accepted frame among the last hundred.
    pub(crate) fn damage(&mut self, rng: &mut Rng) -> bool {
        let accepted: Vec<usize> = (self.durable.saturating_sub(100)..self.durable)
            .filter(|&at| matches!(self.frames[at].what, What::Accepted { .. }))
            .collect();
        if accepted.is_empty() {
            return false;
        }
        let at = accepted[rng.below(accepted.len() as u64) as usize];
        self.frames[at].damage = if rng.chance(50) {
            Damage::Value
        } else {
            Damage::All
        };
        true
    }

    pub(crate) fn read(&self, slot: Slot, ballot: Ballot) -> Option<Value> {
        let frame = &self.frames[*self.newest.get(&slot)?];
        match &frame.what {
            What::Accepted {
                ballot: b, value, ..
            } if *b == ballot && frame.damage == Damage::None => Some(value.clone()),
            _ => None,
        }
    }

    /// What the owner's recovery would tell.
    pub(crate) fn recover(&mut self) -> Recovered {
        self.base = self.frames.len();
        let mut recovered = Recovered {
            blank: self.frames.is_empty(),
            chosen_below: self.checkpoint,
            ..Recovered::default()
        };
        let mut good: BTreeMap<Slot, usize> = BTreeMap::new();
        let mut lost = Vec::new();
        for (at, frame) in self.frames.iter().enumerate() {
            match (&frame.what, frame.damage) {
                (What::State { formed }, _) => {
                    if formed.is_some() {
                        recovered.formed.clone_from(formed);
                    }
                    recovered.lasting = (frame.promised, recovered.formed.is_some());
                }
                (What::Accepted { slot, .. }, Damage::None) => {
                    good.insert(*slot, at);
                }
                (What::Accepted { slot, ballot, .. }, Damage::Value) => {
                    recovered.unknown.push(UnknownSlots {
                        slots: *slot..slot.next(),
                        ballot: Some(*ballot),
                    });
                    recovered.promised = recovered.promised.max(*ballot);
                    continue;
                }
                (What::Accepted { .. }, Damage::All) => {
                    lost.push((at, recovered.chosen_prefix));
                    continue;
                }
            }
            recovered.promised = recovered.promised.max(frame.promised);
            recovered.chosen_prefix = recovered.chosen_prefix.max(frame.prefix);
        }
        for (lost_at, prefix_before) in lost {
            // All but the slots known chosen before, and those whose last frame lies behind it.
            let mut start = prefix_before;
            let behind = good.range(prefix_before..).filter(|&(_, &at)| at > lost_at);
            for (&slot, _) in behind {
                if start < slot {
                    recovered.unknown.push(UnknownSlots {
                        slots: start..slot,
                        ballot: None,
                    });
                }
                start = slot.next();
            }
            recovered.unknown.push(UnknownSlots {
                slots: start..Slot::MAX,
                ballot: None,
            });
        }
        // From now on the owner finds what it can read.
        self.newest.clone_from(&good);
        for (&slot, &at) in good.range(self.checkpoint..) {
            if let What::Accepted { ballot, value, .. } = &self.frames[at].what {
                recovered.accepted.push(AcceptedEntry {
                    slot,
                    ballot: *ballot,
                    len: value.len(),
                    checksum: value.checksum(),
                });
            }
        }
        recovered
    }
}
