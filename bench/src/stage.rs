//! A temporary directory on a real disk.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{process, program};

/// Removed when dropped, on a signal too.
#[derive(Debug)]
pub struct Stage {
    dir: TempDir,
    keep: bool,
}

impl Stage {
    /// Makes one in `within`, or else in the target directory. Memory is refused: syncs would cost nothing there.
    ///
    /// # Errors
    /// If it cannot be made, or `within` is no disk.
    pub fn make(within: Option<&Path>, keep: bool) -> Result<Stage> {
        let within = match within {
            Some(dir) => dir.to_owned(),
            None => program::target()?,
        };
        let place = within.display();
        let system =
            rustix::fs::statfs(&within).with_context(|| format!("{place} cannot be used"))?;
        if MEMORY.contains(&(system.f_type as u64)) {
            bail!(
                "{place} is in memory, where a sync costs nothing: name a directory on a disk with --dir"
            );
        }
        let dir = tempfile::Builder::new()
            .prefix("paxlog-bench-")
            .disable_cleanup(keep)
            .tempdir_in(&within)
            .with_context(|| format!("no directory can be made in {place}"))?;
        if !keep {
            process::remove_on_signals(dir.path());
        }
        Ok(Stage { dir, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Whether it stays where it is at the end.
    pub fn kept(&self) -> bool {
        self.keep
    }

    /// A directory in it, made.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn sub(&self, name: &str) -> Result<PathBuf> {
        let dir = self.path().join(name);
        std::fs::create_dir(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(dir)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        process::forget_dir(self.path());
        if self.keep {
            eprintln!("kept: {}", self.path().display());
        }
    }
}

/// tmpfs and ramfs, statfs(2).
const MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_refused() {
        let shm = Path::new("/dev/shm");
        if rustix::fs::statfs(shm).is_ok_and(|system| system.f_type as u64 == MEMORY[0]) {
            let error = Stage::make(Some(shm), false).unwrap_err();
            assert!(error.to_string().contains("--dir"), "{error}");
        }
    }

    #[test]
    fn it_is_removed_at_its_end_unless_kept() {
        let within = tempfile::tempdir_in(program::target().unwrap()).unwrap();
        for keep in [false, true] {
            let stage = Stage::make(Some(within.path()), keep).unwrap();
            let sub = stage.sub("a").unwrap();
            drop(stage);
            assert_eq!(sub.exists(), keep);
        }
    }
}
