//! What calls take and give.

use std::time::Duration;

use paxlog_session::{Compression, Piece};
use paxlog_wire::batch::Record;
use paxlog_wire::client::{Cursor, LogConfig, LogDescription};

/// How up to date an answer must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The leader answers, with everything that was acknowledged before the question.
    #[default]
    Linearizable,
    /// The nearest replica answers with what it knows.
    Local,
}

/// How an [`Appender`](crate::Appender) packs and names what it sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppenderOptions {
    /// The name under which the cluster finds this producer again; opening it shuts out whoever had it
    /// open. None: an anonymous producer.
    pub producer: Option<String>,
    /// Whether to make the log if it does not exist and the cluster allows it.
    pub create: bool,
    /// How long a batch that is not full waits for more records. Zero: not at all; batches then
    /// grow with the load alone.
    pub linger: Duration,
    /// The largest batch, in bytes before it is compressed; at most 4 MiB, and at least one record of the largest size.
    pub max_batch_bytes: usize,
    /// The most records of one batch. 1: every record has its own frame and sequence.
    pub max_batch_records: u32,
    /// Bytes that may wait for their receipts, as they were given; beyond,
    /// [`Appender::append`](crate::Appender::append) waits.
    pub window_bytes: usize,
    /// How long an append may take until it ends with what is known of its outcome.
    pub deadline: Duration,
    /// The log's fence, if it has one: every append carries it, and is refused with `Fenced` once the fence is another.
    pub fence: Option<String>,
    /// How batches are compressed. One that would not become shorter is sent as it is; readers notice nothing of
    /// either. It is done by the appender's task: high levels of Zstandard hold its runtime's thread up.
    pub compression: Compression,
}

/// On which conditions a single append is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppendOptions {
    /// The tail at which the first record must come to stand.
    pub if_tail: Option<u64>,
    /// The log's fence, if it has one.
    pub fence: Option<String>,
}

/// How a log is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// Whether an existing log of that name is an answer rather than an error; its settings stay as they are.
    pub if_absent: bool,
    /// Its settings.
    pub config: LogConfig,
}

impl Default for AppenderOptions {
    fn default() -> Self {
        AppenderOptions {
            producer: None,
            create: true,
            linger: Duration::ZERO,
            max_batch_bytes: 1 << 20,
            max_batch_records: u32::MAX,
            window_bytes: 16 << 20,
            deadline: crate::DEADLINE,
            fence: None,
            compression: Compression::None,
        }
    }
}

/// How a [`Reader`](crate::Reader) reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// End after so many records; 0: no bound.
    pub max_records: u64,
    /// End once so many bytes of batches came, as they are stored: of a compressed one, its compressed bytes; 0: no
    /// bound.
    pub max_bytes: u64,
    /// End before the first record of this time or later, in nanoseconds since 1970; 0: no bound.
    pub until: u64,
    /// How long to wait at the tail for more. Zero: end at the tail seen at the start.
    pub wait: Duration,
    /// Whether to fail with `Trimmed` where records are gone, instead of going on at the trim point.
    pub strict: bool,
    /// Whether everything acknowledged before the call must be seen.
    pub consistency: Consistency,
}

/// How a [`Tail`](crate::Tail) is fed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TailOptions {
    /// The bytes of batches, as they are stored, that may be under way or unread here; a slow reader holds no more than
    /// this, and besides the one batch that it was given last, decompressed: at most 4 MiB.
    pub credit: u64,
}

impl Default for TailOptions {
    fn default() -> Self {
        TailOptions { credit: 4 << 20 }
    }
}

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its offset in the log.
    pub offset: u64,
    /// When the leader stamped it, in nanoseconds since 1970.
    pub timestamp: u64,
    /// What its producer gave.
    pub record: Record,
}

/// Records that came together, of one append; their bytes are checked, and shared with what was received or, once for
/// all of them, decompressed from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(pub(crate) Piece);

impl Batch {
    /// The records, in the order of their offsets `start..end`.
    pub fn records(&self) -> impl Iterator<Item = StoredRecord> + '_ {
        let timestamp = self.0.timestamp;
        self.0.records().map(move |(offset, record)| StoredRecord {
            offset,
            timestamp,
            record,
        })
    }

    /// The offset of the first record.
    pub fn start(&self) -> u64 {
        self.0.start
    }

    /// One beyond the offset of the last record.
    pub fn end(&self) -> u64 {
        self.0.end
    }

    /// When the leader stamped them, in nanoseconds since 1970.
    pub fn timestamp(&self) -> u64 {
        self.0.timestamp
    }

    /// The bytes of the stored batch: compressed ones, if it is compressed.
    pub fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

/// What a [`Tail`](crate::Tail) gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TailEvent {
    /// Records, following on what came before.
    Records(Batch),
    /// Records up to here were trimmed before they were read.
    Gap {
        /// The offset of the next record to come.
        to: u64,
    },
    /// Everything up to here was given; said each time that the tail is reached.
    CaughtUp {
        /// The tail.
        tail: u64,
    },
    /// The log is sealed and everything was given; nothing follows.
    Sealed {
        /// The log's end.
        tail: u64,
    },
}

/// What an [`Appender`](crate::Appender) did in its life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The offset of the first record acknowledged, if there is one.
    pub start: Option<u64>,
    /// One beyond the offset of the last record acknowledged.
    pub end: Option<u64>,
    /// Records acknowledged.
    pub records: u64,
    /// Bytes of their payloads, keys and headers.
    pub bytes: u64,
    /// The timestamp of the last record acknowledged.
    pub timestamp: Option<u64>,
    /// Records whose outcome is not known.
    pub unknown: u64,
    /// Records that are known not to be appended.
    pub refused: u64,
    /// Records whose receipt is still to come.
    pub pending: u64,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// The first offset still kept.
    pub trim_point: u64,
    /// The next offset to be assigned.
    pub tail: u64,
    /// How many commands have been applied to the log.
    pub version: u64,
}

/// What a seal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The log's end, for good.
    pub tail: u64,
    /// How many commands have been applied to the log.
    pub version: u64,
}

/// What a fence did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// The log's tail: nothing under the former fence comes behind it.
    pub tail: u64,
    /// How many commands have been applied to the log.
    pub version: u64,
}

/// A log was changed, or is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// How many commands have been applied to the log.
    pub version: u64,
}

/// One page of a log's cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorPage {
    /// In the order of their names.
    pub cursors: Vec<Cursor>,
    /// Whether there are more beyond the last.
    pub more: bool,
}

/// What a create did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The log's id.
    pub log: u64,
    /// How many commands have been applied to the log.
    pub version: u64,
    /// Whether it was there before.
    pub existed: bool,
}

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPage {
    /// In the order of their names.
    pub logs: Vec<LogDescription>,
    /// Whether there are more beyond the last.
    pub more: bool,
}
