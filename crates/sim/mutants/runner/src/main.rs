//! The simulator over the program with all bugs in it.

use std::process::ExitCode;

use mutants::hunt::Played;

fn main() -> ExitCode {
    mutants::commands::main(play)
}

fn play(bug: u32, seed: u64, trace: bool) -> Played {
    planted::set(bug);
    let detail = match trace {
        true => paxlog_sim::Detail::Events,
        false => paxlog_sim::Detail::Nothing,
    };
    let report = paxlog_sim::run(seed, detail);
    planted::set(0);
    Played {
        failure: report.failure.map(|failure| (failure.rule, failure.what)),
        trace: report.trace,
    }
}
