//! Checking and reading batches in the parts they came in.

use bytes::Bytes;

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchInfo, CHECKED_FROM, Codec, MAGIC, NO_KEY,
    RECORD_HEAD_BYTES, Record, VERSION,
};
use crate::limits;
use crate::parts::{self, Cursor};

/// A record as a reader sees it. Fields are slices of the batch, copied only where one spans parts.
pub type RecordView = Record;

/// A batch whose checksum and structure were checked, and whose records stand there uncompressed.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    parts: &'a [Bytes],
    /// Where the records begin in `parts`.
    at: usize,
    info: BatchInfo,
}

impl<'a> BatchView<'a> {
    /// Checks that `parts` are exactly one batch, which is not compressed.
    ///
    /// # Errors
    /// When lengths, checksum, structure or limits do not hold; `Compressed` for a batch that is, and good as far as
    /// that can be seen.
    pub fn parse_parts(parts: &'a [Bytes]) -> Result<Self, BatchError> {
        let info = read_header(parts)?;
        if let Some(codec) = info.compression {
            return Err(BatchError::Compressed(codec));
        }
        Self::over(parts, BATCH_HEADER_BYTES, info)
    }

    /// Checks that `section`, in any parts, is what the record section of a batch with this header holds: what was
    /// decompressed is checked as closely as what never was compressed.
    ///
    /// # Errors
    /// `SectionLength` if its length is not `info.record_bytes`; when structure or limits do not hold.
    pub fn of_section(info: BatchInfo, section: &'a [Bytes]) -> Result<Self, BatchError> {
        let bytes = parts::len(section);
        if bytes != info.record_bytes as usize {
            return Err(BatchError::SectionLength {
                bytes,
                record_bytes: info.record_bytes,
            });
        }
        Self::over(section, 0, info)
    }

    fn over(parts: &'a [Bytes], at: usize, info: BatchInfo) -> Result<Self, BatchError> {
        let view = Self { parts, at, info };
        view.check_records()?;
        Ok(view)
    }

    /// What its header says.
    pub fn info(&self) -> BatchInfo {
        self.info
    }

    /// The records in their order.
    pub fn records(&self) -> Records<'a> {
        Records {
            cursor: self.section(),
            left: self.info.records,
        }
    }

    fn section(&self) -> Cursor<'a> {
        let mut cursor = Cursor::new(self.parts);
        let skipped = cursor.skip(self.at);
        debug_assert!(skipped, "the header was read");
        cursor
    }

    fn check_records(&self) -> Result<(), BatchError> {
        let mut cursor = self.section();
        for _ in 0..self.info.records {
            let head = RecordHead::read(&mut cursor)
                .ok_or(BatchError::Malformed("a record is cut short"))?;
            let bytes = head.key_len() as u64 + head.headers as u64 + head.payload as u64;
            if head.headers > limits::HEADERS_BYTES_MAX as u32 {
                return Err(BatchError::HeadersTooLarge {
                    bytes: head.headers as usize,
                });
            }
            if bytes > limits::RECORD_BYTES_MAX as u64 {
                return Err(BatchError::RecordTooLarge {
                    bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
                });
            }
            let whole = if head.headers == 0 {
                cursor.skip(bytes as usize)
            } else {
                cursor.skip(head.key_len())
                    && skip_headers(&mut cursor, head.headers as usize)
                    && cursor.skip(head.payload as usize)
            };
            if !whole {
                return Err(BatchError::Malformed("a record reaches beyond the batch"));
            }
        }
        if cursor.remaining() > 0 {
            return Err(BatchError::Malformed(
                "there is more behind the last record",
            ));
        }
        Ok(())
    }
}

/// The records of a batch, in their order.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

impl Iterator for Records<'_> {
    type Item = RecordView;

    fn next(&mut self) -> Option<RecordView> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = read_record(&mut self.cursor);
        debug_assert!(record.is_some(), "the structure was checked");
        record
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Records<'_> {}

struct RecordHead {
    key: u32,
    headers: u32,
    payload: u32,
}

impl RecordHead {
    #[inline]
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let head = cursor.take_array::<RECORD_HEAD_BYTES>()?;
        Some(Self {
            key: u32_at(&head, 0),
            headers: u32_at(&head, 4),
            payload: u32_at(&head, 8),
        })
    }

    fn key_len(&self) -> usize {
        if self.key == NO_KEY {
            0
        } else {
            self.key as usize
        }
    }
}

