//! A whole file, mapped read-only: the only unsafe code of this crate.
//!
//! Invariants, kept by the rest of the crate:
//!
//! 1. The map is read-only and writers go through `pwritev`, so nobody ever holds `&mut` over
//!    bytes that a reader can see.
//! 2. The file's blocks are allocated before it is mapped and it is never truncated, punched or
//!    grown, so every page of the map has a file page behind it.
//! 3. The slice over the *whole* file exists only inside [`map`], before anything is written
//!    through this log. `Bytes` keeps a pointer and a length, not a slice. Afterwards slices are made
//!    only over published frames (`< written`, read with `Acquire`), which are never written again.
//! 4. The mapping is unmapped in the last drop of a `Bytes` cut from it and nowhere else.
//!
//! What is handed out may be held and dropped on any thread. A device that dies under a mapped page
//! ends the process, with a line that says where (`sigbus`): better than invented bytes.
#![expect(
    unsafe_code,
    reason = "a mapped file as a slice; the argument stands above"
)]

mod sigbus;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::segment::{HeaderFound, SegmentHeader};
use sigbus::Named;

/// A mapping and what must live as long as it.
struct Mapping<K> {
    /// Before the map: fields are dropped in order.
    _named: Named,
    map: MmapRaw,
    _keep: K,
}

impl<K> AsRef<[u8]> for Mapping<K> {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the pointer and length are those of a live mapping that `self` owns (invariant
        // 4), fully backed (2), and nothing writes to the file while this slice lives (3).
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }
}

/// Maps `bytes` of `file`; `keep` is dropped after the last slice of it.
pub(super) fn map<K: Send + Sync + 'static>(file: &File, bytes: u64, keep: K) -> io::Result<Bytes> {
    let map = MmapOptions::new()
        .len(bytes as usize)
        .map_raw_read_only(file)?;
    map.advise(Advice::DontFork)?;
    map.advise(Advice::DontDump)?;
    let mut head = [0; 128];
    file.read_exact_at(&mut head, 0)?;
    let segment = match SegmentHeader::decode(&head) {
        HeaderFound::Good(header) => header.seq,
        HeaderFound::Newer(_) | HeaderFound::Bad => 0,
    };
    let named = Named::new(map.as_ptr() as usize, map.len(), segment);
    Ok(Bytes::from_owner(Mapping {
        _named: named,
        map,
        _keep: keep,
    }))
}
