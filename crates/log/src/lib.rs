//! The replicated state machine of Paxlog: many named logs in one group.
//!
//! A group agrees on an order of commands; this crate says what each command
//! does. [`State::apply`] is a function of the state, the command's place and
//! the clock that the command's value carries, and of nothing else: every
//! replica that applies the same commands holds the same state, gives the same
//! [`Outcome`]s and computes the same [`State::digest`].
//!
//! The rules, in the order in which they are asked:
//!
//! 1. *Epoch*: a command of an older epoch of its producer is fenced.
//! 2. *Duplicate*: a sequence applied before gets its first answer again.
//! 3. *Refused before*: a refused command ends its epoch; every later sequence
//!    of that epoch gets the same refusal, so that there is no hole.
//! 4. *Sequence*: the next one, or a gap.
//! 5. The log exists; for an append: it is not sealed, the fence is the one
//!    that it carries, the tail is the one that it expects.
//!
//! What is absent on purpose: batches. Their bytes follow the command in the
//! value and lie in the write-ahead log; this state only counts them.

mod checkpoint;
mod codec;
mod command;
mod config;
mod describe;
mod digest;
mod ids;
mod limits;
mod log;
mod names;
mod outcome;
mod producer;
mod receipts;
mod refusal;
mod state;

pub use checkpoint::CheckpointError;
pub use codec::DecodeError;
pub use command::{Body, Command, CommandKind, Conditions, Expected};
pub use config::{ConfigChange, LogConfig};
pub use describe::{Cursor, CursorListing, Description, Listing};
pub use ids::{LogId, Offset, Origin, Position, ProducerId, Timestamp};
pub use limits::Limits;
pub use names::{CursorName, FenceToken, LogName, NameError, ProducerName};
pub use outcome::{LastReceipt, Outcome, Receipt};
pub use refusal::{Invalidity, Refusal};
pub use state::State;
