//! How long appends pause when the leader is killed: measured and told, held only against a liberal bound.

use std::time::{Duration, Instant};

use paxlog_client::{AppenderOptions, Record};

use crate::support::{Cluster, LIVENESS, block_on};

/// Far above what it takes, for a machine that has other things to do.
const PAUSE_MAX: Duration = Duration::from_secs(30);

#[test]
fn appends_go_on_by_themselves_after_each_kill_of_the_leader() {
    let mut cluster = Cluster::started();
    let mut pauses = Vec::new();
    block_on(async {
        let client = cluster.client().await;
        let options = AppenderOptions {
            deadline: LIVENESS,
            ..AppenderOptions::default()
        };
        let appender = client.appender("pauses", options).await.expect("opened");
        let mut appended = 0_u64;
        for _ in 0..3 {
            for _ in 0..20 {
                append(&appender, &mut appended).await;
            }
            let victim = cluster.leader();
            cluster.kill(victim);
            let killed = Instant::now();
            append(&appender, &mut appended).await;
            pauses.push(killed.elapsed());
            assert_ne!(cluster.leader(), victim);
            cluster.start(victim);
            cluster.wait_ready(victim);
        }
        // One at a time, each resent under its own sequence: as many records as appends.
        let tail = client
            .check_tail("pauses", Default::default())
            .await
            .expect("the leader answers");
        assert_eq!(tail.offset, appended);
        client.close().await;
    });
    println!("from the kill of the leader to the next receipt: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause < PAUSE_MAX), "{pauses:?}");
    cluster.finish();
}

async fn append(appender: &paxlog_client::Appender, appended: &mut u64) {
    let record = Record::new(appended.to_string());
    let pending = appender.append(vec![record]).await.expect("taken");
    let receipt = pending.await.expect("acknowledged");
    assert_eq!(receipt.start, *appended, "each once, in order");
    *appended += 1;
}
