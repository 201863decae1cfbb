//! A write-ahead log's directory that somebody changed.
//!
//! Input: whether to mend checksums (u8, odd: yes), and changes to the directory of `crates/wal/tests/golden`, each:
//! the file (u8), what is done to it (u8), where (u16), and what that takes: see [`change`].

use std::sync::Arc;

use bytes::Bytes;
use paxlog_wal::sim::SimDisk;
use paxlog_wal::{Driver, FrameMeta, Identity, Kind, Options, Wal, dump_disk, identify};

use crate::input::Input;

const ID: Identity = Identity {
    cluster: 0xc1,
    replica: 2,
    wal_id: 0x3333_4444,
};
const SEGMENT: u64 = 16 << 10;
/// Where a segment's frames begin, and what they are aligned to.
const FIRST: usize = 4096;
const FRAME: usize = 64;
/// No file is made larger.
const FILE_MAX: usize = 48 << 10;

macro_rules! golden {
    ($($name:literal),* $(,)?) => {
        [$(($name, &include_bytes!(concat!("../../wal/tests/golden/v1/", $name))[..])),*]
    };
}

type Files = Vec<(String, Vec<u8>)>;

fn directory() -> Files {
    let files: [(&str, &[u8]); 7] = golden![
        "0000000000000002.idx",
        "0000000000000002.seg",
        "0000000000000003.seg",
        "0000000000000004.seg",
        "0000000000000005.seg",
        "ckpt-000000000000000c",
        "wal.meta",
    ];
    files
        .map(|(name, content)| (name.to_owned(), content.to_vec()))
        .into()
}

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mends = input.u8() & 1 == 1;
    let mut files = directory();
    let mut changes = 0;
    while !input.is_empty() && changes < 64 {
        change(&mut files, &mut input);
        changes += 1;
    }
    if mends {
        for (name, content) in &mut files {
            mend(name, content);
        }
    }
    let disk = SimDisk::new(1);
    for (name, content) in &files {
        disk.put(name, content);
    }
    // A look from outside changes nothing, whatever it says.
    let names = disk.names();
    let _ = identify(&disk);
    let _ = dump_disk(&disk, false);
    assert_eq!(disk.names(), names);
    opened(&disk, mends);
}

/// Opens it; if that can be, reads all that is listed, appends, and finds that again.
fn opened(disk: &SimDisk, mended: bool) {
    let Ok((wal, recovered)) = Wal::open(Arc::new(disk.clone()), options()) else {
        return;
    };
    for segment in &recovered.segments {
        let Ok(frames) = recovered.frames(segment.seq) else {
            continue;
        };
        for frame in frames.iter().filter(|frame| frame.kind == Kind::Data) {
            if let Ok((meta, payload)) = wal.read_cold(frame.lsn) {
                // Who mends checksums can make an INDEX say something else than the frames.
                assert!(mended || (meta.tag, payload.len()) == (frame.tag, frame.len as usize));
            }
            let _ = wal.read_head(frame.lsn, 16);
        }
        let _ = wal.index(segment.seq);
        let _ = wal.annotation(segment.seq);
    }
    for number in wal.checkpoints().unwrap_or_default() {
        let _ = wal.read_checkpoint(number);
    }
    let payload = Bytes::from_static(b"appended after that");
    let state = Bytes::from_static(b"a state after that");
    let appended = wal.append(FrameMeta::data(1, 99, 98), std::slice::from_ref(&payload));
    let stated = wal.state(state.clone());
    wal.drive();
    let durable = wal.durable();
    let Ok(lsn) = appended else { return };
    let kept = durable > lsn;
    drop(wal);
    if !kept {
        return;
    }
    // It was called durable, and this disk is as honest as it was when it was opened.
    let (wal, recovered) = match Wal::open(Arc::new(disk.clone()), options()) {
        Ok(opened) => opened,
        // A trailer may name almost the last number as the next one; then the next opening has none, and says so.
        Err(error) => {
            assert!(lsn.seq() + 2 >= u64::from(u32::MAX), "opened once: {error}");
            return;
        }
    };
    let (_, found) = wal.read_cold(lsn).expect("what was durable is there");
    assert_eq!(found, payload);
    if stated.is_ok_and(|at| durable > at) {
        assert_eq!(recovered.state, Some(state));
    }
}

fn options() -> Options {
    let mut options = Options::new(ID);
    options.segment_bytes = SEGMENT;
    options.driver = Driver::Caller;
    options
}

