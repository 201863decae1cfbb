//! Three replicas, each a process of `paxlog serve`, with default settings.

use std::fs::OpenOptions;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use paxlog_client::{Client, Profile, RoleStatus, Status};

use crate::process::Process;
use crate::program::Program;

/// How many there are.
pub const REPLICAS: u16 = 3;
/// How long the group may take to form, elect, or take a replica back.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a small command may take.
const COMMAND: Duration = Duration::from_secs(30);

/// The processes and where they are. Dropped, they are killed.
#[derive(Debug)]
pub struct Cluster {
    program: Program,
    dir: PathBuf,
    places: Vec<Place>,
    profile: Profile,
    processes: Vec<Option<Process>>,
}

/// The addresses of a replica.
#[derive(Clone, Copy, Debug)]
struct Place {
    clients: SocketAddr,
    replicas: SocketAddr,
    metrics: SocketAddr,
}

impl Cluster {
    /// Makes authority, certificates, configurations and data directories in `dir` with the commands that a user has,
    /// and starts the replicas.
    ///
    /// # Errors
    /// What could not be made or started.
    pub fn start(program: &Program, dir: &Path) -> Result<Cluster> {
        let places = free_places()?;
        let certs = dir.join("certs");
        let issue = |whom: &[&str]| {
            program.json(
                |command| {
                    command
                        .args(["certs", "issue", "--dir"])
                        .arg(&certs)
                        .args(whom);
                },
                COMMAND,
            )
        };
        let made = program.json(
            |command| {
                command.args(["certs", "init", "--dir"]).arg(&certs);
            },
            COMMAND,
        )?;
        let id = made["cluster"]
            .as_str()
            .context("certs init names no cluster")?;
        for replica in 1..=REPLICAS {
            issue(&["--replica", &replica.to_string()])?;
            let file = dir.join(format!("r{replica}.toml"));
            std::fs::write(&file, config(id, replica, &places))
                .with_context(|| format!("{} cannot be written", file.display()))?;
            program.run(
                |command| {
                    command.args(["format", "--config"]).arg(&file);
                },
                COMMAND,
            )?;
        }
        let servers: Vec<String> = places
            .iter()
            .map(|place| place.clients.to_string())
            .collect();
        issue(&["--client", "bench", "--servers", &servers.join(",")])?;
        let profile = Profile::load(&certs.join("bench.toml"))?;
        let mut cluster = Cluster {
            program: program.clone(),
            dir: dir.to_owned(),
            places,
            profile,
            processes: (0..REPLICAS).map(|_| None).collect(),
        };
        for replica in 1..=REPLICAS {
            cluster.start_replica(replica)?;
        }
        Ok(cluster)
    }

    /// The program that it runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Where a client finds it.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The file of the same.
    pub fn profile_path(&self) -> PathBuf {
        self.dir.join("certs/bench.toml")
    }

    /// A profile that knows one replica only.
    pub fn profile_of(&self, replica: u16) -> Profile {
        Profile {
            servers: vec![self.address(replica)],
            ..self.profile.clone()
        }
    }

    /// Where a replica keeps its files.
    pub fn data_dir(&self, replica: u16) -> PathBuf {
        self.dir.join(format!("r{replica}"))
    }

    /// The process ids of the replicas that run, with the replicas' ids.
    pub fn pids(&self) -> Vec<(u16, u32)> {
        (1..)
            .zip(&self.processes)
            .filter_map(|(replica, process)| Some((replica, process.as_ref()?.id())))
            .collect()
    }

    fn address(&self, replica: u16) -> String {
        self.places[usize::from(replica) - 1].clients.to_string()
    }

