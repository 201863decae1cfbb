//! A group forms, elects, hands over, and finds its data again; a start that
//! can't be is refused.

use std::path::Path;
use std::time::Duration;

use paxlog_server::{ExitReason, Replica, StartError};

use crate::client::Client;
use crate::support::{Group, files, leader, local, runtime, stop, until};

#[test]
fn a_directory_that_was_not_formatted_is_refused() {
    let group = Group::new(1);
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is not formatted");
    assert!(
        matches!(refused, StartError::NotFormatted { .. }),
        "{refused}"
    );
    assert!(
        !Path::new(&group.configs[0].data_dir).exists(),
        "nothing was made"
    );
    std::fs::create_dir(&group.configs[0].data_dir).expect("made");
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is empty");
    assert!(
        matches!(refused, StartError::NotFormatted { .. }),
        "{refused}"
    );
    assert_eq!(refused.exit_code(), 2);
    assert_eq!(
        std::fs::read_dir(&group.configs[0].data_dir)
            .expect("there")
            .count(),
        0,
        "nothing was made"
    );
    drop(group.dir);
}

#[test]
fn a_directory_in_use_and_a_busy_port_are_refused() {
    let group = Group::new(1);
    group.format();
    let first = group.start();
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is in use");
    assert!(matches!(refused, StartError::InUse { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    let mut other = group.configs[0].clone();
    other.data_dir = group.dir.path().join("other");
    paxlog_server::format(&other).expect("formatted");
    let before = files(&other.data_dir);
    let refused = Replica::start(other.clone()).expect_err("the replica port is busy");
    assert!(matches!(refused, StartError::Endpoint(_)), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    other.listen.replicas = local(0);
    other.listen.metrics = first[0].metrics_addr();
    let refused = Replica::start(other.clone()).expect_err("the metrics port is busy");
    assert!(matches!(refused, StartError::Http { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    assert_eq!(files(&other.data_dir), before, "nothing was changed");
    assert_eq!(first[0].exited(), None, "it runs on");
    assert_eq!(leader(&first), 0, "alone it is its own majority");
    stop(first);
}

#[test]
fn three_replicas_append_and_read_back_also_after_a_restart() {
    let group = Group::new(3);
    group.format();
    let replicas = group.start();
    let leading = leader(&replicas);
    let runtime = runtime();
    let payloads: Vec<String> = (0..200).map(|i| format!("record {i}")).collect();
    let address = replicas[leading].client_addr();
    let log = runtime.block_on(async {
        let mut client = Client::connect(&group, address).await;
        let log = client.open_log().await;
        client.append(log, &payloads).await;
        log
    });
    let read_all = |address| {
        runtime.block_on(async {
            let client = Client::connect(&group, address).await;
            client.read_all(log).await
        })
    };
    let read = read_all(address);
    assert_eq!(read, payloads);
    stop(replicas);

    let replicas = group.start();
    leader(&replicas);
    for replica in &replicas {
        let address = replica.client_addr();
        until("all is applied", || {
            (read_all(address) == payloads).then_some(())
        });
    }
    stop(replicas);
}

#[test]
fn another_leads_soon_after_the_leader_is_stopped() {
    let group = Group::new(3);
    group.format();
    let mut replicas = group.start();
    let first = leader(&replicas);
    let stopped = replicas.remove(first);
    let id = stopped.status().replica;
    assert_eq!(
        stopped.shutdown(Duration::from_secs(5)),
        ExitReason::Stopped
    );
    let second = leader(&replicas);
    assert_ne!(replicas[second].status().replica, id);
    for replica in replicas {
        replica.shutdown(Duration::from_secs(5));
    }
}
