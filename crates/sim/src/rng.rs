//! Randomness: one seed, split into a stream for each thing that draws, so that a draw added to one moves
//! no other.

use paxlog_wal::sim::Rng;

/// The stream of a seed for one purpose, and one of its things (a link, a disk …).
pub(crate) fn stream(seed: u64, purpose: &str, number: u64) -> Rng {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    for byte in purpose.bytes().chain(number.to_le_bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        state ^= state >> 29;
    }
    let mut rng = Rng::new(state);
    rng.next_u64();
    rng
}

/// What is often drawn.
pub(crate) trait Draw {
    fn between(&mut self, low: u64, high: u64) -> u64;
    fn half(&mut self) -> bool;
    /// Exponentially distributed, at most 20 times the mean.
    fn exponential(&mut self, mean: u64) -> u64;
    fn one_of<T: Copy>(&mut self, of: &[T]) -> T;
}

impl Draw for Rng {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    fn half(&mut self) -> bool {
        self.below(2) == 0
    }

    fn exponential(&mut self, mean: u64) -> u64 {
        // -ln(u) by halvings and a table would be no better: floating point is the same everywhere for these
        // operations but for `ln`, so the logarithm is taken in integers: bits, then linearly between them.
        let draw = self.next_u64() | 1;
        let zeros = u64::from(draw.leading_zeros());
        let rest = draw << zeros;
        // ln(2^64 / draw) in 1/1024: zeros * ln 2, plus what is left of the leading one.
        let fraction = ((u64::MAX - rest) >> 53).min(1023);
        let log = zeros * 710 + fraction * 710 / 1024;
        (mean.saturating_mul(log) / 1024).min(mean.saturating_mul(20))
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |purpose, number| stream(7, purpose, number).next_u64();
        assert_eq!(draw("link", 1), draw("link", 1));
        assert_ne!(draw("link", 1), draw("link", 2));
        assert_ne!(draw("link", 1), draw("disk", 1));
        assert_ne!(stream(8, "link", 1).next_u64(), draw("link", 1));
    }

    #[test]
    fn the_exponential_has_its_mean() {
        let mut rng = stream(1, "test", 0);
        let sum: u64 = (0..100_000)
            .map(|_| rng.exponential(1_000_000) / 1_000)
            .sum();
        let mean = sum / 100_000;
        assert!((900..1_100).contains(&mean), "{mean}");
    }
}
