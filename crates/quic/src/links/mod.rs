//! Links: what each pair of replicas keeps.
//!
//! A pair has two connections: *control* for what is small and urgent, *accepts* for values (accepts and catch-up, a stream
//! each, accepts first). Streams of one connection share its window and pacing, so bulk on it would hold a heartbeat up; two
//! connections do not. The replica with the lower id dials both, accepts only once control is up; what is lost is dialled
//! again after a short pause that grows to the limits of `backoff`.
//!
//! A connection begins with a hello each way (cluster, id, incarnation, versions; the certificate must name the same replica).
//! Then each side opens its streams, each beginning with `LinkOpen` and the link number of the hello.
//!
//! The owner sends by [`Links::send`] and, once a turn, [`Links::flush`]: everything for one stream leaves as one write.
//! [`LinkEvents`] brings what the others sent; control overtakes bulk. A message is lost if its connection breaks; the owner
//! gets [`LinkEvent::ControlUp`] or [`LinkEvent::AcceptsUp`] when there is a new one and resumes from there. The same happens
//! to an outbox that overflows because the peer does not take what is sent.

mod backoff;
mod events;
mod greeting;
mod outbox;
mod peer;
mod reader;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use paxlog_paxos::{Class, Envelope};
use paxlog_wire::Code;
use tokio::task::JoinSet;

use crate::endpoint::{Acceptor, Endpoint};
use events::EventSender;
use peer::Peer;

pub use events::{LinkEvent, LinkEvents};

/// Who we are, and who the others.
#[derive(Clone, Debug)]
pub struct LinksConfig {
    /// The random id of our data directory.
    pub incarnation: u128,
    /// Where clients reach us; the peers are told.
    pub client_addresses: Vec<String>,
    /// The other members.
    pub peers: Vec<LinkPeer>,
    /// The longest pause between two attempts to connect.
    pub pause_max: Duration,
}

/// Another member.
#[derive(Clone, Debug)]
pub struct LinkPeer {
    /// Its id.
    pub id: u16,
    /// Where its replica endpoint listens; tried in turn.
    pub addresses: Vec<SocketAddr>,
}

/// How the link to a peer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The peer's id.
    pub peer: u16,
    /// Whether the control connection is there.
    pub control: bool,
    /// The directory at the other end of the control connection, as the peer's hello names it.
    pub incarnation: Option<u128>,
    /// Whether the accepts connection is there.
    pub accepts: bool,
    /// The round trip on the control connection.
    pub round_trip: Option<Duration>,
    /// Packets found lost, on both connections together.
    pub lost_packets: u64,
    /// Why the last attempt failed or the last connection broke, in a sentence. Stays when there is a connection again.
    pub last_failure: Option<String>,
}

/// The links of one replica. Dropping it closes them.
#[derive(Debug)]
pub struct Links {
    endpoint: Endpoint,
    peers: BTreeMap<u16, Arc<Peer>>,
    /// Aborted when dropped.
    _tasks: JoinSet<()>,
}

impl Links {
    /// Starts keeping links to all peers, on the current tokio runtime.
    ///
    /// # Panics
    /// When the endpoint's certificate is not a replica's.
    pub fn start(
        config: LinksConfig,
        endpoint: Endpoint,
        acceptor: Acceptor,
    ) -> (Self, LinkEvents) {
        let us = greeting::Ourselves::new(&endpoint, config.incarnation, config.client_addresses);
        let (sender, events) = events::channel();
        let mut tasks = JoinSet::new();
        let mut peers = BTreeMap::new();
        let mut doors = BTreeMap::new();
        for peer in config
            .peers
            .into_iter()
            .filter(|peer| peer.id != us.replica)
        {
            let (mailbox, established) = peer::mailbox();
            let state = Arc::new(Peer::new(peer.id));
            peers.insert(peer.id, state.clone());
            let door = greeting::Door {
                peer: state.clone(),
                mailbox: mailbox.clone(),
            };
            doors.insert(peer.id, door);
            let keeper = peer::Keeper {
                peer: state,
                addresses: peer.addresses,
                us: us.clone(),
                endpoint: endpoint.clone(),
                events: EventSender::clone(&sender),
                pause_max: config.pause_max,
                mailbox,
            };
            tasks.spawn(keeper.run(established));
        }
        tasks.spawn(greeting::greet_all(acceptor, us, doors));
        (
            Self {
                endpoint,
                peers,
                _tasks: tasks,
            },
            events,
        )
    }

    /// Puts a message into the outbox of its class. It leaves with the next [`flush`](Self::flush). False if it is lost already:
    /// there is no connection, the outbox overflowed, or the message is over its limit.
    pub fn send(&self, to: u16, envelope: &Envelope) -> bool {
        self.peers
            .get(&to)
            .is_some_and(|peer| peer.outbox(envelope.message.class()).push(envelope))
    }

    /// Lets everything leave that was sent since the last flush.
    pub fn flush(&self) {
        for peer in self.peers.values() {
            for class in [Class::Control, Class::Accepts, Class::CatchUp] {
                peer.outbox(class).flush();
            }
        }
    }

    /// The bytes that wait in the outbox of a class, not handed to QUIC yet.
    pub fn waiting_bytes(&self, to: u16, class: Class) -> usize {
        self.peers
            .get(&to)
            .map_or(0, |peer| peer.outbox(class).bytes())
    }

    /// How the links are, in the order of the peers' ids.
    pub fn status(&self) -> Vec<LinkStatus> {
        self.peers.values().map(|peer| peer.status()).collect()
    }

    /// Closes all links, and tells the peers why.
    pub fn close(&self, reason: &str) {
        self.endpoint.close(Code::Unavailable, reason);
    }

    /// The endpoint under the links.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.close("the replica stopped");
    }
}
