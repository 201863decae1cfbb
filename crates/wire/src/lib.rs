//! What travels: frames, the messages of both planes, the batch format and their limits.
//!
//! Everything on a stream is a [`frame`]: a fixed header that is checked before anything is allocated, a small *meta* (one
//! message, encoded in [`codec`]) and a raw *body* that is never decoded, joined or copied. On the client plane the body is
//! made of [`batch`]es as the producer built them; on the replica plane it is the values of Paxos messages.
//!
//! | module | is |
//! |---|---|
//! | [`frame`] | header, encoder, and a decoder over chunks split anywhere |
//! | [`batch`] | the records of one append: building, checking, reading |
//! | [`client`] | messages between clients and replicas, stream by stream |
//! | [`replica`] | messages between replicas: hello and Paxos envelopes |
//! | [`error`] | the stable error codes, and what each means for a retry |
//! | [`limits`] | every bound, in one place |
//! | [`parts`] | byte strings in pieces |
//! | [`codec`] | the one place that knows bincode |

pub mod batch;
pub mod client;
pub mod codec;
pub mod error;
pub mod frame;
pub mod limits;
pub mod parts;
pub mod replica;

pub use codec::{DecodeError, EncodeError, Message, decode, encode};
pub use error::{Code, LeaderHint, OutcomeFact, Retry, WireError};
pub use frame::{Flags, Frame, FrameDecoder, FrameEncoder, FrameError, FrameLimits, Kind};
