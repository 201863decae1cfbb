//! `bench compare` and `bench growth` from outside: their errors, and one short run of each.

use std::path::Path;
use std::process::Command;

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bench"))
}

/// With the program that `cargo test --workspace` has built beside it; else it builds one, which takes minutes.
fn with_program() -> Command {
    let mut command = bench();
    let program = Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("paxlog");
    if program.is_file() {
        command.arg("--program").arg(program);
    }
    command
}

/// What it says on stderr when it refuses.
fn refused(args: &[&str]) -> String {
    let ended = bench().arg("compare").args(args).output().unwrap();
    assert!(!ended.status.success(), "{args:?}");
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_started() {
    for (args, says) in [
        (
            &["--only", "paxlog,zookeeper"][..],
            "invalid value 'zookeeper'",
        ),
        (&["--only", "kafka"], "nats-default"),
        (&["--scenarios", "255"], "2048-coalesced"),
        (&["--rounds", "0"], "0 is not in 1..=100"),
        (&["--secs", "soon"], "invalid digit"),
        (&["--kills", "-1"], "unexpected argument '-1'"),
        (
            &["--only", "etcd", "--etcd", "/nowhere/etcd"],
            "no such file",
        ),
    ] {
        let error = refused(args);
        assert!(error.contains(says), "{args:?}: {error}");
    }
}

#[test]
fn a_short_run_gives_figures_and_files() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = with_program();
    let ended = command
        .args([
            "compare", "--only", "paxlog", "--rounds", "1", "--secs", "1",
        ])
        .args(["--scenarios", "lone", "--output", "json", "--out"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let all: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let result = &all["results"][0];
    assert_eq!(
        (&result["scenario"], &result["system"], &result["durable"]),
        (&"lone".into(), &"paxlog".into(), &true.into())
    );
    for key in ["ops_per_s", "p50_us", "p999_us", "mb_per_s", "peak_rss_mb"] {
        assert!(
            result["median"][key].as_f64() > Some(0.0),
            "{key}: {result}"
        );
    }
    assert!(result["of_floor"]["times"].as_f64() > Some(0.0), "{result}");
    for file in ["compare.json", "latency-lone.svg", "throughput.svg"] {
        assert!(Path::new(dir.path()).join(file).is_file(), "{file}");
    }
}

#[test]
fn growth_gives_a_row_for_each_size_and_refuses_none() {
    let ended = with_program()
        .args(["growth", "--secs", "1", "--logs", "3", "--producers", "2"])
        .args(["--stored", "5000000", "--output", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");
    let all: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let rows = all["rows"].as_array().unwrap();
    let whats: Vec<_> = rows
        .iter()
        .map(|row| (&row["what"], &row["count"]))
        .collect();
    assert_eq!(
        whats,
        [
            (&"logs".into(), &3.into()),
            (&"producers".into(), &2.into()),
            (&"bytes stored".into(), &5_000_000.into())
        ]
    );
    for row in rows {
        let rate = [&row["many"], &row["one_each"]].map(|load| load["ops_per_s"].as_f64());
        assert!(rate.into_iter().flatten().all(|rate| rate > 0.0), "{row}");
        assert_eq!(rate.into_iter().flatten().count(), 1, "{row}");
        assert!(row["anon_mb"].as_f64() > Some(0.0), "{row}");
        assert!(row["start_ms"].as_f64() > Some(0.0), "{row}");
    }
    let none = bench().args(["growth", "--logs", "0"]).output().unwrap();
    assert!(!none.status.success());
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(said.contains("0 is not in 1..=1000000"), "{said}");
}
