//! Peers that do not keep to the rules: raw quinn, with whatever certificate and bytes. Each is refused, and others are served.

use std::sync::Arc;
use std::time::Duration;

use paxlog_quic::{CertificateAuthority, Connection, Expect, PeerError, Plane, ReceiveError};
use paxlog_wire::client::{ClientHello, CommandRequest};
use paxlog_wire::{FrameError, FrameLimits, decode};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::support::*;

/// A client that trusts `trusted` and shows whatever certificate, or none.
fn raw_client(
    plane: Plane,
    trusted: &CertificateAuthority,
    shown: Option<(&str, &str)>,
) -> quinn::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(trusted.certificate_pem().as_bytes()).unwrap())
        .unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some((pem, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(
                    chain,
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap()
        }
    };
    config.alpn_protocols = vec![plane.alpn().to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

fn name_of(replica: u16) -> String {
    format!("r{replica}.{CLUSTER:032x}.replica.paxlog")
}

/// Dials with a raw client, and waits for how it ends.
async fn refusal(
    config: quinn::ClientConfig,
    address: std::net::SocketAddr,
) -> quinn::ConnectionError {
    let endpoint = quinn::Endpoint::client(any_port()).unwrap();
    match endpoint
        .connect_with(config, address, &name_of(1))
        .unwrap()
        .await
    {
        Err(error) => error,
        Ok(connection) => connection.closed().await,
    }
}

async fn still_serves(
    authority: &CertificateAuthority,
    address: std::net::SocketAddr,
    acceptor: &mut paxlog_quic::Acceptor,
) {
    let endpoint = dialler(Plane::Clients, &client(authority));
    let (ours, theirs) = tokio::join!(
        endpoint.connect(address, Expect::AnyReplica),
        acceptor.next()
    );
    let (ours, theirs): (Connection, Connection) = (ours.unwrap(), theirs.unwrap());
    let (mut sender, _) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
    sender.send(&ClientHello::new(CLUSTER)).await.unwrap();
    let (_, mut receiver) = theirs.accept_bi(FrameLimits::FIRST).await.unwrap();
    let frame = receiver.next().await.unwrap().unwrap();
    assert_eq!(
        decode::<ClientHello>(&frame).unwrap(),
        ClientHello::new(CLUSTER)
    );
}

#[test]
fn no_certificate_a_foreign_one_and_an_expired_one_are_refused() {
    run(async {
        let (ours, foreign) = (authority(), authority());
        let (server, mut acceptor) = serve(Plane::Clients, &replica(&ours, 1));
        let address = server.local_address();

        let none = refusal(raw_client(Plane::Clients, &ours, None), address).await;
        assert!(none.to_string().contains("aborted by peer"), "{none}");

        let issued = foreign.issue_client("tester").unwrap();
        let shown = Some((issued.certificate_pem(), issued.key_pem()));
        let stranger = refusal(raw_client(Plane::Clients, &ours, shown), address).await;
        assert!(
            stranger.to_string().contains("aborted by peer"),
            "{stranger}"
        );

        let day = Duration::from_secs(86_400);
        let then = std::time::SystemTime::now() - 100 * day;
        let issued = ours
            .issue_at(paxlog_quic::Who::Client("tester".into()), then, 10 * day)
            .unwrap();
        let shown = Some((issued.certificate_pem(), issued.key_pem()));
        let expired = refusal(raw_client(Plane::Clients, &ours, shown), address).await;
        assert!(expired.to_string().contains("aborted by peer"), "{expired}");

        still_serves(&ours, address, &mut acceptor).await;
    });
}

/// A certificate of our authority's key with a name that it would never issue.
fn signed_by_hand(authority_dir: &std::path::Path, names: &[&str]) -> (String, String) {
    let key =
        rcgen::KeyPair::from_pem(&std::fs::read_to_string(authority_dir.join("ca.key")).unwrap())
            .unwrap();
    let ca = std::fs::read_to_string(authority_dir.join("ca.pem")).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&ca, key).unwrap();
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
    ];
    let leaf = rcgen::KeyPair::generate().unwrap();
    let certificate = params.signed_by(&leaf, &issuer).unwrap();
    (certificate.pem(), leaf.serialize_pem())
}

#[test]
fn another_clusters_name_or_no_name_of_ours_is_refused_though_the_authority_signed_it() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let ours = authority();
        ours.save(dir.path()).unwrap();
        let (server, mut acceptor) = serve(Plane::Clients, &replica(&ours, 1));
        let address = server.local_address();
        let other_cluster = format!("tester.{:032x}.client.paxlog", CLUSTER + 1);
        let (one, two) = (
            format!("a.{CLUSTER:032x}.client.paxlog"),
            format!("b.{CLUSTER:032x}.client.paxlog"),
        );
        for names in [
            vec![&*other_cluster],
            vec!["www.example.org"],
            vec![&*one, &*two],
            vec!["10.0.0.1"],
        ] {
            let (pem, key) = signed_by_hand(dir.path(), &names);
            let refused = refusal(
                raw_client(Plane::Clients, &ours, Some((&pem, &key))),
                address,
            )
            .await;
            assert!(
                matches!(refused, quinn::ConnectionError::ApplicationClosed(_)),
                "{names:?}: {refused}"
            );
        }
        still_serves(&ours, address, &mut acceptor).await;
    });
}

