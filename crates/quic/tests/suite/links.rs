//! Links between replicas.

use std::time::Duration;

use bytes::Bytes;
use paxlog_paxos::{
    Accept, Ballot, Class, ClusterId, ConfigNumber, Confirm, Envelope, FetchAnswer, FetchReply,
    GroupId, Incarnation, Message, ReplicaId, Slot, Value,
};
use paxlog_quic::{
    Acceptor, CertificateAuthority, Connection, Credentials, Endpoint, Expect, LinkEvent,
    LinkEvents, LinkPeer, Links, LinksConfig, Plane, Tuning,
};
use paxlog_wire::replica::{Purpose, ReplicaHello, ReplicaHelloReply, StreamClass};
use paxlog_wire::{Code, FrameLimits, decode};

use crate::support::*;

const INCARNATION: u128 = 1_000;

struct Node {
    id: u16,
    links: Links,
    events: LinkEvents,
}

fn incarnation(id: u16) -> u128 {
    INCARNATION + u128::from(id)
}

fn envelope(from: u16, message: Message) -> Envelope {
    Envelope {
        cluster: ClusterId(CLUSTER),
        group: GroupId(0),
        config: ConfigNumber(0),
        from: ReplicaId(from),
        incarnation: Incarnation(incarnation(from)),
        message,
    }
}

fn ballot() -> Ballot {
    Ballot::new(1, ReplicaId(1))
}

fn confirm(from: u16, round: u64) -> Envelope {
    envelope(
        from,
        Message::Confirm(Confirm {
            ballot: ballot(),
            round,
        }),
    )
}

fn value(len: usize) -> Value {
    Value::from_parts(vec![Bytes::from(vec![len as u8; len])])
}

fn accept(from: u16, slot: u64, len: usize) -> Envelope {
    let accept = Accept {
        ballot: ballot(),
        first: Slot(0),
        free: Slot(0),
        slot: Slot(slot),
        chosen: Slot(0),
        value: value(len),
    };
    envelope(from, Message::Accept(accept))
}

fn fetch_reply(from: u16, slot: u64, len: usize) -> Envelope {
    let answer = FetchAnswer::Chosen {
        slot: Slot(slot),
        ballot: ballot(),
        value: value(len),
    };
    envelope(from, Message::FetchReply(FetchReply { id: 1, answer }))
}

fn start(
    id: u16,
    endpoint: Endpoint,
    acceptor: Acceptor,
    peers: &[(u16, std::net::SocketAddr)],
) -> Node {
    let peers = peers
        .iter()
        .map(|&(id, address)| LinkPeer {
            id,
            addresses: vec![address],
        })
        .collect();
    let config = LinksConfig {
        incarnation: incarnation(id),
        client_addresses: vec![],
        peers,
        pause_max: Duration::from_millis(100),
    };
    let (links, events) = Links::start(config, endpoint, acceptor);
    Node { id, links, events }
}

/// Replicas 1 to `count`, linked or about to be.
fn cluster(
    authority: &CertificateAuthority,
    count: u16,
) -> (
    Vec<Node>,
    Vec<(u16, std::net::SocketAddr)>,
    Vec<Credentials>,
) {
    let credentials: Vec<_> = (1..=count).map(|id| replica(authority, id)).collect();
    let endpoints: Vec<_> = credentials
        .iter()
        .map(|credentials| serve(Plane::Replicas, credentials))
        .collect();
    let addresses: Vec<_> = (1..)
        .zip(
            endpoints
                .iter()
                .map(|(endpoint, _)| endpoint.local_address()),
        )
        .collect();
    let nodes = (1..)
        .zip(endpoints)
        .map(|(id, (endpoint, acceptor))| start(id, endpoint, acceptor, &addresses))
        .collect();
    (nodes, addresses, credentials)
}

impl Node {
    async fn next(&mut self) -> LinkEvent {
        self.events.next().await.expect("links run")
    }

    /// Waits until both connections to each of `peers` other replicas are there.
    async fn linked(&mut self, peers: usize) {
        let (mut control, mut accepts) = (0, 0);
        while control < peers || accepts < peers {
            match self.next().await {
                LinkEvent::ControlUp { peer, hello } => {
                    assert_eq!(
                        (hello.replica, hello.incarnation),
                        (peer, incarnation(peer))
                    );
                    control += 1;
                }
                LinkEvent::AcceptsUp { .. } => accepts += 1,
                other => panic!("{}: {other:?}", self.id),
            }
        }
    }

