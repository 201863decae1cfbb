//! Why there is no connection, or no longer: in a sentence that someone can act on, with a stable code.

use std::net::SocketAddr;

use paxlog_wire::Code;
use quinn::{ConnectionError, VarInt};

use crate::identity::cluster_label;

/// What ended a connection, or kept it from coming about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Nothing answers.
    #[error("{address} does not answer: is a replica running there, and does UDP reach it?")]
    Unreachable {
        /// The address that was dialled.
        address: SocketAddr,
    },
    /// The other side's certificate was signed by somebody else.
    #[error(
        "{address} has a certificate that our certificate authority did not sign: it belongs to another cluster, or `ca` is the wrong file"
    )]
    UnknownAuthority {
        /// The address that was dialled.
        address: SocketAddr,
    },
    /// The other side's certificate is signed by our authority, but unfit.
    #[error("{address} has an unfit certificate: {why}")]
    Unfit {
        /// The address that was dialled.
        address: SocketAddr,
        /// What is wrong with it.
        why: String,
    },
    /// The other side belongs to another cluster.
    #[error("{address} belongs to cluster {}, not to {}: check the address and the cluster's id", cluster_label(*found), cluster_label(*expected))]
    WrongCluster {
        /// The address.
        address: SocketAddr,
        /// Our cluster.
        expected: u128,
        /// Theirs.
        found: u128,
    },
    /// Another replica than was meant.
    #[error(
        "at {address} is {found}, not replica {expected}: check the members' addresses and which certificate was installed where"
    )]
    WrongReplica {
        /// The address that was dialled.
        address: SocketAddr,
        /// The replica that was meant.
        expected: u16,
        /// Whom the certificate names.
        found: String,
    },
    /// The certificate does not name a replica at all.
    #[error("{address} has a certificate that names no replica: {found}")]
    NotAReplica {
        /// The address that was dialled.
        address: SocketAddr,
        /// What it names.
        found: String,
    },
    /// The other side has no use for this plane.
    #[error(
        "{address} does not speak this protocol: clients' and replicas' ports are different ones"
    )]
    WrongPort {
        /// The address that was dialled.
        address: SocketAddr,
    },
    /// The other side refused our certificate.
    #[error("{address} refused our certificate: {why}")]
    OurCertificateRefused {
        /// The address.
        address: SocketAddr,
        /// Why, as far as it said.
        why: &'static str,
    },
    /// The other side closed with a code and a sentence.
    #[error("{address} closed the connection: {code}: {reason}")]
    Closed {
        /// The address.
        address: SocketAddr,
        /// The code.
        code: Code,
        /// The sentence.
        reason: String,
    },
    /// The connection broke: silence, a restart, or a broken protocol.
    #[error("the connection to {address} is lost: {why}")]
    Lost {
        /// The address.
        address: SocketAddr,
        /// How it was noticed.
        why: String,
    },
    /// This side closed it.
    #[error("the connection to {address} was closed here")]
    ClosedHere {
        /// The address.
        address: SocketAddr,
    },
}

/// TLS alerts (RFC 8446, section 6).
mod alert {
    pub(super) const HANDSHAKE_FAILURE: u64 = 40;
    pub(super) const BAD_CERTIFICATE: u64 = 42;
    pub(super) const CERTIFICATE_EXPIRED: u64 = 45;
    pub(super) const CERTIFICATE_UNKNOWN: u64 = 46;
    pub(super) const UNKNOWN_CA: u64 = 48;
    pub(super) const DECRYPT_ERROR: u64 = 51;
    pub(super) const CERTIFICATE_REQUIRED: u64 = 116;
    pub(super) const NO_APPLICATION_PROTOCOL: u64 = 120;
}

/// QUIC carries TLS alerts as its own codes from here on (RFC 9001, section 4.8).
const CRYPTO_ERROR: u64 = 0x100;
/// The acceptor has too much to do (RFC 9000, section 20.1).
const CONNECTION_REFUSED: u64 = 0x2;

impl PeerError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            PeerError::Unreachable { .. }
            | PeerError::Lost { .. }
            | PeerError::ClosedHere { .. } => Code::Unavailable,
            PeerError::UnknownAuthority { .. }
            | PeerError::Unfit { .. }
            | PeerError::WrongReplica { .. }
            | PeerError::NotAReplica { .. }
            | PeerError::OurCertificateRefused { .. } => Code::Unauthenticated,
            PeerError::WrongCluster { .. } => Code::WrongCluster,
            PeerError::WrongPort { .. } => Code::VersionMismatch,
            PeerError::Closed { code, .. } => *code,
        }
    }

    /// What quinn says of a connection, during the handshake or after it.
    pub(crate) fn of(address: SocketAddr, error: &ConnectionError) -> Self {
        let lost = |why: String| PeerError::Lost { address, why };
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = u16::try_from(close.error_code.into_inner())
                    .ok()
                    .and_then(Code::from_number);
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                match code {
                    Some(code) => PeerError::Closed {
                        address,
                        code,
                        reason,
                    },
                    None => lost(if reason.is_empty() {
                        "it was closed there".to_owned()
                    } else {
                        reason
                    }),
                }
            }
            ConnectionError::ConnectionClosed(close) => {
                let code = u64::from(close.error_code);
                if code == CONNECTION_REFUSED {
                    let reason = "too many connections are being opened there".to_owned();
                    return PeerError::Closed {
                        address,
                        code: Code::Overloaded,
                        reason,
                    };
                }
                Self::of_alert(address, code.wrapping_sub(CRYPTO_ERROR))
                    .unwrap_or_else(|| lost(close.to_string()))
            }
            ConnectionError::TransportError(error) => {
                let code = u64::from(error.code);
                if code == CRYPTO_ERROR + alert::NO_APPLICATION_PROTOCOL {
                    return PeerError::WrongPort { address };
                }
                lost(error.to_string())
            }
            ConnectionError::Reset => lost("the process there was restarted".to_owned()),
            ConnectionError::TimedOut => lost("it fell silent".to_owned()),
            ConnectionError::LocallyClosed => PeerError::ClosedHere { address },
            ConnectionError::VersionMismatch => PeerError::WrongPort { address },
            ConnectionError::CidsExhausted => lost(error.to_string()),
        }
    }

    fn of_alert(address: SocketAddr, alert: u64) -> Option<Self> {
        let why = match alert {
            alert::UNKNOWN_CA | alert::DECRYPT_ERROR => "its certificate authority did not sign it",
            alert::CERTIFICATE_EXPIRED => "it has expired, or is not valid yet",
            alert::CERTIFICATE_REQUIRED => "there was none",
            alert::BAD_CERTIFICATE | alert::CERTIFICATE_UNKNOWN | alert::HANDSHAKE_FAILURE => {
                "it is unfit"
            }
            alert::NO_APPLICATION_PROTOCOL => return Some(PeerError::WrongPort { address }),
            _ => return None,
        };
        Some(PeerError::OurCertificateRefused { address, why })
    }
}

/// A code as it closes connections and resets streams.
pub(crate) fn var_int(code: Code) -> VarInt {
    VarInt::from_u32(u32::from(code.number()))
}
