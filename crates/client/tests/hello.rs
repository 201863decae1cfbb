//! Connecting, against replicas that are nothing but their first words.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use paxlog_client::{Client, Code, Profile, ProfileError, Retry};
use paxlog_quic::{CertificateAuthority, Credentials, Endpoint, Plane, Tuning};
use paxlog_wire::client::{ClientHello, ControlEvent, ServerHello, ServerLimits};
use paxlog_wire::{FrameLimits, WireError};

const CLUSTER: u128 = 42;

/// A profile with certificates of `authority`, for these servers.
fn profile(dir: &Path, authority: &CertificateAuthority, servers: Vec<String>) -> Profile {
    let path = |name: &str| dir.join(name);
    if !path("ca.pem").exists() {
        authority.save(dir).unwrap();
        authority
            .issue_client("me")
            .unwrap()
            .save(&path("me.pem"), &path("me.key"))
            .unwrap();
    }
    Profile {
        cluster: CLUSTER,
        servers,
        ca: path("ca.pem"),
        cert: path("me.pem"),
        key: path("me.key"),
    }
}

/// Answers every hello with `first`, and then says nothing more.
fn replica(authority: &CertificateAuthority, first: ControlEvent) -> SocketAddr {
    let issued = authority.issue_replica(1).unwrap();
    let credentials = Credentials::of(authority, &issued).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (endpoint, mut acceptor) = Endpoint::serve(
        Plane::Clients,
        any,
        &credentials,
        Tuning::of(Plane::Clients),
    )
    .unwrap();
    let address = endpoint.local_address();
    tokio::spawn(async move {
        while let Some(connection) = acceptor.next().await {
            let first = first.clone();
            tokio::spawn(async move {
                let (mut sender, mut receiver) = connection
                    .accept_bi(FrameLimits::FROM_CLIENT)
                    .await
                    .unwrap();
                let frame = receiver.next().await.unwrap().unwrap();
                let hello: ClientHello = paxlog_wire::decode(&frame).unwrap();
                assert_eq!(hello.cluster, CLUSTER);
                sender.send(&first).await.unwrap();
                connection.closed().await;
            });
        }
        drop(endpoint);
    });
    address
}

fn hello(cluster: u128) -> ControlEvent {
    ControlEvent::Hello(ServerHello {
        version: 1,
        cluster,
        replica: 1,
        limits: ServerLimits::default(),
        leader: None,
    })
}

#[tokio::test]
async fn one_replica_that_answers_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::make(CLUSTER).unwrap();
    // Bound and never read: nobody answers there.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = vec![
        silent.local_addr().unwrap().to_string(),
        replica(&authority, hello(CLUSTER)).to_string(),
    ];
    let client = Client::connect(profile(dir.path(), &authority, servers.clone()))
        .await
        .unwrap();
    assert_eq!(client.servers(), servers);
    client.close().await;
}

#[tokio::test]
async fn nobody_answers_within_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::make(CLUSTER).unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let begin = Instant::now();
    let profile = profile(dir.path(), &authority, vec![address.clone()]);
    let error = Client::connect_within(profile, Duration::from_millis(300))
        .await
        .unwrap_err();
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "it has a deadline"
    );
    assert_eq!(error.code, Code::Unavailable);
    assert!(error.message.contains(&address), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[tokio::test]
async fn a_refusal_that_no_retry_mends_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::make(CLUSTER).unwrap();
    let refused = ControlEvent::Refused(WireError::new(
        Code::VersionMismatch,
        "this replica speaks version 9",
    ));
    for (first, code) in [
        (refused, Code::VersionMismatch),
        (hello(7), Code::WrongCluster),
    ] {
        let servers = vec![replica(&authority, first).to_string()];
        let begin = Instant::now();
        let error = Client::connect(profile(dir.path(), &authority, servers))
            .await
            .unwrap_err();
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "before the deadline"
        );
        assert_eq!(
            (error.code, error.retry, error.exit_code()),
            (code, Retry::Never, 1)
        );
    }
}

#[tokio::test]
async fn a_replica_of_another_authority_is_not_talked_to() {
    let (dir, other) = (
        tempfile::tempdir().unwrap(),
        CertificateAuthority::make(CLUSTER).unwrap(),
    );
    let authority = CertificateAuthority::make(CLUSTER).unwrap();
    let servers = vec![replica(&other, hello(CLUSTER)).to_string()];
    let error = Client::connect(profile(dir.path(), &authority, servers))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Unauthenticated);
    assert!(error.message.contains("did not sign"), "{error}");
}

#[test]
fn a_profile_of_another_cluster_is_refused_before_anything_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::make(7).unwrap();
    let profile = profile(dir.path(), &authority, vec!["127.0.0.1:1".into()]);
    let path = dir.path().join("client.toml");
    std::fs::write(&path, profile.to_toml()).unwrap();
    let error = Profile::load(&path).unwrap_err();
    assert!(matches!(error, ProfileError::Unfit { .. }), "{error}");
}
