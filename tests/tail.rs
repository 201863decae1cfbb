//! `paxlog tail -f`.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Cluster, Running};

fn next(tail: &mut Running) -> (u64, String) {
    let (_, line) = tail.line();
    let value: Value = serde_json::from_str(&line).expect("a line is JSON");
    let payload = value["payload"].as_str().expect("text").to_owned();
    (value["offset"].as_u64().expect("a number"), payload)
}

#[test]
fn each_record_is_printed_soon_and_none_is_lost_or_repeated_over_a_kill_of_the_leader() {
    let mut cluster = Cluster::started();
    cluster.paxlog(&["append", "notes", "-m", "0"]).run().ok();
    let mut tail = cluster
        .paxlog(&["tail", "notes", "-f", "--from", "first", "--output", "json"])
        .start();
    // The last ten, and then those to come; in the plain form too.
    let mut plain = cluster.paxlog(&["tail", "notes", "-f"]).start();
    assert_eq!(next(&mut tail), (0, "0".into()));
    assert_eq!(plain.line().1, "0");

    // In another terminal: one append at a time, each heard before the next.
    let mut soonest = Duration::MAX;
    let mut writer = cluster
        .paxlog(&["append", "notes", "-v", "--output", "json"])
        .start();
    for number in 1..=20_u64 {
        let begin = Instant::now();
        writer.write(format!("{number}\n").as_bytes());
        assert_eq!(next(&mut tail), (number, number.to_string()));
        soonest = soonest.min(begin.elapsed());
        writer.line();
        assert_eq!(plain.line().1, number.to_string());
    }
    println!("a record was printed as soon as {soonest:?} after it was written");

    let mut number = 20;
    let mut expected = Vec::new();
    for kill in 0..3 {
        let victim = match kill {
            // Whoever serves the tail, it moves once at least: one of them is killed after the other.
            0 => cluster.leader(),
            kill => 1 + (cluster.leader() + kill) % 3,
        };
        for step in 0..30 {
            number += 1;
            writer.write(format!("{number}\n").as_bytes());
            expected.push(number);
            match step {
                10 => cluster.kill(victim),
                20 => cluster.start(victim),
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        for number in expected.drain(..) {
            assert_eq!(next(&mut tail), (number, number.to_string()), "kill {kill}");
            assert_eq!(plain.line().1, number.to_string(), "kill {kill}");
        }
        cluster.wait_all_ready();
    }
    // A seal ends both; nothing else was printed meanwhile.
    cluster.paxlog(&["seal", "notes"]).run().ok();
    let output = tail.end().ok();
    assert_eq!(output.text(), "");
    assert!(output.stderr.contains("sealed"), "{}", output.stderr);
    assert_eq!(plain.end().ok().text(), "");
    cluster.finish();
}

#[test]
fn an_interrupted_tail_ends_with_130_and_says_where_to_go_on() {
    let mut cluster = Cluster::started_with(&crate::support::Options {
        replicas: 1,
        ..Default::default()
    });
    cluster
        .paxlog(&["append", "notes"])
        .stdin("a\nb\nc\nd\n")
        .run()
        .ok();
    let two = cluster.paxlog(&["tail", "notes", "-n", "2"]).run().ok();
    assert_eq!(two.text(), "c\nd\n");
    let mut tail = cluster
        .paxlog(&["tail", "notes", "-f", "-n", "1", "--output", "json"])
        .start();
    assert_eq!(next(&mut tail), (3, "d".into()));
    assert_eq!(
        tail.line_within(Duration::from_millis(100)),
        None,
        "nothing is printed that is not there"
    );
    tail.send(crate::support::Signal::INT);
    let error = tail.end().error(130);
    assert_eq!(error["next"], 4, "{error}");
    cluster.finish();
}
