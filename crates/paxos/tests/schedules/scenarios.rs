//! Single stories, each told by one test.

use paxlog_paxos::{DiskHealth, Standing};

use crate::partitions::{cluster, cluster_with, heals, must_progress, others};
use crate::plan::{MS, Plan};
use crate::world::World;

/// A leader whose sync does not return says so and hands over, without waiting for a time-out.
#[test]
fn a_stalled_disk_hands_over_at_once() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 3);
        world.held_disk = Some(leader);
        world.run_for(60 * MS);
        let from = world.now;
        world.drive(leader, |paxos, now, fx| {
            paxos.handle_disk(now, DiskHealth::Stalled, fx)
        });
        while world.leader().is_none_or(|l| l == leader) {
            world.run_for(MS / 4);
            assert!(
                world.now < from + 120 * MS,
                "not handed over: {}",
                world.describe()
            );
        }
        must_progress(&mut world, 100 * MS);
        // Back with a working disk it follows.
        world.held_disk = None;
        world.run_for(50 * MS);
        world.drive(leader, |paxos, now, fx| {
            paxos.handle_disk(now, DiskHealth::Well, fx)
        });
        let changes = world.leader_changes;
        must_progress(&mut world, 500 * MS);
        assert_eq!(world.leader_changes, changes);
        heals(world);
    }
}

/// A follower with a stalled disk costs nobody anything, and catches up by itself.
#[test]
fn a_follower_with_a_stalled_disk_holds_nobody_up() {
    for seed in 1..=10 {
        let (mut world, leader) = cluster(seed, 3);
        let slow = others(&world, &[leader])[seed as usize % 2];
        world.held_disk = Some(slow);
        world.run_for(200 * MS);
        let before = world.checks.told.0;
        world.run_for(500 * MS);
        assert!(world.checks.told.0 > before + 50, "the majority goes on");
        assert_eq!(world.leader(), Some(leader));
        world.held_disk = None;
        heals(world);
    }
}

/// A follower that was away is fed from the leader's log, not from its memory.
#[test]
fn a_follower_far_behind_is_fed_from_the_log() {
    for seed in 1..=5 {
        let mut plan = Plan::calm(3);
        plan.window_bytes_max = 1000;
        let (mut world, leader) = cluster_with(seed, plan);
        let away = others(&world, &[leader])[0];
        world.crash(away);
        world.run_for(3_000 * MS);
        world.start(away);
        world.must_recover(3_000 * MS);
        assert_eq!(world.leader(), Some(leader), "nobody else had to lead");
        let paxos = world.replicas[leader].paxos.as_ref().expect("running");
        assert!(paxos.counters().fed_from_log > 500);
    }
}

/// A disk that loses what it called durable, and does not notice: the leader hears that the follower holds
/// less than it acknowledged, and sends it again.
#[test]
fn a_follower_that_lost_its_end_gets_it_again() {
    for seed in 1..=10 {
        let (mut world, leader) = cluster(seed, 3);
        let liar = others(&world, &[leader])[seed as usize % 2];
        world.crash(liar);
        let frames = world.replicas[liar].disk.frames.len();
        world.replicas[liar].disk.truncate(frames - 5);
        world.start(liar);
        world.run_for(300 * MS);
        let paxos = world.replicas[leader].paxos.as_ref().expect("running");
        assert_eq!(paxos.counters().lost_ends, 1);
        let lost: Vec<_> = paxos
            .peers()
            .iter()
            .filter(|p| p.lost_its_end)
            .map(|p| p.id.0)
            .collect();
        assert_eq!(lost, [liar as u16 + 1]);
        heals(world);
    }
}

/// The directory is gone: the new one has no vote, says why, and the others go on.
#[test]
fn a_wiped_replica_has_no_vote_and_says_why() {
    for seed in 1..=10 {
        let (mut world, leader) = cluster(seed, 3);
        let wiped = others(&world, &[leader])[seed as usize % 2];
        world.wipe(wiped);
        world.run_for(300 * MS);
        let standing = |world: &World, at: usize| {
            let paxos = world.replicas[at].paxos.as_ref().expect("running");
            paxos.standing()
        };
        assert_eq!(standing(&world, wiped), Standing::NotMember);
        assert!(standing(&world, wiped).sentence().contains("no vote"));
        must_progress(&mut world, 200 * MS);
        // With one more gone there is no majority: the wiped one does not make up for it.
        let other = others(&world, &[leader, wiped])[0];
        world.crash(other);
        world.run_for(200 * MS);
        let before = world.checks.told;
        world.run_for(500 * MS);
        assert_eq!(world.checks.told, before);
        world.start(other);
        must_progress(&mut world, 500 * MS);
    }
}

/// A leader whose links break and come back goes on where it was.
#[test]
fn broken_links_resume() {
    for seed in 1..=10 {
        let (mut world, leader) = cluster(seed, 3);
        for other in others(&world, &[leader]) {
            world.cut[leader][other] = true;
        }
        world.run_for(15 * MS);
        world.uncut_all();
        must_progress(&mut world, 30 * MS);
        assert_eq!(world.leader(), Some(leader));
        heals(world);
    }
}

/// A leader that hears everything late is replaced meanwhile. Answers to its questions, given before it was
/// replaced, reach it afterwards: they prove nothing to a read that came in between.
#[test]
fn late_confirmations_answer_no_later_read() {
    for seed in 1..=40 {
        let (mut world, leader) = cluster(seed, 3);
        for other in others(&world, &[leader]) {
            world.clog[other][leader] = world.now + 450 * MS;
        }
        for _ in 0..600 {
            world.run_for(MS);
            world.read(leader);
        }
        assert_ne!(world.leader(), Some(leader));
        heals(world);
    }
}
