//! The batch: the records of one append, framed and checksummed once by the producer.
//!
//! The same bytes go to the disk, to the other replicas and to every reader; offsets and the timestamp travel beside them.
//!
//! ```text
//! offset size
//!      0    4  magic         "PXB1"
//!      4    4  crc           CRC32C of everything from offset 8 to the end (little-endian like all that follows)
//!      8    1  version       1
//!      9    1  compression   0 none; others are reserved
//!     10    2  flags         0, reserved
//!     12    4  records       how many, at least 1
//!     16    4  stored_bytes  length of the record section as it stands here
//!     20    4  record_bytes  length of the record section without compression
//!     24    8  reserved      0
//!     32       the records, one behind the other:
//!
//!      0    4  key_len       u32::MAX: no key
//!      4    4  headers_len   bytes of the header section
//!      8    4  payload_len
//!     12       key           key_len bytes, none if there is no key
//!              headers       each: name_len u32, value_len u32, name, value
//!              payload       payload_len bytes
//! ```
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
mod view;

use bytes::Bytes;

use crate::limits;

pub use builder::{Batch, BatchBuilder};
pub use view::{BatchView, RecordView, Records};

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
    /// How the record section is compressed; 0: not.
    pub compression: u8,
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
    /// The compression is not one this build knows.
    #[error("batch compression {0} is not supported")]
    Compression(u8),
}

/// Checks a batch completely (lengths, checksum, structure and limits), without joining its parts.
///
/// # Errors
/// When a server must refuse it.
pub fn check(parts: &[Bytes]) -> Result<BatchInfo, BatchError> {
    BatchView::parse_parts(parts).map(|view| view.info())
}
