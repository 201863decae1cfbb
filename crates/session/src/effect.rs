//! What a machine asks its owner to do.

use bytes::Bytes;
use paxlog_wire::client::{CommandRequest, Credit, QueryRequest, ReadRequest, TailRequest};
use paxlog_wire::{EncodeError, Flags, FrameEncoder};

use crate::Server;

/// One stream of one machine; never used again by that machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a bidirectional stream to that server, connecting if need be; then call
    /// [`handle_up`](crate::Machine::handle_up) or [`handle_down`](crate::Machine::handle_down).
    Open {
        /// The machine's name for it.
        stream: StreamId,
        /// To whom.
        server: Server,
    },
    /// Send a frame on a stream that is up. Frames of one stream keep their order.
    Send {
        /// On which stream.
        stream: StreamId,
        /// The frame.
        frame: Outgoing,
    },
    /// Give the stream up (reset both halves, or stop opening it); tell nothing about it any more.
    Close {
        /// Which stream.
        stream: StreamId,
    },
}

/// A frame to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Outgoing {
    /// Its meta.
    pub message: Message,
    /// Its flags.
    pub flags: Flags,
    /// Its body, in parts.
    pub body: Vec<Bytes>,
}

/// The messages that clients send after the hello.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// On a command stream.
    Command(CommandRequest),
    /// On a query stream, once.
    Query(QueryRequest),
    /// On a read stream, once.
    Read(ReadRequest),
    /// On a tail stream, once.
    Tail(TailRequest),
    /// On a tail stream, later.
    Credit(Credit),
}

impl Outgoing {
    pub(crate) fn new(message: Message) -> Outgoing {
        Outgoing {
            message,
            flags: Flags::NONE,
            body: Vec::new(),
        }
    }

    /// Adds the frame to an encoder.
    ///
    /// # Errors
    /// When it is over a limit; nothing was added. The machines send nothing that is.
    pub fn encode(&self, encoder: &mut FrameEncoder) -> Result<(), EncodeError> {
        match &self.message {
            Message::Command(message) => encoder.push_with(message, self.flags, &self.body),
            Message::Query(message) => encoder.push_with(message, self.flags, &self.body),
            Message::Read(message) => encoder.push_with(message, self.flags, &self.body),
            Message::Tail(message) => encoder.push_with(message, self.flags, &self.body),
            Message::Credit(message) => encoder.push_with(message, self.flags, &self.body),
        }
    }
}
