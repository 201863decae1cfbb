//! Appends a few records and follows the log until they have come back.
//!
//! Start `paxlog dev` in a directory, then in the same one:
//! `cargo run --release -p paxlog-client --example produce_and_tail`

use std::error::Error;

use paxlog_client::{AppenderOptions, Client, From, Profile, Record, TailEvent, TailOptions};

const LOG: &str = "examples/greetings";
const RECORDS: u64 = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let client = Client::connect(Profile::find()?).await?;

    // Many appends may be in flight: each gives the receipt to come.
    let appender = client.appender(LOG, AppenderOptions::default()).await?;
    let mut pending = Vec::new();
    for n in 0..RECORDS {
        let record = Record::new(format!("hello {n}")).with_key("greeting");
        pending.push(appender.append(vec![record]).await?);
    }
    let mut first = None;
    for receipt in pending {
        let receipt = receipt.await?;
        first.get_or_insert(receipt.start);
        println!("durable on a majority: {}..{}", receipt.start, receipt.end);
    }

    // From the first of them on, and then whatever comes.
    let from = From::Offset(first.unwrap_or_default());
    let mut tail = client.tail(LOG, from, TailOptions::default()).await?;
    let mut seen = 0;
    while seen < RECORDS {
        if let TailEvent::Records(batch) = tail.next().await? {
            for stored in batch.records() {
                println!(
                    "{}: {}",
                    stored.offset,
                    String::from_utf8_lossy(&stored.record.payload)
                );
                seen += 1;
            }
        }
    }
    client.close().await;
    Ok(())
}
