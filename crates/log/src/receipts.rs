//! The kept receipts of one producer's epoch.
//!
//! Sequences are dense from 0, so a receipt needs no key. They lie in aligned
//! chunks behind `Arc`s: a clone of the state shares them, and the next append
//! after a clone copies one chunk, not four thousand receipts.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::limits::RECEIPTS_PER_PRODUCER_MAX;
use crate::outcome::Receipt;

/// The receipts of sequences `first_kept..next`, at most 4,096 of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receipts {
    /// The sequence to come.
    next: u64,
    /// Chunk boundaries are multiples of `CHUNK`; only the first chunk may
    /// begin within. The first may hold receipts below `first_kept`: they are
    /// forgotten, only their chunk is still held.
    chunks: VecDeque<Arc<Chunk>>,
}

#[derive(Clone, Debug)]
struct Chunk {
    first: u64,
    receipts: Vec<Receipt>,
}

impl Receipts {
    /// An empty run that goes on at `next`, to be filled from a checkpoint.
    pub(crate) fn starting_at(next: u64) -> Receipts {
        Receipts {
            next,
            chunks: VecDeque::new(),
        }
    }

    /// The next sequence of the epoch.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The lowest sequence whose receipt is kept; `next` if there is none.
    pub(crate) fn first_kept(&self) -> u64 {
        match self.chunks.front() {
            Some(chunk) => chunk
                .first
                .max(self.next.saturating_sub(RECEIPTS_PER_PRODUCER_MAX as u64)),
            None => self.next,
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> u64 {
        self.next - self.first_kept()
    }

    /// Keeps the receipt of sequence `next`, forgetting the oldest if need be.
    pub(crate) fn push(&mut self, receipt: Receipt) {
        match self.chunks.back_mut() {
            Some(chunk) if !self.next.is_multiple_of(CHUNK) => {
                Arc::make_mut(chunk).receipts.push(receipt)
            }
            _ => self.chunks.push_back(Arc::new(Chunk {
                first: self.next,
                receipts: vec![receipt],
            })),
        }
        self.next += 1;
        let keep = self.next.saturating_sub(RECEIPTS_PER_PRODUCER_MAX as u64);
        if self
            .chunks
            .front()
            .is_some_and(|chunk| chunk.first + chunk.receipts.len() as u64 <= keep)
        {
            self.chunks.pop_front();
        }
    }

    /// The receipt of `sequence`, if it is kept.
    pub(crate) fn get(&self, sequence: u64) -> Option<Receipt> {
        if sequence < self.first_kept() || sequence >= self.next {
            return None;
        }
        let front = self.chunks.front()?;
        let chunk = self
            .chunks
            .get((sequence / CHUNK - front.first / CHUNK) as usize)?;
        chunk
            .receipts
            .get((sequence - chunk.first) as usize)
            .copied()
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<Receipt> {
        self.chunks.back()?.receipts.last().copied()
    }

    /// The kept ones in the order of their sequences.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Receipt> + '_ {
        let first = self.first_kept();
        self.chunks.iter().flat_map(move |chunk| {
            let skip = first.saturating_sub(chunk.first) as usize;
            chunk.receipts.iter().skip(skip).copied()
        })
    }
}

const CHUNK: u64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LogId;

    fn receipt(version: u64) -> Receipt {
        Receipt::Created {
            log: LogId(1),
            version,
            existed: false,
        }
    }

    #[test]
    fn the_last_4096_are_kept_and_nothing_older() {
        let mut receipts = Receipts::default();
        for next in 0..10_000u64 {
            assert_eq!(receipts.next(), next);
            receipts.push(receipt(next));
            let first = (next + 1).saturating_sub(4096);
            assert_eq!(receipts.first_kept(), first);
            assert_eq!(receipts.len(), next + 1 - first);
            assert_eq!(receipts.get(next + 1), None);
            assert_eq!(receipts.get(next), Some(receipt(next)));
            assert_eq!(receipts.get(first), Some(receipt(first)));
            assert_eq!(receipts.last(), Some(receipt(next)));
            if first > 0 {
                assert_eq!(receipts.get(first - 1), None);
            }
        }
        assert!(receipts.iter().eq((10_000 - 4096..10_000).map(receipt)));
    }

    #[test]
    fn a_run_that_starts_within_a_chunk_goes_on() {
        let mut receipts = Receipts::starting_at(1000);
        assert_eq!((receipts.first_kept(), receipts.len()), (1000, 0));
        for sequence in 1000..6000 {
            receipts.push(receipt(sequence));
        }
        for sequence in 0..7000 {
            let kept = (6000 - 4096..6000).contains(&sequence);
            assert_eq!(receipts.get(sequence), kept.then(|| receipt(sequence)));
        }
    }
}
