//! Appends records, many in flight at once, and waits for their receipts.
//!
//! Start `paxlog dev` in a directory, then in the same one:
//!
//! ```sh
//! cargo run --release -p paxlog-client --example produce -- examples/greetings 1000
//! ```

mod common;

use std::collections::VecDeque;
use std::process::ExitCode;

use common::Failure;
use paxlog_client::{AppenderOptions, Client, Pending, Record};

fn main() -> ExitCode {
    common::run("produce [--profile FILE] [LOG [RECORDS]]", produce)
}

/// Receipts that may be waited for. The appender has a bound of its own, in bytes
/// ([`AppenderOptions::window_bytes`]); this one is about what we remember.
const IN_FLIGHT: usize = 1_000;

async fn produce(client: &Client, args: &[String]) -> Result<(), Failure> {
    let log = args.first().map_or("examples/greetings", String::as_str);
    let records: u64 = args.get(1).map_or(Ok(10), |text| text.parse())?;

    // An appender numbers what it sends, so that whatever it has to send again is appended once. Open one and keep it:
    // opening takes a round or two through the cluster.
    let appender = client.appender(log, AppenderOptions::default()).await?;

    let mut pending = VecDeque::new();
    for number in 0..records {
        let record = Record::new(format!("hello {number}"))
            .with_key("greeting")
            .with_header("language", "en");
        // This returns as soon as the record is *taken*. It is in the log when its receipt says so, and not before.
        // What is taken while others are under way shares their batches: no call needs to gather records by hand.
        pending.push_back(appender.append(vec![record]).await?);
        if pending.len() == IN_FLIGHT
            && let Some(oldest) = pending.pop_front()
        {
            receipt(oldest).await?;
        }
    }
    for receipt_to_come in pending {
        receipt(receipt_to_come).await?;
    }

    let summary = appender.close().await;
    println!("{} records, {} bytes", summary.records, summary.bytes);
    Ok(())
}

/// Receipts come in the order of the appends. An error says in [`paxlog_client::Error::outcome`] whether the records
/// may be in the log all the same; the appender has already tried everything that could settle it in time.
async fn receipt(pending: Pending) -> Result<(), Failure> {
    let receipt = pending.await?;
    println!(
        "{}..{} is on disk on a majority, at {} ns since 1970",
        receipt.start, receipt.end, receipt.timestamp
    );
    Ok(())
}
