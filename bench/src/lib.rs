//! What a cluster of three `paxlog serve` processes does on one machine, beside what nobody can beat there.
//!
//! `cargo run --release -p bench` is the program. The soak builds on the same parts: [`Program`] (the `paxlog` binary),
//! [`Cluster`] (three processes of it in a temporary directory), [`process`] (children that end with us), and the two
//! measurements that a soak repeats, [`failover`] and [`memory`]. [`growth`] measures clusters that hold much,
//! [`times`] reads by time. [`compare`] gives the same work to peers.

pub mod cluster;
pub mod compare;
pub mod failover;
mod flow;
pub mod growth;
pub mod machine;
pub mod memory;
pub mod process;
pub mod program;
pub mod stage;
pub mod suite;
pub mod table;
pub mod times;

pub use cluster::Cluster;
pub use program::Program;
pub use stage::Stage;
