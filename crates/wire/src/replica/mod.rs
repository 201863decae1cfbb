//! Messages of the replica plane.
//!
//! Two replicas keep two connections, told apart by the [`Purpose`] in the [`ReplicaHello`] that is the first frame of each
//! connection's first stream. Paxos envelopes then go on streams of one direction that open with [`LinkOpen`].

mod envelope;

use paxlog_paxos::Class;

use crate::codec::{Decode, Encode};
use crate::error::WireError;

pub use envelope::{decode_envelope, encode_envelope};

/// The oldest version of the replica plane that this build speaks.
pub const REPLICA_PROTOCOL_MIN: u16 = 1;

/// The newest version of the replica plane that this build speaks.
pub const REPLICA_PROTOCOL_MAX: u16 = 1;

/// What a connection between replicas is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Purpose {
    /// Heartbeats, ballots, acknowledgements: small, never behind bulk.
    Control,
    /// Accepts, and catching up.
    Accepts,
}

/// Who speaks, on a connection between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReplicaHello {
    /// The oldest version that the sender speaks.
    pub version_min: u16,
    /// The newest version that the sender speaks.
    pub version_max: u16,
    /// The sender's cluster.
    pub cluster: u128,
    /// The sender's id; its certificate must name the same.
    pub replica: u16,
    /// The random id of the sender's data directory.
    pub incarnation: u128,
    /// What the connection is for.
    pub purpose: Purpose,
    /// Rises with each connection that the dialler makes; frames of an older link are dropped.
    pub link: u64,
    /// The bytes that the sender's socket can buffer, from which the other side caps what it has in flight; 0 if not known.
    pub receive_budget: u64,
    /// Where clients reach the sender, best first: what others tell their clients while it leads.
    pub client_addresses: Vec<String>,
}

impl ReplicaHello {
    /// The newest version that both sides speak, if there is one.
    pub fn agreed_version(&self) -> Option<u16> {
        let version = self.version_max.min(REPLICA_PROTOCOL_MAX);
        (version >= self.version_min.max(REPLICA_PROTOCOL_MIN)).then_some(version)
    }
}

/// The answer to a [`ReplicaHello`]: the answerer's own, with the same link number and purpose, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ReplicaHelloReply {
    /// The answer.
    pub result: Result<ReplicaHello, WireError>,
}

/// The first frame of each stream of envelopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LinkOpen {
    /// The link number of the connection's hello.
    pub link: u64,
    /// What the stream carries; a connection has one stream of each class that belongs to its purpose.
    pub class: StreamClass,
}

/// What a stream of envelopes carries: the classes of Paxos messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum StreamClass {
    /// On the control connection: what is small and urgent.
    Control,
    /// On the accepts connection: values to be accepted.
    Accepts,
    /// On the accepts connection: values for whoever is behind.
    CatchUp,
}

impl From<Class> for StreamClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Control => StreamClass::Control,
            Class::Accepts => StreamClass::Accepts,
            Class::CatchUp => StreamClass::CatchUp,
        }
    }
}

impl From<StreamClass> for Class {
    fn from(class: StreamClass) -> Self {
        match class {
            StreamClass::Control => Class::Control,
            StreamClass::Accepts => Class::Accepts,
            StreamClass::CatchUp => Class::CatchUp,
        }
    }
}
