//! Zstandard frames, by the C library.

use paxlog_wire::batch::{BatchError, Codec};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, DCtx};

/// Compresses, with its context kept from one section to the next.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new(level: i32) -> Result<Packer, BatchError> {
        // The level is one of zstd's, so it is nothing else.
        let compressor = Compressor::new(level).map_err(|_| undecodable(NO_MEMORY))?;
        Ok(Packer(compressor))
    }

    /// `section` compressed, in `room`; none if that is not shorter.
    pub(super) fn pack<'r>(&mut self, section: &[u8], room: &'r mut Vec<u8>) -> Option<&'r [u8]> {
        room.clear();
        // What it cannot put into less than the section has, it gives up.
        room.reserve(section.len());
        let len = self.0.compress_to_buffer(section, room).ok()?;
        room.get(..len)
    }
}

/// What is compressed in `stored`: at most `record_bytes`, and never more room than that; the library decompresses into
/// the room itself, whatever window the frame asks for.
pub(super) fn unpack(stored: &[u8], record_bytes: u32) -> Result<Vec<u8>, BatchError> {
    let said = |code| undecodable(zstd_safe::get_error_name(code));
    let frame = zstd_safe::find_frame_compressed_size(stored).map_err(said)?;
    if frame != stored.len() {
        // The library would go on with the next frame.
        return Err(undecodable("there is more behind its frame"));
    }
    // Some microseconds each time, and then nothing is kept between batches.
    let mut context = DCtx::try_create().ok_or_else(|| undecodable(NO_MEMORY))?;
    let mut section = Vec::with_capacity(record_bytes as usize);
    context.decompress(&mut section, stored).map_err(said)?;
    Ok(section)
}

fn undecodable(why: &'static str) -> BatchError {
    BatchError::Undecodable {
        codec: Codec::Zstd,
        why,
    }
}

const NO_MEMORY: &str = "there is no memory for it";
