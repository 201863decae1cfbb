//! Taking frames apart: chunks in, split anywhere; frames out.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::frame::{FRAME_VERSION, Flags, Frame, FrameLimits, HEADER_BYTES, Kind};

/// Pieces of a body below this length are copied together, so that a peer that sends a byte at a time does not make us keep a
/// datagram's buffer for each.
const PIECE_BYTES_MIN: usize = 512;

/// Why a stream is not one of frames; it cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first byte is no version of ours: perhaps not this protocol at all.
    #[error("frame version {0} is not one this build speaks")]
    Version(u8),
    /// No message has this number.
    #[error("frame kind {0} is not one this build knows")]
    Kind(u8),
    /// The header announces more meta than is taken here.
    #[error("a {kind:?} frame announces {bytes} bytes of meta, over the limit of {max}")]
    MetaTooLarge {
        /// The announced kind.
        kind: Kind,
        /// The announced length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The header announces more body than is taken here.
    #[error("a {kind:?} frame announces {bytes} bytes of body, over the limit of {max}")]
    BodyTooLarge {
        /// The announced kind.
        kind: Kind,
        /// The announced length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Header and meta do not match their checksum.
    #[error("a {kind:?} frame does not match its checksum")]
    Checksum {
        /// The announced kind.
        kind: Kind,
    },
    /// The stream ended within a frame.
    #[error("the stream ended within a frame")]
    Truncated,
}

/// Takes chunks and gives frames; bodies as slices of the chunks.
///
/// Call [`push`](Self::push) with what was read and [`next_frame`](Self::next_frame) until it gives none. After an error it
/// gives the same error for ever.
#[derive(Debug)]
pub struct FrameDecoder {
    limits: FrameLimits,
    /// Read, but not consumed; none empty.
    chunks: VecDeque<Bytes>,
    state: State,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; HEADER_BYTES],
        filled: usize,
    },
    Meta {
        header: Header,
        gathered: BytesMut,
    },
    Body {
        header: Header,
        meta: Bytes,
        body: Body,
    },
    Broken(FrameError),
}

#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    flags: Flags,
    meta_len: usize,
    body_len: usize,
    crc: u32,
    /// CRC32C of the header's own part.
    crc_head: u32,
}

#[derive(Debug, Default)]
struct Body {
    parts: Vec<Bytes>,
    /// Small pieces, to become the next part.
    small: BytesMut,
    len: usize,
}

impl FrameDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new(limits: FrameLimits) -> Self {
        Self {
            limits,
            chunks: VecDeque::new(),
            state: State::start(),
        }
    }

    /// Changes what is taken from the next header on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Takes what was read.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() && !matches!(self.state, State::Broken(_)) {
            self.chunks.push_back(chunk);
        }
    }

    /// The next frame; none until more was read.
    ///
    /// # Errors
    /// When the bytes are not frames within the limits. The stream cannot be made sense of any more.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match &mut self.state {
                State::Header { bytes, filled } => {
                    while *filled < HEADER_BYTES {
                        let Some(piece) = take_up_to(&mut self.chunks, HEADER_BYTES - *filled)
                        else {
                            return Ok(None);
                        };
                        bytes[*filled..*filled + piece.len()].copy_from_slice(&piece);
                        *filled += piece.len();
                    }
                    match Header::parse(bytes, &self.limits) {
                        Ok(header) => {
                            self.state = State::Meta {
                                header,
                                gathered: BytesMut::new(),
                            }
                        }
                        Err(error) => return Err(self.break_with(error)),
                    }
                }
                State::Meta { header, gathered } => {
                    let header = *header;
                    let Some(meta) = gather(&mut self.chunks, gathered, header.meta_len) else {
                        return Ok(None);
                    };
                    if crc32c::crc32c_append(header.crc_head, &meta) != header.crc {
                        return Err(self.break_with(FrameError::Checksum { kind: header.kind }));
                    }
                    self.state = State::Body {
                        header,
                        meta,
                        body: Body::default(),
                    };
                }
                State::Body { header, meta, body } => {
                    while body.len < header.body_len {
                        let Some(piece) = take_up_to(&mut self.chunks, header.body_len - body.len)
                        else {
                            return Ok(None);
                        };
                        body.push(piece);
                    }
                    let frame = Frame {
                        kind: header.kind,
                        flags: header.flags,
                        meta: std::mem::take(meta),
                        body: std::mem::take(body).finish(),
                    };
                    self.state = State::start();
                    return Ok(Some(frame));
                }
                State::Broken(error) => return Err(*error),
            }
        }
    }

    /// Whether the stream may end here: between two frames.
    pub fn at_boundary(&self) -> bool {
        self.chunks.is_empty() && matches!(self.state, State::Header { filled: 0, .. })
    }

    /// Says that the stream ended.
    ///
    /// # Errors
    /// When it ended within a frame, or was broken before.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.state {
            State::Broken(error) => Err(error),
            _ if self.at_boundary() => Ok(()),
            _ => Err(FrameError::Truncated),
        }
    }

    fn break_with(&mut self, error: FrameError) -> FrameError {
        self.state = State::Broken(error);
        self.chunks.clear();
        error
    }
}

impl State {
    fn start() -> Self {
        State::Header {
            bytes: [0; HEADER_BYTES],
            filled: 0,
        }
    }
}

impl Header {
    fn parse(bytes: &[u8; HEADER_BYTES], limits: &FrameLimits) -> Result<Self, FrameError> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if bytes[0] != FRAME_VERSION {
            return Err(FrameError::Version(bytes[0]));
        }
        let kind = Kind::from_number(bytes[1]).ok_or(FrameError::Kind(bytes[1]))?;
        let (meta_len, body_len) = (u32_at(4) as usize, u32_at(8) as usize);
        if meta_len > limits.meta_bytes_max {
            return Err(FrameError::MetaTooLarge {
                kind,
                bytes: meta_len,
                max: limits.meta_bytes_max,
            });
        }
        if body_len > limits.body_bytes_max {
            return Err(FrameError::BodyTooLarge {
                kind,
                bytes: body_len,
                max: limits.body_bytes_max,
            });
        }
        Ok(Self {
            kind,
            flags: Flags(u16::from_le_bytes([bytes[2], bytes[3]])),
            meta_len,
            body_len,
            crc: u32_at(12),
            crc_head: crc32c::crc32c(&bytes[..12]),
        })
    }
}

impl Body {
    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() < PIECE_BYTES_MIN {
            self.small.extend_from_slice(&piece);
            return;
        }
        self.close_small();
        self.parts.push(piece);
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.parts.push(self.small.split().freeze());
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.close_small();
        self.parts
    }
}

/// The rest of the first chunk, or its first `n` bytes; none if there is no chunk.
fn take_up_to(chunks: &mut VecDeque<Bytes>, n: usize) -> Option<Bytes> {
    let chunk = chunks.front_mut()?;
    if chunk.len() > n {
        Some(chunk.split_to(n))
    } else {
        chunks.pop_front()
    }
}

/// Exactly `n` bytes as one, without copying if a chunk holds them all. What is gathered grows with what came, not with what
/// was announced.
fn gather(chunks: &mut VecDeque<Bytes>, gathered: &mut BytesMut, n: usize) -> Option<Bytes> {
    loop {
        let missing = n - gathered.len();
        if missing == 0 {
            return Some(gathered.split().freeze());
        }
        let piece = take_up_to(chunks, missing)?;
        if piece.len() == n {
            return Some(piece);
        }
        gathered.extend_from_slice(&piece);
    }
}
