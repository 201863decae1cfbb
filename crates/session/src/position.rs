//! Where a reader is, over replicas and streams: nothing twice, nothing left out.

use bytes::Bytes;
use paxlog_wire::client::{BatchMeta, ReadFrom, Started, split_batches};
use paxlog_wire::{Code, WireError};

use crate::Piece;

/// The offset of the next record to give, once a replica said where `from` is.
#[derive(Clone, Debug)]
pub(crate) struct Position {
    from: ReadFrom,
    next: Option<u64>,
    log: Option<u64>,
}

impl Position {
    pub(crate) fn new(from: ReadFrom) -> Position {
        let next = match &from {
            ReadFrom::Offset(offset) => Some(*offset),
            _ => None,
        };
        Position {
            from,
            next,
            log: None,
        }
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.next
    }

    /// The log's id.
    pub(crate) fn log(&self) -> Option<u64> {
        self.log
    }

    /// Whether a replica has begun to answer before.
    pub(crate) fn started_before(&self) -> bool {
        self.log.is_some()
    }

    /// Where the next stream is to begin.
    pub(crate) fn from(&self) -> ReadFrom {
        match self.next {
            Some(next) if self.started_before() => ReadFrom::Offset(next),
            _ => self.from.clone(),
        }
    }

    /// A stream begins. Gives the end of a gap, if there is one.
    pub(crate) fn started(&mut self, started: &Started) -> Result<Option<u64>, WireError> {
        if self.log.is_some_and(|log| log != started.log) {
            return Err(WireError::new(
                Code::LogDeleted,
                "the log was deleted, and another one has its name now",
            ));
        }
        self.log = Some(started.log);
        match self.next {
            Some(next) if started.from > next => Ok(self.gap(started.from)),
            Some(_) => Ok(None),
            None => {
                self.next = Some(started.from);
                Ok(None)
            }
        }
    }

    /// Records up to `to` are gone. None if they were given before.
    pub(crate) fn gap(&mut self, to: u64) -> Option<u64> {
        if self.next.is_some_and(|next| next >= to) {
            return None;
        }
        self.next = Some(to);
        Some(to)
    }

    /// The reader took less than it was given.
    pub(crate) fn back_to(&mut self, next: u64) {
        self.next = Some(next);
    }

    /// Takes the batches of one frame. Gives what is due of them, not opened yet; batches given before leave
    /// nothing.
    ///
    /// # Errors
    /// When they do not follow on what came before, or are damaged: what came before them stands,
    /// and the position with it.
    pub(crate) fn records(
        &mut self,
        batches: &[BatchMeta],
        body: &[Bytes],
    ) -> (Vec<Piece>, Option<WireError>) {
        let mut pieces = Vec::with_capacity(batches.len());
        let damaged = |why: String| Some(WireError::new(Code::Corrupt, why));
        let Ok(bodies) = split_batches(batches, body) else {
            return (
                pieces,
                damaged("batches that do not add up to their frame".into()),
            );
        };
        let Some(mut next) = self.next else {
            return (
                pieces,
                damaged("records came before the stream began".into()),
            );
        };
        for (batch, parts) in batches.iter().zip(bodies) {
            if batch.start > next {
                return (
                    pieces,
                    damaged(format!("offset {} came where {next} was due", batch.start)),
                );
            }
            if batch.end() <= next {
                continue;
            }
            let piece = match Piece::new(batch, parts, next) {
                Ok(piece) => piece,
                Err(why) => {
                    return (
                        pieces,
                        damaged(format!("the batch at {}: {why}", batch.start)),
                    );
                }
            };
            next = piece.end;
            self.next = Some(next);
            pieces.push(piece);
        }
        (pieces, None)
    }
}
