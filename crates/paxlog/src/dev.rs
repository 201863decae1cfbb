//! `paxlog dev`: a cluster in this process, over real QUIC and real files.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use paxlog_client::Profile;
use paxlog_server::config::{
    Advertise, Config, CreateOnAppend, Limits, Listen, Logs, MemberConfig, Timing, Tls, WalConfig,
};
use paxlog_server::{ExitReason, Replica};
use serde_json::json;

use crate::certs::Authority;
use crate::cli::Global;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, Format};
use crate::replica;
use crate::serve::SHUTDOWN;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog dev                            files under .paxlog, made at the first start
  paxlog dev --ephemeral                a temporary directory, removed at the end
  paxlog dev --replicas 1 --listen 127.0.0.1:8400 --metrics 127.0.0.1:8480

Clients connect to --listen and the ports after it; the replicas talk to each other ten ports above.")]
pub(crate) struct DevArgs {
    /// Where its files are.
    #[arg(
        long,
        default_value = ".paxlog",
        value_name = "DIR",
        conflicts_with = "ephemeral"
    )]
    dir: PathBuf,
    /// How many replicas: 1, 3 or 5 [default: as many as there are, at first 3].
    #[arg(long, value_name = "N", value_parser = replicas)]
    replicas: Option<u16>,
    /// The first replica's address for clients; the others count up from it.
    #[arg(long, default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The first replica's address for metrics; the others count up from it.
    #[arg(long, default_value = "127.0.0.1:9400", value_name = "ADDRESS")]
    metrics: SocketAddr,
    /// Keep everything in a temporary directory, and remove it at the end.
    #[arg(long)]
    ephemeral: bool,
}

fn replicas(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(n @ (1 | 3 | 5)) => Ok(n),
        _ => Err("a group has 1, 3 or 5 replicas".into()),
    }
}

/// Segments small enough that five of them are no burden on a laptop.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 20;
/// Replicas talk to each other so many ports above the clients.
const REPLICA_PORTS_ABOVE: u16 = 10;
/// How long a cluster on one machine may take until it serves.
const READY: Duration = Duration::from_secs(20);

pub(crate) fn dev(global: &Global, args: DevArgs) -> Result<(), Failure> {
    let begin = Instant::now();
    // Before there is anything to remove.
    let runtime = replica::runtime()?;
    let interrupt = runtime.block_on(async { Interrupt::watch() });
    let temporary = match args.ephemeral {
        true => Some(
            tempfile::Builder::new()
                .prefix("paxlog-dev-")
                .tempdir()
                .map_err(|error| {
                    Failure::local_io(format!("cannot make a temporary directory: {error}"))
                })?,
        ),
        false => None,
    };
    let dir = temporary.as_ref().map_or(args.dir.as_path(), |t| t.path());
    let count = replica_count(dir, args.replicas)?;
    check_addresses(args.listen, args.metrics, count)?;
    let cluster = Cluster::prepare(dir, count, args.listen, args.metrics)?;
    let mut running = Vec::new();
    for config in &cluster.configs {
        match replica::start(config) {
            Ok(replica) => running.push(replica),
            Err(failure) => {
                // It says itself why, if it ends badly.
                stop(running);
                return Err(failure);
            }
        }
    }
    cluster.write_profile()?;
    let served = serve(global, &cluster, &running, begin, args.ephemeral, interrupt);
    let result = runtime.block_on(served);
    runtime.shutdown_background();
    stop(running);
    result
}

