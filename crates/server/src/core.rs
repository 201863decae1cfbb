//! The core's thread: one tokio runtime with both QUIC endpoints, the streams'
//! tasks and the core's turns.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use paxlog_node::Node;
use paxlog_quic::{BoundSocket, Credentials, Endpoint, Plane, Tuning};
use paxlog_quic::{LinkPeer, Links, LinksConfig};
use paxlog_wal::Wal;
use paxlog_wire::Code;
use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

use crate::aux_io::AuxIo;
use crate::clients::{self, Desk};
use crate::config::Config;
use crate::exit::{ExitReason, StartError};
use crate::http::Published;
use crate::mailbox::Mailbox;
use crate::meter::Meter;
use crate::status::Facts;
use crate::turn::{Driven, Turns};

/// The longest pause between two attempts to reach another replica.
const DIAL_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Everything the core's thread begins with.
pub(crate) struct Seed {
    pub(crate) config: Config,
    pub(crate) credentials: Credentials,
    pub(crate) sockets: Sockets,
    pub(crate) make_node: Box<dyn FnOnce(Vec<String>, Instant) -> Result<Node, StartError> + Send>,
    pub(crate) incarnation: u128,
    pub(crate) wal: Arc<Wal>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) meter: Meter,
    pub(crate) published: Arc<Published>,
    pub(crate) stop: mpsc::UnboundedReceiver<Duration>,
    pub(crate) name: String,
}

/// The replica's UDP sockets, bound before anything on disk is touched.
pub(crate) struct Sockets {
    clients: BoundSocket,
    replicas: BoundSocket,
}

impl Sockets {
    pub(crate) fn bind(config: &Config) -> Result<Sockets, StartError> {
        let bind = |plane, address| BoundSocket::bind(address, &Tuning::of(plane));
        Ok(Sockets {
            replicas: bind(Plane::Replicas, config.listen.replicas)?,
            clients: bind(Plane::Clients, config.listen.clients)?,
        })
    }
}

/// The addresses that were bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) clients: SocketAddr,
    pub(crate) replicas: SocketAddr,
}

/// Runs a replica to its end. What came of its start is told on `started`.
pub(crate) fn run(seed: Seed, started: &SyncSender<Result<Bound, StartError>>) -> ExitReason {
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(StartError::Thread(error)));
            return ExitReason::Stopped;
        }
    };
    // A task like the others: to wake what `block_on` polls is a system call each time, also from this thread.
    let driving = runtime.spawn_local(drive(seed, started.clone()));
    let reason = match runtime.block_on(driving) {
        Ok(reason) => reason,
        // It is never aborted.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    // Endpoints tell their peers that they are closed before their sockets go.
    runtime.shutdown_timeout(Duration::from_millis(100));
    reason
}

async fn drive(seed: Seed, started: SyncSender<Result<Bound, StartError>>) -> ExitReason {
    let begin = Instant::now();
    let (turns, endpoints) = match assemble(seed, begin) {
        Ok((turns, bound, endpoints)) => {
            if started.send(Ok(bound)).is_err() {
                return ExitReason::Stopped;
            }
            (turns, endpoints)
        }
        Err(error) => {
            let _ = started.send(Err(error));
            return ExitReason::Stopped;
        }
    };
    let reason = turns.run().await;
    for endpoint in &endpoints {
        endpoint.close(Code::Unavailable, "the replica stopped");
    }
    for endpoint in &endpoints {
        endpoint.drained(Duration::from_millis(200)).await;
    }
    reason
}

fn assemble(seed: Seed, begin: Instant) -> Result<(Turns, Bound, [Endpoint; 2]), StartError> {
    let Seed {
        config,
        credentials,
        sockets,
        make_node,
        incarnation,
        wal,
        mailbox,
        meter,
        published,
        stop,
        name,
    } = seed;
    let serve = |plane, socket| Endpoint::serve_on(plane, socket, &credentials, Tuning::of(plane));
    let (replicas, peers) = serve(Plane::Replicas, sockets.replicas)?;
    let (clients, acceptor) = serve(Plane::Clients, sockets.clients)?;
    let bound = Bound {
        clients: clients.local_address(),
        replicas: replicas.local_address(),
    };
    let addresses = match config.advertise.clients.is_empty() {
        true => vec![bound.clients.to_string()],
        false => config.advertise.clients.clone(),
    };
    let node = make_node(addresses.clone(), begin)?;
    let aux = Rc::new(AuxIo::start(&name, &wal, &mailbox).map_err(StartError::Thread)?);
    let links_config = LinksConfig {
        incarnation,
        client_addresses: addresses.clone(),
        peers: config
            .members
            .iter()
            .map(|member| LinkPeer {
                id: member.id,
                addresses: member.replicas.clone(),
            })
            .collect(),
        pause_max: DIAL_PAUSE_MAX,
    };
    let (links, link_events) = Links::start(links_config, replicas.clone(), peers);
    let desk = Desk::new(
        config.cluster,
        config.replica,
        Arc::clone(&wal),
        Rc::clone(&aux),
        Arc::clone(&mailbox),
        Arc::clone(&published),
    );
    tokio::task::spawn_local(clients::accept(Rc::clone(&desk), acceptor));
    let mut members: Vec<u16> = config.members.iter().map(|member| member.id).collect();
    members.sort_unstable();
    let facts = Facts {
        cluster: config.cluster,
        replica: config.replica,
        incarnation,
        members,
        addresses,
        begin,
    };
    let turns = Turns::new(Driven {
        node,
        wal,
        desk,
        links,
        link_events,
        mailbox,
        aux,
        meter,
        published,
        facts,
        stop,
        begin,
    });
    Ok((turns, bound, [clients, replicas]))
}
