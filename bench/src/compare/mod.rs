//! `bench compare`: the same work against Paxlog, etcd, NATS JetStream and the floor, on one machine, in one run, in turns.
//!
//! Each measurement has a cluster of its own, from nothing, and nobody else's runs beside it; systems take turns within
//! a scenario, in another order each round, and scenarios within a round. [`docs/benchmarks.md`] says what each row means and
//! how each system is set up.
//!
//! - [`choice`]: systems, scenarios and what each is to do
//! - `servers`, `find`: three processes of any of them
//! - [`load`], `drivers`: the load generator, a process of its own
//! - `comparison`: who is measured when
//! - `gap`: fail-over of peers
//! - `summary`, `report`, `plots`: medians and ratios, the table, the pictures
//!
//! [`docs/benchmarks.md`]: ../../../docs/benchmarks.md

pub mod choice;
mod comparison;
mod drivers;
mod find;
mod gap;
pub mod load;
mod plots;
mod report;
mod servers;
mod summary;

pub use comparison::{CompareArgs, run, table};
