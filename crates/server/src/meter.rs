//! Metrics of one replica, in a registry of its own: several replicas may share
//! a process.
//!
//! Handles are made once and kept; nothing is looked up by name while serving.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, Label, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use paxlog_node::Counters;
use paxlog_wal::{Observer, SegmentCounts, SyncReport};

use crate::status::Status;

/// 50 µs to 10 s.
const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.000_75, 0.001, 0.002, 0.003, 0.005, 0.01,
    0.025, 0.05, 0.1, 0.5, 1.0, 10.0,
];
/// 512 B to 16 MiB.
const BYTES: [f64; 9] = [
    512.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    2_097_152.0,
    4_194_304.0,
    16_777_216.0,
];

/// The handles of everything measured on the core's thread.
pub(crate) struct Meter {
    appends: Counter,
    records: Counter,
    bytes: Counter,
    duplicates: Counter,
    refused: Counter,
    values: Counter,
    leader_changes: Counter,
    read_bytes: Counter,
    append_seconds: Histogram,
    turn_seconds: Histogram,
    slots_in_flight: Gauge,
    commands_queued: Gauge,
    commit_index: Gauge,
    applied_index: Gauge,
    is_leader: Gauge,
    ready: Gauge,
    logs: Gauge,
    producers: Gauge,
    readers: Gauge,
    connections: Gauge,
    index_batches: Gauge,
    memory: Gauge,
    peers: BTreeMap<u16, PeerGauges>,
}

struct PeerGauges {
    up: Gauge,
    lag: Gauge,
    round_trip: Gauge,
}

/// The handles of the write-ahead log's measurements, for its own threads.
pub(crate) struct WalMeter {
    sync_seconds: Histogram,
    sync_bytes: Histogram,
    syncs: Counter,
    synced_bytes: Counter,
    synced_frames: Counter,
    slow: Counter,
    stalls: Counter,
    failures: Counter,
    corrupt: Counter,
    segments: Gauge,
    segment_bytes: Gauge,
    ready_segments: Gauge,
}

/// Makes a registry with every metric of a replica.
pub(crate) fn build(
    replica: u16,
    peers: &[u16],
) -> Result<(Meter, WalMeter, PrometheusHandle), BuildError> {
    let recorder = PrometheusBuilder::new()
        .add_global_label("replica", replica.to_string())
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".into()), &BYTES)?
        .build_recorder();
    let handle = recorder.handle();
    let (meter, wal) =
        metrics::with_local_recorder(&recorder, || (Meter::new(peers), WalMeter::new()));
    Ok((meter, wal, handle))
}

fn counted(name: &'static str, what: &'static str) -> Counter {
    describe_counter!(name, what);
    counter!(name)
}

fn gauged(name: &'static str, what: &'static str) -> Gauge {
    describe_gauge!(name, what);
    gauge!(name)
}

fn spread(name: &'static str, what: &'static str) -> Histogram {
    describe_histogram!(name, what);
    histogram!(name)
}

impl Meter {
    fn new(peers: &[u16]) -> Meter {
        describe_gauge!(
            "paxlog_peer_up",
            "Whether the peer was heard lately and hears this replica"
        );
        describe_gauge!(
            "paxlog_peer_lag_slots",
            "Slots that the peer is behind this replica's commit index"
        );
        describe_gauge!(
            "paxlog_peer_round_trip_seconds",
            "Smoothed round trip to the peer, waiting included"
        );
        let peer = |id: &u16| {
            let label = || vec![Label::new("peer", id.to_string())];
            let gauges = PeerGauges {
                up: gauge!("paxlog_peer_up", label()),
                lag: gauge!("paxlog_peer_lag_slots", label()),
                round_trip: gauge!("paxlog_peer_round_trip_seconds", label()),
            };
            (*id, gauges)
        };
        Meter {
            appends: counted(
                "paxlog_appends_total",
                "Appends applied, duplicates not counted",
            ),
            records: counted(
                "paxlog_append_records_total",
                "Records in the appends applied",
            ),
            bytes: counted("paxlog_append_bytes_total", "Bytes of the batches applied"),
            duplicates: counted(
                "paxlog_append_duplicates_total",
                "Appends answered from a kept receipt",
            ),
            refused: counted(
                "paxlog_commands_refused_total",
                "Commands refused, at admission or at apply",
            ),
            values: counted(
                "paxlog_values_proposed_total",
                "Values proposed by this replica",
            ),
            leader_changes: counted(
                "paxlog_leader_changes_total",
                "Changes of the leader known to this replica",
            ),
            read_bytes: counted(
                "paxlog_read_bytes_total",
                "Bytes of batches sent to readers",
            ),
            append_seconds: spread(
                "paxlog_append_seconds",
                "From an append's admission by the leader to its receipt",
            ),
            turn_seconds: spread("paxlog_core_turn_seconds", "Length of a turn of the core"),
            slots_in_flight: gauged(
                "paxlog_slots_in_flight",
                "Slots proposed by this replica and not yet chosen",
            ),
            commands_queued: gauged("paxlog_commands_queued", "Commands waiting to be proposed"),
            commit_index: gauged(
                "paxlog_commit_index",
                "Slots below are known chosen by the leader",
            ),
            applied_index: gauged(
                "paxlog_applied_index",
                "Slots below are applied by this replica",
            ),
            is_leader: gauged("paxlog_is_leader", "1 where this replica leads"),
            ready: gauged("paxlog_ready", "1 where this replica serves"),
            logs: gauged("paxlog_logs", "Logs in the group"),
            producers: gauged("paxlog_producers", "Producers known to the group"),
            readers: gauged("paxlog_tailing_readers", "Open read and tail streams"),
            connections: gauged("paxlog_client_connections", "Open connections of clients"),
            index_batches: gauged(
                "paxlog_index_batches",
                "Batches that the index holds one by one",
            ),
            memory: gauged(
                "paxlog_anonymous_memory_bytes",
                "Anonymous resident memory of the process",
            ),
            peers: peers.iter().map(peer).collect(),
        }
    }

