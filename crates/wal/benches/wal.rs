//! What the disk can do, and what the log makes of it.
//!
//! `cargo bench -p paxlog-wal --bench wal [-- [--dir DIR] [--seconds N]]`. Refuses tmpfs, where a sync is nothing. Run as a
//! test (`cargo test --benches`), each piece takes a moment only.
//!
//! The floor is one thread doing pwrite and fdatasync of 4 KiB, one after the other. The work is one
//! owner that keeps a number of appends in flight and hears of durability by `notify`, as a core
//! does.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use paxlog_wal::{Disk, FrameMeta, Identity, Observer, Options, RealDisk, SyncReport, Wal, format};
use rustix::fs::{FallocateFlags, fallocate, fdatasync, fstatfs};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ID: Identity = Identity {
    cluster: 1,
    replica: 1,
    wal_id: 1,
};
const TMPFS: u64 = 0x0102_1994;

#[derive(Default)]
struct Syncs {
    count: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
}

impl Observer for Syncs {
    fn synced(&self, report: &SyncReport) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.frames.fetch_add(report.frames, Ordering::Relaxed);
        self.bytes.fetch_add(report.bytes, Ordering::Relaxed);
    }
}

fn main() -> Result<()> {
    let mut dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (mut seconds, mut measures) = (1.0, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => dir = args.next().ok_or("--dir DIR")?.into(),
            "--seconds" => seconds = args.next().ok_or("--seconds N")?.parse()?,
            // What cargo passes.
            "--bench" => measures = true,
            "--test" => measures = false,
            other => return Err(format!("unknown argument {other}").into()),
        }
    }
    std::fs::create_dir_all(&dir)?;
    if fstatfs(&File::open(&dir)?)?.f_type as u64 == TMPFS {
        return Err(format!(
            "{} is on tmpfs, where a sync is nothing: give --dir",
            dir.display()
        )
        .into());
    }
    let dir = dir.join(format!("paxlog-wal-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let done = match measures {
        true => bench(&dir, Duration::from_secs_f64(seconds)),
        false => work(&dir, Duration::from_millis(10), 128, 8),
    };
    std::fs::remove_dir_all(&dir)?;
    done
}

fn bench(dir: &Path, run: Duration) -> Result<()> {
    println!("floor: pwrite + fdatasync of 4 KiB, one after the other");
    println!(
        "{:>22} {:>9} {:>9} {:>9} {:>9}",
        "file", "per s", "p50 µs", "p99 µs", "max µs"
    );
    for (name, zeroed) in [("zeroed", true), ("fallocated", false)] {
        let mut took = floor(dir, run, zeroed)?;
        let per_s = took.len() as f64 / took.iter().sum::<Duration>().as_secs_f64();
        println!("{name:>22} {per_s:>9.0} {}", percentiles(&mut took));
    }
    println!();
    println!(
        "{:>8} {:>9} {:>10} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}",
        "payload",
        "in flight",
        "appends/s",
        "p50 µs",
        "p99 µs",
        "max µs",
        "syncs/s",
        "per sync",
        "MB/s"
    );
    for len in [128, 1 << 10, 4 << 10, 64 << 10] {
        for in_flight in [1, 8, 64, 256] {
            work(dir, run, len, in_flight)?;
        }
    }
    opening(dir)
}

