//! The machines against a small simulated cluster.
//!
//! Fault model. Streams keep their order and lose nothing until they are reset, which may happen at
//! any frame and takes what is under way in both directions with it. Any server may stop answering
//! for a while, or be unreachable. The leader changes at any time; each command that it had proposed
//! and not applied is then applied or lost, each by itself, so that a later one may be there without
//! an earlier. Admission refuses at random. Followers lag. Clients are told who leads, late or not
//! at all. After a time all this ends.
//!
//! What must hold whatever happens: every call ends exactly once and by its deadline; what was
//! acknowledged is in the log, once, in order, at the offsets of its receipt; what was called not
//! applied is not there; nothing stands twice; what follows a failed append in the log was taken
//! after that failure was reported. Readers give every record once, in order.
//!
//! One seed, one run; a failure prints its seed.

mod appends;
mod calls;

mod cluster;
mod reads;

mod rng;
mod world;

/// Runs a test for many seeds. `SEEDS=a..b` chooses others.
fn for_seeds(count: u64, run: impl Fn(u64)) {
    #[expect(clippy::disallowed_methods, reason = "a test may be told its seeds")]
    let asked = std::env::var("SEEDS").ok().and_then(|seeds| {
        let (from, to) = seeds.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    for seed in asked.unwrap_or(0..count) {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(panic) = failed {
            eprintln!("failed with seed {seed}: SEEDS={seed}..{}", seed + 1);
            std::panic::resume_unwind(panic);
        }
    }
}