#[test]
fn a_server_of_another_cluster_or_with_a_clients_certificate_is_refused() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let ours = authority();
        ours.save(dir.path()).unwrap();
        let endpoint = dialler(Plane::Clients, &client(&ours));

        let (pem, key) = signed_by_hand(
            dir.path(),
            &[&format!("r1.{:032x}.replica.paxlog", CLUSTER + 1)],
        );
        let credentials =
            paxlog_quic::Credentials::from_pem(ours.certificate_pem(), &pem, &key).unwrap();
        let (server, _acceptor) = serve(Plane::Clients, &credentials);
        let address = server.local_address();
        let error = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .unwrap_err();
        assert_eq!(
            error,
            PeerError::WrongCluster {
                address,
                expected: CLUSTER,
                found: CLUSTER + 1
            }
        );

        let (server, _acceptor) = serve(Plane::Clients, &client(&ours));
        let error = endpoint
            .connect(server.local_address(), Expect::AnyReplica)
            .await
            .unwrap_err();
        assert!(matches!(error, PeerError::NotAReplica { .. }), "{error}");
    });
}

/// What a receiver says to raw bytes on a stream.
async fn said_to(bytes: Vec<u8>) -> ReceiveError {
    let authority = authority();
    let (server, mut acceptor) = serve(Plane::Clients, &replica(&authority, 1));
    let issued = authority.issue_client("tester").unwrap();
    let shown = Some((issued.certificate_pem(), issued.key_pem()));
    let endpoint = quinn::Endpoint::client(any_port()).unwrap();
    let config = raw_client(Plane::Clients, &authority, shown);
    let connecting = endpoint
        .connect_with(config, server.local_address(), &name_of(1))
        .unwrap();
    let (ours, theirs) = tokio::join!(connecting, acceptor.next());
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let (mut send, _receive) = ours.open_bi().await.unwrap();
    send.write_all(&bytes).await.unwrap();
    send.finish().unwrap();
    let (_, mut receiver) = theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
    loop {
        match receiver.next().await {
            Ok(Some(frame)) => drop(decode::<CommandRequest>(&frame)),
            Ok(None) => panic!("garbage was taken for frames"),
            Err(error) => return error,
        }
    }
}

#[test]
fn garbage_giant_lengths_and_half_frames_are_errors() {
    run(async {
        let http = said_to(b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".to_vec()).await;
        assert_eq!(http, ReceiveError::Frame(FrameError::Version(b'G')));
        let mut giant = vec![1, 3, 0, 0];
        giant.extend([0xff; 12]);
        let giant = said_to(giant).await;
        assert!(
            matches!(giant, ReceiveError::Frame(FrameError::MetaTooLarge { .. })),
            "{giant}"
        );
        let half = said_to(vec![1, 3, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]).await;
        assert_eq!(half, ReceiveError::Frame(FrameError::Truncated));
        let forged = said_to(vec![1, 3, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5]).await;
        assert!(
            matches!(forged, ReceiveError::Frame(FrameError::Checksum { .. })),
            "{forged}"
        );
    });
}

#[test]
fn noise_on_the_port_harms_nobody() {
    run(async {
        let authority = authority();
        let (server, mut acceptor) = serve(Plane::Clients, &replica(&authority, 1));
        let address = server.local_address();
        let noise = std::net::UdpSocket::bind(any_port()).unwrap();
        let mut state = 1u64;
        for len in 0..2_000usize {
            let mut datagram = vec![0u8; len % 1_400];
            for byte in &mut datagram {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 33) as u8;
            }
            if let Some(first) = datagram.first_mut() {
                // Half of them pretend to be the first packet of a connection.
                *first |= if len % 2 == 0 { 0xc0 } else { 0x40 };
            }
            // A full socket buffer loses it, as the network would.
            let _ = noise.send_to(&datagram, address);
            if len % 50 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        still_serves(&authority, address, &mut acceptor).await;
    });
}

#[test]
fn more_streams_than_allowed_are_not_opened() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let mut held = Vec::new();
        loop {
            let opening = ours.open_bi(FrameLimits::TO_CLIENT);
            match tokio::time::timeout(Duration::from_millis(200), opening).await {
                Ok(stream) => held.push(stream.unwrap()),
                Err(_) => break,
            }
            assert!(held.len() <= 256, "over the limit");
        }
        assert_eq!(held.len(), 256);
        // Streams of one direction are not for clients at all.
        assert!(
            tokio::time::timeout(Duration::from_millis(100), ours.open_uni())
                .await
                .is_err()
        );
        assert!(theirs.close_reason().is_none());
    });
}

#[test]
fn a_rush_of_connections_is_let_in() {
    run(async {
        let authority = authority();
        let (server, mut acceptor) = serve(Plane::Clients, &replica(&authority, 1));
        let endpoint = dialler(Plane::Clients, &client(&authority));
        // Beyond the number from which on addresses must be validated first.
        let mut rush = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let (endpoint, address) = (endpoint.clone(), server.local_address());
            rush.spawn(async move { endpoint.connect(address, Expect::AnyReplica).await });
        }
        let accepting = async {
            let mut accepted = Vec::new();
            while accepted.len() < 300 {
                accepted.push(acceptor.next().await.unwrap());
            }
            accepted
        };
        let dialling = async {
            let mut dialled = Vec::new();
            while let Some(connection) = rush.join_next().await {
                dialled.push(connection.unwrap().unwrap());
            }
            dialled
        };
        let (dialled, accepted) = tokio::join!(dialling, accepting);
        assert_eq!((dialled.len(), accepted.len()), (300, 300));
    });
}
