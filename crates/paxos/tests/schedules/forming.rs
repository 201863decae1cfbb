//! Forming a group while disks are lost, replicas restart and messages come later than their senders live.
//!
//! Until somebody stands for leader a minority may lose their disks, in half of the runs any replica. Lists
//! held by replicas alive at the same time are the same (`checks.rs`), and once all is well a group is
//! formed, unless somebody holds a list that names a lost disk.

use paxlog_paxos::Standing;

use crate::plan::{MS, Plan};
use crate::world::{Event, World};

fn forms(seed: u64) -> (bool, u64) {
    let plan = Plan {
        loose: true,
        stragglers: true,
        repeat_percent: 30,
        loss_percent: 10,
        delay_mean: [4 * MS, 20 * MS, 60 * MS][seed as usize % 3],
        faults_for: u64::MAX / 4,
        ..Plan::calm(if seed.is_multiple_of(4) { 5 } else { 3 })
    };
    let mut world = World::new(seed, plan);
    let n = world.replicas.len() as u64;
    world.checks.majority_lost = seed.is_multiple_of(2);
    for _ in 0..12 {
        let pause = world.rng.range(1, 60) * MS;
        world.run_for(pause);
        if world.checks.somebody_stood() {
            break;
        }
        // The one that makes the list most often.
        let at = world.rng.below(2 * n).saturating_sub(n) as usize;
        let may_lose = world.checks.majority_lost || world.victims[at];
        if may_lose && world.rng.chance(40) {
            world.wipe(at);
        } else {
            world.crash(at);
            world.schedule(5 * MS, Event::Restart { replica: at });
        }
    }
    let wiped = world.coverage.wiped;
    let formed = |world: &World| {
        let list = |at: usize| world.replicas[at].disk.formed().map(<[_]>::to_vec);
        let lists: Vec<_> = (0..world.replicas.len()).filter_map(list).collect();
        lists.len() == world.replicas.len() && lists.iter().all(|l| *l == lists[0])
    };
    let until = world.now + 4_000 * MS;
    loop {
        world.run_for(50 * MS);
        if formed(&world) {
            return (true, wiped);
        }
        let left_out = world.replicas.iter().any(|r| {
            let standing = r.paxos.as_ref().map(|p| p.standing());
            standing == Some(Standing::NotMember)
        });
        if left_out {
            return (false, wiped);
        }
        assert!(
            world.now < until,
            "seed {seed}: never formed: {}",
            world.describe()
        );
    }
}

#[test]
fn a_group_is_formed_once_whoever_loses_its_disk() {
    let (mut whole, mut with_a_lost_one, mut wiped) = (0, 0, 0);
    for seed in 1..=10_000 {
        let (formed, lost) = forms(seed);
        wiped += lost;
        if formed {
            whole += 1;
        } else {
            with_a_lost_one += 1;
        }
    }
    println!("{whole} formed, {with_a_lost_one} with a lost disk in the list, {wiped} wiped");
    assert!(whole > 2_000 && with_a_lost_one > 500 && wiped > 10_000);
}
