//! `paxlog demo`: the whole story in one command.
//!
//! Three replica processes, a load, a reader; the leader is killed with SIGKILL midway and brought back; at the end
//! everything is read back and held against the receipts. Every number in the records is the number of the append, so that a
//! record that is missing, out of place or there twice shows.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use paxlog_client::{
    Appender, AppenderOptions, Client, Completion, Consistency, From, Profile, ReadOptions, Record,
    RoleStatus, TailEvent, TailOptions,
};
use paxlog_server::config::{Config, Listen, format_cluster_id};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::dev::Cluster;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::time;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog demo
  paxlog demo --seconds 30 --output json

Formats and starts three replica processes in a temporary directory, appends and tails, kills the leader with
SIGKILL midway, brings it back, and reads everything back: exits with 5 if an acknowledged record is missing,
repeated or out of order. Cleans up at the end, also after Ctrl-C.")]
pub(crate) struct DemoArgs {
    /// How long the load runs.
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = clap::value_parser!(u64).range(3..=3600))]
    seconds: u64,
    /// Appends kept in flight.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096))]
    inflight: u64,
    /// Bytes of each record; at least 8.
    #[arg(long, default_value_t = 256, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(8..=65_536))]
    payload: u64,
    /// Leave the temporary directory, with what the replicas logged, where it is.
    #[arg(long)]
    keep: bool,
}

const LOG: &str = "demo";
const REPLICAS: usize = 3;
/// How long the cluster may take to come up, and a restarted replica to catch up.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn demo(global: &Global, args: DemoArgs) -> Result<(), Failure> {
    let interrupt = Interrupt::watch();
    // Children die and files go when this is dropped, whatever happens.
    let mut stage = Stage::set(args.keep)?;
    let told = Story {
        format: global.output,
        begin: Instant::now(),
    };
    tokio::select! {
        told = tell(&told, &mut stage, &args) => told,
        () = interrupt.wait() => Err(Failure::interrupted()),
    }
}

async fn tell(story: &Story, stage: &mut Stage, args: &DemoArgs) -> Result<(), Failure> {
    for number in 0..REPLICAS {
        stage.start(number)?;
    }
    let pids: Vec<u32> = stage.children.iter().flatten().map(Child::id).collect();
    story.tell(
        "started",
        &format!(
            "three replica processes (pids {}) in {}",
            join(&pids),
            stage.dir().display()
        ),
        json!({"pids": pids, "dir": stage.dir(), "cluster": format_cluster_id(stage.cluster.id)}),
    )?;
    let client = stage.connect(stage.profile.clone()).await?;
    let leader = stage.leader(&client).await?;
    story.tell(
        "ready",
        &format!(
            "the group formed and replica {leader} leads, {} after the start",
            time::human(story.begin.elapsed())
        ),
        json!({"leader": leader}),
    )?;

    let appender = client.appender(LOG, AppenderOptions::default()).await?;
    let tail = client
        .tail(LOG, From::First, TailOptions::default())
        .await?;
    let reader = tokio::spawn(follow(tail));
    let mut load = Load::new(args);
    let seconds = Duration::from_secs(args.seconds);
    let begin = Instant::now();
    let until = |share: f64| begin + seconds.mul_f64(share);

    story.tell(
        "load",
        &format!(
            "appending records of {} bytes, {} in flight, and tailing them",
            args.payload, args.inflight
        ),
        json!({"payload": args.payload, "inflight": args.inflight}),
    )?;
    load.run(&appender, until(0.4), Some(story)).await?;

    let victim = stage.leader(&client).await?;
    load.fill(&appender).await?;
    // On their way, not yet answered: the moment that matters.
    tokio::time::sleep(Duration::from_micros(300)).await;
    let pid = stage.kill(victim)?;
    let killed = Instant::now();
    story.tell(
        "killed",
        &format!(
            "kill -9 of the leader, replica {victim} (pid {pid}), with {} appends in flight",
            load.in_flight()
        ),
        json!({"replica": victim, "pid": pid, "inflight": load.in_flight()}),
    )?;
    load.longest = Duration::ZERO;
    load.run(
        &appender,
        killed + seconds.mul_f64(0.1).max(Duration::from_secs(1)),
        None,
    )
    .await?;
    let pause = load.longest;
    let next = stage.leader(&client).await?;
    story.tell(
        "failed_over",
        &format!(
            "replica {next} leads; the longest pause between two receipts was {}",
            time::human(pause)
        ),
        json!({"leader": next, "pause_ms": (pause.as_secs_f64() * 1e4).round() / 10.0}),
    )?;
    load.run(&appender, until(0.65), Some(story)).await?;

    let pid = stage.start(usize::from(victim) - 1)?;
    story.tell(
        "restarted",
        &format!("replica {victim} is back (pid {pid})"),
        json!({"replica": victim, "pid": pid}),
    )?;
    load.run(
        &appender,
        until(1.0).max(Instant::now() + Duration::from_secs(1)),
        Some(story),
    )
    .await?;
    load.finish(&appender).await?;
    story.tell(
        "stopped",
        &format!(
            "the load ended: {} records acknowledged, {}/s; p50 {}, p99 {}",
            time::thousands(load.offsets.len() as u64),
            time::thousands((load.offsets.len() as f64 / begin.elapsed().as_secs_f64()) as u64),
            load.quantile(0.5),
            load.quantile(0.99),
        ),
        json!({"records": load.offsets.len(), "p50_us": load.all.value_at_quantile(0.5), "p99_us": load.all.value_at_quantile(0.99)}),
    )?;
    verify(story, stage, &client, appender, reader, &load).await
}

