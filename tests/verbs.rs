//! Every command there is, from the program's own list of them: what it prints as JSON, how it fails, what its help says.
//!
//! A new command fails here until it has a row in [`rows`].

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::support::{Cluster, Options, Output, Paxlog, Ports, Signal, paxlog};

/// A command, and how it is run.
pub(crate) struct Row {
    /// The words that one types.
    pub(crate) command: &'static str,
    /// What follows them. `{n}` is another number each time; other places in braces are [`World`]'s.
    pub(crate) arguments: &'static str,
    /// What each object on stdout has.
    keys: &'static [&'static str],
    pub(crate) kind: Kind,
    /// What follows the command where it fails, and the exit code; empty where nothing can be wrong.
    wrong: (&'static str, i32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Asks the cluster that a profile names.
    Cluster,
    /// Needs none.
    Local,
    /// Runs until it is told to stop.
    Stays,
}

const fn row(
    command: &'static str,
    arguments: &'static str,
    kind: Kind,
    keys: &'static [&'static str],
    wrong: (&'static str, i32),
) -> Row {
    Row {
        command,
        arguments,
        keys,
        kind,
        wrong,
    }
}

/// One row a command that does something itself.
#[rustfmt::skip]
pub(crate) fn rows() -> Vec<Row> {
    use Kind::{Cluster, Local, Stays};
    let bench = &["ops_per_s", "mb_per_s", "p50_us", "p99_us", "p999_us", "max_us", "payload", "inflight", "clients", "secs"];
    vec![
        row("demo", "--seconds 3", Local, &["event", "at"], ("--seconds 1", 2)),
        row("dev", "--ephemeral --replicas 1 --listen {listen} --metrics {metrics}", Stays,
            &["event", "seconds", "cluster", "profile", "servers", "metrics"], ("--listen 0.0.0.0:7400", 2)),
        row("format", "--config {config} --data-dir {dir}/data-{n}", Local,
            &["data_dir", "cluster", "replica", "incarnation"], ("--config {config}", 2)),
        row("serve", "--print-sample", Local, &["sample"], ("--config {dir}/none.toml", 2)),
        row("append", "notes -m hello", Cluster,
            &["log", "start", "end", "records", "bytes", "timestamp", "durability"], ("shut -m no", 1)),
        row("read", "notes", Cluster, &["offset", "timestamp", "key", "headers", "payload"], ("none", 1)),
        row("tail", "notes", Cluster, &["offset", "timestamp", "key", "headers", "payload"], ("none", 1)),
        row("check-tail", "notes", Cluster,
            &["log", "offset", "timestamp", "trim_point", "sealed", "version"], ("none", 1)),
        row("trim", "notes 1", Cluster, &["log", "trim_point", "tail", "version"], ("notes 1000000", 1)),
        row("seal", "shut", Cluster, &["log", "tail", "sealed", "version"], ("none", 1)),
        row("fence", "fenced w{n}", Cluster, &["log", "fence", "tail", "version"], ("fenced w --expect v", 1)),
        row("cursor get", "notes me", Cluster, &["log", "cursor", "at", "set"], ("notes nobody", 1)),
        row("cursor set", "notes me 1", Cluster, &["log", "cursor", "at", "version"], ("notes me 1 --expect 77", 1)),
        row("cursor list", "notes", Cluster, &["log", "cursor", "at", "set"], ("none", 1)),
        row("cursor delete", "notes c{n}", Cluster, &["log", "cursor", "deleted", "version"], ("notes nobody", 1)),
        row("log alter", "notes --retention-age 7d", Cluster, &["log", "config", "version"], ("none --retention-age 7d", 1)),
        row("log delete", "gone-{n}", Cluster, &["log", "deleted", "version"], ("none", 1)),
        row("log create", "made-{n}", Cluster, &["log", "id", "existed", "version"], ("notes", 1)),
        row("log list", "", Cluster,
            &["log", "id", "trim_point", "tail", "records", "created", "bytes_appended", "timestamp", "sealed", "version", "limits"],
            ("--deadline soon", 2)),
        row("log describe", "notes", Cluster,
            &["log", "id", "trim_point", "tail", "records", "created", "bytes_appended", "timestamp", "sealed", "version", "limits"],
            ("none", 1)),
        row("cluster status", "", Cluster,
            &["server", "up", "replica", "cluster", "incarnation", "role", "ready", "leader", "ballot", "applied", "members"],
            ("--deadline soon", 2)),
        row("certs init", "--dir {dir}/ca-{n}", Local, &["cluster", "ca", "ca_key"], ("--dir {certs}", 2)),
        row("certs issue", "--dir {certs} --client c{n}", Local, &["cluster", "cert", "key", "profile"],
            ("--dir {dir}/none --client x", 2)),
        row("wal verify", "{data}", Local,
            &["dir", "verdict", "cluster", "replica", "incarnation", "segments", "frames", "end", "durable"], ("{dir}/none", 2)),
        row("wal dump", "{data}", Local, &["lsn", "kind", "len", "group", "tag", "durable", "good"], ("{dir}/none", 2)),
        row("sim", "--seed 1", Local, &["seed", "digest", "simulated_s", "events", "acknowledged", "failure"],
            ("--plan {dir}/none", 2)),
        row("sim check", "{history}", Local, &["summary"], ("{dir}/none", 2)),
        row("bench append", "--secs 1 --clients 1", Cluster, bench, ("--secs none", 2)),
        row("bench tail", "--secs 1", Cluster, bench, ("--secs none", 2)),
        row("bench floor", "--secs 1 --dir {dir}", Local, &["payload", "secs", "cores", "sync_p50_us", "client_round_trip_p50_us", "least_append_p50_us", "most_mb_per_s"], ("--dir {dir}/none", 2)),
        row("completions", "bash", Local, &["shell", "script"], ("tcsh", 2)),
        row("man", "{dir}/man-{n}", Local, &["command", "page", "file"], ("--page none", 2)),
    ]
}

