//! A record with its place.

use super::payload::Payload;

/// A record as a reader was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its offset.
    pub offset: u64,
    /// Its payload.
    pub payload: Payload,
    /// When the leader stamped it, in nanoseconds since 1970, if the reader learned it.
    pub timestamp: Option<u64>,
}

impl Stored {
    /// A record at its place.
    pub fn new(offset: u64, payload: impl Into<Payload>, timestamp: Option<u64>) -> Stored {
        Stored {
            offset,
            payload: payload.into(),
            timestamp,
        }
    }
}

/// Nanoseconds since 1970 as text: as numbers they are more than JavaScript and jq can hold.
pub(super) mod nanoseconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(
        timestamp: &Option<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        timestamp
            .map(|number| number.to_string())
            .serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<u64>, D::Error> {
        Option::<String>::deserialize(deserializer)?
            .map(|text| {
                text.parse().map_err(|_| {
                    D::Error::custom(format!("{text:?} is not a number of nanoseconds"))
                })
            })
            .transpose()
    }
}

/// Records as runs of consecutive offsets with one timestamp: `[start, "timestamp" or null, [payload, …]]`.
pub(super) mod runs {
    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::super::payload::Payload;
    use super::Stored;

    struct Run<'a>(&'a [Stored]);

    impl Serialize for Run<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let first = &self.0[0];
            let payloads: Vec<&Payload> = self.0.iter().map(|stored| &stored.payload).collect();
            (
                first.offset,
                first.timestamp.map(|number| number.to_string()),
                payloads,
            )
                .serialize(serializer)
        }
    }

    pub(in super::super) fn serialize<S: Serializer>(
        records: &[Stored],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        // Runs are not empty: chunk_by gives none that is.
        for run in records.chunk_by(|one, two| {
            one.offset.checked_add(1) == Some(two.offset) && one.timestamp == two.timestamp
        }) {
            seq.serialize_element(&Run(run))?;
        }
        seq.end()
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Stored>, D::Error> {
        let runs = Vec::<(u64, Option<String>, Vec<Payload>)>::deserialize(deserializer)?;
        let mut records = Vec::new();
        for (start, timestamp, payloads) in runs {
            let timestamp = timestamp
                .map(|text| {
                    text.parse().map_err(|_| {
                        D::Error::custom(format!("{text:?} is not a number of nanoseconds"))
                    })
                })
                .transpose()?;
            for (place, payload) in (0_u64..).zip(payloads) {
                let offset = start
                    .checked_add(place)
                    .ok_or_else(|| D::Error::custom("an offset is beyond 64 bits"))?;
                records.push(Stored {
                    offset,
                    payload,
                    timestamp,
                });
            }
        }
        Ok(records)
    }
}
