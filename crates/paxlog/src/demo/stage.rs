//! Three replica processes in a temporary directory.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use paxlog_client::{Client, Profile, RoleStatus};
use paxlog_server::config::{Config, Listen, format_cluster_id};

use super::{PATIENCE, REPLICAS};
use crate::dev::Cluster;
use crate::failure::Failure;

/// A temporary directory with a cluster in it, and its processes.
pub(super) struct Stage {
    dir: tempfile::TempDir,
    pub(super) cluster: Cluster,
    pub(super) profile: Profile,
    pub(super) children: Vec<Option<Child>>,
}

impl Stage {
    pub(super) fn set(keep: bool) -> Result<Stage, Failure> {
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

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A profile that knows only these replicas.
    pub(super) fn profile(&self, configs: &[&Config]) -> Profile {
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
    pub(super) fn start(&mut self, number: usize) -> Result<u32, Failure> {
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
    pub(super) fn kill(&mut self, replica: u16) -> Result<u32, Failure> {
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
    pub(super) async fn connect(&mut self, profile: Profile) -> Result<Client, Failure> {
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
    pub(super) fn alive(&mut self) -> Result<(), Failure> {
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
    pub(super) async fn leader(&mut self, client: &Client) -> Result<u16, Failure> {
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
pub(super) fn free_places() -> Result<Vec<Listen>, Failure> {
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

pub(super) fn write_config(dir: &Path, config: &Config) -> Result<PathBuf, Failure> {
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

#[cfg(test)]
mod tests {
    use paxlog_server::config::{
        Advertise, CreateOnAppend, Limits, Logs, MemberConfig, Overrides, Timing, Tls, WalConfig,
    };

    use super::*;

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
            limits: Limits::default(),
            logs: Logs {
                create_on_append: CreateOnAppend::Prefixes(vec!["a/".into(), "b".into()]),
            },
        };
        let path = write_config(dir.path(), &config).unwrap();
        assert_eq!(
            Config::from_toml_file(&path, &Overrides::default()).unwrap(),
            config
        );
    }
}
