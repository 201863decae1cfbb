//! Peers that do not keep to the protocol: raw streams under a good certificate, and raw datagrams.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use paxlog_quic::Plane;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::Rng;

/// How long an attempt may take; what comes of it is judged by what the cluster does after it.
const ATTEMPT: Duration = Duration::from_secs(15);

/// Connects to a replica with any certificate of any authority, as whatever plane.
///
/// # Errors
/// The sentence with which it was refused.
pub(crate) async fn dial(
    plane: Plane,
    certs: &Path,
    name: &str,
    server_name: &str,
    address: SocketAddr,
) -> Result<(quinn::Endpoint, quinn::Connection), String> {
    let file = |name: String| std::fs::read(certs.join(name)).expect("a certificate's file");
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(&file("ca.pem".into())).expect("PEM");
    roots.add(ca).expect("a certificate");
    let chain = vec![CertificateDer::from_pem_slice(&file(format!("{name}.pem"))).expect("PEM")];
    let key = PrivateKeyDer::from_pem_slice(&file(format!("{name}.key"))).expect("PEM");
    let mut config =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("known to the provider")
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .expect("they fit");
    config.alpn_protocols = vec![plane.alpn().to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(
        QuicClientConfig::try_from(config).expect("TLS 1.3"),
    ));
    let endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("a socket");
    let connecting = endpoint
        .connect_with(config, address, server_name)
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(ATTEMPT, connecting).await {
        Ok(Ok(connection)) => Ok((endpoint, connection)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("nobody answers".into()),
    }
}

/// Sends bytes on a stream of their own; says how the replica answered: what it sent, or why it stopped.
pub(crate) async fn say(connection: &quinn::Connection, bytes: &[u8], finish: bool) -> String {
    let talk = async {
        let (mut send, mut receive) = match connection.open_bi().await {
            Ok(stream) => stream,
            Err(error) => return error.to_string(),
        };
        if let Err(error) = send.write_all(bytes).await {
            return error.to_string();
        }
        if finish {
            // It fails only if the other side stopped it.
            let _ = send.finish();
        } else {
            let _ = send.reset(1_u8.into());
        }
        match receive.read_to_end(1 << 20).await {
            Ok(answer) => format!("{} bytes", answer.len()),
            Err(error) => error.to_string(),
        }
    };
    tokio::time::timeout(ATTEMPT, talk)
        .await
        .unwrap_or_else(|_| "nothing".into())
}

/// Datagrams of any bytes, half of which pretend to begin a connection.
pub(crate) fn noise(rng: &mut Rng, address: SocketAddr, count: u64) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    for number in 0..count {
        let length = rng.below(1_400) as usize;
        let mut datagram = rng.bytes(length);
        if let Some(first) = datagram.first_mut() {
            *first |= if number % 2 == 0 { 0xc0 } else { 0x40 };
        }
        // A full buffer loses it, as a network would.
        let _ = socket.send_to(&datagram, address);
        if number % 50 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
