//! Cutting input into records: a record is the bytes between separators.
//!
//! Nothing but the separator (line feed, or NUL with `-0`) is taken away: a carriage return belongs
//! to the record. Input that ends without a separator ends with a record all the same; input that
//! ends with one does not begin another. A record over the limit is an error that carries its number; the
//! records before it stand.

use bytes::{Bytes, BytesMut};

/// Cuts chunks, split anywhere, into records.
pub(crate) struct Framer {
    separator: u8,
    record_bytes_max: usize,
    /// What came since the last separator.
    rest: BytesMut,
    /// How much of `rest` is known to hold no separator.
    searched: usize,
    /// Records cut so far.
    records: u64,
}

/// A record over the limit. Lines are counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// Its number.
    pub(crate) line: u64,
}

impl Framer {
    pub(crate) fn new(separator: u8, record_bytes_max: usize) -> Framer {
        Framer {
            separator,
            record_bytes_max,
            rest: BytesMut::new(),
            searched: 0,
            records: 0,
        }
    }

    /// Where to read the next chunk into: its spare capacity; [`Framer::cut`] then finds it.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.rest
    }

    /// How many records were cut so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// The next whole record among what was read, if there is one.
    pub(crate) fn cut(&mut self) -> Result<Option<Bytes>, TooLong> {
        match self.rest[self.searched..]
            .iter()
            .position(|b| *b == self.separator)
        {
            Some(at) => {
                let length = self.searched + at;
                self.searched = 0;
                let mut record = self.rest.split_to(length + 1);
                record.truncate(length);
                self.checked(record).map(Some)
            }
            None => {
                self.searched = self.rest.len();
                // What can only grow is refused before it is all in memory.
                if self.rest.len() > self.record_bytes_max {
                    return Err(TooLong {
                        line: self.records + 1,
                    });
                }
                Ok(None)
            }
        }
    }

    /// The record that the end of the input ends, if bytes came since the last separator.
    pub(crate) fn finish(&mut self) -> Result<Option<Bytes>, TooLong> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        self.searched = 0;
        let record = self.rest.split();
        self.checked(record).map(Some)
    }

    fn checked(&mut self, record: BytesMut) -> Result<Bytes, TooLong> {
        self.records += 1;
        if record.len() > self.record_bytes_max {
            return Err(TooLong { line: self.records });
        }
        Ok(record.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `input` in pieces of `piece` bytes.
    fn cut(input: &[u8], separator: u8, max: usize, piece: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut framer = Framer::new(separator, max);
        let mut records = Vec::new();
        for chunk in input.chunks(piece) {
            framer.buffer().extend_from_slice(chunk);
            while let Some(record) = framer.cut()? {
                records.push(record.to_vec());
            }
        }
        records.extend(framer.finish()?.map(|r| r.to_vec()));
        assert_eq!(framer.records(), records.len() as u64);
        Ok(records)
    }

    #[test]
    fn a_record_is_the_bytes_between_line_feeds_however_they_arrive() {
        let cases: [(&[u8], &[&[u8]]); 8] = [
            (b"", &[]),
            (b"\n", &[b""]),
            (b"\n\n", &[b"", b""]),
            (b"a\nb\n", &[b"a", b"b"]),
            (b"a\nb", &[b"a", b"b"]),
            (b"a\r\nb\r\n", &[b"a\r", b"b\r"]),
            (b"\xff\x00\xfe\n\0", &[b"\xff\x00\xfe", b"\0"]),
            (b"a\n\n\nb", &[b"a", b"", b"", b"b"]),
        ];
        for (input, want) in cases {
            for piece in 1..=input.len().max(1) {
                assert_eq!(
                    cut(input, b'\n', 10, piece).unwrap(),
                    want,
                    "{input:?} by {piece}"
                );
            }
        }
    }

    #[test]
    fn with_nul_a_line_feed_is_part_of_the_record() {
        assert_eq!(
            cut(b"a\nb\0c\0", 0, 10, 2).unwrap(),
            [b"a\nb".to_vec(), b"c".to_vec()]
        );
    }

    #[test]
    fn a_line_over_the_limit_is_refused_with_its_number_and_earlier_ones_stand() {
        for piece in 1..12 {
            assert_eq!(
                cut(b"ab\nabc\nabcd\nx", b'\n', 3, piece),
                Err(TooLong { line: 3 }),
                "by {piece}"
            );
            assert_eq!(
                cut(b"ab\nabcd", b'\n', 3, piece),
                Err(TooLong { line: 2 }),
                "unterminated, by {piece}"
            );
            assert_eq!(
                cut(b"abc", b'\n', 3, piece).unwrap(),
                [b"abc".to_vec()],
                "exactly the limit"
            );
        }
        let mut framer = Framer::new(b'\n', 3);
        framer.buffer().extend_from_slice(b"ok\ntoo long");
        assert_eq!(framer.cut().unwrap().unwrap(), &b"ok"[..]);
        assert_eq!(
            framer.cut(),
            Err(TooLong { line: 2 }),
            "before its end has come"
        );
    }
}
