//! A bug and its file.
//!
//! ```text
//! number: 7
//! name: old ballot counted
//! does: An Accepted of an older ballot counts for the new one.
//! caught by: agreement, nothing chosen too early
//! seeds: 3, 17, 40
//! plan: a-kept-plan; only where one catches the bug: that in crates/sim/tests/plans/a-kept-plan.json
//! not yet: what it takes; only where no three seeds catch the bug
//!
//! --- crates/paxos/src/proposing.rs
//! @@
//!          what stays, found with the lines around it
//! -        what goes
//! +        what comes: `planted::on(7)` says whether the bug is awake
//! ```
//!
//! A hunk is that of a diff without line numbers: the lines that stay and go must stand in the file exactly once.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How many seeds are recorded for each bug.
pub const SEEDS: usize = 3;

/// A planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bug {
    /// By which it is switched on.
    pub number: u32,
    /// A few words.
    pub name: String,
    /// What is wrong, in a sentence.
    pub does: String,
    /// The simulator's rules that fired when the seeds were recorded; before that, those that should.
    pub caught_by: Vec<String>,
    /// Seeds that caught it when they were recorded.
    pub seeds: Vec<u64>,
    /// A kept plan that catches it: one run, whatever seeds draw.
    pub plan: Option<String>,
    /// Why no three seeds catch it.
    pub not_yet: Option<String>,
    /// What it changes.
    pub hunks: Vec<Hunk>,
    /// Its file.
    pub file: PathBuf,
}

/// One place that a bug changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// The source file, from the root of the repository.
    pub source: String,
    /// The lines that stand there.
    pub is: String,
    /// The lines that stand there in the copy.
    pub becomes: String,
}

/// Reads all bugs of a folder, in the order of their numbers.
///
/// # Errors
/// A sentence that names the file.
pub fn read_all(folder: &Path) -> Result<Vec<Bug>, String> {
    let named = |error: io::Error| format!("{}: {error}", folder.display());
    let mut bugs: Vec<Bug> = Vec::new();
    for entry in fs::read_dir(folder).map_err(named)? {
        let file = entry.map_err(named)?.path();
        if file.extension().is_some_and(|ending| ending == "diff") {
            let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            let bug = parse(&text, &file).map_err(|what| format!("{}: {what}", file.display()))?;
            bugs.push(bug);
        }
    }
    bugs.sort_by_key(|bug| bug.number);
    for pair in bugs.windows(2) {
        if pair[0].number == pair[1].number {
            return Err(format!("two bugs have the number {}", pair[0].number));
        }
    }
    Ok(bugs)
}

