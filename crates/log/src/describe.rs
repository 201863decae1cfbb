//! What a log looks like from outside.

use crate::config::LogConfig;
use crate::ids::{LogId, Offset, Timestamp};
use crate::limits::Limits;
use crate::names::{CursorName, FenceToken, LogName};

/// A log as it stands after the last command applied here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its id.
    pub log: LogId,
    /// Its name.
    pub name: LogName,
    /// The first offset kept; `trim_point <= tail`.
    pub trim_point: Offset,
    /// The next offset to be assigned.
    pub tail: Offset,
    /// Whether it takes no more records.
    pub sealed: bool,
    /// How many commands were applied to it, its creation being the first.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When the last batch was appended; none before the first.
    pub last_timestamp: Option<Timestamp>,
    /// Bytes of all batches ever appended, framing included.
    pub bytes_appended: u64,
    /// Producers still known that appended to this log last.
    pub producers: u32,
    /// What its appends must carry; none: anything.
    pub fence: Option<FenceToken>,
    /// Its settings.
    pub config: LogConfig,
    /// How many cursors it has.
    pub cursors: u32,
    /// What it takes.
    pub limits: Limits,
}

/// A cursor: a consumer's own place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The next offset that its consumer wants.
    pub at: Offset,
    /// When it was set.
    pub set: Timestamp,
}

/// A part of the list of a log's cursors, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CursorListing {
    /// In the order of their names.
    pub cursors: Vec<(CursorName, Cursor)>,
    /// There are more; ask again after the last name.
    pub more: bool,
}

/// A part of the list of logs, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// In the order of their names.
    pub logs: Vec<Description>,
    /// There are more; ask again after the last name.
    pub more: bool,
}
