//! Frames on their way to the page cache.
//!
//! Headers are made here and not at the append, because they carry the newest durable promise and
//! the chain of checksums. Payload parts go to the kernel as they came: no staging buffer. Their
//! checksum is computed shortly before, in pieces small enough to be in the cache still when the
//! kernel copies them. A large payload goes before its header; small frames go in one vector, and
//! nobody looks at them before `written` passes.

use std::io::{self, IoSlice};

use bytes::Bytes;

use crate::disk::DiskFile;
use crate::frame::{FrameHeader, FrameInfo, FrameMeta, HEADER, Kind, frame_bytes};
use crate::lsn::Lsn;
use crate::seal::{ENTRY, Entry, TRAILER, Trailer};

/// Payloads larger than this are written in pieces of this.
const PIECE: usize = 64 << 10;
/// Pieces that go to the kernel in one call; it takes up to 1024.
const VECTOR_MAX: usize = 512;
static ZEROS: [u8; 64] = [0; 64];

/// What carries over from one frame to the next.
pub(crate) struct Chain {
    /// hcrc of the frame before.
    pub(crate) prev: u32,
    /// The INDEX payload so far.
    pub(crate) index: Vec<u8>,
}

/// A frame, or the seal of a segment, with its place.
pub(crate) struct Queued {
    lsn: Lsn,
    len: u32,
    parts: u32,
    flags: u16,
    meta: FrameMeta,
    /// The successor, for a seal.
    next_seq: u64,
}

impl Queued {
    pub(crate) fn frame(lsn: Lsn, meta: FrameMeta, flags: u16, len: u32, parts: u32) -> Queued {
        Queued {
            lsn,
            len,
            parts,
            flags,
            meta,
            next_seq: 0,
        }
    }

    pub(crate) fn seal(lsn: Lsn, frames: u64, next_seq: u64) -> Queued {
        let meta = FrameMeta {
            kind: Kind::Index,
            group: 0,
            tag: 0,
            aux: 0,
        };
        Queued {
            lsn,
            len: (frames * ENTRY) as u32,
            parts: 0,
            flags: 0,
            meta,
            next_seq,
        }
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(crate) fn is_seal(&self) -> bool {
        self.meta.kind == Kind::Index
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts as usize
    }

    pub(crate) fn bytes(&self) -> u64 {
        frame_bytes(self.len as u64) + if self.is_seal() { TRAILER } else { 0 }
    }

    pub(crate) fn end(&self) -> Lsn {
        Lsn(self.lsn.0 + frame_bytes(self.len as u64))
    }
}

/// A write to be done: consecutive frames of one segment.
pub(crate) struct WriteOp {
    pub(crate) seq: u64,
    pub(crate) wal: u32,
    pub(crate) segment_bytes: u64,
    /// The promise that the frames carry.
    pub(crate) durable: Lsn,
    pub(crate) frames: Vec<Queued>,
    pub(crate) parts: Vec<Bytes>,
    pub(crate) chain: Chain,
    /// `written`, when it is done.
    pub(crate) end: Lsn,
    pub(crate) bytes: u64,
}

impl WriteOp {
    /// Does it.
    pub(crate) fn run(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let mut part = 0;
        // Frames before this one are in the file; the range `from..i` waits to go in one vector.
        let (mut from, mut from_part, mut waiting) = (0, 0, 0);
        let mut headers: Vec<[u8; HEADER as usize]> = Vec::new();
        for i in 0..self.frames.len() {
            let len = self.frames[i].len as usize;
            let parts = self.frames[i].parts();
            if self.frames[i].is_seal() || len > PIECE {
                self.flush(file, from, &headers, from_part, part)?;
                headers.clear();
                waiting = 0;
                if self.frames[i].is_seal() {
                    self.seal(file, i)?
                } else {
                    self.large(file, i, part)?
                }
                part += parts;
                (from, from_part) = (i + 1, part);
                continue;
            }
            let pcrc = self.parts[part..part + parts]
                .iter()
                .fold(0, |crc, p| crc32c::crc32c_append(crc, p));
            let header = self.header(i, pcrc);
            headers.push(header);
            part += parts;
            waiting += len;
            if waiting >= PIECE || headers.len() >= 256 {
                self.flush(file, from, &headers, from_part, part)?;
                headers.clear();
                waiting = 0;
                (from, from_part) = (i + 1, part);
            }
        }
        self.flush(file, from, &headers, from_part, part)
    }

