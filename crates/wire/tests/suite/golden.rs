//! The bytes of every message of the replica plane, pinned: a change of any of them is a change of the protocol. Those of
//! the client plane are pinned by its test vectors, in `vectors`.
//!
//! Each file in `golden/` is one frame in hexadecimal. `PAXLOG_GOLDEN=rewrite cargo test -p paxlog-wire --test suite` writes
//! them anew; the diff is to be reviewed, and belongs into CHANGELOG.md.

use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use paxlog_wire::replica::{decode_envelope, encode_envelope};
use paxlog_wire::{Flags, FrameDecoder, FrameEncoder, FrameLimits, Message, decode};

use crate::samples;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        for byte in line {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
    }
    text
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Whether what is pinned is to be written anew.
pub(crate) fn rewriting() -> bool {
    std::env::var("PAXLOG_GOLDEN").is_ok_and(|value| value == "rewrite")
}

/// Holds `bytes` against the golden file, or writes it.
fn pinned(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"));
    if rewriting() {
        std::fs::write(&path, hex(bytes)).unwrap();
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(hex(bytes), text, "{name}: its bytes changed");
    unhex(&text)
}

fn message<M: Message + PartialEq + Debug>(name: &str, message: M) {
    let mut encoder = FrameEncoder::new();
    encoder.push(&message).unwrap();
    let bytes = pinned(name, &encoder.take().concat());

    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    decoder.push(Bytes::from(bytes));
    let frame = decoder.next_frame().unwrap().expect("a whole frame");
    assert_eq!(frame.flags, Flags::NONE, "{name}");
    assert!(frame.body.is_empty(), "{name}");
    assert_eq!(decode::<M>(&frame).unwrap(), message, "{name}");
    assert!(decoder.at_boundary(), "{name}");
}

#[test]
fn replica_hellos_keep_their_bytes() {
    for (name, sample) in samples::replica_hellos() {
        message(name, sample);
    }
    for (name, sample) in samples::replica_hello_replies() {
        message(name, sample);
    }
    for (name, sample) in samples::link_opens() {
        message(name, sample);
    }
}

#[test]
fn envelopes_keep_their_bytes() {
    for (name, sample) in samples::envelopes() {
        let bytes = pinned(name, &encode_envelope(&sample).unwrap().concat());
        let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
        decoder.push(Bytes::from(bytes));
        let frame = decoder.next_frame().unwrap().expect("a whole frame");
        assert_eq!(decode_envelope(frame).unwrap(), sample, "{name}");
        assert!(decoder.at_boundary(), "{name}");
    }
}

#[test]
fn compressed_batches_keep_their_bytes() {
    use paxlog_wire::batch::{self, BatchError, BatchView, stored_section};
    for (name, sample) in samples::compressed() {
        let parts = [Bytes::from(pinned(name, &sample.parts().concat()))];
        let info = batch::check(&parts).unwrap();
        assert_eq!(info, sample.info(), "{name}");
        let codec = info.compression.expect("it is compressed");
        assert_eq!(parts[0][9], codec.number(), "{name}");
        assert_eq!(stored_section(&parts), parts[0][32..], "{name}");
        assert_eq!(
            BatchView::parse_parts(&parts).unwrap_err(),
            BatchError::Compressed(codec),
            "{name}"
        );
    }
}
