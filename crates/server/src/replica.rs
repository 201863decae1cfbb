//! The embedding API: a replica in this process.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxlog_node::{Config as NodeConfig, Node, Now};
use paxlog_paxos::{ClusterId, GroupId, Incarnation, ReplicaId};
use paxlog_quic::{Credentials, Who};
use paxlog_wal::{Disk, Identity, OpenError, Options, RealDisk, Wal};
use tokio::sync::mpsc::UnboundedSender;

use crate::config::Config;
use crate::core::{self, Bound, Seed, Sockets};
use crate::exit::{ExitReason, StartError};
use crate::format::random_u64;
use crate::http::{Http, HttpPort, Published};
use crate::mailbox::Mailbox;
use crate::meter;
use crate::open;
use crate::status::Status;

/// The one group of this release.
const GROUP: GroupId = GroupId(0);

/// How often an idle replica tries its disk, so that a dead one is noticed
/// before the next append.
const CANARY_EVERY: Duration = Duration::from_secs(1);

/// A replica that runs on threads of its own.
///
/// Dropping it stops it, without waiting long for a hand-over.
pub struct Replica {
    bound: Bound,
    http: Option<Http>,
    published: Arc<Published>,
    stop: UnboundedSender<Duration>,
    end: Arc<End>,
    core: Option<JoinHandle<()>>,
    wal: Option<Arc<Wal>>,
}

/// How the core ended, once it has.
#[derive(Debug, Default)]
struct End {
    reason: Mutex<Option<ExitReason>>,
    ended: Condvar,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica")
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Starts a replica over the directory of its configuration, which must have
    /// been made by [`format`](crate::format()). Returns once its ports are
    /// bound; whether it serves yet is in [`Replica::status`].
    ///
    /// # Errors
    /// [`StartError`]; each names the thing and the way out.
    pub fn start(config: Config) -> Result<Replica, StartError> {
        let dir = config.data_dir.clone();
        if !dir.is_dir() {
            return Err(StartError::NotFormatted { dir });
        }
        let disk = RealDisk::new(&dir).map_err(|error| StartError::Io {
            dir,
            what: error.to_string(),
        })?;
        Replica::start_on(config, Arc::new(disk))
    }

