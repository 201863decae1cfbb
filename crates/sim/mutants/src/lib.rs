//! Bugs planted into a copy of Paxlog, each of which the simulator must catch: else its silence says nothing.
//!
//! | module | is |
//! |---|---|
//! | [`bug`] | a bug: its file in `bugs/`, and what it changes |
//! | [`plant`] | the copy of the program with all bugs in it, each asleep |
//! | [`args`] | the command line |
//! | [`course`] | what is run: a seed, or a kept plan |
//! | [`hunt`] | runs of the simulator, over threads, with one bug awake |
//! | [`commands`] | what is done with them: `table`, `check`, `record`, `trace` |
//! | [`readme`] | what README.md says of them |
//!
//! The program `mutants` plants, and starts the copy; the copy is this library with the simulator (`runner/`).

pub mod args;
pub mod bug;
pub mod commands;
pub mod course;
pub mod hunt;
pub mod plant;
pub mod readme;
