//! `bench compare` from outside: its errors, and one short run of it.

use std::path::Path;
use std::process::Command;

fn bench() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bench"))
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
    let mut command = bench();
    // What `cargo test --workspace` has built beside it; else it builds one, which takes minutes.
    let program = Path::new(env!("CARGO_BIN_EXE_bench")).with_file_name("paxlog");
    if program.is_file() {
        command.arg("--program").arg(program);
    }
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
