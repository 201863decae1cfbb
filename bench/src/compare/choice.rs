//! What is compared: systems, and the work that each is given.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A system under test; the same program with another promise is another system.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Three `paxlog serve` processes.
    Paxlog,
    /// Three etcd members.
    Etcd,
    /// Three NATS servers, JetStream with `sync_interval: always`.
    Nats,
    /// The same as it comes: acknowledged before it is synced.
    NatsDefault,
}

impl System {
    /// All, in the order of tables.
    pub const ALL: [System; 4] = [
        System::Paxlog,
        System::Etcd,
        System::Nats,
        System::NatsDefault,
    ];

    /// The word of the command line and of JSON.
    pub fn name(self) -> &'static str {
        match self {
            System::Paxlog => "paxlog",
            System::Etcd => "etcd",
            System::Nats => "nats",
            System::NatsDefault => "nats-default",
        }
    }

    /// The words of tables and plots.
    pub fn label(self) -> &'static str {
        match self {
            System::Paxlog => "Paxlog",
            System::Etcd => "etcd",
            System::Nats => "NATS JetStream, synced",
            System::NatsDefault => "NATS JetStream, default (not durable)",
        }
    }

    /// Whether an acknowledgement means that a majority has synced.
    pub fn durable(self) -> bool {
        self != System::NatsDefault
    }
}

/// A row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Scenario {
    /// One append of 1 KiB at a time.
    Lone,
    /// 16 appends of 1 KiB in flight.
    #[value(name = "16")]
    Flight16,
    /// 64 of them.
    #[value(name = "64")]
    Flight64,
    /// 256 of them.
    #[value(name = "256")]
    Flight256,
    /// The same, and the appender may pack what waits (Paxlog only).
    #[value(name = "256-coalesced")]
    Coalesced256,
    /// 2,048 of them.
    #[value(name = "2048")]
    Flight2048,
    /// The same, packed (Paxlog only).
    #[value(name = "2048-coalesced")]
    Coalesced2048,
    /// 4 producers, each with one batch of 64 x 1 KiB outstanding.
    #[value(name = "batch-64")]
    Batch64,
    /// 4 producers, each with one batch of 1,000 x 1 KiB outstanding.
    #[value(name = "batch-1000")]
    Batch1000,
    /// 64 appends of 64 KiB in flight.
    Large,
    /// One reader from the start of a long log.
    Backlog,
    /// 64 readers at the live end of 5,000 x 1 KiB a second.
    Live,
    /// The same, with one more reader that stops.
    Stuck,
    /// The leader is killed under a flow of appends.
    Failover,
}

/// What a load generator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Appends, as many in flight all the time.
    Appends {
        /// Clients, each with connections of its own; all append to one log.
        clients: usize,
        /// Appends in flight, over all clients.
        inflight: usize,
        /// Bytes of a record.
        payload: usize,
        /// Records of an append.
        records: usize,
        /// Whether the client library may pack appends into one.
        coalesce: bool,
    },
    /// One reader over a log that was filled before.
    Backlog {
        /// Bytes of a record.
        payload: usize,
        /// Bytes to fill it with.
        bytes: u64,
        /// The filling ends after so long, however much there is.
        fill_secs: u64,
    },
    /// Readers that follow a log as it grows.
    Live {
        /// How many.
        readers: usize,
        /// Records appended a second.
        rate: u64,
        /// Bytes of a record.
        payload: usize,
        /// Whether one more reader subscribes and then stops.
        stuck: bool,
    },
}

/// Which figure of a row is compared first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its key in a result.
    pub key: &'static str,
    /// Whether more is better.
    pub more: bool,
}

const KIB: usize = 1024;

impl Scenario {
    /// The word of the command line and of JSON.
    pub fn name(self) -> String {
        let value = self.to_possible_value().expect("no variant is skipped");
        value.get_name().to_owned()
    }

    /// All, in the order of tables.
    pub fn in_order() -> impl Iterator<Item = Scenario> {
        Scenario::value_variants().iter().copied()
    }