/// Everything read back, against the receipts.
async fn verify(
    story: &Story,
    stage: &mut Stage,
    client: &Client,
    appender: Appender,
    reader: tokio::task::JoinHandle<Result<Vec<u64>, paxlog_client::Error>>,
    load: &Load,
) -> Result<(), Failure> {
    appender.close().await;
    // A seal ends the tail: what it heard is then whole.
    let end = client.seal(LOG).await?.tail;
    let acknowledged = load.offsets.len() as u64;
    let read = read_all(client, Consistency::Linearizable).await?;
    check("a read of the leader", &read, &load.offsets, end)?;
    let heard = tokio::time::timeout(PATIENCE, reader)
        .await
        .map_err(|_| Failure::integrity("the tail did not reach the end of the sealed log"))?
        .map_err(|error| Failure::integrity(format!("the tail broke off: {error}")))??;
    check("the tail", &heard, &load.offsets, end)?;
    // Each replica by itself, the restarted one too.
    for config in &stage.cluster.configs.clone() {
        let replica = config.replica;
        let alone = stage.connect(stage.profile(&[config])).await?;
        let begin = Instant::now();
        loop {
            stage.alive()?;
            let local = alone.check_tail(LOG, Consistency::Local).await;
            match local {
                Ok(tail) if tail.offset >= end && tail.sealed => break,
                _ if begin.elapsed() > PATIENCE => {
                    return Err(Failure::integrity(format!(
                        "replica {replica} did not catch up within {} s",
                        PATIENCE.as_secs()
                    )));
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let read = read_all(&alone, Consistency::Local).await?;
        check(&format!("replica {replica}"), &read, &load.offsets, end)?;
        alone.close().await;
    }
    story.tell(
        "verified",
        &format!(
            "all {} acknowledged records were read back in order, each exactly once: by the tail, from the leader, and from each of the three replicas",
            time::thousands(acknowledged)
        ),
        json!({"records": acknowledged, "tail": end}),
    )
}

/// Holds what was read against what was acknowledged: `offsets[n]` is where append `n` was said to be.
fn check(what: &str, read: &[u64], offsets: &[u64], end: u64) -> Result<(), Failure> {
    let wrong = |why: String| {
        Err(Failure::integrity(format!("{what}: {why}"))
            .hint("this must never happen: please report it"))
    };
    if read.len() as u64 != end {
        return wrong(format!(
            "{} records were read of a log that ends at {end}",
            read.len()
        ));
    }
    // Every append was acknowledged, so the log is exactly the appends, in order.
    for (offset, number) in (0_u64..).zip(read) {
        if offset != *number {
            return wrong(format!(
                "append {number} stands at offset {offset}, where append {offset} belongs"
            ));
        }
    }
    for (number, offset) in (0_u64..).zip(offsets) {
        if read.get(*offset as usize) != Some(&number) {
            return wrong(format!(
                "append {number} was acknowledged at offset {offset} and is not there"
            ));
        }
    }
    Ok(())
}

async fn read_all(client: &Client, consistency: Consistency) -> Result<Vec<u64>, Failure> {
    let options = ReadOptions {
        consistency,
        strict: true,
        ..ReadOptions::default()
    };
    let mut reader = client.read(LOG, From::First, options).await?;
    let mut numbers = Vec::new();
    while let Some(batch) = reader.next_batch().await? {
        numbers.extend(batch.records().map(|stored| number(&stored.record)));
    }
    Ok(numbers)
}

async fn follow(mut tail: paxlog_client::Tail) -> Result<Vec<u64>, paxlog_client::Error> {
    let mut numbers = Vec::new();
    loop {
        match tail.next().await? {
            TailEvent::Records(batch) => {
                numbers.extend(batch.records().map(|stored| number(&stored.record)))
            }
            TailEvent::Gap { .. } | TailEvent::CaughtUp { .. } => {}
            TailEvent::Sealed { .. } => return Ok(numbers),
        }
    }
}

fn number(record: &Record) -> u64 {
    record
        .payload
        .first_chunk::<8>()
        .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

/// Keeps appends in flight, and remembers every receipt.
struct Load {
    inflight: u64,
    payload: Vec<u8>,
    next: u64,
    given: VecDeque<Instant>,
    /// By the append's number: the offset that its receipt said.
    offsets: Vec<u64>,
    last_receipt: Instant,
    /// The longest time without a receipt.
    longest: Duration,
    all: Histogram<u64>,
    second: Histogram<u64>,
    ends: Vec<Completion>,
}

impl Load {
    fn new(args: &DemoArgs) -> Load {
        let histogram =
            || Histogram::new_with_bounds(1, 100_000_000, 3).expect("constant bounds in order");
        Load {
            inflight: args.inflight,
            payload: vec![b'.'; args.payload as usize],
            next: 0,
            given: VecDeque::new(),
            offsets: Vec::new(),
            last_receipt: Instant::now(),
            longest: Duration::ZERO,
            all: histogram(),
            second: histogram(),
            ends: Vec::new(),
        }
    }

    fn in_flight(&self) -> u64 {
        self.next - self.offsets.len() as u64
    }

    fn quantile(&self, quantile: f64) -> String {
        time::human(Duration::from_micros(self.all.value_at_quantile(quantile)))
    }

    /// Until that time; with a story, a line a second or so.
    async fn run(
        &mut self,
        appender: &Appender,
        until: Instant,
        story: Option<&Story>,
    ) -> Result<(), Failure> {
        let mut line = Instant::now() + Duration::from_secs(1);
        self.second.reset();
        self.last_receipt = Instant::now();
        while Instant::now() < until {
            self.fill(appender).await?;
            tokio::select! {
                () = appender.completions(&mut self.ends) => self.receipts()?,
                () = tokio::time::sleep_until(until.into()) => {}
            }
            if let Some(story) = story
                && Instant::now() >= line
            {
                self.line(story)?;
                line += Duration::from_secs(1);
            }
        }
        Ok(())
    }

    async fn fill(&mut self, appender: &Appender) -> Result<(), Failure> {
        while self.in_flight() < self.inflight {
            self.payload[..8].copy_from_slice(&self.next.to_le_bytes());
            appender
                .append_tagged(vec![Record::new(self.payload.clone())], self.next)
                .await?;
            self.given.push_back(Instant::now());
            self.next += 1;
        }
        Ok(())
    }

    async fn finish(&mut self, appender: &Appender) -> Result<(), Failure> {
        while self.in_flight() > 0 {
            appender.completions(&mut self.ends).await;
            self.receipts()?;
        }
        Ok(())
    }

    fn receipts(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last_receipt);
        self.last_receipt = now;
        for end in self.ends.drain(..) {
            let receipt = end.result?;
            if end.tag != self.offsets.len() as u64 {
                return Err(Failure::integrity(format!(
                    "the receipt of append {} came in the place of {}",
                    end.tag,
                    self.offsets.len()
                )));
            }
            self.offsets.push(receipt.start);
            let given = self.given.pop_front().expect("as many were given as ended");
            let us = ((now - given).as_micros() as u64).max(1);
            self.all.saturating_record(us);
            self.second.saturating_record(us);
        }
        Ok(())
    }

    fn line(&mut self, story: &Story) -> Result<(), Failure> {
        let at = |quantile| self.second.value_at_quantile(quantile);
        let (records, p50, p99) = (self.second.len(), at(0.5), at(0.99));
        let us = Duration::from_micros;
        story.tell(
            "rate",
            &format!(
                "{:>9} records/s   p50 {:>8}   p99 {:>8}",
                time::thousands(records),
                time::human(us(p50)),
                time::human(us(p99))
            ),
            json!({"ops_per_s": records, "p50_us": p50, "p99_us": p99}),
        )?;
        self.second.reset();
        Ok(())
    }
}

/// Says what happens as it happens.
struct Story {
    format: Format,
    begin: Instant,
}

impl Story {
    fn tell(&self, event: &str, text: &str, mut facts: Value) -> Result<(), Failure> {
        let at = self.begin.elapsed().as_secs_f64();
        match self.format {
            Format::Text => output::print_line(&format!("{at:6.2} s  {text}")),
            Format::Json => {
                facts["event"] = event.into();
                facts["at"] = ((at * 1000.0).round() / 1000.0).into();
                output::print_json(&facts)
            }
        }
    }
}

/// A temporary directory with a cluster in it, and its processes.
struct Stage {
    dir: tempfile::TempDir,
    cluster: Cluster,
    profile: Profile,
    children: Vec<Option<Child>>,
}

impl Stage {
    fn set(keep: bool) -> Result<Stage, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("paxlog-demo-")
            .disable_cleanup(keep)
            .tempdir()
            .map_err(|error| {
                Failure::local_io(format!("cannot make a temporary directory: {error}"))
            })?;
        let places = free_places()?;
        let cluster = Cluster::with_places(dir.path(), &places)?;
        for config in &cluster.configs {
            write_config(dir.path(), config)?;
        }
        let path = cluster.write_profile()?;
        let profile = Profile::load(&path).map_err(|error| Failure::local_io(error.to_string()))?;
        Ok(Stage {
            dir,
            cluster,
            profile,
            children: (0..REPLICAS).map(|_| None).collect(),
        })
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A profile that knows only these replicas.
    fn profile(&self, configs: &[&Config]) -> Profile {
        let servers = configs
            .iter()
            .map(|config| config.listen.clients.to_string())
            .collect();
        Profile {
            servers,
            ..self.profile.clone()
        }
    }

    /// Starts the process of a replica, by its place in the list.
    fn start(&mut self, number: usize) -> Result<u32, Failure> {
        let id = number + 1;
        let exe = std::env::current_exe()
            .map_err(|error| Failure::local_io(format!("cannot find this program: {error}")))?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir().join(format!("r{id}.log")))
            .map_err(|error| {
                Failure::local_io(format!("cannot write in {}: {error}", self.dir().display()))
            })?;
        let child = Command::new(exe)
            .args(["serve", "--until-stdin-ends", "--config"])
            .arg(self.dir().join(format!("r{id}.toml")))
            // It ends with us even if we are killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Variables of the user's own replica are not for these.
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| {
                !name.to_string_lossy().starts_with("PAXLOG_") || name == "PAXLOG_LOG"
            }))
            .spawn()
            .map_err(|error| Failure::local_io(format!("cannot start a replica: {error}")))?;
        let pid = child.id();
        self.children[number] = Some(child);
        Ok(pid)
    }

    /// SIGKILL.
    fn kill(&mut self, replica: u16) -> Result<u32, Failure> {
        let child = self
            .children
            .get_mut(usize::from(replica) - 1)
            .and_then(Option::take);
        let Some(mut child) = child else {
            return Err(Failure::unavailable(format!(
                "replica {replica} is not running"
            )));
        };
        child.kill().and_then(|()| child.wait()).map_err(|error| {
            Failure::local_io(format!("cannot kill replica {replica}: {error}"))
        })?;
        Ok(child.id())
    }

    /// Connects while the replicas come up.
    async fn connect(&mut self, profile: Profile) -> Result<Client, Failure> {
        let connecting = Client::connect_within(profile, PATIENCE);
        tokio::pin!(connecting);
        loop {
            tokio::select! {
                client = &mut connecting => return Ok(client?.with_deadline(PATIENCE)),
                () = tokio::time::sleep(Duration::from_millis(50)) => self.alive()?,
            }
        }
    }

    /// A replica that ended by itself ends the demo, with what it said last.
    fn alive(&mut self) -> Result<(), Failure> {
        for (number, child) in self.children.iter_mut().enumerate() {
            let ended = child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                let log =
                    std::fs::read_to_string(self.dir.path().join(format!("r{}.log", number + 1)))
                        .unwrap_or_default();
                let last = log
                    .lines()
                    .rev()
                    .find(|line| !line.trim().is_empty())
                    .unwrap_or("it said nothing")
                    .to_owned();
                return Err(Failure::unavailable(format!(
                    "replica {} ended ({status}): {last}",
                    number + 1
                )));
            }
        }
        Ok(())
    }

    /// The replica that leads and serves, by asking each.
    async fn leader(&mut self, client: &Client) -> Result<u16, Failure> {
        let begin = Instant::now();
        let quick = client.clone().with_deadline(Duration::from_secs(1));
        loop {
            for config in &self.cluster.configs {
                if self.children[usize::from(config.replica) - 1].is_none() {
                    continue;
                }
                if let Ok(status) = quick.status(&config.listen.clients.to_string()).await
                    && status.role == RoleStatus::Leader
                    && status.ready
                {
                    return Ok(status.replica);
                }
            }
            self.alive()?;
            if begin.elapsed() > PATIENCE {
                return Err(Failure::unavailable(format!(
                    "no leader within {} s",
                    PATIENCE.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that nobody has now. Another program may take one before a replica does; then the demo says so.
fn free_places() -> Result<Vec<Listen>, Failure> {
    let none = |error| Failure::unavailable(format!("no free port on 127.0.0.1: {error}"));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // All are held until all are known, so that none is given twice.
    let mut held = Vec::new();
    let mut places = Vec::new();
    for _ in 0..REPLICAS {
        let (clients, replicas) = (
            UdpSocket::bind(any).map_err(none)?,
            UdpSocket::bind(any).map_err(none)?,
        );
        let metrics = TcpListener::bind(any).map_err(none)?;
        places.push(Listen {
            clients: clients.local_addr().map_err(none)?,
            replicas: replicas.local_addr().map_err(none)?,
            metrics: metrics.local_addr().map_err(none)?,
        });
        held.push((clients, replicas, metrics));
    }
    Ok(places)
}

fn write_config(dir: &Path, config: &Config) -> Result<PathBuf, Failure> {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let path = |path: &Path| text(&path.to_string_lossy());
    let mut out = format!(
        "cluster = \"{}\"\nreplica = {}\ndata_dir = {}\n\n[listen]\nclients = \"{}\"\nreplicas = \"{}\"\nmetrics = \"{}\"\n\n[advertise]\nclients = [{}]\n\n",
        format_cluster_id(config.cluster),
        config.replica,
        path(&config.data_dir),
        config.listen.clients,
        config.listen.replicas,
        config.listen.metrics,
        config
            .advertise
            .clients
            .iter()
            .map(|c| text(c))
            .collect::<Vec<_>>()
            .join(", "),
    );
    for member in &config.members {
        let addresses: Vec<String> = member.replicas.iter().map(|a| format!("\"{a}\"")).collect();
        out.push_str(&format!(
            "[[members]]\nid = {}\nreplicas = [{}]\n\n",
            member.id,
            addresses.join(", ")
        ));
    }
    out.push_str(&format!(
        "[tls]\nca = {}\ncert = {}\nkey = {}\n\n[wal]\nsegment_bytes = {}\n\n[logs]\ncreate_on_append = {}\n",
        path(&config.tls.ca),
        path(&config.tls.cert),
        path(&config.tls.key),
        config.wal.segment_bytes,
        config.logs.create_on_append,
    ));
    let file = dir.join(format!("r{}.toml", config.replica));
    std::fs::write(&file, out)
        .map_err(|error| Failure::local_io(format!("cannot write {}: {error}", file.display())))?;
    Ok(file)
}

fn join(numbers: &[u32]) -> String {
    numbers
        .iter()
        .map(u32::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use paxlog_server::config::{Advertise, Logs, MemberConfig, Overrides, Timing, Tls, WalConfig};

    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_written_config_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let places = free_places().unwrap();
        let config = Config {
            cluster: 42,
            replica: 2,
            data_dir: dir.path().join("r2 \"quoted\""),
            listen: places[1].clone(),
            advertise: Advertise {
                clients: vec![places[1].clients.to_string()],
            },
            members: (1..)
                .zip(&places)
                .map(|(id, p)| MemberConfig {
                    id,
                    replicas: vec![p.replicas],
                })
                .collect(),
            tls: Tls {
                ca: "/a".into(),
                cert: "/b".into(),
                key: "/c".into(),
            },
            wal: WalConfig {
                segment_bytes: crate::dev::SEGMENT_BYTES,
            },
            timing: Timing::default(),
            logs: Logs {
                create_on_append: true,
            },
        };
        let path = write_config(dir.path(), &config).unwrap();
        assert_eq!(
            Config::from_toml_file(&path, &Overrides::default()).unwrap(),
            config
        );
    }

    #[test]
    fn the_check_sees_what_is_missing_repeated_or_out_of_place() {
        assert!(check("x", &[0, 1, 2], &[0, 1, 2], 3).is_ok());
        for (read, offsets, end) in [
            (vec![0, 1], vec![0, 1, 2], 3),
            (vec![0, 2, 1], vec![0, 1, 2], 3),
            (vec![0, 1, 1], vec![0, 1, 2], 3),
            (vec![0, 1, 2], vec![0, 2, 1], 3),
            (vec![0, 1], vec![0, 1, 2], 2),
            (vec![0, 1, 2, 2], vec![0, 1, 2], 4),
        ] {
            assert_eq!(
                check("x", &read, &offsets, end).unwrap_err().exit,
                Exit::Integrity,
                "{read:?} {offsets:?} {end}"
            );
        }
    }
}
