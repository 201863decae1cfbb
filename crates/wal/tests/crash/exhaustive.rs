//! A small log, cut at every byte and flipped at every byte.

use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{Lsn, Verdict};

use super::model::{Model, covered, formatted, open};

const SEGMENT: u64 = 16 << 10;

/// A copy of a disk in which one file is changed.
fn with(disk: &SimDisk, name: &str, content: &[u8]) -> SimDisk {
    let copy = disk.process_crash(1);
    copy.put(name, content);
    copy
}

fn segments(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.names().into_iter().filter(|n| n.ends_with(".seg"));
    names
        .map(|n| (n.clone(), disk.content(&n).unwrap()))
        .collect()
}

fn found_in(model: &Model, disk: &SimDisk) -> (Vec<Lsn>, paxlog_wal::Recovered) {
    let (wal, recovered) = open(disk, SEGMENT).unwrap();
    let found = model.found(&wal, &recovered, &|lsn| {
        panic!("{lsn} is listed and cannot be read")
    });
    (found, recovered)
}

#[test]
fn cut_at_every_byte_gives_a_prefix() {
    let disk = formatted(1);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    let mut model = Model::default();
    let mut rng = Rng::new(1);
    // Written and never synced: no promise reaches into them.
    while wal.tail().seq() < 3 || wal.tail().offset() < 10_000 {
        model.append(&wal, 700, &mut rng);
        while wal.drive_write() | wal.drive_prepare() {}
    }
    drop(wal);
    let whole = found_in(&model, &disk.process_crash(0)).0;
    assert_eq!(whole.len(), model.frames.len());
    for (name, content) in segments(&disk) {
        let seq = u64::from_str_radix(&name[..16], 16).unwrap();
        let mut last = None;
        for at in (4096..content.len()).rev() {
            if content[at] == 0 && last.is_some() {
                // Cutting a zero changes nothing more than the cut behind it.
                continue;
            }
            last = Some(at);
            let mut torn = content.clone();
            torn[at..].fill(0);
            let (found, recovered) = found_in(&model, &with(&disk, &name, &torn));
            assert_eq!(found[..], whole[..found.len()], "a prefix");
            let end = |i: usize| model.frames[i].lsn.0 + 64 + 700u64.next_multiple_of(64);
            let before = (0..whole.len())
                .filter(|i| end(*i) <= Lsn::at(seq, at as u64).0)
                .count();
            assert!(
                found.len() >= before,
                "cut at {at} of {name}: {} of {before}",
                found.len()
            );
            assert_eq!(
                (&recovered.damaged[..], &recovered.blemishes[..]),
                (&[][..], &[][..])
            );
            assert!(!recovered.end_lost && !recovered.promise_may_be_lost);
        }
    }
}

#[test]
fn flipped_at_every_byte_is_seen_and_never_believed() {
    let disk = formatted(2);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    let mut model = Model::default();
    let mut rng = Rng::new(2);
    while wal.tail().seq() < 3 || wal.tail().offset() < 9_000 {
        model.append(&wal, 700, &mut rng);
        wal.drive();
    }
    // Two MARKs, so that whatever one flip hits, a promise above all of them is left.
    for _ in 0..2 {
        model.append(&wal, 10, &mut rng);
        wal.drive();
        wal.mark();
        wal.drive();
    }
    drop(wal);
    let (mut damaged, mut blemished, mut clean) = (0, 0, 0);
    for (name, content) in segments(&disk) {
        let seq = u64::from_str_radix(&name[..16], 16).unwrap();
        for at in 0..content.len() {
            let hit = Lsn::at(seq, at as u64);
            // Zeros behind the frames stand for nothing; a sample of them.
            if content[at] == 0 && at % 16 != 0 {
                continue;
            }
            let mut flipped = content.clone();
            flipped[at] ^= 1 << (at % 8);
            let image = with(&disk, &name, &flipped);
            let report = paxlog_wal::dump_disk(&image, false).unwrap().report;
            match report.verdict {
                Verdict::Clean => clean += 1,
                Verdict::Blemished => blemished += 1,
                Verdict::Damaged => damaged += 1,
            }
            let inside = model
                .frames
                .iter()
                .find(|f| f.lsn <= hit && hit.0 < f.lsn.0 + 64 + f.bytes.len() as u64);
            if let Some(frame) = inside {
                assert!(
                    covered(&report.damaged, frame.lsn),
                    "{at} of {name}: {report:?}"
                );
                assert_eq!(report.damaged.len(), 1, "{at} of {name}: {report:?}");
            } else {
                assert_eq!(report.damaged, [], "{at} of {name}");
            }
            let (wal, recovered) = open(&image, SEGMENT).unwrap();
            let is_hit = |lsn: Lsn| inside.is_some_and(|f| f.lsn == lsn);
            let found = model.found(&wal, &recovered, &|lsn| assert!(is_hit(lsn)));
            for frame in &model.frames {
                let told = covered(&recovered.damaged, frame.lsn);
                let there = found.binary_search(&frame.lsn).is_ok();
                assert!(
                    there || (told && is_hit(frame.lsn)),
                    "{at} of {name} took {}",
                    frame.lsn
                );
            }
            assert!(
                !recovered.end_lost && !recovered.promise_may_be_lost,
                "{at} of {name}: {recovered:?}"
            );
        }
    }
    assert!(
        damaged > 1000 && blemished > 100 && clean > 100,
        "{damaged} {blemished} {clean}"
    );
}

