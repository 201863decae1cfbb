//! Plans that are kept: each once failed, and was shrunk from a seed before its bug was mended, or catches a bug that is
//! planted (`mutants/`). They are run for ever: a plan does what it says whatever seeds draw by now.
//!
//! How long each message takes is not in a plan. So a change of the program or of the simulator can lead the same plan
//! past what it was kept for, and it would be clean for nothing: each says which situations its run must reach.

use std::collections::BTreeSet;
use std::path::Path;

use paxlog_sim::{Detail, Plan, SITUATIONS, run_plan};

struct Kept {
    /// Its file, without the ending.
    name: &'static str,
    /// What was wrong when it failed.
    story: &'static str,
    /// Situations, as [`SITUATIONS`] names them, without which it shows nothing of its story.
    reaches: &'static [&'static str],
    text: &'static str,
}

macro_rules! kept {
    ($name:literal, $story:literal, $reaches:expr) => {
        Kept {
            name: $name,
            story: $story,
            reaches: &$reaches,
            text: include_str!(concat!("plans/", $name, ".json")),
        }
    };
}

const PLANS: &[Kept] = &[
    kept!(
        "a-leader-that-is-behind",
        "a leader that lacked chosen values led on, though another one had them (bug 45)",
        ["a leader that was behind handed over"]
    ),
    kept!(
        "accepts-stuck",
        "a leader whose accepts were held back while heartbeats passed led on: nothing was acknowledged",
        ["a leader whose accepts were stuck handed over"]
    ),
    kept!(
        "another-ballots-frame",
        "a replica whose disk had failed gave an older ballot's value as chosen (bug 30)",
        [
            "disk failed",
            "gave a chosen value",
            "fetched a chosen value"
        ]
    ),
    kept!(
        "damage-before-an-annotated-segment",
        "what an .idx file names has no checksum, and was taken for a contradiction: the replica never voted again \
         (bug 43)",
        ["opened with damage", "idx file written"]
    ),
    kept!(
        "damage-is-evidence",
        "a segment whose damage made slots unknown was retired: the next start knew of no damage",
        [
            "opened with damage",
            "promised an unknown slot",
            "segments retired"
        ]
    ),
    kept!(
        "flipped-prefix-below-the-checkpoint",
        "a flipped bit in a chosen prefix, read without its checksum, was believed: a replica applied its own unchosen \
         slots",
        ["opened with damage"]
    ),
    kept!(
        "held-in-a-hole",
        "a frame in a hole was called held because an .idx file named it",
        ["opened with damage", "idx file written"]
    ),
    kept!(
        "holders-that-give-nothing",
        "a new leader waited for a value that its only holder had promised and could not send (bug 46)",
        ["did without those who gave no values"]
    ),
    kept!(
        "one-follower-confirms",
        "a deposed leader was confirmed by one follower that answered twice (bug 33)",
        ["a leader stepped down"]
    ),
    kept!(
        "silent-long-ago",
        "whoever once gave no value was left out of phase 1 for ever, and nobody was left to decide with (bug 52)",
        [
            "did without those who gave no values",
            "only a core is well, and others hold their accepts back"
        ]
    ),
    // No situation tells that a STATE lay beyond the end: only that the power went, and who led after.
    kept!(
        "state-beyond-the-end",
        "the chosen prefix of a STATE beyond the end of the log was believed: states differed",
        ["power cut", "took over a value"]
    ),
    kept!(
        "stuck-while-a-follower-catches-up",
        "a leader whose accepts were stuck led on while a follower fetched old values from another one",
        ["a leader whose accepts were stuck handed over"]
    ),
    kept!(
        "stuck-while-heartbeats-are-lost",
        "a leader whose accepts were stuck took it for a sign of life that a follower seemed to come and go",
        ["a leader whose accepts were stuck handed over"]
    ),
    kept!(
        "trimmed-beyond-the-index",
        "an .idx file lacks what was trimmed, by a slot that a restarted replica had not applied again: it called that \
         corrupt",
        ["idx file written", "fault: crash after upkeep", "power cut"]
    ),
    kept!(
        "two-that-are-stuck",
        "two leaders whose accepts were stuck handed over to each other (bug 47)",
        ["a leader whose accepts were stuck handed over"]
    ),
    kept!(
        "unknown-is-not-refused",
        "a deposed leader called not applied what was under way, and was chosen (bug 37)",
        ["a leader stepped down", "OutcomeUnknown"]
    ),
];

#[test]
fn kept_plans_are_clean_and_reach_what_they_were_kept_for() {
    let mut missed = Vec::new();
    for kept in PLANS {
        let Kept { name, story, .. } = kept;
        let plan = Plan::from_json(kept.text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run_plan(plan, Detail::Events);
        assert!(
            report.failure.is_none(),
            "{name} ({story}): {}\n{}",
            report.failure.expect("just seen"),
            report.trace.join("\n")
        );
        assert!(report.acknowledged > 0, "{name}: vacuous");
        let reached: BTreeSet<&str> = report.coverage.iter().map(|(name, _)| name).collect();
        for situation in kept.reaches {
            if !reached.contains(situation) {
                missed.push(format!(
                    "{name} no longer reaches \"{situation}\", but {reached:?}"
                ));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn every_kept_plan_says_a_situation_that_counts() {
    for Kept { name, reaches, .. } in PLANS {
        assert!(!reaches.is_empty(), "{name} says nothing");
        for situation in *reaches {
            assert!(SITUATIONS.contains(situation), "{name}: {situation}");
        }
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_list() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let listed: Vec<String> = PLANS
        .iter()
        .map(|kept| format!("{}.json", kept.name))
        .collect();
    assert_eq!(listed.len(), files.len(), "each once");
    assert_eq!(BTreeSet::from_iter(listed), files);
}
