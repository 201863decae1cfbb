//! The command line.

use std::collections::BTreeSet;

/// How it is called.
pub const USAGE: &str = "\
Bugs planted into a copy of Paxlog, each of which the simulator must catch.

usage: cargo run --release --manifest-path crates/sim/mutants/Cargo.toml -- COMMAND

  check [--all-seeds]       each bug is caught with its first recorded seed and its plan, which are clean without it
  table [--seeds-max 1000]  seeds 1, 2, 3 … until three caught each bug: which, how many it took, and the rules
  record [--seeds-max 1000] as table, and writes the seeds into the bugs' files, and all of it into README.md
  trace --bug N --seed S    one run with a bug awake, line by line; N = 0 is none
  trace --bug N --plan P    the same of a kept plan, by its name, or of one in a file (….json)
  readme                    writes what the bugs' files say into README.md, as record does
  plant                     only writes the copy, and says where it is

  --bugs 1,2,3              only these (check, table, record)
  --jobs N                  runs at once; as many as there are processors";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Is each bug caught with its recorded seeds?
    Check {
        /// With all of them, not only the first.
        all_seeds: bool,
    },
    /// Which seeds catch each bug?
    Table {
        /// And keep them in the bugs' files.
        record: bool,
    },
    /// One run, in full.
    Trace {
        /// The bug that is awake.
        bug: u32,
        /// What is run.
        run: Run,
    },
    /// Write into README.md what the files say.
    Readme,
    /// Only write the copy.
    Plant,
}

/// The run of a trace, as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Run {
    /// What a seed draws.
    Seed(u64),
    /// A plan: a kept one, or a file.
    Plan(String),
}

/// The command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// What to do.
    pub command: Command,
    /// Only with these bugs; none: with all.
    pub bugs: Option<BTreeSet<u32>>,
    /// Runs at once.
    pub jobs: usize,
    /// Seeds tried, at most.
    pub seeds_max: u64,
}

/// Reads it.
///
/// # Errors
/// A sentence.
pub fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut command = None;
    let (mut all_seeds, mut bug, mut run) = (false, None, None);
    let mut parsed = Args {
        command: Command::Plant,
        bugs: None,
        jobs: std::thread::available_parallelism().map_or(1, |n| n.get()),
        seeds_max: 1000,
    };
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match &*arg {
            "--all-seeds" => all_seeds = true,
            "--bugs" => {
                let numbers = value()?;
                let numbers = numbers.split(',').map(|n| number(n.trim()));
                parsed.bugs = Some(numbers.collect::<Result<_, _>>()?);
            }
            "--jobs" => parsed.jobs = number::<usize>(&value()?)?.max(1),
            "--seeds-max" => parsed.seeds_max = number(&value()?)?,
            "--bug" => bug = Some(number(&value()?)?),
            "--seed" | "--plan" if run.is_some() => {
                return Err("one --seed or one --plan".into());
            }
            "--seed" => run = Some(Run::Seed(number(&value()?)?)),
            "--plan" => run = Some(Run::Plan(value()?)),
            "--help" | "-h" | "help" => return Err(USAGE.into()),
            flag if flag.starts_with('-') => return Err(format!("what is {flag}?\n\n{USAGE}")),
            _ if command.is_some() => return Err(format!("one command, not also {arg}")),
            _ => command = Some(arg),
        }
    }
    parsed.command = match command.as_deref() {
        Some("check") => Command::Check { all_seeds },
        Some("table") => Command::Table { record: false },
        Some("record") => Command::Table { record: true },
        Some("readme") => Command::Readme,
        Some("plant") => Command::Plant,
        Some("trace") => Command::Trace {
            bug: bug.ok_or("trace wants --bug")?,
            run: run.ok_or("trace wants --seed or --plan")?,
        },
        Some(other) => return Err(format!("there is no command {other}\n\n{USAGE}")),
        None => return Err(USAGE.into()),
    };
    Ok(parsed)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_read() {
        let read = |line: &str| parse(line.split(' ').map(str::to_owned));
        let table = read("table --bugs 1,7 --jobs 3").expect("it is well");
        assert_eq!(table.command, Command::Table { record: false });
        assert_eq!(table.bugs, Some(BTreeSet::from([1, 7])));
        assert_eq!((table.jobs, table.seeds_max), (3, 1000));
        let check = read("check --all-seeds").expect("it is well");
        assert_eq!(check.command, Command::Check { all_seeds: true });
        let trace = read("trace --bug 3 --plan damage-is-evidence").expect("it is well");
        let run = Run::Plan("damage-is-evidence".into());
        assert_eq!(trace.command, Command::Trace { bug: 3, run });
        let trace = read("trace --bug 3 --seed 7").expect("it is well");
        let run = Run::Seed(7);
        assert_eq!(trace.command, Command::Trace { bug: 3, run });
        assert!(read("trace --bug 3 --seed 7 --plan p.json").is_err());
        let neither = read("trace --bug 3");
        assert_eq!(neither, Err("trace wants --seed or --plan".into()));
        assert!(read("check --bug").is_err() && read("chekc").is_err());
    }
}
