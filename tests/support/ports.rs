//! Ports that stay ours while a replica is down.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use super::Rng;

/// Ports come in blocks, below the range that the system gives to whoever asks for any port: else a client's
/// socket could take a killed replica's port before it is back.
const FIRST: u16 = 10_000;
const BLOCK: u16 = 20;
const BLOCKS: u64 = 1_000;

/// A block of ports. Its first one is held as a TCP listener, so that no other test, in this process or
/// another, takes the block meanwhile.
pub(crate) struct Ports {
    base: u16,
    _held: TcpListener,
}

impl Ports {
    /// Finds a block that nobody uses.
    pub(crate) fn take() -> Ports {
        let mut rng = Rng::random();
        for _ in 0..10_000 {
            let base = FIRST + BLOCK * rng.below(BLOCKS) as u16;
            let Ok(held) = TcpListener::bind(local(base)) else {
                continue;
            };
            let free = (base + 1..base + BLOCK).all(|port| {
                TcpListener::bind(local(port)).is_ok() && UdpSocket::bind(local(port)).is_ok()
            });
            if free {
                return Ports { base, _held: held };
            }
        }
        panic!("no block of free ports on 127.0.0.1");
    }

    /// Where replica `id` (from 1) serves clients: UDP, counting up.
    pub(crate) fn clients(&self, id: u16) -> SocketAddr {
        local(self.base + id)
    }

    /// Where it serves replicas: UDP, ten above, as `dev` has it.
    pub(crate) fn replicas(&self, id: u16) -> SocketAddr {
        local(self.base + 10 + id)
    }

    /// Where it serves HTTP: TCP.
    pub(crate) fn metrics(&self, id: u16) -> SocketAddr {
        local(self.base + id)
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
