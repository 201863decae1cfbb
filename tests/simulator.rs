//! `paxlog sim`: runs from seeds and plans, what it says, and what it refuses.

use serde_json::{Value, json};

use crate::support::paxlog;

#[test]
fn a_seed_is_told_and_is_the_same_run_from_its_plan() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (plan, history) = (dir.path().join("plan.json"), dir.path().join("h.jsonl"));
    let said = paxlog(["sim", "--seed", "7", "--save-plan"])
        .arg(&plan)
        .arg("--history")
        .arg(&history)
        .run()
        .ok();
    let text = said.text();
    assert!(text.contains("seed 7: "), "{text}");
    assert!(
        text.contains("leads in") && text.contains("healed"),
        "{text}"
    );
    assert!(text.contains("every promise was kept"), "{text}");
    let json = |arguments: &[&str]| {
        let said = paxlog(arguments.iter().copied())
            .args(&["--output", "json"])
            .run()
            .ok();
        said.json()
    };
    let seed = json(&["sim", "--seed", "7"]);
    let again = json(&["sim", "--plan", plan.to_str().expect("a path of ours")]);
    assert!(seed["acknowledged"].as_u64() > Some(100), "{seed}");
    assert_eq!(seed["failure"], Value::Null);
    assert_eq!(seed["digest"], again["digest"]);
    assert_ne!(seed["digest"], json(&["sim", "--seed", "8"])["digest"]);
    let messages = paxlog(["sim", "--seed", "7", "--messages"]).run().ok();
    assert!(messages.text().contains("Prepare"), "no message is told");
    // What its clients were told is a history like any other.
    paxlog(["sim", "check"]).arg(&history).run().ok();
}

#[test]
fn many_seeds_are_summed_up() {
    let said = paxlog(["sim", "--seeds", "1..5", "--jobs", "2", "--twice"]).run();
    let text = said.ok().text();
    assert!(text.contains("4 seeds, "), "{text}");
    assert!(text.contains("0 failed"), "{text}");
    assert!(text.contains("a leader serves"), "{text}");
    let said = paxlog(["sim", "--seeds", "1..3", "--output", "json"])
        .run()
        .ok();
    let json = said.json();
    assert_eq!(json["runs"], 2);
    assert!(json["coverage"]["start"].as_u64() >= Some(2), "{json}");
    // Two seeds do not reach everything.
    let error = paxlog(["sim", "--seeds", "1..3", "--covered", "--output", "json"])
        .run()
        .error_beside_results();
    assert_eq!(error["exit"], 5);
    assert!(error.to_string().contains("never reached"), "{error}");
}

#[test]
fn a_run_that_fails_is_told_and_made_smaller() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, smaller) = (
        dir.path().join("plan.json"),
        dir.path().join("smaller.json"),
    );
    paxlog(["sim", "--seed", "4", "--save-plan"])
        .arg(&file)
        .run()
        .ok();
    let read = |file| -> Value {
        let text = std::fs::read_to_string(file).expect("a plan was written");
        serde_json::from_str(&text).expect("it is JSON")
    };
    // Messages that take a second: nobody comes to lead in time.
    let mut plan = read(&file);
    let pause = |at: u64| json!({"at": at, "what": {"pause": {"replica": 1, "lasts": 1_000_000}}});
    let faults: Vec<Value> = (1..=5).map(|n| pause(n * 1_000_000_000)).collect();
    for (field, value) in [
        ("replicas", json!(3)),
        ("delay_min", json!(1_000_000_000)),
        ("atlas", json!(true)),
        ("victims", json!([])),
        ("faults", json!(faults)),
        ("ending", json!("heal")),
    ] {
        plan[field] = value;
    }
    std::fs::write(&file, plan.to_string()).expect("a file of ours");
    let said = paxlog(["sim", "--plan"]).arg(&file).run().code(5);
    let said = said.says(&["seed 4: progress"]);
    assert!(said.stderr.contains("--shrink"), "{}", said.stderr);
    let said = paxlog(["sim", "--plan"])
        .arg(&file)
        .args(&["--shrink", "--runs-max", "60", "--save-plan"])
        .arg(&smaller)
        .run()
        .code(5);
    assert!(said.stderr.contains("shrunk in"), "{}", said.stderr);
    let plan = read(&smaller);
    assert_eq!(plan["faults"], json!([]), "they have no part in it");
    paxlog(["sim", "--plan"]).arg(&smaller).run().code(5);
}

