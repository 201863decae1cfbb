//! The work grows as the history does.

use paxlog_sim::check::{Report, check};
use paxlog_sim::history::{
    Call, ClientId, Event, History, Outcome, Receipt, Recorder, Reply, Settled,
};

use crate::generate::{Mix, legal};
use crate::hand::{acked, session, stored};

fn mix(ops: u64) -> Mix {
    Mix {
        ops,
        spread: 60,
        unknown: 20,
        readers: false,
        trims: true,
        seals: false,
        registers: false,
        versions: true,
        records_max: 2,
    }
}

/// n log n: ten times as much is 12.5 times the steps, a quarter more for each operation and record that was read.
/// Quadratic would be ten times as many for each.
fn grows(what: &str, judged: impl Fn(u64) -> Report) {
    let each = |n| {
        let summary = judged(n).summary;
        let operations = summary.operations.values();
        let size = operations.fold(summary.records_read, |sum, ends| {
            sum + ends.ok + ends.not_applied + ends.unknown
        });
        println!("{what}: {} steps for {size}", summary.steps);
        assert!(summary.steps > size, "{what}: steps are counted");
        summary.steps * 100 / size
    };
    let (some, many) = (each(10_000), each(100_000));
    assert!(many * 2 < some * 3, "{what}: {some} {many}");
}

fn clean(history: &History) -> Report {
    let report = check(history);
    assert!(report.clean(), "{:?}", report.violations);
    report
}

#[test]
fn ten_times_the_operations_are_little_more_than_ten_times_the_steps() {
    grows("operations", |ops| clean(&legal(7, mix(ops))));
}

#[test]
fn so_it_is_with_readers_and_without_versions() {
    grows("operations and readers", |ops| {
        let (readers, versions) = (true, false);
        clean(&legal(
            7,
            Mix {
                readers,
                versions,
                ..mix(ops)
            },
        ))
    });
}

/// Each append in a log of its own.
#[test]
fn so_it_is_with_many_logs() {
    grows("logs", |logs| {
        let mut recorder = Recorder::new();
        for log in 0..logs {
            let name = format!("log {log}");
            let id = recorder.begin(log, ClientId(1), Call::append(&name, ["a"]));
            recorder.end(log, id, acked(0));
        }
        let mut history = recorder.finish();
        history.settled = (0..logs)
            .map(|log| Settled::whole(format!("log {log}"), stored(&["a"])))
            .collect();
        clean(&history)
    });
}

/// The whole end of the log is gone, after it was acknowledged and read.
#[test]
fn so_it_is_where_all_is_wrong() {
    grows("lost records", |lost| {
        let mut recorder = Recorder::new();
        let payloads: Vec<String> = (0..lost).map(|n| n.to_string()).collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let records = stored(&payloads);
        for (stored, payload) in records.iter().zip(&payloads) {
            let now = stored.offset;
            let id = recorder.begin(now, ClientId(1), Call::append("a", [*payload]));
            let receipt = Receipt::at(now..now + 1);
            recorder.end(now, id, Outcome::Ok(Reply::Appended(receipt)));
            let event = Event::Records(vec![stored.clone()]);
            recorder.event(now, ClientId(2), "a", session(1), event);
        }
        let half = records[..records.len() / 2].to_vec();
        recorder.settle(Settled::whole("a", half));
        let report = check(&recorder.finish());
        let rules: Vec<&str> = report.violations.iter().map(|found| found.rule()).collect();
        assert!(
            rules.contains(&"lost") && rules.contains(&"unseen"),
            "{rules:?}"
        );
        // Of each rule ten are told.
        assert_eq!(report.more, 2 * (lost / 2 - 10), "{rules:?}");
        report
    });
}
