//! Reading frames: hot, from the map and without a copy; cold, by `pread` and checked.

use std::sync::Arc;

use bytes::Bytes;

use super::Wal;
use crate::disk::DiskFile;
use crate::error::ReadError;
use crate::frame::{FrameHeader, FrameInfo, FrameMeta, HEADER, frame_bytes};
use crate::lsn::Lsn;
use crate::opening;
use crate::seal;
use crate::segment::segment_name;
use crate::shared::lock;

impl Wal {
    /// The payload of the frame at `lsn`, from the map and without a copy; its bytes stay good as
    /// long as they are held. Its checksum is not computed again. Never blocks on the disk.
    ///
    /// Only segments that this handle wrote are hot; what an opening found is read cold.
    ///
    /// # Errors
    /// [`ReadError::NotHot`] outside the newest two segments, [`ReadError::NotFound`] when no
    /// frame below `written()` begins there.
    pub fn read(&self, lsn: Lsn) -> Result<Bytes, ReadError> {
        if lsn >= self.written() {
            return Err(ReadError::NotFound(lsn));
        }
        let file = self.hot(lsn).ok_or(ReadError::NotHot(lsn.seq()))?;
        let at = lsn.offset();
        let none = || ReadError::NotFound(lsn);
        let header = file.view(at, at + HEADER).ok_or_else(none)?;
        let header = FrameHeader::decode(&header, lsn, self.shared.wal).ok_or_else(none)?;
        file.view(at + HEADER, at + HEADER + header.len as u64)
            .ok_or_else(none)
    }

    fn hot(&self, lsn: Lsn) -> Option<Arc<dyn DiskFile>> {
        let seq = lsn.seq();
        let newest = self.written().seq();
        if seq > newest || seq + 1 < newest {
            return None;
        }
        lock(&self.shared.files).get(&seq).cloned()
    }

    /// Whether [`read`](Wal::read) serves this place.
    pub fn is_hot(&self, lsn: Lsn) -> bool {
        self.hot(lsn).is_some()
    }

