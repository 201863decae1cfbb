//! Clusters of `paxlog serve` processes, made with the program's own commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use paxlog_client::{Client, Profile};
use serde_json::Value;

use super::command::Signal;
use super::{LIVENESS, Ports, get, paxlog, signal, status_of, until};

/// How a cluster is made.
pub(crate) struct Options {
    pub(crate) replicas: u16,
    pub(crate) create_on_append: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            replicas: 3,
            create_on_append: true,
        }
    }
}

/// One replica's files and addresses.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) id: u16,
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) clients: SocketAddr,
    pub(crate) replicas: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// A cluster in a temporary directory. Its processes die with it, and with this process however that ends.
pub(crate) struct Cluster {
    dir: tempfile::TempDir,
    _ports: Ports,
    pub(crate) id: String,
    pub(crate) places: Vec<Place>,
    children: Vec<Option<Child>>,
}

impl Cluster {
    /// Certificates, config files and formatted directories; nothing runs yet.
    pub(crate) fn made(options: &Options) -> Cluster {
        let dir = tempfile::Builder::new()
            .prefix("paxlog-test-")
            .tempdir()
            .expect("a temporary directory");
        let ports = Ports::take();
        let certs = dir.path().join("certs");
        let certs_flag = certs.to_str().expect("a path of text");
        let init = paxlog(["certs", "init", "--output", "json", "--dir", certs_flag])
            .run()
            .ok();
        let id = init.json()["cluster"].as_str().expect("an id").to_owned();
        let places: Vec<Place> = (1..=options.replicas)
            .map(|id| Place {
                id,
                config: dir.path().join(format!("r{id}.toml")),
                data: dir.path().join(format!("r{id}")),
                log: dir.path().join(format!("r{id}.log")),
                clients: ports.clients(id),
                replicas: ports.replicas(id),
                metrics: ports.metrics(id),
            })
            .collect();
        let servers: Vec<String> = places.iter().map(|p| p.clients.to_string()).collect();
        paxlog(["certs", "issue", "--client", "tester", "--dir", certs_flag])
            .arg("--servers")
            .arg(servers.join(","))
            .run()
            .ok();
        let cluster = Cluster {
            children: places.iter().map(|_| None).collect(),
            dir,
            _ports: ports,
            id,
            places,
        };
        for place in &cluster.places {
            let replica = place.id.to_string();
            paxlog(["certs", "issue", "--replica", &replica, "--dir", certs_flag])
                .run()
                .ok();
            std::fs::write(&place.config, cluster.config(place, options)).expect("written");
            cluster.format(place.id);
        }
        cluster
    }

    /// Three replicas that serve.
    pub(crate) fn started() -> Cluster {
        Cluster::started_with(&Options::default())
    }

    /// A cluster that serves.
    pub(crate) fn started_with(options: &Options) -> Cluster {
        let mut cluster = Cluster::made(options);
        cluster.start_all();
        cluster.wait_all_ready();
        cluster
    }

    fn config(&self, place: &Place, options: &Options) -> String {
        let mut text = format!(
            "cluster = \"{}\"\nreplica = {}\ndata_dir = \"r{}\"\n\n[listen]\nclients = \"{}\"\nreplicas = \"{}\"\n\
             metrics = \"{}\"\n\n[advertise]\nclients = [\"{}\"]\n\n",
            self.id,
            place.id,
            place.id,
            place.clients,
            place.replicas,
            place.metrics,
            place.clients
        );
        for member in &self.places {
            text.push_str(&format!(
                "[[members]]\nid = {}\nreplicas = [\"{}\"]\n\n",
                member.id, member.replicas
            ));
        }
        text.push_str(&format!(
            "[tls]\nca = \"certs/ca.pem\"\ncert = \"certs/r{0}.pem\"\nkey = \"certs/r{0}.key\"\n\n\
             [wal]\nsegment_bytes = \"16MiB\"\n\n[logs]\ncreate_on_append = {1}\n",
            place.id, options.create_on_append
        ));
        text
    }

