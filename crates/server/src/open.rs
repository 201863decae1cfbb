//! Opening the data directory: what can be wrong with it, in sentences.

use std::path::Path;
use std::sync::Arc;

use paxlog_node::Found;
use paxlog_paxos::GroupId;
use paxlog_wal::{Disk, Identity, OpenError, Options, Wal};

use crate::exit::StartError;

/// Opens the log, and gathers what the core needs to go on. Blocks.
pub(crate) fn open(
    dir: &Path,
    disk: Arc<dyn Disk>,
    options: Options,
    group: GroupId,
) -> Result<(Wal, Found), StartError> {
    paxlog_store::open(disk, options, group).map_err(|error| match error {
        paxlog_store::OpenError::Log(error) => refused(dir, error),
        paxlog_store::OpenError::Recover(source) => StartError::Recover {
            dir: dir.to_owned(),
            source,
        },
        other => StartError::Io {
            dir: dir.to_owned(),
            what: other.to_string(),
        },
    })
}

/// Looks whether another process has the directory, before its ports are
/// tried: that is the better thing to say.
pub(crate) fn check_free(dir: &Path, disk: &dyn Disk) -> Result<(), StartError> {
    match disk.lock() {
        Ok(lock) => {
            lock.release();
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            Err(refused(dir, OpenError::InUse))
        }
        Err(source) => Err(refused(
            dir,
            OpenError::Io {
                what: "locking the directory".into(),
                source,
            },
        )),
    }
}

pub(crate) fn refused(dir: &Path, error: OpenError) -> StartError {
    let dir = dir.to_owned();
    match error {
        OpenError::InUse => StartError::InUse { dir },
        OpenError::NotFormatted => StartError::NotFormatted { dir },
        OpenError::Foreign { expected, found } => StartError::Foreign {
            dir,
            why: foreign(expected, found),
        },
        OpenError::MetaDamaged(_) | OpenError::ForeignFile { .. } | OpenError::Newer { .. } => {
            StartError::Foreign {
                dir,
                why: error.to_string(),
            }
        }
        OpenError::BadOption(why) => StartError::Config(why.to_owned()),
        OpenError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            StartError::DiskFull { dir }
        }
        OpenError::Io { what, source } => StartError::Io {
            dir,
            what: format!("{what}: {source}"),
        },
    }
}

fn foreign(expected: Identity, found: Identity) -> String {
    if found.cluster != expected.cluster {
        format!(
            "it belongs to cluster {:032x}, and the configuration says {:032x}",
            found.cluster, expected.cluster
        )
    } else {
        format!(
            "it belongs to replica {}, and the configuration says {}",
            found.replica, expected.replica
        )
    }
}
