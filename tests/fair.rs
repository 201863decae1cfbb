//! Who takes too much is told when to come again, and keeps nobody else waiting.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use paxlog_client::Profile;
use paxlog_wire::client::{CommandBody, LogConfig};
use paxlog_wire::{Code, Flags, limits};

use crate::support::raw::{Raw, appended, batch_of};
use crate::support::{Cluster, Options, PATIENT, block_on};

#[test]
fn who_appends_too_fast_is_told_when_to_come_again_and_no_other_is() {
    let mut cluster = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    cluster.configure("\n[limits]\nclient_append_rate = \"20KB\"\n");
    cluster.start_all();
    cluster.wait_all_ready();
    block_on(of_clients(&cluster));
    of_logs(&cluster);
    cluster.finish();
}

/// `client_append_rate` bounds a connection, whatever its producers and logs.
async fn of_clients(cluster: &Cluster) {
    let (profile, address) = (cluster.profile(), cluster.place(1).clients);
    let greedy = Raw::connect(&profile, address).await;
    let mut first = greedy.producer().await;
    let config = LogConfig::default();
    let log = first.create("one", config).await.expect("made");
    first.append(log, &[b'x'; 45_000]).await.expect("appended");
    // Its next one, and that of another producer on the same connection.
    let mut second = greedy.producer().await;
    let mut waits = Vec::new();
    for producer in [&mut first, &mut second] {
        let refused = producer.append(log, b"y").await.expect_err("too fast");
        assert_eq!(refused.code, Code::Throttled, "{refused}");
        let wait = refused.retry_after_ms.expect("a time");
        assert!(
            (1..=2_100).contains(&wait),
            "{wait} ms for some 40,000 bytes"
        );
        waits.push(wait);
    }
    // Another client is not concerned.
    let modest = Raw::connect(&profile, address).await;
    let mut third = modest.producer().await;
    assert_eq!(third.append(log, b"z").await.expect("appended").start, 1);
    // Nothing of what was refused was applied, and after that time it is, once.
    tokio::time::sleep(Duration::from_millis(u64::from(waits[0]) + 50)).await;
    assert_eq!(first.append(log, b"y").await.expect("in time").start, 2);
    println!("told to come again after {waits:?} ms");
}

/// A log's own rate, as programs meet it.
fn of_logs(cluster: &Cluster) {
    let create = ["log", "create", "slow", "--append-rate", "4KB"];
    cluster.paxlog(&create).run().ok();
    let append = |deadline: &str, text: &str| {
        let append = ["append", "slow", "-m", text, "--deadline", deadline];
        let append = cluster.paxlog(&append).args(&["--output", "json"]);
        append.run()
    };
    let tail = || cluster.paxlog(&["check-tail", "slow", "--output", "json"]);
    append("10s", &"x".repeat(16_000)).ok();
    // It is in debt for some seconds.
    let refused = append("300ms", "y").code(3).error_beside_results();
    let facts = ["code", "retry", "outcome"].map(|fact| refused[fact].clone());
    let expected = ["Throttled", "after", "not_applied"].map(serde_json::Value::from);
    assert_eq!(facts, expected, "{refused}");
    let wait = refused["retry_after_ms"].as_u64().expect("a time");
    assert!((1..=4_000).contains(&wait), "{refused}");
    assert_eq!(tail().run().ok().json()["offset"], 1);
    // With time it waits by itself.
    let begin = Instant::now();
    append("60s", "y").ok();
    println!("told {wait} ms, and waited {:?}", begin.elapsed());
    assert_eq!(tail().run().ok().json()["offset"], 2);
    // Or without a bound it need not.
    let alter = ["log", "alter", "slow", "--append-rate", "none"];
    cluster.paxlog(&alter).run().ok();
    append("10s", &"x".repeat(9_000)).ok();
    append("10s", "y").ok();
    assert_eq!(tail().run().ok().json()["offset"], 4);
}

