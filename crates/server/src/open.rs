//! Opening the data directory: what the write-ahead log recovered, in the
//! core's terms.

use std::path::Path;
use std::sync::Arc;

use paxlog_node::{DamagedFrame, ENTRY_HEADER_BYTES, Found, FoundFrame, FoundSegment};
use paxlog_paxos::{Ballot, GroupId, Slot};
use paxlog_wal::{Disk, Identity, Kind, OpenError, Options, Recovered, Wal};

use crate::exit::StartError;

/// Opens the log, and gathers what the core needs to go on. Blocks.
pub(crate) fn open(
    dir: &Path,
    disk: Arc<dyn Disk>,
    options: Options,
    group: GroupId,
) -> Result<(Wal, Found), StartError> {
    let (wal, recovered) = Wal::open(disk, options).map_err(|error| refused(dir, error))?;
    for damaged in &recovered.damaged {
        tracing::error!(lsn = %damaged.lsn, ?damaged, "synced bytes of the write-ahead log are damaged");
    }
    for blemish in &recovered.blemishes {
        tracing::warn!(lsn = %blemish.lsn, "write-ahead log: {}", blemish.what);
    }
    if let Some(cut) = recovered.cut {
        tracing::info!(at = %cut, "cut what a crash left unfinished at the end of the write-ahead log");
    }
    let found = found(&wal, &recovered, group).map_err(|what| StartError::Io {
        dir: dir.to_owned(),
        what,
    })??;
    Ok((wal, found))
}

type Gathered = Result<Result<Found, StartError>, String>;

fn found(wal: &Wal, recovered: &Recovered, group: GroupId) -> Gathered {
    let mut segments = Vec::with_capacity(recovered.segments.len());
    for segment in &recovered.segments {
        let number = u32::try_from(segment.seq)
            .map_err(|_| format!("segment {:x} is out of range", segment.seq))?;
        // An unreadable one is as if it were not there: replay finds the batches again, if it can.
        let annotation = if segment.annotated {
            wal.annotation(segment.seq).ok().flatten()
        } else {
            None
        };
        let mut frames = Vec::new();
        if annotation.is_none() {
            let infos = recovered
                .frames(segment.seq)
                .map_err(|error| error.to_string())?;
            for info in infos
                .iter()
                .filter(|info| info.kind == Kind::Data && info.group == group.0)
            {
                let (_, head) = wal
                    .read_head(info.lsn, ENTRY_HEADER_BYTES)
                    .map_err(|error| error.to_string())?;
                match FoundFrame::read(info.lsn.0, &head) {
                    Ok(frame) => frames.push(frame),
                    Err(source) => {
                        return Ok(Err(StartError::Recover {
                            dir: std::path::PathBuf::new(),
                            source,
                        }));
                    }
                }
            }
        }
        segments.push(FoundSegment {
            number,
            annotation,
            frames,
        });
    }
    let mut numbers = wal.checkpoints().map_err(|error| error.to_string())?;
    numbers.reverse();
    let checkpoints = numbers
        .into_iter()
        .filter_map(|number| match wal.read_checkpoint(number) {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::error!(number, %error, "a checkpoint can't be read");
                None
            }
        })
        .collect();
    let damaged = recovered
        .damaged
        .iter()
        .filter(|damaged| damaged.group.is_none_or(|g| g == group.0))
        .map(|damaged| DamagedFrame {
            lsn: damaged.lsn.0,
            identity: damaged
                .tag
                .zip(damaged.aux)
                .map(|(tag, aux)| (Slot(tag), Ballot::from_u64(aux))),
        })
        .collect();
    Ok(Ok(Found {
        blank: recovered.blank,
        states: recovered.all_states.clone(),
        checkpoints,
        segments,
        damaged,
        promise_may_be_lost: recovered.promise_may_be_lost || recovered.end_lost,
        durable: wal.durable().0,
    }))
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
