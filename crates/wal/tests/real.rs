//! The log on a directory of the operating system, with its threads.

use std::io::{self, BufRead, BufReader, IoSlice, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use paxlog_wal::{
    DirLock, Disk, DiskFile, FormatError, FrameMeta, Health, Identity, Kind, Lsn, OpenError,
    Options, ReadError, RealDisk, Recovered, Verdict, Wal, dump, format, identify, verify,
};

const ID: Identity = Identity {
    cluster: 1,
    replica: 2,
    wal_id: 3,
};

fn options(segment_bytes: u64) -> Options {
    let mut options = Options::new(ID);
    options.segment_bytes = segment_bytes;
    options
}

fn disk(dir: &tempfile::TempDir) -> Arc<dyn Disk> {
    Arc::new(RealDisk::new(dir.path()).unwrap())
}

fn formatted() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(&dir);
    format(&*disk, ID).unwrap();
    (dir, disk)
}

fn payload(i: u64) -> Bytes {
    let len = [0, 1, 63, 64, 65, 500, 4096, 70_000][i as usize % 8];
    Bytes::from((0..len).map(|j| (i * 31 + j) as u8).collect::<Vec<_>>())
}

fn data(recovered: &Recovered) -> Vec<(Lsn, u64)> {
    let mut all = Vec::new();
    for segment in &recovered.segments {
        for frame in recovered
            .frames(segment.seq)
            .unwrap()
            .iter()
            .filter(|f| f.kind == Kind::Data)
        {
            all.push((frame.lsn, frame.tag));
        }
    }
    all
}

fn check(wal: &Wal, recovered: &Recovered, lsns: &[Lsn]) {
    assert_eq!(recovered.damaged, []);
    assert_eq!(recovered.blemishes, []);
    assert!(!recovered.end_lost && !recovered.promise_may_be_lost);
    let found = data(recovered);
    let expected: Vec<_> = lsns
        .iter()
        .enumerate()
        .map(|(i, lsn)| (*lsn, i as u64))
        .collect();
    assert_eq!(found, expected);
    for (lsn, tag) in found {
        let (meta, bytes) = wal.read_cold(lsn).unwrap();
        assert_eq!(
            (meta, bytes),
            (FrameMeta::data(7, tag, tag * 2), payload(tag))
        );
    }
}

#[test]
fn what_was_appended_is_there_after_close_and_after_a_drop() {
    let (_dir, disk) = formatted();
    let mut lsns = Vec::new();
    for round in 0..4 {
        let (wal, recovered) = Wal::open(disk.clone(), options(1 << 20)).unwrap();
        assert_eq!(recovered.blank, round == 0);
        check(&wal, &recovered, &lsns);
        assert_eq!(recovered.cut, None);
        for _ in 0..100 {
            let tag = lsns.len() as u64;
            let p = payload(tag);
            let half = p.len() / 2;
            let lsn = wal
                .append(
                    FrameMeta::data(7, tag, tag * 2),
                    &[p.slice(..half), p.slice(half..)],
                )
                .unwrap();
            lsns.push(lsn);
        }
        let last = *lsns.last().unwrap();
        wal.wait_durable(last).unwrap();
        assert!(wal.durable() > last && wal.written() >= wal.durable());
        let hot = wal.read(last).unwrap();
        assert_eq!(hot, payload(lsns.len() as u64 - 1));
        if round % 2 == 0 {
            drop(hot);
            wal.close().unwrap();
        }
    }
}

