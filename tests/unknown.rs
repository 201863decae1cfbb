//! Appends whose outcome is really unknown, exit code 4, and how the producer's name settles each: by what it appended
//! last, which nothing that is still under way can change any more.

use serde_json::Value;

use paxlog_client::{AppenderOptions, LastOutcome};

use crate::support::{Cluster, LIVENESS, Running, Signal, block_on, read_at};

const LOG: &str = "notes";
const NAME: &str = "mill";

#[test]
fn an_append_that_is_chosen_after_its_deadline_is_found_to_have_happened() {
    let mut cluster = Cluster::started();
    let mut program = begin(&cluster);
    // With one of three gone, both others are needed for anything: so whoever leads next has the append from the leader.
    let leader = cluster.leader();
    let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
    cluster.kill(others[0]);
    cluster.signal(others[1], Signal::STOP);
    program.write(b"late\n");
    ends_unknown(program);
    cluster.signal(others[1], Signal::CONT);

    let last = settle(&cluster);
    assert_eq!(
        (&last["start"], &last["end"]),
        (&1.into(), &2.into()),
        "{last}"
    );
    cluster.start(others[0]);
    stays(&mut cluster, &["stands", "late"]);
}

#[test]
fn an_append_that_only_a_deposed_leader_has_is_found_not_to_have_happened_and_never_does() {
    let mut cluster = Cluster::started();
    let mut program = begin(&cluster);
    let leader = cluster.leader();
    let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
    // Killed, not stopped: one that stands still takes what came meanwhile when it goes on.
    cluster.kill_all(&others);
    program.write(b"lost\n");
    ends_unknown(program);
    // Before the two are back, so that they go on without it and what it has.
    cluster.signal(leader, Signal::STOP);
    cluster.start(others[0]);
    cluster.start(others[1]);

    let last = settle(&cluster);
    assert_eq!(
        (&last["start"], &last["end"]),
        (&0.into(), &1.into()),
        "{last}"
    );
    // It comes back, with the append on its disk.
    cluster.signal(leader, Signal::CONT);
    stays(&mut cluster, &["stands"]);
}

/// A program that has appended one record, and waits for more.
fn begin(cluster: &Cluster) -> Running {
    let mut program = cluster
        .paxlog(&["append", LOG, "-v", "--producer", NAME, "--deadline", "1s"])
        .args(&["--output", "json"])
        .start();
    program.write(b"stands\n");
    let receipt: Value = serde_json::from_str(&program.line().1).expect("JSON");
    assert_eq!(receipt["end"], 1, "{receipt}");
    program
}

/// It ends with what stands, and that nobody knows of one record more.
fn ends_unknown(program: Running) {
    let output = program.end_after_input().code(4);
    let error = output.error_beside_results();
    let facts = ["code", "outcome", "records", "unknown"].map(|fact| error[fact].clone());
    let expected: [Value; 4] = [
        "OutcomeUnknown".into(),
        "unknown".into(),
        1.into(),
        1.into(),
    ];
    assert_eq!(facts, expected, "{error}");
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("--producer 'mill' </dev/null"), "{error}");
}

/// As the hint says; the same from the client library.
fn settle(cluster: &Cluster) -> Value {
    let settled = cluster
        .paxlog(&["append", LOG, "--producer", NAME, "--deadline", "80s"])
        .args(&["--output", "json"])
        .run()
        .ok()
        .json();
    assert_eq!(settled["records"], 0, "{settled}");
    let last = settled["last"].clone();
    println!("it settles it: {settled}");
    let opened = block_on(async {
        let client = cluster.client().await;
        let options = AppenderOptions {
            producer: Some(NAME.into()),
            deadline: LIVENESS,
            ..AppenderOptions::default()
        };
        let appender = client.appender(LOG, options).await.expect("opened");
        let opened = appender.opened().clone();
        client.close().await;
        opened
    });
    let same = opened.last.expect("it appended something");
    let LastOutcome::Appended { start, end, .. } = same.what else {
        panic!("{same:?}");
    };
    assert_eq!((&last["start"], &last["end"]), (&start.into(), &end.into()));
    assert_eq!(last["sequence"], same.sequence);
    last
}

/// The log has these records and no others, at once and after all replicas are one again.
fn stays(cluster: &mut Cluster, expected: &[&str]) {
    let text = |records: &[&str]| {
        records
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let read = cluster.paxlog(&["read", LOG, "--linearizable"]).run().ok();
    assert_eq!(read.text(), text(expected));
    cluster.wait_all_ready();
    let after = cluster.paxlog(&["append", LOG, "-m", "after", "--deadline", "80s"]);
    after.run().ok();
    cluster.wait_caught_up();
    let all: Vec<&str> = expected.iter().copied().chain(["after"]).collect();
    for id in 1..=3 {
        let address = cluster.place(id).clients;
        let stored = block_on(read_at(&cluster.profile(), address, LOG));
        let found: Vec<&[u8]> = stored.iter().map(|stored| &stored.payload[..]).collect();
        let all: Vec<&[u8]> = all.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(found, all, "replica {id}");
    }
    cluster.finish();
}