    async fn message(&mut self) -> Envelope {
        match self.next().await {
            LinkEvent::Message(envelope) => in_one_part(envelope),
            other => panic!("{}: {other:?}", self.id),
        }
    }
}

/// How a value was cut on its way means nothing, but counts when values are compared.
fn in_one_part(mut envelope: Envelope) -> Envelope {
    if let Message::Accept(Accept { value, .. })
    | Message::FetchReply(FetchReply {
        answer: FetchAnswer::Chosen { value, .. },
        ..
    }) = &mut envelope.message
    {
        *value = Value::from_parts(vec![paxlog_wire::parts::join(value.parts())]);
    }
    envelope
}

#[test]
fn three_replicas_link_up_and_messages_of_all_classes_cross() {
    run(async {
        let (mut nodes, ..) = cluster(&authority(), 3);
        for node in &mut nodes {
            node.linked(2).await;
            let status = node.links.status();
            assert!(
                status
                    .iter()
                    .all(|link| link.control && link.accepts && link.round_trip.is_some()),
                "{status:?}"
            );
            for link in status {
                assert_eq!(link.incarnation, Some(incarnation(link.peer)), "{link:?}");
            }
        }
        for from in 1..=3u16 {
            let links = &nodes[usize::from(from) - 1].links;
            for to in (1..=3).filter(|&to| to != from) {
                assert!(links.send(to, &confirm(from, u64::from(to))));
                assert!(links.send(to, &accept(from, 5, 3_000)));
                assert!(links.send(to, &fetch_reply(from, 6, 0)));
            }
            assert!(!links.send(9, &confirm(from, 0)), "nobody has this id");
            links.flush();
        }
        for node in &mut nodes {
            let mut received = Vec::new();
            while received.len() < 6 {
                received.push(node.message().await);
            }
            for from in (1..=3).filter(|&from| from != node.id) {
                for expected in [
                    confirm(from, u64::from(node.id)),
                    accept(from, 5, 3_000),
                    fetch_reply(from, 6, 0),
                ] {
                    assert!(received.contains(&expected), "{}: {expected:?}", node.id);
                }
            }
        }
    });
}

