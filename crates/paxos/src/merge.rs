//! What a candidate must propose, slot by slot, given the promises it has.
//!
//! Pure, and kept apart because every line decides over acknowledged data. Two mistakes are possible, and
//! they are not alike:
//!
//! - proposing *another* value where one may have been chosen (a no-op over it, or a lower ballot's value)
//!   loses an acknowledged append on every replica, silently and for good. Nothing may make this happen;
//! - *waiting* for another replica although the promises at hand would do stops the group until that replica
//!   is back. That is bad, is seen at once, and heals by itself.
//!
//! So wherever the rules below leave a doubt, the answer is [`Verdict::Wait`].
//!
//! The rules, for one slot: a promise *knows* it if it says what was accepted there, or that nothing was; it
//! does not know it if the slot is *unknown* there, that is, damage may have taken what was accepted.
//!
//! 1. If the promises that know the slot are a quorum, they decide alone: the value of the highest ballot, or
//!    a no-op where none of them holds one. (Whatever was chosen was accepted by one of them.)
//! 2. Else the known value of the highest ballot is taken if that ballot is at least what each unknown can
//!    have held: then no unknown can have held another value of a higher ballot. (Equal ballots hold equal
//!    values.)
//! 3. Else wait.

use crate::message::{PromisedSlot, UnknownSlots};
use crate::types::{Ballot, Slot};

/// A takeover longer than this is not believed: the window bounds it to far less.
const TAKEOVER_SLOTS_MAX: u64 = 1 << 16;

/// What the merge looks at of one promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report<'a> {
    pub(crate) chosen_prefix: Slot,
    pub(crate) slots: &'a [PromisedSlot],
    pub(crate) unknown: &'a [UnknownSlots],
}

/// What to do in one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Propose the value accepted in this slot and ballot.
    Adopt(PromisedSlot),
    /// Propose a no-op.
    Noop,
}

/// What a takeover has to do: `decisions[i]` is for slot `first + i`; `free == first + decisions.len()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Everything below is chosen: it is to be learned, not proposed.
    pub(crate) first: Slot,
    /// Nothing was accepted at or beyond by any replica whose word decides.
    pub(crate) free: Slot,
    pub(crate) decisions: Vec<Decision>,
    /// Slots that were decided although somebody did not know them.
    pub(crate) despite_unknown: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ready(Plan),
    /// Undecidable, from this slot on, with these promises.
    Wait(Slot),
}

