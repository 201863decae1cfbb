//! What happened, for a person: a line each, who, when and what; and a digest of it all.

use bytes::Bytes;

/// How much of a run is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Nothing but the verdict.
    #[default]
    Nothing,
    /// Faults, lives of replicas, leaders.
    Events,
    /// And every message between replicas, as it arrives.
    Messages,
}

/// Keeps lines if it is asked to, and a digest in any case.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    detail: Detail,
    lines: Vec<String>,
    digest: u64,
}

impl Trace {
    pub(crate) fn new(detail: Detail) -> Trace {
        Trace {
            detail,
            lines: Vec::new(),
            digest: 0xcbf2_9ce4_8422_2325,
        }
    }

    /// Notes what `who` did, or what was done to it.
    pub(crate) fn note(&mut self, now: u64, who: &str, what: impl FnOnce() -> String) {
        let what = what();
        self.mix(now);
        for byte in who.bytes().chain(what.bytes()) {
            self.mix(u64::from(byte));
        }
        if self.detail >= Detail::Events {
            self.line(now, who, &what);
        }
    }

    /// Notes a message, where that is asked for; no part of the digest.
    pub(crate) fn message(&mut self, now: u64, who: &str, what: impl FnOnce() -> String) {
        if self.detail >= Detail::Messages {
            self.line(now, who, &what());
        }
    }

    fn line(&mut self, now: u64, who: &str, what: &str) {
        let (seconds, micros) = (now / 1_000_000_000, now % 1_000_000_000 / 1_000);
        self.lines
            .push(format!("{seconds:>4}.{micros:06}  {who:<8} {what}"));
    }

    /// Takes bytes into the digest, in the pieces they come in.
    pub(crate) fn mix_bytes<'a>(&mut self, parts: impl IntoIterator<Item = &'a Bytes>) {
        let sum = |sum, part: &'a Bytes| crc32c::crc32c_append(sum, part);
        let sum = parts.into_iter().fold(0, sum);
        self.mix(sum.into());
    }

    /// Takes a number into the digest.
    pub(crate) fn mix(&mut self, number: u64) {
        self.digest = (self.digest ^ number)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}