#[test]
fn order_holds_within_a_class_and_nothing_is_lost_under_load() {
    run(async {
        let (mut nodes, ..) = cluster(&authority(), 2);
        for node in &mut nodes {
            node.linked(1).await;
        }
        let mut two = nodes.pop().unwrap();
        let one = nodes.pop().unwrap();
        let count = 400;
        let sending = async {
            for slot in 0..count {
                while one.links.waiting_bytes(2, Class::Accepts) > 4 << 20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                assert!(one.links.send(2, &accept(1, slot, 100_000)));
                assert!(one.links.send(2, &confirm(1, slot)));
                one.links.flush();
                tokio::task::yield_now().await;
            }
        };
        let receiving = async {
            let (mut slots, mut rounds) = (0, 0);
            while slots < count || rounds < count {
                match two.message().await.message {
                    Message::Accept(accept) => {
                        assert_eq!(accept.slot, Slot(slots));
                        assert_eq!(accept.value, value(100_000));
                        slots += 1;
                    }
                    Message::Confirm(confirm) => {
                        assert_eq!(confirm.round, rounds);
                        rounds += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::join!(sending, receiving);
    });
}

#[test]
fn control_overtakes_bulk_that_the_owner_does_not_take() {
    run(async {
        let (mut nodes, ..) = cluster(&authority(), 2);
        for node in &mut nodes {
            node.linked(1).await;
        }
        let mut two = nodes.pop().unwrap();
        let one = nodes.pop().unwrap();
        for slot in 0..40 {
            one.links.send(2, &accept(1, slot, 500_000));
        }
        one.links.flush();
        // Until the peer's queue is full, and the bulk stands.
        tokio::time::sleep(Duration::from_millis(300)).await;
        one.links.send(2, &confirm(1, 7));
        one.links.flush();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(two.message().await, confirm(1, 7));
        for slot in 0..40 {
            assert_eq!(two.message().await, accept(1, slot, 500_000));
        }
    });
}

#[test]
fn a_restarted_replica_is_linked_again() {
    run(async {
        let authority = authority();
        let (mut nodes, addresses, credentials) = cluster(&authority, 3);
        for node in &mut nodes {
            node.linked(2).await;
        }
        // 1 dials both others, 3 is dialled by both, 2 does both.
        for restarted in [1u16, 3, 2] {
            let at = usize::from(restarted) - 1;
            let address = addresses[at].1;
            drop(nodes.remove(at));
            for node in &mut nodes {
                match node.next().await {
                    LinkEvent::Down { peer, .. } => assert_eq!(peer, restarted),
                    other => panic!("{other:?}"),
                }
                assert!(
                    !node.links.send(restarted, &confirm(node.id, 0)),
                    "there is no connection"
                );
            }
            let (endpoint, acceptor) = loop {
                let tuning = Tuning::of(Plane::Replicas);
                match Endpoint::serve(Plane::Replicas, address, &credentials[at], tuning) {
                    Ok(served) => break served,
                    // The old socket goes when its tasks have seen that it is closed.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            nodes.insert(at, start(restarted, endpoint, acceptor, &addresses));
            for (i, node) in nodes.iter_mut().enumerate() {
                node.linked(if i == at { 2 } else { 1 }).await;
            }
            let other = if restarted == 1 { 2 } else { 1 };
            assert!(
                nodes[usize::from(other) - 1]
                    .links
                    .send(restarted, &accept(other, 1, 10))
            );
            nodes[usize::from(other) - 1].links.flush();
            assert_eq!(nodes[at].message().await, accept(other, 1, 10));
        }
    });
}

#[test]
fn a_killed_replica_that_comes_back_is_linked_again_before_silence_is_noticed() {
    let authority = authority();
    let (one, two) = (replica(&authority, 1), replica(&authority, 2));
    let patient = || Tuning {
        idle: Duration::from_secs(25),
        ..Tuning::of(Plane::Replicas)
    };
    let begin = |at: std::net::SocketAddr, peer: std::net::SocketAddr| {
        let (endpoint, acceptor) = Endpoint::serve(Plane::Replicas, at, &two, patient()).ok()?;
        let address = endpoint.local_address();
        Some((start(2, endpoint, acceptor, &[(1, peer)]), address))
    };

    // Replica 2 dies with its runtime: nothing says goodbye, as with kill -9. It is 1 that must notice, and dial.
    let first = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (node, address) = first.block_on(async { begin(any_port(), any_port()).unwrap() });
    let survivor = std::thread::spawn(move || {
        run(async {
            let (endpoint, acceptor) =
                Endpoint::serve(Plane::Replicas, any_port(), &one, patient()).unwrap();
            let mut one = start(1, endpoint, acceptor, &[(2, address)]);
            one.linked(1).await;
            match one.next().await {
                LinkEvent::Down { peer, why } => {
                    assert!(why.to_string().contains("restarted"), "{peer}: {why}")
                }
                other => panic!("{other:?}"),
            }
            one.linked(1).await;
        });
    });
    let node = first.block_on(async {
        let mut node = node;
        tokio::time::timeout(Duration::from_secs(30), node.linked(1))
            .await
            .expect("the test hangs");
        node
    });
    drop(first);
    drop(node);
    run(async {
        let (mut node, _) = loop {
            match begin(address, any_port()) {
                Some(begun) => break begun,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        node.linked(1).await;
        while !survivor.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    survivor.join().unwrap();
}

#[test]
fn a_replica_that_starts_late_is_linked_soon() {
    run(async {
        let authority = authority();
        let late = std::net::UdpSocket::bind(any_port()).unwrap();
        let address = late.local_addr().unwrap();
        let (endpoint, acceptor) = serve(Plane::Replicas, &replica(&authority, 1));
        let mut one = start(1, endpoint, acceptor, &[(2, address)]);
        while one.links.status()[0].last_failure.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(late);
        let (endpoint, acceptor) = Endpoint::serve(
            Plane::Replicas,
            address,
            &replica(&authority, 2),
            Tuning::of(Plane::Replicas),
        )
        .unwrap();
        let peers = [(1, one.links.endpoint().local_address())];
        let mut two = start(2, endpoint, acceptor, &peers);
        one.linked(1).await;
        two.linked(1).await;
    });
}

#[test]
fn what_keeps_a_link_from_coming_about_is_told_in_the_status() {
    run(async {
        let ours = authority();
        let (two, _two) = serve(Plane::Replicas, &replica(&ours, 2));
        let (stranger, _stranger) = serve(Plane::Replicas, &replica(&authority(), 4));
        let (endpoint, acceptor) = serve(Plane::Replicas, &replica(&ours, 1));
        // Replica 3's address is that of replica 2, and 4 has a certificate of another authority.
        let peers = [(3, two.local_address()), (4, stranger.local_address())];
        let one = start(1, endpoint, acceptor, &peers);
        let expected = [
            "is replica 2, not replica 3",
            "our certificate authority did not sign",
        ];
        loop {
            let failures = one
                .links
                .status()
                .into_iter()
                .map(|link| link.last_failure.unwrap_or_default());
            if failures
                .zip(expected)
                .all(|(failure, expected)| failure.contains(expected))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn a_second_address_is_tried_when_the_first_does_not_answer() {
    run(async {
        let authority = authority();
        let silent = std::net::UdpSocket::bind(any_port()).unwrap();
        let (endpoint, acceptor) = serve(Plane::Replicas, &replica(&authority, 2));
        let addresses = vec![silent.local_addr().unwrap(), endpoint.local_address()];
        let mut two = start(2, endpoint, acceptor, &[(1, any_port())]);
        let tuning = Tuning {
            dial: Duration::from_millis(300),
            ..Tuning::of(Plane::Replicas)
        };
        let (endpoint, acceptor) =
            Endpoint::serve(Plane::Replicas, any_port(), &replica(&authority, 1), tuning).unwrap();
        let peers = vec![LinkPeer { id: 2, addresses }];
        let config = LinksConfig {
            incarnation: incarnation(1),
            client_addresses: vec![],
            peers,
            pause_max: Duration::from_millis(100),
        };
        let (links, events) = Links::start(config, endpoint, acceptor);
        let mut one = Node {
            id: 1,
            links,
            events,
        };
        tokio::join!(one.linked(1), two.linked(1));
    });
}

/// A hand-made replica that says whatever hello it likes.
async fn say_hello(connection: &Connection, hello: &ReplicaHello) -> Code {
    let (mut sender, _receiver) = connection.open_bi(FrameLimits::FIRST).await.unwrap();
    let _ = sender.send(hello).await;
    connection.closed().await.code()
}

fn hello(replica: u16) -> ReplicaHello {
    ReplicaHello {
        version_min: 1,
        version_max: 1,
        cluster: CLUSTER,
        replica,
        incarnation: incarnation(replica),
        purpose: Purpose::Control,
        link: 1,
        receive_budget: 0,
        client_addresses: vec![],
    }
}

#[test]
fn hellos_that_do_not_fit_are_refused_and_true_replicas_are_linked_all_the_same() {
    run(async {
        let authority = authority();
        let (endpoint, acceptor) = serve(Plane::Replicas, &replica(&authority, 3));
        let address = endpoint.local_address();
        let nowhere = any_port();
        let mut three = start(3, endpoint, acceptor, &[(1, nowhere), (2, nowhere)]);

        let impostor = dialler(Plane::Replicas, &replica(&authority, 2));
        let connect = || async { impostor.connect(address, Expect::Replica(3)).await.unwrap() };
        let cases = [
            (hello(1), Code::Unauthenticated),
            (hello(3), Code::Unauthenticated),
            (
                ReplicaHello {
                    cluster: CLUSTER + 1,
                    ..hello(2)
                },
                Code::WrongCluster,
            ),
            (
                ReplicaHello {
                    version_min: 9,
                    version_max: 9,
                    ..hello(2)
                },
                Code::VersionMismatch,
            ),
        ];
        for (hello, code) in cases {
            let connection = connect().await;
            assert_eq!(say_hello(&connection, &hello).await, code, "{hello:?}");
        }
        let stranger = dialler(Plane::Replicas, &replica(&authority, 7));
        let connection = stranger.connect(address, Expect::Replica(3)).await.unwrap();
        assert_eq!(
            say_hello(&connection, &hello(7)).await,
            Code::Forbidden,
            "no member"
        );
        let connection = connect().await;
        let (mut sender, _receiver) = connection.open_bi(FrameLimits::FIRST).await.unwrap();
        sender
            .send(&paxlog_wire::client::Credit { bytes: 1 })
            .await
            .unwrap();
        assert_eq!(
            connection.closed().await.code(),
            Code::Invalid,
            "no hello at all"
        );

        let (endpoint, acceptor) = serve(Plane::Replicas, &replica(&authority, 2));
        let mut two = start(2, endpoint, acceptor, &[(3, address)]);
        two.linked(1).await;
        three.linked(1).await;
    });
}

/// Answers the hello of whoever dials, as replica `id` would.
async fn answer_hello(connection: &Connection, id: u16) -> ReplicaHello {
    let (mut sender, mut receiver) = connection.accept_bi(FrameLimits::FIRST).await.unwrap();
    let theirs: ReplicaHello = decode(&receiver.next().await.unwrap().unwrap()).unwrap();
    let ours = ReplicaHello {
        purpose: theirs.purpose,
        link: theirs.link,
        ..hello(id)
    };
    sender
        .send(&ReplicaHelloReply { result: Ok(ours) })
        .await
        .unwrap();
    sender.finish();
    sender.settled().await;
    theirs
}

#[test]
fn a_peer_that_does_not_take_what_is_sent_costs_a_bounded_outbox_and_a_new_connection() {
    run(async {
        let authority = authority();
        let tuning = Tuning {
            stream_window: 64 << 10,
            ..Tuning::of(Plane::Replicas)
        };
        let (lazy, mut acceptor) =
            Endpoint::serve(Plane::Replicas, any_port(), &replica(&authority, 2), tuning).unwrap();
        let (endpoint, ours) = serve(Plane::Replicas, &replica(&authority, 1));
        let mut one = start(1, endpoint, ours, &[(2, lazy.local_address())]);
        let being_lazy = async {
            let mut held = Vec::new();
            while let Some(connection) = acceptor.next().await {
                answer_hello(&connection, 2).await;
                held.push(connection);
            }
        };
        let overflowing = async {
            one.linked(1).await;
            let mut slot = 0;
            while one.links.send(2, &accept(1, slot, 1 << 20)) {
                one.links.flush();
                slot += 1;
                assert!(one.links.waiting_bytes(2, Class::Accepts) < 32 << 20);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(slot > 20, "{slot} MiB were taken");
            match one.next().await {
                LinkEvent::AcceptsUp { peer } => assert_eq!(peer, 2),
                other => panic!("{other:?}"),
            }
            assert!(one.links.send(2, &accept(1, 0, 10)), "it begins anew");
            assert!(one.links.status()[0].control, "control was not touched");
        };
        tokio::select! {
            () = being_lazy => panic!("the endpoint closed"),
            () = overflowing => {}
        }
    });
}

#[test]
fn a_message_in_anothers_name_ends_the_connection() {
    run(async {
        let authority = authority();
        let (liar, mut acceptor) = serve(Plane::Replicas, &replica(&authority, 2));
        let (endpoint, ours) = serve(Plane::Replicas, &replica(&authority, 1));
        let mut one = start(1, endpoint, ours, &[(2, liar.local_address())]);
        let lying = async {
            for lie in [
                confirm(3, 1),
                Envelope {
                    cluster: ClusterId(1),
                    ..confirm(2, 1)
                },
                accept(2, 1, 0),
            ] {
                loop {
                    let connection = acceptor.next().await.unwrap();
                    let hello = answer_hello(&connection, 2).await;
                    if hello.purpose != Purpose::Control {
                        continue;
                    }
                    let mut sender = connection.open_uni().await.unwrap();
                    sender
                        .push(&paxlog_wire::replica::LinkOpen {
                            link: hello.link,
                            class: StreamClass::Control,
                        })
                        .unwrap();
                    sender.push_envelope(&lie).unwrap();
                    sender.flush().await.unwrap();
                    assert_eq!(connection.closed().await.code(), Code::Invalid);
                    break;
                }
            }
        };
        let watching = async {
            loop {
                match one.next().await {
                    LinkEvent::Message(message) => panic!("{message:?}"),
                    LinkEvent::ControlUp { .. }
                    | LinkEvent::AcceptsUp { .. }
                    | LinkEvent::Down { .. } => {}
                }
            }
        };
        tokio::select! {
            () = lying => {}
            () = watching => {}
        }
    });
}