#[test]
fn a_file_is_what_it_was_where_there_is_nothing_to_write() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("kept.json");
    std::fs::write(&file, "kept").expect("a file of ours");
    let read = || std::fs::read_to_string(&file).expect("it is there");
    // It does not fail: there is no smaller plan.
    paxlog(["sim", "--seed", "3", "--shrink", "--save-plan"])
        .arg(&file)
        .run()
        .code(1);
    assert_eq!(read(), "kept");
    // Of two files one cannot be written: the run does not begin.
    paxlog([
        "sim",
        "--seed",
        "3",
        "--history",
        "/nonexistent/h",
        "--save-plan",
    ])
    .arg(&file)
    .run()
    .code(6)
    .says(&["/nonexistent/h cannot be written"]);
    assert_eq!(read(), "kept");
    // Nothing of a run that breaks off is a history. Messages take a second: nobody comes to lead in time.
    let plan = dir.path().join("plan.json");
    paxlog(["sim", "--seed", "4", "--save-plan"])
        .arg(&plan)
        .run()
        .ok();
    let text = std::fs::read_to_string(&plan).expect("a plan was written");
    let mut slow: Value = serde_json::from_str(&text).expect("it is JSON");
    for (field, value) in [
        ("replicas", json!(3)),
        ("delay_min", json!(1_000_000_000)),
        ("atlas", json!(true)),
        ("victims", json!([])),
        ("faults", json!([])),
        ("ending", json!("heal")),
    ] {
        slow[field] = value;
    }
    std::fs::write(&plan, slow.to_string()).expect("a file of ours");
    paxlog(["sim", "--plan"])
        .arg(&plan)
        .arg("--history")
        .arg(&file)
        .run()
        .code(5);
    assert_eq!(read(), "kept");
    // And where there is something, it takes the old one's place, whole, and leaves nothing beside it.
    paxlog(["sim", "--seed", "3", "--save-plan"])
        .arg(&file)
        .run()
        .ok();
    assert!(read().contains("paxlog_plan"));
    let names = std::fs::read_dir(dir.path()).expect("a folder of ours");
    assert_eq!(names.count(), 2, "kept.json and plan.json");
}

#[test]
fn a_history_that_shows_nothing_breaks_no_promise() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("h.jsonl");
    let judged = |lines: &[&str]| {
        let header = r#"{"paxlog_history":1}"#;
        let text = [&[header], lines].concat().join("\n");
        std::fs::write(&file, text).expect("a file of ours");
        paxlog(["sim", "check"]).arg(&file).run()
    };
    let append = |time: u32, payload: &str, outcome: &str| {
        format!(
            r#"{{"op":{{"client":1,"log":"a","call":{time}0,"ret":{time}1,"kind":{{"append":{{"records":["{payload}"]}}}},"outcome":{outcome}}}}}"#
        )
    };
    let at = |start: u32| {
        let end = start + 1;
        format!(r#"{{"ok":{{"appended":{{"start":{start},"end":{end}}}}}}}"#)
    };
    let settled = |records: &str, tail: u32| {
        format!(
            r#"{{"settled":{{"log":"a","trim_point":0,"tail":{tail},"records":[[0,null,[{records}]]]}}}}"#
        )
    };
    let nothing = |lines: &[&str], words: &[&str]| {
        let said = judged(lines).code(2).says(words);
        assert!(!said.stderr.contains("broken"), "{}", said.stderr);
    };
    let (x, y) = (append(1, "x", &at(0)), append(2, "y", &at(1)));
    judged(&[&x, &y, &settled(r#""x","y""#, 2)]).ok();
    let unknown = append(1, "x", r#"{"unknown":{}}"#);
    nothing(
        &[&unknown, &settled(r#""x""#, 1)],
        &["shows nothing: no append was acknowledged", "record until"],
    );
    nothing(&[], &["shows nothing", "record until"]);
    nothing(&[&x], &["shows nothing of log a", "`settled`"]);
    let again = append(2, "x", &at(1));
    nothing(
        &[&x, &again, &settled(r#""x","x""#, 2)],
        &["shows nothing of log a", "more than once"],
    );
    // What is broken is broken, whatever else cannot be shown.
    judged(&[&x, &y, &settled(r#""x""#, 1)])
        .code(5)
        .says(&["a promise was broken"]);
    let of_b = x.replace(r#""log":"a""#, r#""log":"b""#);
    judged(&[&x, &y, &settled(r#""x""#, 1), &of_b])
        .code(5)
        .says(&["a promise was broken"]);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("plan.json");
    let refused = |text: &str, words: &[&str]| {
        std::fs::write(&file, text).expect("a file of ours");
        paxlog(["sim", "--plan"])
            .arg(&file)
            .run()
            .code(2)
            .says(words);
    };
    refused("", &["is no plan"]);
    refused("{}", &["is no plan", "missing field"]);
    refused("[1, 2]", &["is no plan"]);
    paxlog(["sim", "--seed", "3", "--save-plan"])
        .arg(&file)
        .run()
        .ok();
    let plan = std::fs::read_to_string(&file).expect("a plan was written");
    refused(
        &plan.replacen("\"clients\"", "\"klients\"", 1),
        &["klients"],
    );
    refused(
        &plan.replacen("\"paxlog_plan\": 1", "\"paxlog_plan\": 2", 1),
        &["knows 1"],
    );
    paxlog(["sim", "--plan", "/nonexistent"]).run().code(2);
    paxlog(["sim", "--seed", "3", "--save-plan", "/nonexistent/plan"])
        .run()
        .code(6);
    // It does not fail.
    paxlog(["sim", "--seed", "3", "--shrink"])
        .run()
        .code(1)
        .says(&["nothing to shrink"]);
}
