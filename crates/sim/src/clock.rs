//! One replica's clocks: a monotonic one with an origin and a drift of its own, and a wall clock that is set
//! now and then. No safety argument may rest on either.

use paxlog_node::Now;

/// The clocks of one life of a replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// The true time at which this life began.
    began: u64,
    /// What the monotonic clock showed then.
    origin: u64,
    /// Parts in a million that it runs fast (or slow, below 0).
    drift_ppm: i64,
    /// The wall clock's error, ns.
    wall_error: i64,
}

impl Clock {
    pub(crate) fn new(began: u64, origin: u64, drift_ppm: i64, wall_error: i64) -> Clock {
        Clock {
            began,
            origin,
            drift_ppm,
            wall_error,
        }
    }

    /// What the clocks show at a true time.
    pub(crate) fn now(&self, time: u64) -> Now {
        let since = time - self.began;
        let drift = i128::from(since) * i128::from(self.drift_ppm) / 1_000_000;
        Now {
            mono: self.origin + (i128::from(since) + drift) as u64,
            wall: EPOCH
                .saturating_add(time)
                .saturating_add_signed(self.wall_error),
        }
    }

    /// A true time at which the monotonic clock shows `mono` or a little more.
    pub(crate) fn when(&self, mono: u64) -> u64 {
        let since = i128::from(mono.saturating_sub(self.origin));
        let time = since * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm));
        self.began + time as u64 + 2
    }

    pub(crate) fn set_wall(&mut self, error: i64) {
        self.wall_error = error;
    }
}

/// The wall clock's true time when a run begins: in the year 2026.
const EPOCH: u64 = 1_780_000_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_never_early() {
        for drift in [-50_000, -200, 0, 200, 50_000] {
            let clock = Clock::new(1_000, 77, drift, 0);
            for mono in [77, 78, 1_000_000, 123_456_789_012] {
                let at = clock.when(mono);
                assert!(clock.now(at).mono >= mono, "{drift} {mono}");
                assert!(clock.now(at).mono < mono + 10, "{drift} {mono}");
            }
        }
    }
}
