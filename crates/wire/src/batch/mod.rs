//! The batch: the records of one append, framed and checksummed once by the producer.
//!
//! The same bytes go to the disk, to the other replicas and to every reader; offsets and the timestamp travel beside them.
//!
//! ```text
//! offset size
//!      0    4  magic         "PXB1"
//!      4    4  crc           CRC32C of everything from offset 8 to the end (little-endian like all that follows)
//!      8    1  version       1
//!      9    1  compression   0 none, 1 LZ4, 2 Zstandard; others are refused
//!     10    2  flags         0, reserved
//!     12    4  records       how many, at least 1
//!     16    4  stored_bytes  length of the record section as it stands here
//!     20    4  record_bytes  length of the record section without compression
//!     24    8  reserved      0
//!     32       the record section, stored_bytes long: compressed, or the records, one behind the other:
//!
//!      0    4  key_len       u32::MAX: no key
//!      4    4  headers_len   bytes of the header section
//!      8    4  payload_len
//!     12       key           key_len bytes, none if there is no key
//!              headers       each: name_len u32, value_len u32, name, value
//!              payload       payload_len bytes
//! ```
//!
//! # Compression
//!
//! A producer may compress the record section, and nothing else of a batch:
//!
//! ```text
//! 0 none       stored_bytes = record_bytes
//! 1 LZ4        one LZ4 block (lz4_Block_format.md) that ends with the section: no frame, no magic, no length before
//!              it, no dictionary
//! 2 Zstandard  one frame (RFC 8878, section 3.1.1, magic number included) that ends with the section: no second and
//!              no skippable frame, no dictionary; its content size and checksum may be there, and then hold
//! ```
//!
//! A compressed section is shorter than what it holds, `stored_bytes < record_bytes`: what does not become shorter is
//! sent as it is. Either way `record_bytes` is at most [`limits::BATCH_BYTES_MAX`] less the header, so whoever
//! decompresses knows beforehand how much room that takes, and never takes more. The checksum covers the stored bytes.
//!
//! Servers store and serve a compressed batch as it came: [`check`] holds lengths, limits and checksum, and does not
//! look into the section. So it is the reader that finds out whether it holds as many records as the header says, as
//! [`BatchView::of_section`] checks. This crate knows the numbers; the codecs themselves are in the client's `session`.
//!
//! ```
//! use paxlog_wire::batch::{BatchBuilder, BatchView, Record};
//!
//! let mut builder = BatchBuilder::new();
//! builder.push(&Record::new("hello").with_key("k").with_header("lang", "en"))?;
//! let batch = builder.finish()?;
//!
//! // However the network cuts it, it is checked and read without being joined.
//! let whole = batch.parts().concat();
//! let parts = [whole[..20].to_vec().into(), whole[20..].to_vec().into()];
//! let view = BatchView::parse_parts(&parts)?;
//! assert_eq!(view.info(), batch.info());
//! assert_eq!(view.records().next().unwrap().payload, "hello");
//! # Ok::<(), paxlog_wire::batch::BatchError>(())
//! ```

mod builder;
mod codec;
mod view;

use bytes::Bytes;

use crate::limits;

pub use builder::{Batch, BatchBuilder};
pub use codec::Codec;
pub use view::{BatchView, RecordView, Records, stored_section};

/// The length of a batch's header, in bytes.
pub const BATCH_HEADER_BYTES: usize = 32;

/// The length of the fixed fields of a record, in bytes.
pub const RECORD_HEAD_BYTES: usize = 12;

const MAGIC: [u8; 4] = *b"PXB1";
const VERSION: u8 = 1;
const NO_KEY: u32 = u32::MAX;
/// The checksum covers everything from here on.
const CHECKED_FROM: usize = 8;

/// A record as its producer gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The key, if it has one; an empty key is a key.
    pub key: Option<Bytes>,
    /// Names and values, in their order; names may repeat.
    pub headers: Vec<(Bytes, Bytes)>,
    /// The payload; may be empty.
    pub payload: Bytes,
}

impl Record {
    /// A record with nothing but a payload.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            key: None,
            headers: Vec::new(),
            payload: payload.into(),
        }
    }

    /// The same, with a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same, with one header more.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The bytes that it takes in a batch.
    pub fn encoded_len(&self) -> usize {
        RECORD_HEAD_BYTES
            + self.key.as_ref().map_or(0, Bytes::len)
            + self.headers_len()
            + self.payload.len()
    }

    fn headers_len(&self) -> usize {
        self.headers
            .iter()
            .map(|(name, value)| 8 + name.len() + value.len())
            .sum()
    }
}

/// What a batch's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchInfo {
    /// How many records; at least 1.
    pub records: u32,
    /// The length of the whole batch, its header included.
    pub bytes: u32,
    /// The length of the record section without compression.
    pub record_bytes: u32,
    /// How the record section is compressed, if it is.
    pub compression: Option<Codec>,
    /// The checksum of everything behind it.
    pub crc: u32,
}

/// Why a record or a batch is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// A record is over its limit.
    #[error(
        "a record of {bytes} bytes is over the limit of {}",
        limits::RECORD_BYTES_MAX
    )]
    RecordTooLarge {
        /// The length of key, headers and payload.
        bytes: usize,
    },
    /// The headers of a record are over their limit.
    #[error(
        "record headers of {bytes} bytes are over the limit of {}",
        limits::HEADERS_BYTES_MAX
    )]
    HeadersTooLarge {
        /// The length of the header section.
        bytes: usize,
    },
    /// The batch is, or with this record would be, over its limit.
    #[error(
        "a batch of {bytes} bytes is over the limit of {}",
        limits::BATCH_BYTES_MAX
    )]
    BatchTooLarge {
        /// The length of the batch.
        bytes: usize,
    },
    /// There is no record in it.
    #[error("a batch needs at least one record")]
    Empty,
    /// The bytes do not match their checksum.
    #[error("the batch does not match its checksum")]
    Checksum,
    /// The bytes are no batch.
    #[error("not a batch: {0}")]
    Malformed(&'static str),
    /// The compression is not one this build knows the number of. The checksum holds.
    #[error("batch compression {0} is not supported")]
    Compression(u8),
    /// The batch is compressed: its records are not to be seen before it was decompressed.
    #[error("the batch is compressed ({0})")]
    Compressed(Codec),
    /// This build cannot compress and decompress so.
    #[error("this build has no {0}: its feature is off")]
    NoCodec(Codec),
    /// The stored section is not what its codec makes.
    #[error("the record section does not decompress as {codec}: {why}")]
    Undecodable {
        /// As the header says.
        codec: Codec,
        /// What the codec says.
        why: &'static str,
    },
    /// The section holds more or less than the header says.
    #[error(
        "the record section decompresses to {bytes} bytes where its header says {record_bytes}"
    )]
    SectionLength {
        /// What it holds, in bytes.
        bytes: usize,
        /// What the header says, in bytes.
        record_bytes: u32,
    },
}

/// Checks all of a batch that a server answers for, without joining its parts: lengths, limits and checksum, and the
/// structure of the records where these are not compressed. Decompresses nothing.
///
/// # Errors
/// When a server must refuse it.
pub fn check(parts: &[Bytes]) -> Result<BatchInfo, BatchError> {
    view::check(parts)
}
