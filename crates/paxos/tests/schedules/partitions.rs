//! Partial partitions (Ng et al., *Omni-Paxos*, section 2): progress whenever somebody reaches a majority both
//! ways, and no change of leader where the leader does.

use paxlog_paxos::{Role, Slot};

use crate::plan::{MS, Plan};
use crate::world::World;

/// Time enough to notice and to decide, with margin: time-outs are 80 ms and a decision 150 ms.
const DECIDED_WITHIN: u64 = 400 * MS;

/// Five replicas with a serving leader, chosen by the seed.
pub(crate) fn cluster(seed: u64, replicas: usize) -> (World, usize) {
    cluster_with(seed, Plan::calm(replicas))
}

pub(crate) fn cluster_with(seed: u64, plan: Plan) -> (World, usize) {
    let mut world = World::new(seed, plan);
    world.run_for(600 * MS);
    let leader = world.leader().expect("a leader within 600 ms");
    world.run_for(200 * MS);
    assert_eq!(world.leader(), Some(leader), "it stays");
    (world, leader)
}

/// The others, in some order.
pub(crate) fn others(world: &World, not: &[usize]) -> Vec<usize> {
    (0..world.replicas.len())
        .filter(|at| !not.contains(at))
        .collect()
}

/// Leaves only these links, both ways.
fn only(world: &mut World, links: &[(usize, usize)]) {
    for from in 0..world.replicas.len() {
        for to in 0..world.replicas.len() {
            let kept = links.contains(&(from, to)) || links.contains(&(to, from));
            world.cut[from][to] = from != to && !kept;
        }
    }
}

/// Something more is chosen within `ns`.
pub(crate) fn must_progress(world: &mut World, ns: u64) {
    let before = world.checks.told;
    world.run_for(ns);
    assert!(
        world.checks.told > before,
        "nothing chosen: {}",
        world.describe()
    );
}

/// Under whichever leader: progress, and at most `changes` changes of leader.
fn settles(world: &mut World, changes: u64) {
    let before = world.leader_changes;
    world.run_for(DECIDED_WITHIN);
    must_progress(world, 200 * MS);
    let leader = world.leader();
    let settled = world.leader_changes;
    must_progress(world, 1_000 * MS);
    assert_eq!(
        world.leader_changes,
        settled,
        "leaders change on: {}",
        world.describe()
    );
    assert_eq!(world.leader(), leader);
    assert!(settled - before <= changes, "{} changes", settled - before);
}

/// Once all links are back everybody has everything.
pub(crate) fn heals(mut world: World) {
    world.uncut_all();
    world.must_recover(3_000 * MS);
}

/// All but one are connected to that one only; the leader too. Only the hub can lead.
#[test]
fn quorum_loss_the_hub_takes_over() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        let hub = others(&world, &[leader])[seed as usize % 4];
        let links: Vec<_> = others(&world, &[hub])
            .into_iter()
            .map(|o| (hub, o))
            .collect();
        only(&mut world, &links);
        settles(&mut world, 1);
        assert_eq!(world.leader(), Some(hub));
        heals(world);
    }
}

/// The leader is gone, and the only one that reaches a majority is behind the others.
#[test]
fn constrained_election_the_one_behind_takes_over() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        let hub = others(&world, &[leader])[seed as usize % 4];
        // It hears nothing of the leader for a while, but others vouch: it stays quiet and falls behind.
        world.cut[leader][hub] = true;
        world.run_for(300 * MS);
        assert_eq!(world.leader(), Some(leader));
        let rest = others(&world, &[hub, leader]);
        let links: Vec<_> = rest.into_iter().map(|o| (hub, o)).collect();
        only(&mut world, &links);
        settles(&mut world, 1);
        assert_eq!(world.leader(), Some(hub));
        heals(world);
    }
}

/// A chain of three, and of five: neighbours only. Where the leader keeps a majority, it stays.
#[test]
fn chained_no_livelock() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 3);
        let rest = others(&world, &[leader]);
        only(&mut world, &[(leader, rest[0]), (rest[0], rest[1])]);
        settles(&mut world, 0);
        assert_eq!(
            world.leader(),
            Some(leader),
            "the end of the chain reaches a majority"
        );
        heals(world);

        let (mut world, leader) = cluster(seed, 5);
        let mut chain = others(&world, &[leader]);
        chain.insert(seed as usize % 5, leader);
        let links: Vec<_> = chain.windows(2).map(|w| (w[0], w[1])).collect();
        only(&mut world, &links);
        let inner = chain[1..4].contains(&leader);
        settles(&mut world, if inner { 0 } else { 3 });
        if inner {
            assert_eq!(world.leader(), Some(leader));
        }
        heals(world);
    }
}

