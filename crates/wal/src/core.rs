//! What is appended, written and synced: a state machine without IO.
//!
//! Verbs: [`append`](Core::append), [`state`](Core::state), [`mark`](Core::mark),
//! [`retire`](Core::retire), [`seal`](Core::seal) give places at once. What to do comes from
//! [`next_write`](Core::next_write) and [`next_sync`](Core::next_sync), at most one of each at a
//! time, and its result goes back into [`written`](Core::written) and [`synced`](Core::synced).
//! [`next_activation`](Core::next_activation) says which segment must be made ready.
//!
//! `durable <= written <= tail`, and none of them ever goes back.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::error::Failed;
use crate::frame::{BLOCK, FIRST, FLAG_OWNED, FrameMeta, HEADER, Kind, PAYLOAD_MAX, frame_bytes};
use crate::lsn::Lsn;
use crate::seal::{ENTRY, TRAILER, encode_ranges};
use crate::write::{Chain, Queued, WriteOp};

/// STATE flag: at some opening both copies of a newer state may have been lost. Sticky.
pub(crate) const FLAG_LOST: u16 = 2;
/// Bytes of frames after which a write ends, so that what it wrote can be synced.
const WRITE_BYTES_MAX: u64 = 1 << 20;
static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// Counters that only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
}

/// A sync to be done: every file of `seqs`, in order.
#[derive(Clone, Debug)]
pub(crate) struct SyncOp {
    pub(crate) target: Lsn,
    pub(crate) seqs: std::ops::RangeInclusive<u64>,
    /// What it will make durable.
    pub(crate) covers: Counts,
    counts: Counts,
}

/// See the module.
pub(crate) struct Core {
    wal: u32,
    segment_bytes: u64,
    /// Where the next frame begins.
    tail: Lsn,
    /// Frames in the tail's segment.
    tail_frames: u64,
    /// Where the tail stood after the last MARK or at the start: nothing to cover since.
    marked: Lsn,
    /// The owner's state; repeated at heads.
    state: Option<Bytes>,
    lost: bool,
    /// Segments that must exist, the tail's included.
    live: BTreeSet<u64>,
    /// The last frame was a seal for closing: nothing may follow.
    closed: bool,
    queue: VecDeque<Queued>,
    parts: VecDeque<Bytes>,
    appended: Counts,
    /// With the writer while a write is out.
    chain: Option<Chain>,
    written: Lsn,
    written_counts: Counts,
    /// Every segment up to this one exists, durably.
    activated: u64,
    durable: Lsn,
    durable_counts: Counts,
    sync_out: bool,
    failed: Option<Failed>,
    /// Vectors of the last write, for the next.
    spare: Option<(Vec<Queued>, Vec<Bytes>)>,
}

/// What a core starts from.
pub(crate) struct Start {
    pub(crate) wal: u32,
    pub(crate) segment_bytes: u64,
    /// The new segment, activated.
    pub(crate) seq: u64,
    /// hcrc of the last frame of its predecessor.
    pub(crate) prev: u32,
    pub(crate) state: Option<Bytes>,
    pub(crate) lost: bool,
    pub(crate) live: BTreeSet<u64>,
}

impl Core {
    /// A core at the head of a new segment, its STATE queued.
    pub(crate) fn new(start: Start) -> Core {
        let at = Lsn::at(start.seq, FIRST);
        let mut core = Core {
            wal: start.wal,
            segment_bytes: start.segment_bytes,
            tail: at,
            tail_frames: 0,
            marked: Lsn::ZERO,
            state: start.state,
            lost: start.lost,
            live: start.live,
            closed: false,
            queue: VecDeque::new(),
            parts: VecDeque::new(),
            appended: Counts::default(),
            chain: Some(Chain {
                prev: start.prev,
                index: Vec::new(),
            }),
            written: at,
            written_counts: Counts::default(),
            activated: start.seq,
            durable: at,
            durable_counts: Counts::default(),
            sync_out: false,
            failed: None,
            spare: None,
        };
        core.live.insert(start.seq);
        core.push_state();
        core
    }

