//! The frame splitter.
//!
//! Input: limits (u8), whether to mend checksums (u8, odd: yes), length of the pieces (u8), and the stream.

use bytes::Bytes;
use paxlog_wire::frame::{FRAME_VERSION, HEADER_BYTES};
use paxlog_wire::{Frame, FrameDecoder, FrameError, FrameLimits};

use crate::input::{Input, golden, pieces, vectors};

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let limits = match input.u8() % 4 {
        0 => FrameLimits::FIRST,
        1 => FrameLimits::FROM_CLIENT,
        2 => FrameLimits::TO_CLIENT,
        _ => FrameLimits::REPLICA,
    };
    let mends = input.u8() & 1 == 1;
    let cut = input.u8();
    let mut stream = input.rest().to_vec();
    if mends {
        mend(&mut stream);
    }
    let (frames, end) = split(vec![Bytes::copy_from_slice(&stream)], limits);
    let (again, same_end) = split(pieces(&stream, cut), limits);
    assert_eq!(end, same_end, "how it was cut matters");
    assert_eq!(frames.len(), again.len(), "how it was cut matters");
    let mut at = 0;
    for (frame, other) in frames.iter().zip(&again) {
        assert_eq!(
            (frame.kind, &frame.meta),
            (other.kind, &other.meta),
            "how it was cut matters"
        );
        let body = frame.body.concat();
        assert_eq!(body, other.body.concat(), "how it was cut matters");
        assert!(frame.meta.len() <= limits.meta_bytes_max && body.len() <= limits.body_bytes_max);
        let whole = joined(frame, &body);
        assert_eq!(
            stream.get(at..at + whole.len()),
            Some(&whole[..]),
            "a frame is what its bytes say"
        );
        at += whole.len();
    }
    if end.is_ok() {
        assert_eq!(at, stream.len(), "nothing was skipped");
    }
}

/// The frames, and how the stream ended.
fn split(chunks: Vec<Bytes>, limits: FrameLimits) -> (Vec<Frame>, Result<(), FrameError>) {
    let mut decoder = FrameDecoder::new(limits);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
    }
    let end = decoder.finish();
    (frames, end)
}

/// The frame as the format says it is written.
fn joined(frame: &Frame, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FRAME_VERSION, frame.kind.number()];
    bytes.extend(frame.flags.0.to_le_bytes());
    bytes.extend((frame.meta.len() as u32).to_le_bytes());
    bytes.extend((body.len() as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes), &frame.meta);
    bytes.extend(crc.to_le_bytes());
    bytes.extend(&frame.meta[..]);
    bytes.extend(body);
    bytes
}

/// Puts the right checksum into every frame that is there whole.
fn mend(stream: &mut [u8]) {
    let mut at = 0;
    while let Some(head) = stream.get(at..at + HEADER_BYTES) {
        let length = |from: usize| {
            u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]])
                as usize
        };
        let meta = at + HEADER_BYTES..at + HEADER_BYTES + length(4);
        let next = meta.end + length(8);
        let Some(of_meta) = stream.get(meta) else {
            return;
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..12]), of_meta);
        stream[at + 12..at + HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        at = next;
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut streams: Vec<(u8, Vec<u8>)> = Vec::new();
    for (name, frame) in vectors("frames", "frame") {
        let limits = if name.starts_with("client_hello") {
            0
        } else {
            2
        };
        streams.push((limits, frame));
    }
    let whole: Vec<u8> = streams
        .iter()
        .take(6)
        .flat_map(|(_, f)| f.clone())
        .collect();
    streams.push((2, whole));
    for prefix in ["envelope.", "link_open.", "replica_hello"] {
        streams.extend(golden(prefix).into_iter().map(|frame| (3, frame)));
    }
    let seed = |cut: u8, (limits, stream): (u8, Vec<u8>)| [vec![limits, 1, cut], stream].concat();
    streams
        .into_iter()
        .zip(0..)
        .map(|(s, i)| seed(i % 9, s))
        .collect()
}
