//! The command line: exit codes, results on stdout, errors on stderr; in text and in JSON.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cluster, Options, Signal, paxlog, real_text};

fn single() -> Cluster {
    Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    })
}

#[test]
fn every_verb_has_help_and_wrong_flags_are_2() {
    const VERBS: [&str; 34] = [
        "",
        "demo",
        "dev",
        "format",
        "serve",
        "append",
        "read",
        "tail",
        "check-tail",
        "trim",
        "seal",
        "log",
        "log create",
        "log list",
        "log describe",
        "log alter",
        "log delete",
        "fence",
        "cursor",
        "cursor get",
        "cursor set",
        "cursor list",
        "cursor delete",
        "cluster",
        "cluster status",
        "certs",
        "certs init",
        "certs issue",
        "wal",
        "wal verify",
        "wal dump",
        "sim",
        "sim check",
        "bench",
    ];
    for verb in VERBS
        .iter()
        .chain(&["bench append", "bench tail", "bench floor"])
    {
        let help = paxlog(verb.split_whitespace()).arg("--help").run().ok();
        assert_eq!(help.stderr, "", "{verb}");
        let text = help.text();
        assert!(text.contains("Usage: paxlog"), "{verb}: {text}");
        assert!(text.contains("--output"), "{verb}: every verb takes it");
    }
    let top = paxlog(["--help"]).run().ok().text();
    assert!(top.contains("Exit codes"), "{top}");
    for verb in VERBS.iter().filter(|verb| !verb.contains(' ')) {
        assert!(top.contains(verb), "{verb} is in the overview");
    }
    let version = paxlog(["--version"]).run().ok().text();
    assert!(version.starts_with("paxlog "), "{version}");
    for wrong in [
        "frobnicate",
        "append",
        "append x --as pages",
        "append no!name -m x",
        "log create ä",
        "read x --from nowhere",
        "trim x y",
        "tail x --from first -n 3",
        "check-tail x --deadline soon",
        "read x --until noon",
        "serve --replica 0",
        "dev --replicas 2",
        "certs issue",
        "wal verify /nonexistent",
        "bench append --inflight none",
        "sim",
        "sim --seed none",
        "sim --seeds 5..5",
        "sim --seed 1 --plan x",
    ] {
        let words = || wrong.split_whitespace();
        paxlog(words()).run().code(2);
        let error = paxlog(words()).args(&["--output", "json"]).run().error(2);
        assert_eq!(error["exit"], 2, "{wrong}: {error}");
    }
    let sample = paxlog(["serve", "--print-sample"]).run().ok().text();
    assert!(sample.contains("[[members]]"), "{sample}");
}

