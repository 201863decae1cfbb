use bytes::BytesMut;
use paxlog_wire::batch::{self, BATCH_HEADER_BYTES, BatchView, Record};
use paxlog_wire::{limits, parts};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Every way of compressing that this build has.
fn compressions() -> Vec<Compression> {
    let zstd = [1, Compression::ZSTD_LEVEL_DEFAULT, 19].map(|level| Compression::Zstd { level });
    let mut all = vec![Compression::Lz4];
    all.extend(zstd);
    all.retain(|&compression| available(codec_of(compression)).is_ok());
    all
}

fn codecs() -> impl Iterator<Item = Codec> {
    let all = Codec::ALL.iter().copied();
    all.filter(|&codec| available(codec).is_ok())
}

fn codec_of(compression: Compression) -> Codec {
    match compression {
        Compression::None => unreachable!("none of these"),
        Compression::Lz4 => Codec::Lz4,
        Compression::Zstd { .. } => Codec::Zstd,
    }
}

fn builder(records: &[Record]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.push(record).expect("it fits");
    }
    builder
}

fn compressed(compression: Compression, records: &[Record]) -> Batch {
    let mut compressor = Compressor::new(compression)
        .expect("this build has it")
        .expect("a compression");
    compressor.finish(&mut builder(records)).expect("records")
}

/// What a bad producer may send: a good header and checksum around any section.
fn made(codec: u8, records: u32, record_bytes: u32, stored: &[u8]) -> Bytes {
    let mut whole = BytesMut::zeroed(BATCH_HEADER_BYTES);
    whole[0..4].copy_from_slice(b"PXB1");
    whole[8] = 1;
    whole[9] = codec;
    whole[12..16].copy_from_slice(&records.to_le_bytes());
    whole[16..20].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    whole[20..24].copy_from_slice(&record_bytes.to_le_bytes());
    whole.extend_from_slice(stored);
    let crc = crc32c::crc32c(&whole[8..]);
    whole[4..8].copy_from_slice(&crc.to_le_bytes());
    whole.freeze()
}

/// All that a reader does with a stored batch.
fn read(parts: &[Bytes]) -> Result<Vec<Record>, BatchError> {
    let info = batch::check(parts)?;
    let section = [decompress(info, parts)?];
    let view = BatchView::of_section(info, &section)?;
    Ok(view.records().collect())
}

/// As a producer would compress any section.
fn pack(codec: Codec, section: &[u8]) -> Vec<u8> {
    let mut room = Vec::new();
    let stored = match codec {
        Codec::Lz4 => lz4::Packer::new(0)
            .unwrap()
            .pack(section, &mut room)
            .map(<[u8]>::to_vec),
        Codec::Zstd => zstd::Packer::new(3)
            .unwrap()
            .pack(section, &mut room)
            .map(<[u8]>::to_vec),
    };
    stored.expect("it becomes shorter")
}

fn repetitive(records: usize) -> Vec<Record> {
    (0..records)
        .map(|i| {
            let payload =
                format!("{{\"level\":\"info\",\"n\":{i},\"message\":\"the same again\"}}");
            Record::new(payload)
                .with_key(format!("key-{}", i % 3))
                .with_header("lang", "en")
        })
        .collect()
}

/// The section of a batch that is not compressed.
fn section_of(records: &[Record]) -> Vec<u8> {
    let plain = builder(records).finish().unwrap();
    plain.parts().concat()[BATCH_HEADER_BYTES..].to_vec()
}

/// Of bytes that compress to all degrees.
fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(0u8..4, 0..2_000),
        // Kept by the builder as a piece of its own.
        (any::<u8>(), 16_000usize..70_000).prop_map(|(byte, len)| vec![byte; len]),
    ]
    .prop_map(Bytes::from)
}

fn record() -> impl Strategy<Value = Record> {
    let short = || vec(0u8..4, 0..20).prop_map(Bytes::from);
    (
        proptest::option::of(short()),
        vec((short(), short()), 0..3),
        payload(),
    )
        .prop_map(|(key, headers, payload)| Record {
            key,
            headers,
            payload,
        })
}

fn split(whole: &[u8], cuts: &[prop::sample::Index]) -> Vec<Bytes> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
    places.extend([0, whole.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| Bytes::copy_from_slice(&whole[pair[0]..pair[1]]))
        .collect()
}

