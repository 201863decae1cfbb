//! A disk that fails, fills up, hangs or loses files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{AppendError, Driver, FrameMeta, Health, Lsn, Recovered, Wal};

use super::model::{Model, formatted, open, options};

const SEGMENT: u64 = 32 << 10;

fn append(wal: &Wal, len: usize) -> Lsn {
    wal.append(FrameMeta::data(1, 2, 3), &[Bytes::from(vec![7; len])])
        .unwrap()
}

/// A log of several segments, all durable and covered.
fn built(disk: &SimDisk) -> (Wal, Model) {
    let (wal, _) = open(disk, SEGMENT).unwrap();
    let mut model = Model::default();
    let mut rng = Rng::new(5);
    while wal.tail().seq() < 5 || wal.tail().offset() < 16_000 {
        model.append(&wal, 1_000, &mut rng);
        wal.drive();
    }
    wal.mark();
    wal.drive();
    model.note_durable(&wal);
    (wal, model)
}

fn reopened(disk: &SimDisk) -> (Wal, Recovered) {
    open(disk, SEGMENT).unwrap()
}

#[test]
fn a_failed_sync_is_final_and_never_believed() {
    let disk = formatted(1);
    let (wal, mut model) = built(&disk);
    let durable = wal.durable();
    let mut rng = Rng::new(9);
    for _ in 0..10 {
        model.append(&wal, 500, &mut rng);
    }
    disk.fail_sync(0);
    wal.drive();
    assert!(matches!(wal.health(), Health::Failed(_)));
    assert_eq!(wal.durable(), durable);
    let refused = wal.append(FrameMeta::data(0, 0, 0), &[]);
    assert!(matches!(refused, Err(AppendError::Failed(_))));
    assert!(wal.state(Bytes::new()).is_err() && wal.retire_below(2).is_err() && !wal.mark());
    assert!(!wal.drive(), "nothing is tried again");
    let frame = model.frames.iter().rfind(|f| f.lsn < durable).unwrap();
    assert_eq!(
        wal.read(frame.lsn).unwrap(),
        frame.bytes,
        "what was durable can be read"
    );
    assert!(wal.wait_durable(model.frames.last().unwrap().lsn).is_err());
    assert!(wal.close().is_err());
    // The cache shows the new bytes still; the disk has some of them.
    let (wal, recovered) = reopened(&disk.process_crash(3));
    model.check_honest(&wal, &recovered);
}

#[test]
fn a_read_only_disk_fails_the_log() {
    let disk = formatted(1);
    let (wal, _) = built(&disk);
    disk.set_read_only(true);
    append(&wal, 10);
    wal.drive();
    assert!(matches!(wal.health(), Health::Failed(_)));
}

#[test]
fn a_full_disk_is_told_and_heals_by_retirement() {
    let disk = formatted(1);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    wal.drive();
    disk.set_capacity(Some(6 * SEGMENT));
    let mut appends = 0;
    while wal.health() == Health::Well {
        append(&wal, 3_000);
        wal.drive();
        appends += 1;
        assert!(appends < 1000);
    }
    assert_eq!(wal.health(), Health::DiskFull);
    assert_eq!(
        wal.durable(),
        wal.tail(),
        "it is told while there is room for what frees some"
    );
    assert_eq!(
        wal.retire_below(wal.tail().seq()).unwrap() as u64,
        wal.tail().seq() - 1
    );
    wal.drive();
    assert_eq!(wal.health(), Health::Well);
    for _ in 0..20 {
        append(&wal, 3_000);
        wal.drive();
    }
    assert_eq!(wal.durable(), wal.tail());
}

#[test]
fn appends_beyond_a_full_disk_wait_and_then_go_on() {
    let disk = formatted(1);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    wal.drive();
    disk.set_capacity(Some(4 * SEGMENT));
    let last = (0..100).map(|_| append(&wal, 3_000)).max().unwrap();
    wal.drive();
    assert!(wal.durable() <= last);
    assert_eq!(wal.health(), Health::DiskFull);
    disk.set_capacity(None);
    wal.drive();
    assert!(wal.durable() > last);
    assert_eq!(wal.health(), Health::Well);
}