/// How long an opening takes behind a log of some segments that was not closed.
fn opening(dir: &Path) -> Result<()> {
    let dir = dir.join("opening");
    std::fs::create_dir_all(&dir)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir)?);
    format(&*disk, ID)?;
    let (wal, _) = Wal::open(disk.clone(), Options::new(ID))?;
    let payload = Bytes::from(vec![7; 1 << 10]);
    let mut last = wal.tail();
    while last.seq() < 9 || last.offset() < 32 << 20 {
        last = wal.append(FrameMeta::data(0, 0, 0), std::slice::from_ref(&payload))?;
        while wal.is_full() {
            std::thread::yield_now();
        }
    }
    wal.wait_durable(last)?;
    drop(wal);
    let started = Instant::now();
    let (wal, recovered) = Wal::open(disk, Options::new(ID))?;
    let took = started.elapsed();
    let scanned = recovered.segments.iter().filter(|s| s.scanned).count();
    println!(
        "\nopening {} segments of 64 MiB with 1 KiB frames, {scanned} of them scanned: {:.1} ms",
        recovered.segments.len(),
        took.as_secs_f64() * 1e3
    );
    drop(wal);
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn floor(dir: &Path, run: Duration, zeroed: bool) -> Result<Vec<Duration>> {
    let path = dir.join("floor");
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let bytes = 64 << 20;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    if zeroed {
        for at in (0..bytes).step_by(1 << 20) {
            file.write_all_at(&vec![0; 1 << 20], at)?;
        }
    }
    file.sync_all()?;
    let block = [7; 4096];
    let mut took = Vec::new();
    let started = Instant::now();
    let mut at = 0;
    while started.elapsed() < run && at < bytes {
        let before = Instant::now();
        file.write_all_at(&block, at)?;
        fdatasync(&file)?;
        took.push(before.elapsed());
        at += 4096;
    }
    std::fs::remove_file(path)?;
    Ok(took)
}

fn work(dir: &Path, run: Duration, len: usize, in_flight: usize) -> Result<()> {
    let dir = dir.join("wal");
    std::fs::create_dir_all(&dir)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir)?);
    format(&*disk, ID)?;
    let syncs = Arc::new(Syncs::default());
    let woken = Arc::new((Mutex::new(false), Condvar::new()));
    let mut options = Options::new(ID);
    options.observer = syncs.clone();
    let wake = woken.clone();
    options.notify = Box::new(move || {
        *wake.0.lock().expect("nobody panics") = true;
        wake.1.notify_one();
    });
    let (wal, _) = Wal::open(disk, options)?;
    let payload = Bytes::from(vec![7; len]);
    let mut open = VecDeque::new();
    let mut took = Vec::new();
    let mut retired = wal.tail().seq();
    let count = |s: &Syncs| {
        (
            s.count.load(Ordering::Relaxed),
            s.frames.load(Ordering::Relaxed),
        )
    };
    // Warm: the first spares are made meanwhile.
    std::thread::sleep(Duration::from_millis(150));
    let (syncs_before, frames_before) = count(&syncs);
    let started = Instant::now();
    let mut ended = false;
    while !ended || !open.is_empty() {
        ended |= started.elapsed() >= run;
        let mut any = false;
        while !ended && open.len() < in_flight {
            let lsn = wal.enqueue(FrameMeta::data(0, 0, 0), std::slice::from_ref(&payload))?;
            open.push_back((lsn, Instant::now()));
            any = true;
        }
        if any {
            wal.flush();
        }
        {
            let mut flag = woken.0.lock().expect("nobody panics");
            while !*flag {
                flag = woken.1.wait(flag).expect("nobody panics");
            }
            *flag = false;
        }
        let durable = wal.durable();
        while open.front().is_some_and(|(lsn, _)| *lsn < durable) {
            let (_, at) = open.pop_front().expect("it is there");
            took.push(at.elapsed());
        }
        // Keep the directory small; a few hundred MB of pages are enough to measure.
        if durable.seq() >= retired + 4 {
            wal.retire_below(durable.seq() - 1)?;
            retired = durable.seq() - 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let (syncs_after, frames_after) = count(&syncs);
    let n = took.len();
    let s = (syncs_after - syncs_before) as f64;
    println!(
        "{len:>8} {in_flight:>9} {:>10.0} {} {:>9.0} {:>8.1} {:>9.1}",
        n as f64 / seconds,
        percentiles(&mut took),
        s / seconds,
        (frames_after - frames_before) as f64 / s,
        (n * len) as f64 / seconds / 1e6,
    );
    wal.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

fn percentiles(took: &mut [Duration]) -> String {
    took.sort();
    let at = |p: f64| took[((took.len() - 1) as f64 * p) as usize].as_secs_f64() * 1e6;
    format!("{:>9.0} {:>9.0} {:>9.0}", at(0.5), at(0.99), at(1.0))
}
