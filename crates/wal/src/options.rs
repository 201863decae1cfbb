//! What a log is opened with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::observe::{NoObserver, Observer};

/// Whose log a directory holds. Drawn once by [`format`](crate::format()) and checked at every
/// opening, so that a directory copied, swapped or mounted in the wrong place is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: u128,
    /// The replica in it.
    pub replica: u64,
    /// This directory's own random number: a replica that lost its disk has another one.
    pub wal_id: u128,
}

/// What a log is opened with. `Options::new` gives the defaults.
pub struct Options {
    /// Size of the segments made from now on, headers included. A multiple of 4 KiB from 16 KiB to
    /// 1 GiB. Those that exist keep theirs. Default 64 MiB.
    pub segment_bytes: u64,
    /// What the directory must have been formatted with, else opening refuses.
    pub identity: Identity,
    /// Bytes appended and not yet durable beyond which [`Wal::is_full`](crate::Wal::is_full) says
    /// that the owner should stop admitting. Never enforced: a frame that the owner owes is never
    /// refused. Default 32 MiB.
    pub unsynced_bytes_max: u64,
    /// Called after `durable` or the health changed, on one of the log's threads; once per change
    /// however many frames it covers. It must be short and must not call back into blocking methods.
    pub notify: Box<dyn Fn() + Send + Sync>,
    /// Where measurements go. Default: nowhere.
    pub observer: Arc<dyn Observer>,
    /// Whether the log runs threads of its own. Default [`Driver::Threads`].
    pub driver: Driver,
    /// Empty allocated segments kept in reserve beside the next one. Default 1.
    pub spares: usize,
    /// Idle time after the last frame until a MARK covers it. Default 100 ms.
    pub mark_after: Duration,
    /// A sync longer than this is reported to the observer as slow. Default 100 ms.
    pub sync_slow: Duration,
    /// A write or sync running longer than this makes the log [`Stalled`](crate::Health::Stalled).
    /// Default 1 s.
    pub sync_stalled: Duration,
    /// A write or sync running longer than this aborts the process: a replica that hangs in the
    /// kernel helps nobody. `None` never aborts. Default 20 s.
    pub sync_abort: Option<Duration>,
    /// How often an idle log writes and syncs its `canary` file on a thread of its own, so that a
    /// dead disk is noticed before the next append. `None` (default): never.
    pub canary_every: Option<Duration>,
    /// Name of this log in the names of its threads (Linux shows 15 bytes). Default empty.
    pub name: String,
}

/// Who moves the log forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Threads of the log's own: two that write and sync, one that prepares segments, one that
    /// watches.
    Threads,
    /// Nobody: the caller does, with [`Wal::drive`](crate::Wal::drive) and its pieces. For
    /// simulators and tests, where every step is an event.
    Caller,
}

impl Options {
    /// The defaults for a directory of this identity.
    pub fn new(identity: Identity) -> Options {
        Options {
            segment_bytes: 64 << 20,
            identity,
            unsynced_bytes_max: 32 << 20,
            notify: Box::new(|| {}),
            observer: Arc::new(NoObserver),
            driver: Driver::Threads,
            spares: 1,
            mark_after: Duration::from_millis(100),
            sync_slow: Duration::from_millis(100),
            sync_stalled: Duration::from_secs(1),
            sync_abort: Some(Duration::from_secs(20)),
            canary_every: None,
            name: String::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("segment_bytes", &self.segment_bytes)
            .field("identity", &self.identity)
            .field("unsynced_bytes_max", &self.unsynced_bytes_max)
            .field("driver", &self.driver)
            .field("spares", &self.spares)
            .finish_non_exhaustive()
    }
}
