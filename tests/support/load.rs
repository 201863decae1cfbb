//! A load from several appenders, taken down as a history, and the judge of it.
//!
//! Every record is unique: it names its appender, its append, and its place in the append. So a record that is
//! missing, repeated, out of place or never sent shows.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxlog_client::{
    Appender, AppenderOptions, Client, Completion, Error, OutcomeFact, Profile, Receipt, Record,
};
use paxlog_sim::check::check;
use paxlog_sim::history::{
    self, Call, ClientId, History, OpId, Outcome, Payload, Recorder, Reply, Settled,
};

use super::Stored;

fn records_of(number: u64) -> u64 {
    1 + number % 3
}

fn payload(appender: u32, number: u64, part: u64) -> Vec<u8> {
    let mut payload = format!("{appender} {number} {part} ").into_bytes();
    payload.resize(64 + (number % 7) as usize * 50, b'.');
    payload
}

/// What is asked and answered, by all threads, on one clock; a clone writes into the same history.
#[derive(Clone)]
pub(crate) struct Scribe {
    begin: Instant,
    recorder: Arc<Mutex<Recorder>>,
}

impl Scribe {
    pub(crate) fn new() -> Scribe {
        Scribe {
            begin: Instant::now(),
            recorder: Arc::default(),
        }
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An append begins, one of an appender's many.
    pub(crate) fn append(&self, log: &str, appender: u32, records: &[Record]) -> OpId {
        let payloads = records.iter().map(|record| Payload::id_of(&record.payload));
        let (now, client) = (self.now(), ClientId(appender.into()));
        self.recorder()
            .begin_in(now, client, appender.into(), Call::append(log, payloads))
    }

    pub(crate) fn appended(&self, id: OpId, result: &Result<Receipt, Error>) {
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

    /// Seals a log, which then is as it stays.
    pub(crate) async fn seal(&self, client: &Client, log: &str) -> Settled {
        let id = self
            .recorder()
            .begin(self.now(), ClientId(u64::MAX), Call::seal(log));
        let sealed = client.seal(log).await.expect("sealed");
        let reply = Reply::Sealed {
            tail: sealed.tail,
            version: Some(sealed.version),
            duplicate: false,
        };
        self.recorder().end(self.now(), id, Outcome::Ok(reply));
        Settled {
            tail: sealed.tail,
            version: Some(sealed.version),
            sealed: Some(true),
            ..Settled::whole(log, Vec::new())
        }
    }

    /// Asks where a log ends.
    pub(crate) async fn check_tail(&self, client: &Client, log: &str) {
        let call = Call::check_tail(log, history::Consistency::Linearizable);
        let id = self.recorder().begin(self.now(), ClientId(u64::MAX), call);
        let answer = client.check_tail(log, Default::default()).await;
        let outcome = match &answer {
            Ok(tail) => Outcome::Ok(Reply::Tail(history::TailReply {
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
    }

    /// What was taken down, with what the log came to on each replica: the first of them, and that of the others.
    pub(crate) fn finish(self, mut settled: Settled, replicas: &[Vec<Stored>]) -> History {
        let mut copies = (1..).zip(replicas.iter().map(|log| log.iter().map(kept).collect()));
        if let Some((_, first)) = copies.next() {
            settled.records = first;
        }
        for (replica, records) in copies {
            settled.add_replica(replica, records);
        }
        let mut recorder = self.recorder();
        recorder.settle(settled);
        std::mem::take(&mut *recorder).finish()
    }
}

fn kept(stored: &Stored) -> history::Stored {
    history::Stored {
        offset: stored.offset,
        payload: Payload::id_of(&stored.payload),
        timestamp: Some(stored.timestamp),
    }
}

fn failed(error: &Error) -> Outcome {
    let code = error.code.name().to_owned();
    match error.outcome {
        OutcomeFact::NotApplied => Outcome::NotApplied { code, seen: None },
        OutcomeFact::Unknown | OutcomeFact::NotAWrite => Outcome::Unknown { code: Some(code) },
    }
}

/// What a load does.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    pub(crate) log: String,
    pub(crate) appenders: Vec<AppenderLoad>,
    /// Appends a second that each appender begins at most.
    pub(crate) rate: u64,
}

/// What one appender does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppenderLoad {
    /// Appends in flight.
    pub(crate) in_flight: usize,
    /// How long an append may take. A short one leaves outcomes open.
    pub(crate) deadline: Duration,
}

/// Appenders at work, each on a thread and a connection of its own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    scribe: Scribe,
}

impl Load {
    pub(crate) fn start(profile: &Profile, options: &LoadOptions) -> Load {
        let (stop, acknowledged) = (Arc::default(), Arc::default());
        let scribe = Scribe::new();
        let threads = (0..)
            .zip(&options.appenders)
            .map(|(appender, load)| {
                let mut worker = Worker {
                    appender,
                    load: *load,
                    log: options.log.clone(),
                    rate: options.rate,
                    stop: Arc::clone(&stop),
                    acknowledged: Arc::clone(&acknowledged),
                    next: 0,
                    scribe: scribe.clone(),
                };
                let profile = profile.clone();
                std::thread::spawn(move || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime")
                        .block_on(worker.work(profile));
                })
            })
            .collect();
        Load {
            stop,
            acknowledged,
            threads,
            scribe,
        }
    }

    /// Where its history is written.
    pub(crate) fn scribe(&self) -> &Scribe {
        &self.scribe
    }

    /// Appends acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Begins no more appends, waits for the ends of all, and gives their history.
    pub(crate) fn finish(mut self) -> Scribe {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic");
        }
        self.scribe.clone()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Worker {
    appender: u32,
    load: AppenderLoad,
    log: String,
    rate: u64,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    next: u64,
    scribe: Scribe,
}

/// How long one try to connect may take.
const CONNECT: Duration = Duration::from_secs(30);
/// How often a worker looks whether it should begin more.
const TURN: Duration = Duration::from_millis(2);

impl Worker {
    async fn work(&mut self, profile: Profile) {
        let client = loop {
            match Client::connect_within(profile.clone(), CONNECT).await {
                Ok(client) => break client,
                Err(_) if self.stopped() => return,
                Err(_) => {}
            }
        };
        let begin = Instant::now();
        while !self.stopped() {
            let options = AppenderOptions {
                deadline: self.load.deadline,
                ..AppenderOptions::default()
            };
            // None while nobody leads: it is opened again.
            if let Ok(appender) = client.appender(&self.log, options).await {
                self.append(&appender, begin).await;
            }
        }
        client.close().await;
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Until it is to stop or the appender takes no more; and until everything taken has ended.
    async fn append(&mut self, appender: &Appender, begin: Instant) {
        let mut under_way: HashMap<u64, OpId> = HashMap::new();
        let mut ends: Vec<Completion> = Vec::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            open &= !self.stopped();
            let due = (begin.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while open && under_way.len() < self.load.in_flight && self.next < due {
                let number = self.next;
                let records: Vec<Record> = (0..records_of(number))
                    .map(|part| Record::new(payload(self.appender, number, part)))
                    .collect();
                let id = self.scribe.append(&self.log, self.appender, &records);
                match appender.append_tagged(records, number).await {
                    Ok(()) => {
                        under_way.insert(number, id);
                    }
                    // Not taken: it takes nothing more.
                    Err(error) => {
                        open = false;
                        self.end(id, &Err(error));
                    }
                }
                self.next += 1;
            }
            tokio::select! {
                () = appender.completions(&mut ends), if !under_way.is_empty() => {}
                () = tokio::time::sleep(TURN) => {}
            }
            for done in ends.drain(..) {
                let id = under_way.remove(&done.tag).expect("each ends once");
                self.end(id, &done.result);
            }
        }
    }

    fn end(&mut self, id: OpId, result: &Result<Receipt, Error>) {
        if result.is_ok() {
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        self.scribe.appended(id, result);
    }
}

/// What a load came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) acknowledged: u64,
    pub(crate) not_applied: u64,
    pub(crate) unknown: u64,
    /// Of the unknown ones, those that are there.
    pub(crate) unknown_there: u64,
    pub(crate) records: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} appends acknowledged, {} known not applied, {} unknown of which {} are there; {} records",
            self.acknowledged, self.not_applied, self.unknown, self.unknown_there, self.records
        )
    }
}

/// Judges a history, and tells what it came to.
///
/// # Panics
/// If a promise was broken, with the operations that contradict each other; the history is then in
/// `target/broken-history.jsonl`.
pub(crate) fn judge(history: &History) -> Tally {
    let report = check(history);
    if let Some(first) = report.violations.first() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/broken-history.jsonl"
        );
        let written = std::fs::File::create(path)
            .and_then(|file| history.write(std::io::BufWriter::new(file)));
        panic!(
            "{first}\n({} violations; the history: {path}, {written:?})",
            report.violations.len() as u64 + report.more
        );
    }
    let ends = report.summary.ends("append");
    Tally {
        acknowledged: ends.ok,
        not_applied: ends.not_applied,
        unknown: ends.unknown,
        unknown_there: report.summary.unknown_there,
        records: report.summary.records,
    }
}
