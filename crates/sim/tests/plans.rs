//! Plans that once failed, each shrunk from a seed before its bug was mended. They are run for ever: a plan does what it
//! says whatever seeds draw by now.

use paxlog_sim::{Detail, Plan, run_plan};

const PLANS: &[(&str, &str, &str)] = &[
    (
        "state-beyond-the-end",
        "the chosen prefix of a STATE beyond the end of the log was believed: states differed",
        include_str!("plans/state-beyond-the-end.json"),
    ),
    (
        "damage-before-an-annotated-segment",
        "what an .idx file names has no checksum, and was taken for a contradiction: the replica never voted again",
        include_str!("plans/damage-before-an-annotated-segment.json"),
    ),
    (
        "accepts-stuck",
        "a leader whose accepts were held back while heartbeats passed led on: nothing was acknowledged",
        include_str!("plans/accepts-stuck.json"),
    ),
    (
        "damage-is-evidence",
        "a segment whose damage made slots unknown was retired: the next start knew of no damage",
        include_str!("plans/damage-is-evidence.json"),
    ),
    (
        "holders-that-give-nothing",
        "a new leader waited for a value that its only holder had promised and could not send",
        include_str!("plans/holders-that-give-nothing.json"),
    ),
];

#[test]
fn plans_that_once_failed_are_clean() {
    for (name, story, text) in PLANS {
        let plan = Plan::from_json(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = run_plan(plan, Detail::Events);
        assert!(
            report.failure.is_none(),
            "{name} ({story}): {}\n{}",
            report.failure.expect("just seen"),
            report.trace.join("\n")
        );
        assert!(report.acknowledged > 0, "{name}: vacuous");
    }
}
