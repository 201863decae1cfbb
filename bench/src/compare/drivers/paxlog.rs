//! Paxlog, by its Rust client: one appender a client, ends in bulk.

use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use paxlog_client::{
    Appender, AppenderOptions, Completion, From, Profile, ReadOptions, Reader, Record, Tail,
    TailEvent, TailOptions, limits,
};

use super::{Driver, Packing, Reach};
use crate::compare::load::Target;

/// A client with its connections to all replicas.
pub(in crate::compare) struct Client(paxlog_client::Client);

pub(in crate::compare) struct Appends {
    appender: Appender,
    records: usize,
    ends: Vec<Completion>,
}

pub(in crate::compare) enum Reads {
    End(Reader),
    Live(Tail),
}

/// How long a cluster that has just started may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl Driver for Client {
    type Appends = Appends;
    type Reads = Reads;

    async fn connect(target: &Target) -> Result<Client> {
        let Target::Paxlog(profile) = target else {
            bail!("not a Paxlog cluster");
        };
        let profile = Profile::load(profile)?;
        let client = paxlog_client::Client::connect_within(profile, PATIENCE).await?;
        Ok(Client(client.with_deadline(PATIENCE)))
    }

    async fn appends(&self, log: &str, packing: Packing) -> Result<Appends> {
        let bytes = packing.flight * packing.records * (packing.payload + 256);
        let options = AppenderOptions {
            // A batch of many is one append already.
            max_batch_records: match (packing.coalesce, packing.records) {
                (false, 1) => 1,
                _ => u32::MAX,
            },
            max_batch_bytes: match packing.records {
                1 => AppenderOptions::default().max_batch_bytes,
                _ => limits::BATCH_BYTES_MAX,
            },
            window_bytes: bytes.max(16 << 20),
            deadline: PATIENCE,
            ..AppenderOptions::default()
        };
        Ok(Appends {
            appender: self.0.appender(log, options).await?,
            records: packing.records,
            ends: Vec::new(),
        })
    }

    async fn reads(&self, log: &str, reach: Reach, _number: usize) -> Result<Reads> {
        Ok(match reach {
            Reach::End => Reads::End(
                self.0
                    .read(log, From::First, ReadOptions::default())
                    .await?,
            ),
            Reach::Live => {
                let tail = self.0.tail(log, From::First, TailOptions::default());
                Reads::Live(tail.await?)
            }
        })
    }
}

impl super::Appends for Appends {
    async fn give(&mut self, tag: u64, payload: &Bytes) -> Result<()> {
        let records = vec![Record::new(payload.clone()); self.records];
        Ok(self.appender.append_tagged(records, tag).await?)
    }

    async fn ended(&mut self, into: &mut Vec<u64>) -> Result<()> {
        self.appender.completions(&mut self.ends).await;
        for end in self.ends.drain(..) {
            end.result?;
            into.push(end.tag);
        }
        Ok(())
    }
}

impl super::Reads for Reads {
    async fn next(&mut self, into: &mut Vec<Bytes>) -> Result<()> {
        let batch = match self {
            Reads::End(reader) => reader.next_batch().await?,
            Reads::Live(tail) => loop {
                match tail.next().await? {
                    TailEvent::Records(batch) => break Some(batch),
                    TailEvent::Gap { to } => bail!("records up to {to} are gone"),
                    TailEvent::CaughtUp { .. } => {}
                    TailEvent::Sealed { .. } => break None,
                }
            },
        };
        into.extend(
            batch
                .iter()
                .flat_map(|batch| batch.records())
                .map(|stored| stored.record.payload),
        );
        Ok(())
    }
}