proptest! {
    #[test]
    fn what_was_compressed_reads_back_from_any_parts(
        batches in vec(vec(record(), 1..12), 1..4), cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        for compression in compressions() {
            // One compressor for all, as an appender has.
            let mut compressor = Compressor::new(compression).unwrap().unwrap();
            for records in &batches {
                let plain = builder(records).finish().unwrap();
                let mut open = builder(records);
                let batch = compressor.finish(&mut open).unwrap();
                prop_assert!(open.is_empty());
                let whole = batch.parts().concat();
                let pieces = split(&whole, &cuts);
                let info = batch::check(&pieces).unwrap();
                prop_assert_eq!(info, batch.info());
                prop_assert_eq!(info.records as usize, records.len());
                prop_assert_eq!(info.record_bytes, plain.info().record_bytes);
                prop_assert_eq!(&read(&pieces).unwrap(), records);
                match info.compression {
                    Some(codec) => {
                        prop_assert_eq!(codec, codec_of(compression));
                        prop_assert!(info.bytes < plain.info().bytes);
                        prop_assert_eq!(BatchView::parse_parts(&pieces).unwrap_err(), BatchError::Compressed(codec));
                    }
                    None => prop_assert_eq!(whole, plain.parts().concat()),
                }
            }
        }
    }

    #[test]
    fn any_section_decompresses_to_so_many_bytes_or_is_an_error(
        section in vec(any::<u8>(), 0..200), more in 1u32..100_000, records in 1u32..9,
    ) {
        for codec in codecs() {
            let record_bytes = section.len() as u32 + more;
            let parts = [made(codec.number(), records, record_bytes, &section)];
            let Ok(info) = batch::check(&parts) else { continue };
            if let Ok(section) = decompress(info, &parts) {
                prop_assert_eq!(section.len(), record_bytes as usize);
            }
        }
    }

    #[test]
    fn a_changed_section_with_a_good_checksum_is_records_or_an_error(
        at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let records = repetitive(20);
        let record_bytes = section_of(&records).len() as u32;
        for codec in codecs() {
            let mut stored = pack(codec, &section_of(&records));
            let at = at.index(stored.len());
            stored[at] = with;
            let parts = [made(codec.number(), 20, record_bytes, &stored)];
            if let Ok(read) = read(&parts) {
                prop_assert_eq!(read.len(), 20);
            }
            stored.truncate(cut.index(stored.len()));
            let parts = [made(codec.number(), 20, record_bytes, &stored)];
            if let Ok(read) = read(&parts) {
                prop_assert_eq!(read.len(), 20);
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_compressed_batch_is_detected_and_every_other_length() {
    for compression in compressions() {
        let whole = compressed(compression, &repetitive(8)).parts().concat();
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damaged = [Bytes::from(damaged)];
            assert!(batch::check(&damaged).is_err(), "bit {bit}");
        }
        for len in 0..whole.len() {
            let shorter = [Bytes::copy_from_slice(&whole[..len])];
            assert!(batch::check(&shorter).is_err(), "{len} bytes");
        }
        let longer = [Bytes::from(whole), Bytes::from_static(b"\0")];
        assert!(batch::check(&longer).is_err());
    }
}

#[test]
fn every_shorter_section_with_a_good_checksum_is_an_error() {
    let records = repetitive(8);
    let section = section_of(&records);
    for codec in codecs() {
        let stored = pack(codec, &section);
        for len in 0..stored.len() {
            let parts = [made(
                codec.number(),
                8,
                section.len() as u32,
                &stored[..len],
            )];
            let error = read(&parts).unwrap_err();
            assert!(
                matches!(
                    error,
                    BatchError::Undecodable { .. } | BatchError::SectionLength { .. }
                ),
                "{codec}, {len} bytes: {error}"
            );
        }
    }
}

#[test]
fn what_does_not_become_shorter_is_sent_as_it_is() {
    for compression in compressions() {
        for payload in [&b""[..], b"x", b"all of these differ 0123456789"] {
            let records = [Record::new(payload.to_vec())];
            let batch = compressed(compression, &records);
            let plain = builder(&records).finish().unwrap();
            if batch.info().compression.is_none() {
                assert_eq!(batch, plain);
            } else {
                assert!(batch.info().bytes < plain.info().bytes);
            }
        }
        let mut state = 1u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(100_000)
        .collect();
        let batch = compressed(compression, &[Record::new(noise)]);
        assert_eq!(batch.info().compression, None);
    }
}

#[test]
fn the_largest_batch_compresses_and_reads_back() {
    let room = limits::BATCH_BYTES_MAX - BATCH_HEADER_BYTES;
    let mut records: Vec<Record> = (0..3)
        .map(|i| Record::new(vec![i; limits::RECORD_BYTES_MAX]))
        .collect();
    let taken: usize = records.iter().map(Record::encoded_len).sum();
    records.push(Record::new(vec![7; room - taken - 12]));
    for compression in compressions() {
        let batch = compressed(compression, &records);
        assert_eq!(batch.info().record_bytes as usize, room);
        assert!(batch.info().bytes < 40_000, "{}", batch.info().bytes);
        assert_eq!(read(batch.parts()).unwrap(), records);
    }
}

/// The codec itself stops at the bound: it does not make 8 MiB first, to be counted afterwards.
#[test]
fn a_bomb_is_not_blown_up_beyond_what_its_header_says() {
    let zeros = vec![0; 8 << 20];
    for codec in codecs() {
        let stored = pack(codec, &zeros);
        assert!(stored.len() < 40_000, "{}", stored.len());
        for record_bytes in [stored.len() as u32 + 1, 1 << 20] {
            let parts = [made(codec.number(), 1, record_bytes, &stored)];
            let info = batch::check(&parts).expect("a server cannot know");
            let error = decompress(info, &parts).unwrap_err();
            assert!(matches!(error, BatchError::Undecodable { .. }), "{error}");
        }
        // And a header may not say more than a batch may hold.
        let most = limits::BATCH_BYTES_MAX - BATCH_HEADER_BYTES;
        for record_bytes in [most as u32 + 1, 8 << 20, u32::MAX] {
            let parts = [made(codec.number(), 1, record_bytes, &stored)];
            let error = batch::check(&parts).unwrap_err();
            assert!(matches!(error, BatchError::BatchTooLarge { .. }), "{error}");
        }
    }
}

#[test]
fn a_section_of_another_length_or_structure_than_said_is_an_error() {
    let records = repetitive(8);
    let section = section_of(&records);
    let len = section.len() as u32;
    for codec in codecs() {
        let stored = pack(codec, &section);
        let batch = |records: u32, record_bytes: u32| {
            let parts = [made(codec.number(), records, record_bytes, &stored)];
            read(&parts)
        };
        assert_eq!(batch(8, len).unwrap(), records);
        let longer = BatchError::SectionLength {
            bytes: section.len(),
            record_bytes: len + 1,
        };
        assert_eq!(batch(8, len + 1).unwrap_err(), longer);
        assert!(matches!(
            batch(8, len - 1).unwrap_err(),
            BatchError::Undecodable { .. }
        ));
        for records in [1, 7, 9] {
            assert!(matches!(
                batch(records, len).unwrap_err(),
                BatchError::Malformed(_)
            ));
        }
        // What the server can see, it refuses.
        assert_eq!(batch(0, len).unwrap_err(), BatchError::Empty);
        for (records, record_bytes) in [(len / 12 + 1, len), (8, stored.len() as u32)] {
            let parts = [made(codec.number(), records, record_bytes, &stored)];
            let error = batch::check(&parts).unwrap_err();
            assert!(matches!(error, BatchError::Malformed(_)), "{error}");
        }
    }
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_is_one_frame_and_nothing_else() {
    let section = section_of(&repetitive(8));
    let half = section.len() / 2;
    let whole = pack(Codec::Zstd, &section);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
    let several = [
        [
            pack(Codec::Zstd, &section[..half]),
            pack(Codec::Zstd, &section[half..]),
        ]
        .concat(),
        [&whole[..], &skippable].concat(),
        [&skippable[..], &whole].concat(),
        [&whole[..], b"\0"].concat(),
        skippable,
    ];
    for stored in several {
        let parts = [made(2, 8, section.len() as u32, &stored)];
        let error = read(&parts).unwrap_err();
        assert!(
            matches!(
                error,
                BatchError::Undecodable { .. } | BatchError::SectionLength { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn what_this_build_has_not_is_refused() {
    let level = |level| Compressor::new(Compression::Zstd { level });
    for wrong in [-1, 0, 23, i32::MAX] {
        assert_eq!(level(wrong).unwrap_err().code, Code::Invalid);
    }
    assert!(Compressor::new(Compression::None).unwrap().is_none());
    for codec in Codec::ALL {
        let compression = match codec {
            Codec::Lz4 => Compression::Lz4,
            Codec::Zstd => Compression::Zstd { level: 3 },
        };
        let made = made(codec.number(), 1, 100, b"any");
        let parts = [made];
        let info = batch::check(&parts).expect("a server needs no codec");
        let error = decompress(info, &parts).unwrap_err();
        match available(*codec) {
            Ok(()) => {
                assert!(Compressor::new(compression).unwrap().is_some());
                assert!(matches!(error, BatchError::Undecodable { .. }), "{error}");
            }
            Err(off) => {
                let refused = Compressor::new(compression).unwrap_err();
                assert_eq!(refused.code, Code::Invalid);
                assert_eq!(refused.message, off.to_string());
                assert_eq!(error, off);
            }
        }
    }
}

/// The bytes that `wire` pins stay readable, whatever the codecs make of the same records today.
#[test]
fn pinned_batches_are_read() {
    let pinned = [
        include_str!("../../../wire/tests/golden/batch.lz4.hex"),
        include_str!("../../../wire/tests/golden/batch.zstd.hex"),
    ];
    for (codec, hex) in Codec::ALL.iter().zip(pinned) {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let whole: Vec<u8> = digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        let parts = [Bytes::from(whole)];
        let info = batch::check(&parts).unwrap();
        assert_eq!(info.compression, Some(*codec));
        assert!(parts::len(&parts) < info.record_bytes as usize);
        if available(*codec).is_ok() {
            let records = read(&parts).unwrap();
            let expected: Vec<Record> = (0..8)
                .map(|_| {
                    Record::new("the same payload")
                        .with_key("k")
                        .with_header("h", "v")
                })
                .collect();
            assert_eq!(records, expected);
        }
    }
}
