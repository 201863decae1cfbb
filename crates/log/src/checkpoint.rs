//! The state as bytes: the same bytes for the same state, whatever was
//! forgotten on the way to it.
//!
//! Little-endian; `opt` is a u8 0, or 1 and the thing; a name is a u8 length
//! and its bytes; ids rise within a list:
//!
//! ```text
//! u32 magic "PXLC"   u8 version, 2   3 x u8 0
//! opt(u64 slot, u32 index) applied   u64 last timestamp
//! u64 next log   u64 next producer
//! u32 count, logs:
//!   u64 id, name, u64 trim point, u64 tail, u8 sealed, u64 version,
//!   u64 created, opt(u64) last timestamp, u64 bytes appended,
//!   settings: u64 age in ns, u64 bytes, u32 batch bytes, u64 bytes a second,
//!   opt(name) fence, u32 count, cursors in the order of their names:
//!     name, u64 offset, u64 when set
//! u32 count, producers:
//!   u64 id, opt(name), u32 epoch, u64 slot, u32 index (last used),
//!   opt(u64) last log, opt(last receipt)
//!   u32 count, openings: u128 nonce, u32 epoch, opt(last receipt)
//!   opt(ended: u64 sequence, refusal, opt(u64) version)
//!   u64 next sequence, u32 count, receipts up to it
//! u64 digest of all the above
//!
//! receipt       u8 kind: 3 appended  u64 log, u64 start, u32 records, u64 timestamp, u64 version
//!                        2 created   u64 log, u64 version, u8 existed
//!                        4 trimmed   u64 log, u64 trim point, u64 tail, u64 version
//!                        5 sealed    u64 log, u64 tail, u64 version
//!                        6 altered   u64 log, u64 version
//!                        7 deleted   u64 log, u64 version
//!                        8 fence set u64 log, u64 tail, u64 version
//!                        9 cursor set      u64 log, u64 offset, u64 version
//!                       10 cursor deleted  u64 log, u64 version
//! last receipt  u32 epoch, u64 sequence, receipt
//! refusal       u8 kind, u64 argument (0 if it has none)
//! ```
//!
//! The decoder takes any bytes: it allocates no more than a small multiple of
//! what it was given, and refuses what could not have been encoded, so that a
//! damaged or foreign file can't become a state that panics later.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;

use crate::codec::{DecodeError, Reader, Writer};
use crate::describe::Cursor;
use crate::digest::digest;
use crate::ids::{LogId, Offset, Position, ProducerId, Timestamp};
use crate::limits::{
    CURSORS_PER_LOG_MAX, LOGS_MAX, OPENINGS_MAX, PRODUCERS_MAX, RECEIPTS_MAX,
    RECEIPTS_PER_PRODUCER_MAX,
};
use crate::log::Log;
use crate::names::{CursorName, FenceToken, LogName, ProducerName};
use crate::outcome::{LastReceipt, Receipt};
use crate::producer::{Ended, Opening, Producer};
use crate::receipts::Receipts;
use crate::refusal::{Invalidity, Refusal};
use crate::state::State;

/// Why bytes are no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// They do not begin as one.
    #[error("not a checkpoint of the replicated state")]
    NotOne,
    /// Their digest is another than the one they carry.
    #[error("the checkpoint is damaged")]
    Damaged,
    /// A field can't be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Two parts contradict each other.
    #[error("the checkpoint contradicts itself: {0}")]
    Contradiction(&'static str),
}

