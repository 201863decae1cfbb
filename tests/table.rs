//! Every verb, and everything that can come to it: good input, each that is wrong, a replica that does not lead, a leader
//! that is lost midway, a deadline that passes, a signal. What it says must be what the catalogue promises, and what is so.
//!
//! The catalogue is [`crate::codes::promise`], the good input that of [`crate::verbs`]. A verb without an entry fails here.

mod entries;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use paxlog_client::{
    Client, Code, Consistency, CreateOptions, Error, Expected, LogDescription, Record,
};
use serde_json::Value;

use crate::codes::{Outcome, promise};
use crate::support::{Cluster, Options, Output, Paxlog, Running, Signal, block_on};
use crate::verbs::{Kind, World, rows};

use entries::{Effect, Entry, Results, Wrong, entries};

/// Three replicas, which make no logs by themselves but for those of a load.
fn cluster() -> Cluster {
    let mut cluster = Cluster::made(&Options {
        replicas: 3,
        create_on_append: false,
    });
    for place in &cluster.places {
        let text = fs::read_to_string(&place.config).expect("there");
        let edited = text.replace("create_on_append = false", "create_on_append = [\"bench\"]");
        assert_ne!(edited, text);
        fs::write(&place.config, edited).expect("written");
    }
    cluster.start_all();
    cluster.wait_all_ready();
    cluster
}

#[test]
fn no_verb_is_forgotten_here() {
    let rows = rows();
    let asked = rows.iter().filter(|row| row.kind == Kind::Cluster);
    let asked: BTreeSet<&str> = asked.map(|row| row.command).collect();
    let entries = entries();
    let tried: BTreeSet<&str> = entries.iter().map(|entry| entry.command).collect();
    assert_eq!(tried.len(), entries.len(), "one entry a verb");
    assert_eq!(tried, asked);
    for entry in &entries {
        assert!(
            !entry.wrong.is_empty(),
            "{}: nothing is wrong",
            entry.command
        );
    }
}

#[test]
fn good_input_wrong_input_and_a_replica_that_does_not_lead() {
    let mut world = World::over(cluster());
    for words in [
        &["log", "create", "small", "--max-batch", "64"][..],
        &["fence", "fenced", "w0"],
    ] {
        world.cluster.paxlog(words).run().ok();
    }
    let large = world.cluster.dir().join("large");
    fs::write(&large, vec![b'x'; (1 << 20) + 1]).expect("written");
    let large = large.to_str().expect("text").to_owned();
    // Loads have a length of their own, which others need not wait for.
    let mut loads = Vec::new();
    let leader = world.cluster.leader();
    let follower = world.cluster.place(1 + leader % 3).clients;
    let alone = only(&world.cluster, follower);
    for row in rows() {
        if row.kind != Kind::Cluster {
            continue;
        }
        let good = || {
            world
                .paxlog(row.command, row.arguments)
                .args(&["--output", "json"])
        };
        let elsewhere = good().profile(&alone);
        let entry = entries()
            .into_iter()
            .find(|entry| entry.command == row.command);
        let entry = entry.expect("an entry");
        if entry.effect == Effect::Elsewhere {
            loads.push((entry, good().start(), elsewhere.start()));
            continue;
        }
        went_well(&entry, &good().run());
        match entry.command {
            // Each of the profile's servers is asked for itself: that this one does not lead is the answer.
            "cluster status" => {
                let output = elsewhere.run().code(3);
                let said = output.json();
                assert_eq!(
                    (&said["role"], &said["ready"]),
                    (&"follower".into(), &true.into())
                );
                fails(&entry, &output, Code::Unavailable);
            }
            _ => went_well(&entry, &elsewhere.run()),
        }
    }
    block_on(async {
        let client = world.cluster.client().await;
        for entry in entries() {
            for (arguments, wrong) in &entry.wrong {
                let arguments = arguments.replace("{large}", &large);
                let before = state(&client).await;
                let run = || {
                    let run = world.paxlog(entry.command, &arguments);
                    run.args(&["--output", "json"])
                };
                let output = run().run();
                match wrong {
                    Wrong::Usage => wrong_usage(&entry, output),
                    Wrong::Is(code) => fails(&entry, &output, *code),
                }
                let after = state(&client).await;
                assert_eq!(after, before, "{} {arguments}", entry.command);
            }
            let before = state(&client).await;
            let nobody = world.paxlog(entry.command, entry.midway);
            let nobody = nobody.args(&["--output", "json", "--profile", "/nonexistent"]);
            wrong_usage(&entry, nobody.run());
            assert_eq!(state(&client).await, before, "{}", entry.command);
        }
        client.close().await;
    });
    for (entry, here, elsewhere) in loads {
        went_well(&entry, &here.end());
        went_well(&entry, &elsewhere.end());
    }
    world.cluster.finish();
}

