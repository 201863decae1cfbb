//! How much logs take and clients append in a second: a bucket each, at the leader.
//!
//! A batch is let in while the bucket is not empty, and may leave it in debt: so a batch that is larger than what a log
//! may take in a moment is taken, and paid for by those behind it.

use std::collections::BTreeMap;

/// What a bucket holds at most, in parts of a second of its rate.
const BURST_PER_S: u64 = 4;
/// The longest wait that is named: whoever waits longer asks again.
const WAIT_MS_MAX: u64 = 10_000;

#[derive(Debug)]
struct Bucket {
    /// In bytes; below 0: debt.
    holds: i64,
    filled_at: u64,
}

/// Buckets that are kept before those that were not used for a while are forgotten: they are full.
const BUCKETS_MAX: usize = 4_096;
/// How long that is.
const UNUSED_NS: u64 = 60_000_000_000;

/// The buckets of those that have a rate and used it lately.
#[derive(Debug)]
pub(crate) struct Rates<K> {
    buckets: BTreeMap<K, Bucket>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Rates {
            buckets: BTreeMap::new(),
        }
    }
}

impl<K: Ord> Rates<K> {
    /// Takes `bytes` at `now` (monotonic ns) for whoever may take `rate` bytes a second.
    ///
    /// # Errors
    /// After how many milliseconds to try again; nothing was taken.
    pub(crate) fn take(&mut self, now: u64, of: K, bytes: u64, rate: u64) -> Result<(), u32> {
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets
                .retain(|_, bucket| now.saturating_sub(bucket.filled_at) < UNUSED_NS);
        }
        let rate = rate.min(i64::MAX as u64 / 2);
        let burst = (rate / BURST_PER_S).max(1) as i64;
        let bucket = self.buckets.entry(of).or_insert(Bucket {
            holds: burst,
            filled_at: now,
        });
        let passed = u128::from(now.saturating_sub(bucket.filled_at));
        let filled = passed * u128::from(rate) / 1_000_000_000;
        if filled > 0 {
            let filled = i64::try_from(filled).unwrap_or(i64::MAX);
            bucket.holds = bucket.holds.saturating_add(filled).min(burst);
            bucket.filled_at = now;
        }
        if bucket.holds > 0 {
            bucket.holds = bucket.holds.saturating_sub_unsigned(bytes);
            return Ok(());
        }
        let lacks = bucket.holds.unsigned_abs() + 1;
        let wait_ms = (u128::from(lacks) * 1_000).div_ceil(rate.max(1).into());
        Err(wait_ms.clamp(1, WAIT_MS_MAX.into()) as u32)
    }

    /// It is gone.
    pub(crate) fn forget(&mut self, of: &K) {
        self.buckets.remove(of);
    }
}

#[cfg(test)]
mod tests {
    use paxlog_log::LogId;

    use super::*;

    #[test]
    fn over_a_while_a_log_takes_its_rate_and_a_burst() {
        let mut rates = Rates::default();
        let (mut now, mut taken) = (0, 0);
        while now < 10_000_000_000 {
            match rates.take(now, LogId(1), 1_000, 100_000) {
                Ok(()) => taken += 1_000,
                Err(wait_ms) => now += u64::from(wait_ms) * 1_000_000,
            }
        }
        assert!((1_000_000..=1_030_000).contains(&taken), "{taken}");
    }

    #[test]
    fn a_batch_larger_than_the_bucket_is_taken_and_paid_for() {
        let mut rates = Rates::default();
        assert_eq!(rates.take(0, LogId(1), 4 << 20, 1 << 20), Ok(()));
        let wait = rates.take(0, LogId(1), 1, 1 << 20).expect_err("in debt");
        assert!((3_700..=3_800).contains(&wait), "{wait}");
        assert_eq!(
            rates.take(0, LogId(2), 1, 1),
            Ok(()),
            "another log's bucket"
        );
        let at = u64::from(wait) * 1_000_000;
        assert_eq!(rates.take(at, LogId(1), 1, 1 << 20), Ok(()));
    }
}
