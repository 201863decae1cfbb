//! Hostile bytes for every decoder that meets the network or a disk.
//!
//! A [`Target`] takes any bytes and must come back: no panic, no hang, no more memory than a small multiple of what it was
//! given. Beyond that each says what must hold of what it could read: mostly that encoding it again gives the same bytes,
//! so that nothing can be written in two ways, and that how the network cut it does not matter.
//!
//! Checksums would keep a fuzzer out of everything behind them. So where an input says so, the target mends them first:
//! then it plays somebody who means harm and can count, not a bad cable.
//!
//! The targets are plain functions. `targets/` makes programs for cargo-fuzz of them, in a workspace of its own since that
//! needs a nightly compiler; `tests/replay.rs` runs the kept inputs in `corpus/` with every test run, on any compiler; and
//! `cargo run --release -p paxlog-fuzz -- replay TARGET FILE` runs one input.

mod batches;
mod frames;
mod input;
mod messages;
mod names;
mod sessions;
mod settings;
mod states;
mod wal;

use std::path::{Path, PathBuf};

/// One decoder, or several that are met together.
pub struct Target {
    /// Its name: that of its program and its folder of inputs.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Reads an input. Panics where something is wrong with the decoder.
    pub run: fn(&[u8]),
    /// Inputs to begin with: one of everything that is valid.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them, in the order of their names.
#[rustfmt::skip]
pub const TARGETS: &[Target] = &[
    Target { name: "batch", about: "batches of records: check, parse, decompress", run: batches::run, seeds: batches::seeds },
    Target { name: "certificate", about: "names in certificates, and certificates", run: names::run, seeds: names::seeds },
    Target { name: "checkpoint", about: "checkpoints of a replica and of the replicated state; then the state is used", run: states::checkpoint, seeds: states::checkpoint_seeds },
    Target { name: "client_messages", about: "messages between clients and replicas", run: messages::client, seeds: messages::client_seeds },
    Target { name: "commands", about: "commands of a chosen value, applied", run: states::commands, seeds: states::commands_seeds },
    Target { name: "config", about: "a replica's configuration file", run: settings::config, seeds: settings::config_seeds },
    Target { name: "frames", about: "the frames of a stream, cut anywhere", run: frames::run, seeds: frames::seeds },
    Target { name: "idx", about: "the index file of a sealed segment", run: states::idx, seeds: states::idx_seeds },
    Target { name: "profile", about: "a client's profile", run: settings::profile, seeds: settings::profile_seeds },
    Target { name: "promise", about: "a replica's small durable state: promise and members", run: states::promise, seeds: states::promise_seeds },
    Target { name: "replica_messages", about: "messages between replicas", run: messages::replica, seeds: messages::replica_seeds },
    Target { name: "sessions", about: "the client's state machines, against replicas that mean harm", run: sessions::run, seeds: sessions::seeds },
    Target { name: "wal", about: "a write-ahead log's directory, damaged: open, read, append, open again", run: wal::run, seeds: wal::seeds },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs an input through the target of this name.
///
/// # Panics
/// When there is none, or it does not take the input well.
pub fn run(name: &str, input: &[u8]) {
    let target = target(name).unwrap_or_else(|| panic!("there is no target `{name}`"));
    (target.run)(input);
}

/// Where the kept inputs of a target lie.
pub fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name)
}

/// A file of the repository, by its path from the top.
fn repository_file(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
