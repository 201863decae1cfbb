//! Three processes of one system, from nothing, in a directory of their own.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::choice::System;
use super::drivers::{etcd, nats};
use super::find;
use super::load::Target;
use crate::process::Process;
use crate::{Cluster, Program};

/// How many members.
pub(super) const MEMBERS: usize = 3;
/// How long a cluster may take to be of use.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of any system. Dropped, its processes are killed.
pub(super) enum Servers {
    Paxlog(Box<Cluster>),
    Peer(Peer),
}

impl Servers {
    /// Starts it in `dir` and waits until it takes appends.
    pub(super) fn start(
        system: System,
        program: &Program,
        peer: Option<&Path>,
        dir: &Path,
    ) -> Result<Servers> {
        if system == System::Paxlog {
            let cluster = Cluster::start(program, dir)?;
            runtime()?.block_on(async {
                let client = cluster.connect().await?;
                cluster.settled(&client).await?;
                client.close().await;
                anyhow::Ok(())
            })?;
            return Ok(Servers::Paxlog(Box::new(cluster)));
        }
        let program = peer.context("the program was looked for before")?;
        let mut peer = Peer::new(system, program, dir)?;
        for member in 0..MEMBERS {
            peer.start(member)?;
        }
        runtime()?.block_on(peer.ready())?;
        Ok(Servers::Peer(peer))
    }

    pub(super) fn target(&self) -> Target {
        match self {
            Servers::Paxlog(cluster) => Target::Paxlog(cluster.profile_path()),
            Servers::Peer(peer) => peer.target(),
        }
    }

    pub(super) fn pids(&self) -> Vec<u32> {
        match self {
            Servers::Paxlog(cluster) => cluster.pids().into_iter().map(|(_, pid)| pid).collect(),
            Servers::Peer(peer) => peer.processes.iter().flatten().map(Process::id).collect(),
        }
    }

    /// A server that ended by itself is an error, with what it said last.
    pub(super) fn alive(&self) -> Result<()> {
        match self {
            Servers::Paxlog(cluster) => cluster.alive(),
            Servers::Peer(peer) => peer.alive(),
        }
    }
}

/// Three processes of another system, with its defaults, but for what each `command` says.
pub(super) struct Peer {
    system: System,
    program: PathBuf,
    dir: PathBuf,
    members: Vec<Member>,
    processes: Vec<Option<Process>>,
}

/// Where a member listens.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) clients: SocketAddr,
    members: SocketAddr,
}

impl Peer {
    fn new(system: System, program: &Path, dir: &Path) -> Result<Peer> {
        Ok(Peer {
            system,
            program: program.to_owned(),
            dir: dir.to_owned(),
            members: free_members()?,
            processes: (0..MEMBERS).map(|_| None).collect(),
        })
    }