#[test]
fn a_hanging_disk_is_stalled_and_recovers() {
    let disk = formatted(1);
    let mut options = options(SEGMENT);
    options.driver = Driver::Threads;
    options.sync_stalled = Duration::from_millis(20);
    let (wal, _) = Wal::open(Arc::new(disk.clone()), options).unwrap();
    wal.wait_durable(Lsn(wal.tail().0 - 1)).unwrap();
    disk.hold_syncs(true);
    let lsn = append(&wal, 10);
    let deadline = Instant::now() + Duration::from_secs(10);
    let until = |health: Health| {
        while wal.health() != health {
            assert!(Instant::now() < deadline, "{health:?} never came");
            std::thread::yield_now();
        }
    };
    until(Health::Stalled);
    // Appends go on being taken, and copied while the sync hangs.
    let next = append(&wal, 10);
    while wal.written() <= next {
        assert!(
            Instant::now() < deadline,
            "copying goes on while a sync runs"
        );
        std::thread::yield_now();
    }
    assert!(wal.durable() <= lsn);
    disk.hold_syncs(false);
    wal.wait_durable(next).unwrap();
    until(Health::Well);
    wal.close().unwrap();
}

#[test]
fn a_disk_that_dies_while_the_log_is_idle_is_noticed() {
    let disk = formatted(1);
    let mut options = options(SEGMENT);
    options.driver = Driver::Threads;
    options.canary_every = Some(Duration::from_millis(5));
    let (wal, _) = Wal::open(Arc::new(disk.clone()), options).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !disk.names().contains(&"canary".to_owned()) {
        assert!(Instant::now() < deadline, "the canary never sang");
        std::thread::yield_now();
    }
    assert_eq!(wal.health(), Health::Well);
    disk.fail_sync(0);
    while !matches!(wal.health(), Health::Failed(_)) {
        assert!(Instant::now() < deadline, "nobody noticed");
        std::thread::yield_now();
    }
}

#[test]
fn an_unreadable_block_is_damage_where_it_was_synced() {
    let disk = formatted(1);
    let (wal, model) = built(&disk);
    drop(wal);
    let disk = disk.power_cut(1);
    let frame = model
        .frames
        .iter()
        .rfind(|f| f.lsn.seq() == 5)
        .unwrap()
        .clone();
    let name = format!("{:016x}.seg", frame.lsn.seq());
    let block = frame.lsn.offset() / 4096 * 4096;
    disk.fail_reads(&name, block..block + 4096);
    let (_wal, recovered) = reopened(&disk);
    assert!(
        super::model::covered(&recovered.damaged, frame.lsn),
        "{recovered:?}"
    );
    assert_eq!(recovered.cut, None);
}

/// A segment that was sealed by an opening has an INDEX that can name nothing in the hole but says that there is one: it
/// counts also where the segment is read as a whole, since its header is damaged later.
#[test]
fn a_hole_that_an_opening_sealed_stays_damage() {
    let disk = formatted(1);
    let (wal, model) = built(&disk);
    drop(wal);
    let disk = disk.power_cut(1);
    let name = format!("{:016x}.seg", 5);
    disk.replace(&name, 8192, &[0; 512]);
    let (wal, recovered) = reopened(&disk);
    let told = |recovered: &Recovered| {
        let lost = model.frames.iter().map(|frame| frame.lsn);
        lost.filter(|lsn| super::model::covered(&recovered.damaged, *lsn))
            .collect::<Vec<_>>()
    };
    let lost = told(&recovered);
    assert!(!lost.is_empty(), "{recovered:?}");
    drop(wal);
    let disk = disk.power_cut(2);
    disk.flip(&name, 8, 1);
    for _ in 0..2 {
        let (wal, recovered) = reopened(&disk);
        assert_eq!(told(&recovered), lost, "{recovered:?}");
        wal.close().unwrap();
    }
}

#[test]
fn a_missing_segment_is_damage_and_stays_so() {
    let disk = formatted(1);
    let (wal, model) = built(&disk);
    drop(wal);
    let disk = disk.power_cut(1);
    paxlog_wal::Disk::remove(&disk, &format!("{:016x}.seg", 3)).unwrap();
    paxlog_wal::Disk::sync_dir(&disk).unwrap();
    for _ in 0..3 {
        let (wal, recovered) = reopened(&disk);
        assert_eq!(recovered.damaged.len(), 1, "{recovered:?}");
        assert_eq!(
            (recovered.damaged[0].lsn, recovered.damaged[0].len),
            (Lsn::at(3, 0), None)
        );
        assert!(!recovered.end_lost);
        let found = model.found(&wal, &recovered, &|lsn| panic!("{lsn}"));
        assert_eq!(
            found.len(),
            model.frames.iter().filter(|f| f.lsn.seq() != 3).count()
        );
        wal.close().unwrap();
    }
}

