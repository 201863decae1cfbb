//! `wal.meta`: whose log a directory holds.
use crate::disk::Disk;
use crate::*;

/// Makes an empty directory a log's: writes `wal.meta`, durably.
///
/// # Errors
/// [`FormatError`]; a directory that was formatted before is left alone.
pub fn format(disk: &dyn Disk, identity: Identity) -> Result<(), FormatError> {
    let _ = (disk, identity);
    Ok(())
}

/// What the directory was formatted with, or `None` when it was not. Locks and changes nothing.
///
/// # Errors
/// [`OpenError::MetaDamaged`], [`OpenError::Newer`], [`OpenError::Io`].
pub fn identify(disk: &dyn Disk) -> Result<Option<Identity>, OpenError> {
    let _ = disk;
    Ok(None)
}
