//! Follows a log: what is there, then whatever comes, until it is stopped or the log is sealed.
//!
//! ```sh
//! cargo run --release -p paxlog-client --example tail -- examples/greetings
//! ```

mod common;

use std::process::ExitCode;

use common::Failure;
use paxlog_client::{Client, From, TailEvent, TailOptions};

fn main() -> ExitCode {
    common::run("tail [--profile FILE] [LOG [OFFSET]]", tail)
}

async fn tail(client: &Client, args: &[String]) -> Result<(), Failure> {
    let log = args.first().map_or("examples/greetings", String::as_str);
    // There is also `From::Tail` (only what comes), `From::TailMinus(10)`, `From::Timestamp(ns)` and
    // `From::Cursor(name)`.
    let from = match args.get(1) {
        Some(offset) => From::Offset(offset.parse()?),
        None => From::First,
    };
    // The replica pushes records; `TailOptions::credit` bounds how many bytes may wait for us. If that replica fails,
    // the stream goes on from another one at the same place: no record is left out and none comes twice.
    let mut tail = client.tail(log, from, TailOptions::default()).await?;
    loop {
        match tail.next().await? {
            TailEvent::Records(batch) => {
                for stored in batch.records() {
                    let payload = String::from_utf8_lossy(&stored.record.payload);
                    println!("{}: {payload}", stored.offset);
                }
            }
            // Somebody trimmed the log, or its settings let old records go, before we had read them. To go on is right
            // for some readers; others must stop here, since they would never know what they have missed.
            TailEvent::Gap { to } => println!("(gone: everything below {to})"),
            // Said each time that there is nothing more for now: the moment to report, or to save where we are.
            TailEvent::CaughtUp { tail } => println!("(caught up at {tail})"),
            TailEvent::Sealed { tail } => {
                println!("(sealed at {tail}: nothing will follow)");
                return Ok(());
            }
        }
    }
}
