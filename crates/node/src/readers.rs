//! Readers: where each stands, what it may be sent, and what it waits for.
//!
//! A reader holds only its own credit. It is moved on when its log grew, when
//! credit came, or when a cold range was read; it never holds up an append,
//! another reader, or retention: what is trimmed under it becomes a gap.

use std::collections::{BTreeMap, BTreeSet};

use paxlog_log::{LogId, Offset, State};
use paxlog_wire::client::EndReason;
use paxlog_wire::{Code, WireError};

use crate::effect::{Effect, Effects, ReaderEffect};
use crate::event::ReaderId;
use crate::index::{Found, Index};

/// The most bytes of batches handed out in one effect.
const CHUNK_BYTES: u64 = 256 << 10;

/// The most credit that a reader holds, whatever its client says.
pub(crate) const CREDIT_BYTES_MAX: u64 = 16 << 20;

/// How a stream of records ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Never by itself, but at a sealed log's end.
    Tail {
        /// The tail that was last said to be reached.
        caught_up: Option<Offset>,
    },
    /// At a bound.
    Read {
        /// Not beyond this offset, and why.
        until: Option<(Offset, EndReason)>,
        /// Once so many bytes went out.
        bytes_left: Option<u64>,
        /// Before the first batch of this time; 0 for none.
        until_timestamp: u64,
        /// How long to wait at the tail, monotonic ns; then the read is over.
        wait_until: u64,
        /// Trimmed records are an error.
        strict: bool,
    },
}

/// A reader.
#[derive(Debug)]
pub(crate) struct Reader {
    /// Its log.
    pub log: LogId,
    /// The next offset it gets.
    pub next: Offset,
    /// Bytes it may be sent; below 0 after a batch that was larger than its
    /// credit.
    pub credit: i64,
    /// Bytes sent and not credited back.
    pub outstanding: u64,
    /// How it ends.
    pub mode: Mode,
    /// A cold range is being read; nothing is sent meanwhile.
    pub cold: bool,
}

/// All readers.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    by_id: BTreeMap<ReaderId, Reader>,
    /// Those that reached their log's tail.
    at_tail: BTreeMap<LogId, BTreeSet<ReaderId>>,
    /// Those whose next batch is applied, its frame not durable here yet: the
    /// others made it chosen, and this replica may not even have written it.
    before_durable: BTreeSet<ReaderId>,
}

/// What pumping a reader needs to look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// The applied state.
    pub state: &'a State,
    /// Where batches lie.
    pub index: &'a Index,
    /// Monotonic ns.
    pub now: u64,
    /// Frames below this position can be read.
    pub(crate) durable: u64,
}

impl Readers {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Adds a reader and sends what there is.
    pub(crate) fn open(&mut self, id: ReaderId, reader: Reader, view: View<'_>, fx: &mut Effects) {
        self.by_id.insert(id, reader);
        self.pump(id, view, fx);
    }

