//! Frames: what every stream of both planes is made of.
//!
//! ```text
//! offset size
//!      0    1  version   1
//!      1    1  kind      which message the meta is (Kind)
//!      2    2  flags     (Flags), little-endian like all that follows
//!      4    4  meta_len  bytes of meta
//!      8    4  body_len  bytes of body
//!     12    4  crc       CRC32C of bytes 0..12 and the meta
//!     16       meta      one message, see `codec`
//!              body      raw bytes with checksums of their own: batches or values
//! ```
//!
//! A receiver holds the header against its [`FrameLimits`] before it allocates anything for the rest.
//!
//! ```
//! use paxlog_wire::client::ClientHello;
//! use paxlog_wire::{FrameDecoder, FrameEncoder, FrameLimits, decode};
//!
//! let mut encoder = FrameEncoder::new();
//! encoder.push(&ClientHello::new(7))?;
//!
//! let mut decoder = FrameDecoder::new(FrameLimits::FIRST);
//! for chunk in encoder.take() {
//!     decoder.push(chunk);
//! }
//! let frame = decoder.next_frame()?.expect("a whole frame came");
//! assert_eq!(decode::<ClientHello>(&frame)?, ClientHello::new(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod encoder;

use bytes::Bytes;

use crate::limits;

pub use decoder::{FrameDecoder, FrameError};
pub use encoder::FrameEncoder;

/// The version of the frame layout.
pub const FRAME_VERSION: u8 = 1;

/// The length of the fixed header, in bytes.
pub const HEADER_BYTES: usize = 16;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// Which message a frame carries. Numbers never change; those from 64 on belong to the replica plane.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Kind { $($(#[$doc])* $name = $number,)* }

        impl Kind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];

            /// The kind with this number, if this build knows it.
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Kind::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// [`ClientHello`](crate::client::ClientHello).
    ClientHello = 1,
    /// [`ControlEvent`](crate::client::ControlEvent).
    ControlEvent = 2,
    /// [`CommandRequest`](crate::client::CommandRequest); body: a batch, for an append.
    CommandRequest = 3,
    /// [`CommandReply`](crate::client::CommandReply).
    CommandReply = 4,
    /// [`QueryRequest`](crate::client::QueryRequest).
    QueryRequest = 5,
    /// [`QueryReply`](crate::client::QueryReply).
    QueryReply = 6,
    /// [`ReadRequest`](crate::client::ReadRequest).
    ReadRequest = 7,
    /// [`ReadEvent`](crate::client::ReadEvent); body: batches, for records.
    ReadEvent = 8,
    /// [`TailRequest`](crate::client::TailRequest).
    TailRequest = 9,
    /// [`Credit`](crate::client::Credit).
    Credit = 10,
    /// [`TailEvent`](crate::client::TailEvent); body: batches, for records.
    TailEvent = 11,
    /// [`ReplicaHello`](crate::replica::ReplicaHello).
    ReplicaHello = 64,
    /// [`ReplicaHelloReply`](crate::replica::ReplicaHelloReply).
    ReplicaHelloReply = 65,
    /// [`LinkOpen`](crate::replica::LinkOpen).
    LinkOpen = 66,
    /// A Paxos envelope; body: its values.
    Envelope = 67,
}

impl Kind {
    /// The kind's number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Bits that change how a frame is taken, whatever its message says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// No bit.
    pub const NONE: Flags = Flags(0);
    /// On a command stream: the client has seen the refusal and begins again from here.
    pub const RESUME: Flags = Flags(1);

    /// Whether every bit of `other` is set here.
    pub fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// One frame, as the decoder gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which message the meta is.
    pub kind: Kind,
    /// The header's flags.
    pub flags: Flags,
    /// The message, still encoded; its checksum held.
    pub meta: Bytes,
    /// The body in the pieces it came in, none empty; not checked.
    pub body: Vec<Bytes>,
}

impl Frame {
    /// The length of the body, in bytes.
    pub fn body_len(&self) -> usize {
        crate::parts::len(&self.body)
    }
}

/// What a receiver takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// The largest meta, in bytes.
    pub meta_bytes_max: usize,
    /// The largest body, in bytes.
    pub body_bytes_max: usize,
}

impl FrameLimits {
    /// The first frame of a stream, from whom it may come.
    pub const FIRST: Self = Self {
        meta_bytes_max: limits::FIRST_FRAME_BYTES_MAX,
        body_bytes_max: 0,
    };
    /// What clients send: commands with a batch.
    pub const FROM_CLIENT: Self = Self {
        meta_bytes_max: limits::META_BYTES_MAX,
        body_bytes_max: limits::BATCH_BYTES_MAX,
    };
    /// What replicas send to clients.
    pub const TO_CLIENT: Self = Self {
        meta_bytes_max: limits::LIST_META_BYTES_MAX,
        body_bytes_max: limits::BODY_BYTES_MAX,
    };
    /// What replicas send each other.
    pub const REPLICA: Self = Self {
        meta_bytes_max: limits::LIST_META_BYTES_MAX,
        body_bytes_max: limits::BODY_BYTES_MAX,
    };
}
