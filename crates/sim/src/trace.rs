//! What happened, for a person: a line each, who, when and what; and a digest of it all.

/// Keeps lines if it is asked to, and a digest in any case.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
    digest: u64,
}

impl Trace {
    pub(crate) fn new(keep: bool) -> Trace {
        Trace {
            lines: keep.then(Vec::new),
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
        if let Some(lines) = &mut self.lines {
            let (seconds, micros) = (now / 1_000_000_000, now % 1_000_000_000 / 1_000);
            lines.push(format!("{seconds:>4}.{micros:06}  {who:<8} {what}"));
        }
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

    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
