//! A running replica: drives the core with the write-ahead log, links, client
//! sessions, metrics and HTTP. Also the embedding API: [`Replica::start`].
//!
//! Threads of a replica, and the rule that keeps it alive on a bad disk:
//! *nothing on the core thread calls the disk.*
//!
//! | thread | does |
//! |---|---|
//! | core | one tokio runtime: both QUIC endpoints, all stream tasks, timers, and the core's turns (`turn.rs`) |
//! | log-a, log-b, prep, watch | the write-ahead log's own (`paxlog_wal`) |
//! | aux-io | blocking work: cold reads, `.idx` files, checkpoints, retirement (`aux_io.rs`) |
//! | http | `/metrics`, `/livez`, `/readyz`, `/status` (`http.rs`) |

mod aux_io;
mod clients;
pub mod config;
mod core;
mod exit;
mod format;
mod http;
mod mailbox;
mod meter;
mod open;
mod replica;
mod status;
mod turn;

pub use config::Config;
pub use exit::{ExitReason, StartError};
pub use format::{FormatError, Formatted, format};
pub use replica::Replica;
pub use status::{PeerStatus, Status, WalStatus};
