//! How long to wait before the next attempt.

use crate::machine::Nanos;
use crate::rng::Rng;

/// Doubling waits with jitter, so that many clients that lost one leader do not come back at once.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    rng: Rng,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Backoff {
        Backoff {
            rng: Rng::new(seed),
            failures: 0,
        }
    }

    /// Something worked: the next failure waits briefly again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The wait after one more failure: half to all of the doubled step.
    pub(crate) fn step(&mut self) -> Nanos {
        let step = (FIRST_NS << self.failures.min(16)).min(LAST_NS);
        self.failures = self.failures.saturating_add(1);
        step / 2 + self.rng.below(step / 2)
    }
}

/// A fail-over takes some 100 ms; a client shall not add much to it.
const FIRST_NS: Nanos = 4_000_000;
const LAST_NS: Nanos = 250_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<_> = (0..20).map(|_| backoff.step()).collect();
        assert!(waits[0] >= FIRST_NS / 2 && waits[0] < FIRST_NS);
        assert!(
            waits[10..]
                .iter()
                .all(|&wait| (LAST_NS / 2..LAST_NS).contains(&wait))
        );
        backoff.reset();
        assert!(backoff.step() < FIRST_NS);
    }
}
