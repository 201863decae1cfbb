//! Partial partitions: those with names, and all graphs of five replicas.
//!
//! | variable | is |
//! |---|---|
//! | `PAXLOG_GRAPHS` | one of so many cases is played; 1: all |
#![expect(
    clippy::disallowed_methods,
    reason = "the simulator is pure; its test reads the environment"
)]

use paxlog_sim::partitions::{Outcome, Partition};
use paxlog_sim::{Detail, swarm};

/// Plays one with some seeds; it must serve.
fn serves(partition: &Partition, changes_max: usize) -> Vec<Outcome> {
    (1..=5)
        .map(|seed| {
            let partition = Partition {
                seed,
                ..partition.clone()
            };
            assert!(partition.can_serve(), "{partition:?}");
            let outcome = partition.play(Detail::Events);
            let trace = || outcome.report.trace.join("\n");
            assert_eq!(outcome.report.failure, None, "{}", trace());
            assert!(outcome.served, "{partition:?}\n{}", trace());
            assert!(outcome.resumed, "{partition:?}\n{}", trace());
            assert!(
                outcome.changes <= changes_max,
                "{} changes of leaders: {partition:?}\n{}",
                outcome.changes,
                trace()
            );
            outcome
        })
        .collect()
}

fn leaders(outcomes: &[Outcome]) -> Vec<u16> {
    outcomes.iter().map(|outcome| outcome.leader).collect()
}

/// Only replica 1 reaches anybody, and the leader, 3, reaches only it: it must lead.
#[test]
fn quorum_loss() {
    let partition = Partition::new(5, 3, 3).only(&[(1, 2), (1, 3), (1, 4), (1, 5)]);
    let outcomes = serves(&partition, 1);
    assert_eq!(leaders(&outcomes), [1; 5]);
}

/// The same, and the leader is cut off from all; what 2 holds is newer than what 1 does.
#[test]
fn constrained_election() {
    let partition = Partition::new(5, 3, 2).only(&[(1, 2), (1, 4), (1, 5)]);
    let outcomes = serves(&partition, 1);
    assert_eq!(leaders(&outcomes), [1; 5]);
}

/// 1 and the leader, 3, do not reach each other, and both reach 2: the leader has its majority, and stays.
#[test]
fn chained() {
    let partition = Partition::new(3, 3, 3).only(&[(1, 2), (2, 3)]);
    let outcomes = serves(&partition, 0);
    assert_eq!(leaders(&outcomes), [3; 5]);
}

/// Two pairs that only 3 joins; the leader is in one of them, and has its majority.
#[test]
fn bridge() {
    let links = [(1, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 5)];
    let partition = Partition::new(5, 1, 4).only(&links);
    let outcomes = serves(&partition, 0);
    assert_eq!(leaders(&outcomes), [1; 5]);
}

/// Two replicas hear only the leader: they must not disturb it.
#[test]
fn two_leaves() {
    let links = [(1, 2), (1, 3), (2, 3), (1, 4), (1, 5)];
    let partition = Partition::new(5, 1, 1).only(&links);
    let outcomes = serves(&partition, 0);
    assert_eq!(leaders(&outcomes), [1; 5]);
}

/// The leader is heard, and hears nobody.
#[test]
fn a_deaf_leader() {
    let mut partition = Partition::new(3, 2, 2);
    partition.cut.extend([(1, 2), (3, 2)]);
    let outcomes = serves(&partition, 2);
    assert!(!leaders(&outcomes).contains(&2));
}

/// The leader hears the others, and is not heard.
#[test]
fn a_mute_leader() {
    let mut partition = Partition::new(3, 2, 2);
    partition.cut.extend([(2, 1), (2, 3)]);
    let outcomes = serves(&partition, 2);
    assert!(!leaders(&outcomes).contains(&2));
}

/// The leader's disk takes writes, and syncs do not return.
#[test]
fn a_leader_with_a_stalled_disk() {
    let partition = Partition {
        stalled: Some(2),
        ..Partition::new(3, 2, 2)
    };
    let outcomes = serves(&partition, 2);
    assert!(!leaders(&outcomes).contains(&2));
}

/// A pair and a single one, then nobody with anybody.
#[test]
fn without_a_majority_nothing_is_acknowledged() {
    for links in [&[(1, 2)][..], &[]] {
        let partition = Partition::new(5, 1, 2).only(links);
        assert!(!partition.can_serve());
        let outcome = partition.play(Detail::Events);
        assert_eq!(outcome.report.failure, None);
        assert!(!outcome.served, "{}", outcome.report.trace.join("\n"));
    }
}

/// Case `n` of the graphs: 1,024 graphs, five leaders, five that are ahead; then variants in which one direction of
/// a kept link is cut, and in which somebody's disk is stalled.
fn case(n: u64) -> Partition {
    let (variant, n) = (n / GRAPHS, n % GRAPHS);
    let (graph, leader, ahead) = (n % 1024, 1 + n / 1024 % 5, 1 + n / 5120 % 5);
    let mut partition = Partition::graph(graph as u16, leader as u16, ahead as u16);
    let id = |n: u64| 1 + (n % 5) as u16;
    match variant {
        0 => {}
        // With no link left there is nothing to cut.
        1 => {
            let kept = (1..=5).flat_map(|a| (1..=5).map(move |b| (a, b)));
            let kept: Vec<(u16, u16)> = kept
                .filter(|pair| pair.0 != pair.1 && !partition.cut.contains(pair))
                .collect();
            partition
                .cut
                .extend(kept.get((n * 7 % kept.len().max(1) as u64) as usize));
        }
        _ => partition.stalled = Some(id(n / 7)),
    }
    partition
}

const GRAPHS: u64 = 1024 * 5 * 5;

#[test]
fn a_group_serves_exactly_when_somebody_reaches_a_majority() {
    let every = std::env::var("PAXLOG_GRAPHS").map_or(101, |n| n.parse().expect("a number"));
    let cases = 3 * GRAPHS / every;
    let jobs = std::thread::available_parallelism().map_or(2, |n| n.get());
    let (mut served, mut changes) = (0, [0u64; 16]);
    let play = |n| {
        let outcome = case(n * every).play(Detail::Nothing);
        let said = (outcome.served, outcome.resumed, outcome.changes);
        (outcome.report, (n * every, said))
    };
    let mut wrong = Vec::new();
    swarm(
        0..cases,
        jobs,
        play,
        |report, (n, (did, resumed, changed)), _| {
            let partition = case(n);
            let as_expected = match partition.can_serve() {
                // Who was there before, too.
                true => did && resumed,
                false => !did || partition.may_serve_for_a_while(),
            };
            if did {
                served += 1;
                changes[changed.min(15)] += 1;
            }
            if report.failure.is_some() || !as_expected || did && changed > 3 {
                wrong.push(n);
            }
            true
        },
    );
    if let Some(&n) = wrong.first() {
        let outcome = case(n).play(Detail::Events);
        panic!(
            "{} cases went wrong: {wrong:?}\ncase {n}: {:?}\nserved {}, {} changes of leaders, {:?}\n{}",
            wrong.len(),
            case(n),
            outcome.served,
            outcome.changes,
            outcome.report.failure,
            outcome.report.trace.join("\n")
        );
    }
    println!(
        "{cases} cases, {served} of them could serve and did; changes of leaders: {changes:?}"
    );
    assert!(served > cases / 2 && served < cases, "vacuous");
}
