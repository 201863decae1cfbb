//! Pipes that close, signals, streams that cannot be written: nothing is lost, nothing is left behind.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, PipeWriter};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::stub::Stub;
use crate::support::{
    Cluster, Options, Plumbed, Ports, Rng, Signal, listens, paxlog, signal, skipped,
};
use crate::verbs::{World, rows};

fn single() -> Cluster {
    Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    })
}

/// A pipe that nobody reads.
fn unread() -> PipeWriter {
    let (_, write) = std::io::pipe().expect("a pipe");
    write
}

/// A device on which every write finds the disk full.
fn full() -> Option<std::fs::File> {
    let full = OpenOptions::new().write(true).open("/dev/full").ok();
    if full.is_none() {
        skipped("there is no /dev/full here");
    }
    full
}

/// Asserts that a directory for temporary files has nothing in it.
fn nothing_left(dir: &Path, of: &str) {
    let left: Vec<_> = std::fs::read_dir(dir)
        .expect("there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    assert!(left.is_empty(), "{of} left {left:?}");
}

#[test]
fn every_command_ends_quietly_where_nobody_reads_it_and_leaves_nothing() {
    let mut world = World::made();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let ends = |command: &str, arguments: &str| {
        let (said, stderr) = std::io::pipe().expect("a pipe");
        let run = world
            .paxlog(command, arguments)
            .env("TMPDIR", temporary.path());
        let code = run.spawn(Stdio::null(), unread(), stderr).end();
        let said = std::io::read_to_string(said).expect("text");
        assert_eq!(
            (code, said.as_str()),
            (Some(0), ""),
            "{command} {arguments}"
        );
        nothing_left(temporary.path(), command);
    };
    for row in rows() {
        for form in ["text", "json"] {
            ends(row.command, &format!("{} --output {form}", row.arguments));
        }
        ends(row.command, "--help");
    }
    for (command, arguments) in [
        ("", "--help"),
        ("", "--version"),
        ("help", "append"),
        ("tail", "notes -f --from first"),
        ("append", "notes -v -m x"),
        ("sim", "--seeds 1..2"),
        ("certs", "issue --print-sample"),
        ("man", ""),
    ] {
        ends(command, arguments);
    }

    // Though no further record comes.
    let (lines, stdout) = std::io::pipe().expect("a pipe");
    let tail = world.paxlog("tail", "notes -f -n 1");
    let tail = tail.spawn(Stdio::null(), stdout, Stdio::null());
    let mut lines = BufReader::new(lines);
    let mut line = String::new();
    lines.read_line(&mut line).expect("a line");
    drop(lines);
    assert_eq!(tail.end(), Some(0));
    world.cluster.finish();
}

#[test]
fn an_append_goes_on_when_nobody_reads_its_receipts() {
    let mut cluster = single();
    let lines: String = (0..50_000).map(|number| format!("{number}\n")).collect();
    let file = cluster.dir().join("lines");
    std::fs::write(&file, &lines).expect("written");
    let append = |log: &str, form: &str| {
        let append = cluster.paxlog(&["append", log, "-v", "--output", form]);
        append.arg(&file)
    };
    let whole = |log: &str| {
        let read = cluster.paxlog(&["read", log, "--linearizable"]).run().ok();
        assert!(read.text() == lines, "{log} is not whole");
    };
    for form in ["text", "json"] {
        let log = format!("unread-{form}");
        let run = append(&log, form).spawn(Stdio::null(), unread(), Stdio::null());
        assert_eq!(run.end(), Some(0));
        whole(&log);
    }
    // A report that cannot be written is an error; what it reports of stands, and that is said.
    if let Some(full) = full() {
        let (said, stderr) = std::io::pipe().expect("a pipe");
        let run = append("full", "json").spawn(Stdio::null(), full, stderr);
        assert_eq!(run.end(), Some(6));
        let said = std::io::read_to_string(said).expect("text");
        let error: Value = serde_json::from_str(&said).expect("one object");
        let error = &error["error"];
        assert_eq!(
            (&error["code"], &error["records"], &error["unknown"]),
            (&"LocalIo".into(), &50_000.into(), &0.into()),
            "{error}"
        );
        whole("full");
    }
    cluster.finish();
}

#[test]
fn streams_of_any_kind_are_input() {
    let mut cluster = single();
    // 48 MB of anything but the separator, through pipes both ways; the end is a record too.
    let mut rng = Rng::random();
    let mut bytes = Vec::with_capacity(48 << 20);
    while bytes.len() < 48 << 20 {
        let length = bytes.len() + rng.below(4_000) as usize;
        while bytes.len() < length {
            bytes.extend(rng.below(u64::MAX).to_le_bytes().map(|byte| byte.max(1)));
        }
        bytes.push(0);
    }
    bytes.extend_from_slice(b"\r\n\xff and no end");
    cluster
        .paxlog(&["append", "huge", "-0"])
        .stdin(bytes.clone())
        .run()
        .ok();
    bytes.push(0);
    let read = cluster
        .paxlog(&["read", "huge", "-0", "--linearizable"])
        .run()
        .ok();
    assert!(read.stdout == bytes, "what came out is not what went in");
    bytes.retain(|byte| *byte != 0);
    let raw = cluster.paxlog(&["read", "huge", "--as", "raw"]).run().ok();
    assert!(raw.stdout == bytes, "raw has nothing between");

    // Nothing to read is no record, and no error.
    let (said, stdout) = std::io::pipe().expect("a pipe");
    let append = || cluster.paxlog(&["append", "empty"]);
    assert_eq!(
        append().spawn(Stdio::null(), stdout, Stdio::null()).end(),
        Some(0)
    );
    let said = std::io::read_to_string(said).expect("text");
    assert_eq!(said, "empty: nothing appended\n");
    // No stdin at all, and no stdout either.
    let closed = |streams: &str, arguments: &[&str]| {
        Command::new("sh")
            .args([
                "-c",
                &format!("exec \"$0\" \"$@\" {streams}"),
                env!("CARGO_BIN_EXE_paxlog"),
            ])
            .args(arguments)
            .env("PAXLOG_PROFILE", cluster.profile_path())
            .output()
            .expect("a shell")
    };
    let output = closed("<&-", &["append", "empty"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"empty: nothing appended\n");
    let output = closed(">&-", &["append", "closed", "-m", "x"]);
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let read = cluster.paxlog(&["read", "closed"]).run().ok();
    assert_eq!(read.text(), "x\n");
    // Something that cannot be read.
    let folder = std::fs::File::open(cluster.dir()).expect("a folder");
    let (said, stderr) = std::io::pipe().expect("a pipe");
    assert_eq!(append().spawn(folder, Stdio::null(), stderr).end(), Some(6));
    let said = std::io::read_to_string(said).expect("text");
    assert!(said.contains("nothing of it was applied"), "{said}");
    if let Some(full) = full() {
        let (said, stderr) = std::io::pipe().expect("a pipe");
        let read = cluster.paxlog(&["read", "huge"]);
        assert_eq!(read.spawn(Stdio::null(), full, stderr).end(), Some(6));
        let said = std::io::read_to_string(said).expect("text");
        assert!(said.contains("cannot write to stdout"), "{said}");
    }
    let logs = cluster.paxlog(&["log", "list"]).run().ok();
    assert_eq!(logs.text(), "closed\nhuge\n", "no log was made for nothing");
    cluster.finish();
}

#[test]
fn a_signal_ends_an_append_with_what_is_known() {
    let mut cluster = single();
    let temporary = tempfile::tempdir().expect("a temporary directory");
    for (number, kind) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let append = cluster.paxlog(&["append", "notes", "-v", "--output", "json"]);
        let mut append = append.env("TMPDIR", temporary.path()).start();
        append.write(b"one\ntwo\nthis is not ended");
        append.line();
        append.send(kind);
        let output = append.end().code(130);
        let error = output.error_beside_results();
        assert_eq!(
            (
                &error["code"],
                &error["records"],
                &error["unknown"],
                &error["outcome"]
            ),
            (
                &"Interrupted".into(),
                &2.into(),
                &0.into(),
                &"not_applied".into()
            ),
            "{kind:?}: {error}"
        );
        let read = cluster.paxlog(&["read", "notes", "--linearizable"]).run();
        assert_eq!(read.ok().text(), "one\ntwo\n".repeat(number + 1));
    }
    // Nobody answers: of what was sent nobody knows.
    let append = cluster.paxlog(&[
        "append",
        "notes",
        "-v",
        "--deadline",
        "10m",
        "--output",
        "json",
    ]);
    let mut append = append.env("TMPDIR", temporary.path()).start();
    append.write(b"three\n");
    append.line();
    let replica = rustix::process::Pid::from_raw(cluster.pid(1) as i32).expect("not 0");
    rustix::process::kill_process(replica, Signal::STOP).expect("it runs");
    append.write(b"four\nfive\n");
    // Until it has taken them in, they may not have been sent.
    std::thread::sleep(std::time::Duration::from_millis(500));
    append.send(Signal::INT);
    let output = append.end();
    rustix::process::kill_process(replica, Signal::CONT).expect("it is there");
    let output = output.code(130);
    let error = output.error_beside_results();
    assert_eq!(error["records"], 1, "{error}");
    let unknown = error["unknown"].as_u64().expect("a number");
    let lines = output.json_lines();
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["interrupted"], true, "{summary}");
    assert_eq!(summary["unknown"], unknown, "{summary}");
    // On a machine that was too busy to send them within half a second they were not sent.
    if unknown > 0 {
        assert_eq!(
            (unknown, &error["outcome"]),
            (2, &"unknown".into()),
            "{error}"
        );
        let hint = error["hint"].as_str().expect("a hint");
        assert!(hint.contains("look before you send it again"), "{error}");
    }
    nothing_left(temporary.path(), "append");
    cluster.finish();
}

