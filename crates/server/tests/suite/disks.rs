//! Disks that hang, fail or are full under running replicas.

use std::time::Duration;

use paxlog_server::{ExitReason, Replica};
use paxlog_wire::Code;
use paxlog_wire::client::{CommandBody, CommandOutcome};

use crate::client::Client;
use crate::faulty::{Faults, Faulty};
use crate::support::{Group, leader, runtime, stop, until};

fn start(group: &Group) -> (Vec<Replica>, Vec<Faulty>) {
    let start = |config: &paxlog_server::config::Config| {
        let disk = Faulty::new(&config.data_dir);
        let replica = Replica::start_on(config.clone(), std::sync::Arc::new(disk.clone()));
        (replica.expect("it starts"), disk)
    };
    group.configs.iter().map(start).unzip()
}

/// A log with two records.
fn begin(runtime: &tokio::runtime::Runtime, group: &Group, at: &Replica) -> u64 {
    runtime.block_on(async {
        let mut client = Client::connect(group, at.client_addr()).await;
        let log = client.open_log().await;
        client.append(log, &["a", "b"]).await;
        log
    })
}

/// A leader among the others, that serves.
fn another_leads(replicas: &[Replica], not: usize) -> usize {
    until("another leads", || {
        let leads = |(at, replica): (usize, &Replica)| {
            let status = replica.status();
            at != not && status.ready && status.role == "leader"
        };
        replicas.iter().enumerate().position(leads)
    })
}

/// A sync that does not return costs leadership, not heartbeats; once it does,
/// the replica follows and catches up by itself.
#[test]
fn a_leader_whose_disk_hangs_hands_over_and_comes_back() {
    let group = Group::new(3);
    group.format();
    let (replicas, disks) = start(&group);
    let first = leader(&replicas);
    let runtime = runtime();
    let log = begin(&runtime, &group, &replicas[first]);
    disks[first].set(Faults {
        hang: true,
        ..Faults::default()
    });
    // Nobody appends: the idle disk is tried, too.
    let second = another_leads(&replicas, first);
    runtime.block_on(async {
        let mut client = Client::connect(&group, replicas[second].client_addr()).await;
        assert_eq!(client.open_log().await, log);
        client.append(log, &["c"]).await;
    });
    let status = replicas[first].status();
    assert!(status.wal.health.contains("stall"), "{}", status.wal.health);
    disks[first].set(Faults::default());
    let read = |at: usize| {
        runtime.block_on(async {
            let client = Client::connect(&group, replicas[at].client_addr()).await;
            client.read_all(log).await
        })
    };
    until("it has caught up", || {
        (read(first) == ["a", "b", "c"]).then_some(())
    });
    stop(replicas);
}

/// A failed sync is never tried again: the replica is out, says why, and the
/// others go on with everything that was acknowledged.
#[test]
fn a_leader_whose_sync_failed_is_out() {
    let group = Group::new(3);
    group.format();
    let (mut replicas, disks) = start(&group);
    let first = leader(&replicas);
    let runtime = runtime();
    let log = begin(&runtime, &group, &replicas[first]);
    disks[first].set(Faults {
        fail: true,
        ..Faults::default()
    });
    let second = another_leads(&replicas, first);
    // The device is well again, and is not believed.
    disks[first].set(Faults::default());
    runtime.block_on(async {
        let mut client = Client::connect(&group, replicas[second].client_addr()).await;
        assert_eq!(client.open_log().await, log);
        client.append(log, &["c"]).await;
        assert_eq!(client.read_all(log).await, ["a", "b", "c"]);
    });
    let status = replicas[first].status();
    assert!(!status.ready, "{}", status.sentence);
    let reason = replicas.remove(first).shutdown(Duration::from_secs(5));
    assert!(matches!(reason, ExitReason::StorageFailed(_)), "{reason}");
    assert_eq!(reason.exit_code(), 6);
    stop(replicas);
}

/// A full disk refuses appends and says so; reads and trims go on, and it heals
/// by itself.
#[test]
fn a_full_disk_refuses_appends_until_there_is_room() {
    let mut group = Group::new(1);
    group.configs[0].wal.segment_bytes = 9 << 20;
    group.format();
    let (replicas, disks) = start(&group);
    let address = replicas[leader(&replicas)].client_addr();
    runtime().block_on(async {
        let mut client = Client::connect(&group, address).await;
        let log = client.open_log().await;
        disks[0].set(Faults {
            full: true,
            ..Faults::default()
        });
        // Large, so that what was made ahead is soon used up.
        let payload = vec![b'x'; 512 << 10];
        let mut appended = 0;
        let refusal = loop {
            match client.try_append(log, &payload).await {
                Ok(_) => appended += 1,
                Err(error) => break error,
            }
            assert!(appended < 100, "50 MB into three segments of 9");
        };
        assert_eq!(refusal.code, Code::DiskFull, "{refusal:?}");
        assert_eq!(client.read_all(log).await.len(), appended);
        let origin = Some(client.origin());
        let trimmed = client.call(CommandBody::Trim { origin, log, to: 1 }).await;
        assert!(
            matches!(trimmed, CommandOutcome::Trimmed { .. }),
            "{trimmed:?}"
        );

        disks[0].set(Faults::default());
        let begin = std::time::Instant::now();
        while let Err(error) = client.try_append(log, &payload).await {
            assert_eq!(error.code, Code::DiskFull);
            assert!(
                begin.elapsed() < crate::support::PATIENCE,
                "it does not heal"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.read_all(log).await.len(), appended);
    });
    stop(replicas);
}
