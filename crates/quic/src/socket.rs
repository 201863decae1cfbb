//! The UDP socket under an endpoint.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::plane::Tuning;

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has the port.
    #[error("{address} (UDP) is in use: stop what listens there, or choose another port")]
    Busy {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The kernel refused for another reason.
    #[error("cannot listen on {address} (UDP): {source}")]
    Refused {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A bound UDP socket that nothing is served on yet.
///
/// So that an owner can find out that a port is busy before it changes anything else.
#[derive(Debug)]
pub struct BoundSocket(pub(crate) Bound);

impl BoundSocket {
    /// Binds an address for [`Endpoint::serve_on`](crate::Endpoint::serve_on).
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn bind(address: SocketAddr, tuning: &Tuning) -> Result<BoundSocket, BindError> {
        bind(address, tuning.socket_bytes).map(BoundSocket)
    }
}

/// A socket with the buffers that the kernel granted.
#[derive(Debug)]
pub(crate) struct Bound {
    /// What was asked for.
    pub(crate) address: SocketAddr,
    pub(crate) socket: UdpSocket,
    /// The receive buffer as the kernel counts it.
    pub(crate) receive_bytes: u64,
}

/// Binds, and asks for `bytes` of buffer in each direction; the kernel may grant less.
pub(crate) fn bind(address: SocketAddr, bytes: usize) -> Result<Bound, BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Busy { address },
        _ => BindError::Refused { address, source },
    };
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )
    .map_err(refused)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // Serve IPv4 too, whatever the system's default is.
        socket.set_only_v6(false).map_err(refused)?;
    }
    socket.bind(&address.into()).map_err(refused)?;
    socket.set_nonblocking(true).map_err(refused)?;
    // What is not granted is missing throughput, not a failure.
    let _ = socket.set_recv_buffer_size(bytes);
    let _ = socket.set_send_buffer_size(bytes);
    let (receive, send) = (
        socket.recv_buffer_size().unwrap_or(0),
        socket.send_buffer_size().unwrap_or(0),
    );
    tracing::debug!(%address, asked = bytes, receive, send, "socket buffers granted");
    Ok(Bound {
        address,
        socket: socket.into(),
        receive_bytes: receive as u64,
    })
}

/// Binds for dialling only: any port, both address families if the system has both.
pub(crate) fn bind_any(bytes: usize) -> Result<Bound, BindError> {
    bind((Ipv6Addr::UNSPECIFIED, 0).into(), bytes)
        .or_else(|_| bind((Ipv4Addr::UNSPECIFIED, 0).into(), bytes))
}
