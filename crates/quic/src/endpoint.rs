//! Endpoints: one socket each, dialling and, on a replica, accepting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use paxlog_wire::Code;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{ClientConfig, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use quinn_proto::RandomConnectionIdGenerator;
use quinn_proto::crypto::{CryptoError, HmacKey};
use tokio::sync::mpsc;

use crate::certs::Credentials;
use crate::connection::Connection;
use crate::failure::{PeerError, var_int};
use crate::identity::{Identity, Who};
use crate::plane::{Plane, Tuning};
use crate::socket::{self, BindError, Bound, BoundSocket};
use crate::tls::{self, Expect, Objection};
use crate::transport::{Lid, transport};

/// Handshakes under way at once, beyond which connections are refused.
const HANDSHAKES_MAX: usize = 1_024;
/// Handshakes under way, from which on an address must prove that it receives before it costs us anything.
const HANDSHAKES_BEFORE_RETRY: usize = 128;
/// What is buffered for a connection whose handshake has not begun, in bytes.
const INCOMING_BYTES_MAX: u64 = 64 << 10;
/// The same for all of them together.
const INCOMING_BYTES_TOTAL_MAX: u64 = 16 << 20;
/// Handshakes under way, from which on failed ones are logged only at debug level.
const REFUSALS_LOGGED: usize = 16;
/// Accepted connections that nobody took yet.
const ACCEPTED_MAX: usize = 64;

/// One side's end of QUIC on one plane. Cheap to clone; connections live until [`Endpoint::close`] or their own end.
#[derive(Clone, Debug)]
pub struct Endpoint {
    inner: quinn::Endpoint,
    plane: Plane,
    tuning: Tuning,
    credentials: Credentials,
    receive_bytes: u64,
}

/// Connections that others opened, authenticated and of the right cluster and plane.
#[derive(Debug)]
pub struct Acceptor {
    accepted: mpsc::Receiver<Connection>,
}

