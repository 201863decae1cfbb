//! Frames and batches that must be refused, and why: each breaks one rule of `docs/protocol.md`.

use paxlog_wire::client::{ClientHello, CommandReply};
use paxlog_wire::{FrameEncoder, Kind, encode};

use crate::samples;

/// Bytes that are not the frame that is due.
pub(crate) struct Frame {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whose limits hold: `first`, `from_client`, `to_client`.
    pub(crate) limits: &'static str,
    pub(crate) due: Kind,
    pub(crate) reason: &'static str,
    pub(crate) why: &'static str,
}

/// Bytes that are no batch.
pub(crate) struct Batch {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) reason: &'static str,
    pub(crate) why: &'static str,
}

/// A frame around any meta, with lengths and checksum as they should be.
fn around(kind: u8, meta: &[u8]) -> Vec<u8> {
    let mut head = vec![1, kind, 0, 0];
    head.extend((meta.len() as u32).to_le_bytes());
    head.extend(0u32.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head), meta);
    head.extend(crc.to_le_bytes());
    [&head, meta].concat()
}

/// A header that announces so much, and nothing behind it.
fn announcing(kind: u8, meta: u32, body: u32) -> Vec<u8> {
    let mut head = vec![1, kind, 0, 0];
    head.extend(meta.to_le_bytes());
    head.extend(body.to_le_bytes());
    head.extend([0; 4]);
    head
}

pub(crate) fn frames() -> Vec<Frame> {
    let hello = ClientHello::new(7);
    let good = {
        let mut encoder = FrameEncoder::new();
        encoder.push(&hello).expect("small");
        encoder.take().concat()
    };
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        bytes
    };
    let meta = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut meta = encode(&hello);
        edit(&mut meta);
        around(1, &meta)
    };
    let first = |name, bytes, reason, why| Frame {
        name,
        bytes,
        limits: "first",
        due: Kind::ClientHello,
        reason,
        why,
    };
    let reply = |name, meta: &[u8], why| Frame {
        name,
        bytes: around(Kind::CommandReply.number(), meta),
        limits: "to_client",
        due: Kind::CommandReply,
        reason: "malformed",
        why,
    };
    let error = CommandReply {
        request: 1,
        result: Err(paxlog_wire::WireError::new(paxlog_wire::Code::Sealed, "no")),
    };
    let changed = |at: usize, byte: u8| {
        let mut meta = encode(&error);
        meta[at] = byte;
        meta
    };
    // request u64, Err u32, code u16, length of the sentence u64, its two bytes, then options.
    let (variant, code, length, words, option) = (8, 12, 14, 22, 24);
    vec![
        first(
            "frame.version",
            edited(&|bytes| bytes[0] = 2),
            "version",
            "the frame version is not 1",
        ),
        first(
            "frame.kind",
            edited(&|bytes| bytes[1] = 12),
            "kind",
            "no message has this kind",
        ),
        first(
            "frame.checksum_meta",
            edited(&|bytes| *bytes.last_mut().expect("long") ^= 1),
            "checksum",
            "a bit of the meta is flipped",
        ),
        first(
            "frame.checksum_flags",
            edited(&|bytes| bytes[2] ^= 1),
            "checksum",
            "a bit of the header is flipped",
        ),
        first(
            "frame.truncated",
            edited(&|bytes| {
                bytes.pop();
            }),
            "truncated",
            "the stream ends within the meta",
        ),
        first(
            "frame.first_meta",
            announcing(1, 4_097, 0),
            "meta_too_large",
            "a hello of more than 4,096 bytes",
        ),
        first(
            "frame.first_body",
            announcing(1, 20, 1),
            "body_too_large",
            "a hello has no body",
        ),
        Frame {
            name: "frame.body",
            bytes: announcing(3, 100, (4 << 20) + 1),
            limits: "from_client",
            due: Kind::CommandRequest,
            reason: "body_too_large",
            why: "a body from a client of more than 4,194,304 bytes",
        },
        Frame {
            name: "frame.meta",
            bytes: announcing(7, (64 << 10) + 1, 0),
            limits: "from_client",
            due: Kind::ReadRequest,
            reason: "meta_too_large",
            why: "a meta of more than 65,536 bytes",
        },
        first(
            "message.other_kind",
            around(10, &[0; 8]),
            "kind",
            "a credit where a hello is due",
        ),
        first(
            "message.left_over",
            meta(&|meta| meta.push(0)),
            "malformed",
            "a byte is left over behind the message",
        ),
        first(
            "message.too_short",
            meta(&|meta| {
                meta.pop();
            }),
            "malformed",
            "the meta ends within the message",
        ),
        reply(
            "message.variant",
            &changed(variant, 2),
            "a result is 0 or 1",
        ),
        reply(
            "message.code",
            &changed(code, 0xff),
            "no error has this code",
        ),
        reply(
            "message.length",
            &changed(length + 7, 0x7f),
            "a length that lies, and would take 2^62 bytes",
        ),
        reply(
            "message.text",
            &changed(words, 0xff),
            "a string that is not UTF-8",
        ),
        reply("message.option", &changed(option, 2), "an option is 0 or 1"),
    ]
}

