//! Random schedules against the pure machine: 20,000 by default, `PAXLOG_SCHEDULES` for more, `PAXLOG_SEED`
//! for one again; and the partial partitions by name.
#![expect(
    clippy::disallowed_methods,
    reason = "the machine is pure; its test reads the environment and spreads over threads"
)]

mod checks;
mod disk;
mod effects;
mod faults;
mod forming;
mod partitions;
mod plan;
mod recovery;
mod rng;
mod scenarios;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::{Coverage, MS, Plan};
use rng::Rng;
use world::World;

fn number_from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

fn schedule(seed: u64) -> Coverage {
    let plan = Plan::draw(&mut Rng::new(seed ^ 0x5eed));
    let faults_for = plan.faults_for;
    let mut world = World::new(seed, plan);
    while !world.healed {
        world.step();
    }
    assert!(world.now >= faults_for);
    if world.plan.core_first {
        world.core_must_progress(6_000 * MS);
        world.heal();
    }
    world.must_recover(6_000 * MS);
    world.finish()
}

/// Seeds that once failed, each with what it found.
#[test]
fn seeds_that_once_failed_pass() {
    // All that the leader had to send had come before its followers promised a higher ballot to somebody
    // who is cut off: it sent nothing, nobody refused, and it led without ever being followed.
    schedule(748_737_954_149_549);
    // The replica that makes the list lost its disk after it had sent one; that list came late, to replicas
    // that had told its next incarnation that they are blank, and it went on without a group.
    schedule(748_737_955_048_857);
    // Whoever promised a value lost it in a crash; the leader asked five replicas for it, again and again,
    // before it did without.
    schedule(748_737_954_129_628);
    // The leader had dropped, below its checkpoint, the values that a follower still lacked in its ballot; the
    // follower knew them as chosen, and nobody told it that no Accept of them would come.
    schedule(748_737_954_278_796);
    // A new leader waited for the value of a slot, learned it as chosen and took a checkpoint of it, before
    // it proposed it: that may be stored below the checkpoint.
    schedule(748_737_954_295_396);
}

#[test]
fn random_schedules_agree_and_recover() {
    if let Some(seed) = number_from_env("PAXLOG_SEED") {
        println!("{:?}", Plan::draw(&mut Rng::new(seed ^ 0x5eed)));
        println!("{:?}", schedule(seed));
        return;
    }
    let schedules = number_from_env("PAXLOG_SCHEDULES").unwrap_or(20_000);
    let first = number_from_env("PAXLOG_FIRST_SEED").unwrap_or(1);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Coverage::default());
    let failed = Mutex::new(Vec::<(u64, String)>::new());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    let started = std::time::Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + schedules || !failed.lock().expect("not poisoned").is_empty()
                    {
                        return;
                    }
                    match catch_unwind(AssertUnwindSafe(|| schedule(seed))) {
                        Ok(coverage) => total.lock().expect("not poisoned").add(&coverage),
                        Err(why) => {
                            let why = why.downcast_ref::<String>().cloned().or_else(|| {
                                let text = why.downcast_ref::<&str>()?;
                                Some((*text).to_string())
                            });
                            let why = why.unwrap_or_default();
                            failed.lock().expect("not poisoned").push((seed, why));
                        }
                    }
                }
            });
        }
    });
    drop(std::panic::take_hook());
    let total = *total.lock().expect("not poisoned");
    let per_second = total.schedules as f64 / started.elapsed().as_secs_f64();
    println!("{per_second:.0} schedules a second on {threads} threads; {total:#?}");
    if let Some((seed, why)) = failed.lock().expect("not poisoned").first() {
        panic!(
            "seed {seed}, after {} schedules: {why}\nagain: PAXLOG_SEED={seed} cargo test --release -p paxlog-paxos --test schedules random",
            total.schedules
        );
    }
    if schedules >= 5_000 {
        let missing = total.missing();
        assert!(missing.is_empty(), "vacuous: never reached {missing:?}");
    }
}

#[test]
fn the_same_seed_is_the_same_schedule() {
    for seed in 1..20 {
        assert_eq!(
            format!("{:?}", schedule(seed)),
            format!("{:?}", schedule(seed))
        );
    }
}
