//! `wal.meta`: whose log a directory holds.
//!
//! A side file (see `side`) of kind 1 and number 0; its payload is `cluster u128, replica u64`, the
//! wal id stands in the side file's header. Written once.

use std::io;

use crate::disk::Disk;
use crate::error::{FormatError, OpenError};
use crate::frame::{le64, le128};
use crate::options::Identity;
use crate::segment::{Name, VERSION};
use crate::side::{self, SideFault, SideKind};

pub(crate) const META: &str = "wal.meta";

/// Makes an empty directory a log's: writes `wal.meta`, durably.
///
/// # Errors
/// [`FormatError`]; a directory that was formatted before, or holds segments, is left alone.
pub fn format(disk: &dyn Disk, identity: Identity) -> Result<(), FormatError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| FormatError::Io { what, source }
    };
    let names = disk.list().map_err(failed("listing the directory"))?;
    if names
        .iter()
        .any(|(name, _)| name == META || matches!(Name::parse(name), Name::Segment(_)))
    {
        return Err(FormatError::AlreadyFormatted);
    }
    let lock = disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => FormatError::InUse,
        _ => FormatError::Io {
            what: "locking the directory".into(),
            source,
        },
    })?;
    let cluster = identity.cluster.to_le_bytes();
    let replica = identity.replica.to_le_bytes();
    let made = side::write(
        disk,
        META,
        SideKind::Meta,
        identity.wal_id,
        0,
        &[&cluster, &replica],
    )
    .map_err(failed("writing wal.meta"));
    lock.release();
    made
}

/// What the directory was formatted with, or `None` when it was not. Locks and changes nothing.
///
/// # Errors
/// [`OpenError::MetaDamaged`], [`OpenError::Newer`], [`OpenError::Io`].
pub fn identify(disk: &dyn Disk) -> Result<Option<Identity>, OpenError> {
    match side::read(disk, META, SideKind::Meta, 0) {
        Ok((wal_id, b)) if b.len() == 24 => Ok(Some(Identity {
            cluster: le128(&b, 0),
            replica: le64(&b, 16),
            wal_id,
        })),
        Ok(_) => Err(OpenError::MetaDamaged("its length is wrong")),
        Err(SideFault::Missing) => Ok(None),
        Err(SideFault::Damaged) => Err(OpenError::MetaDamaged("its checksum does not fit")),
        Err(SideFault::Newer(version)) => Err(OpenError::Newer {
            file: META.into(),
            version,
            known: VERSION,
        }),
        Err(SideFault::Io(source)) => Err(OpenError::Io {
            what: "reading wal.meta".into(),
            source,
        }),
    }
}
