//! One run, told in full, or made smaller.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget};
use paxlog_sim::{Detail, Plan, Report, run_plan, shrink};
use serde_json::json;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{Format, Stdout, note};
use crate::sim::SimArgs;
use crate::whole_file::WholeFile;

pub(super) fn one(global: &Global, args: &SimArgs) -> Result<(), Failure> {
    let mut plan = match (&args.plan, args.seed) {
        (Some(file), _) => read_plan(file)?,
        (None, seed) => Plan::draw(seed.unwrap_or_default()),
    };
    // Known before what may take long; and what is there stays until there is something to write.
    let save = args.save_plan.as_deref().map(WholeFile::at).transpose()?;
    let history = args.history.as_deref().map(WholeFile::at).transpose()?;
    if args.shrink {
        plan = smaller(global, &plan, args.runs_max)?;
    }
    if let Some(file) = save {
        let text = plan.to_json() + "\n";
        file.write(|out| out.write_all(text.as_bytes()))?;
    }
    let detail = match (global.output, args.messages) {
        (Format::Json, false) => Detail::Nothing,
        (_, false) => Detail::Events,
        (_, true) => Detail::Messages,
    };
    let began = Instant::now();
    let report = run_plan(plan.clone(), detail);
    let took = began.elapsed().as_secs_f64();
    if let Some(file) = history {
        let Some(recorded) = &report.history else {
            return Err(failure(&report, &plan).unwrap_or_else(|| {
                Failure::unavailable("the run did not come to its end: there is no history")
            }));
        };
        file.write(|out| recorded.write(out))?;
    }
    tell(global.output, &report, &plan, took)?;
    match failure(&report, &plan) {
        Some(failure) => Err(failure),
        None => Ok(()),
    }
}

fn read_plan(file: &Path) -> Result<Plan, Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    Plan::from_json(&text).map_err(|error| {
        Failure::usage(format!("{name} is no plan: {error}"))
            .hint("`paxlog sim --seed S --save-plan FILE` writes one")
    })
}

fn smaller(global: &Global, plan: &Plan, runs_max: u64) -> Result<Plan, Failure> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8)),
        false => ProgressBar::hidden(),
    };
    let shrunk = shrink(plan, runs_max, |plan| {
        bar.set_message(format!(
            "{} faults, {} replicas, {} clients",
            plan.faults.len(),
            plan.replicas,
            plan.clients
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    let Some(shrunk) = shrunk else {
        return Err(Failure::refused(
            "the run does not fail: there is nothing to shrink",
        ));
    };
    note(
        global.output,
        &format!(
            "shrunk in {} runs from {} faults to {}, from {} replicas to {}, from {} clients to {}",
            shrunk.runs,
            plan.faults.len(),
            shrunk.plan.faults.len(),
            plan.replicas,
            shrunk.plan.replicas,
            plan.clients,
            shrunk.plan.clients
        ),
    );
    Ok(shrunk.plan)
}

fn tell(format: Format, report: &Report, plan: &Plan, took: f64) -> Result<(), Failure> {
    let mut out = Stdout::new();
    let simulated = report.simulated as f64 / 1e9;
    if format == Format::Json {
        for line in &report.trace {
            out.json(&json!({ "trace": line }))?;
        }
        out.json(&json!({
            "seed": report.seed,
            "digest": format!("{:016x}", report.digest),
            "simulated_s": simulated,
            "took_s": took,
            "events": report.events,
            "acknowledged": report.acknowledged,
            "chosen": report.chosen,
            "coverage": report.coverage.iter().collect::<std::collections::BTreeMap<_, _>>(),
            "failure": report.failure.as_ref().map(|f| json!({"rule": f.rule, "what": f.what})),
        }))?;
        return out.flush();
    }
    out.line(&format!(
        "seed {}: {} replicas, {} clients, {} logs, {} faults, {} network{}",
        plan.seed,
        plan.replicas,
        plan.clients,
        plan.logs,
        plan.faults.len(),
        if plan.loose { "loose" } else { "orderly" },
        if plan.atlas {
            ""
        } else {
            "; more is ruined than can be survived"
        },
    ))?;
    if !report.trace.is_empty() {
        out.line("\n       time  who      what")?;
        for line in &report.trace {
            out.line(line)?;
        }
    }
    out.line(&format!(
        "\n{simulated:.1} s simulated in {took:.2} s, {} events, {} slots chosen, {} records acknowledged, digest {:016x}",
        report.events, report.chosen, report.acknowledged, report.digest
    ))?;
    if report.failure.is_none() {
        out.line("every promise was kept")?;
    }
    out.flush()
}

fn failure(report: &Report, plan: &Plan) -> Option<Failure> {
    let failure = report.failure.as_ref()?;
    let hint = match plan.faults.len() {
        0..=3 => "`--messages` tells every message".to_owned(),
        faults => format!("`--shrink --save-plan FILE` looks for less than its {faults} faults"),
    };
    Some(Failure::integrity(format!("seed {}: {failure}", report.seed)).hint(hint))
}
