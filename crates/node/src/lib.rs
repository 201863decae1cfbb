//! The core of a replica: one state machine, free of IO, that binds Paxos, the
//! replicated logs and the index of what lies where in the write-ahead log.
//!
//! [`Node::step`] takes one [`Event`] and adds [`Effect`]s. It touches no clock,
//! socket, file or thread: the server and the simulator run this same code. How
//! a record travels:
//!
//! 1. a command comes on a client's stream ([`Event::Command`]), is admitted and
//!    queued (`admission.rs`);
//! 2. [`Node::end_turn`] closes the queue into one value (`value.rs`) and proposes
//!    it; Paxos wants it persisted ([`Effect::Append`]) and sent;
//! 3. [`Event::Durable`] and the other replicas' answers make the slot chosen;
//! 4. its commands are applied in order (`applying.rs`), the batches noted in the index
//!    (`index.rs`), the clients answered ([`Effect::Reply`]);
//! 5. readers that waited get the batches ([`Effect::Reader`], `readers.rs`);
//! 6. sealed and applied segments get an `.idx` file, then a checkpoint, and are
//!    retired when nothing in them can be read any more (`segments.rs`).

mod admission;
mod applying;
mod checkpoint;
mod commands;
mod driving;
mod durable;
mod effect;
mod entries;
mod entry;
mod event;
mod housekeeping;
mod idx_file;
mod index;
mod node;
mod place;
mod queries;
mod rates;
mod readers;
mod recover;
mod replies;
mod requests;
mod retention;
mod segments;
mod slots;
mod status;
mod value;

pub use checkpoint::{Checkpoint, ReadError};
pub use durable::decode as decode_state;
pub use effect::{Effect, Effects, EntryPlace, ReaderEffect, TimeSearch};
pub use entry::{ENTRY_HEADER_BYTES, EntryHeader};
pub use event::{ClientId, EntryToken, Event, Now, QueryId, ReaderId, StreamId, Unreadable};
pub use idx_file::{IdxFile, SlotRow};
pub use node::{Config, Node, VALUE_BYTES_TARGET};
pub use place::{Batch, Extent, Place, segment_of};
pub use readers::{corrupt, trimmed};
pub use recover::{DamagedFrame, Found, FoundFrame, FoundSegment, RecoverError};
pub use replies::reply;
pub use requests::command_of;
pub use segments::HOT_SEGMENTS;
pub use status::{Counters, Status};
pub use value::{Front, PlacedCommand, ValueError};
