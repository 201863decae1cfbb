//! The client's state machines, free of IO: the same code runs over QUIC in the client and over
//! simulated links in tests.
//!
//! Every machine is a [`Machine`]. Its owner opens the streams it asks for ([`Effect`]), tells it
//! what came of them, hands it time, and takes what it has to say: an [`Appender`] completes
//! appends, [`Commands`] and [`Queries`] complete calls, a [`Read`] and a [`Tail`] give records.
//!
//! What they promise:
//!
//! - every append, command and query ends exactly once, by its deadline;
//! - appends are applied in order, none twice and none left out before one that was acknowledged:
//!   a batch keeps its sequence until its receipt is there, whoever leads and however often it is
//!   sent again;
//! - a reader's position never goes back and never jumps but by a gap that it reports;
//! - an error says whether to try again and what is known of the effect.
//!
//! | module | is |
//! |---|---|
//! | [`Appender`] | packs records into batches, in order and idempotent |
//! | [`Commands`] | create, trim and seal, one after the other |
//! | [`Queries`] | check-tail, describe, list, status, retried |
//! | [`Read`], [`Tail`] | records of a range; records as they come, within credit |
//! | [`LeaderTracker`] | who leads, as far as anybody said |
//! | [`Compression`], [`decompress`] | batches made shorter by their producer; the codecs are this crate's features |

mod appender;
mod attempts;
mod backoff;
mod codec;
mod commands;
mod effect;
mod error;
mod leader;
mod link;
mod machine;
mod pieces;
mod pipeline;
mod position;
mod queries;
mod read;
mod rng;
mod tail;

pub use appender::{AppendEvent, Appender, AppenderConfig, NotTaken, Opened};
pub use codec::{Compression, decompress};
pub use commands::{Change, Command, CommandDone, Commands, CommandsConfig};
pub use effect::{Effect, Message, Outgoing, StreamId};
pub use error::{Error, account};
pub use leader::{LeaderTracker, Server};
pub use machine::{Machine, Nanos, Token};
pub use pieces::Piece;
pub use queries::{Consistency, Queries, QueriesConfig, QueryDone};
pub use read::{Read, ReadConfig, ReadOutput};
pub use tail::{Tail, TailConfig, TailOutput};
