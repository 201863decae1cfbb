//! What README.md says of the bugs: which are caught, by what. It stands between two marks, and follows from the bugs'
//! files alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::bug::{Bug, SEEDS};

const BEGIN: &str = "<!-- what follows is written by `record` -->\n";
const END: &str = "<!-- what was written by `record` ends here -->\n";

/// By what a bug is caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caught {
    /// By three different seeds; maybe by a kept plan, too.
    BySeeds,
    /// By a kept plan: one run.
    ByPlan,
    /// Not.
    Never,
}

impl Caught {
    /// As the bug's file says.
    #[must_use]
    pub fn of(bug: &Bug) -> Caught {
        match (&bug.not_yet, &bug.plan) {
            (None, _) => Caught::BySeeds,
            (Some(_), Some(_)) => Caught::ByPlan,
            (Some(_), None) => Caught::Never,
        }
    }
}

/// The table and the sentences below it.
#[must_use]
pub fn section(bugs: &[Bug]) -> String {
    let mut text =
        String::from("| bug | | seeds that catch it | plan | rules |\n|---|---|---|---|---|\n");
    for bug in bugs {
        let seeds: Vec<String> = bug.seeds.iter().map(u64::to_string).collect();
        let rules = match Caught::of(bug) {
            Caught::Never if seeds.is_empty() => "–".to_owned(),
            _ => bug.caught_by.join(", "),
        };
        line(
            &mut text,
            format_args!(
                "| {} | {} | {} | {} | {rules} |",
                bug.number,
                bug.name,
                or_dash(&seeds.join(", ")),
                or_dash(bug.plan.as_deref().unwrap_or_default()),
            ),
        );
    }
    let numbers = |wanted: Caught| -> (usize, String) {
        let of = bugs.iter().filter(|bug| Caught::of(bug) == wanted);
        let numbers: Vec<String> = of.map(|bug| bug.number.to_string()).collect();
        (numbers.len(), or_dash(&numbers.join(", ")).to_owned())
    };
    let (by_seeds, _) = numbers(Caught::BySeeds);
    let (by_plan, of_plan) = numbers(Caught::ByPlan);
    let (never, of_never) = numbers(Caught::Never);
    line(
        &mut text,
        format_args!("\n| of {} bugs | | |\n|---|---|---|", bugs.len()),
    );
    line(
        &mut text,
        format_args!("| {by_seeds} | caught by {SEEDS} seeds | all others |"),
    );
    line(
        &mut text,
        format_args!(
            "| {by_plan} | caught by a kept plan, which is one run, not by {SEEDS} seeds | {of_plan} |"
        ),
    );
    line(
        &mut text,
        format_args!("| {never} | not caught | {of_never} |"),
    );
    let half = match half_by(bugs) {
        Some(seed) => format!("Half of all bugs are caught by seed {seed} or one before it."),
        None => "Fewer than half of all bugs are caught by a seed.".to_owned(),
    };
    line(&mut text, format_args!("\n{half}"));
    text
}

/// The least seed by which at least half of all bugs were first caught, also of those that no seed catches.
fn half_by(bugs: &[Bug]) -> Option<u64> {
    let mut firsts: Vec<u64> = bugs
        .iter()
        .filter_map(|bug| bug.seeds.first())
        .copied()
        .collect();
    firsts.sort_unstable();
    firsts.get(bugs.len().div_ceil(2).checked_sub(1)?).copied()
}

/// Writes the section into the file.
///
/// # Errors
/// A sentence: it can't be read or written, or has not the two marks.
pub fn write(readme: &Path, bugs: &[Bug]) -> Result<(), String> {
    let named = |error: std::io::Error| format!("{}: {error}", readme.display());
    let text = fs::read_to_string(readme).map_err(named)?;
    let (before, after) = around(&text).ok_or_else(|| {
        format!(
            "{}: the marks around what `record` writes are gone",
            readme.display()
        )
    })?;
    let written = format!("{before}{BEGIN}\n{}\n{END}{after}", section(bugs));
    if written != text {
        fs::write(readme, written).map_err(named)?;
    }
    Ok(())
}

/// What stands before and after the section, without the marks.
fn around(text: &str) -> Option<(&str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    Some((before, rest.split_once(END)?.1))
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a string takes everything");
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bug::read_all;
    use crate::course::Course;

    fn home() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn the_readme_says_what_the_files_say() {
        let bugs = read_all(&home().join("bugs")).expect("they are well");
        let text = fs::read_to_string(home().join("README.md")).expect("it is there");
        let (before, after) = around(&text).expect("it has the marks");
        let section = section(&bugs);
        let want = format!("{before}{BEGIN}\n{section}\n{END}{after}");
        assert_eq!(text, want, "`record` writes it");
    }

    #[test]
    fn every_plan_that_a_bug_names_is_kept() {
        for bug in read_all(&home().join("bugs")).expect("they are well") {
            if let Some(plan) = &bug.plan {
                assert!(Course::kept(plan).is_ok(), "bug {}: {plan}", bug.number);
            }
        }
    }

    #[test]
    fn half_of_the_bugs_are_half_of_all_of_them() {
        let bug = |number: u32, seeds: &[u64]| Bug {
            number,
            name: format!("bug {number}"),
            does: String::new(),
            caught_by: vec!["agreement".into()],
            seeds: seeds.to_vec(),
            plan: (number == 4).then(|| "kept".into()),
            not_yet: (seeds.len() < SEEDS).then(|| "it takes more".into()),
            hunks: Vec::new(),
            file: "bug.diff".into(),
        };
        let bugs = [
            bug(1, &[9, 10, 11]),
            bug(2, &[2, 3, 5]),
            bug(3, &[]),
            bug(4, &[]),
        ];
        assert_eq!(half_by(&bugs), Some(9));
        assert_eq!(half_by(&bugs[1..]), None, "one of three");
        let text = section(&bugs);
        for part in [
            "| 3 | bug 3 | – | – | – |\n",
            "| 4 | bug 4 | – | kept | agreement |\n",
            "| 2 | caught by 3 seeds | all others |\n",
            "| 1 | caught by a kept plan, which is one run, not by 3 seeds | 4 |\n",
            "| 1 | not caught | 3 |\n",
            "Half of all bugs are caught by seed 9 or one before it.",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
