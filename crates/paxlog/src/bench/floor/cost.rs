//! What it took to move bytes: time, and CPU time.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Bytes moved, and what that took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) bytes: u64,
    pub(super) took: Duration,
    /// CPU time of the whole process: both ends of a connection are in it. What kernel threads do for it (the file
    /// system's journal, a device's interrupts) is not, so the real price is a little higher.
    pub(super) cpu: Duration,
}

impl Cost {
    pub(super) fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    pub(super) fn cpu_s_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }

    pub(super) fn add(&mut self, other: Cost) {
        self.bytes += other.bytes;
        self.took += other.took;
        self.cpu += other.cpu;
    }
}

/// The clocks before something is measured.
#[derive(Clone, Copy)]
pub(super) struct Meter {
    at: Instant,
    cpu: Duration,
}

impl Meter {
    pub(super) fn start() -> Meter {
        Meter {
            at: Instant::now(),
            cpu: process_cpu(),
        }
    }

    /// What it took to move `bytes` since the start.
    pub(super) fn stop(self, bytes: u64) -> Cost {
        Cost {
            bytes,
            took: self.at.elapsed(),
            cpu: process_cpu().saturating_sub(self.cpu),
        }
    }
}

/// Of all threads, user and system. `getrusage` gives the same, in coarser steps.
fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// What three hops cost, client to leader and leader to two followers, as one: bytes, time and CPU added up as if each hop
/// had moved as much.
pub(super) fn three_hops(client: &Cost, replica: &Cost) -> Cost {
    let scaled = |cost: &Cost, hops: f64| {
        let each = 1e9 * hops / cost.bytes as f64;
        (cost.took.mul_f64(each), cost.cpu.mul_f64(each))
    };
    let ((took, cpu), (more, more_cpu)) = (scaled(client, 1.0), scaled(replica, 2.0));
    Cost {
        bytes: 3_000_000_000,
        took: took + more,
        cpu: cpu + more_cpu,
    }
}

/// The most bytes a second that `cores` can take in: each byte passes three hops, and is written and synced three times.
pub(super) fn most_mb_per_s(cores: usize, hop: &Cost, write: &Cost) -> f64 {
    let cpu_s_per_gb = 3.0 * hop.cpu_s_per_gb() + 3.0 * write.cpu_s_per_gb();
    1e3 * cores as f64 / cpu_s_per_gb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(bytes: u64, took_ms: u64, cpu_ms: u64) -> Cost {
        Cost {
            bytes,
            took: Duration::from_millis(took_ms),
            cpu: Duration::from_millis(cpu_ms),
        }
    }

    #[test]
    fn a_megabyte_is_a_million_bytes_and_a_gigabyte_a_thousand_of_those() {
        let mut half = cost(250_000_000, 1_000, 1_500);
        assert_eq!((half.mb_per_s(), half.cpu_s_per_gb()), (250.0, 6.0));
        half.add(cost(750_000_000, 1_000, 500));
        assert_eq!((half.mb_per_s(), half.cpu_s_per_gb()), (500.0, 2.0));
    }

    #[test]
    fn of_three_hops_one_is_the_clients() {
        // Per GB: 2 s and 3 s of CPU; 1 s and 1.5 s of CPU. How long each was measured does not count.
        let hop = three_hops(
            &cost(500_000_000, 1_000, 1_500),
            &cost(2_000_000_000, 2_000, 3_000),
        );
        assert!((hop.mb_per_s() - 750.0).abs() < 1e-6);
        assert!((hop.cpu_s_per_gb() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn cores_are_shared_by_three_hops_and_three_writes() {
        let (hop, write) = (cost(1_000_000_000, 1, 1_500), cost(1_000_000_000, 1, 500));
        assert!((most_mb_per_s(2, &hop, &write) - 2_000.0 / 6.0).abs() < 1e-6);
        assert!((most_mb_per_s(4, &hop, &write) - 4_000.0 / 6.0).abs() < 1e-6);
    }

    #[test]
    fn work_costs_cpu_and_waiting_does_not() {
        let meter = Meter::start();
        std::thread::sleep(Duration::from_millis(50));
        let slept = meter.stop(1);
        // Other tests run in this process meanwhile, so nothing is said of the CPU it took.
        assert!(slept.took >= Duration::from_millis(50));
        let meter = Meter::start();
        let mut sum = 0u64;
        while meter.at.elapsed() < Duration::from_millis(20) || sum == 0 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(meter.stop(1).cpu > Duration::ZERO);
    }
}