#[test]
fn logs_are_made_described_trimmed_and_sealed_in_text_and_json() {
    let mut cluster = single();
    let json = |arguments: &[&str]| {
        cluster
            .paxlog(arguments)
            .args(&["--output", "json"])
            .run()
            .ok()
            .json()
    };
    let text = |arguments: &[&str]| cluster.paxlog(arguments).run().ok().text();
    let error = |arguments: &[&str], code: i32| {
        // The same in text: a sentence, and nothing on stdout but what was done.
        let said = cluster.paxlog(arguments).run().code(code);
        assert!(said.stderr.starts_with("error: "), "{}", said.stderr);
        let output = cluster
            .paxlog(arguments)
            .args(&["--output", "json"])
            .run()
            .code(code);
        output.error_beside_results()
    };

    assert_eq!(text(&["log", "list"]), "");
    assert_eq!(text(&["log", "create", "a/one"]), "created a/one\n");
    let created = json(&["log", "create", "a/two"]);
    assert_eq!(
        (&created["log"], &created["existed"]),
        (&"a/two".into(), &false.into())
    );
    assert!(created["id"].is_string(), "{created}");
    let exists = error(&["log", "create", "a/one"], 1);
    assert_eq!(
        (&exists["code"], &exists["outcome"]),
        (&"AlreadyExists".into(), &"not_applied".into())
    );
    assert_eq!(
        text(&["log", "create", "a/one", "--if-absent"]),
        "a/one exists\n"
    );

    let summary = json(&["append", "b", "-m", "zero", "-m", "one"]);
    assert_eq!((&summary["start"], &summary["end"]), (&0.into(), &2.into()));
    assert_eq!(
        (&summary["records"], &summary["bytes"]),
        (&2.into(), &7.into())
    );
    assert_eq!(summary["durability"], "majority");
    let said = text(&["append", "b", "-m", "two"]);
    assert!(
        said.starts_with("b 2..3: 1 record (3 B) durable on a majority at "),
        "{said}"
    );
    let receipts = cluster
        .paxlog(&["append", "b", "-v", "--output", "json"])
        .stdin("three\nfour\n")
        .run()
        .ok()
        .json_lines();
    assert!(receipts.len() >= 2, "receipts, and the summary");
    assert_eq!(
        (&receipts[0]["start"], &receipts[0]["duplicate"]),
        (&3.into(), &false.into())
    );
    assert!(receipts[0]["version"].is_u64(), "{receipts:?}");

    assert_eq!(text(&["log", "list", "--prefix", "a/"]), "a/one\na/two\n");
    assert_eq!(text(&["log", "list"]), "a/one\na/two\nb\n");
    let listed = cluster
        .paxlog(&["log", "list", "--output", "json"])
        .run()
        .ok()
        .json_lines();
    assert_eq!(listed.len(), 3);

    let tail = json(&["check-tail", "b"]);
    assert_eq!(
        (&tail["offset"], &tail["trim_point"], &tail["sealed"]),
        (&5.into(), &0.into(), &false.into())
    );
    assert_eq!(json(&["check-tail", "b", "--local"])["offset"], 5);
    assert_eq!(json(&["check-tail", "a/one"])["timestamp"], Value::Null);

    let trimmed = json(&["trim", "b", "2"]);
    assert_eq!(
        (&trimmed["trim_point"], &trimmed["tail"]),
        (&2.into(), &5.into())
    );
    assert!(
        text(&["trim", "b", "1"]).contains("begins at 2"),
        "a trim never goes back"
    );
    let beyond = error(&["trim", "b", "6"], 1);
    assert_eq!(
        (&beyond["code"], &beyond["tail"]),
        (&"OffsetOutOfRange".into(), &5.into())
    );
    assert_eq!(text(&["read", "b", "--linearizable"]), "two\nthree\nfour\n");
    assert_eq!(text(&["read", "b", "--from", "3", "-n", "1"]), "three\n");
    let told = cluster
        .paxlog(&["read", "b", "-n", "1", "-v", "--output", "json"])
        .run()
        .ok();
    let told: Value = serde_json::from_str(told.stderr.trim()).expect("one object");
    assert_eq!(
        (&told["next"], &told["tail"], &told["trim_point"]),
        (&3.into(), &5.into(), &2.into())
    );
    assert!(told["stale_ms"].is_u64(), "of one replica, which leads");
    assert_eq!(text(&["read", "b", "--from", "tail-1"]), "four\n");
    assert_eq!(text(&["read", "b", "--from", "tail"]), "");
    assert_eq!(
        text(&["read", "b", "--from", "0", "--as", "raw"]),
        "twothreefour",
        "from what is kept"
    );
    assert_eq!(
        error(&["read", "b", "--from", "99"], 1)["code"],
        "OffsetOutOfRange"
    );

    let before = json(&["log", "describe", "b"])["version"]
        .as_u64()
        .expect("a number");
    let sealed = json(&["seal", "b"]);
    assert_eq!(
        (&sealed["tail"], &sealed["sealed"]),
        (&5.into(), &true.into())
    );
    let refused = error(&["append", "b", "-m", "no"], 1);
    assert_eq!(
        (&refused["code"], &refused["tail"]),
        (&"Sealed".into(), &5.into())
    );
    assert_eq!(refused["retry"], "never");
    assert!(
        text(&["seal", "b"]).contains("sealed"),
        "a second seal says the same"
    );
    let described = json(&["log", "describe", "b"]);
    assert_eq!(
        (&described["records"], &described["sealed"]),
        (&3.into(), &true.into())
    );
    assert_eq!(
        described["version"],
        before + 2,
        "two seals, and no refusal"
    );
    assert_eq!(described["limits"]["record_bytes_max"], 1 << 20);
    let described = text(&["log", "describe", "b"]);
    for words in ["records  3 (2..5)", "sealed   yes", "limits"] {
        assert!(described.contains(words), "{described}");
    }
    let end = text(&["check-tail", "b"]);
    assert!(
        end.starts_with("b ends at 5, begins at 2, last record at 20"),
        "{end}"
    );
    assert!(end.ends_with(", sealed\n"), "{end}");
    // A tail of a sealed log ends by itself.
    assert_eq!(text(&["tail", "b", "-f", "-n", "1"]), "four\n");

    let status = json(&["cluster", "status"]);
    assert_eq!(
        (&status["role"], &status["ready"]),
        (&"leader".into(), &true.into())
    );
    assert_eq!(
        (&status["replica"], &status["cluster"]),
        (&1.into(), &cluster.id.as_str().into())
    );
    assert!(text(&["cluster", "status"]).contains("leader"));
    cluster.finish();

    // Offline, on what is left.
    let data = cluster.place(1).data.to_str().expect("text").to_owned();
    let dump = cluster.paxlog(&["wal", "dump", &data]).run().ok().text();
    assert!(dump.contains("data"), "{dump}");
    let frames = cluster
        .paxlog(&["wal", "dump", &data, "--output", "json"])
        .run()
        .ok()
        .json_lines();
    assert!(frames.iter().all(|frame| frame["good"] == true));
    let verified = cluster.paxlog(&["wal", "verify", &data]).run().ok().text();
    assert!(verified.contains("clean"), "{verified}");
    assert_eq!(cluster.verify(1)["frames"], frames.len() as u64);
    // Nobody is there any more.
    let error = cluster
        .paxlog(&[
            "append",
            "b",
            "-m",
            "x",
            "--deadline",
            "1s",
            "--output",
            "json",
        ])
        .run()
        .error(3);
    assert_eq!(error["code"], "Unavailable", "{error}");
    assert_eq!(error["outcome"], "not_applied", "{error}");
    let error = cluster
        .paxlog(&["cluster", "status", "--deadline", "1s", "--output", "json"])
        .run()
        .error(3);
    assert_eq!(error["code"], "Unavailable", "{error}");
}