#[test]
fn the_state_survives_and_is_repeated() {
    let (_dir, disk) = formatted();
    let (wal, recovered) = Wal::open(disk.clone(), options(1 << 16)).unwrap();
    assert_eq!(recovered.state, None);
    for i in 0..10u8 {
        let lsn = wal.state(Bytes::from(vec![i; 100])).unwrap();
        wal.wait_durable(lsn).unwrap();
    }
    for i in 0..20 {
        wal.append(FrameMeta::data(0, i, 0), &[Bytes::from(vec![1; 20_000])])
            .unwrap();
    }
    wal.close().unwrap();
    let (wal, recovered) = Wal::open(disk, options(1 << 16)).unwrap();
    assert_eq!(recovered.state, Some(Bytes::from(vec![9; 100])));
    assert!(!recovered.blank);
    let newest = recovered.segments.iter().rev().nth(1).unwrap().seq;
    let states = recovered
        .frames(newest)
        .unwrap()
        .iter()
        .filter(|f| f.kind == Kind::State)
        .count();
    assert_eq!(states, 2, "each segment begins with the state, twice");
    drop(wal);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (dir, disk) = formatted();
    let (wal, _) = Wal::open(disk.clone(), options(1 << 20)).unwrap();
    let other: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).unwrap());
    assert!(matches!(
        Wal::open(other.clone(), options(1 << 20)),
        Err(OpenError::InUse)
    ));
    wal.close().unwrap();
    Wal::open(other, options(1 << 20)).unwrap();
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk(&dir);
    assert!(matches!(
        Wal::open(disk.clone(), options(1 << 20)),
        Err(OpenError::NotFormatted)
    ));
    assert_eq!(identify(&*disk).unwrap(), None);
    format(&*disk, ID).unwrap();
    assert!(matches!(
        format(&*disk, ID),
        Err(FormatError::AlreadyFormatted)
    ));
    assert_eq!(identify(&*disk).unwrap(), Some(ID));
    let mut other = options(1 << 20);
    other.identity.cluster = 9;
    assert!(matches!(
        Wal::open(disk.clone(), other),
        Err(OpenError::Foreign { .. })
    ));
    assert!(!dir.path().join("0000000000000001.seg").exists());
    // A segment of another log.
    Wal::open(disk.clone(), options(1 << 20))
        .unwrap()
        .0
        .close()
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let there: Arc<dyn Disk> = Arc::new(RealDisk::new(elsewhere.path()).unwrap());
    let mut foreign = options(1 << 20);
    foreign.identity.wal_id = 4;
    format(&*there, foreign.identity).unwrap();
    std::fs::copy(
        dir.path().join("0000000000000001.seg"),
        elsewhere.path().join("0000000000000001.seg"),
    )
    .unwrap();
    assert!(matches!(
        Wal::open(there, foreign),
        Err(OpenError::ForeignFile { .. })
    ));
}

#[test]
fn a_reader_keeps_its_bytes_through_retirement_and_close() {
    let (dir, disk) = formatted();
    let (wal, _) = Wal::open(disk.clone(), options(1 << 20)).unwrap();
    let held = Bytes::from(vec![0xab; 100_000]);
    let lsn = wal
        .append(FrameMeta::data(1, 1, 1), std::slice::from_ref(&held))
        .unwrap();
    wal.wait_durable(lsn).unwrap();
    let read = wal.read(lsn).unwrap();
    let mut last = lsn;
    while last.seq() < lsn.seq() + 4 {
        last = wal
            .append(FrameMeta::data(1, 1, 1), std::slice::from_ref(&held))
            .unwrap();
    }
    wal.wait_durable(last).unwrap();
    assert!(!wal.is_hot(lsn) && wal.is_hot(last));
    assert!(matches!(wal.read(lsn), Err(ReadError::NotHot(_))));
    assert_eq!(wal.read_cold(lsn).unwrap().1, held);
    wal.annotate(lsn.seq(), b"mine").unwrap();
    assert_eq!(wal.annotation(lsn.seq()).unwrap().unwrap(), &b"mine"[..]);
    assert_eq!(
        wal.retire_below(last.seq()).unwrap(),
        (last.seq() - lsn.seq()) as usize
    );
    assert!(!dir.path().join(format!("{:016x}.seg", lsn.seq())).exists());
    assert!(!dir.path().join(format!("{:016x}.idx", lsn.seq())).exists());
    assert!(matches!(wal.read_cold(lsn), Err(ReadError::NoSegment(_))));
    assert_eq!(read, held);
    wal.close().unwrap();
    assert_eq!(read, held);
    let (_wal, recovered) = Wal::open(disk, options(1 << 20)).unwrap();
    assert_eq!(recovered.damaged, []);
    assert_eq!(recovered.segments.first().unwrap().seq, last.seq());
}