    /// The same, over a disk of the caller's: tests put faults between.
    ///
    /// # Errors
    /// As [`Replica::start`].
    pub fn start_on(config: Config, disk: Arc<dyn Disk>) -> Result<Replica, StartError> {
        let credentials = credentials(&config)?;
        let dir = config.data_dir.as_path();
        let incarnation = incarnation_of(&config, &*disk)?;
        let peers: Vec<u16> = config
            .members
            .iter()
            .map(|member| member.id)
            .filter(|id| *id != config.replica)
            .collect();
        let (meter, wal_meter, metrics) = meter::build(config.replica, &peers)
            .map_err(|error| StartError::Config(format!("the metrics' registry: {error}")))?;

        let name = format!("r{}-", config.replica);
        let mailbox = Arc::new(Mailbox::default());
        let bell = Arc::clone(&mailbox);
        let identity = Identity {
            cluster: config.cluster,
            replica: u64::from(config.replica),
            wal_id: incarnation,
        };
        let options = Options {
            segment_bytes: config.wal.segment_bytes,
            notify: Box::new(move || bell.wal_changed()),
            observer: Arc::new(wal_meter),
            sync_stalled: config.timing.stall,
            canary_every: Some(CANARY_EVERY),
            name: name.clone(),
            ..Options::new(identity)
        };
        // Opening writes: it begins a segment. Whatever else can refuse the start comes before.
        open::check_free(dir, &*disk)?;
        let port = HttpPort::bind(config.listen.metrics)?;
        let sockets = Sockets::bind(&config)?;
        let (wal, found) = open::open(dir, disk, options, GROUP)?;
        let wal = Arc::new(wal);

        let published = Arc::new(Published::new(Arc::clone(&mailbox)));
        let http = Http::start(&name, port, &published, metrics)?;
        let (stop, stop_asked) = tokio::sync::mpsc::unbounded_channel();
        let node_config = config.clone();
        let seed = Seed {
            make_node: Box::new(move |addresses, begin| {
                make_node(&node_config, incarnation, addresses, found, begin)
            }),
            config,
            credentials,
            sockets,
            incarnation,
            wal: Arc::clone(&wal),
            mailbox,
            meter,
            published: Arc::clone(&published),
            stop: stop_asked,
            name: name.clone(),
        };
        let (started, start) = mpsc::sync_channel(1);
        let end = Arc::new(End::default());
        let told = Arc::clone(&end);
        let core = std::thread::Builder::new()
            .name(format!("{name}core"))
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| core::run(seed, &started));
                let reason = std::panic::catch_unwind(run).unwrap_or(ExitReason::Panicked);
                *told.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
                told.ended.notify_all();
            })
            .map_err(StartError::Thread)?;
        match start.recv() {
            Ok(Ok(bound)) => Ok(Replica {
                bound,
                http: Some(http),
                published,
                stop,
                end,
                core: Some(core),
                wal: Some(wal),
            }),
            Ok(Err(error)) => {
                let _ = core.join();
                Err(error)
            }
            Err(_) => {
                let _ = core.join();
                Err(StartError::Thread(std::io::Error::other(
                    "the core ended with a panic at its start",
                )))
            }
        }
    }

    /// Where clients reach it, with the real port.
    pub fn client_addr(&self) -> SocketAddr {
        self.bound.clients
    }

    /// Where other replicas reach it, with the real port.
    pub fn replica_addr(&self) -> SocketAddr {
        self.bound.replicas
    }

    /// Where `/metrics` is, with the real port.
    pub fn metrics_addr(&self) -> SocketAddr {
        // It is there until the replica is stopped, which takes `self`.
        self.http
            .as_ref()
            .map_or(SocketAddr::from(([0, 0, 0, 0], 0)), Http::address)
    }

    /// How it is, as of at most 100 ms ago.
    pub fn status(&self) -> Status {
        self.published.status()
    }

    /// How it ended; none while it runs.
    pub fn exited(&self) -> Option<ExitReason> {
        self.end
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until it ends by itself, and says how. Blocks.
    pub fn wait(&self) -> ExitReason {
        let mut reason = self
            .end
            .reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reason) = reason.as_ref() {
                return reason.clone();
            }
            reason = self
                .end
                .ended
                .wait(reason)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Stops it: hands leadership over, lets what is under way end (for at most
    /// `patience`), seals and syncs the write-ahead log. Blocks.
    pub fn shutdown(mut self, patience: Duration) -> ExitReason {
        self.stop(patience)
    }

    fn stop(&mut self, patience: Duration) -> ExitReason {
        // It fails only if the core has ended.
        let _ = self.stop.send(patience);
        if let Some(core) = self.core.take() {
            let _ = core.join();
        }
        self.http = None;
        let reason = self.exited().unwrap_or(ExitReason::Panicked);
        let Some(wal) = self.wal.take().and_then(Arc::into_inner) else {
            return reason;
        };
        match (wal.close(), reason) {
            (Err(failed), ExitReason::Stopped) => {
                ExitReason::StorageFailed(failed.reason.to_string())
            }
            (_, reason) => reason,
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if self.core.is_some() {
            self.stop(Duration::from_millis(200));
        }
    }
}

/// Checks a configuration, and its certificate and key against it.
pub(crate) fn credentials(config: &Config) -> Result<Credentials, StartError> {
    config
        .check()
        .map_err(|error| StartError::Config(error.to_string()))?;
    let credentials = Credentials::load(&config.tls.ca, &config.tls.cert, &config.tls.key)?;
    check_identity(config, &credentials)?;
    Ok(credentials)
}

fn check_identity(config: &Config, credentials: &Credentials) -> Result<(), StartError> {
    let identity = credentials.identity();
    let cert = config.tls.cert.display();
    if identity.cluster != config.cluster {
        return Err(StartError::Config(format!(
            "{cert} was issued for cluster {:032x}, and `cluster` says {:032x}",
            identity.cluster, config.cluster
        )));
    }
    if identity.who != Who::Replica(config.replica) {
        return Err(StartError::Config(format!(
            "{cert} is the certificate of {identity}, and `replica` says {}",
            config.replica
        )));
    }
    Ok(())
}

/// The directory's, which must be this replica's.
fn incarnation_of(config: &Config, disk: &dyn Disk) -> Result<u128, StartError> {
    let dir = config.data_dir.as_path();
    match paxlog_wal::identify(disk) {
        Ok(Some(found)) => {
            let expected = Identity {
                cluster: config.cluster,
                replica: u64::from(config.replica),
                ..found
            };
            match found == expected {
                true => Ok(found.wal_id),
                false => Err(open::refused(dir, OpenError::Foreign { expected, found })),
            }
        }
        Ok(None) => Err(StartError::NotFormatted {
            dir: dir.to_owned(),
        }),
        Err(error) => Err(open::refused(dir, error)),
    }
}

fn make_node(
    config: &Config,
    incarnation: u128,
    addresses: Vec<String>,
    found: paxlog_node::Found,
    begin: Instant,
) -> Result<Node, StartError> {
    let mut paxos = paxlog_paxos::Config::new(
        ClusterId(config.cluster),
        GROUP,
        ReplicaId(config.replica),
        Incarnation(incarnation),
        config
            .members
            .iter()
            .map(|member| ReplicaId(member.id))
            .collect(),
        random_u64(),
    );
    paxos.heartbeat_ns = config.timing.heartbeat.as_nanos() as u64;
    let node_config = NodeConfig {
        paxos,
        create_on_append: config.logs.create_on_append.prefixes(),
        client_append_bytes_per_s: config.limits.client_append_rate,
        addresses,
        value_bytes_target: paxlog_node::VALUE_BYTES_TARGET,
    };
    let now = Now {
        mono: begin.elapsed().as_nanos() as u64,
        wall: 0,
    };
    Node::recover(node_config, found, now).map_err(|source| StartError::Recover {
        dir: config.data_dir.clone(),
        source,
    })
}