#[test]
fn messages_are_records_in_json_where_that_is_asked_for() {
    let mut cluster = single();
    let append = |messages: &[&str]| {
        let append = cluster.paxlog(&["append", "notes", "--as", "json", "--output", "json"]);
        let append = messages
            .iter()
            .fold(append, |append, text| append.args(&["-m", text]));
        append.run()
    };
    // All or none: what is wrong is found before anything is sent.
    for (messages, says) in [
        (
            &["{\"payload\":\"a\"}", "no json"][..],
            "-m number 2 is not JSON",
        ),
        (&["{}"], "-m number 1 has neither"),
        (&[""], "-m number 1 is not JSON"),
        (&["{\"payload\":1}"], "\"payload\" that is not text"),
    ] {
        let error = append(messages).error(2);
        let facts = ["code", "retry", "outcome"].map(|fact| error[fact].clone());
        let expected = ["Invalid", "never", "not_applied"].map(Value::from);
        assert_eq!(facts, expected, "{error}");
        let message = error["message"].as_str().expect("text");
        assert!(message.contains(says), "{message}");
    }
    assert_eq!(cluster.paxlog(&["log", "list"]).run().ok().text(), "");
    let good = [
        "{\"key\":\"k\",\"headers\":[[\"h\",\"v\"]],\"payload\":\"one\"}",
        "{\"payload_base64\":\"AP8=\"}",
    ];
    assert_eq!(append(&good).ok().json()["records"], 2);
    let read = cluster.paxlog(&["read", "notes", "--linearizable", "--output", "json"]);
    let records = read.run().ok().json_lines();
    assert_eq!(records[0]["key"], "k");
    assert_eq!(records[0]["headers"], serde_json::json!([["h", "v"]]));
    assert_eq!(records[0]["payload"], "one");
    assert_eq!(records[1]["payload_base64"], "AP8=");
    // As lines they are what they are.
    let plain = ["append", "plain", "-m", good[0]];
    cluster.paxlog(&plain).run().ok();
    let read = cluster.paxlog(&["read", "plain", "--linearizable"]).run();
    assert_eq!(read.ok().text(), format!("{}\n", good[0]));
    cluster.finish();
}

