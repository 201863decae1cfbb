//! The Rust client of Paxlog: a pipelined, idempotent appender, readers, tails, cursors and administration.
//!
//! ```no_run
//! use paxlog_client::{Client, From, Profile, ReadOptions, Record};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Where the cluster is and who we are there: `paxlog dev` and `paxlog certs issue --client` write profiles.
//! let client = Client::connect(Profile::find()?).await?;
//!
//! // When this returns, the record is on disk on a majority of the replicas.
//! let receipt = client.append("notes", vec![Record::new("hello")]).await?;
//!
//! let from = From::Offset(receipt.start);
//! let mut reader = client.read("notes", from, ReadOptions::default()).await?;
//! while let Some(batch) = reader.next_batch().await? {
//!     for stored in batch.records() {
//!         println!("{}: {:?}", stored.offset, stored.record.payload);
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps a warm connection to every replica; clones share them. Make one a process. It needs a tokio runtime
//! with IO and time enabled, of any flavour.
//!
//! # What to use for what
//!
//! | task | call | example, in `crates/client/examples` |
//! |---|---|---|
//! | append much, fast | [`Client::appender`], [`Appender::append`] | `produce` |
//! | append now and then | [`Client::append`] | |
//! | read what is there | [`Client::read`] | `conditional` |
//! | follow what comes | [`Client::tail`] | `tail` |
//! | decide on what is there, and append only if it still is so | [`Client::append_with`], [`Appender::append_at`] | `conditional` |
//! | shut out a former writer | [`AppenderOptions::producer`], or [`Client::fence`] | `exactly_once` |
//! | remember how far a reader is | [`Client::cursor`], [`Client::set_cursor`] | `exactly_once` |
//! | from one log to another, exactly once | all of these | `exactly_once` |
//! | the replicas in one's own process | `paxlog_server::Replica` | `embedded` |
//!
//! # How calls end
//!
//! Every call has a deadline: [`DEADLINE`], or [`Client::with_deadline`], or [`AppenderOptions::deadline`]. Until then the
//! client itself retries and follows the leader. What remains is a result, or an [`Error`] with a stable [`Code`], a
//! sentence for people, and two facts to act on: [`Error::retry`], and for what changes something [`Error::outcome`]:
//!
//! - [`OutcomeFact::NotApplied`]: it did not happen, and never will.
//! - [`OutcomeFact::Unknown`]: the deadline came before anybody could say. It may have happened, it may still happen.
//!
//! What is unknown is settled in one of two ways, which are also how a program goes on after a crash:
//!
//! - *By name.* Give the appender a name ([`AppenderOptions::producer`]) and open that name again. From then on nothing
//!   of its former openings is applied any more, and [`Opened::last`] in [`Appender::opened`] has the receipt of the last
//!   append of them that was: its offsets say how far they got. What was taken behind it did not happen.
//! - *By place.* An append at an expected tail ([`Appender::append_at`], [`AppendOptions::if_tail`]) can stand at one
//!   offset alone. Read there: it is ours, or another's and ours never will be, or the log still ends there and the same
//!   append may be tried again: at most one of the two is applied.
//!
//! Within one appender none of this is needed: it sends the same append under the same number until it has its receipt,
//! so a retry is never a second append ([`Receipt::duplicate`] says that it was there already).
//!
//! # Who may append
//!
//! Three conditions, decided where the append is ordered, not when it is sent:
//!
//! - *Producer names* shut out a former run of the same program: an appender whose name was opened again elsewhere ends
//!   with [`Code::Fenced`], for good, and [`Error::found`] has the newer epoch. The cluster remembers 10,000 producers and
//!   forgets the one used least recently, so for one that was away for long [`Opened::last`] may be none.
//! - *Fences* shut out every writer that does not know the token: after [`Client::fence`] returned tail *t*, everything
//!   in the log from *t* on was appended under that token ([`AppenderOptions::fence`]), until the fence is set again. The
//!   others' appends end with [`Code::Fenced`], and [`Error::found`] is none; their appenders may go on under the new one
//!   when they are opened anew. Compare-and-set ([`Expected`]) elects one of several who want to take over.
//! - *Expected tails* shut out everybody who has not seen the last record: [`Code::TailMismatch`] with the real tail in
//!   [`Error::tail`].
//!
//! A refused append ends every append that was taken behind it before the refusal was told, with the same error: what
//! stands in a log has no holes. The appender itself goes on, unless it was shut out by its name.

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
    LogDescription, MemberStatus, ReadFrom as From, Receipt, RoleStatus, Started, Status, TailInfo,
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
