//! Numbers that look random, from a seed that a failure prints.

use std::hash::{BuildHasher, Hasher};

/// SplitMix64.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// From the system's randomness: for what no run needs to repeat.
    pub(crate) fn random() -> Rng {
        Rng(std::hash::RandomState::new().build_hasher().finish())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// In `low..high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    /// Any bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}

/// The seed of this run: `PAXLOG_SEED`, or a new one. It is printed, and shown with a failure.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("PAXLOG_SEED") {
        Ok(text) => text.parse().expect("PAXLOG_SEED is a number"),
        Err(_) => Rng::random().next(),
    };
    println!("PAXLOG_SEED={seed}");
    seed
}
