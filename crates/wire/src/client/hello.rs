//! The control stream: who speaks which version, and what a replica tells its clients unasked.

use crate::codec::{Decode, Encode};
use crate::error::{LeaderHint, WireError};
use crate::limits;

/// The oldest version of the client plane that this build speaks.
pub const PROTOCOL_MIN: u16 = 1;

/// The newest version of the client plane that this build speaks.
pub const PROTOCOL_MAX: u16 = 1;

/// The first frame of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ClientHello {
    /// The oldest version that the client speaks.
    pub version_min: u16,
    /// The newest version that the client speaks.
    pub version_max: u16,
    /// The cluster that the client means to talk to.
    pub cluster: u128,
}

impl ClientHello {
    /// A hello with the versions of this build.
    pub fn new(cluster: u128) -> Self {
        Self {
            version_min: PROTOCOL_MIN,
            version_max: PROTOCOL_MAX,
            cluster,
        }
    }

    /// The newest version that both sides speak, if there is one.
    pub fn agreed_version(&self) -> Option<u16> {
        let version = self.version_max.min(PROTOCOL_MAX);
        (version >= self.version_min.max(PROTOCOL_MIN)).then_some(version)
    }
}

/// What a replica sends on the control stream.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ControlEvent {
    /// The answer to an acceptable hello; always the first.
    Hello(ServerHello),
    /// The answer to a hello that is not acceptable; nothing follows.
    Refused(WireError),
    /// The leader changed, or became known.
    Leader(LeaderHint),
    /// There is no leader at present.
    NoLeader,
    /// This replica is about to stop: open nothing more here.
    GoingAway,
}

/// A replica's answer to [`ClientHello`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ServerHello {
    /// The version that both sides speak from here on.
    pub version: u16,
    /// The cluster that this replica belongs to.
    pub cluster: u128,
    /// This replica's id.
    pub replica: u16,
    /// What this replica takes.
    pub limits: ServerLimits,
    /// The leader, if this replica knows one.
    pub leader: Option<LeaderHint>,
}

/// The limits of a replica's clients: the first three are enforced with `TooLarge`, the last is theirs to keep to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ServerLimits {
    /// The largest record, in bytes.
    pub record_bytes_max: u32,
    /// The largest batch, in bytes.
    pub batch_bytes_max: u32,
    /// The largest header section of a record, in bytes.
    pub headers_bytes_max: u32,
    /// The most numbered commands that a producer should have without an answer: of so many the receipts are kept, so that
    /// each can be sent again. More are taken; a command stream is read no further while twice as many replies are owed.
    pub appends_in_flight_max: u32,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            record_bytes_max: limits::RECORD_BYTES_MAX as u32,
            batch_bytes_max: limits::BATCH_BYTES_MAX as u32,
            headers_bytes_max: limits::HEADERS_BYTES_MAX as u32,
            appends_in_flight_max: limits::APPENDS_IN_FLIGHT_MAX,
        }
    }
}
