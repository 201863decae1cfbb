//! The owner's files beside the segments: annotations and checkpoints.

use bytes::Bytes;

use super::Wal;
use crate::error::{ReadError, SideError};
use crate::lsn::Lsn;
use crate::segment::{Name, annotation_name, checkpoint_name};
use crate::shared::lock;
use crate::side::{self, SideFault, SideKind};

impl Wal {
    /// Stores the owner's index of a sealed segment beside it, durably. Replaces an older one. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn annotate(&self, seq: u64, bytes: &[u8]) -> Result<(), SideError> {
        let place = lock(&self.shared.places).get(&seq).copied();
        if !place.is_some_and(|p| p.end.is_some() && Lsn::at(seq, p.bytes) <= self.durable()) {
            return Err(SideError::NotSealed(seq));
        }
        self.write_side(&annotation_name(seq), SideKind::Annotation, seq, &[bytes])?;
        if let Some(place) = lock(&self.shared.places).get_mut(&seq) {
            place.annotated = true;
        }
        Ok(())
    }

    fn write_side(
        &self,
        name: &str,
        kind: SideKind,
        number: u64,
        parts: &[&[u8]],
    ) -> Result<(), SideError> {
        let wal_id = self.identity().wal_id;
        side::write(&*self.shared.disk, name, kind, wal_id, number, parts).map_err(|source| {
            // What is left of it would take up room until the next opening.
            let _ = self.shared.disk.remove(&format!("{name}.tmp"));
            SideError::Io {
                what: format!("writing {name}"),
                source,
            }
        })
    }

    fn read_side(
        &self,
        name: &str,
        kind: SideKind,
        number: u64,
    ) -> Result<Option<Bytes>, ReadError> {
        match side::read(&*self.shared.disk, name, kind, number) {
            Ok((wal_id, bytes)) if wal_id == self.identity().wal_id => Ok(Some(bytes)),
            Err(SideFault::Missing) => Ok(None),
            Err(SideFault::Io(source)) => Err(ReadError::Io {
                what: format!("reading {name}"),
                source,
            }),
            Ok(_) | Err(SideFault::Damaged | SideFault::Newer(_)) => {
                self.shared.options.observer.corrupt();
                Err(ReadError::CorruptFile(name.to_owned()))
            }
        }
    }

    /// The owner's index of a segment, checksum computed; `None` when there is none. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn annotation(&self, seq: u64) -> Result<Option<Bytes>, ReadError> {
        if !lock(&self.shared.places).contains_key(&seq) {
            return Err(ReadError::NoSegment(seq));
        }
        self.read_side(&annotation_name(seq), SideKind::Annotation, seq)
    }

    /// Stores a checkpoint under a number (greater means newer) durably. Which older ones to keep
    /// is the owner's to say, by [`Wal::remove_checkpoint`]. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn put_checkpoint(&self, number: u64, parts: &[Bytes]) -> Result<(), SideError> {
        let parts: Vec<&[u8]> = parts.iter().map(|p| &p[..]).collect();
        self.write_side(
            &checkpoint_name(number),
            SideKind::Checkpoint,
            number,
            &parts,
        )
    }

    /// The numbers of the checkpoints that are there, oldest first (whole or not). Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn checkpoints(&self) -> Result<Vec<u64>, SideError> {
        let names = self.shared.disk.list().map_err(|source| SideError::Io {
            what: "listing the directory".into(),
            source,
        })?;
        let mut numbers: Vec<u64> = names
            .iter()
            .filter_map(|(name, _)| match Name::parse(name) {
                Name::Checkpoint(number) => Some(number),
                _ => None,
            })
            .collect();
        numbers.sort();
        Ok(numbers)
    }

    /// A checkpoint, checksum computed; `None` when there is none of that number. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_checkpoint(&self, number: u64) -> Result<Option<Bytes>, ReadError> {
        self.read_side(&checkpoint_name(number), SideKind::Checkpoint, number)
    }

    /// Removes a checkpoint, if it is there. Blocks.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn remove_checkpoint(&self, number: u64) -> Result<(), SideError> {
        let name = checkpoint_name(number);
        match self.shared.disk.remove(&name) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done
                .and_then(|()| self.shared.disk.sync_dir())
                .map_err(|source| SideError::Io {
                    what: format!("removing {name}"),
                    source,
                }),
        }
    }
}