pub(crate) fn encode(state: &State) -> Vec<u8> {
    let mut bytes = BytesMut::with_capacity(
        256 + state.logs.by_id.len() * 96
            + state.producers.by_id.len() * 128
            + state.receipts() as usize * 37,
    );
    let mut w = Writer(&mut bytes);
    w.u32(MAGIC);
    w.u32(VERSION);
    w.opt(state.applied, |w, at| w.position(at));
    w.u64(state.last_timestamp.0);
    w.u64(state.logs.next);
    w.u64(state.producers.next);
    w.u32(state.logs.by_id.len() as u32);
    for (id, log) in &state.logs.by_id {
        w.u64(id.0);
        w.log(log);
    }
    w.u32(state.producers.by_id.len() as u32);
    for (id, producer) in &state.producers.by_id {
        w.u64(id.0);
        w.producer(producer);
    }
    let sum = digest(&bytes);
    Writer(&mut bytes).u64(sum);
    bytes.to_vec()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<State, CheckpointError> {
    let mut head = Reader::new(bytes);
    if head.u32() != Ok(MAGIC) {
        return Err(CheckpointError::NotOne);
    }
    let version = head.u32()?;
    if version != VERSION {
        return Err(DecodeError::Version {
            version: version as u8,
        }
        .into());
    }
    let (body, sum) = bytes.split_last_chunk::<8>().ok_or(DecodeError::Short)?;
    if digest(body) != u64::from_le_bytes(*sum) {
        return Err(CheckpointError::Damaged);
    }
    let mut r = Reader::new(body.get(8..).ok_or(DecodeError::Short)?);
    let mut state = State::new();
    state.applied = r.opt(|r| r.position())?;
    state.last_timestamp = Timestamp(r.u64()?);
    state.logs.next = r.u64()?;
    state.producers.next = r.u64()?;
    let nexts = [state.logs.next, state.producers.next];
    ensure(nexts.iter().all(|next| *next > 0), "an id of 0 to come")?;
    ensure(
        nexts.iter().all(|next| *next <= COUNT_MAX),
        "ids nearly spent",
    )?;
    decode_logs(&mut r, &mut state)?;
    decode_producers(&mut r, &mut state)?;
    r.end()?;
    Ok(state)
}

fn decode_logs(r: &mut Reader<'_>, state: &mut State) -> Result<(), CheckpointError> {
    let count = r.count(LOG_BYTES_MIN)?;
    ensure(count <= LOGS_MAX, "too many logs")?;
    let mut above = 0;
    for _ in 0..count {
        let id = r.u64()?;
        ensure(above < id && id < state.logs.next, "log ids out of order")?;
        above = id;
        let log = r.log()?;
        ensure(log.trim_point <= log.tail, "a trim point beyond its tail")?;
        ensure(log.version <= COUNT_MAX, "versions nearly spent")?;
        let within = log.cursors.values().all(|cursor| cursor.at <= log.tail);
        ensure(within, "a cursor beyond its log's tail")?;
        let fresh = state
            .logs
            .by_name
            .insert(log.name.clone(), LogId(id))
            .is_none();
        ensure(fresh, "two logs of one name")?;
        state.logs.by_id.insert(LogId(id), Arc::new(log));
    }
    Ok(())
}

fn decode_producers(r: &mut Reader<'_>, state: &mut State) -> Result<(), CheckpointError> {
    let count = r.count(PRODUCER_BYTES_MIN)?;
    ensure(count <= PRODUCERS_MAX, "too many producers")?;
    let mut above = 0;
    for _ in 0..count {
        let id = r.u64()?;
        ensure(
            above < id && id < state.producers.next,
            "producer ids out of order",
        )?;
        above = id;
        let producer = r.producer()?;
        ensure(
            Some(producer.used) <= state.applied,
            "a producer used later than anything was applied",
        )?;
        let newest = producer.openings.last().map(|opening| opening.epoch);
        ensure(
            newest == Some(producer.epoch),
            "a producer's epoch is not its last opening's",
        )?;
        ensure(
            producer.name.is_some() || producer.openings.len() == 1,
            "a nameless producer opened twice",
        )?;
        ensure(
            producer.receipts.next() <= COUNT_MAX,
            "sequences nearly spent",
        )?;
        let at_end = producer
            .ended
            .is_none_or(|ended| ended.sequence == producer.receipts.next());
        ensure(
            at_end,
            "an epoch that ended elsewhere than at its next sequence",
        )?;
        state.logs.move_producer(None, producer.last_log);
        let fresh = state.producers.restore(ProducerId(id), producer);
        ensure(fresh, "two producers of one name, nonce or use")?;
    }
    // One producer alone may pass neither bound, so one is never over both.
    ensure(state.receipts() <= RECEIPTS_MAX, "too many receipts")
}

fn ensure(holds: bool, otherwise: &'static str) -> Result<(), CheckpointError> {
    if holds {
        Ok(())
    } else {
        Err(CheckpointError::Contradiction(otherwise))
    }
}

impl Writer<'_> {
    fn opt<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn position(&mut self, at: Position) {
        self.u64(at.slot);
        self.u32(at.index);
    }

    fn log(&mut self, log: &Log) {
        self.name(log.name.as_str());
        self.u64(log.trim_point.0);
        self.u64(log.tail.0);
        self.bool(log.sealed);
        self.u64(log.version);
        self.u64(log.created.0);
        self.opt(log.last_timestamp, |w, at| w.u64(at.0));
        self.u64(log.bytes_appended);
        self.config(&log.config);
        self.opt(log.fence.as_ref(), |w, fence| w.name(fence.as_str()));
        self.u32(log.cursors.len() as u32);
        for (name, cursor) in log.cursors.iter() {
            self.name(name.as_str());
            self.u64(cursor.at.0);
            self.u64(cursor.set.0);
        }
    }

    fn producer(&mut self, producer: &Producer) {
        self.opt(producer.name.as_ref(), |w, name| w.name(name.as_str()));
        self.u32(producer.epoch);
        self.position(producer.used);
        self.opt(producer.last_log, |w, log| w.u64(log.0));
        self.opt(producer.last, Self::last_receipt);
        self.u32(producer.openings.len() as u32);
        for opening in &producer.openings {
            self.u128(opening.nonce);
            self.u32(opening.epoch);
            self.opt(opening.last, Self::last_receipt);
        }
        self.opt(producer.ended, |w, ended| {
            w.u64(ended.sequence);
            w.refusal(ended.why);
            w.opt(ended.version, Self::u64);
        });
        self.u64(producer.receipts.next());
        self.u32(producer.receipts.len() as u32);
        for receipt in producer.receipts.iter() {
            self.receipt(receipt);
        }
    }

    fn last_receipt(&mut self, last: LastReceipt) {
        self.u32(last.epoch);
        self.u64(last.sequence);
        self.receipt(last.receipt);
    }

    fn receipt(&mut self, receipt: Receipt) {
        match receipt {
            Receipt::Created {
                log,
                version,
                existed,
            } => {
                self.u8(2);
                self.u64(log.0);
                self.u64(version);
                self.bool(existed);
            }
            Receipt::Appended {
                log,
                start,
                records,
                timestamp,
                version,
            } => {
                self.u8(3);
                self.u64(log.0);
                self.u64(start.0);
                self.u32(records);
                self.u64(timestamp.0);
                self.u64(version);
            }
            Receipt::Trimmed {
                log,
                trim_point,
                tail,
                version,
            } => {
                self.u8(4);
                self.u64(log.0);
                self.u64(trim_point.0);
                self.u64(tail.0);
                self.u64(version);
            }
            Receipt::Sealed { log, tail, version } => {
                self.u8(5);
                self.u64(log.0);
                self.u64(tail.0);
                self.u64(version);
            }
            Receipt::Altered { log, version } => {
                self.u8(6);
                self.u64(log.0);
                self.u64(version);
            }
            Receipt::Deleted { log, version } => {
                self.u8(7);
                self.u64(log.0);
                self.u64(version);
            }
            Receipt::FenceSet { log, tail, version } => {
                self.u8(8);
                self.u64(log.0);
                self.u64(tail.0);
                self.u64(version);
            }
            Receipt::CursorSet { log, at, version } => {
                self.u8(9);
                self.u64(log.0);
                self.u64(at.0);
                self.u64(version);
            }
            Receipt::CursorDeleted { log, version } => {
                self.u8(10);
                self.u64(log.0);
                self.u64(version);
            }
        }
    }

    fn refusal(&mut self, refusal: Refusal) {
        let (kind, argument) = match refusal {
            Refusal::Fenced { epoch } => (1, epoch.into()),
            Refusal::DedupExpired => (2, 0),
            Refusal::SequenceGap { expected } => (3, expected),
            Refusal::Sealed { tail } => (4, tail.0),
            Refusal::NotFound => (5, 0),
            Refusal::AlreadyExists { log } => (6, log.0),
            Refusal::LogDeleted => (7, 0),
            Refusal::TooLarge { limit } => (8, limit),
            Refusal::Invalid(why) => (9, invalidity_number(why)),
            Refusal::TailMismatch { tail } => (10, tail.0),
            Refusal::OffsetOutOfRange { tail } => (11, tail.0),
            Refusal::OtherFence => (12, 0),
            Refusal::NoCursor => (13, 0),
            Refusal::CursorMismatch { at: None } => (14, 0),
            Refusal::CursorMismatch { at: Some(at) } => (15, at.0),
        };
        self.u8(kind);
        self.u64(argument);
    }
}