    /// The header of frame `i`, chained; also its entry of the INDEX.
    fn header(&mut self, i: usize, pcrc: u32) -> [u8; HEADER as usize] {
        let queued = &self.frames[i];
        let mut header = FrameHeader {
            hcrc: 0,
            kind: queued.meta.kind,
            flags: queued.flags,
            lsn: queued.lsn,
            durable: self.durable,
            tag: queued.meta.tag,
            group: queued.meta.group,
            len: queued.len,
            pcrc,
            prev: self.chain.prev,
            aux: queued.meta.aux,
            wal: self.wal,
        };
        let bytes = header.encode();
        self.chain.prev = header.hcrc;
        if header.kind != Kind::Index {
            let info: FrameInfo = header.info();
            Entry::Frame(info).encode(&mut self.chain.index);
        }
        bytes
    }

    /// Writes the small frames from `from` on, one for each header.
    fn flush(
        &self,
        file: &dyn DiskFile,
        from: usize,
        headers: &[[u8; HEADER as usize]],
        from_part: usize,
        to_part: usize,
    ) -> io::Result<()> {
        if headers.is_empty() {
            return Ok(());
        }
        let mut vector = Vec::with_capacity(headers.len() * 2 + to_part - from_part);
        let mut part = from_part;
        for (queued, header) in self.frames[from..].iter().zip(headers) {
            vector.push(IoSlice::new(header));
            let parts = &self.parts[part..part + queued.parts()];
            vector.extend(
                parts
                    .iter()
                    .filter(|p| !p.is_empty())
                    .map(|p| IoSlice::new(p)),
            );
            part += queued.parts();
            let pad = padding(queued.len as usize);
            if pad > 0 {
                vector.push(IoSlice::new(&ZEROS[..pad]));
            }
        }
        file.write_at(self.frames[from].lsn.offset(), &vector)
    }

    /// Writes one large frame: payload piece by piece, then the header.
    fn large(&mut self, file: &dyn DiskFile, i: usize, part: usize) -> io::Result<()> {
        let lsn = self.frames[i].lsn;
        let mut at = lsn.offset() + HEADER;
        let mut pcrc = 0;
        // A value of many small commands has thousands of parts: one call for each would cost more than the copy.
        let (mut vector, mut waiting) = (Vec::with_capacity(VECTOR_MAX), 0);
        let parts = &self.parts[part..part + self.frames[i].parts()];
        for piece in parts.iter().flat_map(|part| part.chunks(PIECE)) {
            if waiting + piece.len() > PIECE || vector.len() == VECTOR_MAX {
                file.write_at(at, &vector)?;
                at += waiting as u64;
                vector.clear();
                waiting = 0;
            }
            pcrc = crc32c::crc32c_append(pcrc, piece);
            vector.push(IoSlice::new(piece));
            waiting += piece.len();
        }
        let pad = padding(self.frames[i].len as usize);
        vector.push(IoSlice::new(&ZEROS[..pad]));
        file.write_at(at, &vector)?;
        let header = self.header(i, pcrc);
        file.write_at(lsn.offset(), &[IoSlice::new(&header)])
    }

    /// Writes INDEX and trailer.
    fn seal(&mut self, file: &dyn DiskFile, i: usize) -> io::Result<()> {
        let lsn = self.frames[i].lsn;
        let next_seq = self.frames[i].next_seq;
        assert_eq!(
            self.chain.index.len(),
            self.frames[i].len as usize,
            "an entry per frame"
        );
        let pcrc = crc32c::crc32c(&self.chain.index);
        let header = self.header(i, pcrc);
        write_seal(
            file,
            lsn,
            &header,
            &self.chain.index,
            self.segment_bytes,
            next_seq,
            0,
        )
    }
}

/// Writes an INDEX frame at `lsn` and the trailer.
pub(crate) fn write_seal(
    file: &dyn DiskFile,
    lsn: Lsn,
    header: &[u8; HEADER as usize],
    index: &[u8],
    segment_bytes: u64,
    next_seq: u64,
    sealed_by: u32,
) -> io::Result<()> {
    let pad = padding(index.len());
    let vector = [
        IoSlice::new(header),
        IoSlice::new(index),
        IoSlice::new(&ZEROS[..pad]),
    ];
    file.write_at(lsn.offset(), &vector)?;
    let trailer = Trailer {
        seq: lsn.seq(),
        index: lsn,
        index_len: index.len() as u32,
        sealed_by,
        end: Lsn(lsn.0 + frame_bytes(index.len() as u64)),
        frames: index.len() as u64 / ENTRY,
        next_seq,
    };
    file.write_at(segment_bytes - TRAILER, &[IoSlice::new(&trailer.encode())])
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(64) - len
}