/// A profile that names one server of the cluster.
fn only(cluster: &Cluster, server: SocketAddr) -> std::path::PathBuf {
    let text = fs::read_to_string(cluster.profile_path()).expect("there");
    let lines = text.lines().map(|line| match line.starts_with("servers") {
        true => format!("servers = [\"{server}\"]\n"),
        false => format!("{line}\n"),
    });
    let alone = cluster.certs().join("alone.toml");
    fs::write(&alone, lines.collect::<String>()).expect("written");
    alone
}

#[track_caller]
fn went_well(entry: &Entry, output: &Output) {
    let said = format!("{}: {}", entry.command, output.stderr);
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (Some(0), ""),
        "{said}"
    );
    match entry.results {
        Results::One => assert_eq!(output.json_lines().len(), 1, "{}", output.text()),
        Results::Many => assert!(!output.json_lines().is_empty(), "{said}"),
    }
}

#[track_caller]
fn wrong_usage(entry: &Entry, output: Output) {
    let error = output.error(2);
    let facts = ["code", "retry", "outcome"].map(|fact| error[fact].clone());
    let expected = ["Invalid", "never", "not_applied"].map(Value::from);
    assert_eq!(facts, expected, "{}: {error}", entry.command);
}

/// It was refused with this code, and said so as is promised. What was printed before is no result.
#[track_caller]
fn fails(entry: &Entry, output: &Output, code: Code) {
    let promise = promise(code);
    let error = output.error_beside_results();
    let facts = ["code", "retry", "outcome"].map(|fact| error[fact].clone());
    let outcome = match promise.outcome {
        Outcome::Unknown => "unknown",
        Outcome::NotApplied | Outcome::None => "not_applied",
    };
    let expected = [code.name(), promise.retry, outcome].map(Value::from);
    assert_eq!(facts, expected, "{}: {error}", entry.command);
    assert_eq!(
        output.code,
        Some(promise.exit),
        "{}: {error}",
        entry.command
    );
    for line in output.json_lines() {
        // How much of its input stands; and replicas, each as it is.
        let none = entry.command == "append" && line["records"] == 0;
        assert!(
            none || entry.command == "cluster status",
            "{}: {line}",
            entry.command
        );
    }
}

/// Everything that a refused verb could have changed.
async fn state(client: &Client) -> BTreeMap<String, String> {
    let mut state = BTreeMap::new();
    for name in ["notes", "shut", "fenced", "small", "none", "bad*name"] {
        let described = client.describe_log(name, Consistency::Linearizable).await;
        let described = match described {
            Ok(mut log) => {
                log.tail.stale_ms = None;
                let cursors = client
                    .list_cursors(name, "", None, 100, Consistency::Linearizable)
                    .await;
                format!(
                    "{log:?} {:?}",
                    cursors.expect("of a log that is there").cursors
                )
            }
            Err(error) => error.code.name().to_owned(),
        };
        state.insert(name.to_owned(), described);
    }
    state
}

/// What happens to a cluster while its verbs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// The leader stands still, and is killed.
    LeaderStops,
    /// The others stand still, so that the leader keeps what it takes; it is killed, and they go on.
    LeaderKeeps,
    /// The leader and another one stand still, for longer than the deadline.
    NobodyLeads,
    /// The others stand still, for longer than the deadline.
    NobodyFollows,
    /// The others stand still, and the verbs are told to stop.
    Interrupted,
}