    /// Largest payload that [`append`](Core::append) takes: it must fit a fresh segment behind its
    /// STATE.
    pub(crate) fn payload_bytes_max(&self) -> u64 {
        let head = FIRST + self.state_span(FIRST, self.state_payload_max());
        // STATE, filler, STATE, the frame; two more for a MARK and its filler.
        let seal = frame_bytes(6 * ENTRY) + TRAILER;
        (self.segment_bytes.saturating_sub(head + seal + HEADER) / 64 * 64).min(PAYLOAD_MAX)
    }

    /// Largest STATE payload.
    fn state_payload_max(&self) -> u64 {
        self.segment_bytes / 16
    }

    /// Largest state of the owner's; the rest is for the list of segments.
    pub(crate) fn state_bytes_max(&self) -> u64 {
        self.state_payload_max() / 2
    }

    /// Appends one frame. The caller checked its length.
    pub(crate) fn append(&mut self, meta: FrameMeta, parts: &[Bytes]) -> Lsn {
        let len: usize = parts.iter().map(Bytes::len).sum();
        if !self.fits(frame_bytes(len as u64), 1) {
            self.roll();
            assert!(
                self.fits(frame_bytes(len as u64), 1),
                "a frame within the limit fits a fresh segment"
            );
        }
        self.push(meta, 0, len as u32, parts)
    }

    /// Stores the owner's state: appended twice. Returns the place of the second copy.
    pub(crate) fn state(&mut self, state: Bytes) -> Lsn {
        self.state = Some(state);
        let len = self.state_len();
        if self.fits(self.state_span(self.tail.offset(), len), 3) {
            self.push_state()
        } else {
            self.roll()
        }
    }

    /// Appends a MARK at the start of a new block, if all is synced and any frame is not yet covered
    /// by one. Whether it did.
    pub(crate) fn mark(&mut self) -> bool {
        // Only a MARK behind which nothing is unsynced covers all before it.
        if self.tail == self.marked || self.closed || self.failed.is_some() || !self.is_idle() {
            return false;
        }
        let filler = gap(self.tail.offset());
        if self.fits(filler + HEADER, 2) {
            self.fill(filler);
            self.push(
                FrameMeta {
                    kind: Kind::Mark,
                    group: 0,
                    tag: 0,
                    aux: 0,
                },
                0,
                0,
                &[],
            );
        } else {
            // The STATE at the head of the next segment carries the promise as well.
            self.roll();
        }
        self.marked = self.tail;
        true
    }

    /// Appends a RETIRE of every live segment below `below` (which the caller knows to be below the
    /// tail's). Returns its place and the segments, or `None` when there is none.
    pub(crate) fn retire(&mut self, below: u64) -> Option<(Lsn, Vec<u64>)> {
        assert!(
            below <= self.tail.seq(),
            "the open segment is never retired"
        );
        let gone: Vec<u64> = self.live.range(..below).copied().collect();
        if gone.is_empty() {
            return None;
        }
        self.live = self.live.split_off(&below);
        let payload = encode_ranges(gone.iter().copied());
        let meta = FrameMeta {
            kind: Kind::Retire,
            group: 0,
            tag: below,
            aux: gone[0],
        };
        Some((self.append(meta, &[payload]), gone))
    }

    /// Seals the open segment for good: nothing can be appended any more.
    pub(crate) fn seal(&mut self) {
        if !self.closed {
            self.push_seal();
            self.closed = true;
        }
    }