#[test]
fn damage_that_wal_verify_finds_is_5() {
    let mut cluster = single();
    cluster
        .paxlog(&["append", "notes"])
        .stdin("somewhere in here\n".repeat(1_000))
        .run()
        .ok();
    // Until here it was synced: a later frame says so.
    cluster
        .paxlog(&["append", "notes", "-m", "later"])
        .run()
        .ok();
    cluster.finish();
    assert_eq!(cluster.verify(1)["verdict"], "clean");
    let mut flipped = 0;
    for entry in std::fs::read_dir(&cluster.place(1).data).expect("there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|e| e != "seg") {
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("readable");
        let words = b"somewhere in here";
        if let Some(at) = bytes
            .windows(words.len())
            .position(|window| window == words)
        {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).expect("written");
            flipped += 1;
        }
    }
    assert_eq!(flipped, 1, "the payload stands in one segment");
    let verify = |format: &[&str]| {
        cluster
            .paxlog(&["wal", "verify"])
            .arg(&cluster.place(1).data)
            .args(format)
            .run()
            .code(5)
    };
    assert!(verify(&[]).text().contains("DAMAGED"));
    let output = verify(&["--output", "json"]);
    output.error_beside_results();
    let report = output.json();
    assert_eq!(report["verdict"], "damaged", "{report}");
    assert_eq!(
        report["damaged"].as_array().map(Vec::len),
        Some(1),
        "{report}"
    );
}

#[test]
fn a_closed_pipe_is_no_error_and_ctrl_c_tells_what_was_done() {
    let mut cluster = single();
    cluster
        .paxlog(&["append", "notes"])
        .stdin(real_text(20_000))
        .run()
        .ok();
    // `paxlog read notes | head -1`, and the same with JSON.
    for form in ["text", "json"] {
        let mut read = cluster.paxlog(&["read", "notes", "--output", form]).start();
        read.line();
        read.close_stdout();
        let output = read.end().ok();
        assert_eq!(output.stderr, "");
    }

    for form in ["text", "json"] {
        let mut append = cluster
            .paxlog(&["append", "slow", "-v", "--output", form])
            .start();
        append.write(b"one\ntwo\n");
        append.line();
        append.send(Signal::INT);
        let output = append.end().code(130);
        match form {
            "json" => {
                let error = output.error_beside_results();
                assert_eq!(
                    (&error["code"], &error["outcome"]),
                    (&"Interrupted".into(), &"not_applied".into()),
                    "{error}"
                );
                assert_eq!(
                    (&error["records"], &error["unknown"]),
                    (&2.into(), &0.into()),
                    "{error}"
                );
                let lines = output.json_lines();
                let summary = lines.last().expect("a summary");
                assert_eq!(summary["interrupted"], true, "{summary}");
                assert_eq!(summary["records"], 2, "{summary}");
            }
            _ => assert!(
                output.text().ends_with("; interrupted\n"),
                "{}",
                output.text()
            ),
        }
    }
    let read = cluster
        .paxlog(&["read", "slow", "--linearizable"])
        .run()
        .ok();
    assert_eq!(read.text(), "one\ntwo\none\ntwo\n");

    // Under load: what the summary counts as acknowledged is there.
    let mut append = cluster
        .paxlog(&["append", "many", "-v", "--output", "json"])
        .start();
    for number in 0..5_000 {
        append.write(format!("{number}\n").as_bytes());
    }
    append.line();
    append.send(Signal::INT);
    let output = append.end().code(130);
    let error = output.error_beside_results();
    let acknowledged = error["records"].as_u64().expect("a number");
    let unknown = error["unknown"].as_u64().expect("a number");
    let read = cluster
        .paxlog(&["read", "many", "--linearizable"])
        .run()
        .ok();
    let lines: Vec<String> = read.text().lines().map(str::to_owned).collect();
    let there = lines.len() as u64;
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&there),
        "{there} are there: {error}"
    );
    assert!(
        lines
            .iter()
            .zip(0..)
            .all(|(line, number)| *line == number.to_string())
    );
    cluster.finish();
}

#[test]
fn a_producer_of_the_same_name_shuts_out_the_one_before() {
    let mut cluster = single();
    let append = |name: &str| {
        cluster
            .paxlog(&[
                "append",
                "notes",
                "--producer",
                name,
                "-v",
                "--output",
                "json",
            ])
            .start()
    };
    let mut first = append("me");
    first.write(b"one\n");
    first.line();
    let mut second = append("me");
    second.write(b"two\n");
    second.line();
    first.write(b"three\n");
    let output = first.end_after_input().code(1);
    let error = output.error_beside_results();
    assert_eq!(error["code"], "Fenced", "{error}");
    assert_eq!(error["outcome"], "not_applied", "{error}");
    assert_eq!(error["retry"], "never", "{error}");
    assert_eq!(error["records"], 1, "{error}");
    second.end_after_input().ok();
    let read = cluster
        .paxlog(&["read", "notes", "--linearizable"])
        .run()
        .ok();
    assert_eq!(read.text(), "one\ntwo\n");
    cluster.finish();
}

