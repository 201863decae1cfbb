//! In the place of a codec whose feature is off. Nothing of it is called: whether a codec is there is asked before.

use std::convert::Infallible;

use paxlog_wire::batch::BatchError;

/// There is none.
pub(super) struct Packer(Infallible);

impl Packer {
    pub(super) fn new(_level: i32) -> Result<Packer, BatchError> {
        unreachable!("a codec that is off was asked for")
    }

    pub(super) fn pack<'r>(&mut self, _section: &[u8], _room: &'r mut Vec<u8>) -> Option<&'r [u8]> {
        match self.0 {}
    }
}

pub(super) fn unpack(_stored: &[u8], _record_bytes: u32) -> Result<Vec<u8>, BatchError> {
    unreachable!("a codec that is off was asked for")
}