/// What the rows name.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    ports: Ports,
    history: PathBuf,
}

impl World {
    pub(crate) fn made() -> World {
        World::over(Cluster::started_with(&Options {
            replicas: 1,
            create_on_append: true,
        }))
    }

    /// The same over any cluster.
    pub(crate) fn over(cluster: Cluster) -> World {
        for log in ["notes", "shut", "fenced"] {
            cluster.paxlog(&["log", "create", log]).run().ok();
        }
        let append = cluster.paxlog(&["append", "notes"]);
        append.stdin("one\ntwo\nthree\n").run().ok();
        cluster.paxlog(&["append", "shut", "-m", "x"]).run().ok();
        cluster.paxlog(&["append", "fenced", "-m", "x"]).run().ok();
        let set = ["cursor", "set", "notes", "me", "1"];
        cluster.paxlog(&set).run().ok();
        cluster.paxlog(&["seal", "shut"]).run().ok();
        let history = cluster.dir().join("history.jsonl");
        paxlog(["sim", "--seed", "1", "--output", "json", "--history"])
            .arg(&history)
            .run()
            .ok();
        World {
            cluster,
            ports: Ports::take(),
            history,
        }
    }

    /// A command of a row.
    pub(crate) fn paxlog(&self, command: &str, arguments: &str) -> Paxlog {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let place = self.cluster.place(1);
        let text = |path: &std::path::Path| path.to_str().expect("a path of text").to_owned();
        let mut line = arguments.to_owned();
        for (name, value) in [
            ("{n}", number.clone()),
            ("{dir}", text(self.cluster.dir())),
            ("{config}", text(&place.config)),
            ("{data}", text(&place.data)),
            ("{certs}", text(&self.cluster.certs())),
            ("{history}", text(&self.history)),
            ("{listen}", self.ports.clients(1).to_string()),
            ("{metrics}", self.ports.metrics(1).to_string()),
        ] {
            line = line.replace(name, &value);
        }
        // What is to be deleted has to be there, unless nobody answers any more.
        let made = match command {
            "log delete" if arguments.contains("{n}") => format!("log create gone-{number}"),
            "cursor delete" if arguments.contains("{n}") => format!("cursor set notes c{number} 1"),
            _ => String::new(),
        };
        if !made.is_empty() {
            let words: Vec<&str> = made.split(' ').chain(["--deadline", "1s"]).collect();
            self.cluster.paxlog(&words).run();
        }
        let words = command.split_whitespace().chain(line.split_whitespace());
        self.cluster.paxlog(&words.collect::<Vec<_>>())
    }
}