    pub(super) fn system(&self) -> System {
        self.system
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// The name that a member has among the others.
    pub(super) fn name(member: usize) -> String {
        format!("m{}", member + 1)
    }

    fn target(&self) -> Target {
        let addresses = self.members.iter().map(|member| member.clients.to_string());
        match self.system {
            System::Etcd => Target::Etcd(addresses.collect()),
            _ => Target::Nats((0..).map(Peer::name).zip(addresses).collect()),
        }
    }

    /// Starts a member, or starts it again.
    pub(super) fn start(&mut self, member: usize) -> Result<()> {
        let mut command = match self.system {
            System::Etcd => self.etcd(member),
            _ => self.nats(member)?,
        };
        let path = self.log_path(member);
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        self.processes[member] = Some(Process::start(&mut command)?);
        Ok(())
    }

    /// Takes the process of a member out; to drop it is to kill it.
    pub(super) fn take(&mut self, member: usize) -> Result<Process> {
        self.processes[member]
            .take()
            .context("the member does not run")
    }

    pub(super) fn alive(&self) -> Result<()> {
        for (member, process) in self.processes.iter().enumerate() {
            if let Some(status) = process.as_ref().map(Process::ended).transpose()?.flatten() {
                let log = std::fs::read_to_string(self.log_path(member)).unwrap_or_default();
                bail!(
                    "{} {} ended by itself ({status}): {}",
                    self.system.label(),
                    Peer::name(member),
                    log.lines().next_back().unwrap_or("it said nothing")
                );
            }
        }
        Ok(())
    }

    fn log_path(&self, member: usize) -> PathBuf {
        self.dir.join(format!("{}.log", Peer::name(member)))
    }

    /// Default settings, but room for what is measured: a quota of 8 GB for 2, and 1,024 operations a transaction for 128,
    /// so that a batch of 1,000 is one.
    fn etcd(&self, member: usize) -> Command {
        let (name, own) = (Peer::name(member), self.members[member]);
        let all: Vec<String> = (0..)
            .map(Peer::name)
            .zip(&self.members)
            .map(|(name, member)| format!("{name}=http://{}", member.members))
            .collect();
        let clients = format!("http://{}", own.clients);
        let members = format!("http://{}", own.members);
        let mut command = ending_with_us(&self.program);
        command
            .args(["--name", &name, "--data-dir"])
            .arg(self.dir.join(&name))
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &members])
            .args(["--initial-advertise-peer-urls", &members])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--initial-cluster-state", "new"])
            .args(["--quota-backend-bytes", "8589934592"])
            .args(["--max-txn-ops", "1024"])
            .args(["--logger", "zap", "--log-level", "warn"]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(name);
            }
        }
        command
    }

    /// Default settings; `sync_interval: always` where it is to be durable.
    fn nats(&self, member: usize) -> Result<Command> {
        let (name, own) = (Peer::name(member), self.members[member]);
        let routes: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("\"nats://{}\"", member.members))
            .collect();
        let sync = match self.system.durable() {
            true => "  sync_interval: always\n",
            false => "",
        };
        let file = self.dir.join(format!("{name}.conf"));
        let text = format!(
            "server_name: {name}\nlisten: \"{}\"\n\
             jetstream {{\n  store_dir: \"{}\"\n{sync}}}\n\
             cluster {{\n  name: bench\n  listen: \"{}\"\n  routes: [{}]\n}}\n",
            own.clients,
            self.dir.join(&name).display(),
            own.members,
            routes.join(", ")
        );
        std::fs::write(&file, text)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        let mut command = ending_with_us(&self.program);
        command.arg("--config").arg(&file);
        Ok(command)
    }

    /// Waits until it takes appends on all members.
    async fn ready(&self) -> Result<()> {
        let begin = Instant::now();
        loop {
            let tried = match self.system {
                System::Etcd => self.etcd_leader().await.map(drop),
                _ => self.nats_ready().await,
            };
            match tried {
                Ok(()) => return Ok(()),
                Err(error) if begin.elapsed() > PATIENCE => {
                    let label = self.system.label();
                    return Err(error.context(format!("{label} was not ready in time")));
                }
                Err(_) => {
                    self.alive()?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// The member that leads, once all agree and have applied what it has.
    pub(super) async fn etcd_leader(&self) -> Result<usize> {
        let mut all = Vec::new();
        for member in &self.members {
            let channel = etcd::channel(&member.clients.to_string())?;
            let status = tokio::time::timeout(Duration::from_secs(2), etcd::status(&channel));
            all.push(status.await.context("a member does not answer")??);
        }
        let leader = all.iter().position(etcd::Status::leads);
        let leader = leader.context("no member leads")?;
        let index = all[leader].raft_index;
        for status in &all {
            ensure!(
                status.leader == all[leader].leader,
                "members do not agree on the leader"
            );
            // The leader's own answers run a little ahead.
            ensure!(
                status.raft_applied_index + 100 >= index,
                "a member has applied {} of {index} entries",
                status.raft_applied_index
            );
        }
        Ok(leader)
    }

    /// A stream of three replicas can be made, and deleted.
    async fn nats_ready(&self) -> Result<()> {
        let address = self.members[0].clients.to_string();
        let context = nats::connect(&address, Duration::from_secs(2)).await?;
        nats::make_stream(&context, "ready").await?;
        context.delete_stream("ready").await?;
        Ok(())
    }
}

/// A command that ends with us even if we are killed, where the system has `setpriv`; on every other end the registry
/// of children sees to it.
fn ending_with_us(program: &Path) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    match find::within(&path, "setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Ports that nobody has now, below those that the system gives to sockets that ask for none.
fn free_members() -> Result<Vec<Member>> {
    let mut port = 20_000 + (std::process::id() % 500) as u16 * 20;
    // Held until all are known.
    let mut held = Vec::new();
    let mut members = Vec::new();
    while members.len() < MEMBERS {
        ensure!(
            port < 32_000,
            "no free ports on 127.0.0.1 from 20000 to 32000"
        );
        let at = |above| SocketAddr::from(([127, 0, 0, 1], port + above));
        let member = Member {
            clients: at(0),
            members: at(1),
        };
        port += 2;
        let sockets = (
            TcpListener::bind(member.clients),
            TcpListener::bind(member.members),
        );
        if let (Ok(a), Ok(b)) = sockets {
            held.push((a, b));
            members.push(member);
        }
    }
    Ok(members)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot start")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(system: System, dir: &Path) -> Peer {
        Peer::new(system, Path::new("/bin/peer"), dir).unwrap()
    }

    #[test]
    fn only_one_nats_syncs_always() {
        let dir = tempfile::tempdir().unwrap();
        let text = |system| {
            peer(system, dir.path()).nats(1).unwrap();
            std::fs::read_to_string(dir.path().join("m2.conf")).unwrap()
        };
        assert!(text(System::Nats).contains("sync_interval: always"));
        assert!(!text(System::NatsDefault).contains("sync_interval"));
    }

    #[test]
    fn an_etcd_member_knows_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let peer = peer(System::Etcd, dir.path());
        let command = peer.etcd(0);
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        for member in peer.members() {
            assert!(args.iter().any(|arg| {
                arg.starts_with("m1=http://") && arg.contains(&member.members.to_string())
            }));
        }
    }
}
