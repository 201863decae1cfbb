//! The order that replies state, against the order of time.

use super::subject::Who;
use super::work::Work;
use crate::history::Nanos;

/// Something with a place in the order that replies state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    /// Its place. Those of equal rank may be put in any order.
    pub(super) rank: u64,
    /// When it was called; 0 for what may show a state from long ago.
    pub(super) call: Nanos,
    /// When it returned; the end of time if it may still happen.
    pub(super) ret: Nanos,
    pub(super) who: Who,
}

/// Finds everything that returned before something of a lower rank was called, and tells it as `(first, second)`:
/// `first` was over when `second` began, and yet is ordered after it. If there is none, putting all in the order of
/// their ranks, and those of one rank in the order of their calls, contradicts no time: an order exists.
///
/// n log n: one pass by rank that keeps the latest call so far.
pub(super) fn sweep(items: &mut [Ranked], work: &Work, mut found: impl FnMut(Who, Who)) {
    work.sort_by_key(items, |item| item.rank);
    let mut latest: Option<Ranked> = None;
    for group in items.chunk_by(|one, two| one.rank == two.rank) {
        for item in group {
            work.step();
            if let Some(latest) = latest
                && item.ret < latest.call
            {
                found(item.who, latest.who);
            }
        }
        for item in group {
            if latest.is_none_or(|latest| item.call > latest.call) {
                latest = Some(*item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::OpId;

    /// By trying all pairs.
    fn pairs(items: &[Ranked]) -> Vec<Who> {
        let mut found: Vec<Who> = items
            .iter()
            .filter(|first| {
                items
                    .iter()
                    .any(|second| second.rank < first.rank && first.ret < second.call)
            })
            .map(|first| first.who)
            .collect();
        found.sort();
        found
    }

    proptest::proptest! {
        #[test]
        fn it_finds_what_trying_all_pairs_finds(
            drawn in proptest::collection::vec((0_u64..6, 0_u64..20, 0_u64..8), 0..14)
        ) {
            let mut items: Vec<Ranked> = (0..)
                .zip(&drawn)
                .map(|(id, &(rank, call, long))| Ranked {
                    rank,
                    call,
                    ret: call + long,
                    who: Who::Op(OpId(id)),
                })
                .collect();
            let mut found = Vec::new();
            let expected = pairs(&items);
            sweep(&mut items, &Work::default(), |first, _| found.push(first));
            found.sort();
            proptest::prop_assert_eq!(found, expected);
        }
    }
}
