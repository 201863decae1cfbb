//! The two planes: different ports, different protocol names, different transport settings.

use std::time::Duration;

/// Whom an endpoint talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    /// Clients and replicas.
    Clients,
    /// Replicas among each other.
    Replicas,
}

impl Plane {
    /// The protocol's name in the TLS handshake.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Plane::Clients => b"paxlog-client/1",
            Plane::Replicas => b"paxlog-replica/1",
        }
    }
}

/// What can be tuned about an endpoint. [`Tuning::of`] is what fits a LAN.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// The largest UDP payload to look for on a path. Ten of them must fit one send call (65,507 bytes).
    pub mtu_bytes_max: u16,
    /// What to ask the kernel for, for each direction of the socket.
    pub socket_bytes: usize,
    /// The most that one connection has in flight, whatever its congestion controller thinks.
    pub in_flight_bytes_max: u64,
    /// A connection that is silent for so long is lost.
    pub idle: Duration,
    /// Something is sent at least so often.
    pub keep_alive: Duration,
    /// The round trip to assume before one was measured; retransmissions of the handshake follow from it.
    pub initial_rtt: Duration,
    /// How long a dialler waits for the handshake.
    pub dial: Duration,
    /// How long an acceptor gives a handshake.
    pub handshake: Duration,
    /// What one connection may have received and not yet read, in bytes.
    pub connection_window: u32,
    /// What one stream may have received and not yet read, in bytes.
    pub stream_window: u32,
    /// What one connection may have written and not yet been acknowledged, in bytes.
    pub send_window: u64,
}

impl Tuning {
    /// The settings for a plane.
    pub fn of(plane: Plane) -> Self {
        let common = Self {
            mtu_bytes_max: 6_500,
            socket_bytes: 4 << 20,
            in_flight_bytes_max: 256 << 10,
            idle: Duration::from_secs(10),
            keep_alive: Duration::from_secs(1),
            initial_rtt: Duration::from_millis(10),
            dial: Duration::from_secs(2),
            handshake: Duration::from_secs(3),
            connection_window: 16 << 20,
            stream_window: 1 << 20,
            send_window: 1 << 20,
        };
        match plane {
            Plane::Clients => common,
            Plane::Replicas => Self {
                idle: Duration::from_secs(2),
                keep_alive: Duration::from_millis(300),
                initial_rtt: Duration::from_millis(5),
                dial: Duration::from_secs(1),
                // Above what the core allows in flight (16 MiB of values), so that it is the core that holds back.
                connection_window: 48 << 20,
                stream_window: 24 << 20,
                ..common
            },
        }
    }
}