    /// Starts the process of a replica, or starts it again.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_replica(&mut self, replica: u16) -> Result<()> {
        let path = self.dir.join(format!("r{replica}.log"));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        let mut command = self.program.command();
        command
            // It ends with us, however we end.
            .args(["serve", "--until-stdin-ends", "--config"])
            .arg(self.dir.join(format!("r{replica}.toml")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        self.processes[usize::from(replica) - 1] = Some(Process::start(&mut command)?);
        Ok(())
    }

    /// Takes the process of a replica out; to drop it is to kill it.
    ///
    /// # Errors
    /// If it does not run.
    pub fn take(&mut self, replica: u16) -> Result<Process> {
        self.processes[usize::from(replica) - 1]
            .take()
            .with_context(|| format!("replica {replica} does not run"))
    }

    /// Stops all replicas as a user would, and has `paxlog wal verify` check what they wrote.
    ///
    /// # Errors
    /// If one does not stop with 0, or its files are not clean.
    pub fn stop_and_verify(&mut self) -> Result<()> {
        for replica in 1..=REPLICAS {
            let status = self.take(replica)?.stop(COMMAND)?;
            ensure!(
                status.success(),
                "replica {replica}, asked to stop, ended with {status}: {}",
                self.last_words(replica)
            );
        }
        for replica in 1..=REPLICAS {
            self.program.run(
                |command| {
                    command.args(["wal", "verify"]).arg(self.data_dir(replica));
                },
                Duration::from_secs(600),
            )?;
        }
        Ok(())
    }

    /// A replica that ended by itself is an error, with what it said last.
    ///
    /// # Errors
    /// That one.
    pub fn alive(&self) -> Result<()> {
        for (replica, process) in (1..).zip(&self.processes) {
            if let Some(status) = process.as_ref().map(Process::ended).transpose()?.flatten() {
                bail!(
                    "replica {replica} ended by itself ({status}): {}",
                    self.last_words(replica)
                );
            }
        }
        Ok(())
    }

    fn last_words(&self, replica: u16) -> String {
        let log = std::fs::read_to_string(self.dir.join(format!("r{replica}.log")));
        let log = log.unwrap_or_default();
        let last = log.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it said nothing").to_owned()
    }

    /// A client of it, once the group has formed.
    ///
    /// # Errors
    /// If nobody can be reached in time.
    pub async fn connect(&self) -> Result<Client> {
        let client = Client::connect_within(self.profile.clone(), PATIENCE).await;
        self.alive()?;
        Ok(client?.with_deadline(PATIENCE))
    }

    /// What a replica says of itself.
    async fn status(&self, client: &Client, replica: u16) -> Option<Status> {
        let quick = client.clone().with_deadline(Duration::from_secs(1));
        quick.status(&self.address(replica)).await.ok()
    }

    /// Waits until a replica says that it is ready.
    ///
    /// # Errors
    /// If that takes longer than a minute, or a replica ended by itself.
    pub async fn ready(&self, replica: u16) -> Result<()> {
        let begin = Instant::now();
        let client = Client::connect_within(self.profile_of(replica), PATIENCE).await;
        self.alive()?;
        let client = client?;
        while begin.elapsed() < PATIENCE {
            self.alive()?;
            let status = self.status(&client, replica).await;
            if status.is_some_and(|status| status.ready) {
                client.close().await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        bail!(
            "replica {replica} was not ready within {} s",
            PATIENCE.as_secs()
        );
    }

    /// Waits until one replica leads and serves and the others are linked to it and hold all that it had
    /// chosen when this began; gives its id.
    ///
    /// # Errors
    /// If that takes longer than a minute, or a replica ended by itself.
    pub async fn settled(&self, client: &Client) -> Result<u16> {
        let begin = Instant::now();
        let mut chosen = None;
        let mut why = "no replica leads".to_owned();
        while begin.elapsed() < PATIENCE {
            self.alive()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut all = Vec::new();
            for replica in 1..=REPLICAS {
                all.extend(self.status(client, replica).await);
            }
            let leads = |status: &&Status| status.role == RoleStatus::Leader && status.ready;
            let Some(leader) = all.iter().find(leads) else {
                why = "no replica leads".into();
                continue;
            };
            let chosen = *chosen.get_or_insert(leader.chosen_index);
            let unlinked = leader
                .members
                .iter()
                .find(|member| member.replica != leader.replica && !member.linked);
            let behind = all.iter().find(|status| status.applied < chosen);
            why = match (unlinked, behind) {
                _ if all.len() < usize::from(REPLICAS) => "not all replicas answer".into(),
                (Some(member), _) => format!("replica {} is not linked", member.replica),
                (None, Some(status)) => format!(
                    "replica {} has applied {} of {chosen} slots",
                    status.replica, status.applied
                ),
                (None, None) => return Ok(leader.replica),
            };
        }
        bail!(
            "the cluster did not settle within {} s: {why}",
            PATIENCE.as_secs()
        );
    }
}

/// Ports that nobody has now, below those that the system gives to sockets that ask for none: a client's
/// socket cannot take the port of a replica that is down for a moment.
fn free_places() -> Result<Vec<Place>> {
    let mut port = 10_000 + (std::process::id() % 1_000) as u16 * 20;
    // Held until all are known: two replicas never get the same.
    let mut held = Vec::new();
    let mut places = Vec::new();
    while places.len() < usize::from(REPLICAS) {
        ensure!(
            port < 32_000,
            "no free ports on 127.0.0.1 from 10000 to 32000"
        );
        let at = |above| SocketAddr::from(([127, 0, 0, 1], port + above));
        let place = Place {
            clients: at(0),
            replicas: at(1),
            metrics: at(2),
        };
        port += 3;
        let sockets = (
            UdpSocket::bind(place.clients),
            UdpSocket::bind(place.replicas),
            TcpListener::bind(place.metrics),
        );
        if let (Ok(a), Ok(b), Ok(c)) = sockets {
            held.push((a, b, c));
            places.push(place);
        }
    }
    Ok(places)
}

/// Default settings, but that logs are made at their first append. Paths are relative to the file.
fn config(id: &str, replica: u16, places: &[Place]) -> String {
    let own = places[usize::from(replica) - 1];
    let mut text = format!(
        "cluster = \"{id}\"\nreplica = {replica}\ndata_dir = \"r{replica}\"\n\n\
         [listen]\nclients = \"{}\"\nreplicas = \"{}\"\nmetrics = \"{}\"\n\n\
         [advertise]\nclients = [\"{}\"]\n\n\
         [tls]\nca = \"certs/ca.pem\"\ncert = \"certs/r{replica}.pem\"\nkey = \"certs/r{replica}.key\"\n\n\
         [logs]\ncreate_on_append = true\n",
        own.clients, own.replicas, own.metrics, own.clients
    );
    for (id, place) in (1..).zip(places) {
        let id: u16 = id;
        text.push_str(&format!(
            "\n[[members]]\nid = {id}\nreplicas = [\"{}\"]\n",
            place.replicas
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_differ_and_stand_in_the_configuration() {
        let places = free_places().unwrap();
        let mut ports: Vec<u16> = places
            .iter()
            .flat_map(|place| [place.clients.port(), place.replicas.port()])
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 6);
        let text = config("c", 2, &places);
        for part in [
            &format!("clients = \"{}\"", places[1].clients),
            "data_dir = \"r2\"",
            "cert = \"certs/r2.pem\"",
            &format!("id = 3\nreplicas = [\"{}\"]", places[2].replicas),
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
