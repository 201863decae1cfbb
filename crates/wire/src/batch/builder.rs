//! Building batches, on the producer's side.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchInfo, CHECKED_FROM, Codec, MAGIC, NO_KEY,
    RECORD_HEAD_BYTES, Record, VERSION,
};
use crate::{limits, parts};

/// Payloads of this length and more are kept as they are instead of being copied into the buffer.
const KEPT_BYTES_MIN: usize = 16 << 10;
/// Room that is made at once, for several small batches.
const BLOCK_BYTES: usize = 16 << 10;

/// A finished batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    info: BatchInfo,
    parts: Vec<Bytes>,
}

impl Batch {
    /// What its header says.
    pub fn info(&self) -> BatchInfo {
        self.info
    }

    /// Its bytes: usually one part, more if it has large payloads.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    /// Its bytes.
    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }
}

/// Collects records into a batch, and then into the next: small batches are cut from one buffer.
#[derive(Debug)]
pub struct BatchBuilder {
    /// The end of the batch so far; if `closed` is empty and there are records, it begins with room for the header.
    open: BytesMut,
    /// Earlier pieces.
    closed: Vec<BytesMutOrBytes>,
    records: u32,
    /// Of all pieces, the header included.
    bytes: usize,
}

#[derive(Debug)]
enum BytesMutOrBytes {
    Ours(BytesMut),
    Kept(Bytes),
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty builder with room for records of so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let open = match bytes {
            0 => BytesMut::new(),
            bytes => BytesMut::with_capacity(BATCH_HEADER_BYTES + bytes),
        };
        Self {
            open,
            closed: Vec::new(),
            records: 0,
            bytes: BATCH_HEADER_BYTES,
        }
    }

    /// How many records are in it.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The length that the batch has now, its header included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it has no record yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Whether a record fits.
    ///
    /// # Errors
    /// `RecordTooLarge` or `HeadersTooLarge` if it never fits any batch, `BatchTooLarge` if it does not fit this one.
    pub fn fits(&self, record: &Record) -> Result<(), BatchError> {
        let bytes = record.encoded_len();
        if bytes - RECORD_HEAD_BYTES > limits::RECORD_BYTES_MAX {
            return Err(BatchError::RecordTooLarge {
                bytes: bytes - RECORD_HEAD_BYTES,
            });
        }
        let headers = record.headers_len();
        if headers > limits::HEADERS_BYTES_MAX {
            return Err(BatchError::HeadersTooLarge { bytes: headers });
        }
        if self.bytes + bytes > limits::BATCH_BYTES_MAX {
            return Err(BatchError::BatchTooLarge {
                bytes: self.bytes + bytes,
            });
        }
        Ok(())
    }

    /// Adds a record. A large payload is not copied.
    ///
    /// # Errors
    /// When it does not fit ([`fits`](Self::fits)); the batch is as before.
    pub fn push(&mut self, record: &Record) -> Result<(), BatchError> {
        self.fits(record)?;
        let kept = record.payload.len() >= KEPT_BYTES_MIN;
        let encoded = record.encoded_len();
        let copied = if kept {
            encoded - record.payload.len()
        } else {
            encoded
        };
        if self.records == 0 {
            self.make_room(BATCH_HEADER_BYTES + copied);
            self.open.put_bytes(0, BATCH_HEADER_BYTES);
        } else {
            self.make_room(copied);
        }
        self.open
            .put_u32_le(record.key.as_ref().map_or(NO_KEY, |key| key.len() as u32));
        self.open.put_u32_le(record.headers_len() as u32);
        self.open.put_u32_le(record.payload.len() as u32);
        if let Some(key) = &record.key {
            self.open.put_slice(key);
        }
        for (name, value) in &record.headers {
            self.open.put_u32_le(name.len() as u32);
            self.open.put_u32_le(value.len() as u32);
            self.open.put_slice(name);
            self.open.put_slice(value);
        }
        if kept {
            let ours = self.open.split();
            self.closed.push(BytesMutOrBytes::Ours(ours));
            self.closed
                .push(BytesMutOrBytes::Kept(record.payload.clone()));
        } else {
            self.open.put_slice(&record.payload);
        }
        self.records += 1;
        self.bytes += encoded;
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) {
        if self.open.capacity() - self.open.len() < bytes {
            self.open.reserve(bytes.max(BLOCK_BYTES));
        }
    }

    /// Forgets the records in it.
    pub fn clear(&mut self) {
        self.open.clear();
        self.closed.clear();
        self.records = 0;
        self.bytes = BATCH_HEADER_BYTES;
    }

    /// The batch, with its checksum; the builder is empty afterwards.
    ///
    /// # Errors
    /// `Empty` without a record.
    pub fn finish(&mut self) -> Result<Batch, BatchError> {
        if self.records == 0 {
            return Err(BatchError::Empty);
        }
        let section = (self.bytes - BATCH_HEADER_BYTES) as u32;
        let mut head = header(self.records, None, section, section);

        let mut crc = crc32c::crc32c(&head[CHECKED_FROM..]);
        let mut skip = BATCH_HEADER_BYTES;
        for piece in &self.closed {
            let bytes: &[u8] = match piece {
                BytesMutOrBytes::Ours(bytes) => &bytes[std::mem::take(&mut skip)..],
                BytesMutOrBytes::Kept(bytes) => bytes,
            };
            crc = crc32c::crc32c_append(crc, bytes);
        }
        crc = crc32c::crc32c_append(crc, &self.open[skip..]);
        head[4..8].copy_from_slice(&crc.to_le_bytes());

        let first = match self.closed.first_mut() {
            Some(BytesMutOrBytes::Ours(first)) => first,
            Some(BytesMutOrBytes::Kept(_)) | None => &mut self.open,
        };
        first[..BATCH_HEADER_BYTES].copy_from_slice(&head);

        let mut parts = Vec::with_capacity(self.closed.len() + 1);
        for piece in self.closed.drain(..) {
            parts.push(match piece {
                BytesMutOrBytes::Ours(bytes) => bytes.freeze(),
                BytesMutOrBytes::Kept(bytes) => bytes,
            });
        }
        if !self.open.is_empty() {
            parts.push(self.open.split().freeze());
        }
        debug_assert_eq!(parts::len(&parts), self.bytes);
        let info = BatchInfo {
            records: self.records,
            bytes: self.bytes as u32,
            record_bytes: section,
            compression: None,
            crc,
        };
        self.records = 0;
        self.bytes = BATCH_HEADER_BYTES;
        Ok(Batch { info, parts })
    }

    /// As [`finish`](Self::finish), with the record section as `compress` makes it: by that codec, from the section's
    /// pieces in their order. Where it makes nothing, or nothing shorter, the batch is not compressed.
    ///
    /// # Errors
    /// `Empty` without a record.
    pub fn finish_with<'c>(
        &mut self,
        codec: Codec,
        compress: impl FnOnce(&[&[u8]]) -> Option<&'c [u8]>,
    ) -> Result<Batch, BatchError> {
        if self.records == 0 {
            return Err(BatchError::Empty);
        }
        let section = self.bytes - BATCH_HEADER_BYTES;
        let stored = compress(&self.section()).filter(|stored| stored.len() < section);
        let Some(stored) = stored else {
            return self.finish();
        };
        let mut head = header(
            self.records,
            Some(codec),
            stored.len() as u32,
            section as u32,
        );
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[CHECKED_FROM..]), stored);
        head[4..8].copy_from_slice(&crc.to_le_bytes());
        let mut whole = BytesMut::with_capacity(BATCH_HEADER_BYTES + stored.len());
        whole.put_slice(&head);
        whole.put_slice(stored);
        let info = BatchInfo {
            records: self.records,
            bytes: whole.len() as u32,
            record_bytes: section as u32,
            compression: Some(codec),
            crc,
        };
        self.clear();
        Ok(Batch {
            info,
            parts: vec![whole.freeze()],
        })
    }

    /// The records' bytes: all pieces but for the room of the header.
    fn section(&self) -> Vec<&[u8]> {
        let mut skip = BATCH_HEADER_BYTES;
        let mut pieces = Vec::with_capacity(self.closed.len() + 1);
        for piece in &self.closed {
            pieces.push(match piece {
                BytesMutOrBytes::Ours(bytes) => &bytes[std::mem::take(&mut skip)..],
                BytesMutOrBytes::Kept(bytes) => &bytes[..],
            });
        }
        pieces.push(&self.open[skip..]);
        pieces
    }
}

/// A batch's header, but for its checksum.
fn header(
    records: u32,
    compression: Option<Codec>,
    stored_bytes: u32,
    record_bytes: u32,
) -> [u8; BATCH_HEADER_BYTES] {
    let mut head = [0u8; BATCH_HEADER_BYTES];
    head[0..4].copy_from_slice(&MAGIC);
    head[8] = VERSION;
    head[9] = compression.map_or(0, Codec::number);
    head[12..16].copy_from_slice(&records.to_le_bytes());
    head[16..20].copy_from_slice(&stored_bytes.to_le_bytes());
    head[20..24].copy_from_slice(&record_bytes.to_le_bytes());
    head
}