    /// The frame at `lsn`, by `pread`, its checksums computed. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_cold(&self, lsn: Lsn) -> Result<(FrameMeta, Bytes), ReadError> {
        let (file, header) = self.cold_header(lsn)?;
        let mut payload = vec![0; header.len as usize];
        self.pread(&*file, lsn.seq(), lsn.offset() + HEADER, &mut payload)?;
        if crc32c::crc32c(&payload) != header.pcrc {
            self.shared.options.observer.corrupt();
            return Err(ReadError::Corrupt(lsn));
        }
        Ok((meta(&header), Bytes::from(payload)))
    }

    fn cold_header(&self, lsn: Lsn) -> Result<(Arc<dyn DiskFile>, FrameHeader), ReadError> {
        let mut b = [0; HEADER as usize];
        let file = self.cold_place(lsn)?;
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let header = self.cold_decode(&b, lsn, file.bytes())?;
        Ok((file, header))
    }

    /// The file, if a frame may begin at `lsn`.
    fn cold_place(&self, lsn: Lsn) -> Result<Arc<dyn DiskFile>, ReadError> {
        let file = self.shared.cold_file(lsn.seq())?;
        let end = lock(&self.shared.places)
            .get(&lsn.seq())
            .and_then(|p| p.end);
        let beyond = lsn >= self.written() || end.is_some_and(|end| lsn >= end);
        if beyond || lsn.offset() + HEADER > file.bytes() {
            return Err(ReadError::NotFound(lsn));
        }
        Ok(file)
    }

    fn cold_decode(&self, b: &[u8], lsn: Lsn, bytes: u64) -> Result<FrameHeader, ReadError> {
        FrameHeader::decode(b, lsn, self.shared.wal)
            .filter(|h| lsn.offset() + frame_bytes(h.len as u64) <= bytes)
            .ok_or_else(|| {
                self.shared.options.observer.corrupt();
                ReadError::Corrupt(lsn)
            })
    }

    fn pread(
        &self,
        file: &dyn DiskFile,
        seq: u64,
        at: u64,
        to: &mut [u8],
    ) -> Result<(), ReadError> {
        file.read_at(at, to).map_err(|source| ReadError::Io {
            what: format!("reading {}", segment_name(seq)),
            source,
        })
    }

    /// The first `bytes` (or fewer) of the payload at `lsn`, by `pread`; the payload's checksum
    /// cannot be computed from them and is not. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_head(&self, lsn: Lsn, bytes: usize) -> Result<(FrameMeta, Bytes), ReadError> {
        let file = self.cold_place(lsn)?;
        let room = (file.bytes() - lsn.offset()) as usize;
        let mut b = vec![0; (HEADER as usize + bytes).min(room)];
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let header = self.cold_decode(&b, lsn, file.bytes())?;
        let end = b.len().min(HEADER as usize + header.len as usize);
        Ok((meta(&header), Bytes::from(b).slice(HEADER as usize..end)))
    }

    /// The frames that begin at `lsn` and after it in the same segment, as many as one read of
    /// `bytes_max` holds (at least the first); checksums computed. Blocks.
    ///
    /// # Errors
    /// [`ReadError`] for the first frame; the list ends before a later one that is damaged.
    pub fn read_range_cold(
        &self,
        lsn: Lsn,
        bytes_max: usize,
    ) -> Result<Vec<(FrameInfo, Bytes)>, ReadError> {
        let (file, header) = self.cold_header(lsn)?;
        let end = lock(&self.shared.places)
            .get(&lsn.seq())
            .and_then(|p| p.end);
        let written = self.written();
        let end = end.unwrap_or(if written.seq() == lsn.seq() {
            written
        } else {
            Lsn::at(lsn.seq(), file.bytes())
        });
        let first = frame_bytes(header.len as u64);
        let room = end.0 - lsn.0;
        let mut b = vec![0; (bytes_max as u64).max(first).min(room) as usize];
        self.pread(&*file, lsn.seq(), lsn.offset(), &mut b)?;
        let b = Bytes::from(b);
        let mut frames = Vec::new();
        let mut at = 0;
        while at + HEADER as usize <= b.len() {
            let place = Lsn(lsn.0 + at as u64);
            let Some(header) =
                FrameHeader::decode(&b[at..at + HEADER as usize], place, self.shared.wal)
            else {
                break;
            };
            let start = at + HEADER as usize;
            let end = start + header.len as usize;
            if end > b.len() || crc32c::crc32c(&b[start..end]) != header.pcrc {
                break;
            }
            frames.push((header.info(), b.slice(start..end)));
            at += frame_bytes(header.len as u64) as usize;
        }
        if frames.is_empty() {
            self.shared.options.observer.corrupt();
            return Err(ReadError::Corrupt(lsn));
        }
        Ok(frames)
    }

    /// The frames of a sealed segment, from its INDEX. Blocks.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn index(&self, seq: u64) -> Result<Vec<FrameInfo>, ReadError> {
        let end = lock(&self.shared.places)
            .get(&seq)
            .copied()
            .ok_or(ReadError::NoSegment(seq))?
            .end;
        if end.is_none() {
            return Err(ReadError::NotFound(Lsn::at(seq, 0)));
        }
        match seal::read_index(&*self.shared.disk, seq, self.shared.wal) {
            // The frames themselves say the same, slowly.
            Err(ReadError::Corrupt(_)) => {
                self.shared.options.observer.corrupt();
                let file = self.shared.cold_file(seq)?;
                Ok(opening::survey::rescan(&*file, seq, self.shared.wal))
            }
            found => found,
        }
    }
}

fn meta(header: &FrameHeader) -> FrameMeta {
    FrameMeta {
        kind: header.kind,
        group: header.group,
        tag: header.tag,
        aux: header.aux,
    }
}
