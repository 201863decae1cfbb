//! Work that blocks on the disk, on threads of its own: cold reads, `.idx`
//! files, checkpoints, retirement.
//!
//! Reads and writes have a thread each, so that no reader waits behind a
//! checkpoint, and no slow disk under an old read stops the core.

use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use paxlog_node::{Batch, Checkpoint, EntryPlace, EntryToken, Event, ReaderId, TimeSearch};
use paxlog_store::{ColdRange, ReadBatch};
use paxlog_wal::Wal;
use tokio::sync::oneshot;

use crate::mailbox::Mailbox;

/// Something to read.
pub(crate) enum ReadJob {
    /// A slot's frame, for the core.
    Entry(EntryToken, EntryPlace),
    /// Where a time is, for a reader.
    Time(ReaderId, TimeSearch),
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
                    write(&write_wal, &write_mail, &job);
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
            let entry = paxlog_store::entry_at(wal, &place);
            if entry.is_none() {
                tracing::warn!(?place, "a frame of the write-ahead log can't be read");
            }
            mailbox.post(Event::Entry(token, entry));
        }
        ReadJob::Time(reader, search) => {
            let found = paxlog_store::find_time(wal, &search);
            if found.is_err() {
                tracing::warn!(?search, "an .idx file of the write-ahead log can't be read");
            }
            mailbox.post(Event::TimeFound(reader, found));
        }
        ReadJob::Cold(range, answer) => {
            let found = paxlog_store::cold(wal, &range);
            if found.is_none() {
                tracing::warn!(?range, "a cold range of the write-ahead log can't be read");
            }
            // The reader may be gone.
            let _ = answer.send(found);
        }
        ReadJob::Batches(batches, answer) => {
            let _ = answer.send(paxlog_store::batches_at(wal, batches));
        }
    }
}

fn write(wal: &Wal, mailbox: &Mailbox, job: &WriteJob) {
    mailbox.post(match job {
        WriteJob::Annotate { segment, bytes } => paxlog_store::annotate(wal, *segment, bytes),
        WriteJob::Checkpoint(checkpoint) => paxlog_store::checkpoint(wal, checkpoint),
        WriteJob::Retire(below) => paxlog_store::retire(wal, *below),
    });
}
