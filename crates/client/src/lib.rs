//! The Rust client of Paxlog: a pipelined, idempotent appender, readers, tails and administration.

mod profile;

pub use profile::{PROFILE_SAMPLE, Profile, ProfileError};