/// What a producer got done.
struct Done {
    appends: usize,
    /// From sending to receipt.
    median: Duration,
    worst: Duration,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done {
            appends,
            median,
            worst,
        } = self;
        write!(
            f,
            "{appends} appends in {FOR:?}, median {median:?}, worst {worst:?}"
        )
    }
}

fn done(mut took: Vec<Duration>) -> Done {
    took.sort();
    Done {
        appends: took.len(),
        median: took.get(took.len() / 2).copied().unwrap_or_default(),
        worst: took.last().copied().unwrap_or_default(),
    }
}

const PAYLOAD: &[u8] = &[b'x'; 1_000];
const FOR: Duration = Duration::from_secs(3);
/// More than the cluster keeps receipts for, which is the greedy one's own affair.
const IN_FLIGHT: usize = 6_000;

#[test]
fn a_greedy_producer_does_not_keep_a_modest_one_waiting() {
    let mut cluster = Cluster::made(&Options::default());
    cluster.configure(PATIENT);
    cluster.start_all();
    cluster.wait_all_ready();
    let leader = cluster.leader();
    let (profile, address) = (cluster.profile(), cluster.place(leader).clients);
    let one = |name| block_on(one_by_one(&profile, address, name));
    let alone = one("alone");
    // Each a thread, so that they meet nowhere but at the leader.
    let (modest, greedy) = std::thread::scope(|scope| {
        let greedy = scope.spawn(|| block_on(flood(&profile, address)));
        let modest = one("modest");
        (modest, greedy.join().expect("no panic"))
    });
    println!("one at a time, alone: {alone}");
    println!("one at a time, beside: {modest}");
    println!("{IN_FLIGHT} in flight: {greedy}");
    assert!(greedy.appends > IN_FLIGHT, "it is a flood: {greedy}");
    // It waits behind what others have in flight at times, as long as they do themselves, and not several times as long.
    let mean = FOR / (modest.appends as u32).max(1);
    assert!(mean < 4 * greedy.median, "{modest} beside {greedy}");
    cluster.finish();
}

/// Appends, each once the one before it is there.
async fn one_by_one(profile: &Profile, address: SocketAddr, name: &str) -> Done {
    let raw = Raw::connect(profile, address).await;
    let mut producer = raw.producer().await;
    let log = producer.create(name, LogConfig::default()).await;
    let log = log.expect("made");
    let (begin, mut took) = (Instant::now(), Vec::new());
    while begin.elapsed() < FOR {
        let sent = Instant::now();
        producer.append(log, PAYLOAD).await.expect("appended");
        took.push(sent.elapsed());
    }
    done(took)
}

/// Appends, always as many in flight: none is refused, since a replica takes more only as it answers.
async fn flood(profile: &Profile, address: SocketAddr) -> Done {
    let raw = Raw::connect(profile, address).await;
    assert!(IN_FLIGHT > limits::APPENDS_IN_FLIGHT_MAX as usize);
    assert!(IN_FLIGHT < limits::REPLIES_OWED_MAX as usize);
    let mut producer = raw.producer().await;
    let log = producer.create("greedy", LogConfig::default()).await;
    let log = log.expect("made");
    let batch = batch_of(PAYLOAD);
    let (begin, mut took) = (Instant::now(), Vec::new());
    let mut sent = std::collections::VecDeque::new();
    loop {
        let more = begin.elapsed() < FOR;
        while more && sent.len() < IN_FLIGHT {
            let command = CommandBody::Append {
                origin: producer.next(),
                log,
                if_tail: None,
                fence: None,
            };
            producer.push(command, &batch, Flags::NONE);
            sent.push_back(Instant::now());
        }
        producer.flush().await;
        let Some(since) = sent.pop_front() else { break };
        appended(producer.reply().await.1).expect("appended");
        took.push(since.elapsed());
    }
    done(took)
}
