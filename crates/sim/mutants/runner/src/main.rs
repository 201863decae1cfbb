//! The simulator over the program with all bugs in it.

use std::process::ExitCode;

use mutants::hunt::Played;

fn main() -> ExitCode {
    mutants::commands::main(play)
}

fn play(bug: u32, seed: u64, trace: bool) -> Played {
    planted::set(bug);
    let report = paxlog_sim::run(seed, trace);
    planted::set(0);
    Played {
        failure: report.failure.map(|failure| (failure.rule, failure.what)),
        trace: report.trace,
    }
}
