//! Reading and writing certificates and keys as files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::CertsError;

/// Reads a certificate.
pub(super) fn read(path: &Path) -> Result<String, CertsError> {
    fs::read_to_string(path).map_err(|source| CertsError::Read {
        path: path.into(),
        source,
    })
}

/// Reads a private key, unless others than its owner can.
pub(super) fn read_key(path: &Path) -> Result<String, CertsError> {
    let unreadable = |source| CertsError::Read {
        path: path.into(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    // Of the opened file, so that nobody can swap it between the check and the reading.
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(CertsError::KeyExposed {
            path: path.into(),
            mode,
        });
    }
    io::read_to_string(file).map_err(unreadable)
}

/// Writes a certificate, readable by all. Never overwrites.
pub(super) fn write(path: &Path, text: &str) -> Result<(), CertsError> {
    write_new(path, text, 0o644)
}

/// Writes a private key, readable by its owner only from the first moment. Never overwrites.
pub(super) fn write_key(path: &Path, text: &str) -> Result<(), CertsError> {
    write_new(path, text, 0o600)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => CertsError::Exists { path: path.into() },
        _ => CertsError::Write {
            path: path.into(),
            source,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)
}
