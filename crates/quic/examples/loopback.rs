//! Prints what a link and a client's stream do over loopback: round trips, and values a second.
//!
//! `cargo run --release -p paxlog-quic --example loopback`
//!
//! Each side has a thread with a current-thread runtime, as replicas do.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use paxlog_paxos::{
    Accept, Ballot, Class, ClusterId, ConfigNumber, Confirm, Envelope, GroupId, Incarnation,
    Message, ReplicaId, Slot, Value,
};
use paxlog_quic::{
    CertificateAuthority, Credentials, Endpoint, Expect, LinkEvent, LinkEvents, LinkPeer, Links,
    LinksConfig, Plane, Tuning,
};
use paxlog_wire::client::Credit;
use paxlog_wire::{Flags, FrameLimits};

const CLUSTER: u128 = 7;
const PINGS: usize = 20_000;
const VALUES: u64 = 200_000;
const VALUE_BYTES: usize = 1_024;
/// The last message of a run.
const DONE: u64 = u64::MAX;

fn envelope(from: u16, message: Message) -> Envelope {
    Envelope {
        cluster: ClusterId(CLUSTER),
        group: GroupId(0),
        config: ConfigNumber(0),
        from: ReplicaId(from),
        incarnation: Incarnation(u128::from(from)),
        message,
    }
}

fn confirm(from: u16, round: u64) -> Envelope {
    envelope(
        from,
        Message::Confirm(Confirm {
            ballot: Ballot::new(1, ReplicaId(1)),
            round,
        }),
    )
}