#[test]
fn many_appends_share_a_sync_and_one_notification() {
    let (_dir, disk) = formatted();
    let notified = Arc::new(AtomicU64::new(0));
    let mut options = options(64 << 20);
    let n = notified.clone();
    options.notify = Box::new(move || {
        n.fetch_add(1, Ordering::Relaxed);
    });
    let (wal, _) = Wal::open(disk.clone(), options).unwrap();
    let p = Bytes::from(vec![5; 100]);
    let appends = 200_000;
    let mut last = Lsn::ZERO;
    for i in 0..appends {
        while wal.is_full() {
            std::thread::yield_now();
        }
        last = wal
            .append(FrameMeta::data(0, i, 0), std::slice::from_ref(&p))
            .unwrap();
    }
    wal.wait_durable(last).unwrap();
    assert!(notified.load(Ordering::Relaxed) < appends / 10);
    assert_eq!(wal.health(), Health::Well);
    wal.close().unwrap();
    let (_wal, recovered) = Wal::open(disk, Options::new(ID)).unwrap();
    assert_eq!(data(&recovered).len() as u64, appends);
}

#[test]
fn an_idle_log_covers_its_last_frames() {
    let (_dir, disk) = formatted();
    let (wal, _) = Wal::open(disk, options(1 << 20)).unwrap();
    let lsn = wal
        .append(FrameMeta::data(0, 0, 0), &[Bytes::from_static(b"x")])
        .unwrap();
    wal.wait_durable(lsn).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while wal.tail().offset() / 4096 == lsn.offset() / 4096 || wal.durable() < wal.tail() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let marked = wal.tail();
    assert_eq!(marked.offset() % 4096, 64, "the MARK begins a block");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(wal.tail(), marked, "one MARK is enough");
}

#[test]
fn checkpoints_are_kept_until_their_owner_removes_them() {
    let (_dir, disk) = formatted();
    let (wal, _) = Wal::open(disk, options(1 << 20)).unwrap();
    assert_eq!(wal.checkpoints().unwrap(), []);
    for n in [5u64, 7, 9] {
        wal.put_checkpoint(
            n,
            &[Bytes::from(vec![n as u8; 10]), Bytes::from_static(b"tail")],
        )
        .unwrap();
    }
    assert_eq!(wal.checkpoints().unwrap(), [5, 7, 9]);
    assert_eq!(wal.read_checkpoint(9).unwrap().unwrap().len(), 14);
    wal.remove_checkpoint(5).unwrap();
    assert_eq!(wal.read_checkpoint(5).unwrap(), None);
    wal.remove_checkpoint(7).unwrap();
    assert_eq!(wal.checkpoints().unwrap(), [9]);
}

#[test]
fn ranges_and_heads_are_read_cold() {
    let (_dir, disk) = formatted();
    let (wal, _) = Wal::open(disk, options(1 << 20)).unwrap();
    let lsns: Vec<_> = (0..50)
        .map(|i| {
            wal.append(FrameMeta::data(0, i, 0), &[payload(i * 8 + 5)])
                .unwrap()
        })
        .collect();
    wal.wait_durable(lsns[49]).unwrap();
    let frames = wal.read_range_cold(lsns[10], 10_000).unwrap();
    assert!(frames.len() >= 10 && frames.len() < 40, "{}", frames.len());
    for (i, (info, bytes)) in frames.iter().enumerate() {
        assert_eq!((info.lsn, info.tag), (lsns[10 + i], 10 + i as u64));
        assert_eq!(*bytes, payload((10 + i as u64) * 8 + 5));
    }
    let (meta, head) = wal.read_head(lsns[3], 16).unwrap();
    assert_eq!((meta.tag, head), (3, payload(29).slice(..16)));
    assert!(matches!(
        wal.read_cold(wal.tail()),
        Err(ReadError::NotFound(_))
    ));
    assert!(wal.read_cold(Lsn(lsns[3].0 + 64)).is_err());
}

