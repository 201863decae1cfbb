//! Compression: of batches by their producer, and of what readers are given.
//!
//! The format is that of [`paxlog_wire::batch`]; the codecs are behind this crate's features `lz4` (on by default) and
//! `zstd`. Without its feature a codec is [off]: an appender that asks for it is refused, and so is a reader that comes
//! upon its batches.

#[cfg(feature = "lz4")]
mod lz4;
#[cfg(not(all(feature = "lz4", feature = "zstd")))]
mod off;
#[cfg(test)]
mod tests;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(not(feature = "lz4"))]
use off as lz4;
#[cfg(not(feature = "zstd"))]
use off as zstd;

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use paxlog_wire::Code;
use paxlog_wire::batch::{Batch, BatchBuilder, BatchError, BatchInfo, Codec, stored_section};

use crate::Error;

/// How a producer compresses its batches. A batch that would not become shorter is sent as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4: costs little on both sides.
    Lz4,
    /// Zstandard: makes batches shorter, and costs the producer more.
    Zstd {
        /// One of [`Compression::ZSTD_LEVELS`]. Whoever runs the appender is held up for as long as a batch takes, so
        /// high levels want a thread of their own, or small batches.
        level: i32,
    },
}

impl Compression {
    /// The levels of Zstandard, from fast to small.
    pub const ZSTD_LEVELS: RangeInclusive<i32> = 1..=22;

    /// Zstandard's own choice of a level.
    pub const ZSTD_LEVEL_DEFAULT: i32 = 3;
}

/// Compresses one batch after the other.
pub(crate) struct Compressor {
    packer: Packer,
    /// A section that is in several pieces, in one.
    joined: Vec<u8>,
    /// What becomes of it.
    room: Vec<u8>,
}

enum Packer {
    Lz4(lz4::Packer),
    Zstd(zstd::Packer),
}

impl Compressor {
    /// None where nothing is to be compressed.
    ///
    /// # Errors
    /// `Invalid` for a level that there is not, and for a codec that this build has not.
    pub(crate) fn new(compression: Compression) -> Result<Option<Compressor>, Error> {
        let (codec, level) = match compression {
            Compression::None => return Ok(None),
            Compression::Lz4 => (Codec::Lz4, 0),
            Compression::Zstd { level } => (Codec::Zstd, level),
        };
        let refused = |why: String| Error::new(Code::Invalid, why);
        if codec == Codec::Zstd && !Compression::ZSTD_LEVELS.contains(&level) {
            let (first, last) = Compression::ZSTD_LEVELS.into_inner();
            return Err(refused(format!(
                "zstd has no level {level}: take one from {first} to {last}"
            )));
        }
        let packer = available(codec).and_then(|()| match codec {
            Codec::Lz4 => lz4::Packer::new(level).map(Packer::Lz4),
            Codec::Zstd => zstd::Packer::new(level).map(Packer::Zstd),
        });
        let packer = packer.map_err(|error| refused(error.to_string()))?;
        Ok(Some(Compressor {
            packer,
            joined: Vec::new(),
            room: Vec::new(),
        }))
    }

    /// The batch, compressed if that makes it shorter; the builder is empty afterwards.
    ///
    /// # Errors
    /// `Empty` without a record.
    pub(crate) fn finish(&mut self, builder: &mut BatchBuilder) -> Result<Batch, BatchError> {
        let Compressor {
            packer,
            joined,
            room,
        } = self;
        let codec = match packer {
            Packer::Lz4(_) => Codec::Lz4,
            Packer::Zstd(_) => Codec::Zstd,
        };
        builder.finish_with(codec, |pieces| {
            let section = match pieces {
                [one] => one,
                many => {
                    joined.clear();
                    many.iter()
                        .for_each(|piece| joined.extend_from_slice(piece));
                    &joined[..]
                }
            };
            match packer {
                Packer::Lz4(packer) => packer.pack(section, room),
                Packer::Zstd(packer) => packer.pack(section, room),
            }
        })
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.packer {
            Packer::Lz4(_) => "Compressor(lz4)",
            Packer::Zstd(_) => "Compressor(zstd)",
        })
    }
}

/// The record section of a compressed batch, as its producer made it; `info` is what
/// [`batch::check`](paxlog_wire::batch::check) said of `parts`. Takes no more room than `info.record_bytes` for it, and
/// none but for the stored section where that spans parts. Hold the records against the header with
/// [`BatchView::of_section`](paxlog_wire::batch::BatchView::of_section), which also checks their length.
///
/// # Errors
/// `NoCodec` where the codec's feature is off, and `Undecodable` or `SectionLength` where the section is not what the
/// codec makes of so many bytes.
pub fn decompress(info: BatchInfo, parts: &[Bytes]) -> Result<Bytes, BatchError> {
    let stored = stored_section(parts);
    let Some(codec) = info.compression else {
        return Ok(stored);
    };
    available(codec)?;
    let section = match codec {
        Codec::Lz4 => lz4::unpack(&stored, info.record_bytes)?,
        Codec::Zstd => zstd::unpack(&stored, info.record_bytes)?,
    };
    if section.len() != info.record_bytes as usize {
        return Err(BatchError::SectionLength {
            bytes: section.len(),
            record_bytes: info.record_bytes,
        });
    }
    Ok(section.into())
}

/// Whether this build has it.
fn available(codec: Codec) -> Result<(), BatchError> {
    let there = match codec {
        Codec::Lz4 => cfg!(feature = "lz4"),
        Codec::Zstd => cfg!(feature = "zstd"),
    };
    there.then_some(()).ok_or(BatchError::NoCodec(codec))
}
