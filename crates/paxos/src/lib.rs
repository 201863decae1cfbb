//! Multi-Paxos as a pure state machine: messages, ticks and "this is durable now" in; messages, "persist
//! this" and "this is chosen" out.
//!
//! [`Paxos`] is one replica of one group. It knows no clock, socket, file, thread or randomness that was not
//! handed in, and values are opaque to it. The owner calls one of its `handle_…` methods for each event and
//! carries the [`Effect`]s out in order. Three things hold whatever the owner, the network or the disk do
//! (short of a disk that takes back what it said was durable):
//!
//! - at most one value is ever chosen for a slot;
//! - no vote leaves before what it vouches for is durable here;
//! - [`Effect::Chosen`] comes in slot order, each slot once in a life.
//!
//! Sources: Lamport, *Paxos Made Simple*; van Renesse and Altinbuken, *Paxos Made Moderately Complex*; Ng et
//! al., *Omni-Paxos* (who leads); Alagappan et al., *Protocol-Aware Recovery* (damaged slots).

mod accepting;
mod acceptor;
mod candidate;
mod config;
mod counters;
mod effect;
mod forming;
mod handing;
mod heartbeat;
mod leader;
mod learner;
mod merge;
mod message;
mod outbox;
mod paxos;
mod peers;
mod proposing;
mod quorum;
mod reads;
mod rng;
mod runs;
mod serving;
mod status;
mod types;

pub use config::{AcceptedEntry, Config, PeerStatus, Recovered, Standing};
pub use counters::Counters;
pub use effect::{DurableState, Effect, Effects, Persist, Role, RoleChange};
pub use message::{
    Accept, Accepted, BelowChosen, Class, Confirm, Confirmed, Echo, Envelope, Fetch, FetchAnswer,
    FetchReply, FetchWhat, Form, FormAnswer, FormAsk, HandOver, Heartbeat, Leading, Message,
    Prepare, Promise, PromisedSlot, Refuse, UnknownSlots,
};
pub use paxos::{NotLeader, Paxos, ProposeError};
pub use types::{
    Ballot, ClusterId, ConfigNumber, DiskHealth, GroupId, Incarnation, LinkEvent, Member, Nanos,
    PersistId, ReadId, ReadToken, ReplicaId, Slot, Value,
};
