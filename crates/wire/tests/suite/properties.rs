//! What must hold for any bytes, split anywhere.

use bytes::{Bytes, BytesMut};
use paxlog_paxos::Envelope;
use paxlog_wire::batch::{self, BatchBuilder, BatchError, BatchView, Codec, Record};
use paxlog_wire::client::*;
use paxlog_wire::replica::{decode_envelope, encode_envelope};
use paxlog_wire::{
    DecodeError, EncodeError, Flags, Frame, FrameDecoder, FrameEncoder, FrameLimits, decode, parts,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::samples;

fn bytes(max: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..max).prop_map(Bytes::from)
}

fn record() -> impl Strategy<Value = Record> {
    let header = (bytes(12), bytes(40));
    (
        proptest::option::of(bytes(20)),
        vec(header, 0..4),
        prop_oneof![4 => bytes(300), 1 => bytes(40_000)],
    )
        .prop_map(|(key, headers, payload)| Record {
            key,
            headers,
            payload,
        })
}

/// Cuts at the given places, and gives each piece a buffer of its own, as the network does.
fn split(whole: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
    places.extend([0, whole.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| Bytes::copy_from_slice(&whole[pair[0]..pair[1]]))
        .collect()
}

fn drain(decoder: &mut FrameDecoder, chunks: impl IntoIterator<Item = Bytes>) -> Vec<Frame> {
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame().expect("frames of ours") {
            frames.push(frame);
        }
    }
    frames
}

fn append(request: u64) -> CommandRequest {
    CommandRequest {
        request,
        deadline_ms: 1_000,
        command: CommandBody::Append {
            origin: Origin {
                producer: 1,
                epoch: 2,
                sequence: request,
            },
            log: 3,
            if_tail: None,
            fence: None,
        },
    }
}