#[test]
fn a_missing_end_is_told_for_ever() {
    let disk = formatted(1);
    let (wal, model) = built(&disk);
    drop(wal);
    let disk = disk.power_cut(1);
    for name in disk
        .names()
        .into_iter()
        .filter(|n| n.as_str() >= "0000000000000005.seg" && n.ends_with(".seg"))
    {
        paxlog_wal::Disk::remove(&disk, &name).unwrap();
    }
    paxlog_wal::Disk::sync_dir(&disk).unwrap();
    for round in 0..3 {
        let (wal, recovered) = reopened(&disk);
        assert!(recovered.promise_may_be_lost, "{recovered:?}");
        assert!(round > 0 || recovered.end_lost);
        let found = model.found(&wal, &recovered, &|lsn| panic!("{lsn}"));
        assert_eq!(
            found.len(),
            model.frames.iter().filter(|f| f.lsn.seq() < 5).count()
        );
        wal.close().unwrap();
    }
}

#[test]
fn a_ruined_promise_is_told() {
    let disk = formatted(1);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    let second = wal.state(Bytes::from_static(b"promise")).unwrap();
    wal.drive();
    wal.mark();
    wal.drive();
    drop(wal);
    let name = format!("{:016x}.seg", second.seq());
    let content = disk.content(&name).unwrap();
    let copies: Vec<u64> = content
        .windows(7)
        .enumerate()
        .filter(|(_, w)| *w == b"promise")
        .map(|(i, _)| i as u64)
        .collect();
    assert_eq!(copies.len(), 2);
    assert_ne!(
        copies[0] / 4096,
        copies[1] / 4096,
        "the copies stand in different blocks"
    );
    for at in &copies {
        disk.flip(&name, *at, 1);
    }
    let (_wal, recovered) = reopened(&disk.power_cut(1));
    assert!(recovered.promise_may_be_lost, "{recovered:?}");
}

#[test]
fn a_damaged_checkpoint_or_annotation_is_an_error_of_its_own() {
    let disk = formatted(1);
    let (wal, _) = built(&disk);
    wal.put_checkpoint(1, &[Bytes::from_static(b"all of it")])
        .unwrap();
    wal.annotate(2, b"some").unwrap();
    disk.flip("ckpt-0000000000000001", 70, 1);
    disk.flip("0000000000000002.idx", 3, 1);
    assert!(wal.read_checkpoint(1).is_err());
    assert!(wal.annotation(2).is_err());
    assert!(wal.annotation(3).unwrap().is_none());
    let report = paxlog_wal::dump_disk(&disk, false).unwrap().report;
    assert_eq!(report.side_files_damaged.len(), 2);
}

#[test]
fn any_bytes_as_a_segment_are_survived() {
    let mut rng = Rng::new(11);
    for case in 0..500 {
        let disk = formatted(case);
        let (wal, _) = built(&disk);
        drop(wal);
        let disk = disk.power_cut(case);
        let seq = 1 + rng.below(6);
        let name = format!("{seq:016x}.seg");
        let mut content = disk
            .content(&name)
            .unwrap_or_else(|| vec![0; SEGMENT as usize]);
        let start = rng.below(content.len() as u64) as usize;
        let end = start + rng.below((content.len() - start) as u64 + 1) as usize;
        content[start..end]
            .iter_mut()
            .for_each(|b| *b = rng.next_u64() as u8);
        if rng.chance(10) {
            content.truncate(rng.below(content.len() as u64) as usize);
        }
        disk.put(&name, &content);
        if let Ok((wal, _)) = open(&disk, SEGMENT) {
            append(&wal, 100);
            wal.drive();
        }
        if let Err(e) = open(&disk, SEGMENT) {
            panic!("case {case}: {e} {name} {start}..{end}");
        }
    }
}
