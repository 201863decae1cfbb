//! Paxos envelopes as frames: the meta is everything but the value's bytes, the body is the value, uncopied.

use bytes::Bytes;
use paxlog_paxos::Envelope;

use crate::codec::{
    DecodeError, EncodeError, decode_envelope_meta, encode_envelope_meta, value_parts,
};
use crate::frame::{Flags, Frame, FrameEncoder, Kind};
use crate::limits;

impl FrameEncoder {
    /// Adds an envelope; large parts of its value are passed on as they are.
    ///
    /// # Errors
    /// When the receiver would refuse it; nothing was added.
    pub fn push_envelope(&mut self, envelope: &Envelope) -> Result<(), EncodeError> {
        self.push_frame(
            Kind::Envelope,
            limits::LIST_META_BYTES_MAX,
            Flags::NONE,
            |out| encode_envelope_meta(envelope, out),
            value_parts(&envelope.message),
        )
    }
}

/// One envelope as the chunks of a frame.
///
/// # Errors
/// When the receiver would refuse it.
pub fn encode_envelope(envelope: &Envelope) -> Result<Vec<Bytes>, EncodeError> {
    let mut encoder = FrameEncoder::new();
    encoder.push_envelope(envelope)?;
    Ok(encoder.take())
}

/// The envelope of a frame. A value keeps the parts of the frame's body; its checksum was held against the meta.
///
/// # Errors
/// When the frame is of another kind, its meta is not exactly one envelope, or the body is not the value.
pub fn decode_envelope(frame: Frame) -> Result<Envelope, DecodeError> {
    if frame.kind != Kind::Envelope {
        return Err(DecodeError::Kind {
            expected: Kind::Envelope,
            found: frame.kind,
        });
    }
    decode_envelope_meta(&frame.meta, frame.body)
}
