//! The appends that happened, in the order of their offsets.

use super::work::Work;
use crate::history::{Nanos, OpId};

/// An append that happened. `start < end` unless it is empty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub(super) op: OpId,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) call: Nanos,
    /// When it was acknowledged; never, if its caller does not know that it happened.
    pub(super) ret: Nanos,
    /// As its receipt says.
    pub(super) version: Option<u64>,
    /// The pipeline that it is in.
    pub(super) pipeline: Option<u64>,
    /// The batch that it is known to be in: its own records, and those of appends of the same pipeline beside it that
    /// have the same version.
    pub(super) batch: (u64, u64),
}

impl Placed {
    /// Whether both are known to be of one batch, `other` being the next in the chain.
    fn with(&self, other: &Placed) -> bool {
        self.version.is_some()
            && self.version == other.version
            && self.pipeline.is_some()
            && self.pipeline == other.pipeline
            && self.end == other.start
    }
}

/// The appends that happened, in the order of their offsets; between them may be what was trimmed and nobody knows.
pub(super) struct Chain {
    appends: Vec<Placed>,
    /// Which those are.
    by_op: Vec<OpId>,
}

/// Where a tail lies among the appends.
pub(super) enum Place {
    /// Behind this many of them.
    Behind(usize),
    /// Within this one.
    Within(usize),
}

impl Chain {
    pub(super) fn new(mut appends: Vec<Placed>, work: &Work) -> Chain {
        work.sort_by_key(&mut appends, |append| (append.start, append.end));
        for batch in appends.chunk_by_mut(|one, two| one.with(two)) {
            let whole = batch
                .first()
                .zip(batch.last())
                .map(|(first, last)| (first.start, last.end));
            for append in batch {
                work.step();
                append.batch = whole.unwrap_or(append.batch);
            }
        }
        let mut by_op: Vec<OpId> = appends.iter().map(|append| append.op).collect();
        work.sort_by_key(&mut by_op, |op| *op);
        Chain { appends, by_op }
    }

    pub(super) fn appends(&self) -> &[Placed] {
        &self.appends
    }

    /// Whether that append is in it.
    pub(super) fn has(&self, op: OpId, work: &Work) -> bool {
        work.find_by(&self.by_op, |placed| placed.cmp(&op))
            .is_some()
    }

    /// Where a tail lies.
    pub(super) fn place(&self, tail: u64, work: &Work) -> Place {
        let begun = work.partition_point(&self.appends, |append| append.start < tail);
        match begun.checked_sub(1) {
            Some(last) if self.appends[last].batch.1 > tail => Place::Within(last),
            _ => Place::Behind(begun),
        }
    }

    /// The first append that ends behind that tail.
    pub(super) fn behind(&self, tail: u64, work: &Work) -> Option<&Placed> {
        let before = work.partition_point(&self.appends, |append| append.end <= tail);
        self.appends.get(before)
    }

    /// How many appends there must have been for that record to be there.
    pub(super) fn upto(&self, offset: u64, work: &Work) -> usize {
        work.partition_point(&self.appends, |append| append.start <= offset)
    }
}