    /// The words of the table.
    pub fn title(self) -> &'static str {
        match self {
            Scenario::Lone => "a lone append of 1 KiB",
            Scenario::Flight16 => "16 in flight, 1 KiB, each its own append and receipt",
            Scenario::Flight64 => "64 in flight, 1 KiB, each its own append and receipt",
            Scenario::Flight256 => "256 in flight, 1 KiB, each its own append and receipt",
            Scenario::Coalesced256 => "256 in flight, 1 KiB, the appender may pack them",
            Scenario::Flight2048 => "2,048 in flight, 1 KiB, each its own append and receipt",
            Scenario::Coalesced2048 => "2,048 in flight, 1 KiB, the appender may pack them",
            Scenario::Batch64 => "4 producers, one batch of 64 x 1 KiB outstanding each",
            Scenario::Batch1000 => "4 producers, one batch of 1,000 x 1 KiB outstanding each",
            Scenario::Large => "64 in flight, 64 KiB",
            Scenario::Backlog => "one reader over a backlog of 1 KiB records",
            Scenario::Live => "64 readers at the live end, 5,000 x 1 KiB a second",
            Scenario::Stuck => "the same, and one reader more that is stuck",
            Scenario::Failover => {
                "the leader is killed: the longest gap in acknowledgements, 16 in flight"
            }
        }
    }

    /// What the load generator is to do; none for fail-over, which is driven from outside.
    pub fn work(self, backlog_bytes: u64, secs: u64) -> Option<Work> {
        let appends = |clients, inflight, payload, records, coalesce| Work::Appends {
            clients,
            inflight,
            payload,
            records,
            coalesce,
        };
        let live = |stuck| Work::Live {
            readers: 64,
            rate: 5_000,
            payload: KIB,
            stuck,
        };
        Some(match self {
            Scenario::Lone => appends(1, 1, KIB, 1, false),
            Scenario::Flight16 => appends(4, 16, KIB, 1, false),
            Scenario::Flight64 => appends(4, 64, KIB, 1, false),
            Scenario::Flight256 => appends(4, 256, KIB, 1, false),
            Scenario::Coalesced256 => appends(4, 256, KIB, 1, true),
            Scenario::Flight2048 => appends(4, 2048, KIB, 1, false),
            Scenario::Coalesced2048 => appends(4, 2048, KIB, 1, true),
            Scenario::Batch64 => appends(4, 4, KIB, 64, false),
            Scenario::Batch1000 => appends(4, 4, KIB, 1000, false),
            Scenario::Large => appends(4, 64, 64 * KIB, 1, false),
            Scenario::Backlog => Work::Backlog {
                payload: KIB,
                bytes: backlog_bytes,
                fill_secs: (2 * secs).clamp(10, 120),
            },
            Scenario::Live => live(false),
            Scenario::Stuck => live(true),
            Scenario::Failover => return None,
        })
    }

    /// Appends in flight, for the plot of throughput.
    pub fn inflight(self) -> Option<usize> {
        match self.work(0, 0) {
            Some(Work::Appends {
                inflight,
                payload: KIB,
                records: 1,
                ..
            }) => Some(inflight),
            _ => None,
        }
    }

    /// Why a system has no such row.
    pub fn without(self, system: System) -> Option<&'static str> {
        match self {
            Scenario::Coalesced256 | Scenario::Coalesced2048 if system != System::Paxlog => {
                Some("its client library does not pack separate appends into one")
            }
            _ => None,
        }
    }

    /// The figure that decides.
    pub fn primary(self) -> Primary {
        let (key, more) = match self {
            Scenario::Lone | Scenario::Live | Scenario::Stuck => ("p50_us", false),
            Scenario::Failover => ("gap_ms", false),
            Scenario::Large | Scenario::Backlog => ("mb_per_s", true),
            _ => ("ops_per_s", true),
        };
        Primary { key, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for scenario in Scenario::value_variants() {
            assert_eq!(
                Scenario::from_str(&scenario.name(), false),
                Ok(*scenario),
                "{scenario:?}"
            );
        }
        for system in System::ALL {
            assert_eq!(System::from_str(system.name(), false), Ok(system));
            assert_eq!(serde_json::to_value(system).unwrap(), system.name());
        }
    }

    #[test]
    fn the_plot_of_throughput_has_the_appends_of_1_kib() {
        let points: Vec<usize> = Scenario::value_variants()
            .iter()
            .filter_map(|scenario| scenario.inflight())
            .collect();
        assert_eq!(points, [1, 16, 64, 256, 256, 2048, 2048]);
    }
}
