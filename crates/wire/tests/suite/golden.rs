//! The bytes of every message, pinned: a change of any of them is a change of the protocol.
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

/// Holds `bytes` against the golden file, or writes it.
fn pinned(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"));
    if std::env::var("PAXLOG_GOLDEN").is_ok_and(|value| value == "rewrite") {
        std::fs::write(&path, hex(bytes)).unwrap();
    }
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(hex(bytes), text, "{name}: its bytes changed");
    unhex(&text)
}

fn message<M: Message + PartialEq + Debug>(name: &str, message: M, flags: Flags, body: &[Bytes]) {
    let mut encoder = FrameEncoder::new();
    encoder.push_with(&message, flags, body).unwrap();
    let bytes = pinned(name, &encoder.take().concat());

    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    decoder.push(Bytes::from(bytes));
    let frame = decoder.next_frame().unwrap().expect("a whole frame");
    assert_eq!(frame.flags, flags, "{name}");
    assert_eq!(frame.body.concat(), body.concat(), "{name}");
    assert_eq!(decode::<M>(&frame).unwrap(), message, "{name}");
    assert!(decoder.at_boundary(), "{name}");
}

#[test]
fn client_messages_keep_their_bytes() {
    for (name, sample) in samples::client_hellos() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::control_events() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::command_requests() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::command_replies() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::query_requests() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::query_replies() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::read_requests() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::read_events() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::tail_requests() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::tail_events() {
        message(name, sample, Flags::NONE, &[]);
    }
    message("credit", samples::credit(), Flags::NONE, &[]);
}

#[test]
fn frames_with_body_and_flags_keep_their_bytes() {
    let batch = samples::batch();
    let (_, append) = samples::command_requests().pop().unwrap();
    message(
        "frame.append_with_batch",
        append,
        Flags::RESUME,
        batch.parts(),
    );
}

#[test]
fn replica_hellos_keep_their_bytes() {
    for (name, sample) in samples::replica_hellos() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::replica_hello_replies() {
        message(name, sample, Flags::NONE, &[]);
    }
    for (name, sample) in samples::link_opens() {
        message(name, sample, Flags::NONE, &[]);
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
fn batch_keeps_its_bytes() {
    let bytes = pinned("batch", &samples::batch().parts().concat());
    let parts = [Bytes::from(bytes)];
    let view = paxlog_wire::batch::BatchView::parse_parts(&parts).unwrap();
    assert_eq!(view.records().collect::<Vec<_>>(), samples::records());
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
