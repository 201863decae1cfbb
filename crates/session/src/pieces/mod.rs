//! What readers are given: stored batches, cut to the offsets that are due.

use bytes::Bytes;
use paxlog_wire::batch::{self, BatchError, BatchInfo, BatchView, Codec, RecordView};
use paxlog_wire::client::BatchMeta;
use paxlog_wire::{Code, OutcomeFact};

use crate::{Error, decompress};

/// Records of one stored batch, those with offsets `start..end`. Checked: its checksum holds, and what it holds was
/// decompressed if need be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The offset of the first record that is due.
    pub start: u64,
    /// One beyond the offset of the last record that is due; above `start`.
    pub end: u64,
    /// The timestamp of all of them.
    pub timestamp: u64,
    /// The offset of the stored batch's first record; `first <= start`.
    pub first: u64,
    /// The stored batch as it came, whole.
    pub parts: Vec<Bytes>,
    /// Where its records are.
    records: Section,
    /// One beyond the offset of the stored batch's last record; `end <= last`.
    last: u64,
}

/// Where the records of a batch are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Section {
    /// In the batch itself.
    Plain,
    /// Nowhere yet.
    Compressed(BatchInfo),
    /// Here, checked.
    Decompressed(BatchInfo, Bytes),
    /// Nowhere ever.
    Unreadable(BatchError),
}

impl Piece {
    /// The records of a batch from offset `start` on. What is compressed waits compressed for [`Piece::open`]: however
    /// many batches wait, they take no more room than their stored bytes.
    ///
    /// # Errors
    /// A sentence, if the batch is damaged or not the one that was announced.
    pub(crate) fn new(batch: &BatchMeta, parts: Vec<Bytes>, start: u64) -> Result<Piece, String> {
        let Some(end) = batch.start.checked_add(batch.records.into()) else {
            return Err("it reaches beyond any offset".into());
        };
        let records = match batch::check(&parts) {
            Ok(info) if info.records != batch.records => {
                return Err("it has other records than said".into());
            }
            Ok(info) if info.compression.is_some() => Section::Compressed(info),
            Ok(_) => Section::Plain,
            // The checksum holds, so a producer wrote it so.
            Err(error @ BatchError::Compression(_)) => Section::Unreadable(error),
            Err(error) => return Err(error.to_string()),
        };
        Ok(Piece {
            start,
            end,
            timestamp: batch.timestamp,
            first: batch.start,
            parts,
            records,
            last: end,
        })
    }

    /// Decompresses it, if it is compressed. Only then it may be given away.
    ///
    /// # Errors
    /// When nobody can read its records here, since its producer wrote it so: the same from every replica.
    pub(crate) fn open(mut self) -> Result<Piece, Error> {
        let opened = match self.records {
            Section::Compressed(info) => decompress(info, &self.parts).and_then(|section| {
                BatchView::of_section(info, std::slice::from_ref(&section))?;
                Ok(Section::Decompressed(info, section))
            }),
            Section::Unreadable(error) => Err(error),
            open @ (Section::Plain | Section::Decompressed(..)) => Ok(open),
        };
        match opened {
            Ok(records) => {
                self.records = records;
                Ok(self)
            }
            Err(error) => Err(unreadable(self.first, self.last, &error)),
        }
    }

    /// The records with their offsets, `start..end`.
    pub fn records(&self) -> impl Iterator<Item = (u64, RecordView)> + '_ {
        let view = match &self.records {
            Section::Plain => BatchView::parse_parts(&self.parts),
            Section::Decompressed(info, section) => {
                BatchView::of_section(*info, std::slice::from_ref(section))
            }
            Section::Compressed(_) | Section::Unreadable(_) => {
                unreachable!("no piece is given away that was not opened")
            }
        };
        let view = view.expect("checked when the piece was made or opened");
        let due = self.start..self.end;
        (self.first..self.last)
            .zip(view.records())
            .filter(move |(offset, _)| due.contains(offset))
    }

    /// How the stored batch is compressed, if it is.
    pub fn compression(&self) -> Option<Codec> {
        match &self.records {
            Section::Compressed(info) | Section::Decompressed(info, _) => info.compression,
            Section::Plain | Section::Unreadable(_) => None,
        }
    }

    /// The bytes of the stored batch: compressed ones, if it is compressed.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

/// Not `Corrupt`, which asks another replica: every one has the same bytes, and their checksum holds.
fn unreadable(start: u64, end: u64, why: &BatchError) -> Error {
    let message = format!(
        "the batch at offsets {start}..{end} cannot be read, as its producer wrote it: {why}; reading can go on from {end}"
    );
    Error {
        outcome: OutcomeFact::NotAWrite,
        found: Some(end),
        ..Error::new(Code::Invalid, message)
    }
}

#[cfg(test)]
mod tests;