fn accept(slot: u64, value: Value) -> Envelope {
    let (ballot, zero) = (Ballot::new(1, ReplicaId(1)), Slot(0));
    envelope(
        1,
        Message::Accept(Accept {
            ballot,
            first: zero,
            free: zero,
            slot: Slot(slot),
            chosen: zero,
            value,
        }),
    )
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn serve(plane: Plane, credentials: &Credentials) -> (Endpoint, paxlog_quic::Acceptor) {
    Endpoint::serve(
        plane,
        (Ipv4Addr::LOCALHOST, 0).into(),
        credentials,
        Tuning::of(plane),
    )
    .expect("a port")
}

fn percentiles(what: &str, mut samples: Vec<Duration>) {
    samples.sort();
    let at = |share: f64| {
        samples[((samples.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1_000.0
    };
    println!(
        "{what:<44} p50 {:>7.1} us   p99 {:>7.1} us   max {:>8.1} us",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

async fn linked(events: &mut LinkEvents) {
    let (mut control, mut accepts) = (false, false);
    while !(control && accepts) {
        match events.next().await.expect("links run") {
            LinkEvent::ControlUp { .. } => control = true,
            LinkEvent::AcceptsUp { .. } => accepts = true,
            LinkEvent::Down { .. } | LinkEvent::Message(_) => {}
        }
    }
}

fn links(
    id: u16,
    credentials: &Credentials,
    peer: u16,
    at: SocketAddr,
) -> (Links, LinkEvents, SocketAddr) {
    let (endpoint, acceptor) = serve(Plane::Replicas, credentials);
    let address = endpoint.local_address();
    let peers = vec![LinkPeer {
        id: peer,
        addresses: vec![at],
    }];
    let config = LinksConfig {
        incarnation: u128::from(id),
        client_addresses: vec![],
        peers,
        pause_max: Duration::from_millis(100),
    };
    let (links, events) = Links::start(config, endpoint, acceptor);
    (links, events, address)
}

/// Replica 2: answers each Confirm at once, and the last value with a Confirm.
async fn echo(links: Links, mut events: LinkEvents) {
    while let Some(event) = events.next().await {
        let mut event = Some(event);
        while let Some(taken) = event {
            match taken {
                LinkEvent::Message(Envelope {
                    message: Message::Confirm(ping),
                    ..
                }) => {
                    links.send(1, &confirm(2, ping.round));
                }
                LinkEvent::Message(Envelope {
                    message: Message::Accept(accept),
                    ..
                }) => {
                    if accept.slot.0 % 64 == 63 || accept.slot.0 == VALUES - 1 {
                        links.send(1, &confirm(2, accept.slot.0));
                    }
                }
                LinkEvent::Down { .. } => return,
                LinkEvent::ControlUp { .. }
                | LinkEvent::AcceptsUp { .. }
                | LinkEvent::Message(_) => {}
            }
            event = events.try_next();
        }
        links.flush();
    }
}

async fn ping(links: &Links, events: &mut LinkEvents, round: u64) -> Duration {
    let start = Instant::now();
    links.send(2, &confirm(1, round));
    links.flush();
    loop {
        if let Some(LinkEvent::Message(Envelope {
            message: Message::Confirm(pong),
            ..
        })) = events.next().await
            && pong.round == round
        {
            return start.elapsed();
        }
    }
}

async fn measure_links(links: Links, mut events: LinkEvents) {
    linked(&mut events).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut samples = Vec::with_capacity(PINGS);
    for round in 0..PINGS as u64 {
        samples.push(ping(&links, &mut events, DONE - 1 - round).await);
    }
    percentiles("link: control round trip, idle", samples);

    let value = Value::from_parts(vec![Bytes::from(vec![7; VALUE_BYTES])]);
    let start = Instant::now();
    let (mut slot, mut acked, mut pinged) = (0, 0, None);
    let mut samples = Vec::new();
    while acked < VALUES - 1 {
        // A turn: at most 4 MiB under way, and a ping once the last came back.
        while slot < VALUES && slot - acked < 4_096 {
            links.send(2, &accept(slot, value.clone()));
            slot += 1;
        }
        if pinged.is_none() {
            links.send(2, &confirm(1, DONE));
            pinged = Some(Instant::now());
        }
        links.flush();
        let mut event = events.next().await;
        while let Some(taken) = event {
            if let LinkEvent::Message(Envelope {
                message: Message::Confirm(answer),
                ..
            }) = taken
            {
                match (answer.round, pinged) {
                    (DONE, Some(at)) => {
                        samples.push(at.elapsed());
                        pinged = None;
                    }
                    (round, _) => acked = acked.max(round),
                }
            }
            event = events.try_next();
        }
    }
    let rate = VALUES as f64 / start.elapsed().as_secs_f64();
    percentiles("link: control round trip, under bulk", samples);
    let megabytes = rate * VALUE_BYTES as f64 / 1e6;
    println!(
        "link: Accepts of {VALUE_BYTES} bytes, a frame each            {rate:>9.0} a second, {megabytes:.0} MB/s"
    );
    println!(
        "link: packets lost {}, waiting {}",
        links.status()[0].lost_packets,
        links.waiting_bytes(2, Class::Accepts)
    );
}

fn measure_client(authority: &CertificateAuthority, replica: Credentials) {
    let client = Credentials::of(authority, &authority.issue_client("bench").expect("a name"))
        .expect("ours");
    let (told, address) = std::sync::mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let (endpoint, mut acceptor) = serve(Plane::Clients, &replica);
            told.send(endpoint.local_address())
                .expect("the other thread waits");
            let connection = acceptor.next().await.expect("the client comes");
            let (mut sender, mut receiver) = connection
                .accept_bi(FrameLimits::FROM_CLIENT)
                .await
                .expect("a stream");
            while let Ok(Some(_)) = receiver.next().await {
                sender
                    .send(&Credit { bytes: 1 })
                    .await
                    .expect("the client listens");
            }
        });
    });
    let address = address.recv().expect("it listens");
    runtime().block_on(async {
        let endpoint = Endpoint::dial_only(Plane::Clients, &client, Tuning::of(Plane::Clients))
            .expect("a port");
        let connection = endpoint
            .connect(address, Expect::AnyReplica)
            .await
            .expect("it listens");
        let (mut sender, mut receiver) = connection
            .open_bi(FrameLimits::TO_CLIENT)
            .await
            .expect("a stream");
        let body = [Bytes::from(vec![7; VALUE_BYTES])];
        let mut samples = Vec::with_capacity(PINGS);
        for i in 0..PINGS + 1_000 {
            let start = Instant::now();
            sender
                .send_with(&Credit { bytes: 1 }, Flags::NONE, &body)
                .await
                .expect("sent");
            receiver.next().await.expect("an answer").expect("a frame");
            if i >= 1_000 {
                samples.push(start.elapsed());
            }
        }
        percentiles("client: 1 KiB there, a receipt back", samples);
        println!(
            "client: datagrams of up to {} bytes",
            connection.mtu_bytes()
        );
    });
}

fn main() {
    let authority = CertificateAuthority::make(CLUSTER).expect("a key");
    let credentials = [1, 2].map(|id| {
        Credentials::of(&authority, &authority.issue_replica(id).expect("an id")).expect("ours")
    });
    let two = credentials[1].clone();
    let (told, address) = std::sync::mpsc::channel();
    let echoing = thread::spawn(move || {
        runtime().block_on(async {
            // It is dialled, so it needs no address.
            let (links, events, address) = links(2, &two, 1, (Ipv4Addr::LOCALHOST, 1).into());
            told.send(address).expect("the other thread waits");
            echo(links, events).await;
        });
    });
    let address = address.recv().expect("it listens");
    runtime().block_on(async {
        let (links, events, _) = links(1, &credentials[0], 2, address);
        measure_links(links, events).await;
    });
    echoing.join().expect("it ends with the link");
    measure_client(&authority, credentials[0].clone());
}
