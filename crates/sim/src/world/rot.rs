//! Bytes at rest change: what was synced, and is covered by a later promise of the log (`docs/wal-format.md`),
//! so that it can be told from a torn end.
//!
//! What lies beyond is spared: of frames of the last sync nothing tells that they ever were, and no system could
//! know that they are gone.

use super::*;
use crate::plan::{Damage, FileSort};

const SECTOR: u64 = 512;
const BLOCK: u64 = 4096;
/// Frames begin at multiples of this.
const FRAME: u64 = 64;

impl World {
    /// Damages a file of a replica; false where there is none yet that may be.
    pub(crate) fn rot(&mut self, at: usize, sort: FileSort, damage: Damage, pick: u64) -> bool {
        let replica = &mut self.replicas[at];
        let names = replica.disk.names();
        // Where it may be damaged: file, and from which byte to which.
        let mut places: Vec<(String, u64, u64)> = Vec::new();
        for name in names {
            let content = || replica.disk.content(&name).unwrap_or_default();
            let segment = name
                .strip_suffix(".seg")
                .and_then(|number| u64::from_str_radix(number, 16).ok());
            let (start, end) = match (sort, segment) {
                (FileSort::Frames, Some(number)) => (BLOCK, replica.covered_of(number, &self.plan)),
                (FileSort::Header, Some(number))
                    if replica.covered_of(number, &self.plan) > BLOCK =>
                {
                    (0, SECTOR)
                }
                (FileSort::Trailer, Some(number))
                    if replica.covered_of(number, &self.plan) == self.plan.segment_bytes =>
                {
                    (self.plan.segment_bytes - SECTOR, self.plan.segment_bytes)
                }
                (FileSort::Idx, None) if name.ends_with(".idx") => (0, content().len() as u64),
                (FileSort::Checkpoint, None) if name.starts_with("ckpt-") => {
                    (0, content().len() as u64)
                }
                _ => continue,
            };
            if start < end {
                places.push((name, start, end));
            }
        }
        if places.is_empty() {
            return false;
        }
        let (name, start, end) = places.swap_remove((pick % places.len() as u64) as usize);
        let Some(content) = replica.disk.content(&name) else {
            return false;
        };
        let end = end.min(content.len() as u64);
        let sectors = (end.saturating_sub(start)).div_ceil(SECTOR);
        // One that holds something, if there is one.
        let written = |sector: &u64| {
            let from = (start + sector * SECTOR) as usize;
            content[from..end.min(from as u64 + SECTOR) as usize]
                .iter()
                .any(|&byte| byte != 0)
        };
        let first = pick / 7 % sectors.max(1);
        let Some(sector) = (0..sectors).map(|i| (first + i) % sectors).find(written) else {
            return false;
        };
        let from = start + sector * SECTOR;
        let bytes = SECTOR.min(end - from);
        let disk = &replica.disk;
        match damage {
            Damage::Flip => disk.flip(&name, from + pick / 11 % bytes, 1 << (pick % 8)),
            Damage::Zero => disk.replace(&name, from, &vec![0; bytes as usize]),
            Damage::Misdirected => {
                // What was meant for another place of the file.
                let all = (content.len() as u64 / SECTOR).max(1);
                let (first, among) = match sectors {
                    1 => (0, all),
                    _ => (start / SECTOR, sectors),
                };
                let here = from / SECTOR - first;
                let other = first + (here + 1 + pick / 13 % among.saturating_sub(1).max(1)) % among;
                let other = (other * SECTOR) as usize;
                let limit = content.len().min(other + bytes as usize);
                let mut stray = content[other..limit].to_vec();
                stray.resize(bytes as usize, 0);
                disk.replace(&name, from, &stray)
            }
            // Files are written from front to back, in steps: before its last write a sector held the
            // front of what it holds, and zeros.
            Damage::LostWrite => {
                let kept = pick / 17 % bytes.div_ceil(FRAME) * FRAME;
                disk.replace(&name, from + kept, &vec![0; (bytes - kept) as usize])
            }
            Damage::ReadError => disk.ruin(&name, from),
        };
        // Sometimes what lay there already is what was to be put there.
        let same = replica
            .disk
            .content(&name)
            .is_some_and(|now| now == content);
        if same && damage != Damage::ReadError {
            return false;
        }
        replica.damaged = true;
        self.trace.note(self.now, &format!("r{}", at + 1), || {
            format!("{damage:?} in {name} at {from}")
        });
        true
    }
}

impl Replica {
    /// Bytes of a segment that are covered, in whole blocks.
    fn covered_of(&self, segment: u64, plan: &Plan) -> u64 {
        let (covered, inside) = (self.covered >> 32, self.covered & 0xffff_ffff);
        match segment.cmp(&covered) {
            std::cmp::Ordering::Less => plan.segment_bytes,
            std::cmp::Ordering::Equal => inside / BLOCK * BLOCK,
            std::cmp::Ordering::Greater => 0,
        }
    }
}
