//! One file of the simulated disk: what reads show, what is durable, and every version of each
//! sector since its last sync.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::rng::Rng;

const SECTOR: usize = 512;
/// Of a hundred unsynced sectors, those torn between two versions.
const TORN_PERCENT: u64 = 3;

/// See the module.
#[derive(Clone)]
pub(super) struct Sectors {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Versions written since the last sync, oldest first.
    versions: BTreeMap<usize, Vec<Vec<u8>>>,
    /// Sectors that a failed sync left clean and unwritten.
    lost: BTreeSet<usize>,
    /// Its blocks and size are durable.
    allocated: bool,
}

impl Sectors {
    pub(super) fn fresh(bytes: u64) -> Sectors {
        let zeros = vec![0; bytes as usize];
        let (versions, lost) = (BTreeMap::new(), BTreeSet::new());
        Sectors {
            now: zeros.clone(),
            durable: zeros,
            versions,
            lost,
            allocated: false,
        }
    }

    pub(super) fn durable(content: Vec<u8>) -> Sectors {
        let (versions, lost) = (BTreeMap::new(), BTreeSet::new());
        Sectors {
            now: content.clone(),
            durable: content,
            versions,
            lost,
            allocated: true,
        }
    }

    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if end > self.now.len() {
            return Err(io::Error::other("a write beyond the end: files never grow"));
        }
        self.now[start..end].copy_from_slice(bytes);
        for sector in start / SECTOR..=(end - 1) / SECTOR {
            let version = self.sector(&self.now, sector).to_vec();
            self.versions.entry(sector).or_default().push(version);
            self.lost.remove(&sector);
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        for sector in std::mem::take(&mut self.versions).into_keys() {
            self.settle(sector);
        }
        self.allocated = true;
    }

    pub(super) fn sync_failed(&mut self, rng: &mut Rng) {
        for sector in std::mem::take(&mut self.versions).into_keys() {
            if rng.chance(50) {
                self.settle(sector);
            } else {
                self.lost.insert(sector);
            }
        }
    }

    pub(super) fn drop_cache(&mut self) {
        for sector in std::mem::take(&mut self.lost) {
            let range = self.range(sector);
            self.now[range.clone()].copy_from_slice(&self.durable[range]);
        }
    }

    pub(super) fn flip(&mut self, at: u64, mask: u8) -> bool {
        let at = at as usize;
        if at >= self.now.len() {
            return false;
        }
        self.now[at] ^= mask;
        self.durable[at] ^= mask;
        true
    }

    pub(super) fn power_cut(&self, rng: &mut Rng) -> Sectors {
        let mut content = self.durable.clone();
        for (&sector, versions) in &self.versions {
            let range = self.range(sector);
            let pick = |n: u64| match n {
                0 => &self.durable[range.clone()],
                n => &versions[n as usize - 1][..],
            };
            let one = rng.below(versions.len() as u64 + 1);
            content[range.clone()].copy_from_slice(pick(one));
            if rng.chance(TORN_PERCENT) {
                let other = pick(rng.below(versions.len() as u64 + 1));
                let at = rng.below(range.len() as u64 + 1) as usize;
                content[range.start..range.start + at].copy_from_slice(&other[..at]);
            }
        }
        if !self.allocated && rng.chance(50) {
            content.clear();
        }
        Sectors::durable(content)
    }

    fn settle(&mut self, sector: usize) {
        let range = self.range(sector);
        self.durable[range.clone()].copy_from_slice(&self.now[range]);
    }

    fn range(&self, sector: usize) -> std::ops::Range<usize> {
        sector * SECTOR..((sector + 1) * SECTOR).min(self.now.len())
    }

    fn sector<'a>(&self, of: &'a [u8], sector: usize) -> &'a [u8] {
        &of[self.range(sector)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsynced_sectors_survive_in_any_subset_and_synced_ones_whole() {
        let mut file = Sectors::fresh(4 * SECTOR as u64);
        file.write(0, &[1; 2 * SECTOR]).unwrap();
        file.sync();
        file.write(SECTOR as u64, &[2; 2 * SECTOR]).unwrap();
        let mut seen = BTreeSet::new();
        for seed in 0..100 {
            let after = file.power_cut(&mut Rng::new(seed));
            assert_eq!(after.now[..SECTOR], [1; SECTOR]);
            seen.insert((after.now[SECTOR], after.now[2 * SECTOR]));
        }
        assert!(seen.is_superset(&BTreeSet::from([(1, 0), (1, 2), (2, 0), (2, 2)])));
    }

    #[test]
    fn a_failed_sync_lies_until_the_cache_is_dropped() {
        let mut file = Sectors::fresh(64 * SECTOR as u64);
        file.write(0, &[1; 64 * SECTOR]).unwrap();
        file.sync_failed(&mut Rng::new(1));
        file.sync();
        assert!(file.now().iter().all(|&b| b == 1));
        let after = file.power_cut(&mut Rng::new(2));
        assert!(after.now().contains(&0) && after.now().contains(&1));
        file.drop_cache();
        assert_eq!(file.now(), after.now());
    }
}