#[test]
fn ctrl_c_is_heard_while_nobody_answers() {
    let mut cluster = single();
    cluster.finish();
    for kind in [Signal::INT, Signal::TERM] {
        for arguments in [
            &["append", "notes", "-m", "x"] as &[&str],
            &["read", "notes"],
            &["tail", "notes"],
            &["tail", "notes", "-f"],
        ] {
            let (said, stderr) = std::io::pipe().expect("a pipe");
            let run = cluster.paxlog(arguments).args(&["--deadline", "10m"]);
            let run = run.spawn(Stdio::null(), Stdio::null(), stderr);
            listens(run.child.id());
            signal(&run.child, kind);
            // The deadline is far beyond the patience of this.
            assert_eq!(run.end(), Some(130), "{arguments:?}");
            let said = std::io::read_to_string(said).expect("text");
            assert!(said.contains("interrupted"), "{arguments:?}: {said}");
        }
    }
}

/// What changes something, once, and to whom: said of the log `silent`.
const CHANGES: &[&str] = &[
    "trim silent 1",
    "seal silent",
    "fence silent w",
    "cursor set silent me 1",
    "cursor delete silent me",
    "log create silent",
    "log alter silent --retention-age 7d",
    "log delete silent",
];

#[test]
fn ctrl_c_says_of_a_change_whether_it_may_have_happened() {
    let cluster = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let begin = |words: &str, form: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let run = cluster.paxlog(&words);
        run.args(&["--deadline", "10m", "--output", form]).start()
    };
    // Nobody is there to send it to.
    for words in CHANGES {
        let run = begin(words, "json");
        run.listens();
        run.send(Signal::INT);
        let error = run.end().error(130);
        let facts = (&error["code"], &error["outcome"]);
        let expected = (&"Interrupted".into(), &"not_applied".into());
        assert_eq!(facts, expected, "{words}: {error}");
    }
    // Somebody takes it, and says no more.
    let stub = Stub::in_place_of(&cluster, 1);
    for words in CHANGES {
        for (form, kind) in [("json", Signal::INT), ("text", Signal::TERM)] {
            let run = begin(words, form);
            stub.taken();
            run.send(kind);
            let output = run.end();
            if form == "text" {
                let output = output.code(130);
                assert_eq!(output.text(), "", "{words}");
                output.says(&["sent", "unknown", "look before you send it again"]);
                continue;
            }
            let error = output.error(130);
            let facts = ["code", "outcome", "retry"].map(|fact| error[fact].clone());
            let expected = ["Interrupted", "unknown", "now"].map(Value::from);
            assert_eq!(facts, expected, "{words}: {error}");
        }
    }
}