/// Two halves that only one replica connects.
#[test]
fn bridge_the_leader_stays() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        let rest = others(&world, &[leader]);
        // The leader is in one of the halves, then the bridge itself.
        let (halves, bridge) = if seed % 2 == 0 {
            ([[leader, rest[0]], [rest[1], rest[2]]], rest[3])
        } else {
            ([[rest[0], rest[1]], [rest[2], rest[3]]], leader)
        };
        let mut links = vec![(halves[0][0], halves[0][1]), (halves[1][0], halves[1][1])];
        links.extend(halves.iter().flatten().map(|&o| (bridge, o)));
        only(&mut world, &links);
        settles(&mut world, 0);
        assert_eq!(world.leader(), Some(leader));
        heals(world);
    }
}

/// Two replicas hear neither the leader nor each other, only the rest: the leader stays.
#[test]
fn two_leaves_the_leader_stays() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        let rest = others(&world, &[leader]);
        let (leaves, inner) = rest.split_at(2);
        let mut links = vec![(leader, inner[0]), (leader, inner[1]), (inner[0], inner[1])];
        for &leaf in leaves {
            links.extend(inner.iter().map(|&i| (leaf, i)));
        }
        only(&mut world, &links);
        settles(&mut world, 0);
        assert_eq!(world.leader(), Some(leader));
        heals(world);
    }
}

/// One-way links: the leader is heard by all and hears nobody. It has no quorum, and says so.
#[test]
fn a_leader_that_hears_nobody_is_replaced() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        for other in others(&world, &[leader]) {
            world.cut[other][leader] = true;
        }
        settles(&mut world, 1);
        assert_ne!(world.leader(), Some(leader));
        heals(world);
    }
}

#[test]
fn a_dead_leader_is_replaced_within_150_ms() {
    let mut times = Vec::new();
    for seed in 1..=20 {
        for replicas in [3, 5] {
            let (mut world, leader) = cluster(seed, replicas);
            world.run_for(seed * MS);
            world.crash(leader);
            let from = world.now;
            while world.leader().is_none() {
                world.run_for(MS);
                assert!(
                    world.now < from + 1_000 * MS,
                    "nobody leads: {}",
                    world.describe()
                );
            }
            times.push((world.now - from) / MS);
            world.start(leader);
            heals(world);
        }
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    println!("decided in {times:?} ms");
    assert!(median <= 150, "decided in {times:?} ms");
}

/// Shutdown: nobody waits for a time-out, and nothing ends unknown.
#[test]
fn a_planned_hand_over_takes_a_round_trip() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 3);
        let from = world.now;
        world.drive(leader, |paxos, now, fx| paxos.hand_over(now, fx));
        while world.leader().is_none_or(|l| l == leader) {
            world.run_for(MS / 4);
            assert!(
                world.now < from + 60 * MS,
                "not handed over: {}",
                world.describe()
            );
        }
        assert_eq!(world.coverage.outcomes_unknown, 0);
        must_progress(&mut world, 100 * MS);
        heals(world);
    }
}

/// The smallest group.
#[test]
fn one_replica_serves_alone() {
    let (mut world, leader) = cluster(1, 1);
    must_progress(&mut world, 50 * MS);
    world.crash(leader);
    world.start(leader);
    must_progress(&mut world, 200 * MS);
    let role = world.replicas[0].paxos.as_ref().expect("running").role();
    assert_eq!(role, Role::Leader { ready: true });
    assert!(world.replicas[0].next_chosen > Slot(10));
}

/// Without a majority nothing is chosen, and the leader takes nothing more.
#[test]
fn without_a_majority_nothing_is_taken_and_all_comes_back() {
    for seed in 1..=10 {
        let (mut world, leader) = cluster(seed, 3);
        let rest = others(&world, &[leader]);
        world.crash(rest[0]);
        world.crash(rest[1]);
        world.run_for(300 * MS);
        let before = world.checks.told;
        assert_eq!(world.propose(leader), None);
        world.run_for(500 * MS);
        assert_eq!(world.checks.told, before);
        world.start(rest[0]);
        must_progress(&mut world, 500 * MS);
        world.start(rest[1]);
        heals(world);
    }
}
