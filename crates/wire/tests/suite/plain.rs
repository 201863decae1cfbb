//! Messages as JSON, for the test vectors: field names and variants as in `docs/protocol.md`.
//!
//! The macros below take every value apart without `..`, so that a new field or variant does not compile before it is
//! named here.

use paxlog_wire::batch::Record;
use paxlog_wire::client::*;
use paxlog_wire::{Code, LeaderHint, WireError};
use serde_json::Value;

/// JSON that keeps the order of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// The largest number that every reader of JSON keeps whole.
const WHOLE_IN_A_DOUBLE: u64 = 1 << 53;

/// An object or list is on one line if it takes no more than this.
const LINE: usize = 110;

impl Json {
    pub(crate) fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    pub(crate) fn hex(bytes: &[u8]) -> Json {
        Json::Text(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// As a program reads it, without an order.
    pub(crate) fn value(&self) -> Value {
        match self {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => Value::from(*number),
            Json::Text(text) => Value::from(text.as_str()),
            Json::List(list) => list.iter().map(Json::value).collect(),
            Json::Object(fields) => fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.value()))
                .collect(),
        }
    }

    /// Written for people: what fits stands on one line.
    pub(crate) fn write(&self, indent: usize, out: &mut String) {
        let line = self.value_on_one_line();
        let parts = match self {
            Json::List(list) => list.iter().map(|value| (None, value)).collect(),
            Json::Object(fields) => fields
                .iter()
                .map(|(name, value)| (Some(*name), value))
                .collect(),
            _ => Vec::new(),
        };
        if parts.is_empty() || indent + line.len() <= LINE {
            return out.push_str(&line);
        }
        let ends = if matches!(self, Json::List(_)) {
            ["[", "]"]
        } else {
            ["{", "}"]
        };
        out.push_str(ends[0]);
        for (at, (name, value)) in parts.into_iter().enumerate() {
            out.push_str(if at == 0 { "\n" } else { ",\n" });
            out.push_str(&" ".repeat(indent + 1));
            if let Some(name) = name {
                out.push_str(&format!("\"{name}\": "));
            }
            value.write(indent + 1, out);
        }
        out.push_str(&format!("\n{}{}", " ".repeat(indent), ends[1]));
    }

    fn value_on_one_line(&self) -> String {
        match self {
            Json::List(list) => {
                let parts: Vec<String> = list.iter().map(Json::value_on_one_line).collect();
                format!("[{}]", parts.join(", "))
            }
            Json::Object(fields) => {
                let parts: Vec<String> = fields
                    .iter()
                    .map(|(name, value)| format!("\"{name}\": {}", value.value_on_one_line()))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            other => other.value().to_string(),
        }
    }
}

/// What has a form in JSON.
pub(crate) trait Plain {
    fn plain(&self) -> Json;
}

impl Plain for bool {
    fn plain(&self) -> Json {
        Json::Bool(*self)
    }
}

impl Plain for u16 {
    fn plain(&self) -> Json {
        Json::Number((*self).into())
    }
}

impl Plain for u32 {
    fn plain(&self) -> Json {
        Json::Number((*self).into())
    }
}

impl Plain for u64 {
    fn plain(&self) -> Json {
        if *self > WHOLE_IN_A_DOUBLE {
            return Json::text(self.to_string());
        }
        Json::Number(*self)
    }
}

impl Plain for u128 {
    fn plain(&self) -> Json {
        Json::text(format!("{self:032x}"))
    }
}

impl Plain for str {
    fn plain(&self) -> Json {
        Json::text(self)
    }
}

impl Plain for String {
    fn plain(&self) -> Json {
        self.as_str().plain()
    }
}

impl<T: Plain + ?Sized> Plain for Box<T> {
    fn plain(&self) -> Json {
        (**self).plain()
    }
}

impl<T: Plain> Plain for Option<T> {
    fn plain(&self) -> Json {
        self.as_ref().map_or(Json::Null, Plain::plain)
    }
}

impl<T: Plain> Plain for Vec<T> {
    fn plain(&self) -> Json {
        Json::List(self.iter().map(Plain::plain).collect())
    }
}

impl<T: Plain> Plain for Result<T, WireError> {
    fn plain(&self) -> Json {
        match self {
            Ok(value) => Json::Object(vec![("Ok", value.plain())]),
            Err(error) => Json::Object(vec![("Err", error.plain())]),
        }
    }
}

impl Plain for Code {
    fn plain(&self) -> Json {
        self.number().plain()
    }
}

impl Plain for Durability {
    fn plain(&self) -> Json {
        let bits = self.replicas().fold(0u64, |bits, id| bits | 1 << (id - 1));
        bits.plain()
    }
}

impl Plain for Record {
    fn plain(&self) -> Json {
        let headers = self.headers.iter();
        Json::Object(vec![
            (
                "key",
                self.key.as_ref().map_or(Json::Null, |key| Json::hex(key)),
            ),
            (
                "headers",
                Json::List(
                    headers
                        .map(|(name, value)| Json::List(vec![Json::hex(name), Json::hex(value)]))
                        .collect(),
                ),
            ),
            ("payload", Json::hex(&self.payload)),
        ])
    }
}

macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        $(impl Plain for $name {
            fn plain(&self) -> Json {
                let $name { $($field),* } = self;
                Json::Object(vec![$((stringify!($field), $field.plain())),*])
            }
        })*
    };
}

