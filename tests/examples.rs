//! The examples of the client's documentation, each against a real cluster: what newcomers copy has to work.

use std::net::SocketAddr;

use crate::support::{Cluster, Ports, Signal, example, until};

/// Runs of an example with this cluster's profile.
fn of(cluster: &Cluster, name: &str, arguments: &[&str]) -> crate::support::Paxlog {
    example(name, arguments).profile(&cluster.profile_path())
}

#[test]
fn what_is_produced_is_tailed_with_its_gap_and_its_end() {
    let mut cluster = Cluster::started();
    let produced = of(&cluster, "produce", &["greetings", "2500"]).run().ok();
    let lines = produced.text();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 2501);
    assert!(lines[0].starts_with("0..1 is on disk on a majority"));
    assert!(lines[2499].starts_with("2499..2500 "));
    assert!(lines[2500].starts_with("2500 records, "));

    let mut tail = of(&cluster, "tail", &["greetings"]).start();
    for number in 0..2500 {
        // It is told of the tail whenever it has reached it.
        let line = std::iter::repeat_with(|| tail.line().1)
            .find(|line| !line.starts_with("(caught up"))
            .expect("endless");
        assert_eq!(line, format!("{number}: hello {number}"));
    }
    assert_eq!(tail.line().1, "(caught up at 2500)");
    // It is at a replica by now. Whatever comes is pushed.
    cluster
        .paxlog(&["append", "greetings", "-m", "more"])
        .run()
        .ok();
    assert_eq!(tail.line().1, "2500: more");
    cluster.paxlog(&["seal", "greetings"]).run().ok();
    let rest = tail.end().ok().text();
    assert!(
        rest.ends_with("(sealed at 2501: nothing will follow)\n"),
        "{rest}"
    );

    // A late one is told what it has missed.
    cluster.paxlog(&["trim", "greetings", "2499"]).run().ok();
    cluster.wait_caught_up();
    let late = of(&cluster, "tail", &["greetings", "7"]).run().ok().text();
    assert_eq!(
        late.replace("(caught up at 2501)\n", ""),
        "(gone: everything below 2499)\n2499: hello 2499\n2500: more\n(sealed at 2501: nothing will follow)\n"
    );
    // Errors have their codes.
    let refused = of(&cluster, "produce", &["greetings"]).run().code(1);
    refused.says(&["error: Sealed"]);
    of(&cluster, "tail", &["missing"])
        .run()
        .code(1)
        .says(&["NotFound"]);
    of(&cluster, "tail", &["greetings", "x"]).run().code(2);
    cluster.finish();
}

#[test]
fn an_account_is_never_overdrawn_whoever_is_faster() {
    let mut cluster = Cluster::started();
    let change =
        |amount: &str, times: &str| of(&cluster, "conditional", &["account", amount, times]);
    change("+100", "1").run().ok();
    // Four at once: whoever lost a race has seen the winner's record when it decides anew.
    let running: Vec<_> = ["+7", "-9", "-11", "-13"]
        .map(|amount| change(amount, "25").start())
        .into_iter()
        .collect();
    let mut lost = 0;
    for run in running {
        let output = run.end();
        lost += output.text().matches("another was faster").count();
        match output.code {
            Some(0) => {}
            // It wanted more than was there.
            Some(2) => assert!(
                output.stderr.contains("does not allow"),
                "{}",
                output.stderr
            ),
            code => panic!("{code:?}: {}", output.stderr),
        }
    }
    println!("{lost} appends came second and were decided anew");
    let changes = cluster.paxlog(&["read", "account"]).run().ok().text();
    let (mut balance, mut least) = (0_i64, 0);
    for line in changes.lines() {
        balance += line.parse::<i64>().expect("a number");
        least = least.min(balance);
    }
    assert_eq!(least, 0, "{changes}");
    let last = change("+0", "1").run().ok().text();
    assert!(
        last.ends_with(&format!(
            "balance {balance} at {}\n",
            changes.lines().count() + 1
        )),
        "{last}"
    );
    let refused = change("-1000000", "1").run().code(2);
    refused.says(&["does not allow -1000000"]);
    cluster.finish();
}