/// A real directory whose syncs can be made to fail.
struct Failing {
    disk: RealDisk,
    fail: Arc<AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn DiskFile>,
    fail: Arc<AtomicBool>,
}

impl Failing {
    fn wrap(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FailingFile {
            file,
            fail: self.fail.clone(),
        })
    }
}

impl Disk for Failing {
    fn lock(&self) -> io::Result<Box<dyn DirLock>> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(name, bytes).map(|f| self.wrap(f))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(name).map(|f| self.wrap(f))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }
}

impl DiskFile for FailingFile {
    fn bytes(&self) -> u64 {
        self.file.bytes()
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        self.file.write_at(offset, parts)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn sync(&self) -> io::Result<()> {
        if self.fail.load(Ordering::Relaxed) {
            return Err(io::Error::other("the device is gone"));
        }
        self.file.sync()
    }

    fn drop_cache(&self) {
        self.file.drop_cache();
    }

    fn map(&self) -> io::Result<()> {
        self.file.map()
    }

    fn view(&self, start: u64, end: u64) -> Option<Bytes> {
        self.file.view(start, end)
    }
}

#[test]
fn after_a_failed_sync_nobody_opens_the_directory_while_its_pages_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let fail = Arc::new(AtomicBool::new(false));
    let disk: Arc<dyn Disk> = Arc::new(Failing {
        disk: RealDisk::new(dir.path()).unwrap(),
        fail: fail.clone(),
    });
    format(&*disk, ID).unwrap();
    let (wal, _) = Wal::open(disk.clone(), options(1 << 20)).unwrap();
    let good = wal.append(FrameMeta::data(0, 0, 0), &[payload(5)]).unwrap();
    wal.wait_durable(good).unwrap();
    let held = wal.read(good).unwrap();
    fail.store(true, Ordering::Relaxed);
    let bad = wal.append(FrameMeta::data(0, 1, 0), &[payload(5)]).unwrap();
    wal.wait_durable(bad).unwrap_err();
    assert!(matches!(wal.health(), Health::Failed(_)));
    assert!(wal.durable() <= bad);
    assert!(wal.append(FrameMeta::data(0, 2, 0), &[]).is_err());
    assert_eq!(wal.read(good).unwrap(), payload(5));
    wal.close().unwrap_err();
    fail.store(false, Ordering::Relaxed);
    assert!(matches!(
        Wal::open(disk.clone(), options(1 << 20)),
        Err(OpenError::InUse)
    ));
    assert_eq!(held, payload(5));
    drop(held);
    let (_wal, recovered) = Wal::open(disk, options(1 << 20)).unwrap();
    assert!(data(&recovered).iter().any(|(lsn, _)| *lsn == good));
}