    /// Adds to the config file of each replica, before they are started.
    pub(crate) fn configure(&self, section: &str) {
        for place in &self.places {
            let mut text = std::fs::read_to_string(&place.config).expect("there");
            text.push_str(section);
            std::fs::write(&place.config, text).expect("written");
        }
    }

    pub(crate) fn format(&self, id: u16) {
        let config = &self.place(id).config;
        paxlog(["format", "--config"]).arg(config).run().ok();
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn certs(&self) -> PathBuf {
        self.dir.path().join("certs")
    }

    pub(crate) fn profile_path(&self) -> PathBuf {
        self.certs().join("tester.toml")
    }

    pub(crate) fn profile(&self) -> Profile {
        Profile::load(&self.profile_path()).expect("a good profile")
    }

    pub(crate) fn place(&self, id: u16) -> &Place {
        &self.places[usize::from(id) - 1]
    }

    /// A command of this cluster's client.
    pub(crate) fn paxlog(&self, arguments: &[&str]) -> super::command::Paxlog {
        paxlog(arguments).profile(&self.profile_path())
    }

    /// A connected client, patient.
    pub(crate) async fn client(&self) -> Client {
        Client::connect_within(self.profile(), LIVENESS)
            .await
            .expect("a replica answers")
    }

    pub(crate) fn start_all(&mut self) {
        for id in 1..=self.places.len() as u16 {
            self.start(id);
        }
    }

    /// Starts those that do not run.
    pub(crate) fn start_all_stopped(&mut self) {
        for id in 1..=self.places.len() as u16 {
            if !self.runs(id) {
                self.start(id);
            }
        }
    }

    /// Starts the process of a replica.
    pub(crate) fn start(&mut self, id: u16) {
        let place = self.place(id).clone();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&place.log)
            .expect("a log file");
        let child = Command::new(env!("CARGO_BIN_EXE_paxlog"))
            // Its stdin ends with this process, however that ends.
            .args(["serve", "--until-stdin-ends", "--config"])
            .arg(&place.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| {
                !name.to_string_lossy().starts_with("PAXLOG_") || name == "PAXLOG_LOG"
            }))
            .spawn()
            .expect("the program starts");
        let slot = &mut self.children[usize::from(id) - 1];
        assert!(slot.is_none(), "replica {id} runs already");
        *slot = Some(child);
    }

    /// Of its process.
    pub(crate) fn pid(&self, id: u16) -> u32 {
        let child = self.children[usize::from(id) - 1].as_ref();
        child.expect("it runs").id()
    }

    /// Sends a signal to its process, which goes on running or stands still.
    pub(crate) fn signal(&self, id: u16, sent: Signal) {
        let child = self.children[usize::from(id) - 1].as_ref();
        signal(child.expect("it runs"), sent);
    }

    pub(crate) fn runs(&self, id: u16) -> bool {
        self.children[usize::from(id) - 1].is_some()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: u16) {
        self.kill_all(&[id]);
    }

    /// SIGKILL to several, before the first is waited for.
    pub(crate) fn kill_all(&mut self, ids: &[u16]) {
        let mut dying: Vec<Child> = ids
            .iter()
            .map(|id| self.children[usize::from(*id) - 1].take().expect("it runs"))
            .collect();
        for child in &dying {
            signal(child, Signal::KILL);
        }
        for child in &mut dying {
            child.wait().expect("a child of ours");
        }
    }

    /// SIGTERM, and waits for an orderly end.
    pub(crate) fn stop(&mut self, id: u16) {
        self.stop_all(&[id]);
    }

    pub(crate) fn stop_all(&mut self, ids: &[u16]) {
        for id in ids {
            let child = self.children[usize::from(*id) - 1].as_ref();
            signal(child.expect("it runs"), Signal::TERM);
        }
        for id in ids {
            let child = &mut self.children[usize::from(*id) - 1];
            let status = until("a replica stops when asked to", || {
                child.as_mut()?.try_wait().expect("a child of ours")
            });
            *child = None;
            assert!(
                status.success(),
                "replica {id}: {status}\n{}",
                self.log_end(*id)
            );
        }
    }

    /// Waits until this replica serves.
    pub(crate) fn wait_ready(&mut self, id: u16) {
        let metrics = self.place(id).metrics;
        until(&format!("replica {id} is ready"), || {
            self.alive();
            matches!(get(metrics, "/readyz"), Ok((200, _))).then_some(())
        });
    }

    pub(crate) fn wait_all_ready(&mut self) {
        for id in 1..=self.places.len() as u16 {
            if self.runs(id) {
                self.wait_ready(id);
            }
        }
    }

    /// A replica that ended by itself fails the test, with what it said last.
    pub(crate) fn alive(&mut self) {
        for index in 0..self.children.len() {
            let ended = self.children[index]
                .as_mut()
                .and_then(|child| child.try_wait().expect("a child of ours"));
            if let Some(status) = ended {
                let id = index as u16 + 1;
                panic!("replica {id} ended: {status}\n{}", self.log_end(id));
            }
        }
    }

    pub(crate) fn status(&self, id: u16) -> Option<Value> {
        status_of(self.place(id).metrics)
    }

    /// The replica that leads and serves; the one of the highest ballot if two think so.
    pub(crate) fn leader(&mut self) -> u16 {
        until("a leader that serves", || {
            self.alive();
            (1..=self.places.len() as u16)
                .filter(|id| self.runs(*id))
                .filter_map(|id| {
                    let status = self.status(id)?;
                    let leads = status["role"] == "leader" && status["ready"] == true;
                    let round = status["ballot"].as_str()?.split('.').next()?.parse::<u64>();
                    leads.then_some((round.ok()?, id))
                })
                .max()
                .map(|(_, id)| id)
        })
    }

    pub(crate) fn applied(&self, id: u16) -> Option<u64> {
        self.status(id)?["applied_index"].as_u64()
    }

    /// Waits until every running replica has applied what the leader has now.
    pub(crate) fn wait_caught_up(&mut self) {
        let leader = self.leader();
        let index = until("the leader's index", || self.status(leader))["commit_index"]
            .as_u64()
            .expect("a number");
        for id in 1..=self.places.len() as u16 {
            if self.runs(id) {
                until(&format!("replica {id} applies up to {index}"), || {
                    self.alive();
                    (self.applied(id)? >= index).then_some(())
                });
            }
        }
    }

    /// Stops everything in order, and looks that no replica ever panicked. The directories stay until
    /// the cluster is dropped.
    pub(crate) fn finish(&mut self) {
        self.alive();
        let running: Vec<u16> = (1..=self.places.len() as u16)
            .filter(|id| self.runs(*id))
            .collect();
        self.stop_all(&running);
        self.no_panics();
    }

    /// No replica has panicked.
    pub(crate) fn no_panics(&self) {
        for place in &self.places {
            let log = self.log(place.id);
            assert!(
                !log.contains("panicked"),
                "replica {}:\n{}",
                place.id,
                log.lines()
                    .filter(|line| line.contains("panicked"))
                    .collect::<Vec<_>>()
                    .join("\n")
            );
        }
    }

    /// What `paxlog wal verify` says of a stopped replica's directory.
    pub(crate) fn verify(&self, id: u16) -> Value {
        let data = &self.place(id).data;
        paxlog(["wal", "verify", "--output", "json"])
            .arg(data)
            .run()
            .ok()
            .json()
    }

    pub(crate) fn log(&self, id: u16) -> String {
        std::fs::read_to_string(&self.place(id).log).unwrap_or_default()
    }

    fn log_end(&self, id: u16) -> String {
        let log = self.log(id);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().flatten() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for place in &self.places {
                eprintln!("--- replica {}\n{}", place.id, self.log_end(place.id));
            }
        }
    }
}
