//! Where a torn end ends, and what is damage.
//!
//! The rule, for a place X where no good frame stands: if some later frame or header promises that
//! more than X was synced (`D > X`), then what stood at X was synced, perhaps acknowledged, and is
//! **damaged**; else nothing at or behind X was ever reported durable, and the log **ends** at X.
//!
//! The worse mistake is to call damage an end: acknowledged frames would vanish without a word and
//! the replica would vote as if it had never accepted them. The other mistake, calling an honest
//! crash damage, costs availability. Both are wrong; `durable` fields are promises so that neither
//! has to be guessed.

use crate::lsn::Lsn;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame with good header and payload, in its place, chained to the one before.
    Good,
    /// Anything else: zeros, another log's bytes, a bad checksum or length, a broken chain, EIO.
    Bad,
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The frame counts.
    Accept,
    /// The log ends here; what comes later is dropped, also where it looks whole.
    End,
    /// Synced bytes are gone; the log goes on behind them.
    Damage,
}

/// `durable` is the highest promise in any whole frame or header of a position later than `at`.
pub(crate) fn judge(found: Found, at: Lsn, durable: Lsn) -> Verdict {
    match found {
        Found::Good => Verdict::Accept,
        Found::Bad if durable > at => Verdict::Damage,
        Found::Bad => Verdict::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_makes_damage_of_what_would_be_an_end() {
        let x = Lsn::at(2, 4096);
        assert_eq!(judge(Found::Good, x, Lsn::ZERO), Verdict::Accept);
        assert_eq!(judge(Found::Bad, x, x), Verdict::End);
        assert_eq!(judge(Found::Bad, x, Lsn(x.0 + 64)), Verdict::Damage);
        assert_eq!(judge(Found::Bad, x, Lsn::at(3, 4096)), Verdict::Damage);
    }
}
