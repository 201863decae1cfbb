//! kill -9 of random replicas under load, at random moments; then every promise is checked on every replica.

use std::time::Duration;

use paxlog_sim::check::check;

use crate::support::load::{AppenderLoad, Load, LoadOptions, Tally, judge};
use crate::support::{Cluster, LIVENESS, Rng, block_on, read_at, seed, until};

/// Rounds in the test command; the soak asks for more with `PAXLOG_KILL_ROUNDS`.
const ROUNDS: u64 = 8;
const LOG: &str = "load";

#[test]
fn nothing_acknowledged_is_lost_moved_or_repeated_over_kills_of_random_replicas() {
    let rounds = std::env::var("PAXLOG_KILL_ROUNDS").map_or(ROUNDS, |text| {
        text.parse().expect("PAXLOG_KILL_ROUNDS is a number")
    });
    let mut rng = Rng::new(seed());
    let mut cluster = Cluster::started();
    let load = Load::start(&cluster.profile(), &options());
    wait_for_more(&mut cluster, &load);
    let mut leaders_killed = 0;
    for round in 0..rounds {
        sleep(rng.within(50, 500));
        let leader = cluster.leader();
        // The leader in every second round, otherwise any.
        let victim = match round % 2 {
            0 => leader,
            _ => 1 + rng.below(3) as u16,
        };
        let before = load.acknowledged();
        cluster.kill(victim);
        leaders_killed += u64::from(victim == leader);
        println!("round {round}: killed {victim}, {leader} led, {before} acknowledged");
        if rng.below(2) == 0 {
            // The other two go on without it.
            wait_for_more(&mut cluster, &load);
        }
        sleep(rng.within(0, 400));
        cluster.start(victim);
        if rng.below(2) == 0 {
            cluster.wait_ready(victim);
        }
        wait_for_more(&mut cluster, &load);
        observe(&cluster, &load);
    }
    assert!(leaders_killed >= rounds / 2);
    let tally = settle(&mut cluster, load);
    // A run too quiet to show anything shows nothing.
    assert!(tally.acknowledged >= 10 * rounds, "{tally}");
    check_directories(&mut cluster);
}

#[test]
fn nothing_acknowledged_is_missing_after_all_three_were_killed_at_once() {
    let mut cluster = Cluster::started();
    let load = Load::start(&cluster.profile(), &options());
    let mut rng = Rng::new(seed());
    for _ in 0..3 {
        wait_for_more(&mut cluster, &load);
        sleep(rng.within(100, 600));
        cluster.kill_all(&[1, 2, 3]);
        cluster.start_all();
    }
    wait_for_more(&mut cluster, &load);
    let tally = settle(&mut cluster, load);
    assert!(tally.acknowledged >= 100, "{tally}");
    check_directories(&mut cluster);
}

fn options() -> LoadOptions {
    LoadOptions {
        log: LOG.into(),
        appenders: vec![
            appender(1, 30_000),
            appender(8, 30_000),
            appender(64, 30_000),
            // Gives up while others wait: its outcomes are open, or known not to have happened.
            appender(16, 50),
        ],
        rate: 1_500,
    }
}

fn appender(in_flight: usize, deadline_ms: u64) -> AppenderLoad {
    AppenderLoad {
        in_flight,
        deadline: Duration::from_millis(deadline_ms),
    }
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn wait_for_more(cluster: &mut Cluster, load: &Load) {
    let before = load.acknowledged();
    until("appends are acknowledged", || {
        cluster.alive();
        (load.acknowledged() > before + 20).then_some(())
    });
}

/// Asks the leader, whoever that is now, where the log ends.
fn observe(cluster: &Cluster, load: &Load) {
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        load.scribe().check_tail(&client, LOG).await;
        client.close().await;
    });
}

/// Ends the load, seals its log, and judges what each replica has by itself.
fn settle(cluster: &mut Cluster, load: Load) -> Tally {
    let scribe = load.finish();
    let settled = block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        scribe.check_tail(&client, LOG).await;
        let settled = scribe.seal(&client, LOG).await;
        client.close().await;
        settled
    });
    cluster.wait_all_ready();
    cluster.wait_caught_up();
    let logs: Vec<_> = cluster
        .places
        .iter()
        .map(|place| block_on(read_at(&cluster.profile(), place.clients, LOG)))
        .collect();
    let mut history = scribe.finish(settled, &logs);
    let tally = judge(&history);
    println!("{tally}");
    // The judge sees what it must see in this very log.
    let records = &mut history.settled[0].records;
    let lost = records.remove(records.len() / 2);
    assert!(!check(&history).clean(), "a lost record is seen");
    let records = &mut history.settled[0].records;
    let last = records.len() as u64;
    records.insert(records.len() / 2, lost);
    let (one, two) = (records[0].clone(), records[last as usize].clone());
    (records[0].payload, records[last as usize].payload) = (two.payload, one.payload);
    assert!(!check(&history).clean(), "two that changed places are seen");
    tally
}

/// After an orderly stop every directory is clean.
fn check_directories(cluster: &mut Cluster) {
    cluster.finish();
    for id in 1..=3 {
        let report = cluster.verify(id);
        assert_eq!(report["verdict"], "clean", "replica {id}: {report}");
        assert_eq!(report["in_use"], false, "{report}");
    }
}
