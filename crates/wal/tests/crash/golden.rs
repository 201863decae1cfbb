//! Format version 1, as files. `PAXLOG_WAL_BLESS=1` writes them; that is for a new version only:
//! what these hold must be readable for ever.

use std::path::PathBuf;

use bytes::Bytes;
use paxlog_wal::sim::SimDisk;
use paxlog_wal::{FrameMeta, Kind, Verdict};

use super::model::{formatted, open};

const SEGMENT: u64 = 16 << 10;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn payload(i: u64) -> Bytes {
    Bytes::from(vec![i as u8; 100 + 40 * i as usize])
}

/// One of everything.
fn build() -> SimDisk {
    let disk = formatted(0);
    let (wal, _) = open(&disk, SEGMENT).unwrap();
    wal.state(Bytes::from_static(b"the owner's small state"))
        .unwrap();
    for i in 0..24 {
        wal.append(FrameMeta::data(i as u32 % 2, i, i << 16 | 1), &[payload(i)])
            .unwrap();
        wal.drive();
    }
    wal.annotate(2, b"an annotation").unwrap();
    wal.put_checkpoint(12, &[Bytes::from_static(b"a checkpoint")])
        .unwrap();
    wal.retire_below(2).unwrap();
    wal.mark();
    wal.drive();
    wal.append(FrameMeta::data(0, 24, 0), &[payload(1)])
        .unwrap();
    wal.drive();
    wal.close().unwrap();
    disk
}

#[test]
fn version_1_is_written_and_read_as_ever() {
    let disk = build();
    let names: Vec<String> = disk
        .names()
        .into_iter()
        .filter(|n| !n.starts_with("spare-"))
        .collect();
    if std::env::var_os("PAXLOG_WAL_BLESS").is_some() {
        std::fs::create_dir_all(directory()).unwrap();
        for name in &names {
            std::fs::write(directory().join(name), disk.content(name).unwrap()).unwrap();
        }
    }
    let mut golden: Vec<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    golden.sort();
    assert_eq!(golden, names);
    let old = SimDisk::new(0);
    for name in &golden {
        let content = std::fs::read(directory().join(name)).unwrap();
        assert!(
            disk.content(name).unwrap() == content,
            "{name} is written differently than ever before"
        );
        old.put(name, &content);
    }
    let report = paxlog_wal::dump_disk(&old, false).unwrap().report;
    assert_eq!(
        (report.verdict, report.side_files),
        (Verdict::Clean, 2),
        "{report:?}"
    );
    let (wal, recovered) = open(&old, SEGMENT).unwrap();
    assert_eq!(
        recovered.state.as_deref(),
        Some(&b"the owner's small state"[..])
    );
    let mut tags = Vec::new();
    for segment in &recovered.segments {
        for frame in recovered
            .frames(segment.seq)
            .unwrap()
            .iter()
            .filter(|f| f.kind == Kind::Data)
        {
            let (meta, bytes) = wal.read_cold(frame.lsn).unwrap();
            assert_eq!(bytes, payload(if meta.tag == 24 { 1 } else { meta.tag }));
            tags.push(meta.tag);
        }
    }
    assert!(
        tags.len() > 10 && tags.is_sorted() && tags.last() == Some(&24),
        "{tags:?}"
    );
    assert_eq!(
        wal.annotation(2).unwrap().as_deref(),
        Some(&b"an annotation"[..])
    );
    assert_eq!(
        wal.read_checkpoint(12).unwrap().as_deref(),
        Some(&b"a checkpoint"[..])
    );
}
