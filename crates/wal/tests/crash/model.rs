//! What the log must hold, by what was done to it.

use std::sync::Arc;

use bytes::Bytes;
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{
    Damaged, Driver, FrameMeta, Identity, Kind, Lsn, OpenError, Options, ReadError, Recovered, Wal,
};

pub(crate) const ID: Identity = Identity {
    cluster: 0xc1,
    replica: 2,
    wal_id: 0x3333_4444,
};

pub(crate) fn options(segment_bytes: u64) -> Options {
    let mut options = Options::new(ID);
    options.segment_bytes = segment_bytes;
    options.driver = Driver::Caller;
    options
}

pub(crate) fn open(disk: &SimDisk, segment_bytes: u64) -> Result<(Wal, Recovered), OpenError> {
    Wal::open(Arc::new(disk.clone()), options(segment_bytes))
}

pub(crate) fn formatted(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    paxlog_wal::format(&disk, ID).unwrap();
    disk
}

#[derive(Clone, Debug)]
pub(crate) struct Appended {
    pub(crate) lsn: Lsn,
    pub(crate) tag: u64,
    pub(crate) bytes: Bytes,
}

/// The frames that were appended and not dropped by a cut, in order, and what was promised of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) frames: Vec<Appended>,
    /// Newest last; with the place that must be passed for it to be durable.
    pub(crate) states: Vec<(Lsn, Bytes)>,
    /// The highest `durable()` that was reported.
    pub(crate) durable: Lsn,
    /// The highest retirement that was asked for, and that was reported done.
    pub(crate) retire_asked: u64,
    pub(crate) retired: u64,
    next_tag: u64,
}

impl Model {
    pub(crate) fn append(&mut self, wal: &Wal, len: usize, rng: &mut Rng) -> bool {
        let tag = self.next_tag;
        let bytes = Bytes::from((0..len).map(|_| rng.next_u64() as u8).collect::<Vec<_>>());
        let half = len / 2;
        let parts = [bytes.slice(..half), bytes.slice(half..)];
        match wal.append(FrameMeta::data(tag as u32 % 3, tag, !tag), &parts) {
            Ok(lsn) => {
                self.frames.push(Appended { lsn, tag, bytes });
                self.next_tag += 1;
                true
            }
            Err(_) => false,
        }
    }

    pub(crate) fn state(&mut self, wal: &Wal, len: usize, rng: &mut Rng) {
        let bytes = Bytes::from((0..len).map(|_| rng.next_u64() as u8).collect::<Vec<_>>());
        if let Ok(lsn) = wal.state(bytes.clone()) {
            self.states.push((lsn, bytes));
        }
    }

    pub(crate) fn note_durable(&mut self, wal: &Wal) {
        assert!(wal.durable() >= self.durable, "durable never goes back");
        assert!(wal.durable() <= wal.written());
        self.durable = wal.durable();
    }

    /// What an opening found must be what was appended, up to some point at or behind `durable`; then
    /// the model forgets what was cut.
    pub(crate) fn check_honest(&mut self, wal: &Wal, recovered: &Recovered) {
        assert_eq!(
            recovered.damaged,
            [],
            "an honest crash is never called damage: {recovered:?}"
        );
        assert_eq!(
            recovered.blemishes,
            [],
            "an honest crash leaves no blemish: {recovered:?}"
        );
        assert!(
            !recovered.end_lost && !recovered.promise_may_be_lost,
            "{recovered:?}"
        );
        let found = self.found(wal, recovered, &|lsn| panic!("damaged: {lsn}"));
        // Contiguous: from the first segment that is left to some end.
        let first = found
            .first()
            .copied()
            .unwrap_or(Lsn::at(u32::MAX as u64, 0));
        let must_begin = self
            .frames
            .iter()
            .find(|f| f.lsn.seq() >= self.retire_asked)
            .map(|f| f.lsn);
        if let Some(begin) = must_begin.filter(|b| *b < self.durable) {
            assert!(
                first <= begin,
                "{begin} is durable and gone, first is {first}"
            );
        }
        let start = self
            .frames
            .iter()
            .position(|f| f.lsn >= first)
            .unwrap_or(self.frames.len());
        let kept: Vec<Lsn> = self.frames[start..]
            .iter()
            .map(|f| f.lsn)
            .take(found.len())
            .collect();
        assert_eq!(
            found, kept,
            "what is found is what was appended, without a hole"
        );
        if let Some(lost) = self.frames.get(start + found.len()) {
            assert!(
                lost.lsn >= self.durable,
                "{} was durable (below {}) and is gone",
                lost.lsn,
                self.durable
            );
        }
        if self.retired > 0 {
            assert!(
                recovered.segments.iter().all(|s| s.seq >= self.retired),
                "retired segments stay away"
            );
        }
        self.check_state(recovered);
        self.frames.truncate(start + found.len());
        self.frames.drain(..start);
        self.durable = Lsn::ZERO;
        self.retire_asked = self.retire_asked.max(self.retired);
    }

    fn check_state(&mut self, recovered: &Recovered) {
        let known = |bytes: &Bytes| self.states.iter().rposition(|(_, b)| b == bytes);
        for state in &recovered.all_states {
            assert!(known(state).is_some(), "a state that nobody stored");
        }
        let must = self.states.iter().rposition(|(lsn, _)| *lsn < self.durable);
        let is = recovered
            .state
            .as_ref()
            .map(|s| known(s).expect("a state that was stored"));
        assert!(is >= must, "state {must:?} was durable, {is:?} came back");
        // What came back is repeated, and durable, from now on.
        self.states.truncate(is.map_or(0, |i| i + 1));
        if let Some((lsn, _)) = self.states.last_mut() {
            *lsn = Lsn::ZERO;
        }
    }

    /// Places of the DATA frames that an opening lists, each checked against what was appended;
    /// `damaged` is told of those that are listed and cannot be read.
    pub(crate) fn found(
        &self,
        wal: &Wal,
        recovered: &Recovered,
        damaged: &dyn Fn(Lsn),
    ) -> Vec<Lsn> {
        let mut found = Vec::new();
        for segment in &recovered.segments {
            for frame in recovered
                .frames(segment.seq)
                .unwrap()
                .iter()
                .filter(|f| f.kind == Kind::Data)
            {
                let appended = self
                    .frames
                    .binary_search_by_key(&frame.lsn, |f| f.lsn)
                    .map(|i| &self.frames[i])
                    .unwrap_or_else(|_| panic!("{} was never appended, or rose again", frame.lsn));
                let meta = FrameMeta::data(appended.tag as u32 % 3, appended.tag, !appended.tag);
                assert_eq!(
                    (frame.group, frame.tag, frame.aux),
                    (meta.group, meta.tag, meta.aux)
                );
                match wal.read_cold(frame.lsn) {
                    Ok((read, bytes)) => {
                        assert_eq!(read, meta);
                        assert_eq!(bytes, appended.bytes, "wrong bytes at {}", frame.lsn);
                    }
                    Err(ReadError::Corrupt(_) | ReadError::Io { .. }) => damaged(frame.lsn),
                    Err(e) => panic!("{e}"),
                }
                found.push(frame.lsn);
            }
        }
        found
    }
}

/// Whether a frame lies in what was reported damaged.
pub(crate) fn covered(damaged: &[Damaged], lsn: Lsn) -> bool {
    damaged.iter().any(|d| match d.len {
        Some(len) => d.lsn <= lsn && lsn.0 < d.lsn.0 + len,
        None => d.lsn.seq() == lsn.seq(),
    })
}
