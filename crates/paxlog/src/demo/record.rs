//! What the demo did and was told, as a history.

use std::io::BufWriter;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use paxlog_client::{Batch, Client, Consistency, Error, From, ReadOptions, Receipt, TailEvent};
use paxlog_sim::check::{Report, check};
use paxlog_sim::history::{
    self, Call, ClientId, Event, OpId, Outcome, Payload, ReadReply, Recorder, Reply, SessionId,
    Settled, Stored, TailReply,
};

use super::LOG;
use crate::failure::Failure;

/// Who asks.
pub(super) const WRITER: ClientId = ClientId(1);
const READER: ClientId = ClientId(2);
/// The one tail; the sessions with single replicas have their numbers.
const TAIL: SessionId = SessionId(100);

/// Takes down what is asked and answered; a clone writes into the same history.
#[derive(Clone)]
pub(super) struct Record {
    begin: Instant,
    recorder: Arc<Mutex<Recorder>>,
}

impl Record {
    pub(super) fn new() -> Record {
        Record {
            begin: Instant::now(),
            recorder: Arc::default(),
        }
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        // No code panics while it holds the lock.
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An append of one record begins.
    pub(super) fn append(&self, payload: &[u8]) -> OpId {
        let call = Call::append(LOG, [Payload::id_of(payload)]);
        self.recorder().begin_in(self.now(), WRITER, 1, call)
    }

    pub(super) fn appended(&self, id: OpId, result: &Result<Receipt, Error>) {
        let outcome = match result {
            Ok(receipt) => Outcome::Ok(Reply::Appended(history::Receipt {
                log: Some(receipt.log),
                start: receipt.start,
                end: receipt.end,
                timestamp: Some(receipt.timestamp),
                tail: Some(receipt.tail),
                version: Some(receipt.version),
                duplicate: receipt.duplicate,
            })),
            Err(error) => failed(error),
        };
        self.recorder().end(self.now(), id, outcome);
    }

    /// Asks where the log ends, of a replica by itself if it is named.
    pub(super) async fn check_tail(
        &self,
        client: &Client,
        replica: Option<u16>,
    ) -> Result<paxlog_client::TailInfo, Error> {
        let (asked, mut call) = match replica {
            None => (
                Consistency::Linearizable,
                Call::check_tail(LOG, history::Consistency::Linearizable),
            ),
            Some(_) => (
                Consistency::Local,
                Call::check_tail(LOG, history::Consistency::Local),
            ),
        };
        if let Some(replica) = replica {
            call = call.in_session(SessionId(replica.into()), 0);
        }
        let id = self.recorder().begin(self.now(), READER, call);
        let answer = client.check_tail(LOG, asked).await;
        let outcome = match &answer {
            Ok(tail) => Outcome::Ok(Reply::Tail(TailReply {
                offset: tail.offset,
                timestamp: Some(tail.timestamp),
                trim_point: tail.trim_point,
                sealed: tail.sealed,
                version: Some(tail.version),
                fence: Some(tail.fence.clone().unwrap_or_default()),
            })),
            Err(error) => failed(error),
        };
        self.recorder().end(self.now(), id, outcome);
        answer
    }

    /// Seals the log and says where it ends.
    pub(super) async fn seal(&self, client: &Client) -> Result<Settled, Error> {
        let id = self.recorder().begin(self.now(), WRITER, Call::seal(LOG));
        let answer = client.seal(LOG).await;
        let outcome = match &answer {
            Ok(sealed) => Outcome::Ok(Reply::Sealed {
                tail: sealed.tail,
                version: Some(sealed.version),
                duplicate: false,
            }),
            Err(error) => failed(error),
        };
        self.recorder().end(self.now(), id, outcome);
        answer.map(|sealed| Settled {
            tail: sealed.tail,
            version: Some(sealed.version),
            sealed: Some(true),
            ..Settled::whole(LOG, Vec::new())
        })
    }

    /// Reads everything from the leader.
    pub(super) async fn read(&self, client: &Client) -> Result<Vec<Stored>, Error> {
        let call = Call::read(LOG, history::Consistency::Linearizable, true);
        let id = self.recorder().begin(self.now(), READER, call);
        let answer = read_all(client, Consistency::Linearizable).await;
        let outcome = match &answer {
            // What it read is what the log is taken to hold: written down once, as that.
            Ok((_, tail)) => Outcome::Ok(Reply::Read(ReadReply {
                tail: Some(*tail),
                ..ReadReply::default()
            })),
            Err(error) => failed(error),
        };
        self.recorder().end(self.now(), id, outcome);
        answer.map(|(records, _)| records)
    }

    /// Hears the tail to the end of the sealed log.
    pub(super) async fn follow(self, mut tail: paxlog_client::Tail) -> Result<(), Error> {
        loop {
            let event = match tail.next().await? {
                TailEvent::Records(batch) => Event::Records(stored(&batch)),
                TailEvent::Gap { to } => Event::Gap { to },
                TailEvent::CaughtUp { tail } => Event::CaughtUp { tail },
                TailEvent::Sealed { tail } => Event::Sealed { tail },
            };
            let over = matches!(event, Event::Sealed { .. });
            self.recorder().event(self.now(), READER, LOG, TAIL, event);
            if over {
                return Ok(());
            }
        }
    }

    /// Judges all of it, and writes it down if a file is named.
    pub(super) fn judge(&self, settled: Settled, file: Option<&Path>) -> Result<Report, Failure> {
        let mut recorder = self.recorder();
        recorder.settle(settled);
        if let Some(file) = file {
            std::fs::File::create(file)
                .and_then(|out| recorder.history().write(BufWriter::new(out)))
                .map_err(|error| {
                    Failure::local_io(format!("cannot write {}: {error}", file.display()))
                })?;
        }
        let report = check(recorder.history());
        match report.violations.first() {
            None => Ok(report),
            Some(violation) => Err(Failure::integrity(violation.to_string())
                .hint("this must never happen: please report it, with what --history writes")),
        }
    }
}

/// Everything that one replica has, or the leader; and the tail that was seen.
pub(super) async fn read_all(
    client: &Client,
    consistency: Consistency,
) -> Result<(Vec<Stored>, u64), Error> {
    let options = ReadOptions {
        consistency,
        strict: true,
        ..ReadOptions::default()
    };
    let mut reader = client.read(LOG, From::First, options).await?;
    let mut records = Vec::new();
    while let Some(batch) = reader.next_batch().await? {
        records.extend(stored(&batch));
    }
    Ok((records, reader.tail()))
}

fn stored(batch: &Batch) -> Vec<Stored> {
    batch
        .records()
        .map(|stored| Stored {
            offset: stored.offset,
            payload: Payload::id_of(&stored.record.payload),
            timestamp: Some(stored.timestamp),
        })
        .collect()
}

fn failed(error: &Error) -> Outcome {
    let code = error.code.name().to_owned();
    match error.outcome {
        paxlog_client::OutcomeFact::NotApplied => Outcome::NotApplied { code, seen: None },
        _ => Outcome::Unknown { code: Some(code) },
    }
}
