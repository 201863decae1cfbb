//! A load from several appenders that remembers how every append ended, and the judge who holds a log
//! against it.
//!
//! Every record is unique: it names its appender, its append, and its place in the append. So a record that is
//! missing, repeated, out of place or never sent shows. The judge knows nothing of clusters: it gets records
//! and what was said of them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use paxlog_client::{
    Appender, AppenderOptions, Client, Code, Completion, OutcomeFact, Profile, Record,
};

/// How an append ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A receipt came: these offsets.
    Acknowledged { start: u64, end: u64 },
    /// It is known not to be there.
    NotApplied(Code),
    /// Nobody knows.
    Unknown(Code),
}

/// One append, as its appender saw it.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) appender: u32,
    /// Rises by one with each append of the appender.
    pub(crate) number: u64,
    pub(crate) called: Instant,
    pub(crate) ended: Instant,
    pub(crate) end: End,
}

impl Op {
    /// How many records it has.
    fn records(&self) -> u64 {
        records_of(self.number)
    }
}

fn records_of(number: u64) -> u64 {
    1 + number % 3
}

fn payload(appender: u32, number: u64, part: u64) -> Vec<u8> {
    let mut payload = format!("{appender} {number} {part} ").into_bytes();
    payload.resize(64 + (number % 7) as usize * 50, b'.');
    payload
}

/// Appender, number and part of a payload; none if no load sent it.
fn parse(bytes: &[u8]) -> Option<(u32, u64, u64)> {
    let mut words = std::str::from_utf8(bytes).ok()?.split(' ');
    let name = (
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    );
    (payload(name.0, name.1, name.2) == bytes).then_some(name)
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
    threads: Vec<JoinHandle<Vec<Op>>>,
}

impl Load {
    pub(crate) fn start(profile: &Profile, options: &LoadOptions) -> Load {
        let (stop, acknowledged) = (Arc::default(), Arc::default());
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
                    ops: Vec::new(),
                };
                let profile = profile.clone();
                std::thread::spawn(move || {
                    tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build()
                        .expect("a runtime")
                        .block_on(worker.work(profile));
                    worker.ops
                })
            })
            .collect();
        Load {
            stop,
            acknowledged,
            threads,
        }
    }

    /// Appends acknowledged so far.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Begins no more appends, waits for the ends of all, and tells them.
    pub(crate) fn finish(mut self) -> Vec<Op> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .drain(..)
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
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
    ops: Vec<Op>,
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
        let mut under_way: HashMap<u64, Instant> = HashMap::new();
        let mut ends: Vec<Completion> = Vec::new();
        let mut open = true;
        while open || !under_way.is_empty() {
            open &= !self.stopped();
            let due = (begin.elapsed().as_secs_f64() * self.rate as f64) as u64;
            while open && under_way.len() < self.load.in_flight && self.next < due {
                let number = self.next;
                let records = (0..records_of(number))
                    .map(|part| Record::new(payload(self.appender, number, part)))
                    .collect();
                let called = Instant::now();
                match appender.append_tagged(records, number).await {
                    Ok(()) => {
                        under_way.insert(number, called);
                    }
                    // Not taken: it takes nothing more.
                    Err(error) => {
                        open = false;
                        self.end(number, called, Err(error));
                    }
                }
                self.next += 1;
            }
            tokio::select! {
                () = appender.completions(&mut ends), if !under_way.is_empty() => {}
                () = tokio::time::sleep(TURN) => {}
            }
            for done in ends.drain(..) {
                let called = under_way.remove(&done.tag).expect("each ends once");
                self.end(done.tag, called, done.result);
            }
        }
    }

    fn end(
        &mut self,
        number: u64,
        called: Instant,
        result: Result<paxlog_client::Receipt, paxlog_client::Error>,
    ) {
        let end = match result {
            Ok(receipt) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                End::Acknowledged {
                    start: receipt.start,
                    end: receipt.end,
                }
            }
            Err(error) => match error.outcome {
                OutcomeFact::NotApplied => End::NotApplied(error.code),
                OutcomeFact::Unknown | OutcomeFact::NotAWrite => End::Unknown(error.code),
            },
        };
        self.ops.push(Op {
            appender: self.appender,
            number,
            called,
            ended: Instant::now(),
            end,
        });
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

