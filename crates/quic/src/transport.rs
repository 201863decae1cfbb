//! Transport settings, and a congestion controller with a lid.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use paxlog_wire::limits::CLIENT_STREAMS_MAX;
use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::plane::{Plane, Tuning};

/// The least that a lid allows: two of the largest datagrams.
const LID_BYTES_MIN: u64 = 13_000;
/// What a fresh connection may have in flight before anything was acknowledged.
const INITIAL_WINDOW_BYTES: u64 = 64 << 10;

/// The most that one connection may have in flight; can be lowered while it lives.
#[derive(Clone, Debug)]
pub(crate) struct Lid(Arc<AtomicU64>);

impl Lid {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Arc::new(AtomicU64::new(bytes.max(LID_BYTES_MIN))))
    }

    pub(crate) fn lower_to(&self, bytes: u64) {
        self.0
            .fetch_min(bytes.max(LID_BYTES_MIN), Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Settings of one connection; each has its own, since each has its own lid.
pub(crate) fn transport(plane: Plane, tuning: &Tuning, lid: &Lid) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(tuning.mtu_bytes_max);
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(discovery))
        .enable_segmentation_offload(true)
        .initial_rtt(tuning.initial_rtt)
        .keep_alive_interval(Some(tuning.keep_alive))
        .max_idle_timeout(Some(
            IdleTimeout::try_from(tuning.idle).expect("an idle time of less than 2^62 ms"),
        ))
        .receive_window(VarInt::from_u32(tuning.connection_window))
        .stream_receive_window(VarInt::from_u32(tuning.stream_window))
        .send_window(tuning.send_window)
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(Lidded {
            lid: lid.clone(),
            cubic: Arc::new(cubic()),
        }));
    match plane {
        // Streams are opened by clients: control, commands, queries, reads and tails.
        Plane::Clients => config
            .max_concurrent_bidi_streams(VarInt::from_u32(CLIENT_STREAMS_MAX))
            .max_concurrent_uni_streams(VarInt::from_u32(0)),
        // One for the hello, and the streams of envelopes.
        Plane::Replicas => config
            .max_concurrent_bidi_streams(VarInt::from_u32(2))
            .max_concurrent_uni_streams(VarInt::from_u32(8)),
    };
    config
}

fn cubic() -> CubicConfig {
    let mut cubic = CubicConfig::default();
    cubic.initial_window(INITIAL_WINDOW_BYTES);
    cubic
}

struct Lidded {
    lid: Lid,
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for Lidded {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let inner = self.cubic.clone().build(now, current_mtu);
        Box::new(LiddedController {
            lid: self.lid.clone(),
            inner,
        })
    }
}

/// CUBIC below a lid: more in flight than sockets can buffer is slower, not faster, on links as fast as ours.
struct LiddedController {
    lid: Lid,
    inner: Box<dyn Controller>,
}

impl Controller for LiddedController {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &quinn_proto::RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        self.inner.window().min(self.lid.bytes())
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.inner.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            lid: self.lid.clone(),
            inner: self.inner.clone_box(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window().min(self.lid.bytes())
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_stays_below_the_lid_and_the_lid_only_falls() {
        let lid = Lid::new(256 << 10);
        let factory = Arc::new(Lidded {
            lid: lid.clone(),
            cubic: Arc::new(cubic()),
        });
        let mut controller = factory.build(Instant::now(), 1_200);
        assert_eq!(controller.window(), INITIAL_WINDOW_BYTES);
        lid.lower_to(40_000);
        assert_eq!(
            (controller.window(), controller.initial_window()),
            (40_000, 40_000)
        );
        assert_eq!(controller.clone_box().window(), 40_000);
        lid.lower_to(1 << 30);
        assert_eq!(controller.window(), 40_000);
        lid.lower_to(0);
        assert_eq!(controller.window(), LID_BYTES_MIN);
        // What the controller below thinks still counts.
        let now = Instant::now();
        controller.on_congestion_event(now, now, true, 1_200);
        assert!(controller.window() <= LID_BYTES_MIN);
    }

    #[test]
    fn settings_are_those_of_the_design() {
        let text = format!(
            "{:?}",
            transport(Plane::Replicas, &Tuning::of(Plane::Replicas), &Lid::new(1))
        );
        for expected in [
            "upper_bound: 6500",
            "enable_segmentation_offload: true",
            "datagram_receive_buffer_size: None",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        // Ten segments of the largest size must fit one call.
        assert!(usize::from(Tuning::of(Plane::Clients).mtu_bytes_max) * 10 <= 65_507);
    }
}
