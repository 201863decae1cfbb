//! Messages of the client plane.
//!
//! A client opens one QUIC connection to a replica and on it streams of five sorts. The kind of a stream's first frame says
//! which sort it is; the control stream comes first.
//!
//! | stream | client sends | replica sends |
//! |---|---|---|
//! | control, one | [`ClientHello`], once | [`ControlEvent`]: `Hello` or `Refused`, then pushes |
//! | command, any number | [`CommandRequest`] (body: a batch, for an append) | [`CommandReply`], in order of completion |
//! | query, one each | [`QueryRequest`] | [`QueryReply`], then the stream ends |
//! | read, one each | [`ReadRequest`] | [`ReadEvent`]s (body of `Records`: batches), the last is `End` or `Refused` |
//! | tail, one each | [`TailRequest`], then [`Credit`]s | [`TailEvent`]s (body of `Records`: batches) |
//!
//! Offsets are u64 and ranges half-open; timestamps are nanoseconds since 1970; ids are the bare numbers of the replicated
//! state, since this crate does not know its types.

mod command;
mod hello;
mod query;
mod read;

pub use command::{
    CommandBody, CommandOutcome, CommandReply, CommandRequest, ConfigChange, Durability, Expected,
    LastOutcome, LastReceipt, LogConfig, Origin, Receipt,
};
pub use hello::{ClientHello, ControlEvent, PROTOCOL_MAX, PROTOCOL_MIN, ServerHello, ServerLimits};
pub use query::{
    Answer, Cursor, LogDescription, LogRef, MemberStatus, Query, QueryReply, QueryRequest,
    RoleStatus, Status, TailInfo,
};
pub use read::{
    BatchMeta, Credit, EndReason, ReadEvent, ReadFrom, ReadRequest, Started, TailEvent,
    TailRequest, split_batches,
};
