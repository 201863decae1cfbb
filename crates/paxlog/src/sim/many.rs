//! Many seeds: what they reached together, and which fail.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::ops::Range;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use paxlog_sim::{Detail, Summary, run, swarm};
use serde_json::json;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{Format, Stdout, note};
use crate::sim::SimArgs;
use crate::time::thousands;

/// So many failures are told; more would say the same.
const FAILURES_TOLD: usize = 10;

pub(super) fn many(global: &Global, args: &SimArgs, seeds: &Range<u64>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let jobs = args.jobs.map_or(cores, usize::from);
    let bar = progress(seeds.end - seeds.start);
    let began = Instant::now();
    let mut differ = Vec::new();
    let runs = |seed| {
        let report = run(seed, Detail::Nothing);
        let again = args.twice.then(|| run(seed, Detail::Nothing).digest);
        (report, again)
    };
    let total = swarm(
        seeds.clone(),
        jobs,
        runs,
        |report, again, total: &Summary| {
            if again.is_some_and(|again| again != report.digest) {
                differ.push(report.seed);
            }
            if let Some(failure) = &report.failure
                && total.failures.len() <= FAILURES_TOLD
            {
                bar.suspend(|| note(global.output, &format!("seed {}: {failure}", report.seed)));
            }
            bar.set_message(format!(
                "{} s simulated, {} failed",
                total.simulated / 1_000_000_000,
                total.failures.len()
            ));
            bar.inc(1);
            true
        },
    );
    bar.finish_and_clear();
    tell(global.output, seeds, &total, began.elapsed().as_secs_f64())?;
    if let Some(seed) = differ.first() {
        return Err(Failure::integrity(format!(
            "{} seeds ran differently the second time, {seed} first",
            differ.len()
        )));
    }
    if let Some((seed, _)) = total.failures.first() {
        return Err(Failure::integrity(format!(
            "{} of {} seeds failed",
            total.failures.len(),
            total.runs
        ))
        .hint(format!("`paxlog sim --seed {seed}` tells what happened")));
    }
    let missing: Vec<&str> = total.coverage.missing().collect();
    if args.covered && !missing.is_empty() {
        return Err(Failure::integrity(format!(
            "these seeds never reached: {}",
            missing.join(", ")
        ))
        .hint("run more seeds, or find out what keeps it from happening"));
    }
    Ok(())
}

fn progress(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(seeds), ProgressDrawTarget::stderr_with_hz(8));
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len}  {eta}  {msg}")
            .expect("a constant template that is tested"),
    );
    bar
}

fn tell(format: Format, seeds: &Range<u64>, total: &Summary, took: f64) -> Result<(), Failure> {
    let mut out = Stdout::new();
    let simulated = total.simulated as f64 / 1e9;
    let coverage: BTreeMap<&str, u64> = total.coverage.iter().collect();
    let missing: Vec<&str> = total.coverage.missing().collect();
    if format == Format::Json {
        let failures: Vec<_> = total
            .failures
            .iter()
            .map(|(seed, f)| json!({"seed": seed, "rule": f.rule, "what": f.what}))
            .collect();
        out.json(&json!({
            "seeds": [seeds.start, seeds.end],
            "runs": total.runs,
            "simulated_s": simulated,
            "took_s": took,
            "events": total.events,
            "acknowledged": total.acknowledged,
            "chosen": total.chosen,
            "coverage": coverage,
            "missing": missing,
            "failures": failures,
        }))?;
        return out.flush();
    }
    for (situation, times) in &coverage {
        out.line(&format!("{:>14}  {situation}", thousands(*times)))?;
    }
    for situation in &missing {
        out.line(&format!("{:>14}  {situation}", "never"))?;
    }
    out.line(&format!(
        "\n{} seeds, {simulated:.0} s simulated in {took:.1} s ({:.0} times as fast), {} events, {} slots chosen, \
         {} records acknowledged, {} failed",
        total.runs,
        simulated / took.max(0.001),
        thousands(total.events),
        thousands(total.chosen),
        thousands(total.acknowledged),
        total.failures.len()
    ))?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_can_be_drawn() {
        assert!(progress(10).is_hidden() || progress(10).length() == Some(10));
        ProgressStyle::with_template("{wide_bar} {pos}/{len}  {eta}  {msg}").expect("a template");
    }
}
