//! Zstandard frames, by the C library.

use paxlog_wire::batch::{BatchError, Codec};
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

/// Compresses, with its context kept from one section to the next.
pub(super) struct Packer(Compressor<'static>);

impl Packer {
    pub(super) fn new(level: i32) -> Result<Packer, BatchError> {
        let compressor = Compressor::new(level).map_err(|error| undecodable(error.to_string()))?;
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
    let frame = zstd_safe::find_frame_compressed_size(stored)
        .map_err(|code| undecodable(zstd_safe::get_error_name(code)))?;
    if frame != stored.len() {
        // The library would go on with the next frame.
        return Err(undecodable("there is more behind its frame"));
    }
    let mut section = Vec::with_capacity(record_bytes as usize);
    Decompressor::new()
        .and_then(|mut decompressor| decompressor.decompress_to_buffer(stored, &mut section))
        .map_err(|error| undecodable(error.to_string()))?;
    Ok(section)
}

fn undecodable(why: impl Into<Box<str>>) -> BatchError {
    BatchError::Undecodable {
        codec: Codec::Zstd,
        why: why.into(),
    }
}