impl Reader<'_> {
    fn opt<T>(
        &mut self,
        take: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.bool()? {
            true => take(self).map(Some),
            false => Ok(None),
        }
    }

    fn position(&mut self) -> Result<Position, DecodeError> {
        Ok(Position {
            slot: self.u64()?,
            index: self.u32()?,
        })
    }

    fn log(&mut self) -> Result<Log, DecodeError> {
        Ok(Log {
            name: LogName::new(self.name()?)?,
            trim_point: Offset(self.u64()?),
            tail: Offset(self.u64()?),
            sealed: self.bool()?,
            version: self.u64()?,
            created: Timestamp(self.u64()?),
            last_timestamp: self.opt(|r| Ok(Timestamp(r.u64()?)))?,
            bytes_appended: self.u64()?,
            config: self.config()?,
            fence: self.opt(|r| Ok(FenceToken::new(r.name()?)?))?,
            cursors: Arc::new(self.cursors()?),
            producers: 0,
        })
    }

    fn cursors(&mut self) -> Result<BTreeMap<CursorName, Cursor>, DecodeError> {
        let count = self.count(CURSOR_BYTES_MIN)?;
        if count > CURSORS_PER_LOG_MAX {
            return Err(DecodeError::Malformed("too many cursors of one log"));
        }
        let mut cursors = BTreeMap::new();
        for _ in 0..count {
            let name = CursorName::new(self.name()?)?;
            if cursors
                .last_key_value()
                .is_some_and(|(last, _)| *last >= name)
            {
                return Err(DecodeError::Malformed("cursors out of order"));
            }
            let cursor = Cursor {
                at: Offset(self.u64()?),
                set: Timestamp(self.u64()?),
            };
            cursors.insert(name, cursor);
        }
        Ok(cursors)
    }

    fn producer(&mut self) -> Result<Producer, DecodeError> {
        let name = self.opt(|r| Ok(ProducerName::new(r.name()?)?))?;
        let epoch = self.u32()?;
        let used = self.position()?;
        let last_log = self.opt(|r| Ok(LogId(r.u64()?)))?;
        let last = self.opt(Self::last_receipt)?;
        let count = self.count(OPENING_BYTES_MIN)?;
        if count > OPENINGS_MAX {
            return Err(DecodeError::Malformed("too many openings of one producer"));
        }
        let mut openings = Vec::with_capacity(count);
        for _ in 0..count {
            openings.push(Opening {
                nonce: self.u128()?,
                epoch: self.u32()?,
                last: self.opt(Self::last_receipt)?,
            });
        }
        let ended = self.opt(|r| {
            Ok(Ended {
                sequence: r.u64()?,
                why: r.refusal()?,
                version: r.opt(Self::u64)?,
            })
        })?;
        let next = self.u64()?;
        let count = self.count(RECEIPT_BYTES_MIN)? as u64;
        // The last 4,096 or, of a younger epoch, all.
        if count != next.min(RECEIPTS_PER_PRODUCER_MAX as u64) {
            return Err(DecodeError::Malformed(
                "another number of receipts than are kept",
            ));
        }
        let mut receipts = Receipts::starting_at(next - count);
        for _ in 0..count {
            receipts.push(self.receipt()?);
        }
        Ok(Producer {
            name,
            epoch,
            used,
            last_log,
            openings,
            ended,
            last,
            receipts,
        })
    }

    fn last_receipt(&mut self) -> Result<LastReceipt, DecodeError> {
        Ok(LastReceipt {
            epoch: self.u32()?,
            sequence: self.u64()?,
            receipt: self.receipt()?,
        })
    }

    fn receipt(&mut self) -> Result<Receipt, DecodeError> {
        let kind = self.u8()?;
        let log = LogId(self.u64()?);
        Ok(match kind {
            2 => Receipt::Created {
                log,
                version: self.u64()?,
                existed: self.bool()?,
            },
            3 => {
                let (start, records) = (Offset(self.u64()?), self.u32()?);
                if start.0.checked_add(records.into()).is_none() {
                    return Err(DecodeError::Malformed(
                        "a batch that ends beyond every offset",
                    ));
                }
                let (timestamp, version) = (Timestamp(self.u64()?), self.u64()?);
                Receipt::Appended {
                    log,
                    start,
                    records,
                    timestamp,
                    version,
                }
            }
            4 => Receipt::Trimmed {
                log,
                trim_point: Offset(self.u64()?),
                tail: Offset(self.u64()?),
                version: self.u64()?,
            },
            5 => Receipt::Sealed {
                log,
                tail: Offset(self.u64()?),
                version: self.u64()?,
            },
            6 => Receipt::Altered {
                log,
                version: self.u64()?,
            },
            7 => Receipt::Deleted {
                log,
                version: self.u64()?,
            },
            8 => Receipt::FenceSet {
                log,
                tail: Offset(self.u64()?),
                version: self.u64()?,
            },
            9 => Receipt::CursorSet {
                log,
                at: Offset(self.u64()?),
                version: self.u64()?,
            },
            10 => Receipt::CursorDeleted {
                log,
                version: self.u64()?,
            },
            _ => return Err(DecodeError::Malformed("an unknown kind of receipt")),
        })
    }

    fn refusal(&mut self) -> Result<Refusal, DecodeError> {
        let kind = self.u8()?;
        let argument = self.u64()?;
        Ok(match (kind, argument) {
            (1, _) => Refusal::Fenced {
                epoch: u32::try_from(argument)
                    .map_err(|_| DecodeError::Malformed("an epoch beyond u32"))?,
            },
            (2, 0) => Refusal::DedupExpired,
            (3, expected) => Refusal::SequenceGap { expected },
            (4, tail) => Refusal::Sealed { tail: Offset(tail) },
            (5, 0) => Refusal::NotFound,
            (6, log) => Refusal::AlreadyExists { log: LogId(log) },
            (7, 0) => Refusal::LogDeleted,
            (8, limit) => Refusal::TooLarge { limit },
            (9, why) => Refusal::Invalid(
                INVALIDITIES
                    .into_iter()
                    .find(|&known| invalidity_number(known) == why)
                    .ok_or(DecodeError::Malformed("an unknown kind of invalid"))?,
            ),
            (10, tail) => Refusal::TailMismatch { tail: Offset(tail) },
            (11, tail) => Refusal::OffsetOutOfRange { tail: Offset(tail) },
            (12, 0) => Refusal::OtherFence,
            (13, 0) => Refusal::NoCursor,
            (14, 0) => Refusal::CursorMismatch { at: None },
            (15, at) => Refusal::CursorMismatch {
                at: Some(Offset(at)),
            },
            _ => return Err(DecodeError::Malformed("an unknown kind of refusal")),
        })
    }
}

