//! Damage that is found when the log is opened, and what is done without it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use paxlog_node::EntryPlace;
use paxlog_paxos::Slot;
use paxlog_store::entry_at;
use paxlog_wal::Kind;

use crate::world::{Alone, SEGMENT_BYTES, formatted, look};

fn paths(dir: &Path, has: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("there");
    let paths = entries.map(|entry| entry.expect("there").path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().contains(has))
        })
        .collect();
    paths.sort();
    paths
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("there");
    byte[0] ^= 1;
    file.write_all_at(&byte, at).expect("written");
}

/// Appends until so many segments are sealed.
fn fill(alone: &mut Alone, segments: u64) {
    let payload = vec![5; 50 << 10];
    for _ in 0..segments * SEGMENT_BYTES / (50 << 10) {
        let append = alone.append(10_000, 1, &payload);
        alone.turn(vec![append]);
    }
    assert!(alone.replies.iter().all(|reply| reply.result.is_ok()));
    // The house is kept.
    alone.pass(3_000);
}

/// Rot in a segment that the opening did not scan, at or beyond the checkpoint:
/// the slot is unknown, to be had from others; the replica does not stop over
/// it, nor refuse to start. With and without an `.idx` file, header or payload.
#[test]
fn rot_beyond_the_checkpoint_is_found_at_the_opening() {
    for annotates in [false, true] {
        for header in [false, true] {
            let dir = formatted();
            let mut alone = Alone::open(dir.path()).expect("recovered");
            (alone.annotates, alone.checkpoints) = (annotates, false);
            alone.open_log();
            fill(&mut alone, 3);
            let held = alone.node.status().chosen_prefix;
            drop(alone);
            // A later segment vouches for all of it: it is not scanned again.
            let (wal, _) = look(dir.path());
            wal.close().expect("closed");
            let (wal, found) = look(dir.path());
            assert_eq!((found.damaged.len(), found.checkpoints.len()), (0, 0));
            assert_eq!(found.segments[0].annotation.is_some(), annotates);
            let frame = *wal
                .index(u64::from(found.segments[0].number))
                .expect("sealed")
                .iter()
                .filter(|frame| frame.kind == Kind::Data)
                .nth(7)
                .expect("it holds many");
            wal.close().expect("closed");
            flip(
                &paths(dir.path(), ".seg")[0],
                frame.lsn.offset() + if header { 20 } else { 200 },
            );

            let alone = Alone::open(dir.path()).expect("it starts");
            assert_eq!(alone.stopped, None);
            let status = alone.node.status();
            assert_eq!(status.chosen_prefix, Slot(frame.tag), "of {held}");
            assert_eq!(status.applied, Slot(frame.tag));
            assert!(!alone.leads(), "alone it may not do without the slot");
        }
    }
}

/// With a checksum that fits, and rows that nobody wrote so: its segment is known by its frames, as if there were no file.
#[test]
fn an_idx_file_that_holds_what_none_can_is_not_believed() {
    let dir = formatted();
    let mut alone = Alone::open(dir.path()).expect("recovered");
    alone.checkpoints = false;
    alone.open_log();
    fill(&mut alone, 3);
    let sequence = alone.sequence;
    drop(alone);
    let (wal, found) = look(dir.path());
    let number = found.segments[0].number;
    let mut forged = found.segments[0]
        .annotation
        .clone()
        .expect("there")
        .to_vec();
    wal.close().expect("closed");
    // The last slot once more in place of the one before it.
    let end = forged.len();
    forged.copy_within(end - 24..end, end - 48);
    fs::remove_file(&paths(dir.path(), ".idx")[0]).expect("removed");
    let (wal, _) = look(dir.path());
    wal.annotate(number.into(), &forged).expect("written");
    wal.close().expect("closed");

    let mut alone = Alone::open(dir.path()).expect("it starts");
    assert_eq!(alone.stopped, None);
    assert!(alone.leads(), "it has everything");
    // The producer and all that it appended are there.
    alone.sequence = sequence;
    let append = alone.append(10_000, 1, b"x");
    alone.turn(vec![append]);
    let reply = alone.replies.last().expect("a reply");
    assert!(reply.result.is_ok(), "{reply:?}");
}

/// Two checkpoints are kept that can be read: one that can't is not one of them.
#[test]
fn an_unreadable_checkpoint_does_not_push_out_a_good_one() {
    let dir = formatted();
    let mut alone = Alone::open(dir.path()).expect("recovered");
    alone.open_log();
    fill(&mut alone, 4);
    let before = paths(dir.path(), "ckpt");
    assert_eq!(before.len(), 2);
    flip(&before[1], 100);
    fill(&mut alone, 1);
    let sequence = alone.sequence;
    drop(alone);
    let after = paths(dir.path(), "ckpt");
    assert_eq!(after.len(), 2);
    let (wal, found) = look(dir.path());
    assert!(
        found.checkpoints.iter().all(|file| !file.is_empty()),
        "both are whole"
    );
    wal.close().expect("closed");
    // Lost as well, the newest does not take the others with it.
    flip(&after[1], 100);
    let mut alone = Alone::open(dir.path()).expect("recovered");
    assert!(alone.leads());
    alone.sequence = sequence;
    fill(&mut alone, 1);
    assert_eq!(alone.stopped, None);
}

/// Slots lie in the order of writing: where ranges overlap, the segment asked
/// first may not have the slot, and the next one does.
#[test]
fn a_slot_is_looked_for_in_every_segment_named() {
    let dir = formatted();
    let mut alone = Alone::open(dir.path()).expect("recovered");
    alone.open_log();
    fill(&mut alone, 4);
    let segments: Vec<u32> = alone.wal.segments().iter().map(|s| s.seq as u32).collect();
    let slot = Slot(5);
    let newest_first = vec![segments[2], segments[1], segments[0]];
    let (header, _) = entry_at(&alone.wal, &EntryPlace::InSegments(newest_first, slot))
        .expect("the last of them has it");
    assert_eq!(header.slot, slot);
    let others = EntryPlace::InSegments(segments[1..3].to_vec(), slot);
    assert!(entry_at(&alone.wal, &others).is_none());
}
