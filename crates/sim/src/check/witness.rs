//! An operation as it is shown to a person.

use std::fmt;

use serde::Serialize;

use super::subject::{Subject, Who};
use crate::history::{
    Consistency, Event, Kind, Nanos, Operation, Outcome, Payload, ReadReply, Reply, Stored,
};

/// An operation, its times and what it was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// Its place in the history; none: it is the reading of the whole log when everything was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<u64>,
    /// Who asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<u64>,
    /// When it was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<Nanos>,
    /// When it returned; none if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ret: Option<Nanos>,
    /// What was asked.
    pub what: String,
    /// What came of it.
    pub said: String,
}

impl Witness {
    pub(super) fn new(subject: &Subject<'_>, who: Who) -> Witness {
        match who {
            Who::Op(id) => match subject.history.get(id) {
                Some(operation) => Witness {
                    op: Some(id.0),
                    client: Some(operation.client.0),
                    call: Some(operation.call),
                    ret: operation.ret,
                    what: match operation.id {
                        Some(id) => format!("{} (id {id})", what(&operation.kind)),
                        None => what(&operation.kind),
                    },
                    said: said(operation),
                },
                None => Witness::whole(String::new()),
            },
            Who::Settled => {
                let settled = subject.settled;
                let mut said = format!("trim point {}, tail {}", settled.trim_point, settled.tail);
                version(&mut said, settled.version);
                if let Some(sealed) = settled.sealed {
                    said += if sealed { ", sealed" } else { ", not sealed" };
                }
                Witness::whole(said)
            }
        }
    }

    fn whole(said: String) -> Witness {
        Witness {
            op: None,
            client: None,
            call: None,
            ret: None,
            what: "the log, read whole when everything was over".into(),
            said,
        }
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(op), Some(client), Some(call)) = (self.op, self.client, self.call) {
            write!(f, "#{op} [{} .. ", Seconds(call))?;
            match self.ret {
                Some(ret) => write!(f, "{}] ", Seconds(ret))?,
                None => f.write_str("never returned] ")?,
            }
            write!(f, "client {client}: {}", self.what)?;
        } else {
            f.write_str(&self.what)?;
        }
        match self.said.as_str() {
            "" => Ok(()),
            said => write!(f, " -> {said}"),
        }
    }
}

/// Seconds with nine digits: as exact as they were recorded.
struct Seconds(Nanos);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = 1_000_000_000;
        write!(f, "{}.{:09} s", self.0 / second, self.0 % second)
    }
}

fn what(kind: &Kind) -> String {
    let how = |consistency: &Consistency| match consistency {
        Consistency::Linearizable => "linearizable",
        Consistency::Local => "local",
    };
    match kind {
        Kind::Append {
            records,
            if_tail,
            fence,
        } => {
            let mut text = format!("append {}", list(records.iter()));
            if let Some(tail) = if_tail {
                text += &format!(" if the tail is {tail}");
            }
            if let Some(fence) = fence {
                text += &format!(" under {fence:?}");
            }
            text
        }
        Kind::Fence { token, expect } => format!("fence {token:?}, expecting {expect:?}"),
        Kind::SetCursor { name, at, expect } => {
            format!("set cursor {name} to {at}, expecting {expect:?}")
        }
        Kind::DeleteCursor { name } => format!("delete cursor {name}"),
        Kind::Cursor { name, consistency } => format!("{} cursor {name}", how(consistency)),
        Kind::Alter { retention } => format!("alter, retention {retention}"),
        Kind::Trim { to } => format!("trim to {to}"),
        Kind::Seal => "seal".into(),
        Kind::Delete => "delete".into(),
        Kind::Create { .. } => "create".into(),
        Kind::CheckTail {
            consistency,
            session,
            floor,
        } => format!(
            "{} check-tail{}{}",
            how(consistency),
            session.map_or(String::new(), |id| format!(" of session {}", id.0)),
            carrying(*floor)
        ),
        Kind::Read {
            consistency,
            strict,
            from,
            session,
            floor,
        } => format!(
            "{} {}read{}{}{}",
            how(consistency),
            if *strict { "strict " } else { "" },
            from.map_or(String::new(), |from| format!(" from {from}")),
            session.map_or(String::new(), |id| format!(" of session {}", id.0)),
            carrying(*floor)
        ),
        Kind::Tail { session } => format!("tail of session {}", session.0),
    }
}

fn carrying(floor: u64) -> String {
    match floor {
        0 => String::new(),
        floor => format!(" that has seen the tail at {floor}"),
    }
}

fn said(operation: &Operation) -> String {
    let mut text = outcome(&operation.outcome);
    for (_, later) in operation.again.iter().take(SHOWN) {
        text += &format!("; later: {}", outcome(later));
    }
    more(&mut text, "answers", operation.again.len());
    text
}

