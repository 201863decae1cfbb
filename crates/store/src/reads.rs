//! Reading back: a slot's frame, and ranges of a log beyond the hot window.

use bytes::Bytes;
use paxlog_log::{LogId, Offset};
use paxlog_node::{
    Batch, ENTRY_HEADER_BYTES, EntryHeader, EntryPlace, IdxFile, TimeSearch, Unreadable,
};
use paxlog_paxos::Value;
use paxlog_wal::{Lsn, Wal};

/// A range of a log that lies in sealed segments beyond the hot window.
#[derive(Clone, Debug)]
pub struct ColdRange {
    /// The log.
    pub log: LogId,
    /// From the batch that holds this offset.
    pub from: Offset,
    /// Only batches that begin below this offset.
    pub until: Offset,
    /// Only batches with timestamps below this, if it is not 0.
    pub until_timestamp: u64,
    /// At most so many bytes, but at least one batch.
    pub bytes_max: u64,
    /// Where to look, most likely first.
    pub segments: Vec<u32>,
}

/// A batch with its bytes.
pub type ReadBatch = (Batch, Bytes);

/// The frame of a slot, checksums computed; none if it can't be read. Blocks.
pub fn entry_at(wal: &Wal, place: &EntryPlace) -> Option<(EntryHeader, Value)> {
    let lsn = match place {
        EntryPlace::At(lsn) => *lsn,
        EntryPlace::InSegments(segments, slot) => segments.iter().find_map(|&segment| {
            let bytes = annotation(wal, segment)?;
            let row = IdxFile::open(segment, &bytes)?.slot(*slot)?;
            Some(u64::from(segment) << 32 | u64::from(row.frame))
        })?,
    };
    let (_, payload) = wal.read_cold(Lsn(lsn)).ok()?;
    let header = EntryHeader::decode(&payload)?;
    let value = payload.slice(ENTRY_HEADER_BYTES..);
    if value.len() != header.len as usize {
        return None;
    }
    let value = if value.is_empty() {
        Value::noop()
    } else {
        Value::from_parts(vec![value])
    };
    (value.checksum() == header.checksum).then_some((header, value))
}

/// The batches of a cold range, in order and without a hole: those of the first
/// segment that has the offset. Empty if the bound of time comes first; none if
/// nothing has it, or a batch can't be read. Blocks.
pub fn cold(wal: &Wal, range: &ColdRange) -> Option<Vec<ReadBatch>> {
    for segment in &range.segments {
        let Some(bytes) = annotation(wal, *segment) else {
            continue;
        };
        let Some(idx) = IdxFile::open(*segment, &bytes) else {
            continue;
        };
        let mut sum = 0;
        let mut any = false;
        let batches: Vec<Batch> = idx
            .batches_from(range.log, range.from)
            .inspect(|_| any = true)
            .take_while(|batch| batch.start < range.until)
            .take_while(|batch| {
                range.until_timestamp == 0 || batch.timestamp.0 < range.until_timestamp
            })
            .take_while(|batch| {
                let fits = sum == 0 || sum + u64::from(batch.place.len) <= range.bytes_max;
                sum += u64::from(batch.place.len);
                fits
            })
            .collect();
        if any {
            return batches_at(wal, batches);
        }
    }
    None
}

/// Where the first record of a time or later is, at the lowest offset that any of the segments has; none: they have no
/// such record. Blocks.
///
/// # Errors
/// An `.idx` file can't be read.
pub fn find_time(wal: &Wal, search: &TimeSearch) -> Result<Option<Offset>, Unreadable> {
    let mut lowest: Option<Offset> = None;
    for &segment in &search.segments {
        let bytes = annotation(wal, segment).ok_or(Unreadable)?;
        let idx = IdxFile::open(segment, &bytes).ok_or(Unreadable)?;
        let here = idx
            .batch_at_time(search.log, search.from, search.timestamp)
            .map(|batch| batch.start.max(search.from));
        lowest = [lowest, here].into_iter().flatten().min();
    }
    Ok(lowest)
}

/// The bytes of batches, checksums computed; none if one can't be read. Blocks.
pub fn batches_at(wal: &Wal, batches: Vec<Batch>) -> Option<Vec<ReadBatch>> {
    // A frame often holds many of them: it is read once.
    let mut last: Option<(u64, Bytes)> = None;
    let mut read = Vec::with_capacity(batches.len());
    for batch in batches {
        let lsn = batch.place.lsn;
        let payload = match &last {
            Some((at, payload)) if *at == lsn => payload.clone(),
            _ => {
                let (_, payload) = wal.read_cold(Lsn(lsn)).ok()?;
                last = Some((lsn, payload.clone()));
                payload
            }
        };
        let at = batch.place.at as usize;
        let end = at + batch.place.len as usize;
        if end > payload.len() {
            return None;
        }
        read.push((batch, payload.slice(at..end)));
    }
    Some(read)
}

/// A segment's `.idx` file; none, with a word in the log, if it can't be read.
pub(crate) fn annotation(wal: &Wal, segment: u32) -> Option<Bytes> {
    match wal.annotation(u64::from(segment)) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(segment, %error, "an .idx file can't be read");
            None
        }
    }
}
