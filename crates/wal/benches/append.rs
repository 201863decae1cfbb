//! What an append costs on the owner's thread, and until it is durable.
//!
//! `cargo bench -p paxlog-wal --bench append`. Files are made below the target directory, or in `PAXLOG_BENCH_DIR`; tmpfs is
//! refused. The other bench, `wal`, tells latencies; this one what each piece costs and allocates.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher};
use paxlog_wal::{Disk, FrameMeta, Identity, Lsn, Options, RealDisk, Wal, format};
use rustix::fs::fstatfs;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const ID: Identity = Identity {
    cluster: 1,
    replica: 1,
    wal_id: 1,
};
const TMPFS: u64 = 0x0102_1994;
const PAYLOAD_BYTES: [usize; 4] = [128, 1 << 10, 4 << 10, 64 << 10];

fn main() {
    let dir = parent();
    match is_tmpfs(&dir) {
        Ok(false) => divan::main(),
        Ok(true) => refuse(&format!(
            "{} is on tmpfs, where a sync is nothing: name a directory on a disk with PAXLOG_BENCH_DIR",
            dir.display()
        )),
        Err(error) => refuse(&format!("cannot write in {}: {error}", dir.display())),
    }
}

fn refuse(why: &str) {
    eprintln!("error: {why}");
    std::process::exit(2);
}

fn parent() -> PathBuf {
    std::env::var_os("PAXLOG_BENCH_DIR")
        .unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into())
        .into()
}

fn is_tmpfs(dir: &Path) -> std::io::Result<bool> {
    std::fs::create_dir_all(dir)?;
    Ok(fstatfs(&File::open(dir)?)?.f_type as u64 == TMPFS)
}

/// An open log in a directory of its own, removed at the end.
struct Scratch {
    wal: Wal,
    last: Cell<Lsn>,
    /// Retired below.
    retired: Cell<u64>,
    _dir: tempfile::TempDir,
}

impl Scratch {
    fn open() -> Scratch {
        let dir = tempfile::tempdir_in(parent()).expect("main() looked");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).expect("it was made"));
        format(&*disk, ID).expect("an empty directory");
        let (wal, _) = Wal::open(disk, Options::new(ID)).expect("a formatted directory");
        // The first spares are made meanwhile.
        thread::sleep(Duration::from_millis(100));
        Scratch {
            last: Cell::new(Lsn::ZERO),
            retired: Cell::new(wal.tail().seq()),
            wal,
            _dir: dir,
        }
    }

    fn enqueue(&self, payload: &[Bytes]) {
        let lsn = self
            .wal
            .enqueue(FrameMeta::data(0, 0, 0), payload)
            .expect("the log is well");
        self.last.set(lsn);
    }

    /// Writes and syncs what waits, and keeps the directory small.
    fn settle(&self) {
        self.wal.flush();
        self.wal
            .wait_durable(self.last.get())
            .expect("the log is well");
        let seq = self.wal.durable().seq();
        if seq >= self.retired.get() + 4 {
            self.wal.retire_below(seq - 1).expect("the log is well");
            self.retired.set(seq - 1);
        }
    }
}

/// What the owner's thread pays for the frames of a turn. Writing and syncing them is not timed.
#[divan::bench(args = PAYLOAD_BYTES, sample_count = 200, sample_size = 1)]
fn enqueue(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    const FRAMES: usize = 64;
    let scratch = Scratch::open();
    let payload = [Bytes::from(vec![7; payload_bytes])];
    scratch.enqueue(&payload);
    bencher
        .counter(ItemsCount::new(FRAMES))
        .with_inputs(|| scratch.settle())
        .bench_local_values(|()| {
            for _ in 0..FRAMES {
                scratch.enqueue(&payload);
            }
        });
}

/// So many frames appended at once, until all of them are durable.
#[divan::bench(args = PAYLOAD_BYTES, consts = [1, 8, 64, 256], sample_count = 50, sample_size = 1, max_time = 1.0)]
fn append_and_sync<const IN_FLIGHT: usize>(bencher: Bencher<'_, '_>, payload_bytes: usize) {
    let scratch = Scratch::open();
    let payload = [Bytes::from(vec![7; payload_bytes])];
    bencher
        .counter(ItemsCount::new(IN_FLIGHT))
        .counter(BytesCount::new(payload_bytes * IN_FLIGHT))
        .bench_local(|| {
            for _ in 0..IN_FLIGHT {
                scratch.enqueue(&payload);
            }
            scratch.settle();
        });
}

/// One frame of 256 KiB, as a turn's appends make it, in as many parts as they came in; until it is durable.
#[divan::bench(args = [1, 16, 256, 512], sample_count = 100, sample_size = 1, max_time = 1.0)]
fn value_and_sync(bencher: Bencher<'_, '_>, parts: usize) {
    const BYTES: usize = 256 << 10;
    let scratch = Scratch::open();
    let value = vec![Bytes::from(vec![7; BYTES / parts]); parts];
    bencher.counter(BytesCount::new(BYTES)).bench_local(|| {
        scratch.enqueue(&value);
        scratch.settle();
    });
}