#[test]
fn the_demo_tells_its_story_to_the_end() {
    let here = tempfile::tempdir().expect("a directory");
    let history = here.path().join("demo.jsonl");
    let output = paxlog(["demo", "--seconds", "5", "--output", "json", "--history"])
        .arg(&history)
        .run()
        .ok();
    let events: Vec<Value> = output.json_lines();
    let names: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    for event in [
        "started",
        "ready",
        "load",
        "killed",
        "failed_over",
        "restarted",
        "verified",
    ] {
        assert!(names.contains(&event), "{event}: {names:?}");
    }
    let dir = events[0]["dir"].as_str().expect("a directory");
    assert!(!std::path::Path::new(dir).exists(), "it cleans up");
    judge(&history);
}

/// What the demo wrote down is judged from the file as it judged itself; and what is changed in it is seen.
fn judge(history: &Path) {
    let check = |file: &Path, form: &[&str]| paxlog(["sim", "check"]).arg(file).args(form).run();
    let json = ["--output", "json"];
    let summary = check(history, &json).ok().json();
    let appends = &summary["summary"]["operations"]["append"];
    assert!(appends["ok"].as_u64() > Some(100), "{summary}");
    assert!(summary["summary"]["records_read"].as_u64() >= appends["ok"].as_u64());
    let text = check(history, &[]).ok().text();
    assert!(text.contains("every promise was kept"), "{text}");

    // One acknowledged append forgotten, one told to have been elsewhere, and a line cut short.
    let whole = std::fs::read_to_string(history).expect("text");
    let lines: Vec<&str> = whole.lines().collect();
    let at = lines
        .iter()
        .rposition(|line| line.contains("\"appended\""))
        .expect("an append");
    let changed = history.with_file_name("changed.jsonl");
    let write = |change: &dyn Fn(&str) -> String| {
        let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        lines[at] = change(&lines[at]);
        std::fs::write(&changed, lines.join("\n")).expect("written");
    };
    write(&|_| String::new());
    let output = check(&changed, &json).code(5);
    assert!(output.stderr.contains("promise"), "{}", output.stderr);
    let first = &output.json_lines()[0];
    assert_eq!(first["rule"], "never_appended", "{first}");
    assert!(
        first["message"]
            .as_str()
            .is_some_and(|text| text.contains("log demo"))
    );
    write(&|line| line.replace("\"start\":", "\"start\":1"));
    let output = check(&changed, &[]).code(5);
    assert!(
        output.text().contains("wrong_receipt: log demo: "),
        "{}",
        output.text()
    );
    write(&|line| line[..line.len() / 2].to_owned());
    check(&changed, &[])
        .code(2)
        .says(&["no whole history", &format!("line {}", at + 1)]);
    check(&history.with_file_name("none"), &[]).code(2);
}

#[test]
fn dev_stops_at_a_signal_and_a_second_one_in_its_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let ports = crate::support::Ports::take();
    let dev = |replicas: &str| {
        paxlog(["dev", "--replicas", replicas, "--listen"])
            .arg(ports.clients(1).to_string())
            .arg("--metrics")
            .arg(ports.metrics(1).to_string())
            .dir(dir.path())
    };
    let mut running = dev("1").start();
    let mut told = String::new();
    while !told.contains("Ctrl-C") {
        told.push_str(&running.line().1);
        told.push('\n');
    }
    for words in [
        "Paxlog is up",
        "append notes -m 'hello, world'",
        "tail notes -f",
    ] {
        assert!(told.contains(words), "{told}");
    }
    dev("1").run().code(3).says(&["in use"]);
    dev("3").run().code(2).says(&["holds a cluster of 1"]);
    // What it said to type works as it stands.
    for command in ["append notes -m hello", "read notes", "cluster status"] {
        paxlog(command.split(' ')).dir(dir.path()).run().ok();
    }
    assert_eq!(running.line_within(Duration::from_millis(50)), None);
    running.send(Signal::TERM);
    running.end().ok();
}
