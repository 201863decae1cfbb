//! Random histories and random crashes.

use bytes::Bytes;
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{Lsn, Wal};
use proptest::prelude::*;

use super::model::{Model, covered, formatted, open};

/// Does random things to a log, until the disk dies or enough was done.
fn live(wal: &Wal, model: &mut Model, rng: &mut Rng, steps: u64) {
    // Some stretches are never synced, so that what a crash cuts reaches over several segments.
    let lazy = rng.chance(25);
    for _ in 0..steps {
        match rng.below(20) {
            12..=14 | 16 | 18 if lazy => drop(wal.drive_write()),
            0..=7 => {
                let len = [0, 10, 64, 200, 1_000, 3_000][rng.below(6) as usize];
                model.append(wal, len, rng);
            }
            8 => {
                let len = rng.below(300) as usize;
                model.state(wal, len, rng);
            }
            9..=11 => drop(wal.drive_write()),
            12..=14 => drop(wal.drive_sync()),
            15 => drop(wal.drive_prepare()),
            16 => drop(wal.drive()),
            17 => drop(wal.mark()),
            18 => {
                let tail = wal.tail().seq();
                let below = tail.saturating_sub(rng.below(4));
                model.retire_asked = model.retire_asked.max(below);
                if rng.chance(30) && wal.retire_below(below).is_ok() {
                    model.retired = model.retired.max(below);
                    model.note_durable(wal);
                    let first = wal.segments().first().unwrap().seq;
                    assert!(first >= below);
                }
            }
            _ => {
                let seq = wal.tail().seq().saturating_sub(1 + rng.below(2));
                let _ = wal.annotate(seq, b"an index");
            }
        }
        model.note_durable(wal);
        if let Some(frame) = model
            .frames
            .get(rng.below(model.frames.len() as u64) as usize)
            && wal.is_hot(frame.lsn)
            && frame.lsn < wal.written()
            && frame.lsn.seq() >= model.retire_asked
        {
            assert_eq!(wal.read(frame.lsn).unwrap(), frame.bytes);
        }
    }
}

/// A disk that crashed: by power or by the end of the process.
fn crashed(disk: &SimDisk, rng: &mut Rng) -> SimDisk {
    if rng.chance(80) {
        disk.power_cut(rng.next_u64())
    } else {
        disk.process_crash(rng.next_u64())
    }
}

/// Opens a crashed disk, dying on the way a few times.
fn reopen(
    mut disk: SimDisk,
    segment_bytes: u64,
    rng: &mut Rng,
) -> (SimDisk, Wal, paxlog_wal::Recovered) {
    for _ in 0..rng.below(4) {
        disk.die_in(Some(1 + rng.below(30)));
        match open(&disk, segment_bytes) {
            Ok((wal, _)) => drop(wal),
            Err(paxlog_wal::OpenError::Io { .. }) => {}
            Err(e) => panic!("{e}"),
        }
        disk = crashed(&disk, rng);
    }
    let (wal, recovered) = open(&disk, segment_bytes).unwrap();
    (disk, wal, recovered)
}

fn history(seed: u64, rounds: u64) {
    let mut rng = Rng::new(seed);
    let segment_bytes = [32 << 10, 64 << 10][rng.below(2) as usize];
    let mut disk = formatted(seed);
    let (mut wal, _) = open(&disk, segment_bytes).unwrap();
    let mut model = Model::default();
    for _ in 0..rounds {
        if rng.chance(15) {
            disk.fail_sync(rng.below(30));
        }
        if rng.chance(70) {
            disk.die_in(Some(1 + rng.below(150)));
        }
        let steps = rng.below(120);
        live(&wal, &mut model, &mut rng, steps);
        if rng.chance(20) {
            let tail = wal.tail();
            if wal.close().is_ok() {
                model.durable = tail;
            }
        } else {
            drop(wal);
        }
        disk = crashed(&disk, &mut rng);
        let report = paxlog_wal::dump_disk(&disk, false).unwrap().report;
        // A failed sync leaves a cache that lies until an opening drops it.
        let honest = report.verdict == paxlog_wal::Verdict::Clean;
        assert!(honest, "an honest crash is called {report:?}");
        let recovered;
        (disk, wal, recovered) = reopen(disk, segment_bytes, &mut rng);
        model.check_honest(&wal, &recovered);
    }
}

