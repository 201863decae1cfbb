//! One file of the simulated disk: what reads show, what is durable, and every version of each
//! sector since its last sync.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use super::rng::Rng;

const SECTOR: usize = 512;
/// Of a hundred unsynced sectors, those torn between two versions.
const TORN_PERCENT: u64 = 3;

/// See the module.
#[derive(Clone)]
pub(super) struct Sectors {
    /// Shared with clones until one of them writes: most files of a log never change again.
    now: Arc<Vec<u8>>,
    /// What is durable of the sectors where that may differ from `now`: unsynced ones, and lost ones.
    before: BTreeMap<usize, Vec<u8>>,
    /// Versions written since the last sync, oldest first.
    versions: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Sectors that a failed sync left clean and unwritten.
    lost: BTreeSet<usize>,
    /// Sectors that cannot be read until they are written again.
    unreadable: BTreeSet<usize>,
    /// Its blocks and size are durable.
    allocated: bool,
}

impl Sectors {
    pub(super) fn fresh(bytes: u64) -> Sectors {
        let mut sectors = Sectors::durable(vec![0; bytes as usize]);
        sectors.allocated = false;
        sectors
    }

    pub(super) fn durable(content: Vec<u8>) -> Sectors {
        Sectors {
            now: Arc::new(content),
            before: BTreeMap::new(),
            versions: BTreeMap::new(),
            lost: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            allocated: true,
        }
    }

    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn write(&mut self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes == 0 {
            return Ok(());
        }
        let (start, end) = (offset as usize, offset as usize + bytes);
        if end > self.now.len() {
            return Err(io::Error::other("a write beyond the end: files never grow"));
        }
        for sector in start / SECTOR..=(end - 1) / SECTOR {
            let range = self.range(sector);
            let now = &self.now;
            self.before
                .entry(sector)
                .or_insert_with(|| now[range].to_vec());
        }
        let mut at = start;
        let now = Arc::make_mut(&mut self.now);
        for part in parts {
            now[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        for sector in start / SECTOR..=(end - 1) / SECTOR {
            let version = self.now[self.range(sector)].to_vec();
            self.versions.entry(sector).or_default().push(version);
            self.lost.remove(&sector);
            self.unreadable.remove(&sector);
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.versions).into_keys() {
            self.before.remove(&sector);
        }
        self.allocated = true;
    }

    pub(super) fn sync_failed(&mut self, rng: &mut Rng) {
        for sector in std::mem::take(&mut self.versions).into_keys() {
            if rng.chance(50) {
                self.before.remove(&sector);
            } else {
                self.lost.insert(sector);
            }
        }
    }

    pub(super) fn drop_cache(&mut self) {
        for sector in std::mem::take(&mut self.lost) {
            let range = self.range(sector);
            if let Some(durable) = self.before.remove(&sector) {
                Arc::make_mut(&mut self.now)[range].copy_from_slice(&durable);
            }
        }
    }

    /// Changes bytes at rest: what reads show, what is durable, and what is to become so.
    pub(super) fn change(
        &mut self,
        at: u64,
        change: &mut dyn FnMut(u64, &mut u8),
        bytes: u64,
    ) -> bool {
        let end = at + bytes;
        if end > self.now.len() as u64 {
            return false;
        }
        let now = Arc::make_mut(&mut self.now);
        for at in at..end {
            let (sector, inside) = (at as usize / SECTOR, at as usize % SECTOR);
            change(at, &mut now[at as usize]);
            if let Some(before) = self.before.get_mut(&sector) {
                change(at, &mut before[inside]);
            }
            for version in self.versions.get_mut(&sector).into_iter().flatten() {
                change(at, &mut version[inside]);
            }
        }
        true
    }

    /// A sector goes bad.
    pub(super) fn ruin(&mut self, at: u64) {
        self.unreadable.insert(at as usize / SECTOR);
    }

    /// Whether these bytes can be read.
    pub(super) fn readable(&self, start: u64, end: u64) -> bool {
        let sectors = start as usize / SECTOR..(end as usize).div_ceil(SECTOR);
        self.unreadable.range(sectors).next().is_none()
    }

    /// What a power cut leaves, if each unsynced sector has any of its versions; with no `rng` the worst:
    /// nothing that was not synced.
    pub(super) fn power_cut(&self, mut rng: Option<&mut Rng>) -> Sectors {
        let mut now = Arc::clone(&self.now);
        for (&sector, durable) in &self.before {
            Arc::make_mut(&mut now)[self.range(sector)].copy_from_slice(durable);
        }
        let mut allocated = self.allocated;
        if let Some(rng) = &mut rng {
            for (&sector, versions) in &self.versions {
                let range = self.range(sector);
                let durable = &self.before[&sector];
                let pick = |n: u64| match n {
                    0 => &durable[..],
                    n => &versions[n as usize - 1][..],
                };
                let one = rng.below(versions.len() as u64 + 1);
                let content = Arc::make_mut(&mut now);
                content[range.clone()].copy_from_slice(pick(one));
                if rng.chance(TORN_PERCENT) {
                    let other = pick(rng.below(versions.len() as u64 + 1));
                    let at = rng.below(range.len() as u64 + 1) as usize;
                    content[range.start..range.start + at].copy_from_slice(&other[..at]);
                }
            }
            allocated |= !self.allocated && !rng.chance(50);
        }
        if !allocated {
            now = Arc::default();
        }
        Sectors {
            now,
            unreadable: self.unreadable.clone(),
            ..Sectors::durable(Vec::new())
        }
    }

    fn range(&self, sector: usize) -> std::ops::Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsynced_sectors_survive_in_any_subset_and_synced_ones_whole() {
        let mut file = Sectors::fresh(4 * SECTOR as u64);
        file.write(0, &[&[1; 2 * SECTOR]]).unwrap();
        file.sync();
        file.write(SECTOR as u64, &[&[2; 2 * SECTOR]]).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let after = file.power_cut(Some(&mut Rng::new(seed)));
            assert_eq!(after.now[..SECTOR], [1; SECTOR]);
            seen.insert((after.now[SECTOR], after.now[2 * SECTOR]));
        }
        assert!(seen.is_superset(&BTreeSet::from([(1, 0), (1, 2), (2, 0), (2, 2)])));
    }

    #[test]
    fn a_failed_sync_lies_until_the_cache_is_dropped() {
        let mut file = Sectors::fresh(64 * SECTOR as u64);
        file.write(0, &[&[1; 64 * SECTOR]]).unwrap();
        file.sync_failed(&mut Rng::new(1));
        file.sync();
        assert!(file.now().iter().all(|&b| b == 1));
        let after = file.power_cut(Some(&mut Rng::new(2)));
        assert!(after.now().contains(&0) && after.now().contains(&1));
        file.drop_cache();
        assert_eq!(file.now(), after.now());
    }

    #[test]
    fn the_worst_power_cut_leaves_what_was_synced() {
        let mut file = Sectors::fresh(4 * SECTOR as u64);
        assert!(file.power_cut(None).now().is_empty());
        file.write(0, &[&[1; SECTOR], &[1; SECTOR]]).unwrap();
        file.sync();
        file.write(SECTOR as u64, &[&[2; 2 * SECTOR]]).unwrap();
        let after = file.power_cut(None);
        assert_eq!(after.now[..2 * SECTOR], [1; 2 * SECTOR]);
        assert_eq!(after.now[2 * SECTOR..], [0; 2 * SECTOR]);
    }

    #[test]
    fn damage_at_rest_stays_until_it_is_written_over() {
        let mut file = Sectors::fresh(4 * SECTOR as u64);
        file.sync();
        file.write(0, &[&[1; SECTOR]]).unwrap();
        assert!(file.change(1, &mut |_, byte| *byte ^= 4, 1));
        assert_eq!(file.now()[..3], [1, 5, 1]);
        assert_eq!(file.power_cut(None).now()[..3], [0, 4, 0]);
        assert!(!file.change(4 * SECTOR as u64, &mut |_, byte| *byte = 0, 1));
        file.ruin(SECTOR as u64);
        assert!(file.readable(0, SECTOR as u64));
        assert!(!file.power_cut(None).readable(0, SECTOR as u64 + 1));
        file.write(SECTOR as u64, &[&[3; SECTOR]]).unwrap();
        assert!(file.readable(0, 4 * SECTOR as u64));
    }
}
