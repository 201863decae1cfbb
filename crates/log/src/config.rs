//! What a log's owner may set, and how it is changed.

use crate::limits::BATCH_BYTES_MAX;

/// A log's settings. They are part of the replicated state; who acts on them outside of `apply` (retention, rates)
/// does so by what the leader sees, and what follows is ordered as commands again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// Records older than so many nanoseconds are trimmed; 0: never for their age.
    pub retention_age_ns: u64,
    /// The oldest records are trimmed while more than so many bytes of batches are kept; 0: never for their bytes.
    pub retention_bytes: u64,
    /// The largest batch that the log takes, in bytes as framed; 0: the limit of every log, 4 MiB.
    pub batch_bytes_max: u32,
    /// Bytes of batches a second that the log takes, over all producers; 0: no bound.
    pub append_bytes_per_s: u64,
}

/// Settings to change; what is none stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// See [`LogConfig::retention_age_ns`].
    pub retention_age_ns: Option<u64>,
    /// See [`LogConfig::retention_bytes`].
    pub retention_bytes: Option<u64>,
    /// See [`LogConfig::batch_bytes_max`].
    pub batch_bytes_max: Option<u32>,
    /// See [`LogConfig::append_bytes_per_s`].
    pub append_bytes_per_s: Option<u64>,
}

impl LogConfig {
    /// The largest batch, in bytes.
    pub fn batch_limit(&self) -> u32 {
        match self.batch_bytes_max {
            0 => BATCH_BYTES_MAX,
            bytes => bytes.min(BATCH_BYTES_MAX),
        }
    }

    /// Whether records go by their age or their bytes.
    pub(crate) fn retains(&self) -> bool {
        self.retention_age_ns > 0 || self.retention_bytes > 0
    }

    pub(crate) fn change(&mut self, change: &ConfigChange) {
        let ConfigChange {
            retention_age_ns,
            retention_bytes,
            batch_bytes_max,
            append_bytes_per_s,
        } = *change;
        self.retention_age_ns = retention_age_ns.unwrap_or(self.retention_age_ns);
        self.retention_bytes = retention_bytes.unwrap_or(self.retention_bytes);
        self.batch_bytes_max = batch_bytes_max.unwrap_or(self.batch_bytes_max);
        self.append_bytes_per_s = append_bytes_per_s.unwrap_or(self.append_bytes_per_s);
    }
}
