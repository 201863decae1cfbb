//! A deterministic cluster, what its clients saw as a history, and whether it kept its promises.
//!
//! | module | is |
//! |---|---|
//! | [`history`] | the model of a recorded history, its recorder and its file format |
//! | [`check`](mod@check) | the checker: judges a history in n log n, and names what contradicts |
//! | [`run`](mod@run) | one run of a simulated cluster, from its seed to its verdict |

pub mod check;
mod clients;
mod clock;
mod coverage;
mod desk;
pub mod history;
mod invariants;
mod network;
pub mod partitions;
pub mod plan;
mod queue;
mod replica;
mod rng;
pub mod run;
mod shrink;
mod swarm;
mod trace;
mod world;

pub use coverage::{Coverage, SITUATIONS};
pub use invariants::Broken;
pub use plan::Plan;
pub use run::{Failure, Report, run, run_plan};
pub use shrink::{Shrunk, shrink};
pub use swarm::{Summary, swarm};
pub use trace::Detail;