/// Merges the promises of at least a quorum. `first` is the candidate's own chosen prefix.
pub(crate) fn merge(quorum: usize, first: Slot, reports: &[Report<'_>]) -> Verdict {
    if reports.len() < quorum {
        return Verdict::Wait(first);
    }
    // Nothing is proposed below the highest chosen prefix (which is at least any `chosen_below`): those
    // slots are chosen, and the values may not even exist any more outside of checkpoints.
    let first = reports
        .iter()
        .map(|r| r.chosen_prefix)
        .fold(first, Slot::max);
    let free = reports
        .iter()
        .flat_map(|r| {
            let held = r.slots.iter().map(|s| s.slot.next());
            held.chain(r.unknown.iter().map(|u| u.slots.end))
        })
        .filter(|&end| end != Slot::MAX)
        .fold(first, Slot::max);
    if free.since(first) > TAKEOVER_SLOTS_MAX {
        return Verdict::Wait(first);
    }
    let mut decisions = Vec::with_capacity(free.since(first) as usize);
    let mut despite_unknown = 0;
    let mut slot = first;
    while slot < free {
        match decide(quorum, slot, reports) {
            Some((decision, all_know)) => {
                decisions.push(decision);
                despite_unknown += u64::from(!all_know);
            }
            None => return Verdict::Wait(slot),
        }
        slot = slot.next();
    }
    // Beyond `free` nobody reports a value. Whoever does not know what it held there can't help to say
    // that nothing was.
    let open_ended = |r: &&Report<'_>| r.unknown.iter().any(|u| u.slots.end == Slot::MAX);
    if reports.len() - reports.iter().filter(open_ended).count() < quorum {
        return Verdict::Wait(free);
    }
    Verdict::Ready(Plan {
        first,
        free,
        decisions,
        despite_unknown,
    })
}

/// The decision for one slot and whether all reports knew it; `None`: wait.
fn decide(quorum: usize, slot: Slot, reports: &[Report<'_>]) -> Option<(Decision, bool)> {
    let mut knowing = 0;
    let mut best: Option<PromisedSlot> = None;
    let mut unknown_max = Ballot::NONE;
    let mut all_know = true;
    for report in reports {
        if let Some(unknown) = report.unknown.iter().find(|u| u.slots.contains(&slot)) {
            all_know = false;
            // No bound is no knowledge: as high as can be.
            let bound = unknown.ballot.unwrap_or(Ballot::from_u64(u64::MAX));
            unknown_max = unknown_max.max(bound);
            continue;
        }
        knowing += 1;
        if let Ok(at) = report.slots.binary_search_by_key(&slot, |s| s.slot) {
            let held = report.slots[at];
            if best.is_none_or(|b| held.ballot > b.ballot) {
                best = Some(held);
            }
        }
    }
    match best {
        _ if knowing >= quorum => Some((best.map_or(Decision::Noop, Decision::Adopt), all_know)),
        Some(held) if held.ballot >= unknown_max => Some((Decision::Adopt(held), all_know)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ReplicaId;

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, ReplicaId(1))
    }

    fn held(slot: u64, round: u64) -> PromisedSlot {
        PromisedSlot {
            slot: Slot(slot),
            ballot: ballot(round),
            len: 1,
            checksum: round as u32,
        }
    }

    fn unknown(start: u64, end: u64, round: u64) -> UnknownSlots {
        UnknownSlots {
            slots: Slot(start)..Slot(end),
            ballot: Some(ballot(round)),
        }
    }

    fn run(quorum: usize, reports: &[(u64, Vec<PromisedSlot>, Vec<UnknownSlots>)]) -> Verdict {
        let reports: Vec<Report<'_>> = reports
            .iter()
            .map(|(prefix, slots, unknown)| Report {
                chosen_prefix: Slot(*prefix),
                slots,
                unknown,
            })
            .collect();
        merge(quorum, Slot(0), &reports)
    }

    fn decisions(verdict: Verdict) -> Vec<Decision> {
        match verdict {
            Verdict::Ready(plan) => plan.decisions,
            Verdict::Wait(slot) => panic!("waits at {slot}"),
        }
    }

    #[test]
    fn the_highest_ballots_value_is_taken_and_holes_get_noops() {
        let verdict = run(
            2,
            &[
                (0, vec![held(0, 1), held(2, 3)], vec![]),
                (0, vec![held(0, 2)], vec![]),
            ],
        );
        assert_eq!(
            decisions(verdict),
            [
                Decision::Adopt(held(0, 2)),
                Decision::Noop,
                Decision::Adopt(held(2, 3))
            ]
        );
    }

    #[test]
    fn nothing_is_proposed_below_the_highest_chosen_prefix() {
        let verdict = run(
            2,
            &[
                (0, vec![held(0, 1), held(5, 1)], vec![]),
                (5, vec![], vec![]),
            ],
        );
        let Verdict::Ready(plan) = verdict else {
            panic!()
        };
        assert_eq!((plan.first, plan.free), (Slot(5), Slot(6)));
        assert_eq!(plan.decisions, [Decision::Adopt(held(5, 1))]);
    }

    #[test]
    fn less_than_a_quorum_decides_nothing() {
        assert_eq!(
            run(2, &[(0, vec![held(0, 1)], vec![])]),
            Verdict::Wait(Slot(0))
        );
    }

    #[test]
    fn an_unknown_slot_is_not_an_empty_one() {
        let verdict = run(
            2,
            &[(0, vec![], vec![unknown(0, 1, 1)]), (0, vec![], vec![])],
        );
        assert_eq!(verdict, Verdict::Wait(Slot(0)));
    }

    #[test]
    fn a_knowing_quorum_decides_alone() {
        let verdict = run(
            2,
            &[
                (0, vec![], vec![unknown(0, 1, 9)]),
                (0, vec![held(0, 2)], vec![]),
                (0, vec![], vec![]),
            ],
        );
        assert_eq!(decisions(verdict), [Decision::Adopt(held(0, 2))]);
    }

    #[test]
    fn a_known_value_is_taken_only_if_no_unknown_can_be_of_a_higher_ballot() {
        let at = |bound| {
            run(
                2,
                &[
                    (0, vec![], vec![unknown(0, 1, bound)]),
                    (0, vec![held(0, 2)], vec![]),
                ],
            )
        };
        assert_eq!(decisions(at(2)), [Decision::Adopt(held(0, 2))]);
        assert_eq!(at(3), Verdict::Wait(Slot(0)));
    }

    #[test]
    fn an_open_end_is_bridged_only_by_a_knowing_quorum() {
        let open = (0, vec![held(0, 2)], vec![unknown(1, u64::MAX, 2)]);
        let verdict = run(2, &[open.clone(), (0, vec![held(0, 2)], vec![])]);
        assert_eq!(verdict, Verdict::Wait(Slot(1)));
        let verdict = run(
            2,
            &[open, (0, vec![held(0, 2)], vec![]), (0, vec![], vec![])],
        );
        assert_eq!(decisions(verdict), [Decision::Adopt(held(0, 2))]);
    }

    #[test]
    fn an_unknown_without_a_bound_can_be_anything() {
        let mut u = unknown(0, 1, 1);
        u.ballot = None;
        let verdict = run(2, &[(0, vec![], vec![u]), (0, vec![held(0, 2)], vec![])]);
        assert_eq!(verdict, Verdict::Wait(Slot(0)));
    }
}
