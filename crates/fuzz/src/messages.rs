//! The messages of both planes, past the frames' checksums.
//!
//! Input: the frame's kind (u8), the length of the body (u16), the body, and the message.

use bytes::Bytes;
use paxlog_wire::client::{
    ClientHello, CommandReply, CommandRequest, ControlEvent, Credit, QueryReply, QueryRequest,
    ReadEvent, ReadRequest, TailEvent, TailRequest, split_batches,
};
use paxlog_wire::frame::HEADER_BYTES;
use paxlog_wire::replica::{
    LinkOpen, ReplicaHello, ReplicaHelloReply, decode_envelope, encode_envelope,
};
use paxlog_wire::{Flags, Frame, Kind, Message, decode, encode};

use crate::input::{Input, golden, pieces, vectors};

pub(crate) fn client(bytes: &[u8]) {
    let Some(frame) = frame(bytes) else { return };
    match frame.kind {
        Kind::ClientHello => same::<ClientHello>(&frame),
        Kind::ControlEvent => same::<ControlEvent>(&frame),
        Kind::CommandRequest => same::<CommandRequest>(&frame),
        Kind::CommandReply => same::<CommandReply>(&frame),
        Kind::QueryRequest => same::<QueryRequest>(&frame),
        Kind::QueryReply => same::<QueryReply>(&frame),
        Kind::ReadRequest => same::<ReadRequest>(&frame),
        Kind::ReadEvent => {
            same::<ReadEvent>(&frame);
            if let Ok(ReadEvent::Records(batches)) = decode(&frame) {
                cut(&batches, &frame.body);
            }
        }
        Kind::TailRequest => same::<TailRequest>(&frame),
        Kind::Credit => same::<Credit>(&frame),
        Kind::TailEvent => {
            same::<TailEvent>(&frame);
            if let Ok(TailEvent::Records(batches)) = decode(&frame) {
                cut(&batches, &frame.body);
            }
        }
        // The other plane's; here they are only refused.
        Kind::ReplicaHello | Kind::ReplicaHelloReply | Kind::LinkOpen | Kind::Envelope => {
            assert!(decode::<ClientHello>(&frame).is_err());
        }
    }
}

pub(crate) fn replica(bytes: &[u8]) {
    let Some(frame) = frame(bytes) else { return };
    match frame.kind {
        Kind::ReplicaHello => same::<ReplicaHello>(&frame),
        Kind::ReplicaHelloReply => same::<ReplicaHelloReply>(&frame),
        Kind::LinkOpen => same::<LinkOpen>(&frame),
        Kind::Envelope => {
            let Ok(envelope) = decode_envelope(frame.clone()) else {
                return;
            };
            let again = encode_envelope(&envelope).expect("what was read can be sent");
            let whole = again.concat();
            assert_eq!(whole[HEADER_BYTES..][..frame.meta.len()], frame.meta);
            assert_eq!(
                whole[HEADER_BYTES..][frame.meta.len()..],
                frame.body.concat()
            );
        }
        _ => assert!(decode_envelope(frame).is_err()),
    }
}

fn frame(bytes: &[u8]) -> Option<Frame> {
    let mut input = Input::new(bytes);
    let kind = Kind::from_number(input.u8())?;
    let body_bytes = input.u16();
    let body = input.take(body_bytes.into());
    let cut = body.first().copied().unwrap_or(0);
    let body = if body.is_empty() {
        vec![]
    } else {
        pieces(body, cut)
    };
    let meta = Bytes::copy_from_slice(input.rest());
    let flags = Flags::NONE;
    Some(Frame {
        kind,
        flags,
        meta,
        body,
    })
}

/// What can be read is written the same again.
fn same<M: Message>(frame: &Frame) {
    if let Ok(message) = decode::<M>(frame) {
        assert_eq!(encode(&message), frame.meta, "{:?} in two ways", frame.kind);
    }
}

/// A body is cut into batches whole, or not at all.
fn cut(batches: &[paxlog_wire::client::BatchMeta], body: &[Bytes]) {
    for batch in batches {
        assert!(batch.end() >= batch.start);
    }
    if let Ok(cut) = split_batches(batches, body) {
        assert_eq!(cut.concat().concat(), body.concat());
    }
}

fn seed(frame: &[u8]) -> Vec<u8> {
    let length = |at: usize| {
        u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]) as usize
    };
    let (meta, body) = frame[HEADER_BYTES..].split_at(length(4));
    let mut seed = vec![frame[1]];
    seed.extend((body.len() as u16).to_le_bytes());
    seed.extend(body);
    seed.extend(meta);
    seed
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    let frames = vectors("frames", "frame");
    frames.iter().map(|(_, frame)| seed(frame)).collect()
}

pub(crate) fn replica_seeds() -> Vec<Vec<u8>> {
    let files = ["envelope.", "link_open.", "replica_hello"].map(golden);
    files.concat().iter().map(|frame| seed(frame)).collect()
}
