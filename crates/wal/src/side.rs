//! Whole files beside the segments: `wal.meta`, the owner's annotations and checkpoints.
//!
//! Each is written under another name, synced, renamed, and the directory synced, so that it is
//! there as a whole or not at all. A 64-byte header comes first:
//!
//! ```text
//!  0  magic    8     "PAXLOGSF"
//!  8  version  u16   1
//! 10  kind     u16   1 wal.meta, 2 annotation, 3 checkpoint
//! 12  zero     u32
//! 16  wal id   u128
//! 32  number   u64   segment or checkpoint number
//! 40  len      u64   bytes that follow
//! 48  pcrc     u32   their CRC32C
//! 52  zero     8
//! 60  hcrc     u32   CRC32C of bytes 0..60
//! ```

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::disk::Disk;
use crate::frame::{le16, le32, le64, le128};
use crate::segment::VERSION;

/// What a side file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SideKind {
    Meta = 1,
    Annotation = 2,
    Checkpoint = 3,
}

/// Why a side file was not read.
#[derive(Debug)]
pub(crate) enum SideFault {
    Missing,
    Damaged,
    Newer(u16),
    Io(io::Error),
}

const MAGIC: &[u8; 8] = b"PAXLOGSF";
const HEADER: usize = 64;

/// Writes a side file, durably.
pub(crate) fn write(
    disk: &dyn Disk,
    name: &str,
    kind: SideKind,
    wal_id: u128,
    number: u64,
    parts: &[&[u8]],
) -> io::Result<()> {
    let len: u64 = parts.iter().map(|p| p.len() as u64).sum();
    let pcrc = parts.iter().fold(0, |crc, p| crc32c::crc32c_append(crc, p));
    let mut b = [0u8; HEADER];
    b[..8].copy_from_slice(MAGIC);
    b[8..10].copy_from_slice(&VERSION.to_le_bytes());
    b[10..12].copy_from_slice(&(kind as u16).to_le_bytes());
    b[16..32].copy_from_slice(&wal_id.to_le_bytes());
    b[32..40].copy_from_slice(&number.to_le_bytes());
    b[40..48].copy_from_slice(&len.to_le_bytes());
    b[48..52].copy_from_slice(&pcrc.to_le_bytes());
    let hcrc = crc32c::crc32c(&b[..60]);
    b[60..].copy_from_slice(&hcrc.to_le_bytes());

    let aside = format!("{name}.tmp");
    let file = disk.create(&aside, HEADER as u64 + len)?;
    let mut at = HEADER as u64;
    file.write_at(0, &[IoSlice::new(&b)])?;
    for part in parts {
        file.write_at(at, &[IoSlice::new(part)])?;
        at += part.len() as u64;
    }
    file.sync()?;
    disk.rename(&aside, name)?;
    disk.sync_dir()
}

/// Reads a side file whole and checks it.
pub(crate) fn read(
    disk: &dyn Disk,
    name: &str,
    kind: SideKind,
    number: u64,
) -> Result<(u128, Bytes), SideFault> {
    let file = disk.open(name).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => SideFault::Missing,
        _ => SideFault::Io(e),
    })?;
    if file.bytes() < HEADER as u64 {
        return Err(SideFault::Damaged);
    }
    let mut b = vec![0; file.bytes() as usize];
    file.read_at(0, &mut b).map_err(SideFault::Io)?;
    let (head, payload) = b.split_at(HEADER);
    if &head[..8] != MAGIC || crc32c::crc32c(&head[..60]) != le32(head, 60) {
        return Err(SideFault::Damaged);
    }
    if le16(head, 8) > VERSION {
        return Err(SideFault::Newer(le16(head, 8)));
    }
    let good = le16(head, 10) == kind as u16
        && le64(head, 32) == number
        && le64(head, 40) == payload.len() as u64
        && crc32c::crc32c(payload) == le32(head, 48);
    if !good {
        return Err(SideFault::Damaged);
    }
    let wal_id = le128(head, 16);
    Ok((wal_id, Bytes::from(b).slice(HEADER..)))
}
