//! Opening: what the write-ahead log recovered, as the core wants it told.

use std::sync::Arc;

use paxlog_node::{
    Checkpoint, DamagedFrame, ENTRY_HEADER_BYTES, Found, FoundFrame, FoundSegment, IdxFile,
    RecoverError,
};
use paxlog_paxos::{Ballot, GroupId, Slot};
use paxlog_wal::{Damaged, Disk, FrameInfo, Kind, Options, ReadError, Recovered, SideError, Wal};

/// Why the log can't be opened, or not gone on from.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The log refused to open.
    #[error(transparent)]
    Log(#[from] paxlog_wal::OpenError),
    /// A frame or file that should be readable is not.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The checkpoints can't be listed.
    #[error(transparent)]
    Checkpoints(#[from] SideError),
    /// A frame is not one of ours.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The log has more segments than positions can name.
    #[error("segment {0:x} is out of range")]
    Range(u64),
}

/// Opens the log and gathers what the core recovers from. Blocks.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    disk: Arc<dyn Disk>,
    options: Options,
    group: GroupId,
) -> Result<(Wal, Found), OpenError> {
    let (wal, recovered) = Wal::open(disk, options)?;
    for damaged in &recovered.damaged {
        tracing::error!(lsn = %damaged.lsn, ?damaged, "synced bytes of the write-ahead log are damaged");
    }
    for blemish in &recovered.blemishes {
        tracing::warn!(lsn = %blemish.lsn, "write-ahead log: {}", blemish.what);
    }
    if let Some(cut) = recovered.cut {
        tracing::info!(at = %cut, "cut what a crash left unfinished at the end of the write-ahead log");
    }
    let found = found(&wal, &recovered, group)?;
    Ok((wal, found))
}

/// What the core recovers from. Blocks.
///
/// # Errors
/// [`OpenError`].
pub fn found(wal: &Wal, recovered: &Recovered, group: GroupId) -> Result<Found, OpenError> {
    let mut checkpoints = Vec::new();
    for number in wal.checkpoints()?.into_iter().rev() {
        match wal.read_checkpoint(number) {
            Ok(bytes) => checkpoints.extend(bytes),
            Err(error) => {
                tracing::error!(number, %error, "a checkpoint can't be read");
                // It was there: recovery must know that there was more than nothing.
                checkpoints.push(bytes::Bytes::new());
            }
        }
    }
    // From here on everything is replayed.
    let replay_from = checkpoints
        .iter()
        .find_map(|file| Checkpoint::slot_of(file));
    let replay_from = replay_from.unwrap_or_default();

    let of_group = |damaged: &&Damaged| damaged.group.is_none_or(|g| g == group.0);
    let damaged = recovered.damaged.iter().filter(of_group);
    let mut damaged: Vec<DamagedFrame> = damaged
        .map(|damaged| DamagedFrame {
            lsn: damaged.lsn.0,
            identity: damaged
                .tag
                .zip(damaged.aux)
                .map(|(tag, aux)| (Slot(tag), Ballot::from_u64(aux))),
        })
        .collect();
    let mut segments = Vec::with_capacity(recovered.segments.len());
    for segment in &recovered.segments {
        let number = u32::try_from(segment.seq).map_err(|_| OpenError::Range(segment.seq))?;
        // An unreadable one is as if it were not there: replay finds the batches again, if it can.
        // What can't be read now may be readable after a restart; what is damaged may not be replaced by a guess.
        let annotation = match segment
            .annotated
            .then(|| wal.annotation(segment.seq))
            .transpose()
        {
            // One that nobody wrote so says nothing of its segment either: its frames do.
            Ok(annotation) => annotation.flatten().filter(|bytes| {
                let is_good = IdxFile::check(number, bytes).is_some();
                if !is_good {
                    tracing::error!(number, "an .idx file is of another version, or holds what none can: its segment is kept as it is");
                }
                is_good
            }),
            Err(error @ ReadError::Io { .. }) => return Err(error.into()),
            Err(error) => {
                tracing::error!(number, %error, "an .idx file can't be read: its segment is kept as it is");
                None
            }
        };
        let annotation_lost = segment.annotated && annotation.is_none();
        let replayed = |info: &FrameInfo| !segment.scanned && Slot(info.tag) >= replay_from;
        let infos = match &annotation {
            Some(bytes) if !is_replayed(number, bytes, replay_from) => Default::default(),
            _ => recovered.frames(segment.seq)?,
        };
        let mut frames = Vec::new();
        for info in infos
            .iter()
            .filter(|info| info.kind == Kind::Data && info.group == group.0)
        {
            // What is believed of an entry was checked: with its segment at the opening, or here.
            let head = match &annotation {
                None if segment.scanned => wal.read_head(info.lsn, ENTRY_HEADER_BYTES),
                None => wal.read_cold(info.lsn),
                Some(_) if replayed(info) => wal.read_cold(info.lsn),
                Some(_) => continue,
            };
            match head {
                Ok((_, head)) if annotation.is_none() => {
                    frames.push(FoundFrame::read(info.lsn.0, &head)?);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(lsn = %info.lsn, %error, "a synced frame is damaged");
                    damaged.push(DamagedFrame {
                        lsn: info.lsn.0,
                        identity: Some((Slot(info.tag), Ballot::from_u64(info.aux))),
                    });
                }
            }
        }
        segments.push(FoundSegment {
            number,
            annotation,
            annotation_lost,
            frames,
        });
    }
    // `.idx` files have no checksums of values: nobody compares what is applied. But beyond a hole that damage made
    // everything comes again, and is compared; and what lay in the hole is no longer held.
    let hole = damaged.iter().map(|damage| (damage.lsn >> 32) as u32).min();
    for segment in &mut segments {
        let Some(hole) = hole.filter(|_| segment.annotation.is_some()) else {
            continue;
        };
        for info in recovered.frames(u64::from(segment.number))?.iter() {
            let lost = damaged.iter().any(|damage| damage.lsn == info.lsn.0);
            if info.kind != Kind::Data || info.group != group.0 || lost {
                continue;
            }
            // Below the hole only whether it is there is asked.
            let head = match segment.number >= hole {
                true => wal.read_cold(info.lsn),
                false => wal.read_head(info.lsn, ENTRY_HEADER_BYTES),
            };
            match head {
                Ok((_, head)) => segment.frames.push(FoundFrame::read(info.lsn.0, &head)?),
                Err(error) => {
                    tracing::error!(lsn = %info.lsn, %error, "a synced frame is damaged");
                    damaged.push(DamagedFrame {
                        lsn: info.lsn.0,
                        identity: Some((Slot(info.tag), Ballot::from_u64(info.aux))),
                    });
                }
            }
        }
    }
    Ok(Found {
        blank: recovered.blank,
        states: recovered.all_states.clone(),
        state: recovered.state.clone(),
        checkpoints,
        segments,
        damaged,
        cut: recovered.cut.is_some(),
        promise_may_be_lost: recovered.promise_may_be_lost || recovered.end_lost,
        durable: wal.durable().0,
    })
}

/// Whether a segment holds slots that are replayed, by its `.idx` file.
fn is_replayed(number: u32, annotation: &[u8], from: Slot) -> bool {
    let Some(idx) = IdxFile::open(number, annotation) else {
        return true;
    };
    idx.slot_range().is_some_and(|(_, end)| end > from)
}