fn read_record(cursor: &mut Cursor<'_>) -> Option<Record> {
    let head = RecordHead::read(cursor)?;
    let key = cursor.take_joined(head.key_len())?;
    let end = cursor.remaining().checked_sub(head.headers as usize)?;
    let mut headers = Vec::new();
    while cursor.remaining() > end {
        let lens = cursor.take_array::<8>()?;
        let name = cursor.take_joined(u32_at(&lens, 0) as usize)?;
        headers.push((name, cursor.take_joined(u32_at(&lens, 4) as usize)?));
    }
    let payload = cursor.take_joined(head.payload as usize)?;
    Some(Record {
        key: (head.key != NO_KEY).then_some(key),
        headers,
        payload,
    })
}

/// Whether the next `len` bytes are whole headers; moves over them.
fn skip_headers(cursor: &mut Cursor<'_>, mut len: usize) -> bool {
    while len > 0 {
        let Some(lens) = cursor.take_array::<8>() else {
            return false;
        };
        let header = u32_at(&lens, 0) as usize + u32_at(&lens, 4) as usize;
        if 8 + header > len || !cursor.skip(header) {
            return false;
        }
        len -= 8 + header;
    }
    true
}

/// See [`super::check`].
pub(super) fn check(parts: &[Bytes]) -> Result<BatchInfo, BatchError> {
    let info = read_header(parts)?;
    if info.compression.is_none() {
        BatchView::over(parts, BATCH_HEADER_BYTES, info)?;
    }
    Ok(info)
}

/// The record section of a batch that was checked, as it is stored there; copied only if it spans parts.
pub fn stored_section(parts: &[Bytes]) -> Bytes {
    let mut cursor = Cursor::new(parts);
    let skipped = cursor.skip(BATCH_HEADER_BYTES);
    debug_assert!(skipped, "the header was read");
    cursor
        .take_joined(cursor.remaining())
        .expect("as many bytes as remain")
}

/// Reads the header, checks the checksum, and holds the header against the limits and the real length.
fn read_header(parts: &[Bytes]) -> Result<BatchInfo, BatchError> {
    let bytes = parts::len(parts);
    if bytes > limits::BATCH_BYTES_MAX {
        return Err(BatchError::BatchTooLarge { bytes });
    }
    let head = Cursor::new(parts)
        .take_array::<BATCH_HEADER_BYTES>()
        .ok_or(BatchError::Malformed("it is shorter than a batch's header"))?;
    if head[0..4] != MAGIC {
        return Err(BatchError::Malformed("it does not begin with PXB1"));
    }
    if head[8] != VERSION {
        return Err(BatchError::Malformed(
            "its version is not one this build knows",
        ));
    }
    // Before anything else is believed: behind it, what is wrong is what the producer wrote, and no damage.
    let crc = u32_at(&head, 4);
    if crc_of(parts) != crc {
        return Err(BatchError::Checksum);
    }
    let compression = match head[9] {
        0 => None,
        number => Some(Codec::from_number(number).ok_or(BatchError::Compression(number))?),
    };
    if head[10..12] != [0; 2] || head[24..32] != [0; 8] {
        return Err(BatchError::Malformed("reserved fields are not zero"));
    }
    let info = BatchInfo {
        records: u32_at(&head, 12),
        bytes: bytes as u32,
        record_bytes: u32_at(&head, 20),
        compression,
        crc,
    };
    let stored = bytes - BATCH_HEADER_BYTES;
    let section = info.record_bytes as usize;
    if u32_at(&head, 16) as usize != stored || (compression.is_none() && section != stored) {
        return Err(BatchError::Malformed(
            "its length is not what its header says",
        ));
    }
    if section > limits::BATCH_BYTES_MAX - BATCH_HEADER_BYTES {
        // What a reader would make of it is no batch either.
        return Err(BatchError::BatchTooLarge {
            bytes: BATCH_HEADER_BYTES.saturating_add(section),
        });
    }
    if compression.is_some() && stored >= section {
        return Err(BatchError::Malformed(
            "it is compressed and has not become shorter",
        ));
    }
    if info.records == 0 {
        return Err(BatchError::Empty);
    }
    if info.records as usize > section / RECORD_HEAD_BYTES {
        return Err(BatchError::Malformed("it has no room for so many records"));
    }
    Ok(info)
}

fn crc_of(parts: &[Bytes]) -> u32 {
    let mut skip = CHECKED_FROM;
    parts.iter().fold(0, |crc, part| {
        let skipped = skip.min(part.len());
        skip -= skipped;
        crc32c::crc32c_append(crc, &part[skipped..])
    })
}

#[inline]
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
