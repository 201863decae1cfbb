//! Reading and writing little-endian fields, bounded.

use bytes::{BufMut, BytesMut};

use crate::names::NameError;

/// Why bytes are no command or checkpoint of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end early.
    #[error("the bytes end early")]
    Short,
    /// More bytes than the fields need.
    #[error("there are bytes left over")]
    Trailing,
    /// Written by another version.
    #[error("version {version} is not known here")]
    Version {
        /// The version found.
        version: u8,
    },
    /// Not a kind of command of this version.
    #[error("kind {kind} is not known here")]
    Kind {
        /// The kind found.
        kind: u8,
    },
    /// A name that is none.
    #[error("bad name: {0}")]
    Name(#[from] NameError),
    /// A field, or two together, that cannot be.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

pub(crate) struct Writer<'a>(pub(crate) &'a mut BytesMut);

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.0.put_u8(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.0.put_u8(value.into());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.0.put_u16_le(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.put_u32_le(value);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.put_u64_le(value);
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.0.put_u128_le(value);
    }

    /// A checked name: its length fits a byte.
    pub(crate) fn name(&mut self, name: &str) {
        self.0.put_u8(name.len() as u8);
        self.0.put_slice(name.as_bytes());
    }
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Malformed("a bool is 0 or 1")),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    pub(crate) fn name(&mut self) -> Result<&'a str, DecodeError> {
        let len = self.u8()?.into();
        std::str::from_utf8(self.take(len)?).map_err(|_| DecodeError::Malformed("a name is UTF-8"))
    }

    /// A count of things that take at least `each` bytes: more than the bytes
    /// left can hold is refused, so that nothing is allocated for them.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, DecodeError> {
        let count = self.u32()? as usize;
        if count > self.left() / each {
            return Err(DecodeError::Short);
        }
        Ok(count)
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing)
        }
    }
}