/// Starts `dev --ephemeral` of one replica, and waits until it serves.
fn dev(ports: &Ports, temporary: &Path, stderr: impl Into<Stdio>) -> (Plumbed, Value) {
    let (ready, stdout) = std::io::pipe().expect("a pipe");
    let run = paxlog(["dev", "--ephemeral", "--replicas", "1", "--output", "json"])
        .args(&["--listen", &ports.clients(1).to_string()])
        .args(&["--metrics", &ports.metrics(1).to_string()])
        .env("TMPDIR", temporary)
        .env("PAXLOG_LOG", "info")
        .spawn(Stdio::null(), stdout, stderr);
    let mut line = String::new();
    BufReader::new(ready).read_line(&mut line).expect("a line");
    (run, serde_json::from_str(&line).expect("JSON"))
}

#[test]
fn a_replica_whose_logs_cannot_be_written_serves_on() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::take();
    let streams = [Some(Stdio::from(unread())), full().map(Stdio::from)];
    for stderr in streams.into_iter().flatten() {
        let (run, ready) = dev(&ports, temporary.path(), stderr);
        assert_eq!(ready["event"], "ready", "{ready}");
        let profile = ready["profile"].as_str().expect("a path");
        paxlog(["append", "notes", "-m", "x", "--profile", profile])
            .run()
            .ok();
        signal(&run.child, Signal::TERM);
        assert_eq!(run.end(), Some(0));
        nothing_left(temporary.path(), "dev");
    }
}

