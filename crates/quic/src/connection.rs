//! A connection to a peer whose certificate was checked.

use std::net::SocketAddr;
use std::time::Duration;

use paxlog_wire::{Code, FrameLimits};
use rustls::pki_types::CertificateDer;

use crate::failure::{PeerError, var_int};
use crate::framed::{FrameReceiver, FrameSender};
use crate::identity::{Identity, Who};
use crate::transport::Lid;

/// An authenticated connection. Cheap to clone; it closes when all clones and streams are dropped.
#[derive(Clone, Debug)]
pub struct Connection {
    inner: quinn::Connection,
    peer: Identity,
    lid: Lid,
}

impl Connection {
    /// Reads the peer's identity out of its certificate.
    pub(crate) fn new(inner: quinn::Connection, lid: Lid) -> Result<Self, PeerError> {
        let address = inner.remote_address();
        let chain = inner
            .peer_identity()
            .and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let end_entity = chain.as_ref().and_then(|chain| chain.first());
        let Some(end_entity) = end_entity else {
            inner.close(var_int(Code::Unauthenticated), b"no certificate");
            return Err(PeerError::Unfit {
                address,
                why: "there is none".to_owned(),
            });
        };
        match Identity::of_certificate(end_entity) {
            Ok(peer) => Ok(Self { inner, peer, lid }),
            Err(error) => {
                inner.close(
                    var_int(Code::Unauthenticated),
                    b"your certificate names nobody of this system",
                );
                Err(PeerError::Unfit {
                    address,
                    why: error.to_string(),
                })
            }
        }
    }

    /// Whom the other side's certificate names.
    pub fn peer(&self) -> &Identity {
        &self.peer
    }

    /// The other side's replica id, if it is a replica.
    pub fn peer_replica(&self) -> Option<u16> {
        match self.peer.who {
            Who::Replica(id) => Some(id),
            Who::Client(_) | Who::Admin(_) => None,
        }
    }

    /// The other side's address at present.
    pub fn address(&self) -> SocketAddr {
        self.inner.remote_address()
    }

    /// Opens a stream of both directions. It exists for the other side once something is sent on it.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn open_bi(
        &self,
        limits: FrameLimits,
    ) -> Result<(FrameSender, FrameReceiver), PeerError> {
        let (send, receive) = self
            .inner
            .open_bi()
            .await
            .map_err(|error| self.error(&error))?;
        Ok((
            FrameSender::new(send, self.clone()),
            FrameReceiver::new(receive, self.clone(), limits),
        ))
    }

    /// Opens a stream that only this side sends on.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn open_uni(&self) -> Result<FrameSender, PeerError> {
        let send = self
            .inner
            .open_uni()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(FrameSender::new(send, self.clone()))
    }

    /// The next stream of both directions that the other side opened. Cancel-safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn accept_bi(
        &self,
        limits: FrameLimits,
    ) -> Result<(FrameSender, FrameReceiver), PeerError> {
        let (send, receive) = self
            .inner
            .accept_bi()
            .await
            .map_err(|error| self.error(&error))?;
        Ok((
            FrameSender::new(send, self.clone()),
            FrameReceiver::new(receive, self.clone(), limits),
        ))
    }

    /// The next stream that only the other side sends on. Cancel-safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn accept_uni(&self, limits: FrameLimits) -> Result<FrameReceiver, PeerError> {
        let receive = self
            .inner
            .accept_uni()
            .await
            .map_err(|error| self.error(&error))?;
        Ok(FrameReceiver::new(receive, self.clone(), limits))
    }

    /// Closes with a code and a sentence for the other side. What was written and not acknowledged may be lost.
    pub fn close(&self, code: Code, reason: &str) {
        self.inner.close(var_int(code), reason.as_bytes());
    }

    /// Waits until the connection is closed or lost, and says why.
    pub async fn closed(&self) -> PeerError {
        let error = self.inner.closed().await;
        self.error(&error)
    }

    /// Why the connection is closed or lost; none while it lives.
    pub fn close_reason(&self) -> Option<PeerError> {
        self.inner.close_reason().map(|error| self.error(&error))
    }

    /// The round trip, as measured lately.
    pub fn round_trip(&self) -> Duration {
        self.inner.rtt()
    }

    /// The largest UDP payload that is sent at present.
    pub fn mtu_bytes(&self) -> u16 {
        self.inner.stats().path.current_mtu
    }

    /// Packets found lost so far.
    pub fn lost_packets(&self) -> u64 {
        self.inner.stats().path.lost_packets
    }

    /// Bytes sent and received in UDP payloads so far.
    pub fn udp_bytes(&self) -> (u64, u64) {
        let stats = self.inner.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    /// Lowers what may be in flight to what the other side's socket can take.
    pub fn fit_in_flight(&self, receive_budget_bytes: u64) {
        if receive_budget_bytes > 0 {
            self.lid.lower_to(receive_budget_bytes / 2);
        }
    }

    pub(crate) fn error(&self, error: &quinn::ConnectionError) -> PeerError {
        PeerError::of(self.address(), error)
    }
}