/// A log all of whose frames are covered by a promise, crashed, then damaged: nothing covered may
/// vanish in silence, nothing wrong may come back.
fn flipped(seed: u64) {
    let mut rng = Rng::new(seed);
    let segment_bytes = 32 << 10;
    let disk = formatted(seed);
    let (wal, _) = open(&disk, segment_bytes).unwrap();
    let mut model = Model::default();
    let steps = 20 + rng.below(80);
    live(&wal, &mut model, &mut rng, steps);
    wal.drive();
    wal.mark();
    wal.drive();
    model.note_durable(&wal);
    let covered_to = model.durable;
    // And some that are not covered.
    let steps = rng.below(10);
    live(&wal, &mut model, &mut rng, steps);
    if rng.chance(50) {
        wal.drive();
    }
    drop(wal);
    let disk = disk.power_cut(rng.next_u64());
    let names: Vec<String> = disk
        .names()
        .into_iter()
        .filter(|n| n.ends_with(".seg"))
        .collect();
    let mut flips = Vec::new();
    for _ in 0..1 + rng.below(3) {
        let name = &names[rng.below(names.len() as u64) as usize];
        let content = disk.content(name).unwrap();
        // Where something is, mostly.
        let used = content.iter().rposition(|&b| b != 0).unwrap_or(0) as u64;
        let at = rng.below(used + 65).min(content.len() as u64 - 1);
        let mask = 1 << rng.below(8);
        disk.flip(name, at, mask);
        flips.push((u64::from_str_radix(&name[..16], 16).unwrap(), at));
    }
    let hit = |lsn: Lsn, len: usize| {
        let end = lsn.offset() + 64 + (len as u64).next_multiple_of(64);
        flips
            .iter()
            .any(|(seq, at)| *seq == lsn.seq() && *at >= lsn.offset() && *at < end)
    };
    let (wal, recovered) = open(&disk, segment_bytes).unwrap();
    let found = model.found(&wal, &recovered, &|lsn| {
        let frame = model.frames.iter().find(|f| f.lsn == lsn).unwrap();
        assert!(
            hit(lsn, frame.bytes.len()),
            "{lsn} is whole and not readable"
        );
    });
    // A MARK or STATE that is hit may have been what covered the last frames.
    let last_segment_hit = flips.iter().any(|(seq, _)| *seq >= covered_to.seq());
    for frame in model
        .frames
        .iter()
        .filter(|f| f.lsn.seq() >= model.retire_asked)
    {
        let there = found.binary_search(&frame.lsn).is_ok();
        let told = covered(&recovered.damaged, frame.lsn);
        if frame.lsn < covered_to && !(last_segment_hit && frame.lsn.seq() >= covered_to.seq()) {
            assert!(
                there || told || recovered.end_lost,
                "{} vanished: {recovered:?} {flips:?}",
                frame.lsn
            );
        }
    }
}

