//! Work that blocks on the disk, on threads of its own: cold reads, `.idx`
//! files, checkpoints, retirement.
//!
//! Reads and writes have a thread each, so that no reader waits behind a
//! checkpoint, and no slow disk under an old read stops the core.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use bytes::Bytes;
use paxlog_log::{LogId, Offset};
use paxlog_node::{
    Batch, Checkpoint, ENTRY_HEADER_BYTES, EntryHeader, EntryPlace, EntryToken, Event, IdxFile,
};
use paxlog_paxos::Value;
use paxlog_wal::{Lsn, Wal};
use tokio::sync::oneshot;

use crate::mailbox::Mailbox;

/// A range of a log that lies in sealed segments beyond the hot window.
#[derive(Debug)]
pub(crate) struct ColdRange {
    pub(crate) log: LogId,
    pub(crate) from: Offset,
    pub(crate) until: Offset,
    pub(crate) until_timestamp: u64,
    pub(crate) bytes_max: u64,
    /// Where to look, most likely first.
    pub(crate) segments: Vec<u32>,
}

/// A batch with its bytes.
pub(crate) type ReadBatch = (Batch, Bytes);

/// Something to read.
pub(crate) enum ReadJob {
    /// A slot's frame, for the core.
    Entry(EntryToken, EntryPlace),
    /// A cold range, for a reader; none if it can't be read.
    Cold(ColdRange, oneshot::Sender<Option<Vec<ReadBatch>>>),
    /// Batches that have just left the hot window; none if one can't be read.
    Batches(Vec<Batch>, oneshot::Sender<Option<Vec<ReadBatch>>>),
}

/// Something to write.
pub(crate) enum WriteJob {
    Annotate { segment: u32, bytes: Vec<u8> },
    Checkpoint(Box<Checkpoint>),
    Retire(u32),
}

/// The two threads. They end when this is dropped, after what was asked for.
pub(crate) struct AuxIo {
    reads: Option<Sender<ReadJob>>,
    writes: Option<Sender<WriteJob>>,
    threads: Vec<JoinHandle<()>>,
}

impl AuxIo {
    pub(crate) fn start(
        name: &str,
        wal: &Arc<Wal>,
        mailbox: &Arc<Mailbox>,
    ) -> std::io::Result<AuxIo> {
        let (reads, read_jobs) = mpsc::channel::<ReadJob>();
        let (writes, write_jobs) = mpsc::channel::<WriteJob>();
        let (read_wal, read_mail) = (Arc::clone(wal), Arc::clone(mailbox));
        let reader = std::thread::Builder::new()
            .name(format!("{name}aux-read"))
            .spawn(move || {
                for job in read_jobs {
                    read(&read_wal, &read_mail, job);
                }
            })?;
        let (write_wal, write_mail) = (Arc::clone(wal), Arc::clone(mailbox));
        let writer = std::thread::Builder::new()
            .name(format!("{name}aux-write"))
            .spawn(move || {
                for job in write_jobs {
                    write(&write_wal, &write_mail, job);
                }
            })?;
        Ok(AuxIo {
            reads: Some(reads),
            writes: Some(writes),
            threads: vec![reader, writer],
        })
    }

    pub(crate) fn read(&self, job: ReadJob) {
        // The threads live as long as `self`, unless they panicked: then readers see their oneshot dropped.
        if let Some(reads) = &self.reads {
            let _ = reads.send(job);
        }
    }

    pub(crate) fn write(&self, job: WriteJob) {
        if let Some(writes) = &self.writes {
            let _ = writes.send(job);
        }
    }
}

impl Drop for AuxIo {
    fn drop(&mut self) {
        self.reads = None;
        self.writes = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread for disk work ended with a panic");
            }
        }
    }
}

fn read(wal: &Wal, mailbox: &Mailbox, job: ReadJob) {
    match job {
        ReadJob::Entry(token, place) => {
            let entry = entry_at(wal, place);
            if entry.is_none() {
                tracing::warn!(?place, "a frame of the write-ahead log can't be read");
            }
            mailbox.post(Event::Entry(token, entry));
        }
        ReadJob::Cold(range, answer) => {
            let found = cold(wal, &range);
            if found.is_none() {
                tracing::warn!(?range, "a cold range of the write-ahead log can't be read");
            }
            // The reader may be gone.
            let _ = answer.send(found);
        }
        ReadJob::Batches(batches, answer) => {
            let _ = answer.send(batches_at(wal, batches));
        }
    }
}