    /// The next write, unless one is out, nothing waits, or the segment is not ready.
    pub(crate) fn next_write(&mut self) -> Option<WriteOp> {
        if self.failed.is_some() {
            return None;
        }
        let first = self.queue.front()?;
        let seq = first.lsn().seq();
        // A seal names a successor, which therefore must be there before.
        let ready = |q: &Queued, activated: u64| {
            q.lsn().seq() <= activated && (!q.is_seal() || seq < activated)
        };
        if !ready(first, self.activated) {
            return None;
        }
        let chain = self.chain.take()?;
        let (mut frames, mut parts) = self.spare.take().unwrap_or_default();
        let mut bytes = 0;
        let mut end = self.written;
        while let Some(queued) = self.queue.front() {
            if queued.lsn().seq() != seq
                || bytes >= WRITE_BYTES_MAX
                || !ready(queued, self.activated)
            {
                break;
            }
            let queued = self.queue.pop_front().expect("it was there");
            bytes += queued.bytes();
            parts.extend(self.parts.drain(..queued.parts()));
            end = if queued.is_seal() {
                Lsn::at(seq, self.segment_bytes)
            } else {
                queued.end()
            };
            let sealed = queued.is_seal();
            frames.push(queued);
            if sealed {
                break;
            }
        }
        Some(WriteOp {
            seq,
            wal: self.wal,
            segment_bytes: self.segment_bytes,
            durable: self.durable,
            frames,
            parts,
            chain,
            end,
            bytes,
        })
    }

    /// A write ended. Returns the payload parts, to be dropped outside of any lock.
    pub(crate) fn written(&mut self, op: WriteOp, result: Result<(), Failed>) -> Vec<Bytes> {
        let WriteOp {
            mut frames,
            parts,
            mut chain,
            end,
            bytes,
            ..
        } = op;
        match result {
            Ok(()) => {
                if frames.last().is_some_and(Queued::is_seal) {
                    chain.index = Vec::new();
                }
                self.chain = Some(chain);
                self.written = end;
                self.written_counts.bytes += bytes;
                self.written_counts.frames += frames.len() as u64;
                frames.clear();
                self.spare = Some((frames, Vec::new()));
            }
            Err(failed) => self.fail(failed),
        }
        parts
    }

    /// The next sync, unless one is out or nothing waits.
    pub(crate) fn next_sync(&mut self) -> Option<SyncOp> {
        if self.failed.is_some() || self.sync_out || self.written == self.durable {
            return None;
        }
        self.sync_out = true;
        let durable_seq = self.durable.seq();
        // A segment whose end is durable needs no further sync.
        let first = if self.durable.offset() == self.segment_bytes {
            durable_seq + 1
        } else {
            durable_seq
        };
        Some(SyncOp {
            target: self.written,
            seqs: first..=self.written.seq(),
            covers: Counts {
                frames: self.written_counts.frames - self.durable_counts.frames,
                bytes: self.written_counts.bytes - self.durable_counts.bytes,
            },
            counts: self.written_counts,
        })
    }

    /// A sync ended.
    pub(crate) fn synced(&mut self, op: SyncOp, result: Result<(), Failed>) {
        assert!(self.sync_out, "a sync that nobody asked for");
        self.sync_out = false;
        match result {
            // A failure elsewhere meanwhile does not undo this sync, but nothing goes on from it.
            Ok(()) if self.failed.is_none() => {
                assert!(op.target >= self.durable);
                self.durable = op.target;
                self.durable_counts = op.counts;
            }
            Ok(()) => {}
            Err(failed) => self.fail(failed),
        }
    }

    /// The first failure is final.
    pub(crate) fn fail(&mut self, failed: Failed) {
        self.failed.get_or_insert(failed);
    }

    /// The segment that must be activated next, if the next one is not ready.
    pub(crate) fn next_activation(&self) -> Option<u64> {
        (self.failed.is_none() && self.activated <= self.tail.seq()).then_some(self.activated + 1)
    }

    /// Segment `seq` exists, durably.
    pub(crate) fn activated(&mut self, seq: u64) {
        assert_eq!(seq, self.activated + 1);
        self.activated = seq;
    }

    pub(crate) fn failed(&self) -> Option<&Failed> {
        self.failed.as_ref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn tail(&self) -> Lsn {
        self.tail
    }

    pub(crate) fn written_lsn(&self) -> Lsn {
        self.written
    }

    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    pub(crate) fn unsynced_bytes(&self) -> u64 {
        self.appended.bytes - self.durable_counts.bytes
    }

    /// Everything appended is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.chain.is_some()
            && !self.sync_out
            && self.written == self.durable
    }