proptest! {
    #[test]
    fn any_split_yields_the_same_frames(
        bodies in vec(vec(bytes(2_000), 0..4), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut encoder = FrameEncoder::new();
        for (i, body) in bodies.iter().enumerate() {
            encoder.push_with(&append(i as u64), Flags(i as u16), body).unwrap();
        }
        let announced = encoder.bytes();
        let whole = encoder.take().concat();
        prop_assert_eq!(announced, whole.len());

        let mut decoder = FrameDecoder::new(FrameLimits::FROM_CLIENT);
        let frames = drain(&mut decoder, split(&whole, &cuts));
        prop_assert!(decoder.finish().is_ok());
        prop_assert_eq!(frames.len(), bodies.len());
        for (i, (frame, body)) in frames.iter().zip(&bodies).enumerate() {
            prop_assert_eq!(decode::<CommandRequest>(frame).unwrap(), append(i as u64));
            prop_assert_eq!(frame.flags, Flags(i as u16));
            prop_assert_eq!(frame.body.concat(), body.concat());
            prop_assert!(frame.body.iter().all(|part| !part.is_empty()));
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_truncated_not_shorter(
        body in bytes(200), cut in any::<prop::sample::Index>(),
    ) {
        let mut encoder = FrameEncoder::new();
        encoder.push_with(&append(1), Flags::NONE, &[body]).unwrap();
        let whole = encoder.take().concat();
        let at = cut.index(whole.len());
        let mut decoder = FrameDecoder::new(FrameLimits::FROM_CLIENT);
        decoder.push(Bytes::copy_from_slice(&whole[..at]));
        prop_assert_eq!(decoder.next_frame(), Ok(None));
        prop_assert_eq!(decoder.finish().is_ok(), at == 0);
    }

    #[test]
    fn a_flipped_bit_in_header_or_meta_never_passes(bit in any::<prop::sample::Index>()) {
        let mut encoder = FrameEncoder::new();
        encoder.push(&append(1)).unwrap();
        let mut whole = encoder.take().concat();
        let bit = bit.index(whole.len() * 8);
        whole[bit / 8] ^= 1 << (bit % 8);
        let mut decoder = FrameDecoder::new(FrameLimits::FROM_CLIENT);
        decoder.push(Bytes::from(whole));
        // A longer length is noticed once the missing bytes came, or the stream ended.
        prop_assert!(!matches!(decoder.next_frame(), Ok(Some(_))) );
        prop_assert!(decoder.finish().is_err());
    }

    #[test]
    fn any_bytes_are_frames_or_an_error(
        chunks in vec(bytes(200), 0..20), version_is_right in any::<bool>(),
    ) {
        let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
        if version_is_right {
            decoder.push(Bytes::from_static(&[1, 3]));
        }
        for chunk in chunks {
            decoder.push(chunk);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }

    #[test]
    fn any_meta_decodes_or_is_an_error(meta in bytes(400), kind in 0..paxlog_wire::Kind::ALL.len()) {
        let frame = Frame { kind: paxlog_wire::Kind::ALL[kind], flags: Flags::NONE, meta, body: Vec::new() };
        decode_any(&frame);
    }

    #[test]
    fn mutated_metas_decode_or_are_an_error(
        sample in 0usize..1_000, at in any::<prop::sample::Index>(), with in any::<u8>(), extra in bytes(3),
    ) {
        let replies = samples::query_replies();
        let (_, reply) = &replies[sample % replies.len()];
        let mut meta = paxlog_wire::encode(reply);
        let at = at.index(meta.len());
        meta[at] = with;
        meta.extend_from_slice(&extra);
        let frame =
            Frame { kind: paxlog_wire::Kind::QueryReply, flags: Flags::NONE, meta: meta.into(), body: Vec::new() };
        if let Ok(decoded) = decode::<QueryReply>(&frame) {
            prop_assert_eq!(paxlog_wire::encode(&decoded), frame.meta.to_vec());
        }
    }

    #[test]
    fn batch_reads_back_as_built_from_any_parts(
        records in vec(record(), 1..20), cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut builder = BatchBuilder::new();
        for record in &records {
            builder.push(record).unwrap();
        }
        let announced = builder.bytes();
        let batch = builder.finish().unwrap();
        let whole = batch.parts().concat();
        prop_assert_eq!(announced, whole.len());
        let pieces = split(&whole, &cuts);
        let view = BatchView::parse_parts(&pieces).unwrap();
        prop_assert_eq!(view.info(), batch.info());
        prop_assert_eq!(view.records().collect::<Vec<_>>(), records);
        prop_assert_eq!(parts::crc32c(&pieces), crc32c::crc32c(&whole));
        prop_assert_eq!(parts::join(&pieces), whole);
    }

    #[test]
    fn a_builder_that_is_used_again_builds_what_a_new_one_does(
        batches in vec((vec(record(), 1..6), any::<bool>()), 1..20), kept in any::<prop::sample::Index>(),
    ) {
        let fresh = |records: &[Record]| {
            let mut builder = BatchBuilder::new();
            for record in records {
                builder.push(record).unwrap();
            }
            builder.finish().unwrap()
        };
        let mut builder = BatchBuilder::new();
        let mut built = Vec::new();
        for (records, forgotten) in &batches {
            for record in records {
                builder.push(record).unwrap();
            }
            if *forgotten {
                builder.clear();
            } else {
                built.push((records, builder.finish().unwrap()));
            }
            prop_assert!(builder.is_empty());
            // Some are dropped early, so that their room is used again.
            if !built.is_empty() && kept.index(3) == 0 {
                built.remove(0);
            }
        }
        for (records, batch) in built {
            prop_assert_eq!(batch.info(), fresh(records).info());
            prop_assert_eq!(batch.parts().concat(), fresh(records).parts().concat());
        }
    }

    #[test]
    fn what_compress_makes_is_stored_if_it_is_shorter(
        batches in vec((vec(record(), 1..6), bytes(2_000), any::<bool>()), 1..6),
        cuts in vec(any::<prop::sample::Index>(), 0..9),
    ) {
        let mut builder = BatchBuilder::new();
        for (records, stored, given_up) in &batches {
            for record in records {
                builder.push(record).unwrap();
            }
            let section_bytes = builder.bytes() - 32;
            let mut seen = Vec::new();
            let batch = builder
                .finish_with(Codec::Zstd, |pieces| {
                    seen = pieces.concat();
                    (!given_up).then_some(stored)
                })
                .unwrap();
            prop_assert!(builder.is_empty());
            for record in records {
                builder.push(record).unwrap();
            }
            let plain = builder.finish().unwrap();
            prop_assert_eq!(&seen, &plain.parts().concat()[32..]);
            let pieces = split(&batch.parts().concat(), &cuts);
            if *given_up || stored.len() >= section_bytes {
                prop_assert_eq!(batch.info(), plain.info());
                prop_assert_eq!(pieces.concat(), plain.parts().concat());
                continue;
            }
            let info = batch::check(&pieces).unwrap();
            prop_assert_eq!(info, batch.info());
            prop_assert_eq!(info.compression, Some(Codec::Zstd));
            prop_assert_eq!((info.bytes as usize, info.record_bytes as usize), (32 + stored.len(), section_bytes));
            prop_assert_eq!(&batch::stored_section(&pieces), stored);
            // Whatever it is decompressed to, the records are checked.
            let section = split(&seen, &cuts);
            let view = BatchView::of_section(info, &section).unwrap();
            prop_assert_eq!(view.records().collect::<Vec<_>>(), records.clone());
            let shorter = [Bytes::copy_from_slice(&seen[1..])];
            let refused = matches!(BatchView::of_section(info, &shorter), Err(BatchError::SectionLength { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn any_bytes_are_a_batch_or_an_error(section in bytes(300), records in 0u32..20, cuts in vec(any::<prop::sample::Index>(), 0..5)) {
        // A right header and checksum before any section: the structure is what is left to check.
        let mut whole = BytesMut::zeroed(32);
        whole[0..4].copy_from_slice(b"PXB1");
        whole[8] = 1;
        whole[12..16].copy_from_slice(&records.to_le_bytes());
        whole[16..20].copy_from_slice(&(section.len() as u32).to_le_bytes());
        whole[20..24].copy_from_slice(&(section.len() as u32).to_le_bytes());
        whole.extend_from_slice(&section);
        let crc = crc32c::crc32c(&whole[8..]);
        whole[4..8].copy_from_slice(&crc.to_le_bytes());
        let pieces = split(&whole, &cuts);
        if let Ok(view) = BatchView::parse_parts(&pieces) {
            prop_assert_eq!(view.records().count(), records as usize);
        }
    }

    #[test]
    fn a_records_body_is_cut_where_its_metas_say(lens in vec(0u32..3_000, 0..6), cuts in vec(any::<prop::sample::Index>(), 0..9)) {
        let whole: Vec<u8> = (0..lens.iter().sum::<u32>()).map(|i| i as u8).collect();
        let body = split(&whole, &cuts);
        let metas: Vec<_> = lens.iter().map(|&bytes| BatchMeta { start: 0, records: 1, bytes, timestamp: 0 }).collect();
        let batches = split_batches(&metas, &body).unwrap();
        prop_assert_eq!(batches.iter().map(|batch| parts::len(batch) as u32).collect::<Vec<_>>(), lens);
        prop_assert_eq!(batches.concat().concat(), whole.clone());
        let mut longer = body.clone();
        longer.push(Bytes::from_static(b"x"));
        prop_assert!(split_batches(&metas, &longer).is_err());
        if !whole.is_empty() {
            prop_assert!(split_batches(&metas, &split(&whole[1..], &[])).is_err());
        }
    }
}

fn decode_any(frame: &Frame) {
    let _ = paxlog_wire::replica::decode_envelope(frame.clone());
    let _ = decode::<ClientHello>(frame);
    let _ = decode::<ControlEvent>(frame);
    let _ = decode::<CommandRequest>(frame);
    let _ = decode::<CommandReply>(frame);
    let _ = decode::<QueryRequest>(frame);
    let _ = decode::<QueryReply>(frame);
    let _ = decode::<ReadRequest>(frame);
    let _ = decode::<ReadEvent>(frame);
    let _ = decode::<TailRequest>(frame);
    let _ = decode::<TailEvent>(frame);
    let _ = decode::<Credit>(frame);
    let _ = decode::<paxlog_wire::replica::ReplicaHello>(frame);
    let _ = decode::<paxlog_wire::replica::ReplicaHelloReply>(frame);
    let _ = decode::<paxlog_wire::replica::LinkOpen>(frame);
}

proptest! {
    #[test]
    fn mutated_envelopes_decode_or_are_an_error(
        sample in 0usize..1_000, at in any::<prop::sample::Index>(), with in any::<u8>(), extra in bytes(3),
    ) {
        let envelopes = samples::envelopes();
        let mut frame = envelope_frame(&envelopes[sample % envelopes.len()].1);
        let mut meta = frame.meta.to_vec();
        let at = at.index(meta.len());
        meta[at] = with;
        meta.extend_from_slice(&extra);
        frame.meta = meta.into();
        if let Ok(decoded) = decode_envelope(frame.clone()) {
            prop_assert_eq!(envelope_frame(&decoded).meta, frame.meta);
        }
    }
}

fn envelope_frame(envelope: &Envelope) -> Frame {
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    let mut frames = drain(&mut decoder, encode_envelope(envelope).unwrap());
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

#[test]
fn a_value_that_is_not_what_was_sent_is_refused() {
    for (name, envelope) in samples::envelopes() {
        let frame = envelope_frame(&envelope);
        let mut longer = frame.clone();
        longer.body.push(Bytes::from_static(b"x"));
        assert!(decode_envelope(longer).is_err(), "{name}: a body too many");
        if frame.body.is_empty() {
            continue;
        }
        let mut without = frame.clone();
        without.body.clear();
        assert_eq!(
            decode_envelope(without),
            Err(DecodeError::Checksum),
            "{name}"
        );
        let mut flipped = frame.clone();
        let mut body = flipped.body.concat();
        body[3] ^= 1;
        flipped.body = vec![body.into()];
        assert_eq!(
            decode_envelope(flipped),
            Err(DecodeError::Checksum),
            "{name}"
        );
    }
}

#[test]
fn a_list_that_lies_about_its_length_allocates_nothing() {
    let promise = samples::envelopes()
        .into_iter()
        .find(|(name, _)| *name == "envelope.promise")
        .unwrap()
        .1;
    let frame = envelope_frame(&promise);
    let (ours, theirs) = (1u64.to_le_bytes(), (1u64 << 40).to_le_bytes());
    let mut lies = 0;
    for at in 0..frame.meta.len() - 8 {
        if frame.meta[at..at + 8] == ours {
            let mut meta = frame.meta.to_vec();
            meta[at..at + 8].copy_from_slice(&theirs);
            let frame = Frame {
                meta: meta.into(),
                ..frame.clone()
            };
            // 2^40 entries would not fit any machine.
            lies += usize::from(decode_envelope(frame).is_err());
        }
    }
    assert!(lies > 0, "the length of `slots` was found");
}

#[test]
fn a_promise_of_ten_thousand_slots_fits_and_one_beyond_the_limit_is_told_to_the_sender() {
    use paxlog_paxos::{Ballot, Message, Promise, PromisedSlot, ReplicaId, Slot};
    let (_, mut envelope) = samples::envelopes().remove(0);
    let ballot = Ballot::new(1, ReplicaId(1));
    let promise = |slots: u64| Promise {
        ballot,
        chosen_below: Slot(0),
        chosen_prefix: Slot(0),
        slots: (0..slots)
            .map(|slot| PromisedSlot {
                slot: Slot(slot),
                ballot,
                len: 1,
                checksum: 2,
            })
            .collect(),
        unknown: Vec::new(),
    };
    envelope.message = Message::Promise(promise(10_000));
    assert_eq!(
        decode_envelope(envelope_frame(&envelope)).unwrap(),
        envelope
    );
    envelope.message = Message::Promise(promise(100_000));
    assert!(matches!(
        encode_envelope(&envelope),
        Err(EncodeError::MetaTooLarge { .. })
    ));
}

#[test]
fn every_flipped_bit_in_a_batch_is_detected() {
    let whole = samples::batch().parts().concat();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            BatchView::parse_parts(&[Bytes::from(damaged)]).is_err(),
            "bit {bit}"
        );
    }
}

/// A server checks all of a compressed batch but its section.
#[test]
fn the_header_of_a_compressed_batch_is_held_against_the_limits() {
    let (_, sample) = samples::compressed().remove(0);
    let with = |at: usize, bytes: &[u8]| {
        let mut whole = sample.parts().concat();
        whole[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc32c::crc32c(&whole[8..]);
        whole[4..8].copy_from_slice(&crc.to_le_bytes());
        batch::check(&[Bytes::from(whole)])
    };
    let info = sample.info();
    let most = paxlog_wire::limits::BATCH_BYTES_MAX as u32 - 32;
    assert_eq!(with(20, &most.to_le_bytes()).unwrap().record_bytes, most);
    for over in [most + 1, u32::MAX] {
        assert!(matches!(
            with(20, &over.to_le_bytes()),
            Err(BatchError::BatchTooLarge { .. })
        ));
    }
    // Not shorter than it was.
    for record_bytes in [0, 12, info.bytes - 32] {
        assert!(with(20, &record_bytes.to_le_bytes()).is_err());
    }
    assert!(
        with(20, &(info.bytes - 31).to_le_bytes()).is_err(),
        "no room for the records"
    );
    assert!(with(16, &(info.bytes - 31).to_le_bytes()).is_err());
    assert_eq!(with(12, &[0; 4]), Err(BatchError::Empty));
    let fit = info.record_bytes / 12;
    assert_eq!(with(12, &fit.to_le_bytes()).unwrap().records, fit);
    assert!(matches!(
        with(12, &(fit + 1).to_le_bytes()),
        Err(BatchError::Malformed(_))
    ));
    assert_eq!(with(9, &[3]), Err(BatchError::Compression(3)));
    assert!(
        with(9, &[0]).is_err(),
        "its lengths are not those of records"
    );
    assert!(with(10, &[1]).is_err() && with(24, &[1]).is_err());
    assert_eq!(Codec::ALL.len(), 2);
    assert!(
        Codec::ALL
            .iter()
            .all(|&codec| Codec::from_number(codec.number()) == Some(codec))
    );
    assert_eq!(Codec::from_number(0), None);
}

/// Damage is told from what a producer wrote, also where it hits the number of the codec.
#[test]
fn a_damaged_number_of_a_codec_is_damage() {
    let mut whole = samples::batch().parts().concat();
    whole[9] = 77;
    assert_eq!(
        batch::check(&[Bytes::from(whole)]),
        Err(BatchError::Checksum)
    );
}

#[test]
fn every_shorter_or_longer_batch_is_refused() {
    let whole = samples::batch().parts().concat();
    for len in 0..whole.len() {
        assert!(
            BatchView::parse_parts(&[Bytes::copy_from_slice(&whole[..len])]).is_err(),
            "{len} bytes"
        );
    }
    assert!(BatchView::parse_parts(&[Bytes::from(whole), Bytes::from_static(b"\0")]).is_err());
}

#[test]
fn limits_of_records_headers_and_batches_hold() {
    use paxlog_wire::limits::*;
    let mut builder = BatchBuilder::new();
    let over = Record::new(vec![0; RECORD_BYTES_MAX]).with_key("k");
    assert!(matches!(
        builder.push(&over),
        Err(BatchError::RecordTooLarge { .. })
    ));
    let over = Record::new("").with_header("h", vec![0; HEADERS_BYTES_MAX]);
    assert!(matches!(
        builder.push(&over),
        Err(BatchError::HeadersTooLarge { .. })
    ));
    assert!(builder.is_empty());
    let largest = Record::new(vec![7; RECORD_BYTES_MAX]);
    for _ in 0..3 {
        builder.push(&largest).unwrap();
    }
    assert!(matches!(
        builder.push(&largest),
        Err(BatchError::BatchTooLarge { .. })
    ));
    let batch = builder.finish().unwrap();
    assert_eq!(
        BatchView::parse_parts(batch.parts())
            .unwrap()
            .records()
            .count(),
        3
    );
    assert!(matches!(
        BatchBuilder::new().finish(),
        Err(BatchError::Empty)
    ));
}

#[test]
fn lengths_over_the_limit_are_refused_at_the_header() {
    use paxlog_wire::FrameError;
    let header = |meta: u32, body: u32| {
        let mut header = vec![1, 3, 0, 0];
        header.extend(meta.to_le_bytes());
        header.extend(body.to_le_bytes());
        header.extend([0; 4]);
        Bytes::from(header)
    };
    for (meta, body) in [(u32::MAX, 0), (4 << 10 | 1, 0), (0, 1), (0, u32::MAX)] {
        let mut decoder = FrameDecoder::new(FrameLimits::FIRST);
        decoder.push(header(meta, body));
        let error = decoder.next_frame().unwrap_err();
        assert!(
            matches!(
                error,
                FrameError::MetaTooLarge { .. } | FrameError::BodyTooLarge { .. }
            ),
            "{error}"
        );
        decoder.push(header(0, 0));
        assert_eq!(decoder.next_frame().unwrap_err(), error, "broken for good");
    }
}

#[test]
fn a_body_in_single_bytes_does_not_keep_a_buffer_for_each() {
    let mut encoder = FrameEncoder::new();
    encoder
        .push_with(&append(1), Flags::NONE, &[Bytes::from(vec![9; 100_000])])
        .unwrap();
    let whole = encoder.take().concat();
    let mut decoder = FrameDecoder::new(FrameLimits::FROM_CLIENT);
    let frames = drain(
        &mut decoder,
        whole.iter().map(|&byte| Bytes::copy_from_slice(&[byte])),
    );
    assert_eq!(frames.len(), 1);
    assert!(frames[0].body.len() < 10, "{} parts", frames[0].body.len());
}

#[test]
fn large_payloads_and_bodies_are_never_copied() {
    let payload = Bytes::from(vec![5u8; 100_000]);
    let mut builder = BatchBuilder::new();
    builder.push(&Record::new(payload.clone())).unwrap();
    let batch = builder.finish().unwrap();
    assert!(
        batch
            .parts()
            .iter()
            .any(|part| part.as_ptr() == payload.as_ptr())
    );

    let mut encoder = FrameEncoder::new();
    encoder
        .push_with(&append(1), Flags::NONE, batch.parts())
        .unwrap();
    let chunks = encoder.take();
    assert!(
        chunks
            .iter()
            .any(|chunk| chunk.as_ptr() == payload.as_ptr())
    );
    let mut decoder = FrameDecoder::new(FrameLimits::FROM_CLIENT);
    let frames = drain(&mut decoder, chunks);
    assert!(
        frames[0]
            .body
            .iter()
            .any(|part| part.as_ptr() == payload.as_ptr())
    );
}

#[test]
fn many_small_frames_leave_as_one_chunk() {
    let mut encoder = FrameEncoder::new();
    for i in 0..100 {
        encoder.push(&append(i)).unwrap();
    }
    assert_eq!(encoder.take().len(), 1);
    assert!(encoder.is_empty());
}
