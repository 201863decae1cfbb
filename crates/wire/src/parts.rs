//! Byte strings in pieces.
//!
//! What comes from the network comes in chunks that end where datagrams end. Payloads stay in those pieces on their whole way to
//! the disk and to other replicas; this module reads across the seams.

use bytes::{Bytes, BytesMut};

/// The length of all parts together.
pub fn len(parts: &[Bytes]) -> usize {
    parts.iter().map(Bytes::len).sum()
}

/// The CRC32C of all parts, as if they were joined.
pub fn crc32c(parts: &[Bytes]) -> u32 {
    parts
        .iter()
        .fold(0, |crc, part| crc32c::crc32c_append(crc, part))
}

/// One `Bytes` with the contents of all parts. Copies only if there are several.
pub fn join(parts: &[Bytes]) -> Bytes {
    match parts {
        [] => Bytes::new(),
        [one] => one.clone(),
        many => {
            let mut joined = BytesMut::with_capacity(len(many));
            for part in many {
                joined.extend_from_slice(part);
            }
            joined.freeze()
        }
    }
}

/// A place in a byte string made of parts; moves only forward.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    parts: &'a [Bytes],
    /// Into `parts[0]`; less than its length unless it is the last.
    at: usize,
    remaining: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub fn new(parts: &'a [Bytes]) -> Self {
        Self {
            parts,
            at: 0,
            remaining: len(parts),
        }
    }

    /// The bytes from here to the end.
    pub fn remaining(&self) -> usize {
        self.remaining
    }

    /// The next `n` bytes as parts, without copying; none if there are fewer.
    pub fn take(&mut self, n: usize) -> Option<Vec<Bytes>> {
        if n > self.remaining {
            return None;
        }
        let mut taken = Vec::new();
        self.walk(n, |part, range| taken.push(part.slice(range)));
        Some(taken)
    }

    /// The next `n` bytes as one; copied only if they span parts. None if there are fewer.
    pub fn take_joined(&mut self, n: usize) -> Option<Bytes> {
        if n > self.remaining {
            return None;
        }
        if let Some(part) = self.parts.first()
            && part.len() - self.at >= n
        {
            let taken = part.slice(self.at..self.at + n);
            self.walk(n, |_, _| {});
            return Some(taken);
        }
        let mut joined = BytesMut::with_capacity(n);
        self.walk(n, |part, range| joined.extend_from_slice(&part[range]));
        Some(joined.freeze())
    }

    /// The next `N` bytes by value; none if there are fewer.
    pub fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        if N > self.remaining {
            return None;
        }
        let mut array = [0; N];
        if let Some(part) = self.parts.first()
            && part.len() - self.at >= N
        {
            array.copy_from_slice(&part[self.at..self.at + N]);
            self.walk(N, |_, _| {});
            return Some(array);
        }
        let mut filled = 0;
        self.walk(N, |part, range| {
            let piece = &part[range];
            array[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        });
        Some(array)
    }

    /// Moves over the next `n` bytes; false, and not moved, if there are fewer.
    pub fn skip(&mut self, n: usize) -> bool {
        if n > self.remaining {
            return false;
        }
        self.walk(n, |_, _| {});
        true
    }

    /// Calls `visit` with each piece of the next `n <= remaining` bytes.
    fn walk(&mut self, mut n: usize, mut visit: impl FnMut(&'a Bytes, std::ops::Range<usize>)) {
        debug_assert!(n <= self.remaining);
        self.remaining -= n;
        while let Some((part, rest)) = self.parts.split_first() {
            let here = n.min(part.len() - self.at);
            if here > 0 {
                visit(part, self.at..self.at + here);
            }
            n -= here;
            self.at += here;
            if self.at < part.len() {
                return;
            }
            self.parts = rest;
            self.at = 0;
            if n == 0 && rest.first().is_some_and(|next| !next.is_empty()) {
                return;
            }
        }
    }
}
