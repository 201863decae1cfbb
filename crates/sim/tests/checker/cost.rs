//! The work grows as the history does.

use paxlog_sim::check::check;

use crate::generate::{Mix, legal};

#[test]
fn ten_times_the_operations_are_little_more_than_ten_times_the_steps() {
    let steps = |ops| {
        let mix = Mix {
            ops,
            spread: 60,
            unknown: 20,
            readers: false,
            trims: true,
            seals: false,
            versions: true,
            records_max: 2,
        };
        let history = legal(7, mix);
        let report = check(&history);
        assert!(report.clean(), "{:?}", report.violations);
        report.summary.steps
    };
    let (some, many) = (steps(10_000), steps(100_000));
    println!("{some} steps for 10,000 operations, {many} for 100,000");
    // n log n: 10 × log 100,000 / log 10,000 is 12.5. Quadratic would be 100.
    assert!(many < some * 15, "{some} {many}");
    assert!(some > 10_000, "steps are counted");
}
