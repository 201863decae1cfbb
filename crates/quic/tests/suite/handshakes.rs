//! Who gets through, who does not, and what is said to them.

use std::time::Duration;

use paxlog_quic::{BindError, Credentials, Endpoint, Expect, PeerError, Plane, Tuning, Who};
use paxlog_wire::Code;

use crate::support::*;

#[test]
fn a_client_learns_which_replica_it_reached_and_the_replica_which_client() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        assert_eq!(ours.peer_replica(), Some(1));
        assert_eq!(theirs.peer().who, Who::Client("tester".into()));
        assert_eq!(theirs.peer().cluster, CLUSTER);
    });
}

#[test]
fn replicas_reach_each_other_by_id() {
    run(async {
        let authority = authority();
        let (one, mut acceptor) = serve(Plane::Replicas, &replica(&authority, 1));
        let (two, _) = serve(Plane::Replicas, &replica(&authority, 2));
        let (ours, theirs) = tokio::join!(
            two.connect(one.local_address(), Expect::Replica(1)),
            acceptor.next()
        );
        assert_eq!(ours.unwrap().peer_replica(), Some(1));
        assert_eq!(theirs.unwrap().peer_replica(), Some(2));
    });
}

#[test]
fn another_replica_than_expected_is_refused() {
    run(async {
        let authority = authority();
        let (two, _acceptor) = serve(Plane::Replicas, &replica(&authority, 2));
        let (one, _) = serve(Plane::Replicas, &replica(&authority, 1));
        let error = one
            .connect(two.local_address(), Expect::Replica(3))
            .await
            .unwrap_err();
        let expected = PeerError::WrongReplica {
            address: two.local_address(),
            expected: 3,
            found: "replica 2".into(),
        };
        assert_eq!(error, expected);
        assert_eq!(error.code(), Code::Unauthenticated);
    });
}

#[test]
fn a_replica_of_a_foreign_authority_is_refused() {
    run(async {
        let (server, _acceptor) = serve(Plane::Clients, &replica(&authority(), 1));
        let endpoint = dialler(Plane::Clients, &client(&authority()));
        let error = endpoint
            .connect(server.local_address(), Expect::AnyReplica)
            .await
            .unwrap_err();
        assert_eq!(
            error,
            PeerError::UnknownAuthority {
                address: server.local_address()
            }
        );
    });
}

#[test]
fn a_client_on_the_replicas_port_is_told_so() {
    run(async {
        let authority = authority();
        let (server, _acceptor) = serve(Plane::Replicas, &replica(&authority, 1));
        let intruder = dialler(Plane::Replicas, &client(&authority));
        // TLS lets it in: the authority signed it. The acceptor then looks at the name.
        let connection = intruder
            .connect(server.local_address(), Expect::AnyReplica)
            .await
            .unwrap();
        let error = connection.closed().await;
        assert_eq!(error.code(), Code::Forbidden);
        assert!(error.to_string().contains("for replicas"), "{error}");
    });
}

#[test]
fn the_wrong_port_is_named_as_such() {
    run(async {
        let authority = authority();
        let (server, _acceptor) = serve(Plane::Replicas, &replica(&authority, 1));
        let endpoint = dialler(Plane::Clients, &client(&authority));
        let error = endpoint
            .connect(server.local_address(), Expect::AnyReplica)
            .await
            .unwrap_err();
        assert_eq!(
            error,
            PeerError::WrongPort {
                address: server.local_address()
            }
        );
    });
}

#[test]
fn silence_is_unreachable_within_the_dialling_time() {
    run(async {
        let silent = std::net::UdpSocket::bind(any_port()).unwrap();
        let tuning = Tuning {
            dial: Duration::from_millis(100),
            ..Tuning::of(Plane::Clients)
        };
        let endpoint = Endpoint::dial_only(Plane::Clients, &client(&authority()), tuning).unwrap();
        let address = silent.local_addr().unwrap();
        let error = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .unwrap_err();
        assert_eq!(error, PeerError::Unreachable { address });
        assert_eq!(error.code(), Code::Unavailable);
    });
}

#[test]
fn a_busy_port_is_named() {
    run(async {
        let credentials = replica(&authority(), 1);
        let (server, _acceptor) = serve(Plane::Clients, &credentials);
        let busy = server.local_address();
        let error = Endpoint::serve(
            Plane::Clients,
            busy,
            &credentials,
            Tuning::of(Plane::Clients),
        )
        .unwrap_err();
        assert!(matches!(error, BindError::Busy { address } if address == busy));
        assert!(error.to_string().contains(&busy.to_string()), "{error}");
    });
}

#[test]
fn an_endpoint_that_is_dropped_gives_its_port_back() {
    run(async {
        let authority = authority();
        let credentials = replica(&authority, 1);
        let (server, acceptor) = serve(Plane::Clients, &credentials);
        let address = server.local_address();
        drop(acceptor);
        let tuning = Tuning {
            dial: Duration::from_millis(100),
            ..Tuning::of(Plane::Clients)
        };
        let endpoint = Endpoint::dial_only(Plane::Clients, &client(&authority), tuning).unwrap();
        let error = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .unwrap_err();
        assert_eq!(error, PeerError::Unreachable { address }, "nobody accepts");
        drop(server);
        while Endpoint::serve(
            Plane::Clients,
            address,
            &credentials,
            Tuning::of(Plane::Clients),
        )
        .is_err()
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_stopped_replica_says_goodbye() {
    run(async {
        let (_endpoint, server, ours, _theirs) = pair().await;
        server.close(Code::Unavailable, "the replica is shutting down");
        let error = ours.closed().await;
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.to_string().contains("shutting down"), "{error}");
        server.drained(Duration::from_secs(1)).await;
    });
}

#[test]
fn a_restarted_replica_ends_its_old_connections_at_once() {
    let authority = authority();
    let credentials: Credentials = replica(&authority, 1);
    // The first life is a runtime that is dropped whole: nothing says goodbye, as with kill -9.
    let first = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (address, mut acceptor) = first.block_on(async {
        let (server, acceptor) = serve(Plane::Clients, &credentials);
        (server.local_address(), acceptor)
    });
    let second = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let clients = std::thread::spawn(move || {
        run(async {
            let tuning = Tuning {
                idle: Duration::from_secs(25),
                ..Tuning::of(Plane::Clients)
            };
            let endpoint =
                Endpoint::dial_only(Plane::Clients, &client(&authority), tuning).unwrap();
            let connection = endpoint.connect(address, Expect::AnyReplica).await.unwrap();
            let why = connection.closed().await;
            assert!(why.to_string().contains("restarted"), "{why}");
        });
    });
    let accepted = first
        .block_on(async { tokio::time::timeout(Duration::from_secs(10), acceptor.next()).await });
    // In this order: what drives the connection is gone before anything could be sent about its end.
    drop(first);
    drop(accepted);
    drop(acceptor);
    second.block_on(async {
        let tuning = Tuning::of(Plane::Clients);
        let (_server, _acceptor) = loop {
            // The first life's socket closes when its tasks are gone.
            match Endpoint::serve(Plane::Clients, address, &credentials, tuning.clone()) {
                Ok(served) => break served,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        while !clients.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    clients.join().unwrap();
}

#[test]
fn datagrams_grow_to_what_loopback_carries() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while ours.mtu_bytes() < 6_000 || theirs.mtu_bytes() < 6_000 {
            let (ours, theirs) = (ours.mtu_bytes(), theirs.mtu_bytes());
            assert!(
                tokio::time::Instant::now() < deadline,
                "stuck at {ours} and {theirs}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}