/// What one answer said.
pub(super) fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ok(said) => reply(said),
        Outcome::NotApplied { code, seen } => {
            let mut text = format!("not applied ({code})");
            if let Some(seen) = seen {
                if let Some(tail) = seen.tail {
                    text += &format!(", tail {tail}");
                }
                version(&mut text, seen.version);
                if seen.sealed == Some(true) {
                    text += ", sealed";
                }
                if let Some(at) = seen.cursor {
                    text += &format!(", cursor {at:?}");
                }
            }
            text
        }
        Outcome::Unknown { code: Some(code) } => format!("unknown ({code})"),
        Outcome::Unknown { code: None } => "unknown".into(),
    }
}

/// What one reply said.
pub(super) fn reply(reply: &Reply) -> String {
    let mut text;
    let known;
    match reply {
        Reply::Appended(receipt) => {
            text = format!("acknowledged at {}..{}", receipt.start, receipt.end);
            if let Some(timestamp) = receipt.timestamp {
                text += &format!(", timestamp {timestamp}");
            }
            if let Some(tail) = receipt.tail {
                text += &format!(", tail {tail}");
            }
            if receipt.duplicate {
                text += ", a duplicate";
            }
            known = receipt.version;
        }
        Reply::Trimmed {
            trim_point,
            tail,
            version,
            duplicate: _,
        } => {
            text = format!("trimmed, trim point {trim_point}, tail {tail}");
            known = *version;
        }
        Reply::Sealed {
            tail,
            version,
            duplicate: _,
        } => {
            text = format!("sealed at {tail}");
            known = *version;
        }
        Reply::FenceSet { tail, version, .. } => {
            text = format!("fenced at {tail}");
            known = *version;
        }
        Reply::Changed { version, .. } => {
            text = "done".into();
            known = *version;
        }
        Reply::Cursor { at, version } => {
            text = format!("{at:?}");
            known = *version;
        }
        Reply::Deleted { version, .. } => {
            text = "deleted".into();
            known = *version;
        }
        Reply::Created { version, existed } => {
            text = if *existed { "it existed" } else { "created" }.into();
            known = *version;
        }
        Reply::Tail(tail) => {
            text = format!("tail {}, trim point {}", tail.offset, tail.trim_point);
            if let Some(timestamp) = tail.timestamp {
                text += &format!(", timestamp {timestamp}");
            }
            text += if tail.sealed { ", sealed" } else { "" };
            if let Some(fence) = &tail.fence {
                text += &format!(", fence {fence:?}");
            }
            known = tail.version;
        }
        Reply::Read(read) => {
            text = read_text(read);
            known = None;
        }
        Reply::Event(event) => {
            text = match event {
                Event::Records(records) => format!("records {}", range(records)),
                Event::Gap { to } => format!("a gap up to {to}"),
                Event::CaughtUp { tail } => format!("caught up at {tail}"),
                Event::Sealed { tail } => format!("sealed at {tail}"),
            };
            known = None;
        }
    }
    version(&mut text, known);
    text
}

fn read_text(read: &ReadReply) -> String {
    let mut text = format!("records {}", range(&read.records));
    for gap in read.gaps.iter().take(SHOWN) {
        text += &format!(", gap {}..{}", gap.from, gap.to);
    }
    more(&mut text, "gaps", read.gaps.len());
    if let Some(tail) = read.tail {
        text += &format!(", tail {tail}");
    }
    if let Some(error) = &read.error {
        text += &format!(", broken off ({error})");
    }
    text
}

fn version(text: &mut String, version: Option<u64>) {
    if let Some(version) = version {
        text.push_str(&format!(", version {version}"));
    }
}

fn range(records: &[Stored]) -> String {
    match records {
        [] => "none".into(),
        [only] => format!("{} {}", only.offset, only.payload),
        [first, .., last] => format!("{}..{}", first.offset, last.offset.saturating_add(1)),
    }
}

/// As many of one kind as a person reads; so what is shown is short, however long the operation.
const SHOWN: usize = 3;

fn more(text: &mut String, what: &str, count: usize) {
    if count > SHOWN {
        text.push_str(&format!(", … {count} {what} in all"));
    }
}

/// A few of them.
fn list<'a>(payloads: impl ExactSizeIterator<Item = &'a Payload>) -> String {
    let count = payloads.len();
    let mut shown: Vec<String> = payloads.take(SHOWN).map(Payload::to_string).collect();
    if count > SHOWN {
        shown.push(format!("… {count} in all"));
    }
    format!("[{}]", shown.join(", "))
}