impl Endpoint {
    /// Binds `address` (port 0: any), and accepts as well as dials. Must be called within a tokio runtime, on which everything
    /// then runs.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn serve(
        plane: Plane,
        address: SocketAddr,
        credentials: &Credentials,
        tuning: Tuning,
    ) -> Result<(Self, Acceptor), BindError> {
        let socket = BoundSocket::bind(address, &tuning)?;
        Self::serve_on(plane, socket, credentials, tuning)
    }

    /// As [`Endpoint::serve`], on an address that was bound before.
    ///
    /// # Errors
    /// When the runtime can't take the socket.
    pub fn serve_on(
        plane: Plane,
        socket: BoundSocket,
        credentials: &Credentials,
        tuning: Tuning,
    ) -> Result<(Self, Acceptor), BindError> {
        let crypto = Arc::new(tls::quic_server(tls::server_config(plane, credentials)));
        let lid = Lid::new(tuning.in_flight_bytes_max);
        let config = server_config(plane, &tuning, crypto.clone(), &lid);
        let endpoint = Self::over(plane, credentials, tuning, socket.0, Some(config))?;
        let (sender, accepted) = mpsc::channel(ACCEPTED_MAX);
        tokio::spawn(accept_all(endpoint.clone(), crypto, sender));
        Ok((endpoint, Acceptor { accepted }))
    }

    /// Binds any port, and only dials. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system has no socket to give.
    pub fn dial_only(
        plane: Plane,
        credentials: &Credentials,
        tuning: Tuning,
    ) -> Result<Self, BindError> {
        let bound = socket::bind_any(tuning.socket_bytes)?;
        Self::over(plane, credentials, tuning, bound, None)
    }

    fn over(
        plane: Plane,
        credentials: &Credentials,
        tuning: Tuning,
        bound: Bound,
        server: Option<ServerConfig>,
    ) -> Result<Self, BindError> {
        let config = endpoint_config(plane, credentials, &tuning);
        let address = bound.address;
        let inner = quinn::Endpoint::new(config, server, bound.socket, Arc::new(TokioRuntime))
            .map_err(|source| BindError::Refused { address, source })?;
        let credentials = credentials.clone();
        Ok(Self {
            inner,
            plane,
            tuning,
            credentials,
            receive_bytes: bound.receive_bytes,
        })
    }

    /// The address it is bound to, with the real port.
    ///
    /// # Panics
    /// When the system does not know an open socket's address.
    pub fn local_address(&self) -> SocketAddr {
        self.inner
            .local_addr()
            .expect("a bound socket has an address")
    }

    /// Who we are.
    pub fn identity(&self) -> &Identity {
        self.credentials.identity()
    }

    /// The receive buffer that the kernel granted, as it counts it, in bytes.
    pub fn receive_bytes(&self) -> u64 {
        self.receive_bytes
    }

    /// Opens a connection, and checks who answers.
    ///
    /// That the other side accepts *our* certificate is known only with its first bytes (TLS 1.3): its refusal comes with the
    /// first use of the connection.
    ///
    /// # Errors
    /// When nobody answers in time, or it is not who was expected.
    pub async fn connect(
        &self,
        address: SocketAddr,
        expect: Expect,
    ) -> Result<Connection, PeerError> {
        let (config, verdict) = tls::client_config(self.plane, &self.credentials, expect);
        let lid = Lid::new(self.tuning.in_flight_bytes_max);
        let mut client = ClientConfig::new(Arc::new(tls::quic_client(config)));
        client.transport_config(Arc::new(transport(self.plane, &self.tuning, &lid)));
        let cluster = self.identity().cluster;
        let id = match expect {
            Expect::Replica(id) => id,
            Expect::AnyReplica => u16::MAX,
        };
        // Only a hint to the other side: the verifier judges what comes back.
        let name = Identity::replica(cluster, id)
            .dns_name()
            .map_err(|error| PeerError::Unfit {
                address,
                why: error.to_string(),
            })?;
        let connecting = self
            .inner
            .connect_with(client, address, &name)
            .map_err(|error| PeerError::Lost {
                address,
                why: error.to_string(),
            })?;
        let connected = match tokio::time::timeout(self.tuning.dial, connecting).await {
            Err(_) => return Err(PeerError::Unreachable { address }),
            Ok(Err(quinn::ConnectionError::TimedOut)) => {
                return Err(PeerError::Unreachable { address });
            }
            Ok(connected) => connected,
        };
        match connected {
            Ok(connection) => Connection::new(connection, lid),
            Err(error) => Err(match verdict.take() {
                Some(objection) => objection.at(address, cluster, expect),
                None => PeerError::of(address, &error),
            }),
        }
    }

    /// Closes every connection with a code and a sentence, and stops accepting.
    pub fn close(&self, code: Code, reason: &str) {
        self.inner.close(var_int(code), reason.as_bytes());
    }

    /// Waits until the other sides know that we closed, for a bounded time.
    pub async fn drained(&self, patience: Duration) {
        let _ = tokio::time::timeout(patience, self.inner.wait_idle()).await;
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.inner.open_connections()
    }
}

impl Acceptor {
    /// The next connection; none once the endpoint is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Connection> {
        self.accepted.recv().await
    }
}

/// Takes what comes, within the limits that hold before anybody is authenticated.
async fn accept_all(
    endpoint: Endpoint,
    crypto: Arc<QuicServerConfig>,
    accepted: mpsc::Sender<Connection>,
) {
    let pending = Arc::new(AtomicUsize::new(0));
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.inner.accept() => incoming,
            // Nobody will take connections any more. The socket goes with the endpoint's last clone.
            () = accepted.closed() => {
                endpoint.inner.set_server_config(None);
                None
            }
        };
        let Some(incoming) = incoming else { return };
        let under_way = pending.load(Ordering::Relaxed);
        if under_way >= HANDSHAKES_MAX {
            incoming.refuse();
            continue;
        }
        if under_way >= HANDSHAKES_BEFORE_RETRY && !incoming.remote_address_validated() {
            // It fails only for an address that was validated already.
            let _ = incoming.retry();
            continue;
        }
        pending.fetch_add(1, Ordering::Relaxed);
        let (endpoint, crypto, accepted, pending) = (
            endpoint.clone(),
            crypto.clone(),
            accepted.clone(),
            pending.clone(),
        );
        tokio::spawn(async move {
            let address = incoming.remote_address();
            let admitted = admit(&endpoint, crypto, incoming).await;
            pending.fetch_sub(1, Ordering::Relaxed);
            match admitted {
                // Gone if the owner stopped accepting: then the connection closes by being dropped.
                Ok(connection) => drop(accepted.send(connection).await),
                // Somebody who came and went is no news; and a flood must not fill the log too.
                Err(error)
                    if under_way < REFUSALS_LOGGED && !matches!(error, PeerError::Lost { .. }) =>
                {
                    tracing::warn!(plane = ?endpoint.plane, peer = %address, "refused a connection: {error}");
                }
                Err(error) => {
                    tracing::debug!(plane = ?endpoint.plane, peer = %address, "refused a connection: {error}");
                }
            }
        });
    }
}

