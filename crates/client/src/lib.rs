//! The Rust client of Paxlog: a pipelined, idempotent appender, readers, tails and administration.
//!
//! Begin with [`Client::connect`]. Every call has a deadline (10 s where none is named), and ends with a
//! result or an [`Error`] that says whether to try again and what is known of the effect; the client itself
//! retries, and follows the leader, until the deadline.

mod appender;
mod client;
mod commands;
mod driver;
mod pool;
mod profile;
mod random;
mod reader;
mod tail;
mod types;

pub use appender::{Appender, Completion, Pending};
pub use client::{Client, DEADLINE};
pub use paxlog_session::{Compression, Error, Opened};
pub use paxlog_wire::batch::Record;
pub use paxlog_wire::client::{
    ConfigChange, Cursor, Durability, Expected, LastOutcome, LastReceipt, LogConfig,
    LogDescription, MemberStatus, ReadFrom as From, Receipt, RoleStatus, Status, TailInfo,
};
pub use paxlog_wire::{Code, LeaderHint, OutcomeFact, Retry, limits};
pub use profile::{PROFILE_SAMPLE, Profile, ProfileError};
pub use reader::Reader;
pub use tail::Tail;
pub use types::{
    AppendOptions, AppenderOptions, Batch, Changed, Consistency, CreateOptions, Created,
    CursorPage, Fenced, LogPage, ReadOptions, Sealed, StoredRecord, Summary, TailEvent,
    TailOptions, Trimmed,
};