async fn serve(
    global: &Global,
    cluster: &Cluster,
    running: &[Replica],
    begin: Instant,
    ephemeral: bool,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    while !running.iter().any(replica::serves) {
        if interrupt.hit() {
            return Ok(());
        }
        if begin.elapsed() > READY {
            return Err(
                Failure::unavailable(format!("no leader after {} s", READY.as_secs()))
                    .hint("PAXLOG_LOG=info paxlog dev shows what the replicas do"),
            );
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    announce(global, cluster, begin.elapsed(), ephemeral)?;
    tokio::select! {
        () = interrupt.wait() => Ok(()),
        end = replica::first_end(running) => end,
    }
}

/// All at once: a group whose members leave one by one would elect a leader in between.
fn stop(running: Vec<Replica>) {
    let threads: Vec<_> = running
        .into_iter()
        .map(|replica| std::thread::spawn(move || replica.shutdown(SHUTDOWN)))
        .collect();
    for thread in threads {
        match thread.join() {
            Ok(ExitReason::Stopped) => {}
            Ok(reason) => tracing::error!(?reason, "a replica did not stop as it should"),
            Err(_) => tracing::error!("a replica ended with a panic"),
        }
    }
}

fn announce(
    global: &Global,
    cluster: &Cluster,
    ready: Duration,
    ephemeral: bool,
) -> Result<(), Failure> {
    let servers: Vec<String> = cluster
        .configs
        .iter()
        .map(|c| c.listen.clients.to_string())
        .collect();
    let metrics: Vec<String> = cluster
        .configs
        .iter()
        .map(|c| format!("http://{}/metrics", c.listen.metrics))
        .collect();
    let profile = cluster.dir.join("client.toml");
    if global.output == Format::Json {
        return output::print_json(&json!({
            "event": "ready",
            "seconds": (ready.as_secs_f64() * 1000.0).round() / 1000.0,
            "cluster": paxlog_server::config::format_cluster_id(cluster.id),
            "profile": profile,
            "servers": servers,
            "metrics": metrics,
        }));
    }
    let me = me();
    let n = servers.len();
    let here = cluster.dir == Path::new(".paxlog");
    let mut text = format!(
        "Paxlog is up: {n} {} in this process, ready after {:.2} s.\n  clients  {}\n  metrics  {}\n  files    {}{}\n",
        if n == 1 { "replica" } else { "replicas" },
        ready.as_secs_f64(),
        servers.join("  "),
        metrics.join("  "),
        cluster.dir.display(),
        if ephemeral {
            "  (removed at the end)"
        } else {
            ""
        },
    );
    match here {
        true => text.push_str("\nIn another terminal, in this directory:\n"),
        false => text.push_str(&format!(
            "\nIn another terminal:\n  export PAXLOG_PROFILE={}\n",
            absolute(&profile).display()
        )),
    }
    for line in [
        "append notes -m 'hello, world'",
        "read notes",
        "tail notes -f",
        "cluster status",
    ] {
        text.push_str(&format!("  {me} {line}\n"));
    }
    text.push_str("\nCtrl-C stops it.");
    if !ephemeral {
        text.push_str(" Started again, it finds its data again.");
    }
    output::print_line(&text)
}

/// What to type to run this program: its name if the shell finds it, else its path.
pub(crate) fn me() -> String {
    let Ok(exe) = std::env::current_exe() else {
        return "paxlog".into();
    };
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| {
            dir.join("paxlog")
                .canonicalize()
                .is_ok_and(|found| found == exe)
        })
    });
    if found {
        return "paxlog".into();
    }
    match std::env::current_dir()
        .ok()
        .and_then(|cwd| exe.strip_prefix(cwd).map(Path::to_owned).ok())
    {
        Some(relative) => relative.display().to_string(),
        None => exe.display().to_string(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// As many as there were at the first start; the flag may only agree.
fn replica_count(dir: &Path, asked: Option<u16>) -> Result<u16, Failure> {
    let before = (1..=5)
        .take_while(|id| dir.join(format!("r{id}")).exists())
        .count() as u16;
    match (before, asked) {
        (0, asked) => Ok(asked.unwrap_or(3)),
        (before, Some(asked)) if asked != before => Err(Failure::usage(format!(
            "{} holds a cluster of {before}, not of {asked}",
            dir.display()
        ))
        .hint("name another directory with --dir; the members of a group do not change in this release")),
        (before, _) => Ok(before),
    }
}

fn check_addresses(listen: SocketAddr, metrics: SocketAddr, count: u16) -> Result<(), Failure> {
    for (flag, address, above) in [
        ("--listen", listen, REPLICA_PORTS_ABOVE),
        ("--metrics", metrics, 0),
    ] {
        if address.ip().is_unspecified() {
            return Err(Failure::usage(format!(
                "{flag} {address}: clients cannot be sent to an unspecified address"
            ))
            .hint("write the address that they reach this machine at"));
        }
        if address.port() == 0 || address.port().checked_add(count - 1 + above).is_none() {
            return Err(Failure::usage(format!(
                "{flag} {address}: the ports count up from this one, so it must be from 1 to {}",
                u16::MAX - above - count + 1
            )));
        }
    }
    Ok(())
}

/// Whether nobody has the ports now, so that a busy one leaves nothing behind.
fn check_free(place: &Listen) -> Result<(), Failure> {
    let busy = |address: SocketAddr, flag: &'static str| {
        move |error: std::io::Error| {
            Failure::unavailable(format!("the address {address} cannot be used: {error}")).hint(
                format!("is another `paxlog dev` running? Choose other ports with {flag}"),
            )
        }
    };
    for address in [place.clients, place.replicas] {
        UdpSocket::bind(address).map_err(busy(address, "--listen"))?;
    }
    TcpListener::bind(place.metrics).map_err(busy(place.metrics, "--metrics"))?;
    Ok(())
}

fn up(address: SocketAddr, by: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + by)
}

