//! kill -9 of random replicas under load, at random moments; then every promise is checked on every replica.

use std::time::Duration;

use crate::support::load::{AppenderLoad, Load, LoadOptions, Op, Tally, judge};
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

/// Ends the load, seals its log, and holds what each replica has by itself against what was acknowledged.
fn settle(cluster: &mut Cluster, load: Load) -> Tally {
    let ops = load.finish();
    let end = block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        let end = client.seal(LOG).await.expect("sealed").tail;
        client.close().await;
        end
    });
    cluster.wait_all_ready();
    cluster.wait_caught_up();
    let logs: Vec<_> = cluster
        .places
        .iter()
        .map(|place| block_on(read_at(&cluster.profile(), place.clients, LOG)))
        .collect();
    let tally = verdict(&ops, &logs[0]).unwrap_or_else(|broken| panic!("replica 1: {broken}"));
    assert_eq!(tally.records, end, "a sealed log is read to its end");
    for (id, log) in (2..).zip(&logs[1..]) {
        assert!(
            log == &logs[0],
            "replica {id} has another log than replica 1: {} and {} records; first difference at {:?}",
            log.len(),
            logs[0].len(),
            log.iter().zip(&logs[0]).position(|(a, b)| a != b)
        );
    }
    let stamps: Vec<u64> = logs[0].iter().map(|stored| stored.timestamp).collect();
    assert!(stamps.is_sorted(), "timestamps never go back");
    println!("{tally}");
    // The judge sees what it must see in this very log.
    let mut poorer = logs[0].clone();
    poorer.remove(poorer.len() / 2);
    assert!(verdict(&ops, &poorer).is_err(), "a lost record is seen");
    tally
}

fn verdict(ops: &[Op], log: &[crate::support::Stored]) -> Result<Tally, String> {
    judge(
        ops,
        log.iter()
            .map(|stored| (stored.offset, &stored.payload[..])),
    )
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
