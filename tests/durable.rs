//! What an acknowledgement means, told by the kernel: it is there only after two of three replicas' syncs have returned.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paxlog_client::{Appender, AppenderOptions, Record};

use crate::support::trace::{self, Call, Trace};
use crate::support::{Cluster, block_on};

/// How long each sync is held back, so that what does not wait for one is plainly early.
const HELD: Duration = Duration::from_millis(25);
/// Times of calls are in whole microseconds, both ends of them.
const ROUNDED: Duration = Duration::from_micros(3);
const ALONE: usize = 12;
const TOGETHER: usize = 24;

/// A record, and when its receipt was there.
struct Acknowledged {
    marker: String,
    at: Duration,
}

#[test]
fn no_receipt_is_there_before_the_syncs_of_a_majority_have_returned() {
    if !trace::is_possible("no_receipt_is_there_before_the_syncs_of_a_majority_have_returned") {
        return;
    }
    let mut cluster = Cluster::started();
    let (acknowledged, traces) = block_on(async {
        let client = cluster.client().await;
        let options = AppenderOptions::default();
        let appender = Arc::new(client.appender("traced", options).await.expect("opened"));
        append(&appender, "before").await;
        let traces: Vec<Trace> = (1..=3)
            .map(|id| Trace::begin(cluster.pid(id), HELD))
            .collect();
        let mut acknowledged = Vec::new();
        for n in 0..ALONE {
            acknowledged.push(append(&appender, &format!("alone-{n:04}")).await);
        }
        let mut together = tokio::task::JoinSet::new();
        for n in 0..TOGETHER {
            let appender = Arc::clone(&appender);
            together.spawn(async move { append(&appender, &format!("together-{n:04}")).await });
        }
        acknowledged.extend(together.join_all().await);
        (acknowledged, traces)
    });
    let calls: Vec<Vec<Call>> = traces.into_iter().map(Trace::end).collect();
    for record in &acknowledged {
        let mut durable: Vec<Duration> = calls
            .iter()
            .filter_map(|calls| durable_at(calls, &record.marker))
            .collect();
        durable.sort_unstable();
        let Some(majority) = durable.get(1) else {
            panic!(
                "{} was acknowledged, and synced on {} of three replicas by the end of the trace",
                record.marker,
                durable.len()
            );
        };
        assert!(
            *majority <= record.at,
            "the receipt of {} was there {:?} before a second replica's sync had returned",
            record.marker,
            *majority - record.at
        );
    }
    println!("{} records", acknowledged.len());
    cluster.finish();
}

async fn append(appender: &Appender, marker: &str) -> Acknowledged {
    let marker = format!("<{marker}>");
    let records = vec![Record::new(marker.clone())];
    let receipt = appender.append(records).await.expect("sent");
    receipt.await.expect("acknowledged");
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock");
    Acknowledged { marker, at }
}

/// When the record was durable on a replica: a sync of the file into which it was written, begun after the write had
/// returned, has returned.
fn durable_at(calls: &[Call], marker: &str) -> Option<Duration> {
    let write = calls
        .iter()
        .find(|call| call.name.starts_with("pwrite") && call.text.contains(marker))?;
    let sync = calls.iter().find(|call| {
        call.name == "fdatasync"
            && call.path == write.path
            && call.entered + ROUNDED >= write.returned
    })?;
    // The tracer's own word and no time of ours: it begins to count the delay before it takes the time of entry, so
    // that a sync held back for all of `HELD` shows as one that lasted some microseconds less.
    assert!(
        sync.text.contains("(DELAYED)"),
        "this sync was not held back, so the test shows nothing: {sync:?}"
    );
    Some(sync.returned)
}
