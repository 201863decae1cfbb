//! The write-ahead log of a replica in the core's terms.
//!
//! The core ([`paxlog_node`]) knows positions and slots but no files, the log
//! ([`paxlog_wal`]) files but no slots. This crate is the seam: it opens the one
//! and gathers what the other recovers from ([`found`]), and carries out the
//! core's slow effects, each a plain function that blocks on the disk: the
//! server calls them on threads of their own, a simulator as events.

mod open;
mod reads;
mod writes;

pub use open::{OpenError, found, open};
pub use reads::{ColdRange, ReadBatch, batches_at, cold, entry_at, find_time};
pub use writes::{annotate, checkpoint, retire};
