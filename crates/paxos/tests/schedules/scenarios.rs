//! Single stories, each told by one test.

use paxlog_paxos::{
    ClusterId, ConfigNumber, DiskHealth, Envelope, GroupId, HandOver, Message, Role, Slot, Standing,
};

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

/// Whoever leads asks this one to take over, though another is better placed. It leads afterwards.
fn hand_over_to(world: &mut World, leader: usize, to: usize) {
    let (ballot, _) = world.replicas[leader]
        .paxos
        .as_ref()
        .and_then(|paxos| paxos.leader())
        .expect("it leads");
    let hand_over = HandOver {
        ballot,
        chosen: Slot(0),
    };
    let envelope = Envelope {
        cluster: ClusterId(7),
        group: GroupId(3),
        config: ConfigNumber(0),
        from: ballot.replica,
        incarnation: world.replicas[leader].incarnation,
        message: Message::HandOver(hand_over),
    };
    world.drive(to, |paxos, now, fx| paxos.handle_message(now, envelope, fx));
    world.run_for(60 * MS);
    let leads = world.replicas[to].paxos.as_ref().map(|paxos| paxos.role());
    assert!(matches!(leads, Some(Role::Leader { .. })), "{leads:?}");
}

/// The one that is far behind wins, and what it lacks comes too slowly: it lets one lead that could serve.
#[test]
fn a_leader_that_is_behind_hands_over() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 3);
        let behind = others(&world, &[leader])[seed as usize % 2];
        for other in others(&world, &[behind]) {
            world.cut[other][behind] = true;
            world.clog_values[other][behind] = world.now + 4_000 * MS;
        }
        world.run_for(300 * MS);
        world.uncut_all();
        // With nothing under way there is nothing to take over: all it lacks is chosen.
        world.clients = false;
        world.run_for(100 * MS);
        hand_over_to(&mut world, leader, behind);
        world.clients = true;
        must_progress(&mut world, 1_500 * MS);
        assert_ne!(world.leader(), Some(behind), "it could not serve");
        let paxos = world.replicas[behind].paxos.as_ref().expect("running");
        assert_eq!(paxos.counters().behind, 1, "another way out");
        // What was held back comes first.
        world.run_for(4_000 * MS);
        heals(world);
    }
}

/// Two of five whose accepts reach nobody, though their heartbeats do: the one that found out does not take the lead
/// back from the other.
#[test]
fn two_whose_accepts_are_stuck_do_not_hand_to_each_other() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        // Equal in all else, the higher is preferred.
        let stuck = [3, 4];
        let one = stuck[seed as usize % 2];
        if leader != one {
            hand_over_to(&mut world, leader, one);
            must_progress(&mut world, 200 * MS);
        }
        for from in stuck {
            for to in others(&world, &[from]) {
                world.clog_values[from][to] = world.now + 12_000 * MS;
            }
        }
        world.run_for(6_000 * MS);
        must_progress(&mut world, 500 * MS);
        assert!(world.leader().is_some_and(|at| !stuck.contains(&at)));
        let changes = world.leader_changes;
        must_progress(&mut world, 3_000 * MS);
        assert_eq!(world.leader_changes, changes, "it stays");
        world.run_for(4_000 * MS);
        heals(world);
    }
}

/// Two sources give nothing, though their heartbeats come: the third one's turn comes, too.
#[test]
fn whoever_is_behind_asks_everybody_in_turn() {
    for seed in 1..=20 {
        let (mut world, leader) = cluster(seed, 5);
        if leader != 4 {
            hand_over_to(&mut world, leader, 4);
            must_progress(&mut world, 200 * MS);
        }
        for other in others(&world, &[0]) {
            world.cut[other][0] = true;
        }
        world.run_for(300 * MS);
        // Asked first: who leads, and the highest of the rest.
        for from in [3, 4] {
            world.clog_values[from][0] = world.now + 8_000 * MS;
        }
        world.uncut_all();
        let lacks = world.replicas[4].next_chosen;
        assert!(world.replicas[0].next_chosen < lacks);
        world.run_for(3_000 * MS);
        let has = world.replicas[0].next_chosen;
        assert!(has >= lacks, "{has} of {lacks}: {}", world.describe());
        world.run_for(5_000 * MS);
        heals(world);
    }
}
