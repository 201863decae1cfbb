//! The simulator over the program with all bugs in it.

use std::process::ExitCode;

use mutants::course::Course;
use mutants::hunt::Played;
use paxlog_sim::{Detail, Plan};

fn main() -> ExitCode {
    mutants::commands::main(play)
}

fn play(bug: u32, course: &Course, trace: bool) -> Played {
    let plan = match course {
        Course::Seed(seed) => Plan::draw(*seed),
        Course::Plan { text, .. } => match Plan::from_json(text) {
            Ok(plan) => plan,
            // It fails without any bug, too: so it catches none.
            Err(error) => {
                return Played {
                    failure: Some(("no plan".into(), error.to_string())),
                    trace: Vec::new(),
                };
            }
        },
    };
    let detail = match trace {
        true => Detail::Events,
        false => Detail::Nothing,
    };
    planted::set(bug);
    let report = paxlog_sim::run_plan(plan, detail);
    planted::set(0);
    Played {
        failure: report.failure.map(|failure| (failure.rule, failure.what)),
        trace: report.trace,
    }
}