#[test]
fn a_leader_lost_midway_a_deadline_that_passes_and_a_signal() {
    let mut cluster = cluster();
    for blow in [
        Blow::LeaderStops,
        Blow::LeaderKeeps,
        Blow::NobodyLeads,
        Blow::NobodyFollows,
        Blow::Interrupted,
    ] {
        let begin = Instant::now();
        let tally = block_on(strike(&mut cluster, blow));
        println!("{blow:?}: {tally:?} in {:?}", begin.elapsed());
    }
    cluster.finish();
}

/// Runs all verbs while something happens, and holds what each said against what is so. Gives how many ended how.
async fn strike(cluster: &mut Cluster, blow: Blow) -> BTreeMap<i32, u32> {
    let entries: Vec<Entry> = entries()
        .into_iter()
        .filter(|entry| match blow {
            Blow::LeaderStops | Blow::LeaderKeeps => true,
            Blow::NobodyLeads | Blow::NobodyFollows => entry.has_deadline(),
            Blow::Interrupted => entry.writes(),
        })
        .collect();
    let client = cluster.client().await;
    for entry in &entries {
        prepare(&client, &log_of(entry, blow), entry.effect).await;
    }
    let leader = cluster.leader();
    let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
    let stopped = match blow {
        Blow::LeaderStops => vec![leader],
        Blow::NobodyLeads => vec![leader, others[0]],
        Blow::LeaderKeeps | Blow::NobodyFollows | Blow::Interrupted => others.clone(),
    };
    for id in &stopped {
        cluster.signal(*id, Signal::STOP);
    }
    let running: Vec<Running> = entries
        .iter()
        .map(|entry| begin(cluster, entry, blow).start())
        .collect();
    let outputs: Vec<Output> = match blow {
        Blow::LeaderStops | Blow::LeaderKeeps => {
            // Until most have found somebody to ask.
            std::thread::sleep(std::time::Duration::from_millis(300));
            cluster.kill(leader);
            if blow == Blow::LeaderKeeps {
                for id in &others {
                    cluster.signal(*id, Signal::CONT);
                }
            }
            let outputs = running.into_iter().map(Running::end).collect();
            cluster.start(leader);
            outputs
        }
        Blow::NobodyLeads | Blow::NobodyFollows | Blow::Interrupted => {
            if blow == Blow::Interrupted {
                for run in &running {
                    run.listens();
                    run.send(Signal::INT);
                }
            }
            let outputs = running.into_iter().map(Running::end).collect();
            for id in &stopped {
                cluster.signal(*id, Signal::CONT);
            }
            outputs
        }
    };
    cluster.wait_all_ready();
    cluster.wait_caught_up();
    let mut tally = BTreeMap::new();
    for (entry, output) in entries.iter().zip(&outputs) {
        let applied = applied(&client, &log_of(entry, blow), entry.effect).await;
        judge(entry, blow, output, applied);
        *tally
            .entry(output.code.expect("no signal ended it"))
            .or_default() += 1;
    }
    client.close().await;
    tally
}

fn log_of(entry: &Entry, blow: Blow) -> String {
    format!("{}-{blow:?}", entry.command.replace(' ', "-"))
}

fn begin(cluster: &Cluster, entry: &Entry, blow: Blow) -> Paxlog {
    let line = entry.midway.replace("{log}", &log_of(entry, blow));
    let words = entry.command.split(' ').chain(line.split_whitespace());
    let run = cluster.paxlog(&words.collect::<Vec<_>>());
    let run = run.args(&["--output", "json"]);
    let deadline = match blow {
        // It waits so long for the replica that is gone.
        _ if entry.command == "cluster status" => "1s",
        Blow::LeaderStops | Blow::LeaderKeeps => "60s",
        Blow::NobodyLeads | Blow::NobodyFollows => "1s",
        Blow::Interrupted => "10m",
    };
    match entry.has_deadline() {
        true => run.args(&["--deadline", deadline]),
        false => run,
    }
}

