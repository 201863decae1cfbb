//! An input, taken apart. What is missing at its end is zero, so that every input means something.

use bytes::Bytes;

pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Input<'a> {
        Input(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    pub(crate) fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    /// At most `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// `bytes` in pieces of this length, each with a buffer of its own, as the network gives them; 0 for one piece.
pub(crate) fn pieces(bytes: &[u8], len: u8) -> Vec<Bytes> {
    match usize::from(len) {
        0 => vec![Bytes::copy_from_slice(bytes)],
        len => bytes.chunks(len).map(Bytes::copy_from_slice).collect(),
    }
}

/// The bytes of hexadecimal digits; other characters are skipped.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let (pairs, _) = digits.as_chunks::<2>();
    pairs.iter().map(|[high, low]| high << 4 | low).collect()
}

/// The test vectors in the list `list` of `docs/protocol-vectors.json`: each one's name, and the bytes of its field `field`.
pub(crate) fn vectors(list: &str, field: &str) -> Vec<(String, Vec<u8>)> {
    let text = crate::repository_file("docs/protocol-vectors.json");
    let all: serde_json::Value = serde_json::from_slice(&text).expect("the vectors are JSON");
    let entries = all[list].as_array().expect("a list of vectors");
    entries
        .iter()
        .map(|entry| {
            let name = entry["name"].as_str().expect("a vector's name");
            let bytes = entry[field].as_str().expect("a vector's bytes");
            (name.to_owned(), unhex(bytes))
        })
        .collect()
}

/// The golden files of the replica plane and of compressed batches, whose names begin so.
pub(crate) fn golden(prefix: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the golden files")
        .map(|entry| entry.expect("a golden file").path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with(prefix))
        })
        .collect();
    files.sort();
    let text = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("a golden file");
    files.iter().map(|path| unhex(&text(path))).collect()
}