/// The child's part of the next test: appends until it is killed, and prints what is durable.
#[test]
fn child_appends_until_it_is_killed() {
    let Some(dir) = std::env::var_os("PAXLOG_WAL_CHILD") else {
        return;
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir).unwrap());
    let (wal, recovered) = Wal::open(disk, options(1 << 20)).unwrap();
    let mut tag = data(&recovered).last().map_or(0, |(_, tag)| tag + 1);
    let mut out = io::stdout().lock();
    loop {
        let mut last = Lsn::ZERO;
        for _ in 0..1 + tag % 7 {
            last = wal
                .append(FrameMeta::data(7, tag, tag * 2), &[payload(tag)])
                .unwrap();
            tag += 1;
        }
        wal.wait_durable(last).unwrap();
        writeln!(out, "durable {tag}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_a_killed_process_called_durable_is_there() {
    let (dir, disk) = formatted();
    let mut acknowledged = 0;
    for round in 0..5u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_appends_until_it_is_killed", "--nocapture"])
            .env("PAXLOG_WAL_CHILD", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines {
            if let Some(tag) = line.unwrap().strip_prefix("durable ") {
                acknowledged = tag.parse().unwrap();
                seen += 1;
                if seen == 10 + round * 13 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(seen >= 10, "the child worked");
        let (wal, recovered) = Wal::open(disk.clone(), options(1 << 20)).unwrap();
        let found = data(&recovered);
        assert!(
            found.len() as u64 >= acknowledged,
            "{} of {acknowledged}",
            found.len()
        );
        let lsns: Vec<Lsn> = found.iter().map(|(lsn, _)| *lsn).collect();
        check(&wal, &recovered, &lsns);
        wal.close().unwrap();
        assert_eq!(verify(dir.path()).unwrap().verdict, Verdict::Clean);
    }
}

/// Runs one test of this file in a process of its own, in `dir`; the signal that ended it, and what it
/// wrote to stderr.
fn end_of_child(test: &str, dir: &std::path::Path) -> (Option<i32>, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("PAXLOG_WAL_CHILD", dir)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.signal(), stderr)
}

#[test]
fn child_reads_a_file_that_is_cut_short_under_it() {
    let Some(dir) = std::env::var_os("PAXLOG_WAL_CHILD") else {
        return;
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir).unwrap());
    let (wal, _) = Wal::open(disk, options(1 << 20)).unwrap();
    let lsn = wal.append(FrameMeta::data(7, 0, 0), &[payload(7)]).unwrap();
    wal.wait_durable(lsn).unwrap();
    let bytes = wal.read(lsn).unwrap();
    let path = std::path::Path::new(&dir).join(format!("{:016x}.seg", lsn.seq()));
    std::fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(4096)
        .unwrap();
    // Goes on only if bytes were invented.
    assert_eq!(bytes, payload(7));
}

#[test]
fn nobody_goes_on_with_bytes_of_a_file_that_is_gone() {
    const SIGABRT: i32 = 6;
    let (dir, _disk) = formatted();
    let (signal, stderr) =
        end_of_child("child_reads_a_file_that_is_cut_short_under_it", dir.path());
    assert_eq!(signal, Some(SIGABRT), "{stderr}");
    let said = "paxlog: 0000000000000001.seg can't be read at byte ";
    assert!(stderr.contains(said), "{stderr}");
}

#[test]
fn child_waits_for_a_disk_that_hangs() {
    if std::env::var_os("PAXLOG_WAL_CHILD").is_none() {
        return;
    }
    let disk = paxlog_wal::sim::SimDisk::new(0);
    format(&disk, ID).unwrap();
    let mut options = options(1 << 16);
    options.sync_stalled = Duration::from_millis(20);
    options.sync_abort = Some(Duration::from_millis(100));
    let (wal, _) = Wal::open(Arc::new(disk.clone()), options).unwrap();
    wal.wait_durable(Lsn(wal.tail().0 - 1)).unwrap();
    disk.hold_syncs(true);
    let lsn = wal.append(FrameMeta::data(0, 0, 0), &[]).unwrap();
    let _ = wal.wait_durable(lsn);
}

#[test]
fn a_disk_that_hangs_for_too_long_ends_the_process() {
    const SIGABRT: i32 = 6;
    let (dir, _disk) = formatted();
    let (signal, _) = end_of_child("child_waits_for_a_disk_that_hangs", dir.path());
    assert_eq!(signal, Some(SIGABRT));
}

#[test]
fn looking_changes_nothing() {
    let (dir, disk) = formatted();
    let (wal, _) = Wal::open(disk, options(1 << 16)).unwrap();
    for i in 0..40 {
        wal.append(FrameMeta::data(7, i, 0), &[payload(i)]).ok();
    }
    wal.wait_durable(Lsn(wal.tail().0 - 1)).unwrap();
    assert!(verify(dir.path()).unwrap().in_use);
    wal.close().unwrap();
    let image = || {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| {
                let e = e.unwrap();
                let meta = e.metadata().unwrap();
                (
                    e.file_name(),
                    meta.modified().unwrap(),
                    std::fs::read(e.path()).unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let before = image();
    let dump = dump(dir.path()).unwrap();
    assert_eq!(dump.report.verdict, Verdict::Clean);
    assert!(!dump.report.in_use);
    assert!(dump.frames.iter().all(|f| f.payload_good));
    assert!(image() == before, "a look changes no file");
}