pub(crate) fn batches() -> Vec<Batch> {
    let good = samples::batch().parts().concat();
    // With the checksum as it should be, so that something else is wrong.
    let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        edit(&mut bytes);
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    let batch = |name, reason, why, bytes| Batch {
        name,
        bytes,
        reason,
        why,
    };
    let mut damaged = good.clone();
    *damaged.last_mut().expect("long") ^= 1;
    let longer = edited(&|bytes| {
        bytes.push(0);
        let section = (bytes.len() - 32) as u32;
        bytes[16..20].copy_from_slice(&section.to_le_bytes());
        bytes[20..24].copy_from_slice(&section.to_le_bytes());
    });
    vec![
        batch(
            "batch.checksum",
            "checksum",
            "a bit of a payload is flipped",
            damaged,
        ),
        batch(
            "batch.magic",
            "malformed",
            "it does not begin with PXB1",
            edited(&|bytes| bytes[3] = b'2'),
        ),
        batch(
            "batch.version",
            "malformed",
            "the version is not 1",
            edited(&|bytes| bytes[8] = 2),
        ),
        batch(
            "batch.compression",
            "compression",
            "a compression that nobody knows",
            edited(&|bytes| bytes[9] = 255),
        ),
        batch(
            "batch.flags",
            "malformed",
            "reserved bytes are not 0",
            edited(&|bytes| bytes[10] = 1),
        ),
        batch(
            "batch.reserved",
            "malformed",
            "reserved bytes are not 0",
            edited(&|bytes| bytes[31] = 1),
        ),
        batch(
            "batch.empty",
            "empty",
            "it says that it has no record",
            edited(&|bytes| bytes[12] = 0),
        ),
        batch(
            "batch.fewer",
            "malformed",
            "it has a record more than it says",
            edited(&|bytes| bytes[12] = 2),
        ),
        batch(
            "batch.more",
            "malformed",
            "it has a record less than it says",
            edited(&|bytes| bytes[12] = 4),
        ),
        batch(
            "batch.stored_bytes",
            "malformed",
            "its length is not what it says",
            edited(&|bytes| bytes[16] += 1),
        ),
        batch(
            "batch.record_bytes",
            "malformed",
            "the length without compression is another, and there is none",
            edited(&|bytes| bytes[20] += 1),
        ),
        batch(
            "batch.longer",
            "malformed",
            "a byte behind the last record",
            longer,
        ),
        batch(
            "batch.short",
            "malformed",
            "shorter than a batch's header",
            good[..31].to_vec(),
        ),
        batch(
            "batch.header",
            "malformed",
            "a header that reaches beyond the header section of its record",
            // Behind the first record of 19 bytes: the second's lengths, no byte of a key, the length of its first header's name.
            edited(&|bytes| bytes[32 + 19 + 12] += 18),
        ),
        batch(
            "batch.record_too_large",
            "record_too_large",
            "a payload of more than 1,048,576 bytes, which is not even there",
            edited(&|bytes| {
                bytes[32 + 8..32 + 12].copy_from_slice(&((1u32 << 20) + 1).to_le_bytes())
            }),
        ),
        batch(
            "batch.headers_too_large",
            "headers_too_large",
            "headers of more than 32,768 bytes, which are not even there",
            edited(&|bytes| {
                bytes[32 + 4..32 + 8].copy_from_slice(&((32u32 << 10) + 1).to_le_bytes())
            }),
        ),
    ]
}
