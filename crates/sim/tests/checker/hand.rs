//! Histories made by hand, of one log.

use std::ops::Range;

use paxlog_sim::check::{Violation, check};
use paxlog_sim::history::{
    Call, ClientId, History, OpId, Outcome, Receipt, Recorder, Reply, SessionId, Settled, Stored,
    TailReply,
};

pub(crate) const LOG: &str = "log";

/// Writes down who was told what.
#[derive(Default)]
pub(crate) struct Hand(pub(crate) Recorder);

impl Hand {
    /// It was called and answered then.
    pub(crate) fn op(&mut self, time: Range<u64>, call: Call, outcome: Outcome) -> OpId {
        let id = self.0.begin(time.start, ClientId(1), call);
        self.0.end(time.end, id, outcome);
        id
    }

    /// An append of one record that was acknowledged there.
    pub(crate) fn append(&mut self, time: Range<u64>, payload: &str, offset: u64) -> OpId {
        self.op(time, Call::append(LOG, [payload]), acked(offset))
    }

    /// An append that never returned.
    pub(crate) fn unknown(&mut self, call: u64, payload: &str) -> OpId {
        self.0
            .begin(call, ClientId(1), Call::append(LOG, [payload]))
    }

    /// The history, whose log came to this.
    pub(crate) fn holds(mut self, payloads: &[&str]) -> History {
        self.0.settle(Settled::whole(LOG, stored(payloads)));
        self.0.finish()
    }
}

pub(crate) fn acked(offset: u64) -> Outcome {
    Outcome::Ok(Reply::Appended(Receipt::at(offset..offset + 1)))
}

pub(crate) fn tail(offset: u64, trim_point: u64, sealed: bool) -> Outcome {
    Outcome::Ok(Reply::Tail(TailReply {
        offset,
        timestamp: None,
        trim_point,
        sealed,
        version: None,
        fence: None,
    }))
}

pub(crate) fn trimmed(trim_point: u64, tail: u64) -> Outcome {
    Outcome::Ok(Reply::Trimmed {
        trim_point,
        tail,
        version: None,
        duplicate: false,
    })
}

pub(crate) fn sealed(tail: u64) -> Outcome {
    Outcome::Ok(Reply::Sealed {
        tail,
        version: None,
        duplicate: false,
    })
}

/// Refused, and nothing is known of what the refusal saw.
pub(crate) fn refused(code: &str) -> Outcome {
    Outcome::NotApplied {
        code: code.into(),
        seen: None,
    }
}

pub(crate) fn stored(payloads: &[&str]) -> Vec<Stored> {
    (0..)
        .zip(payloads)
        .map(|(offset, payload)| Stored::new(offset, *payload, None))
        .collect()
}

pub(crate) fn session(id: u64) -> SessionId {
    SessionId(id)
}

pub(crate) fn passes(history: &History) {
    let report = check(history);
    assert!(report.clean(), "{:#?}", report.violations);
}

/// It has a violation of that rule, which names these operations.
#[track_caller]
pub(crate) fn fails(history: &History, rule: &str, named: &[OpId]) -> Violation {
    let report = check(history);
    let texts: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    let found = report
        .violations
        .iter()
        .zip(&texts)
        .find(|(violation, text)| {
            violation.rule() == rule && named.iter().all(|id| text.contains(&format!("{id} [")))
        });
    let (violation, text) =
        found.unwrap_or_else(|| panic!("no {rule} that names {named:?}, but: {texts:#?}"));
    println!("{text}\n");
    violation.clone()
}