/// Whether this process, and so each child, ignores SIGHUP.
fn under_nohup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let ignored = mask.is_none_or(|mask| mask & 1 == 1);
    if ignored {
        skipped("SIGHUP is ignored here, or that cannot be told");
    }
    ignored
}

#[test]
fn what_runs_for_a_while_leaves_nothing_however_it_is_told_to_stop() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::take();
    let signals = [Signal::INT, Signal::TERM, Signal::HUP];
    let signals = &signals[..if under_nohup() { 2 } else { 3 }];
    for kind in signals {
        let (run, _) = dev(&ports, temporary.path(), Stdio::null());
        signal(&run.child, *kind);
        assert_eq!(run.end(), Some(0), "{kind:?}");
        nothing_left(temporary.path(), "dev");

        let (events, stdout) = std::io::pipe().expect("a pipe");
        let run = paxlog(["demo", "--seconds", "60", "--output", "json"])
            .env("TMPDIR", temporary.path())
            .spawn(Stdio::null(), stdout, Stdio::null());
        let mut line = String::new();
        BufReader::new(&events)
            .read_line(&mut line)
            .expect("a line");
        let started: Value = serde_json::from_str(&line).expect("JSON");
        let dir = started["dir"].as_str().expect("a directory").to_owned();
        signal(&run.child, *kind);
        assert_eq!(run.end(), Some(130), "{kind:?}");
        nothing_left(temporary.path(), "demo");
        for pid in started["pids"].as_array().expect("a list") {
            // Another process may have that id by now, but not those files.
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!line.contains(&dir), "{kind:?}: {pid} runs on: {line}");
        }
    }
}

#[test]
fn under_nohup_a_closed_terminal_is_no_reason_to_stop() {
    let temporary = tempfile::tempdir().expect("a temporary directory");
    let ports = Ports::take();
    let (ready, stdout) = std::io::pipe().expect("a pipe");
    let child = Command::new("sh")
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_paxlog"),
        ])
        .args(["dev", "--ephemeral", "--replicas", "1", "--output", "json"])
        .args(["--listen", &ports.clients(1).to_string()])
        .args(["--metrics", &ports.metrics(1).to_string()])
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(stdout)
        .spawn()
        .expect("a shell");
    let mut run = Plumbed::of(child, "nohup paxlog dev");
    let mut line = String::new();
    BufReader::new(ready).read_line(&mut line).expect("a line");
    let ready: Value = serde_json::from_str(&line).expect("JSON");
    let profile = ready["profile"].as_str().expect("a path").to_owned();
    signal(&run.child, Signal::HUP);
    paxlog(["append", "notes", "-m", "x", "--profile", &profile])
        .run()
        .ok();
    let ended = run.child.try_wait().expect("a child of ours");
    assert!(ended.is_none(), "{ended:?}");
    signal(&run.child, Signal::TERM);
    assert_eq!(run.end(), Some(0));
    nothing_left(temporary.path(), "dev");
}
