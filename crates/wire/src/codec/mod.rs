//! The one place that knows bincode.
//!
//! bincode is unmaintained, so it is pinned, fenced in here, and its bytes are pinned: those of the client plane by
//! `docs/protocol-vectors.json`, those of the replica plane by golden files in `tests/golden`. A successor that writes the
//! same bytes can take its place. The configuration is bincode 1's (little-endian, fixed integers, u32 variant numbers, u64
//! lengths), which `docs/protocol.md` tells to those who have no bincode. Decoding has a limit in proportion to the input, so that a length that lies cannot make
//! it allocate; bytes left over are an error. Only metas pass through here, never payloads.

mod mirror;

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bytes::{BufMut, Bytes, BytesMut};
use paxlog_paxos::{Envelope, Message as PaxosMessage};

use crate::client::{
    ClientHello, CommandReply, CommandRequest, ControlEvent, Credit, QueryReply, QueryRequest,
    ReadEvent, ReadRequest, TailEvent, TailRequest,
};
use crate::error::Code;
use crate::frame::{Frame, Kind};
use crate::limits;
use crate::replica::{LinkOpen, ReplicaHello, ReplicaHelloReply};

pub(crate) use bincode::{Decode, Encode};

/// A message that is the meta of a frame.
pub trait Message: Encode + Decode<()> {
    /// The kind of its frames.
    const KIND: Kind;
    /// The largest meta that it may have, in bytes.
    const META_MAX: usize = limits::META_BYTES_MAX;
}

macro_rules! messages {
    ($($message:ty => $kind:ident $(, $max:expr)?;)*) => {
        $(impl Message for $message {
            const KIND: Kind = Kind::$kind;
            $(const META_MAX: usize = $max;)?
        })*
    };
}

messages! {
    ClientHello => ClientHello, limits::FIRST_FRAME_BYTES_MAX;
    ControlEvent => ControlEvent;
    CommandRequest => CommandRequest;
    CommandReply => CommandReply;
    QueryRequest => QueryRequest;
    QueryReply => QueryReply, limits::LIST_META_BYTES_MAX;
    ReadRequest => ReadRequest;
    ReadEvent => ReadEvent;
    TailRequest => TailRequest;
    Credit => Credit;
    TailEvent => TailEvent;
    ReplicaHello => ReplicaHello, limits::FIRST_FRAME_BYTES_MAX;
    ReplicaHelloReply => ReplicaHelloReply, limits::FIRST_FRAME_BYTES_MAX;
    LinkOpen => LinkOpen, limits::FIRST_FRAME_BYTES_MAX;
}

/// Why a frame is not the message it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Another kind of message was due here.
    #[error("a frame of kind {found:?} came where {expected:?} was due")]
    Kind {
        /// The kind that was due.
        expected: Kind,
        /// The kind that came.
        found: Kind,
    },
    /// The bytes are not such a message.
    #[error("malformed {kind:?} message: {why}")]
    Malformed {
        /// The kind of the frame.
        kind: Kind,
        /// What is wrong, for people.
        why: String,
    },
    /// The message is over its limit.
    #[error("a {kind:?} message of {bytes} bytes is over its limit of {max}")]
    TooLarge {
        /// The kind of the frame.
        kind: Kind,
        /// The length of the meta.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The lengths in the message do not add up to the length of the body.
    #[error("the lengths in a message do not add up to its body")]
    BodyLength,
    /// A value in the body does not match the checksum in the message.
    #[error("a value does not match its checksum")]
    Checksum,
}

/// Why a message cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Its meta would be refused by the receiver.
    #[error("a {kind:?} message of {bytes} bytes is over its limit of {max}")]
    MetaTooLarge {
        /// The kind of the frame.
        kind: Kind,
        /// The length of the meta.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Its body would be refused by the receiver.
    #[error(
        "a {kind:?} message with a body of {bytes} bytes is over the limit of {}",
        limits::BODY_BYTES_MAX
    )]
    BodyTooLarge {
        /// The kind of the frame.
        kind: Kind,
        /// The length of the body.
        bytes: usize,
    },
}