/// Every command, by the manual's list: the words that one types, and whether others are below it.
pub(crate) fn commands() -> Vec<(String, bool)> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let pages = paxlog(["man", "--output", "json"]).arg(dir.path()).run();
    let words: Vec<String> = pages
        .ok()
        .json_lines()
        .iter()
        .map(|page| page["command"].as_str().expect("words").to_owned())
        .collect();
    let parent = |one: &String| {
        let begin = format!("{one} ");
        one.is_empty() || words.iter().any(|other| other.starts_with(&begin))
    };
    let commands = words.iter().map(|one| (one.clone(), parent(one)));
    commands.collect()
}

#[test]
fn no_command_is_forgotten_here() {
    let commands = commands();
    let known: BTreeSet<&str> = commands.iter().map(|(words, _)| words.as_str()).collect();
    let rows = rows();
    let tested: BTreeSet<&str> = rows.iter().map(|row| row.command).collect();
    assert_eq!(tested.len(), rows.len(), "one row a command");
    for (words, parent) in &commands {
        assert!(
            *parent || tested.contains(words.as_str()),
            "`paxlog {words}` has no row in tests/verbs.rs"
        );
    }
    for row in &rows {
        assert!(known.contains(row.command), "no command {}", row.command);
        // Who needs a cluster says how long it tries, but for a load, which has a length of its own.
        let help = paxlog(row.command.split(' ')).arg("--help").run().ok();
        let deadline = help.text().contains("--deadline");
        let load = row.command.starts_with("bench");
        assert!(
            deadline == (row.kind == Kind::Cluster) || load,
            "{}: is it asked of a cluster?",
            row.command
        );
    }
}

#[test]
fn every_command_prints_json_lines_and_fails_with_one_object() {
    let mut world = World::made();
    for row in rows() {
        let run = |arguments: &str| {
            world
                .paxlog(row.command, arguments)
                .args(&["--output", "json"])
        };
        let lines = match row.kind {
            Kind::Stays => {
                let mut running = run(row.arguments).start();
                let line = running.line().1;
                running.send(Signal::TERM);
                let output = running.end().ok();
                assert_eq!(output.stderr, "", "{}", row.command);
                vec![serde_json::from_str(&line).expect("JSON")]
            }
            _ => {
                let output = run(row.arguments).run().ok();
                assert_eq!(output.stderr, "", "{}", row.command);
                output.json_lines()
            }
        };
        assert!(!lines.is_empty(), "{} prints nothing", row.command);
        for line in &lines {
            for key in row.keys {
                assert!(line.get(key).is_some(), "{}: {key}: {line}", row.command);
            }
            exact(row.command, line);
        }

        let (wrong, code) = row.wrong;
        error(row.command, run(wrong).run(), code);
        if row.kind == Kind::Cluster {
            let nowhere = run(row.arguments)
                .args(&["--profile", "/nonexistent"])
                .run();
            let error = error(row.command, nowhere, 2);
            assert_eq!(error["code"], "Invalid", "{}: {error}", row.command);
        }
    }
    // Where nobody answers.
    world.cluster.finish();
    for row in rows() {
        if row.kind == Kind::Cluster && !row.command.starts_with("bench") {
            let run = world.paxlog(row.command, row.arguments);
            let run = run.args(&["--output", "json", "--deadline", "300ms"]).run();
            let error = match run.text().is_empty() {
                true => error(row.command, run, 3),
                // What is known of each is said.
                false => run.code(3).error_beside_results(),
            };
            assert_eq!(error["code"], "Unavailable", "{}: {error}", row.command);
        }
    }
}