macro_rules! enums {
    ($($name:ident $(<$generic:ident>)? {
        $(= $unit:ident)* $(: $one:ident)* $($variant:ident { $($field:ident),* $(,)? })*
    })*) => {
        $(impl $(<$generic: Plain>)? Plain for $name $(<$generic>)? {
            fn plain(&self) -> Json {
                match self {
                    $($name::$unit => Json::text(stringify!($unit)),)*
                    $($name::$one(value) => Json::Object(vec![(stringify!($one), value.plain())]),)*
                    $($name::$variant { $($field),* } => Json::Object(vec![(
                        stringify!($variant),
                        Json::Object(vec![$((stringify!($field), $field.plain())),*]),
                    )]),)*
                }
            }
        })*
    };
}

structs! {
    ClientHello { version_min, version_max, cluster }
    ServerHello { version, cluster, replica, limits, leader }
    ServerLimits { record_bytes_max, batch_bytes_max, headers_bytes_max, appends_in_flight_max }
    LeaderHint { ballot, replica, addresses }
    CommandRequest { request, deadline_ms, command }
    Origin { producer, epoch, sequence }
    LogConfig { retention_age_ns, retention_bytes, batch_bytes_max, append_bytes_per_s }
    ConfigChange { retention_age_ns, retention_bytes, batch_bytes_max, append_bytes_per_s }
    CommandReply { request, result }
    Receipt { log, start, end, timestamp, tail, version, durability, duplicate }
    LastReceipt { epoch, sequence, what }
    QueryRequest { deadline_ms, query }
    QueryReply { result }
    Cursor { name, at, set }
    TailInfo { log, offset, timestamp, trim_point, sealed, version, fence, stale_ms }
    LogDescription { name, tail, created, bytes_appended, bytes_kept, config, cursors, producers }
    Status {
        cluster, replica, incarnation, program, role, leader, ballot, chosen_index, chosen_prefix, applied, ready,
        standing, disk, wal_bytes, logs, members,
    }
    MemberStatus { replica, addresses, linked, lag_slots, round_trip_us, why }
    ReadRequest {
        deadline_ms, log, from, records_max, bytes_max, until_tail, until_timestamp, wait_ms, strict, linearizable,
    }
    TailRequest { log, from, credit_bytes }
    Credit { bytes }
    Started { log, from, tail, trim_point, version, stale_ms }
    BatchMeta { start, records, bytes, timestamp }
    WireError { code, message, retry_after_ms, leader, tail, trim_point, found, log, version }
}

// `=` before a variant without fields, `:` before one with a value without a name.
enums! {
    ControlEvent { = NoLeader = GoingAway : Hello : Refused : Leader }
    CommandBody {
        OpenProducer { nonce, name }
        CreateLog { origin, name, if_absent, config }
        OpenLog { origin, name, create }
        Append { origin, log, if_tail, fence }
        Trim { origin, log, to }
        Seal { origin, log }
        AlterLog { origin, log, change }
        DeleteLog { origin, log }
        Fence { origin, log, token, expect }
        SetCursor { origin, log, name, at, expect }
        DeleteCursor { origin, log, name }
    }
    Expected<T> { = Any = Absent : Is }
    CommandOutcome {
        : Appended
        ProducerOpened { producer, epoch, last }
        LogOpened { log, version, existed, tail, sealed }
        Trimmed { trim_point, tail, version, duplicate }
        Sealed { tail, version, duplicate }
        LogAltered { version, duplicate }
        LogDeleted { version, duplicate }
        FenceSet { tail, version, duplicate }
        CursorSet { at, version, duplicate }
        CursorDeleted { version, duplicate }
    }
    LastOutcome {
        Created { log, version, existed }
        Appended { log, start, end, timestamp, version }
        Trimmed { log, trim_point, tail, version }
        Sealed { log, tail, version }
        Altered { log, version }
        Deleted { log, version }
        FenceSet { log, tail, version }
        CursorSet { log, at, version }
        CursorDeleted { log, version }
    }
    LogRef { : Name : Id }
    Query {
        = Status
        CheckTail { log, linearizable }
        Describe { log, linearizable }
        List { prefix, after, limit }
        Cursor { log, name, linearizable }
        Cursors { log, prefix, after, limit, linearizable }
    }
    Answer {
        : Tail : Description : Status
        Logs { logs, more }
        Cursor { cursor, version }
        Cursors { cursors, more, version }
    }
    RoleStatus { = Follower = Candidate = Leader }
    ReadFrom { = First = Tail : Offset : TailMinus : Timestamp : Cursor }
    ReadEvent {
        : Started : Records : Refused
        Gap { to }
        End { next, tail, reason }
    }
    EndReason { = Tail = Limit = Until = Sealed }
    TailEvent {
        : Started : Records : Refused
        Gap { to }
        CaughtUp { tail }
        Sealed { tail }
        Heartbeat { tail }
    }
}