fn invalidity_number(why: Invalidity) -> u64 {
    match why {
        Invalidity::EmptyBatch => 1,
        Invalidity::NotNumbered => 2,
        Invalidity::Numbered => 3,
        Invalidity::UnknownProducer => 4,
        Invalidity::EpochAhead => 5,
        Invalidity::SequenceReused => 6,
        Invalidity::EpochsSpent => 7,
    }
}

const INVALIDITIES: [Invalidity; 7] = [
    Invalidity::EmptyBatch,
    Invalidity::NotNumbered,
    Invalidity::Numbered,
    Invalidity::UnknownProducer,
    Invalidity::EpochAhead,
    Invalidity::SequenceReused,
    Invalidity::EpochsSpent,
];

const MAGIC: u32 = u32::from_le_bytes(*b"PXLC");
const VERSION: u32 = 2;
/// What is counted one by one never comes near it; so `+ 1` can't overflow.
const COUNT_MAX: u64 = u64::MAX / 2;
/// The shortest a log can be: its id, a name of one byte, no last timestamp, fence and cursors.
const LOG_BYTES_MIN: usize = 8 + 2 + 8 + 8 + 1 + 8 + 8 + 1 + 8 + 28 + 1 + 4;
/// The shortest cursor: a name of one byte.
const CURSOR_BYTES_MIN: usize = 2 + 8 + 8;
/// The shortest opening: no last receipt.
const OPENING_BYTES_MIN: usize = 16 + 4 + 1;
/// The shortest receipt: altered.
const RECEIPT_BYTES_MIN: usize = 1 + 8 + 8;
/// The shortest producer: no name, log, receipt; one opening.
const PRODUCER_BYTES_MIN: usize = 8 + 1 + 4 + 12 + 1 + 1 + 4 + OPENING_BYTES_MIN + 1 + 8 + 4;

#[cfg(test)]
mod tests;