    /// One append was answered.
    pub(crate) fn receipt(&self, nanoseconds: u64) {
        self.append_seconds.record(nanoseconds as f64 / 1e9);
    }

    /// A turn took so long.
    pub(crate) fn turn(&self, took: Duration) {
        self.turn_seconds.record(took);
    }

    /// Brings counters and gauges up to date.
    pub(crate) fn update(
        &self,
        counters: &Counters,
        core: &paxlog_node::Status,
        status: &Status,
        connections: u64,
        read_bytes: u64,
    ) {
        self.appends.absolute(counters.appends);
        self.records.absolute(counters.records);
        self.bytes.absolute(counters.bytes);
        self.duplicates.absolute(counters.duplicates);
        self.refused.absolute(counters.refused);
        self.values.absolute(counters.values);
        self.leader_changes.absolute(counters.leader_changes);
        self.read_bytes.absolute(read_bytes);
        self.slots_in_flight.set(core.slots_in_flight as f64);
        self.commands_queued.set(core.commands_queued as f64);
        self.commit_index.set(status.commit_index as f64);
        self.applied_index.set(status.applied_index as f64);
        self.is_leader
            .set(if status.role == "leader" { 1.0 } else { 0.0 });
        self.ready.set(if status.ready { 1.0 } else { 0.0 });
        self.logs.set(status.logs as f64);
        self.producers.set(status.producers as f64);
        self.readers.set(status.readers as f64);
        self.connections.set(connections as f64);
        self.index_batches.set(core.recent_batches as f64);
        for peer in &status.peers {
            if let Some(gauges) = self.peers.get(&peer.id) {
                gauges.up.set(if peer.up { 1.0 } else { 0.0 });
                gauges.lag.set(peer.lag_slots as f64);
                if let Some(us) = peer.round_trip_us {
                    gauges.round_trip.set(us as f64 / 1e6);
                }
            }
        }
    }

    /// The process' anonymous memory was looked up.
    pub(crate) fn memory(&self, bytes: u64) {
        self.memory.set(bytes as f64);
    }
}

impl WalMeter {
    fn new() -> WalMeter {
        WalMeter {
            sync_seconds: spread(
                "paxlog_wal_sync_seconds",
                "Length of a sync of the write-ahead log",
            ),
            sync_bytes: spread(
                "paxlog_wal_sync_batch_bytes",
                "Bytes that one sync made durable",
            ),
            syncs: counted("paxlog_wal_syncs_total", "Syncs of the write-ahead log"),
            synced_bytes: counted(
                "paxlog_wal_synced_bytes_total",
                "Bytes made durable, headers and padding included",
            ),
            synced_frames: counted("paxlog_wal_synced_frames_total", "Frames made durable"),
            slow: counted("paxlog_wal_slow_syncs_total", "Syncs longer than 100 ms"),
            stalls: counted(
                "paxlog_wal_stalls_total",
                "Syncs that did not return within the stall limit",
            ),
            failures: counted(
                "paxlog_wal_failures_total",
                "Failures that ended the write-ahead log",
            ),
            corrupt: counted(
                "paxlog_wal_corrupt_reads_total",
                "Reads that found damaged bytes",
            ),
            segments: gauged("paxlog_wal_segments", "Segments with frames"),
            segment_bytes: gauged(
                "paxlog_wal_size_bytes",
                "Bytes of the write-ahead log's files",
            ),
            ready_segments: gauged("paxlog_wal_ready_segments", "Empty segments prepared ahead"),
        }
    }
}

impl Observer for WalMeter {
    fn synced(&self, report: &SyncReport) {
        self.sync_seconds.record(report.took);
        self.sync_bytes.record(report.bytes as f64);
        self.syncs.increment(1);
        self.synced_bytes.increment(report.bytes);
        self.synced_frames.increment(report.frames);
    }

    fn sync_slow(&self, took: Duration) {
        self.slow.increment(1);
        tracing::warn!(milliseconds = took.as_millis() as u64, "a sync was slow");
    }

    fn stalled(&self, running: Duration) {
        self.stalls.increment(1);
        tracing::error!(
            milliseconds = running.as_millis() as u64,
            "the disk has stalled: a sync does not return"
        );
    }

    fn segments(&self, counts: &SegmentCounts) {
        self.segments.set(counts.live as f64);
        self.ready_segments.set(counts.ready as f64);
        self.segment_bytes.set(counts.bytes as f64);
    }

    fn failed(&self, reason: &str) {
        self.failures.increment(1);
        tracing::error!(
            reason,
            "the write-ahead log failed: nothing is acknowledged any more"
        );
    }

    fn prepare_failed(&self, reason: &str) {
        tracing::warn!(reason, "no segment can be prepared");
    }

    fn corrupt(&self) {
        self.corrupt.increment(1);
    }
}

/// The anonymous resident memory of this process, in bytes; mapped segments are
/// not in it.
pub(crate) fn anonymous_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