/// The meta of a message, on its own. Frames are made by [`FrameEncoder`](crate::FrameEncoder).
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_into(message, &mut out);
    out.into()
}

/// The message of a frame. The body is not looked at.
///
/// # Errors
/// When the frame is of another kind, or its meta is not exactly one such message.
pub fn decode<M: Message>(frame: &Frame) -> Result<M, DecodeError> {
    if frame.kind != M::KIND {
        return Err(DecodeError::Kind {
            expected: M::KIND,
            found: frame.kind,
        });
    }
    decode_exactly(&frame.meta, M::KIND, M::META_MAX, ())
}

/// Appends the message to `out`.
pub(crate) fn encode_into<M: Encode>(message: &M, out: &mut BytesMut) {
    bincode::encode_into_writer(message, Sink(out), bincode::config::legacy())
        .expect("plain types encode, and memory takes what is written");
}

/// Appends an envelope's meta to `out`.
pub(crate) fn encode_envelope_meta(envelope: &Envelope, out: &mut BytesMut) {
    encode_into(&mirror::Put(envelope), out);
}

/// The body that goes with an envelope's meta.
pub(crate) fn value_parts(message: &PaxosMessage) -> &[Bytes] {
    mirror::value_of(message).map_or(&[], |value| value.parts())
}

/// Decodes exactly an envelope; the body becomes its value.
pub(crate) fn decode_envelope_meta(meta: &[u8], body: Vec<Bytes>) -> Result<Envelope, DecodeError> {
    let mut parts = Some(body);
    let mut damaged = false;
    let context = mirror::Body {
        parts: &mut parts,
        damaged: &mut damaged,
    };
    let decoded = decode_exactly::<_, mirror::Taken>(
        meta,
        Kind::Envelope,
        limits::LIST_META_BYTES_MAX,
        context,
    );
    if damaged {
        return Err(DecodeError::Checksum);
    }
    let mirror::Taken(envelope) = decoded?;
    if parts.is_some_and(|left| !left.is_empty()) {
        return Err(DecodeError::BodyLength);
    }
    Ok(envelope)
}

/// Decodes exactly `meta`. A list is allocated only if its claimed size in memory fits the limit, which is in proportion to
/// the input: elements are at most a few times larger in memory than on the wire.
fn decode_exactly<C, M: Decode<C>>(
    meta: &[u8],
    kind: Kind,
    max: usize,
    context: C,
) -> Result<M, DecodeError> {
    if meta.len() > max {
        return Err(DecodeError::TooLarge {
            kind,
            bytes: meta.len(),
            max,
        });
    }
    let decoded = match meta.len() {
        0..=1_024 => {
            bincode::decode_from_slice_with_context(meta, limited::<{ 16 << 10 }>(), context)
        }
        1_025..=65_536 => {
            bincode::decode_from_slice_with_context(meta, limited::<{ 1 << 20 }>(), context)
        }
        _ => bincode::decode_from_slice_with_context(meta, limited::<{ 16 << 20 }>(), context),
    };
    match decoded {
        Ok((message, used)) if used == meta.len() => Ok(message),
        Ok((_, used)) => Err(DecodeError::Malformed {
            kind,
            why: format!("{} bytes left over", meta.len() - used),
        }),
        Err(error) => Err(DecodeError::Malformed {
            kind,
            why: error.to_string(),
        }),
    }
}

fn limited<const N: usize>() -> Configuration<LittleEndian, Fixint, Limit<N>> {
    bincode::config::legacy().with_limit::<N>()
}

struct Sink<'a>(&'a mut BytesMut);

impl Writer for Sink<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.put_slice(bytes);
        Ok(())
    }
}

impl Encode for Code {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        self.number().encode(encoder)
    }
}

impl<C> Decode<C> for Code {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let number = u16::decode(decoder)?;
        Code::from_number(number).ok_or_else(|| {
            bincode::error::DecodeError::OtherString(format!("no error has the number {number}"))
        })
    }
}

bincode::impl_borrow_decode!(Code);
