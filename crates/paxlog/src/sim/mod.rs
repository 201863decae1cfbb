//! `paxlog sim`: simulated clusters, and whether histories kept their promises.

mod check;
mod many;
mod one;

use std::ops::Range;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use crate::cli::Global;
use crate::failure::Failure;

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    group = ArgGroup::new("what").required(true).args(["seed", "seeds", "plan"]),
    after_help = "Examples:
  paxlog sim --seed 138                           one run, told line by line
  paxlog sim --seed 138 --messages | less         and every message between its replicas
  paxlog sim --seed 138 --shrink --save-plan F    a smaller run that fails alike, kept in a file
  paxlog sim --plan F                             a kept run again, also by another build
  paxlog sim --seeds 1..10001 --jobs 2            many seeds; what they reached, and which fail
  paxlog sim check demo.jsonl                     judge a history recorded from a real cluster

A run is a whole cluster in one thread: the same code as `serve` and the clients, under simulated time, network and
disks, with faults drawn from its seed. The same seed is the same run, bit for bit. Exits with 0 if all was well,
with 5 if a promise was broken. How to go from a red seed to its cause is in crates/sim/README.md."
)]
pub(crate) struct SimArgs {
    #[command(subcommand)]
    command: Option<SimCommand>,
    /// One run, from this seed.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Many runs, A included and B not.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// One run, from a plan in a file.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Tell every message between replicas, too.
    #[arg(long, conflicts_with_all = ["seeds", "shrink"])]
    messages: bool,
    /// Look for a smaller run that fails by the same rule: fewer faults, clients, replicas, shorter times.
    #[arg(long, conflicts_with = "seeds")]
    shrink: bool,
    /// Runs that shrinking may take.
    #[arg(long, value_name = "N", default_value_t = 500, requires = "shrink")]
    runs_max: u64,
    /// Write the plan that was run, or was found by shrinking.
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    save_plan: Option<PathBuf>,
    /// Write what clients asked and were told, for `paxlog sim check`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "shrink"])]
    history: Option<PathBuf>,
    /// Threads [else one a core].
    #[arg(long, value_name = "N", conflicts_with_all = ["seed", "plan"], value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Run each seed twice, and compare.
    #[arg(long, conflicts_with_all = ["seed", "plan"])]
    twice: bool,
    /// Fail, too, if a situation that counts was never reached.
    #[arg(long, conflicts_with_all = ["seed", "plan"])]
    covered: bool,
}

#[derive(Subcommand)]
enum SimCommand {
    /// Judge a recorded history; exits with 5 if a promise was broken.
    Check(check::CheckArgs),
}

pub(crate) fn sim(global: &Global, args: &SimArgs) -> Result<(), Failure> {
    if let Some(SimCommand::Check(args)) = &args.command {
        return check::judge(global, args);
    }
    // A panic in a run is a finding like others, told with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    match &args.seeds {
        Some(seeds) => many::many(global, args, seeds),
        None => one::one(global, args),
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("`{text}` is not A..B, such as 1..101");
    let (first, end) = text.split_once("..").ok_or_else(bad)?;
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| bad());
    let seeds = number(first)?..number(end)?;
    match seeds.is_empty() {
        true => Err(format!("`{text}` holds no seed: B is not in it")),
        false => Ok(seeds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_that_is_not_empty() {
        assert_eq!(parse_seeds("1..101"), Ok(1..101));
        for wrong in ["1", "1..", "..2", "2..2", "3..2", "a..b", "1...2", "-1..2"] {
            assert!(parse_seeds(wrong).is_err(), "{wrong}");
        }
    }
}