    pub(crate) fn can_write(&self) -> bool {
        self.failed.is_none() && self.chain.is_some() && !self.queue.is_empty()
    }

    /// `bytes` of frames and then the seal fit behind the tail.
    fn fits(&self, bytes: u64, frames: u64) -> bool {
        let seal = frame_bytes((self.tail_frames + frames) * ENTRY) + TRAILER;
        self.tail.offset() + bytes + seal <= self.segment_bytes
    }

    fn roll(&mut self) -> Lsn {
        self.push_seal();
        let seq = self.tail.seq() + 1;
        self.tail = Lsn::at(seq, FIRST);
        self.tail_frames = 0;
        self.live.insert(seq);
        self.push_state()
    }

    fn push_seal(&mut self) {
        let queued = Queued::seal(self.tail, self.tail_frames, self.tail.seq() + 1);
        self.appended.bytes += queued.bytes();
        self.appended.frames += 1;
        self.queue.push_back(queued);
    }

    fn state_len(&self) -> u64 {
        let mut ranges = 0;
        let mut last = None;
        for &seq in &self.live {
            ranges += u64::from(last.is_none_or(|l| l + 1 != seq));
            last = Some(seq);
        }
        8 + 16 * ranges + self.state.as_ref().map_or(0, |s| s.len() as u64)
    }

    /// Bytes from `offset` to the end of the second copy of a STATE of `len`.
    fn state_span(&self, offset: u64, len: u64) -> u64 {
        let first = frame_bytes(len);
        first + second_gap(offset, first) + first
    }

    fn push_state(&mut self) -> Lsn {
        let list = encode_ranges(self.live.iter().copied());
        let state = self.state.clone();
        let owned = if state.is_some() { FLAG_OWNED } else { 0 };
        let flags = owned | if self.lost { FLAG_LOST } else { 0 };
        let parts = [list, state.unwrap_or_default()];
        let len = parts.iter().map(Bytes::len).sum::<usize>() as u32;
        let meta = FrameMeta {
            kind: Kind::State,
            group: 0,
            tag: 0,
            aux: 0,
        };
        let first = self.push(meta, flags, len, &parts);
        self.fill(second_gap(first.offset(), frame_bytes(len as u64)));
        self.push(meta, flags, len, &parts)
    }

    /// A MARK of `bytes`, header included; nothing for 0.
    fn fill(&mut self, bytes: u64) {
        if bytes > 0 {
            let zeros = Bytes::from_static(&ZEROS[..(bytes - HEADER) as usize]);
            let meta = FrameMeta {
                kind: Kind::Mark,
                group: 0,
                tag: 0,
                aux: 0,
            };
            self.push(meta, 0, zeros.len() as u32, &[zeros]);
        }
    }

    fn push(&mut self, meta: FrameMeta, flags: u16, len: u32, parts: &[Bytes]) -> Lsn {
        assert!(!self.closed, "nothing is appended behind the last seal");
        let lsn = self.tail;
        let bytes = frame_bytes(len as u64);
        self.queue
            .push_back(Queued::frame(lsn, meta, flags, len, parts.len() as u32));
        self.parts.extend(parts.iter().cloned());
        self.tail = Lsn(lsn.0 + bytes);
        self.tail_frames += 1;
        self.appended.bytes += bytes;
        self.appended.frames += 1;
        lsn
    }
}

/// Bytes from `offset` to the next start of a block.
fn gap(offset: u64) -> u64 {
    offset.next_multiple_of(BLOCK) - offset
}

/// The filler that makes a second copy begin in another block than the first, which begins at
/// `offset` and takes `bytes`.
fn second_gap(offset: u64, bytes: u64) -> u64 {
    let end = offset + bytes;
    if end / BLOCK == offset / BLOCK {
        gap(end)
    } else {
        0
    }
}