#[test]
fn an_opening_cut_short_at_every_call_cuts_at_the_same_place() {
    let disk = formatted(3);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    let mut model = Model::default();
    let mut rng = Rng::new(3);
    while wal.tail().seq() < 3 || wal.tail().offset() < 10_000 {
        model.append(&wal, 700, &mut rng);
        while wal.drive_write() | wal.drive_prepare() {}
    }
    drop(wal);
    // One frame of the first segment never reached the disk; all that follow did.
    let hole = model.frames.iter().rfind(|f| f.lsn.seq() == 1).unwrap().lsn;
    let name = "0000000000000001.seg";
    let mut torn = disk.content(name).unwrap();
    torn[hole.offset() as usize..][..64].fill(0);
    let disk = with(&disk, name, &torn);
    let expected: Vec<Lsn> = model
        .frames
        .iter()
        .map(|f| f.lsn)
        .take_while(|lsn| *lsn < hole)
        .collect();

    let mut deaths = 0;
    for first in 1..60 {
        for second in [1000, 1 + first % 13] {
            for seed in 0..6 {
                let mut image = disk.process_crash(seed);
                for calls in [first, second] {
                    image.die_in(Some(calls));
                    deaths += u64::from(open(&image, SEGMENT).is_err());
                    image = if seed % 3 == 0 {
                        image.process_crash(seed)
                    } else {
                        image.power_cut(seed + calls * 7)
                    };
                }
                for _ in 0..2 {
                    let (found, recovered) = found_in(&model, &image);
                    assert_eq!(
                        found, expected,
                        "died after {first} and {second}, seed {seed}"
                    );
                    assert_eq!(
                        (&recovered.damaged[..], &recovered.blemishes[..]),
                        (&[][..], &[][..])
                    );
                    assert!(!recovered.end_lost && !recovered.promise_may_be_lost);
                }
            }
        }
    }
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn frames_of_another_history_do_not_chain() {
    let start = formatted(4);
    let history = |seed: u64| {
        let disk = start.process_crash(0);
        let (wal, _) = open(&disk, SEGMENT).unwrap();
        let mut model = Model::default();
        let mut rng = Rng::new(seed);
        for _ in 0..8 {
            model.append(&wal, 500, &mut rng);
        }
        while wal.drive_write() {}
        drop(wal);
        (disk, model)
    };
    let (disk, model) = history(1);
    let (other, _) = history(2);
    let name = "0000000000000001.seg";
    let at = model.frames[4].lsn.offset() as usize;
    let mut mixed = disk.content(name).unwrap();
    mixed[at..].copy_from_slice(&other.content(name).unwrap()[at..]);
    // Each frame is whole and in its place; the fifth follows another fourth.
    let (found, recovered) = found_in(&model, &with(&disk, name, &mixed));
    assert_eq!(found.len(), 4);
    assert_eq!(recovered.cut, Some(model.frames[4].lsn));
}

#[test]
fn dropped_frames_do_not_rise_when_the_seal_is_damaged_later() {
    let disk = formatted(5);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    let mut model = Model::default();
    let mut rng = Rng::new(5);
    for _ in 0..8 {
        model.append(&wal, 700, &mut rng);
    }
    while wal.drive_write() {}
    drop(wal);
    let name = "0000000000000001.seg";
    let hole = model.frames[2].lsn;
    let mut torn = disk.content(name).unwrap();
    torn[hole.offset() as usize..][..64].fill(0);
    let disk = with(&disk, name, &torn);
    // Cuts at the hole, and goes on far enough for promises above the seal.
    let (wal, recovered) = open(&disk, SEGMENT).unwrap();
    assert_eq!(recovered.cut, Some(hole));
    model.frames.truncate(2);
    model.append(&wal, 10, &mut rng);
    wal.drive();
    wal.mark();
    wal.drive();
    drop(wal);
    disk.flip(name, hole.offset() + 5, 1);
    disk.flip(name, SEGMENT - 1, 1);
    let (_, recovered) = found_in(&model, &disk);
    assert!(!recovered.damaged.is_empty() || !recovered.blemishes.is_empty());
}
