//! Hellos: who is at the other end, and what the connection is for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paxlog_wire::replica::{
    Purpose, REPLICA_PROTOCOL_MAX, REPLICA_PROTOCOL_MIN, ReplicaHello, ReplicaHelloReply,
};
use paxlog_wire::{Code, FrameLimits, decode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::peer::Peer;
use crate::connection::Connection;
use crate::endpoint::{Acceptor, Endpoint};
use crate::failure::PeerError;
use crate::framed::{ReceiveError, SendError};
use crate::identity::{Identity, Who};

/// How long the other side may take for its hello.
const HELLO_PATIENCE: Duration = Duration::from_secs(3);
/// Connections that are being greeted at once.
const GREETINGS_MAX: usize = 64;

/// A connection on which both sides said hello.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) connection: Connection,
    /// The peer's hello.
    pub(super) hello: ReplicaHello,
}

/// Where connections of one peer are handed in.
#[derive(Clone, Debug)]
pub(super) struct Door {
    pub(super) peer: Arc<Peer>,
    pub(super) mailbox: mpsc::Sender<Established>,
}

/// What we say of ourselves.
#[derive(Clone, Debug)]
pub(super) struct Ourselves {
    pub(super) cluster: u128,
    pub(super) replica: u16,
    incarnation: u128,
    receive_budget: u64,
    client_addresses: Arc<[String]>,
}

impl Ourselves {
    pub(super) fn new(
        endpoint: &Endpoint,
        incarnation: u128,
        client_addresses: Vec<String>,
    ) -> Self {
        let Identity {
            cluster,
            who: Who::Replica(replica),
        } = *endpoint.identity()
        else {
            panic!(
                "links need a replica's certificate, not that of {}",
                endpoint.identity()
            );
        };
        Self {
            cluster,
            replica,
            incarnation,
            receive_budget: endpoint.receive_bytes(),
            client_addresses: client_addresses.into(),
        }
    }

    fn hello(&self, purpose: Purpose, link: u64) -> ReplicaHello {
        ReplicaHello {
            version_min: REPLICA_PROTOCOL_MIN,
            version_max: REPLICA_PROTOCOL_MAX,
            cluster: self.cluster,
            replica: self.replica,
            incarnation: self.incarnation,
            purpose,
            link,
            receive_budget: self.receive_budget,
            client_addresses: self.client_addresses.to_vec(),
        }
    }

    /// Whether a hello fits us and the certificate that came with it.
    fn check(&self, connection: &Connection, hello: &ReplicaHello) -> Result<(), (Code, String)> {
        let named = connection.peer_replica();
        if named != Some(hello.replica) {
            let named = connection.peer();
            return Err((
                Code::Unauthenticated,
                format!(
                    "you say you are replica {}, your certificate says {named}",
                    hello.replica
                ),
            ));
        }
        if hello.cluster != self.cluster {
            return Err((
                Code::WrongCluster,
                "you belong to another cluster".to_owned(),
            ));
        }
        if hello.agreed_version().is_none() {
            let ours = format!("this side speaks {REPLICA_PROTOCOL_MIN} to {REPLICA_PROTOCOL_MAX}");
            return Err((
                Code::VersionMismatch,
                format!("no version of the protocol in common: {ours}"),
            ));
        }
        Ok(())
    }
}

/// The dialler's side.
pub(super) async fn introduce(
    us: &Ourselves,
    connection: Connection,
    purpose: Purpose,
    link: u64,
) -> Result<Established, PeerError> {
    let address = connection.address();
    let lost = |why: String| PeerError::Lost { address, why };
    let (mut sender, mut receiver) = connection.open_bi(FrameLimits::FIRST).await?;
    sender
        .send(&us.hello(purpose, link))
        .await
        .map_err(|error| of_sending(error, lost))?;
    let frame = receiver
        .next_within(HELLO_PATIENCE)
        .await
        .map_err(|error| of_receiving(error, lost))?;
    let frame = frame.ok_or_else(|| lost("it did not answer our hello".to_owned()))?;
    let reply: ReplicaHelloReply = decode(&frame).map_err(|error| lost(error.to_string()))?;
    let hello = reply.result.map_err(|error| PeerError::Closed {
        address,
        code: error.code,
        reason: error.message.into(),
    })?;
    if let Err((code, why)) = us.check(&connection, &hello) {
        connection.close(code, &why);
        return Err(PeerError::Closed {
            address,
            code,
            reason: why,
        });
    }
    if (hello.purpose, hello.link) != (purpose, link) {
        connection.close(Code::Invalid, "that is no answer to my hello");
        return Err(lost("its hello does not answer ours".to_owned()));
    }
    connection.fit_in_flight(hello.receive_budget);
    Ok(Established { connection, hello })
}

