//! QUIC for Paxlog: endpoints, TLS identities, frames over streams, and links between replicas.
//!
//! Every connection is mutually authenticated with TLS 1.3; a peer's identity is the one DNS name of its certificate
//! ([`identity`]). Clients and replicas use different ports and protocol names ([`Plane`]). Everything runs on the tokio
//! runtime it was started on; a current-thread runtime is enough. quinn, rustls and tokio's sockets do not appear in what this
//! crate gives out.
//!
//! | module | is |
//! |---|---|
//! | [`certs`] | a private certificate authority; certificates and keys as files |
//! | [`identity`] | who holds a certificate |
//! | [`endpoint`] | dialling and accepting |
//! | [`connection`] | an authenticated connection and its streams |
//! | [`framed`] | frames over streams |
//! | [`links`] | what each pair of replicas keeps |
//! | [`failure`] | why a connection is refused or lost |

pub mod certs;
pub mod connection;
pub mod endpoint;
pub mod failure;
pub mod framed;
pub mod identity;
pub mod links;
mod plane;
mod socket;
mod tls;
mod transport;

pub use certs::{CertificateAuthority, CertsError, Credentials, Issued};
pub use connection::Connection;
pub use endpoint::{Acceptor, Endpoint};
pub use failure::PeerError;
pub use framed::{FrameReceiver, FrameSender, ReceiveError, SendError};
pub use identity::{Identity, Who};
pub use links::{LinkEvent, LinkEvents, LinkPeer, LinkStatus, Links, LinksConfig};
pub use plane::{Plane, Tuning};
pub use socket::{BindError, BoundSocket};
pub use tls::Expect;