fn entry_at(wal: &Wal, place: EntryPlace) -> Option<(EntryHeader, Value)> {
    let lsn = match place {
        EntryPlace::At(lsn) => lsn,
        EntryPlace::InSegment(segment, slot) => {
            let bytes = annotation(wal, segment)?;
            let row = IdxFile::open(segment, &bytes)?.slot(slot)?;
            u64::from(segment) << 32 | u64::from(row.frame)
        }
    };
    let (_, payload) = wal.read_cold(Lsn(lsn)).ok()?;
    let header = EntryHeader::decode(&payload)?;
    let value = payload.slice(ENTRY_HEADER_BYTES..);
    if value.len() != header.len as usize {
        return None;
    }
    let value = if value.is_empty() {
        Value::noop()
    } else {
        Value::from_parts(vec![value])
    };
    (value.checksum() == header.checksum).then_some((header, value))
}

fn annotation(wal: &Wal, segment: u32) -> Option<Bytes> {
    match wal.annotation(u64::from(segment)) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(segment, %error, "an .idx file can't be read");
            None
        }
    }
}

fn cold(wal: &Wal, range: &ColdRange) -> Option<Vec<ReadBatch>> {
    for segment in &range.segments {
        let Some(bytes) = annotation(wal, *segment) else {
            continue;
        };
        let Some(idx) = IdxFile::open(*segment, &bytes) else {
            continue;
        };
        let mut sum = 0;
        let mut any = false;
        let batches: Vec<Batch> = idx
            .batches_from(range.log, range.from)
            .inspect(|_| any = true)
            .take_while(|batch| batch.start < range.until)
            .take_while(|batch| {
                range.until_timestamp == 0 || batch.timestamp.0 < range.until_timestamp
            })
            .take_while(|batch| {
                let fits = sum == 0 || sum + u64::from(batch.place.len) <= range.bytes_max;
                sum += u64::from(batch.place.len);
                fits
            })
            .collect();
        if any {
            return batches_at(wal, batches);
        }
    }
    None
}

fn batches_at(wal: &Wal, batches: Vec<Batch>) -> Option<Vec<ReadBatch>> {
    let mut last: Option<(u64, Bytes)> = None;
    let mut read = Vec::with_capacity(batches.len());
    for batch in batches {
        let lsn = batch.place.lsn;
        let payload = match &last {
            Some((at, payload)) if *at == lsn => payload.clone(),
            _ => {
                let (_, payload) = wal.read_cold(Lsn(lsn)).ok()?;
                last = Some((lsn, payload.clone()));
                payload
            }
        };
        let at = batch.place.at as usize;
        let end = at + batch.place.len as usize;
        if end > payload.len() {
            return None;
        }
        read.push((batch, payload.slice(at..end)));
    }
    Some(read)
}

fn write(wal: &Wal, mailbox: &Mailbox, job: WriteJob) {
    match job {
        WriteJob::Annotate { segment, bytes } => match wal.annotate(u64::from(segment), &bytes) {
            Ok(()) => mailbox.post(Event::Annotated(segment)),
            Err(error) => {
                tracing::warn!(segment, %error, "an .idx file can't be written, trying again later");
                mailbox.post(Event::HousekeepingFailed);
            }
        },
        WriteJob::Checkpoint(checkpoint) => {
            let bytes = Bytes::from(checkpoint.encode());
            let size = bytes.len();
            let slot = checkpoint.slot.0;
            drop(checkpoint);
            match wal.put_checkpoint(slot, &[bytes]) {
                Ok(()) => {
                    tracing::debug!(slot, bytes = size, "checkpoint written");
                    mailbox.post(Event::CheckpointDone { slot });
                }
                Err(error) => {
                    tracing::warn!(slot, %error, "a checkpoint can't be written, trying again later");
                    mailbox.post(Event::HousekeepingFailed);
                }
            }
        }
        WriteJob::Retire(below) => match wal.retire_below(u64::from(below)) {
            Ok(count) => {
                tracing::debug!(below, count, "segments retired");
                mailbox.post(Event::Retired(below));
            }
            Err(error) => {
                tracing::warn!(below, %error, "segments can't be retired, trying again later");
                mailbox.post(Event::HousekeepingFailed);
            }
        },
    }
}