    /// The stream ended.
    pub(crate) fn close(&mut self, id: ReaderId) {
        self.before_durable.remove(&id);
        if let Some(reader) = self.by_id.remove(&id)
            && let Some(waiting) = self.at_tail.get_mut(&reader.log)
        {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.at_tail.remove(&reader.log);
            }
        }
    }

    /// The reader may be sent so many bytes more.
    pub(crate) fn credit(&mut self, id: ReaderId, bytes: u64, view: View<'_>, fx: &mut Effects) {
        let Some(reader) = self.by_id.get_mut(&id) else {
            return;
        };
        let bytes = bytes.min(CREDIT_BYTES_MAX);
        reader.credit = reader
            .credit
            .saturating_add(bytes as i64)
            .min(CREDIT_BYTES_MAX as i64);
        reader.outstanding = reader.outstanding.saturating_sub(bytes);
        self.pump(id, view, fx);
    }

    /// A cold range was sent.
    pub(crate) fn cold_read(
        &mut self,
        id: ReaderId,
        next: Offset,
        bytes: u64,
        view: View<'_>,
        fx: &mut Effects,
    ) {
        let Some(reader) = self.by_id.get_mut(&id) else {
            return;
        };
        reader.cold = false;
        if next <= reader.next {
            // Nothing was found, or nothing below the bound of time.
            if let Mode::Read {
                until_timestamp, ..
            } = reader.mode
                && until_timestamp > 0
            {
                self.end(id, EndReason::Until, view, fx);
            } else {
                self.fail(id, corrupt(), fx);
            }
            return;
        }
        reader.sent(next, bytes);
        self.pump(id, view, fx);
    }

    /// A cold range can't be read: it was trimmed meanwhile, or is damaged.
    pub(crate) fn cold_failed(&mut self, id: ReaderId, view: View<'_>, fx: &mut Effects) {
        let Some(reader) = self.by_id.get_mut(&id) else {
            return;
        };
        if view
            .state
            .describe(reader.log)
            .is_some_and(|log| reader.next < log.trim_point)
        {
            reader.cold = false;
            self.pump(id, view, fx);
        } else {
            self.fail(id, corrupt(), fx);
        }
    }

    /// The log grew, was trimmed or sealed.
    pub(crate) fn log_changed(&mut self, log: LogId, view: View<'_>, fx: &mut Effects) {
        // Taken out: each is put back by `pump` if it still stands at the tail.
        for id in self.at_tail.remove(&log).unwrap_or_default() {
            self.pump(id, view, fx);
        }
    }

    /// The write-ahead log became durable further.
    pub(crate) fn durable_advanced(&mut self, view: View<'_>, fx: &mut Effects) {
        // Taken out: each is put back by `pump` if it still waits.
        for id in std::mem::take(&mut self.before_durable) {
            self.pump(id, view, fx);
        }
    }

    /// Ends the reads that waited long enough at the tail.
    pub(crate) fn sweep(&mut self, view: View<'_>, fx: &mut Effects) {
        let over =
            |mode: &Mode| matches!(mode, Mode::Read { wait_until, .. } if *wait_until <= view.now);
        let waiting = self.at_tail.values().flatten();
        let done: Vec<ReaderId> = waiting
            .filter(|id| self.by_id.get(id).is_some_and(|reader| over(&reader.mode)))
            .copied()
            .collect();
        for id in done {
            self.end(id, EndReason::Tail, view, fx);
        }
    }

    /// Whether any read waits at the tail for a time to pass.
    pub(crate) fn any_waiting_read(&self) -> bool {
        let mut waiting = self.at_tail.values().flatten();
        waiting.any(|id| {
            matches!(
                self.by_id.get(id),
                Some(Reader {
                    mode: Mode::Read { .. },
                    ..
                })
            )
        })
    }

    fn fail(&mut self, id: ReaderId, error: WireError, fx: &mut Effects) {
        if self.by_id.contains_key(&id) {
            fx.push(Effect::Reader(id, ReaderEffect::Refused(error)));
            self.close(id);
        }
    }

    fn end(&mut self, id: ReaderId, reason: EndReason, view: View<'_>, fx: &mut Effects) {
        if let Some(reader) = self.by_id.get(&id) {
            let next = reader.next;
            let tail = view.state.describe(reader.log).map_or(next, |log| log.tail);
            fx.push(Effect::Reader(id, ReaderEffect::End { next, tail, reason }));
            self.close(id);
        }
    }

    /// Sends a reader what its credit allows.
    fn pump(&mut self, id: ReaderId, view: View<'_>, fx: &mut Effects) {
        loop {
            let Some(reader) = self.by_id.get_mut(&id) else {
                return;
            };
            if reader.cold {
                return;
            }
            let Some(log) = view.state.describe(reader.log) else {
                self.fail(
                    id,
                    WireError::new(Code::LogDeleted, "the log was deleted"),
                    fx,
                );
                return;
            };
            if reader.next < log.trim_point {
                if let Mode::Read { strict: true, .. } = reader.mode {
                    self.fail(id, trimmed(log.trim_point), fx);
                    return;
                }
                reader.next = log.trim_point;
                fx.push(Effect::Reader(id, ReaderEffect::Gap(log.trim_point)));
            }
            if let Mode::Read {
                until: Some((until, reason)),
                ..
            } = reader.mode
                && reader.next >= until
            {
                self.end(id, reason, view, fx);
                return;
            }
            if let Mode::Read {
                bytes_left: Some(0),
                ..
            } = reader.mode
            {
                self.end(id, EndReason::Limit, view, fx);
                return;
            }
            if reader.next >= log.tail {
                self.at_end(id, log.tail, log.sealed, view, fx);
                return;
            }
            // A batch larger than all credit goes out once everything before it was credited back.
            if reader.credit <= 0 && reader.outstanding > 0 {
                return;
            }
            let mut bytes_max = CHUNK_BYTES
                .min(u64::try_from(reader.credit).unwrap_or(0))
                .max(1);
            let (mut until, mut until_timestamp) = (log.tail, 0);
            if let Mode::Read {
                until: bound,
                bytes_left,
                until_timestamp: time,
                ..
            } = reader.mode
            {
                until = bound.map_or(until, |(bound, _)| bound.min(until));
                bytes_max = bytes_left.map_or(bytes_max, |left| left.min(bytes_max));
                until_timestamp = time;
            }
            match view.index.find(reader.log, reader.next, bytes_max) {
                Found::Recent(mut batches) => {
                    let first = batches
                        .first()
                        .map_or(0, |batch| u64::from(batch.place.len));
                    if reader.outstanding > 0
                        && i64::try_from(first).unwrap_or(i64::MAX) > reader.credit
                    {
                        return;
                    }
                    let readable = batches
                        .iter()
                        .take_while(|batch| batch.place.lsn < view.durable)
                        .count();
                    if readable == 0 {
                        self.before_durable.insert(id);
                        return;
                    }
                    batches.truncate(readable);
                    batches.retain(|batch| batch.start < until);
                    if until_timestamp > 0 {
                        let before =
                            batches.partition_point(|batch| batch.timestamp.0 < until_timestamp);
                        batches.truncate(before);
                    }
                    let Some(last) = batches.last() else {
                        self.end(id, EndReason::Until, view, fx);
                        return;
                    };
                    let bytes = batches.iter().map(|batch| u64::from(batch.place.len)).sum();
                    reader.sent(last.end(), bytes);
                    fx.push(Effect::Reader(id, ReaderEffect::Batches(batches)));
                }
                Found::Cold(segments) => {
                    reader.cold = true;
                    let (log, from) = (reader.log, reader.next);
                    fx.push(Effect::Reader(
                        id,
                        ReaderEffect::Cold {
                            log,
                            from,
                            until,
                            until_timestamp,
                            bytes_max,
                            segments,
                        },
                    ));
                    return;
                }
                Found::Nowhere => {
                    self.fail(id, corrupt(), fx);
                    return;
                }
            }
        }
    }

    /// The reader stands at the tail.
    fn at_end(
        &mut self,
        id: ReaderId,
        tail: Offset,
        sealed: bool,
        view: View<'_>,
        fx: &mut Effects,
    ) {
        let Some(reader) = self.by_id.get_mut(&id) else {
            return;
        };
        let log = reader.log;
        match &mut reader.mode {
            Mode::Tail { caught_up } => {
                if sealed {
                    fx.push(Effect::Reader(id, ReaderEffect::Sealed(tail)));
                    self.close(id);
                    return;
                }
                if *caught_up != Some(tail) {
                    *caught_up = Some(tail);
                    fx.push(Effect::Reader(id, ReaderEffect::CaughtUp(tail)));
                }
            }
            Mode::Read { wait_until, .. } => {
                let reason = if sealed {
                    EndReason::Sealed
                } else {
                    EndReason::Tail
                };
                if sealed || *wait_until <= view.now {
                    self.end(id, reason, view, fx);
                    return;
                }
            }
        }
        self.at_tail.entry(log).or_default().insert(id);
    }
}