/// Asserts that a run failed with one object that has what scripts rely on.
fn error(command: &str, output: Output, code: i32) -> Value {
    let error = output.code(code).error_beside_results();
    for key in ["code", "message", "retry", "outcome"] {
        assert!(error[key].is_string(), "{command}: {key}: {error}");
    }
    let outcome = error["outcome"].as_str();
    assert!(
        matches!(outcome, Some("not_applied" | "unknown")),
        "{command}: {error}"
    );
    let retry = error["retry"].as_str();
    assert!(
        matches!(retry, Some("now" | "after" | "elsewhere" | "never")),
        "{command}: {error}"
    );
    error
}

/// No number that a reader with doubles, such as jq, would change; ids of 128 bits are text.
fn exact(command: &str, value: &Value) {
    const WHOLE_IN_A_DOUBLE: u64 = 1 << 53;
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let id = matches!(key.as_str(), "cluster" | "incarnation" | "id");
                assert!(!id || value.is_string(), "{command}: {key}: {value}");
                exact(command, value);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| exact(command, value)),
        Value::Number(number) => assert!(
            number.as_u64().is_none_or(|n| n <= WHOLE_IN_A_DOUBLE),
            "{command}: {number}"
        ),
        _ => {}
    }
}

#[test]
fn every_command_has_help_with_examples_and_a_misspelt_one_is_guessed() {
    for (words, parent) in commands() {
        let words: Vec<&str> = words.split_whitespace().collect();
        let long = paxlog(&words).arg("--help").run().ok();
        assert_eq!(long.stderr, "", "{words:?}");
        let help = paxlog([&["help"], words.as_slice()].concat()).run().ok();
        assert_eq!(help.text(), long.text(), "help {words:?}");
        assert!(
            paxlog(&words)
                .arg("-h")
                .run()
                .ok()
                .text()
                .contains("Usage:")
        );
        let text = long.text();
        assert!(text.contains("--output"), "{words:?}");
        assert!(parent || text.contains("Examples:"), "{words:?}");
        if let Some((last, above)) = words.split_last()
            && last.len() > 3
        {
            let misspelt = &last[..last.len() - 1];
            let said = paxlog(above).arg(misspelt).run().code(2);
            assert!(
                said.stderr.contains("similar subcommand") && said.stderr.contains(last),
                "{misspelt}: {}",
                said.stderr
            );
            let error = paxlog(above)
                .args(&[misspelt, "--output", "json"])
                .run()
                .error(2);
            let hint = error["hint"].as_str().expect("a hint");
            assert!(hint.contains(last), "{misspelt}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_command_line_is_told_whole_and_in_the_form_asked_for() {
    let missing = paxlog(["trim", "--output", "json"]).run().error(2);
    let message = missing["message"].as_str().expect("a sentence");
    assert!(
        message.contains("<LOG>") && message.contains("<TO>"),
        "{message}"
    );
    // The variable asks for JSON as the flag does, and the flag has the last word.
    let asked = || paxlog(["frobnicate"]).env("PAXLOG_OUTPUT", "json");
    asked().run().error(2);
    asked()
        .args(&["--output", "text"])
        .run()
        .code(2)
        .says(&["error: ", "Usage:"]);
    // A variable that is set to nothing is not set.
    let mut sample = paxlog(["serve", "--print-sample"]);
    for name in [
        "OUTPUT",
        "PROFILE",
        "LOG",
        "LOG_FORMAT",
        "CONFIG",
        "REPLICA",
    ] {
        sample = sample.env(&format!("PAXLOG_{name}"), "");
    }
    assert!(sample.run().ok().text().contains("[[members]]"));
    // Any bytes may stand on a command line.
    #[cfg(unix)]
    for form in ["text", "json"] {
        let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe");
        let run = paxlog(["append", "notes", "--output", form, "-m"]).arg(bytes);
        run.run().code(2).says(&["UTF-8"]);
    }
}
