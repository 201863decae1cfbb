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
//! Where what is: `message`, `types` and `effect` are the words; `acceptor` keeps what must not be forgotten
//! and `merge` decides what a new leader must propose (these two are where a mistake loses data);
//! `candidate`, `takeover`, `proposing`, `accepting` are phase 1, what comes of it, phase 2 and its answers; `peers`, `heartbeat` and
//! `handing` say who should lead (where a mistake only costs time); `learner` and `serving` are catching up;
//! `forming` is the beginning. `tests/schedules` runs all of it under random faults.
//!
//! A group of one, from blank to its first chosen value:
//!
//! ```
//! use paxlog_paxos::*;
//!
//! let id = ReplicaId(1);
//! let config = Config::new(ClusterId(1), GroupId(0), id, Incarnation(42), vec![id], 7);
//! let mut paxos = Paxos::new(config, Recovered::blank(), 0);
//! let mut effects = Effects::new();
//! let mut written = PersistId(0);
//! let mut chosen = Vec::new();
//! let mut proposed = false;
//! for ms in 0..500 {
//!     let now = ms * 1_000_000;
//!     paxos.handle_tick(now, &mut effects);
//!     if paxos.can_propose() && !proposed {
//!         let value = Value::from_parts(vec!["hello".into()]);
//!         proposed = paxos.propose(now, value, &mut effects).is_ok();
//!     }
//!     while let Some(effect) = effects.pop() {
//!         match effect {
//!             Effect::Persist { id, .. } => written = id, // into the write-ahead log
//!             Effect::Chosen { slot, value, .. } => chosen.push((slot, value)),
//!             _ => {}
//!         }
//!     }
//!     paxos.handle_durable(now, written, &mut effects); // after its sync
//! }
//! assert_eq!(chosen.len(), 2, "the leader's no-op, then the value");
//! ```
//!
//! Sources: Lamport, *Paxos Made Simple*; van Renesse and Altinbuken, *Paxos Made Moderately Complex*; Ng et
//! al., *Omni-Paxos* (who leads); Alagappan et al., *Protocol-Aware Recovery* (damaged slots).

mod accepting;
mod acceptor;
mod asking;
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
mod silent;
mod status;
mod takeover;

mod types;

pub use config::{AcceptedEntry, Config, PeerStatus, Recovered, Standing};
pub use counters::Counters;
pub use effect::{DurableState, Effect, Effects, Persist, Role, RoleChange};
pub use message::{
    Accept, Accepted, AskIndex, BelowChosen, Class, Confirm, Confirmed, Echo, Envelope, Fetch,
    FetchAnswer, FetchReply, FetchWhat, Form, FormAnswer, FormAsk, HandOver, Heartbeat, Index,
    Leading, Message, Prepare, Promise, PromisedSlot, Refuse, UnknownSlots,
};
pub use paxos::{NotLeader, Paxos, ProposeError};
pub use types::{
    Ballot, ClusterId, ConfigNumber, DiskHealth, GroupId, Incarnation, LinkEvent, Member, Nanos,
    PersistId, ReadId, ReadToken, ReplicaId, Slot, Value,
};