/// Holds a whole log, as `(offset, payload)` in the order it was read, against what its appenders were told.
///
/// # Errors
/// The first promise that is broken, in a sentence.
pub(crate) fn judge<'a>(
    ops: &[Op],
    log: impl IntoIterator<Item = (u64, &'a [u8])>,
) -> Result<Tally, String> {
    let sent: HashMap<(u32, u64), &Op> = ops
        .iter()
        .map(|op| ((op.appender, op.number), op))
        .collect();
    if sent.len() != ops.len() {
        return Err("the load itself repeated an append".into());
    }
    // Where each append stands, in the order of the log: its first record's offset.
    let mut found: Vec<(&Op, u64)> = Vec::new();
    let mut there: HashMap<(u32, u64), u64> = HashMap::new();
    let mut latest: HashMap<u32, u64> = HashMap::new();
    let mut tally = Tally::default();
    // The append whose records must follow, and how many came.
    let mut open: Option<(&Op, u64)> = None;
    for (at, (offset, bytes)) in (0_u64..).zip(log) {
        if offset != at {
            return Err(format!("offset {offset} was read where {at} belongs"));
        }
        let Some((appender, number, part)) = parse(bytes) else {
            return Err(format!("offset {offset} holds what nobody sent"));
        };
        let name = format!("append {number} of appender {appender}");
        let Some(op) = sent.get(&(appender, number)) else {
            return Err(format!("{name} at {offset} was never begun"));
        };
        match open {
            Some((before, came)) if came < before.records() => {
                if !std::ptr::eq(before, *op) || part != came {
                    return Err(format!(
                        "append {} of appender {} is not whole: part {came} is missing at {offset}",
                        before.number, before.appender
                    ));
                }
                open = Some((op, came + 1));
            }
            _ => {
                if let Some(first) = there.insert((appender, number), offset) {
                    return Err(format!("{name} is there twice, at {first} and {offset}"));
                }
                if part != 0 {
                    return Err(format!("{name} at {offset} begins with part {part}"));
                }
                if latest.insert(appender, number).is_some_and(|l| l > number) {
                    return Err(format!("{name} at {offset} stands after a later one"));
                }
                found.push((op, offset));
                open = Some((op, 1));
            }
        }
        tally.records += 1;
    }
    if let Some((op, came)) = open
        && came < op.records()
    {
        return Err(format!("the last append, {}, is cut short", op.number));
    }
    for op in ops {
        let at = there.get(&(op.appender, op.number)).copied();
        let name = format!("append {} of appender {}", op.number, op.appender);
        match (&op.end, at) {
            (End::Acknowledged { start, end }, at) => {
                if at != Some(*start) || end - start != op.records() {
                    return Err(format!(
                        "{name} was acknowledged at {start}..{end}, and is {}",
                        at.map_or("nowhere".into(), |at| format!("at {at}"))
                    ));
                }
                tally.acknowledged += 1;
            }
            (End::NotApplied(code), Some(at)) => {
                return Err(format!(
                    "{name} ended as not applied ({code}), and is at {at}"
                ));
            }
            (End::NotApplied(_), None) => tally.not_applied += 1,
            (End::Unknown(_), at) => {
                tally.unknown += 1;
                tally.unknown_there += u64::from(at.is_some());
            }
        }
    }
    // In real time: what ended before another was begun stands before it.
    let mut begun: Option<(&Op, u64)> = None;
    for (op, offset) in found {
        if let Some((later, place)) = begun
            && matches!(op.end, End::Acknowledged { .. })
            && op.ended < later.called
        {
            return Err(format!(
                "append {} of appender {} at {offset} ended before append {} of appender {} was begun, which stands before it at {place}",
                op.number, op.appender, later.number, later.appender
            ));
        }
        if begun.is_none_or(|(later, _)| op.called > later.called) {
            begun = Some((op, offset));
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two appenders, six appends in the log, one unknown that is there, one that is not, one not applied.
    fn example() -> (Vec<Op>, Vec<Vec<u8>>) {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut log = Vec::new();
        let mut ops = Vec::new();
        for (number, appender) in [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1)] {
            let start = log.len() as u64;
            log.extend((0..records_of(number)).map(|part| payload(appender, number, part)));
            let end = End::Acknowledged {
                start,
                end: log.len() as u64,
            };
            let time = ops.len() as u64 * 10;
            ops.push(Op {
                appender,
                number,
                called: at(time),
                ended: at(time + 5),
                end,
            });
        }
        log.push(payload(0, 3, 0));
        for (number, end) in [
            (3, End::Unknown(Code::OutcomeUnknown)),
            (4, End::Unknown(Code::DeadlineExceeded)),
            (5, End::NotApplied(Code::Unavailable)),
        ] {
            ops.push(Op {
                appender: 0,
                number,
                called: at(100),
                ended: at(200),
                end,
            });
        }
        (ops, log)
    }

    fn verdict(ops: &[Op], log: &[Vec<u8>]) -> Result<Tally, String> {
        judge(ops, (0..).zip(log.iter().map(Vec::as_slice)))
    }

    #[test]
    fn a_good_log_passes() {
        let (ops, log) = example();
        let tally = verdict(&ops, &log).unwrap();
        assert_eq!((tally.acknowledged, tally.not_applied), (5, 1));
        assert_eq!((tally.unknown, tally.unknown_there), (2, 1));
        assert_eq!(tally.records, log.len() as u64);
    }

    #[test]
    fn every_record_that_is_lost_repeated_or_changed_is_seen() {
        let (ops, log) = example();
        for i in 0..log.len() {
            let mut lost = log.clone();
            lost.remove(i);
            // The last one is the unknown append: it may be missing.
            assert_eq!(verdict(&ops, &lost).is_err(), i + 1 < log.len(), "{i} lost");
            for to in 0..=log.len() {
                let mut twice = log.clone();
                twice.insert(to, log[i].clone());
                assert!(verdict(&ops, &twice).is_err(), "{i} again at {to}");
            }
            let mut changed = log.clone();
            changed[i][20] ^= 1;
            assert!(verdict(&ops, &changed).is_err(), "{i} changed");
        }
        for i in 1..log.len() {
            let mut swapped = log.clone();
            swapped.swap(i - 1, i);
            assert!(verdict(&ops, &swapped).is_err(), "{i} swapped");
        }
    }

    #[test]
    fn what_was_called_not_applied_may_not_be_there() {
        let (ops, mut log) = example();
        log.extend((0..records_of(5)).map(|part| payload(0, 5, part)));
        let said = verdict(&ops, &log).unwrap_err();
        assert!(said.contains("not applied"), "{said}");
    }

    #[test]
    fn a_wrong_receipt_and_a_gap_are_seen() {
        let (mut ops, log) = example();
        let skipping = (0..).zip(&log).map(|(at, p)| (at + at / 3, p.as_slice()));
        assert!(judge(&ops, skipping).unwrap_err().contains("belongs"));
        ops[2].end = End::Acknowledged { start: 3, end: 5 };
        assert!(verdict(&ops, &log).unwrap_err().contains("acknowledged at"));
    }

    #[test]
    fn an_append_that_stands_before_one_that_had_ended_is_seen() {
        let (mut ops, log) = example();
        // Appender 1's first append stands before appender 0's second, which now is long over.
        ops[2].called = ops[1].called - Duration::from_millis(9);
        ops[2].ended = ops[1].called - Duration::from_millis(1);
        let said = verdict(&ops, &log).unwrap_err();
        assert!(said.contains("ended before"), "{said}");
    }
}