/// The acceptor's side: greets whoever comes, and hands the connection to the peer's keeper.
pub(super) async fn greet_all(mut acceptor: Acceptor, us: Ourselves, doors: BTreeMap<u16, Door>) {
    let us = Arc::new(us);
    let doors = Arc::new(doors);
    let mut greetings = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = greetings.join_next() => {}
            connection = acceptor.next(), if greetings.len() < GREETINGS_MAX => {
                let Some(connection) = connection else { return };
                let (us, doors) = (us.clone(), doors.clone());
                greetings.spawn(async move {
                    let peer = connection.peer().clone();
                    if let Err((code, why)) = greet(&us, connection.clone(), &doors).await {
                        tracing::warn!(%peer, address = %connection.address(), "refused a link: {why}");
                        connection.close(code, &why);
                    }
                });
            }
        }
    }
}

async fn greet(
    us: &Ourselves,
    connection: Connection,
    doors: &BTreeMap<u16, Door>,
) -> Result<(), (Code, String)> {
    let late = || (Code::Invalid, "no hello came in time".to_owned());
    let stream =
        tokio::time::timeout(HELLO_PATIENCE, connection.accept_bi(FrameLimits::FIRST)).await;
    let (mut sender, mut receiver) = stream
        .map_err(|_| late())?
        .map_err(|error| (Code::Unavailable, error.to_string()))?;
    let frame = receiver
        .next_within(HELLO_PATIENCE)
        .await
        .map_err(|error| (Code::Invalid, error.to_string()))?;
    let frame = frame.ok_or_else(late)?;
    let hello: ReplicaHello = decode(&frame).map_err(|error| (Code::Invalid, error.to_string()))?;
    us.check(&connection, &hello)?;
    let Some(door) = doors.get(&hello.replica) else {
        let why = format!(
            "replica {} is not among the members that replica {} was configured with",
            hello.replica, us.replica
        );
        return Err((Code::Forbidden, why));
    };
    if hello.replica >= us.replica {
        return Err((
            Code::Invalid,
            "of two replicas the one with the lower id dials".to_owned(),
        ));
    }
    if hello.purpose == Purpose::Accepts && !door.peer.has_control() {
        // The dialler's control leads to an earlier life of ours, and will find out.
        return Err((
            Code::Unavailable,
            "the control connection comes first".to_owned(),
        ));
    }
    let reply = ReplicaHelloReply {
        result: Ok(us.hello(hello.purpose, hello.link)),
    };
    sender
        .send(&reply)
        .await
        .map_err(|error| (Code::Unavailable, error.to_string()))?;
    sender.finish();
    connection.fit_in_flight(hello.receive_budget);
    // Gone only when the links are.
    let _ = door.mailbox.send(Established { connection, hello }).await;
    Ok(())
}

fn of_sending(error: SendError, lost: impl Fn(String) -> PeerError) -> PeerError {
    match error {
        SendError::Lost(error) => error,
        error @ (SendError::Stopped(_) | SendError::Finished | SendError::Encode(_)) => {
            lost(error.to_string())
        }
    }
}

fn of_receiving(error: ReceiveError, lost: impl Fn(String) -> PeerError) -> PeerError {
    match error {
        ReceiveError::Lost(error) => error,
        error @ (ReceiveError::Frame(_)
        | ReceiveError::Reset(_)
        | ReceiveError::Late
        | ReceiveError::Stopped) => lost(error.to_string()),
    }
}