/// What a verb said agrees with what is so.
#[track_caller]
fn judge(entry: &Entry, blow: Blow, output: &Output, applied: bool) {
    let what = format!(
        "{} during {blow:?}, applied: {applied}\n{}{}",
        entry.command,
        output.text(),
        output.stderr
    );
    let code = output.code.expect("no signal ended it");
    let writes = entry.writes();
    match (blow, code) {
        // Two of three are enough for everybody, and there was time.
        (Blow::LeaderStops | Blow::LeaderKeeps, 0) => {}
        // A load does not wait for a leader longer than for each append.
        (Blow::LeaderStops | Blow::LeaderKeeps, 3 | 4) if entry.effect == Effect::Elsewhere => {}
        // Every replica is asked for itself, the one that is gone too, and perhaps before another one leads.
        (Blow::LeaderStops | Blow::LeaderKeeps, 3) if entry.command == "cluster status" => {}
        // What was applied here needs nobody else.
        (Blow::NobodyLeads | Blow::NobodyFollows, 0) if !writes => {}
        (Blow::NobodyLeads | Blow::NobodyFollows, 3) => {}
        (Blow::NobodyLeads | Blow::NobodyFollows, 4) if writes => {}
        (Blow::Interrupted, 130) => {}
        _ => panic!("exit {code}: {what}"),
    }
    if code == 0 {
        assert!(applied || !writes, "it said that it was done: {what}");
        assert!(
            output.stderr.is_empty() || entry.effect == Effect::Alters,
            "{what}"
        );
        return;
    }
    let error = output.error_beside_results();
    let outcome = error["outcome"].as_str().expect("an outcome");
    match code {
        3 => assert_eq!(outcome, "not_applied", "{what}"),
        4 => assert_eq!(outcome, "unknown", "{what}"),
        _ => {}
    }
    if outcome == "not_applied" {
        assert!(!applied, "it said that it was not: {what}");
    }
    let name = error["code"].as_str().expect("a code");
    match Code::ALL.iter().find(|code| code.name() == name) {
        Some(known) => {
            assert_eq!(error["retry"], promise(*known).retry, "{what}");
            assert_eq!(code, promise(*known).exit, "{what}");
        }
        None => assert_eq!((name, code), ("Interrupted", 130), "{what}"),
    }
}

/// Makes a log for one verb.
async fn prepare(client: &Client, log: &str, effect: Effect) {
    if matches!(effect, Effect::Creates | Effect::Elsewhere) {
        return;
    }
    let created = client.create_log(log, CreateOptions::default()).await;
    created.expect("made");
    let records = vec![Record::new("one"), Record::new("two")];
    client.append(log, records).await.expect("appended");
    let set = client.set_cursor(log, "me", 1, Expected::Absent).await;
    set.expect("set");
}

/// Whether a verb's effect on its log is there. If nothing is to be seen of it, it is not.
async fn applied(client: &Client, log: &str, effect: Effect) -> bool {
    let found = client.describe_log(log, Consistency::Linearizable).await;
    let there = |found: Result<LogDescription, Error>| found.expect("it is there");
    let cursor = async || {
        let cursor = client.cursor(log, "me", Consistency::Linearizable).await;
        cursor.expect("answered").map(|cursor| cursor.at)
    };
    match effect {
        Effect::Nothing | Effect::Elsewhere => false,
        Effect::Appends => there(found).tail.offset > 2,
        Effect::Trims => there(found).tail.trim_point > 0,
        Effect::Seals => there(found).tail.sealed,
        Effect::Fences => there(found).tail.fence.is_some(),
        Effect::SetsCursor => cursor().await == Some(2),
        Effect::DeletesCursor => cursor().await.is_none(),
        Effect::Alters => there(found).config.retention_age_ns > 0,
        Effect::Deletes | Effect::Creates => {
            let gone = match &found {
                Ok(_) => false,
                Err(error) => {
                    assert_eq!(error.code, Code::NotFound, "{error}");
                    true
                }
            };
            gone == (effect == Effect::Deletes)
        }
    }
}
