//! What a log came to.

use serde::{Deserialize, Serialize};

use super::operation::LogName;
use super::stored::{self, Stored};

/// A log when everything is over: read whole after it was sealed, or after nothing was under way any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// The log.
    pub log: LogName,
    /// Its id, if the recorder learned it; without one it is the newest of that name if it is not empty, else nobody has
    /// the name any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The first offset still kept.
    pub trim_point: u64,
    /// One beyond the last record.
    pub tail: u64,
    /// How many commands were applied to it, if the recorder learned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Whether it is sealed, if the recorder learned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<bool>,
    /// Everything in `trim_point..tail`, in the order in which it was read.
    #[serde(with = "stored::runs")]
    pub records: Vec<Stored>,
    /// What somebody who tailed the log from 0 kept of what was trimmed, in the order of the offsets; may lack some.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "stored::runs")]
    pub kept: Vec<Stored>,
    /// What single replicas have, each by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaCopy>,
}

impl Settled {
    /// An untrimmed log that holds these records and ends behind them.
    pub fn whole(log: impl Into<LogName>, records: Vec<Stored>) -> Settled {
        Settled {
            log: log.into(),
            id: None,
            trim_point: 0,
            tail: records
                .last()
                .map_or(0, |last| last.offset.saturating_add(1)),
            version: None,
            sealed: None,
            records,
            kept: Vec::new(),
            replicas: Vec::new(),
        }
    }

    /// Adds what one replica has by itself, once it has everything. If that is what the log is known to hold, only
    /// that is noted, so that histories stay small.
    pub fn add_replica(&mut self, replica: u64, records: Vec<Stored>) {
        self.replicas.push(ReplicaCopy {
            replica,
            records: (records != self.records).then_some(records),
        });
    }
}

/// What one replica has of a settled log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaCopy {
    /// The replica.
    pub replica: u64,
    /// Everything that it has, in the order in which it was read; none: exactly what the log is known to hold.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "maybe_runs")]
    pub records: Option<Vec<Stored>>,
}

mod maybe_runs {
    use serde::{Deserializer, Serializer};

    use super::super::stored::{Stored, runs};

    pub(super) fn serialize<S: Serializer>(
        records: &Option<Vec<Stored>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match records {
            Some(records) => runs::serialize(records, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Stored>>, D::Error> {
        runs::deserialize(deserializer).map(Some)
    }
}
