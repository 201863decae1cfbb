//! How a replica fails to start, and how it ends.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use paxlog_node::RecoverError;
use paxlog_quic::{BindError, CertsError};

/// Why a replica did not start. Nothing was changed on disk.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("the configuration: {0}")]
    Config(String),
    /// A certificate or key can't be used.
    #[error("{0}")]
    Certs(#[from] CertsError),
    /// A QUIC port can't be opened.
    #[error("{0}")]
    Endpoint(#[from] BindError),
    /// The HTTP port can't be opened.
    #[error("the metrics address {address} can't be used: {source}")]
    Http {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory was not made by `paxlog format`.
    #[error(
        "{} is not formatted: if it is new, make it with `paxlog format`; if it held data, do not, and find out where \
         the data went",
        dir.display()
    )]
    NotFormatted {
        /// The directory.
        dir: PathBuf,
    },
    /// The data directory belongs to another cluster or replica, or was written
    /// by a newer release.
    #[error("{}: {why}", dir.display())]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// What it is.
        why: String,
    },
    /// Another process has the data directory open.
    #[error("{} is in use by another process: stop that one first", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk is full.
    #[error("{}: no space is left for the write-ahead log: make room", dir.display())]
    DiskFull {
        /// The directory.
        dir: PathBuf,
    },
    /// What is on disk can't be gone on from.
    #[error("{}: {source}", dir.display())]
    Recover {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: RecoverError,
    },
    /// The disk returned an error.
    #[error("{}: {what}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What failed, with what the system said.
        what: String,
    },
    /// The system gave no thread.
    #[error("a thread can't be started: {0}")]
    Thread(std::io::Error),
}

impl StartError {
    /// The program's exit code: 2 wrong before anything was opened, 3 try
    /// again, 5 damage, 6 local IO.
    pub fn exit_code(&self) -> u8 {
        match self {
            StartError::Config(_) | StartError::Certs(_) | StartError::NotFormatted { .. } => 2,
            StartError::Foreign { .. } => 2,
            StartError::Endpoint(_) | StartError::Http { .. } | StartError::InUse { .. } => 3,
            StartError::DiskFull { .. } => 3,
            StartError::Recover { .. } => 5,
            StartError::Io { .. } | StartError::Thread(_) => 6,
        }
    }
}

/// How a replica ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to: leadership handed over, the write-ahead log sealed.
    Stopped,
    /// The write-ahead log failed: nothing was acknowledged after that. Started
    /// again, it checks what is on disk.
    StorageFailed(String),
    /// Going on would have made it differ from the others.
    Diverging(String),
    /// A bug.
    Panicked,
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitReason::Stopped => f.write_str("it was asked to"),
            ExitReason::StorageFailed(why) => write!(f, "its disk failed: {why}"),
            ExitReason::Diverging(why) => write!(
                f,
                "going on would have made it differ from the others: {why}"
            ),
            ExitReason::Panicked => f.write_str("it panicked, which is a bug"),
        }
    }
}

impl ExitReason {
    /// The program's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            ExitReason::Stopped => 0,
            ExitReason::Diverging(_) => 5,
            ExitReason::StorageFailed(_) | ExitReason::Panicked => 6,
        }
    }
}
