//! Making frames: many into one list of chunks.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{self, EncodeError, Message};
use crate::frame::{FRAME_VERSION, Flags, HEADER_BYTES, Kind};
use crate::{limits, parts};

/// What a head takes, but rarely.
const HEAD_BYTES: usize = 256;
/// Room that is made for heads, and for the small parts of bodies, at once.
const BLOCK_BYTES: usize = 16 << 10;
/// Parts of bodies below this are copied. To copy a kilobyte costs less than what each further chunk costs: quinn walks
/// over all that are not acknowledged, for each piece of each packet.
const COPIED_BYTES_MAX: usize = 2 << 10;

/// Collects frames, and gives them out as chunks for one write.
///
/// Headers, metas and small bodies share a buffer that is cut only where a large part of a body comes between, so a turn's
/// small frames make few chunks; large parts are passed on as they are. The buffer is used again once the chunks cut from
/// it are gone.
#[derive(Debug, Default)]
pub struct FrameEncoder {
    /// The tail of the output, which no large part has closed yet.
    heads: BytesMut,
    chunks: Vec<Bytes>,
    bytes: usize,
}

impl FrameEncoder {
    /// An empty encoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame without a body.
    ///
    /// # Errors
    /// When the receiver would refuse it; nothing was added.
    pub fn push<M: Message>(&mut self, message: &M) -> Result<(), EncodeError> {
        self.push_with(message, Flags::NONE, &[])
    }

    /// Adds a frame.
    ///
    /// # Errors
    /// When the receiver would refuse it; nothing was added.
    pub fn push_with<M: Message>(
        &mut self,
        message: &M,
        flags: Flags,
        body: &[Bytes],
    ) -> Result<(), EncodeError> {
        self.push_frame(
            M::KIND,
            M::META_MAX,
            flags,
            |out| codec::encode_into(message, out),
            body,
        )
    }

    /// Adds a frame whose meta `write_meta` appends to the buffer.
    pub(crate) fn push_frame(
        &mut self,
        kind: Kind,
        meta_max: usize,
        flags: Flags,
        write_meta: impl FnOnce(&mut BytesMut),
        body: &[Bytes],
    ) -> Result<(), EncodeError> {
        let body_len = parts::len(body);
        if body_len > limits::BODY_BYTES_MAX {
            return Err(EncodeError::BodyTooLarge {
                kind,
                bytes: body_len,
            });
        }
        // A meta is written a few bytes at a time: without room each would grow the buffer.
        self.make_room(HEAD_BYTES);
        let start = self.heads.len();
        self.heads.put_bytes(0, HEADER_BYTES);
        write_meta(&mut self.heads);
        let meta_len = self.heads.len() - start - HEADER_BYTES;
        if meta_len > meta_max {
            self.heads.truncate(start);
            return Err(EncodeError::MetaTooLarge {
                kind,
                bytes: meta_len,
                max: meta_max,
            });
        }
        let (header, meta) = self.heads[start..].split_at_mut(HEADER_BYTES);
        header[0] = FRAME_VERSION;
        header[1] = kind.number();
        header[2..4].copy_from_slice(&flags.0.to_le_bytes());
        header[4..8].copy_from_slice(&(meta_len as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(body_len as u32).to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), meta);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
        for part in body.iter().filter(|part| !part.is_empty()) {
            if part.len() < COPIED_BYTES_MAX {
                self.make_room(part.len());
                self.heads.put_slice(part);
            } else {
                self.cut();
                self.chunks.push(part.clone());
            }
        }
        self.bytes += HEADER_BYTES + meta_len + body_len;
        Ok(())
    }

    /// Room for so many bytes behind the tail; in a new buffer where the tail's has none, since to grow is to copy it all.
    fn make_room(&mut self, bytes: usize) {
        if self.heads.capacity() - self.heads.len() < bytes {
            self.cut();
            self.heads.reserve(BLOCK_BYTES);
        }
    }

    /// Closes the tail.
    fn cut(&mut self) {
        if !self.heads.is_empty() {
            self.chunks.push(self.heads.split().freeze());
        }
    }

    /// The bytes that wait in here.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits in here.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// All frames so far as chunks, none empty; the encoder is empty afterwards.
    pub fn take(&mut self) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        self.take_into(&mut chunks);
        chunks
    }

    /// Appends all frames so far to `chunks`; the encoder is empty afterwards.
    pub fn take_into(&mut self, chunks: &mut Vec<Bytes>) {
        self.cut();
        chunks.append(&mut self.chunks);
        self.bytes = 0;
    }
}