/// A single flip below the last promise is damage, never a cut; whatever it hits.
fn flipped_once_below(seed: u64) {
    let mut rng = Rng::new(seed);
    let segment_bytes = 32 << 10;
    let disk = formatted(seed);
    let (wal, _) = open(&disk, segment_bytes).unwrap();
    let mut model = Model::default();
    let steps = 20 + rng.below(60);
    live(&wal, &mut model, &mut rng, steps);
    wal.drive();
    // Two MARKs: one flip cannot take both.
    for _ in 0..2 {
        model.append(&wal, 5, &mut rng);
        wal.drive();
        wal.mark();
        wal.drive();
    }
    model.note_durable(&wal);
    let last = model.frames.last().unwrap().lsn;
    drop(wal);
    let target = &model.frames[rng.below(model.frames.len() as u64) as usize];
    if target.lsn.seq() < model.retire_asked || target.lsn == last {
        return;
    }
    let name = format!("{:016x}.seg", target.lsn.seq());
    let at = target.lsn.offset() + rng.below(64 + target.bytes.len() as u64);
    assert!(disk.flip(&name, at, 1 << rng.below(8)));
    let disk = disk.power_cut(rng.next_u64());
    let report = paxlog_wal::dump_disk(&disk, false).unwrap().report;
    assert_eq!(
        report.verdict,
        paxlog_wal::Verdict::Damaged,
        "a flip at {at:x} of {name} is seen"
    );
    assert!(covered(&report.damaged, target.lsn));
    assert_eq!(report.damaged.len(), 1);
    for round in 0..2 {
        let (wal, recovered) = open(&disk, segment_bytes).unwrap();
        let found = model.found(&wal, &recovered, &|lsn| assert_eq!(lsn, target.lsn));
        for frame in model
            .frames
            .iter()
            .filter(|f| f.lsn.seq() >= model.retire_asked)
        {
            let there = found.binary_search(&frame.lsn).is_ok();
            if frame.lsn == target.lsn {
                let scanned = recovered
                    .segments
                    .iter()
                    .any(|s| s.seq == frame.lsn.seq() && s.scanned);
                let told = covered(&recovered.damaged, frame.lsn);
                assert!(round > 0 || told == scanned, "{recovered:?}");
            } else {
                assert!(
                    there,
                    "{} was cut away by a flip at {at:x} of {name}: {recovered:?}",
                    frame.lsn
                );
            }
        }
        assert_eq!(recovered.cut, None);
    }
}

/// A state that was durable comes back, or its loss is told, whatever one flip hits.
fn state_survives_a_flip(seed: u64) {
    let mut rng = Rng::new(seed);
    let disk = formatted(seed);
    let (wal, _) = open(&disk, 32 << 10).unwrap();
    let mut model = Model::default();
    let steps = rng.below(40);
    live(&wal, &mut model, &mut rng, steps);
    let state = Bytes::from(vec![0x5a; 40]);
    let lsn = wal.state(state.clone()).unwrap();
    wal.drive();
    assert!(wal.durable() > lsn);
    wal.mark();
    wal.drive();
    drop(wal);
    let name = format!("{:016x}.seg", lsn.seq());
    let used = disk
        .content(&name)
        .unwrap()
        .iter()
        .rposition(|&b| b != 0)
        .unwrap() as u64;
    assert!(disk.flip(&name, rng.below(used + 1), 1 << rng.below(8)));
    let disk = disk.power_cut(rng.next_u64());
    let (_wal, recovered) = open(&disk, 32 << 10).unwrap();
    let there = recovered.all_states.contains(&state);
    assert!(there, "one flip does not take both copies: {recovered:?}");
    assert_eq!(recovered.state, Some(state), "{recovered:?}");
}

/// Cases of each property; more in a soak: `PAXLOG_WAL_CASES=100000 cargo test --release …`.
fn cases() -> u32 {
    std::env::var("PAXLOG_WAL_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_durable_survives_every_crash(seed in any::<u64>()) {
        history(seed, 6);
    }

    #[test]
    fn flips_never_give_wrong_bytes_nor_silence(seed in any::<u64>()) {
        flipped(seed);
    }

    #[test]
    fn one_flip_below_a_promise_is_damage(seed in any::<u64>()) {
        flipped_once_below(seed);
    }

    #[test]
    fn one_flip_does_not_lose_the_state(seed in any::<u64>()) {
        state_survives_a_flip(seed);
    }
}

/// One history again: `PAXLOG_WAL_SEED=n cargo test --release -p paxlog-wal one_history`.
#[test]
fn one_history() {
    let seed = std::env::var("PAXLOG_WAL_SEED")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    history(seed, 6);
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = || {
        let disk = formatted(7);
        let (wal, _) = open(&disk, 32 << 10).unwrap();
        live(&wal, &mut Model::default(), &mut Rng::new(7), 300);
        let names = disk.names();
        names
            .into_iter()
            .map(|n| (disk.content(&n), n))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