impl Reader {
    fn sent(&mut self, next: Offset, bytes: u64) {
        self.next = next;
        self.credit = self
            .credit
            .saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        self.outstanding = self.outstanding.saturating_add(bytes);
        if let Mode::Read {
            bytes_left: Some(left),
            ..
        } = &mut self.mode
        {
            *left = left.saturating_sub(bytes);
        }
    }
}

/// What a strict reader is told where records are gone.
pub fn trimmed(trim_point: Offset) -> WireError {
    let mut error = WireError::new(
        Code::Trimmed,
        format!("offsets below {trim_point} were trimmed"),
    );
    error.trim_point = Some(trim_point.0);
    error
}

/// What a reader is told where records can't be read here.
pub fn corrupt() -> WireError {
    WireError::new(
        Code::Corrupt,
        "this replica's copy of these records is damaged: read them at another replica",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_holds_bounded_credit_whatever_its_client_says() {
        let (state, index) = (State::new(), Index::default());
        let view = View {
            state: &state,
            index: &index,
            now: 0,
            durable: 0,
        };
        let reader = Reader {
            log: LogId(1),
            next: Offset(0),
            credit: 10,
            outstanding: 1 << 40,
            mode: Mode::Tail { caught_up: None },
            // So that it is not moved on.
            cold: true,
        };
        let (mut readers, mut fx) = (Readers::default(), Effects::default());
        readers.open(ReaderId(1), reader, view, &mut fx);
        for bytes in [u64::MAX, 1 << 63, u64::MAX] {
            readers.credit(ReaderId(1), bytes, view, &mut fx);
            let reader = &readers.by_id[&ReaderId(1)];
            assert_eq!(reader.credit, CREDIT_BYTES_MAX as i64);
        }
        assert!(fx.list.is_empty());
    }
}
