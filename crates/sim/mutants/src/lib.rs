//! Bugs planted into a copy of Paxlog, each of which the simulator must catch: else its silence says nothing.
//!
//! | module | is |
//! |---|---|
//! | [`bug`] | a bug: its file in `bugs/`, and what it changes |
//! | [`plant`] | the copy of the program with all bugs in it, each asleep |
//! | [`args`] | the command line |
//! | [`hunt`] | runs of the simulator, over threads, with one bug awake |
//! | [`commands`] | what is done with them: `table`, `check`, `record`, `trace` |
//!
//! The program `mutants` plants, and starts the copy; the copy is this library with the simulator (`runner/`).

pub mod args;
pub mod bug;
pub mod commands;
pub mod hunt;
pub mod plant;