fn parse(text: &str, file: &Path) -> Result<Bug, String> {
    let (head, rest) = text
        .split_once("\n--- ")
        .ok_or("it changes no file: a line `--- crates/…` is missing")?;
    let optional = |name: &str| {
        let mut lines = head.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let field = |name: &str| optional(name).ok_or_else(|| format!("there is no line `{name}: …`"));
    let list = |text: &str| -> Vec<String> {
        let parts = text.split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let number = field("number")?;
    let seeds = list(field("seeds")?);
    let mut hunks = Vec::new();
    for of_file in rest.split("\n--- ") {
        let (source, body) = of_file
            .split_once('\n')
            .ok_or("a file without a change in it")?;
        // What stands before the first `@@` belongs to no hunk.
        for body in format!("\n{body}").split("\n@@\n").skip(1) {
            hunks.push(hunk(source.trim(), body)?);
        }
    }
    let bug = Bug {
        number: number
            .parse()
            .map_err(|_| format!("{number:?} is no number"))?,
        name: field("name")?.to_owned(),
        does: field("does")?.to_owned(),
        caught_by: list(field("caught by")?),
        seeds: seeds
            .iter()
            .map(|seed| seed.parse().map_err(|_| format!("{seed:?} is no seed")))
            .collect::<Result<_, _>>()?,
        plan: optional("plan").map(str::to_owned),
        not_yet: optional("not yet").map(str::to_owned),
        hunks,
        file: file.to_owned(),
    };
    // It becomes a file's name, and a name only.
    let word = |plan: &String| {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !plan.is_empty() && plan.chars().all(letters)
    };
    if let Some(plan) = bug.plan.as_ref().filter(|plan| !word(plan)) {
        return Err(format!(
            "{plan:?} is not the name of a plan, such as damage-is-evidence"
        ));
    }
    let switch = format!("planted::on({})", bug.number);
    if !bug.hunks.iter().any(|hunk| hunk.becomes.contains(&switch)) {
        return Err(format!("nothing in it asks {switch}"));
    }
    Ok(bug)
}

fn hunk(source: &str, body: &str) -> Result<Hunk, String> {
    let mut hunk = Hunk {
        source: source.to_owned(),
        is: String::new(),
        becomes: String::new(),
    };
    for line in body.trim_end_matches('\n').split('\n') {
        let (is, becomes) = (&mut hunk.is, &mut hunk.becomes);
        let add = |to: &mut String, line: &str| {
            to.push_str(line);
            to.push('\n');
        };
        match line.split_at_checked(1) {
            None => {
                add(is, "");
                add(becomes, "");
            }
            Some((" ", line)) => {
                add(is, line);
                add(becomes, line);
            }
            Some(("-", line)) => add(is, line),
            Some(("+", line)) => add(becomes, line),
            Some(_) => return Err(format!("{line:?} begins with none of ' ', '-', '+'")),
        }
    }
    if hunk.is.trim().is_empty() || hunk.is == hunk.becomes {
        return Err(format!("a change in {source} that changes nothing"));
    }
    Ok(hunk)
}

/// Writes other seeds into the file of a bug, and the rules by which they, or its plan, caught it. Where there are
/// enough, it is caught, whatever was said before; its plan stays.
///
/// # Errors
/// As of the file.
pub fn record(bug: &Bug, seeds: &[u64], rules: &[&str]) -> io::Result<()> {
    let text = fs::read_to_string(&bug.file)?;
    let caught = seeds.len() >= SEEDS;
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    let mut written = String::with_capacity(text.len());
    let mut head = true;
    for line in text.lines() {
        head &= !line.starts_with("--- ");
        if head && line.starts_with("seeds:") {
            let list = format!("seeds: {}", seeds.join(", "));
            writeln!(written, "{}", list.trim_end()).expect("a string takes everything");
        } else if head && !rules.is_empty() && line.starts_with("caught by:") {
            writeln!(written, "caught by: {}", rules.join(", "))
                .expect("a string takes everything");
        } else if head && caught && line.starts_with("not yet:") {
            // It no longer is so.
        } else {
            writeln!(written, "{line}").expect("a string takes everything");
        }
    }
    if written != text {
        fs::write(&bug.file, written)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
number: 7
name: old ballot counted
does: An Accepted of an older ballot counts.
caught by: agreement, history: lost
seeds: 3, 17

--- crates/a/src/one.rs
@@
 stays
-goes
+comes(planted::on(7))

 stays
@@
-x
+y
--- crates/a/src/two.rs
@@
-z
+w
";

    #[test]
    fn a_file_is_read_as_it_is_described() {
        let bug = parse(TEXT, Path::new("07.diff")).expect("it is well");
        assert_eq!((bug.number, &*bug.name), (7, "old ballot counted"));
        assert_eq!(bug.caught_by, ["agreement", "history: lost"]);
        assert_eq!(bug.seeds, [3, 17]);
        assert_eq!((bug.plan, bug.not_yet), (None, None));
        let first = Hunk {
            source: "crates/a/src/one.rs".into(),
            is: "stays\ngoes\n\nstays\n".into(),
            becomes: "stays\ncomes(planted::on(7))\n\nstays\n".into(),
        };
        assert_eq!(bug.hunks[0], first);
        assert_eq!(bug.hunks[1].is, "x\n");
        assert_eq!(bug.hunks[2].source, "crates/a/src/two.rs");
    }

    #[test]
    fn a_plan_is_read_where_one_is_named() {
        let with = |plan: &str| {
            let text = TEXT.replace(
                "\n\n---",
                &format!("\n{plan}\nnot yet: it takes more\n\n---"),
            );
            parse(&text, Path::new("07.diff"))
        };
        let bug = with("plan: damage-is-evidence").expect("it is well");
        assert_eq!(bug.plan.as_deref(), Some("damage-is-evidence"));
        assert_eq!(bug.not_yet.as_deref(), Some("it takes more"));
        for wrong in [
            "plan:",
            "plan: ../seeds",
            "plan: one.json",
            "plan: one, two",
        ] {
            let said = with(wrong).expect_err(wrong);
            assert!(said.contains("is not the name of a plan"), "{said}");
        }
        // What stands in the change itself is no line of the head.
        let inside = TEXT.replace(" stays\n-goes", "+plan: x\n stays\n-goes");
        let bug = parse(&inside, Path::new("07.diff")).expect("it is well");
        assert_eq!(bug.plan, None);
    }

    #[test]
    fn what_is_recorded_replaces_seeds_and_keeps_the_plan() {
        let file = std::env::temp_dir().join(format!("paxlog-bug-{}.diff", std::process::id()));
        let lines = "seeds: 3, 17\nplan: damage-is-evidence\nnot yet: it takes more";
        let text = TEXT.replace("seeds: 3, 17", lines);
        let recorded = |seeds: &[u64]| {
            fs::write(&file, &text).expect("a file of ours");
            let bug = parse(&text, &file).expect("it is well");
            record(&bug, seeds, &["agreement"]).expect("written");
            let written = fs::read_to_string(&file).expect("it is there");
            parse(&written, &file).expect("it is well")
        };
        let (two, three) = (recorded(&[5, 6]), recorded(&[5, 6, 7]));
        fs::remove_file(&file).expect("it is there");
        assert_eq!((two.seeds, three.seeds), (vec![5, 6], vec![5, 6, 7]));
        assert_eq!(two.plan.as_deref(), Some("damage-is-evidence"));
        assert_eq!(two.plan, three.plan);
        assert!(two.not_yet.is_some() && three.not_yet.is_none());
        assert_eq!(three.caught_by, ["agreement"]);
        assert_eq!(three.hunks, parse(TEXT, &file).expect("it is well").hunks);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let parse = |text: &str| parse(text, Path::new("07.diff"));
        let other = parse(&TEXT.replace("planted::on(7)", "planted::on(8)"));
        assert_eq!(other, Err("nothing in it asks planted::on(7)".into()));
        let none = parse(&TEXT.replace("seeds:", "sedes:"));
        assert_eq!(none, Err("there is no line `seeds: …`".into()));
        let odd = parse(&TEXT.replace("-goes", "goes"));
        assert!(odd.is_err_and(|what| what.contains("begins with none of")));
    }
}
