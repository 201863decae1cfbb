//! Reads log A, transforms each record, and appends the results to log B, such that B is exactly f(A): nothing is
//! missing, twice, or out of order, however often this program is killed and started again, or started twice.
//!
//! It keeps nothing outside the two logs. Three things together do it:
//!
//! 1. *One writer.* Results are appended as a producer with a name. Opening it shuts out whoever had it open: nothing
//!    that a former run had under way is applied from then on. So what B shows afterwards is all there is.
//! 2. *The position is in the results.* Each result carries the offset of its source in a header, so the last record of
//!    B says how far A was dealt with. Result and position are one record: there is no moment between the two.
//! 3. *Each append names its place in B* (`append_at`). If one fails, none behind it can slip in without it.
//!
//! A cursor on A is only a bookmark: it spares reading again what gave no result, and says where to go on if B was
//! trimmed. It may lag; it is never ahead of B.
//!
//! ```sh
//! cargo run --release -p paxlog-client --example exactly_once -- examples/greetings examples/loud
//! ```

mod common;

use std::collections::VecDeque;
use std::process::ExitCode;

use common::Failure;
use paxlog_client::{
    Appender, AppenderOptions, Client, Code, Consistency, Expected, From, Pending, ReadOptions,
    Record, StoredRecord, TailEvent, TailOptions,
};

fn main() -> ExitCode {
    common::run(
        "exactly_once [--profile FILE] A B [--once]      (--once: end when all of A is done)",
        exactly_once,
    )
}

/// The producer's name in B, and the cursor's on A.
const NAME: &str = "exactly-once";
/// The header of a result that holds the offset of its source.
const SOURCE: &str = "source";
/// Appends that may be under way.
const IN_FLIGHT: usize = 256;

/// The f of f(A): loud, and without comments. It must depend on the record alone.
fn transform(source: &StoredRecord) -> Option<Record> {
    let text = String::from_utf8_lossy(&source.record.payload);
    let result = (!text.starts_with('#')).then(|| Record::new(text.to_uppercase()))?;
    Some(result.with_header(SOURCE, source.offset.to_string()))
}

async fn exactly_once(client: &Client, args: &[String]) -> Result<(), Failure> {
    let [a, b, rest @ ..] = args else {
        return Err("from which log, to which? Try --help".into());
    };
    let once = rest.iter().any(|arg| arg == "--once");

    // First shut out our former self, then look: what B shows now stays so until we append to it.
    let options = AppenderOptions {
        producer: Some(NAME.into()),
        ..AppenderOptions::default()
    };
    let appender = client.appender(b, options).await?;
    let end = client.check_tail(b, Consistency::Linearizable).await?;
    let bookmark = client.cursor(a, NAME, Consistency::Linearizable).await?;
    let bookmark = bookmark.map(|cursor| cursor.at);
    let position = match last_source(client, b, end.offset).await? {
        Some(source) => bookmark.unwrap_or(0).max(source + 1),
        None => bookmark.unwrap_or(0),
    };
    println!("from {position} of {a}, to {} of {b}", end.offset);

    let mut results = Results {
        client,
        a,
        appender,
        tail: end.offset,
        pending: VecDeque::new(),
        bookmark,
    };
    let until = client.check_tail(a, Consistency::Linearizable).await?;
    let from = From::Offset(position);
    let mut tail = client.tail(a, from, TailOptions::default()).await?;
    loop {
        // Any error ends this run. The next one finds its place again by itself.
        match tail.next().await? {
            TailEvent::Records(batch) => {
                for source in batch.records() {
                    results.append(&source).await?;
                }
            }
            TailEvent::Gap { to } => {
                return Err(format!("{a} was trimmed to {to} before it was read").into());
            }
            TailEvent::CaughtUp { tail } | TailEvent::Sealed { tail } => {
                results.settle(tail).await?;
                if once && tail >= until.offset {
                    println!("all of {a} up to {tail} is in {b}");
                    return Ok(());
                }
            }
        }
    }
}

/// The source of the last result, if there is one.
async fn last_source(client: &Client, b: &str, tail: u64) -> Result<Option<u64>, Failure> {
    let Some(last) = tail.checked_sub(1) else {
        return Ok(None);
    };
    let options = ReadOptions {
        consistency: Consistency::Linearizable,
        ..ReadOptions::default()
    };
    let mut reader = client.read(b, From::Offset(last), options).await?;
    let Some(batch) = reader.next_batch().await? else {
        // All of it was trimmed: the bookmark knows.
        return Ok(None);
    };
    let stored = batch.records().last().ok_or("an empty batch")?;
    let headers = &stored.record.headers;
    let source = headers.iter().find(|(name, _)| name == SOURCE);
    let (_, source) = source.ok_or_else(|| format!("{b} has records that are not ours"))?;
    Ok(Some(std::str::from_utf8(source)?.parse()?))
}

/// What is on its way to B.
struct Results<'a> {
    client: &'a Client,
    a: &'a str,
    appender: Appender,
    /// Where the next result is to stand.
    tail: u64,
    pending: VecDeque<Pending>,
    bookmark: Option<u64>,
}

impl Results<'_> {
    async fn append(&mut self, source: &StoredRecord) -> Result<(), Failure> {
        let Some(result) = transform(source) else {
            return Ok(());
        };
        if self.pending.len() == IN_FLIGHT
            && let Some(oldest) = self.pending.pop_front()
        {
            oldest.await?;
        }
        let pending = self.appender.append_at(vec![result], self.tail).await?;
        self.tail += 1;
        self.pending.push_back(pending);
        Ok(())
    }

    /// Waits for all receipts, and sets the bookmark: everything of A below `position` is in B.
    async fn settle(&mut self, position: u64) -> Result<(), Failure> {
        for pending in self.pending.drain(..) {
            pending.await?;
        }
        if self.bookmark == Some(position) {
            return Ok(());
        }
        let expect = match self.bookmark {
            Some(at) => Expected::Is(at),
            None => Expected::Absent,
        };
        let set = self.client.set_cursor(self.a, NAME, position, expect);
        self.bookmark = match set.await {
            Ok(_) => Some(position),
            // Another run was here in between. Its bookmark is as true as ours; we set it again from there.
            Err(error) if error.code == Code::CursorMismatch => error.found,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }
}