/// The files and configurations of a cluster on one machine.
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) id: u128,
    pub(crate) configs: Vec<Config>,
}

impl Cluster {
    /// Finds or makes everything under `dir`: authority, certificates, formatted data directories.
    fn prepare(
        dir: &Path,
        count: u16,
        listen: SocketAddr,
        metrics: SocketAddr,
    ) -> Result<Cluster, Failure> {
        let places: Vec<Listen> = (0..count)
            .map(|n| Listen {
                clients: up(listen, n),
                replicas: up(listen, n + REPLICA_PORTS_ABOVE),
                metrics: up(metrics, n),
            })
            .collect();
        // Before anything is made.
        places.iter().try_for_each(check_free)?;
        Cluster::with_places(dir, &places)
    }

    /// The same for addresses of any pattern.
    pub(crate) fn with_places(dir: &Path, places: &[Listen]) -> Result<Cluster, Failure> {
        let certs = dir.join("certs");
        let authority = match certs.join("ca.key").exists() {
            true => Authority::load(&certs)?,
            false => Authority::create(&certs, None)?,
        };
        let members: Vec<MemberConfig> = (1..)
            .zip(places)
            .map(|(id, place)| MemberConfig {
                id,
                replicas: vec![place.replicas],
            })
            .collect();
        let mut configs = Vec::new();
        for (id, place) in (1..).zip(places) {
            let (cert, key) = authority.replica_files(id)?;
            let config = Config {
                cluster: authority.cluster(),
                replica: id,
                data_dir: dir.join(format!("r{id}")),
                listen: place.clone(),
                advertise: Advertise {
                    clients: vec![place.clients.to_string()],
                },
                members: members.clone(),
                tls: Tls {
                    ca: certs.join("ca.pem"),
                    cert,
                    key,
                },
                wal: WalConfig {
                    segment_bytes: SEGMENT_BYTES,
                },
                timing: Timing::default(),
                limits: Limits::default(),
                logs: Logs {
                    create_on_append: CreateOnAppend::Always,
                },
            };
            config
                .check()
                .map_err(|error| Failure::usage(error.to_string()))?;
            replica::format_if_new(&config)?;
            configs.push(config);
        }
        authority.client_files("client")?;
        Ok(Cluster {
            dir: dir.to_owned(),
            id: authority.cluster(),
            configs,
        })
    }

    /// The profile that a client of this cluster loads, its paths relative to the file.
    pub(crate) fn write_profile(&self) -> Result<PathBuf, Failure> {
        let profile = Profile {
            cluster: self.id,
            servers: self
                .configs
                .iter()
                .flat_map(|c| c.advertise.clients.clone())
                .collect(),
            ca: "certs/ca.pem".into(),
            cert: "certs/client.pem".into(),
            key: "certs/client.key".into(),
        };
        let path = self.dir.join("client.toml");
        std::fs::write(&path, profile.to_toml()).map_err(|error| {
            Failure::local_io(format!("cannot write {}: {error}", path.display()))
        })?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn the_number_of_replicas_is_that_of_the_first_start() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(replica_count(dir.path(), None).unwrap(), 3);
        assert_eq!(replica_count(dir.path(), Some(5)).unwrap(), 5);
        std::fs::create_dir(dir.path().join("r1")).unwrap();
        assert_eq!(replica_count(dir.path(), None).unwrap(), 1);
        assert_eq!(
            replica_count(dir.path(), Some(3)).unwrap_err().exit,
            Exit::Usage
        );
    }

    #[test]
    fn a_busy_port_is_named_before_anything_is_made() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let free = SocketAddr::new(address.ip(), 0);
        let place = Listen {
            clients: free,
            replicas: address,
            metrics: free,
        };
        let failure = check_free(&place).unwrap_err();
        assert_eq!(failure.exit, Exit::Unavailable);
        assert!(failure.message.contains(&address.to_string()), "{failure}");
    }

    #[test]
    fn ports_that_cannot_count_up_are_refused() {
        let ok: SocketAddr = "127.0.0.1:7400".parse().unwrap();
        assert!(check_addresses(ok, ok, 3).is_ok());
        for bad in ["127.0.0.1:0", "127.0.0.1:65530", "0.0.0.0:7400"] {
            assert_eq!(
                check_addresses(bad.parse().unwrap(), ok, 3)
                    .unwrap_err()
                    .exit,
                Exit::Usage,
                "{bad}"
            );
        }
    }
}