fn change(files: &mut Files, input: &mut Input<'_>) {
    let which = usize::from(input.u8());
    let what = input.u8();
    let at = usize::from(input.u16());
    if files.is_empty() {
        return;
    }
    let which = which % files.len();
    let len = files[which].1.len();
    match what % 10 {
        // Other bytes.
        0 | 1 => {
            let count = input.u8();
            let bytes = input.take(count.into());
            write(&mut files[which].1, at, bytes);
        }
        // A field of a frame's header, or of a side file's.
        2 => {
            let field = (at % FRAME) & !3;
            let frame = (at / FRAME) * FRAME;
            let value = input.u64().to_le_bytes();
            write(&mut files[which].1, frame + field, &value[..4]);
        }
        3 => {
            let frame = (at / FRAME) * FRAME;
            let value = input.u64().to_le_bytes();
            write(
                &mut files[which].1,
                frame + 8 + usize::from(input.u8() % 6) * 8,
                &value,
            );
        }
        // Zeros from here on.
        4 => {
            let until = len.min(at + usize::from(input.u16()));
            if at < until {
                files[which].1[at..until].fill(0);
            }
        }
        // Another length.
        5 => files[which].1.resize(at.min(FILE_MAX), 0),
        // Gone.
        6 => drop(files.remove(which)),
        // A copy under another number.
        7 => {
            let (name, content) = files[which].clone();
            let number = format!("{:016x}", input.u64() >> (at % 64));
            let other = match name.rsplit_once('.') {
                Some((_, "seg")) => format!("{number}.seg"),
                Some((_, "idx")) => format!("{number}.idx"),
                _ => format!("ckpt-{number}"),
            };
            files.retain(|(name, _)| *name != other);
            files.push((other, content));
        }
        // Bytes from elsewhere in it.
        8 => {
            let from = usize::from(input.u16()).min(len);
            let count = usize::from(input.u16()).min(len - from);
            let bytes = files[which].1[from..from + count].to_vec();
            write(&mut files[which].1, at, &bytes);
        }
        // Exchanged with another.
        _ => {
            let other = at % files.len();
            let content = std::mem::take(&mut files[which].1);
            let content = std::mem::replace(&mut files[other].1, content);
            files[which].1 = content;
        }
    }
}

/// As much of it as lies within the file.
fn write(content: &mut [u8], at: usize, bytes: &[u8]) {
    for (to, from) in content.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

/// Gives whatever looks like a header the checksums that fit.
fn mend(name: &str, content: &mut [u8]) {
    if !name.ends_with(".seg") {
        if content.len() >= FRAME {
            let (head, payload) = content.split_at_mut(FRAME);
            put(head, 48, crc32c::crc32c(payload));
            let crc = crc32c::crc32c(&head[..60]);
            put(head, 60, crc);
        }
        return;
    }
    if content.len() < FIRST {
        return;
    }
    let crc = crc32c::crc32c(&content[..124]);
    put(content, 124, crc);
    let mut before = None;
    let mut at = FIRST;
    while at + FRAME <= content.len() {
        let head = &content[at..at + FRAME];
        // It says that it is here, in this log.
        if number(head, 8) as usize != at || number(head, 56) != ID.wal_id as u32 {
            at += FRAME;
            continue;
        }
        let bytes = number(head, 36) as usize;
        let payload = content.get(at + FRAME..(at + FRAME).saturating_add(bytes));
        let crc = payload.map(crc32c::crc32c);
        let head = &mut content[at..at + FRAME];
        let mut next = at + FRAME;
        if let Some(crc) = crc {
            put(head, 40, crc);
            next += bytes.next_multiple_of(FRAME);
        }
        if let Some(before) = before {
            put(head, 44, before);
        }
        let crc = crc32c::crc32c(&head[4..]);
        put(head, 0, crc);
        before = Some(crc);
        at = next;
    }
    // An unsealed segment has no trailer.
    let trailer = content.len() - FRAME;
    if content[trailer..].starts_with(b"PAXLOGTR") {
        let crc = crc32c::crc32c(&content[trailer..trailer + 60]);
        put(&mut content[trailer..], 60, crc);
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    // Nothing changed; and one change of every kind, to the sealed segment, to the last one, and to the files beside them.
    let mut seeds = vec![vec![0], vec![1]];
    for what in 0..10 {
        for (file, at) in [
            (1u8, 4096u16 + 16),
            (4, 4096 + 36),
            (4, 4096 + 64),
            (6, 32),
            (0, 40),
        ] {
            let [low, high] = at.to_le_bytes();
            let change = [file, what, low, high, 8, 1, 2, 3, 4, 5, 6, 7, 8];
            seeds.push([&[1][..], &change].concat());
            seeds.push([&[0][..], &change, &change].concat());
        }
    }
    seeds
}
