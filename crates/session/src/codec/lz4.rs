//! LZ4 blocks, in safe Rust.

use lz4_flex::block::{self, CompressTable, DecompressError};
use paxlog_wire::batch::{BatchError, Codec};

/// Compresses, with its hash table kept from one section to the next.
#[derive(Default)]
pub(super) struct Packer(CompressTable);

impl Packer {
    /// The block format has no levels.
    pub(super) fn new(_level: i32) -> Result<Packer, BatchError> {
        Ok(Packer::default())
    }

    /// `section` compressed, at the beginning of `room`; none if that is not shorter.
    pub(super) fn pack<'r>(&mut self, section: &[u8], room: &'r mut Vec<u8>) -> Option<&'r [u8]> {
        // The worst case has to fit, or it refuses to begin. Never shrunk, so zeroed once.
        let most = block::get_maximum_output_size(section.len());
        if room.len() < most {
            room.resize(most, 0);
        }
        let len = block::compress_into_with_table(section, room, &mut self.0).ok()?;
        room.get(..len)
    }
}

/// What is compressed in `stored`: exactly `record_bytes`, and never more room than that.
pub(super) fn unpack(stored: &[u8], record_bytes: u32) -> Result<Vec<u8>, BatchError> {
    let mut section = vec![0; record_bytes as usize];
    let len =
        block::decompress_into(stored, &mut section).map_err(|why| BatchError::Undecodable {
            codec: Codec::Lz4,
            why: match why {
                DecompressError::OutputTooSmall { .. } => "it holds more than its header says",
                DecompressError::LiteralOutOfBounds | DecompressError::ExpectedAnotherByte => {
                    "it is cut short"
                }
                DecompressError::OffsetZero | DecompressError::OffsetOutOfBounds => {
                    "it repeats what is not there"
                }
                _ => "it is no block",
            },
        })?;
    section.truncate(len);
    Ok(section)
}