/// One handshake, and whether whoever came belongs here.
async fn admit(
    endpoint: &Endpoint,
    crypto: Arc<QuicServerConfig>,
    incoming: Incoming,
) -> Result<Connection, PeerError> {
    let address = incoming.remote_address();
    let lid = Lid::new(endpoint.tuning.in_flight_bytes_max);
    let config = server_config(endpoint.plane, &endpoint.tuning, crypto, &lid);
    let connecting = incoming
        .accept_with(Arc::new(config))
        .map_err(|error| PeerError::of(address, &error))?;
    let connection = match tokio::time::timeout(endpoint.tuning.handshake, connecting).await {
        Err(_) => {
            return Err(PeerError::Lost {
                address,
                why: "the handshake took too long".to_owned(),
            });
        }
        Ok(connected) => connected.map_err(|error| PeerError::of(address, &error))?,
    };
    let connection = Connection::new(connection, lid)?;
    let peer = connection.peer();
    let cluster = endpoint.identity().cluster;
    if peer.cluster != cluster {
        let error = PeerError::WrongCluster {
            address,
            expected: cluster,
            found: peer.cluster,
        };
        connection.close(
            Code::WrongCluster,
            "your certificate belongs to another cluster",
        );
        return Err(error);
    }
    if endpoint.plane == Plane::Replicas && !matches!(peer.who, Who::Replica(_)) {
        let error = PeerError::NotAReplica {
            address,
            found: peer.to_string(),
        };
        connection.close(
            Code::Forbidden,
            "this port is for replicas, and your certificate is not a replica's",
        );
        return Err(error);
    }
    Ok(connection)
}

impl Objection {
    fn at(self, address: SocketAddr, cluster: u128, expect: Expect) -> PeerError {
        match self {
            Objection::UnknownAuthority => PeerError::UnknownAuthority { address },
            Objection::Unfit(why) => PeerError::Unfit { address, why },
            Objection::NotAReplica(found) => PeerError::NotAReplica { address, found },
            Objection::WrongCluster(found) => PeerError::WrongCluster {
                address,
                expected: cluster,
                found,
            },
            Objection::WrongReplica(found) => {
                let expected = match expect {
                    Expect::Replica(id) => id,
                    Expect::AnyReplica => 0,
                };
                PeerError::WrongReplica {
                    address,
                    expected,
                    found,
                }
            }
        }
    }
}

fn server_config(
    plane: Plane,
    tuning: &Tuning,
    crypto: Arc<QuicServerConfig>,
    lid: &Lid,
) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(crypto);
    config
        .transport_config(Arc::new(transport(plane, tuning, lid)))
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX)
        .migration(plane == Plane::Clients);
    config
}

/// What tells the other side of a connection from before a restart that it is gone must be the same after the restart: the key
/// of reset tokens follows from our private key, and connection ids are plainly random.
fn endpoint_config(plane: Plane, credentials: &Credentials, tuning: &Tuning) -> EndpointConfig {
    let secret = tls::hmac_sha256(plane.alpn(), credentials.key().secret_der());
    let mut config = EndpointConfig::new(Arc::new(ResetKey(tls::hmac_sha256(
        &secret,
        b"stateless reset",
    ))));
    config
        .cid_generator(|| Box::new(RandomConnectionIdGenerator::default()))
        .max_udp_payload_size(tuning.mtu_bytes_max)
        .expect("at least 1,200 bytes");
    config
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&tls::hmac_sha256(&self.0, data));
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let ours = tls::hmac_sha256(&self.0, data);
        // All bytes are looked at, so that the time says nothing.
        let differ = ours
            .iter()
            .zip(signature)
            .fold(0, |acc, (a, b)| acc | (a ^ b));
        if signature.len() == ours.len() && differ == 0 {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}
