//! Bare writes and syncs: small ones, alone and three at once, and large ones.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::cost::{Cost, Meter};
use crate::bench::append::filler;
use crate::failure::Failure;

/// As in a write-ahead log: allocated once, written from front to back, again from the front when full.
const FILE_BYTES: u64 = 16 << 20;
pub(super) const WRITERS: usize = 3;
/// How often one writer, three and the large writes take turns.
const TURNS: u32 = 8;
/// What one sync carries when bytes count, not time: as much as a value, so that the sync itself costs next to nothing a byte.
const BULK_BYTES: usize = 1 << 20;

/// What was measured of the disk.
pub(super) struct Syncs {
    pub(super) lone: Rounds<1>,
    pub(super) three: Rounds<WRITERS>,
    /// One writer of large writes, a sync behind each.
    pub(super) bulk: Cost,
}

pub(super) type Rounds<const N: usize> = Vec<[Duration; N]>;

/// One writer, three at once and large writes, in turns, so that all see the same disk and the same neighbours. Each gets
/// `part` of the time. Blocks.
pub(super) fn measure(dir: &Path, bytes: usize, part: Duration) -> Result<Syncs, Failure> {
    let alone = [Scratch::make(dir, 0)?];
    let files = [
        Scratch::make(dir, 1)?,
        Scratch::make(dir, 2)?,
        Scratch::make(dir, 3)?,
    ];
    let mut done = Syncs {
        lone: Vec::new(),
        three: Vec::new(),
        bulk: Cost::default(),
    };
    for _ in 0..TURNS {
        done.lone.extend(syncs(dir, &alone, bytes, part / TURNS)?);
        done.three.extend(syncs(dir, &files, bytes, part / TURNS)?);
        done.bulk.add(bulk(dir, &alone[0], part / TURNS)?);
    }
    Ok(done)
}

/// Large writes one behind the other, with a sync behind each.
fn bulk(dir: &Path, scratch: &Scratch, time: Duration) -> Result<Cost, Failure> {
    let data = filler(BULK_BYTES);
    let (meter, until) = (Meter::start(), Instant::now() + time);
    let mut written = 0;
    // At least one, however slow the disk is.
    while written == 0 || Instant::now() < until {
        scratch
            .file
            .write_all_at(&data, written % FILE_BYTES)
            .and_then(|()| scratch.file.sync_data())
            .map_err(|error| cannot_write(dir, &error))?;
        written += BULK_BYTES as u64;
    }
    Ok(meter.stop(written))
}

/// Rounds of `N` writes and syncs that begin at once, each of a file of its own.
fn syncs<const N: usize>(
    dir: &Path,
    files: &[Scratch; N],
    bytes: usize,
    time: Duration,
) -> Result<Rounds<N>, Failure> {
    let barrier = Barrier::new(N);
    // One thread decides between two barriers, so that all end after the same round.
    let (stop, failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let until = Instant::now() + time;
    let columns: Vec<io::Result<Vec<Duration>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = files
            .iter()
            .map(|scratch| {
                scope.spawn(|| {
                    let data = filler(bytes);
                    let (mut latencies, mut at, mut error) = (Vec::new(), 0, None);
                    loop {
                        if barrier.wait().is_leader() {
                            stop.store(Instant::now() >= until || failed.load(SeqCst), SeqCst);
                        }
                        barrier.wait();
                        if stop.load(SeqCst) {
                            return error.map_or(Ok(latencies), Err);
                        }
                        let begin = Instant::now();
                        if let Err(why) = scratch
                            .file
                            .write_all_at(&data, at)
                            .and_then(|()| scratch.file.sync_data())
                        {
                            error = Some(why);
                            failed.store(true, SeqCst);
                        }
                        latencies.push(begin.elapsed());
                        at = (at + bytes as u64) % (FILE_BYTES - bytes as u64);
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a writer does not panic"))
            .collect()
    });
    let columns: Vec<Vec<Duration>> = columns
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(|error| cannot_write(dir, &error))?;
    let rounds = columns.iter().map(Vec::len).min().unwrap_or(0);
    Ok((0..rounds)
        .map(|round| std::array::from_fn(|writer| columns[writer][round]))
        .collect())
}

fn cannot_write(dir: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot write in {}: {error}", dir.display()))
        .hint("name a directory with --dir")
}

/// A file whose blocks are there before they are measured. It has no name, so that nothing is left however this ends.
struct Scratch {
    file: File,
}

impl Scratch {
    fn make(dir: &Path, number: usize) -> Result<Scratch, Failure> {
        let path = dir.join(format!(".paxlog-floor-{}-{number}", std::process::id()));
        let write = || {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&path)?;
            std::fs::remove_file(&path)?;
            let zeros = vec![0; 1 << 20];
            for at in (0..FILE_BYTES).step_by(zeros.len()) {
                file.write_all_at(&zeros, at)?;
            }
            file.sync_all()?;
            Ok(file)
        };
        match write() {
            Ok(file) => Ok(Scratch { file }),
            Err(error) => Err(cannot_write(dir, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_whole_and_leave_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let done = measure(dir.path(), 1024, Duration::from_millis(50)).unwrap();
        assert!(!done.lone.is_empty() && !done.three.is_empty());
        assert!(done.bulk.bytes >= u64::from(TURNS) * BULK_BYTES as u64);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(measure(Path::new("/nowhere"), 1, Duration::ZERO).is_err());
    }
}