#[test]
fn a_log_is_transformed_once_however_often_it_is_asked_for() {
    let mut cluster = Cluster::started();
    let input = "one\n# two\nthree\n";
    cluster.paxlog(&["append", "a"]).stdin(input).run().ok();
    let run = || {
        of(&cluster, "exactly_once", &["a", "b", "--once"])
            .run()
            .ok()
            .text()
    };
    assert!(run().starts_with("from 0 of a, to 0 of b\n"));
    assert!(run().starts_with("from 3 of a, to 2 of b\n"));
    cluster.paxlog(&["append", "a", "-m", "four"]).run().ok();
    // One that follows, until it is stopped.
    let mut follows = of(&cluster, "exactly_once", &["a", "b"]).start();
    assert_eq!(follows.line().1, "from 3 of a, to 2 of b");
    let b = || cluster.paxlog(&["read", "b"]).run().ok().text();
    until("the fourth is in b", || {
        (b() == "ONE\nTHREE\nFOUR\n").then_some(())
    });
    // A second one shuts it out.
    assert!(run().starts_with("from 4 of a, to 3 of b\n"));
    cluster.paxlog(&["append", "a", "-m", "five"]).run().ok();
    follows.end().code(1).says(&["error: Fenced"]);
    run();
    assert_eq!(b(), "ONE\nTHREE\nFOUR\nFIVE\n");
    // What was lost cannot be transformed, and it says so.
    cluster.paxlog(&["append", "a", "-m", "six"]).run().ok();
    cluster.paxlog(&["append", "a", "-m", "seven"]).run().ok();
    cluster.paxlog(&["trim", "a", "6"]).run().ok();
    cluster.wait_caught_up();
    let lost = of(&cluster, "exactly_once", &["a", "b", "--once"])
        .run()
        .code(2);
    lost.says(&["a was trimmed to 6 before it was read"]);
    cluster.finish();
}

#[test]
fn replicas_in_one_process_serve_and_find_their_records_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (replicas, name) in [("1", "one"), ("3", "three")] {
        let ports = Ports::take();
        let listen: SocketAddr = ports.clients(1);
        let listen = listen.to_string();
        let dir = dir.path().join(name);
        let run = || {
            example("embedded", ["--replicas", replicas, "--listen", &listen])
                .arg("--dir")
                .arg(&dir)
                .run()
                .ok()
                .text()
        };
        let first = run();
        assert!(first.starts_with("appended at 0\n0: hello\n"), "{first}");
        let second = run();
        assert!(
            second.starts_with("appended at 1\n0: hello\n1: hello\n"),
            "{second}"
        );
    }
}

#[test]
fn an_example_without_a_cluster_says_what_it_looked_for() {
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    for name in ["produce", "tail", "conditional", "exactly_once"] {
        let none: [&str; 0] = [];
        let output = example(name, none).dir(nowhere.path()).run().code(2);
        output.says(&["error: found no client profile", ".paxlog/client.toml"]);
        let help = example(name, ["--help"]).dir(nowhere.path()).run().ok();
        assert!(help.text().starts_with(&format!("usage: {name} ")));
        let output = example(name, ["--profile", "/nonexistent/profile.toml"]).run();
        output.code(2).says(&["/nonexistent/profile.toml"]);
    }
    // And a stopped one ends by its signal, not by a panic.
    let cluster = Cluster::started();
    cluster.paxlog(&["append", "a", "-m", "one"]).run().ok();
    let mut follows = of(&cluster, "exactly_once", &["a", "b"]).start();
    follows.line();
    follows.send(Signal::TERM);
    assert_eq!(follows.end().code, None);
}
