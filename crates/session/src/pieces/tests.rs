//! Batches that nobody can read, on their way through a read and a tail.

use bytes::BytesMut;
use paxlog_wire::batch::{BATCH_HEADER_BYTES, BatchBuilder, Record};
use paxlog_wire::client::{EndReason, ReadEvent, ReadFrom, Started, TailEvent};
use paxlog_wire::{Flags, Frame, Message, Retry};

use super::*;
use crate::{
    Effect, LeaderTracker, Machine, Read, ReadConfig, ReadOutput, StreamId, Tail, TailConfig,
    TailOutput,
};

/// A batch of two records.
fn good(payload: &str) -> Vec<Bytes> {
    let mut builder = BatchBuilder::new();
    for end in ["1", "2"] {
        builder
            .push(&Record::new([payload, end].concat()))
            .expect("it fits");
    }
    builder.finish().expect("records").into_parts()
}

/// A batch of two records as far as a server can see, whose section no codec made.
fn bad(codec: u8) -> Vec<Bytes> {
    let stored = b"no codec made this";
    let mut whole = BytesMut::zeroed(BATCH_HEADER_BYTES);
    whole[0..4].copy_from_slice(b"PXB1");
    (whole[8], whole[9], whole[12], whole[16], whole[20]) = (1, codec, 2, stored.len() as u8, 99);
    whole.extend_from_slice(stored);
    let crc = crc32c::crc32c(&whole[8..]);
    whole[4..8].copy_from_slice(&crc.to_le_bytes());
    vec![whole.freeze()]
}

/// Batches of two records each, from offset 0.
fn announced(batches: &[Vec<Bytes>]) -> (Vec<BatchMeta>, Vec<Bytes>) {
    let metas = (0u64..).zip(batches).map(|(at, parts)| BatchMeta {
        start: 2 * at,
        records: 2,
        bytes: paxlog_wire::parts::len(parts) as u32,
        timestamp: 7,
    });
    (metas.collect(), batches.concat())
}

fn frame<M: Message>(message: &M, body: Vec<Bytes>) -> Frame {
    Frame {
        kind: M::KIND,
        flags: Flags::NONE,
        meta: paxlog_wire::encode(message).into(),
        body,
    }
}

const STARTED: Started = Started {
    log: 1,
    from: 0,
    tail: 6,
    trim_point: 0,
    version: 9,
    stale_ms: None,
};

fn tracker() -> LeaderTracker {
    LeaderTracker::new(["a:1", "b:1", "c:1"], 1)
}

/// Opens the one stream that the machine asks for.
fn up(machine: &mut dyn Machine) -> StreamId {
    let Some(Effect::Open { stream, .. }) = machine.poll_effect() else {
        panic!("it opens a stream")
    };
    machine.handle_up(0, stream);
    while machine.poll_effect().is_some() {}
    stream
}

/// Gave its stream up, and asks nobody else.
fn is_over(machine: &mut dyn Machine) -> bool {
    let closed = matches!(machine.poll_effect(), Some(Effect::Close { .. }));
    closed && machine.poll_effect().is_none() && machine.poll_timer().is_none()
}

fn read_of(batches: &[Vec<Bytes>], config: impl FnOnce(&mut ReadConfig)) -> Read {
    let mut all = ReadConfig::new("log", ReadFrom::First, 1, 1_000);
    config(&mut all);
    let mut read = Read::new(0, all, tracker());
    let stream = up(&mut read);
    let (metas, body) = announced(batches);
    let end = ReadEvent::End {
        next: 2 * batches.len() as u64,
        tail: 6,
        reason: EndReason::Tail,
    };
    read.handle_frame(0, stream, frame(&ReadEvent::Started(STARTED), vec![]));
    read.handle_frame(0, stream, frame(&ReadEvent::Records(metas), body));
    read.handle_frame(0, stream, frame(&end, vec![]));
    read
}

fn check(error: &Error) {
    assert_eq!(error.code, Code::Invalid, "{error}");
    assert_eq!(error.retry, Retry::Never);
    assert_eq!(error.outcome, OutcomeFact::NotAWrite);
    assert_eq!(error.skip_to(), Some(4));
    for part in [
        "the batch at offsets 2..4",
        "its producer wrote it",
        "go on from 4",
    ] {
        assert!(error.message.contains(part), "{error}");
    }
}

/// LZ4 and Zstandard, there or off, and a number that means nothing.
const CODECS: [u8; 3] = [1, 2, 77];

#[test]
fn a_read_ends_at_a_batch_that_nobody_can_read_and_says_where_to_go_on() {
    for codec in CODECS {
        let mut read = read_of(&[good("x"), bad(codec), good("y")], |_| {});
        let Some(ReadOutput::Records(piece)) = read.poll_output() else {
            panic!("what came before it is given")
        };
        assert_eq!((piece.start, piece.end), (0, 2));
        let payloads: Vec<_> = piece.records().map(|(_, record)| record.payload).collect();
        assert_eq!(payloads, ["x1", "x2"]);
        let Some(ReadOutput::Failed(error)) = read.poll_output() else {
            panic!("then it ends")
        };
        check(&error);
        assert_eq!(read.poll_output(), None, "nothing follows");
        assert_eq!(read.position(), Some(2));
        assert!(is_over(&mut read));
    }
}

#[test]
fn a_read_that_ends_before_it_does_not_mind() {
    for codec in CODECS {
        let mut read = read_of(&[good("x"), bad(codec)], |config| config.records_max = 2);
        assert!(matches!(read.poll_output(), Some(ReadOutput::Records(_))));
        assert!(matches!(read.poll_output(), Some(ReadOutput::End { .. })));
    }
}

#[test]
fn a_tail_ends_at_a_batch_that_nobody_can_read_and_says_where_to_go_on() {
    for codec in CODECS {
        let config = TailConfig::new("log", ReadFrom::First, 1);
        let mut tail = Tail::new(0, config, tracker());
        let stream = up(&mut tail);
        let (metas, body) = announced(&[good("x"), bad(codec), good("y")]);
        tail.handle_frame(0, stream, frame(&TailEvent::Started(STARTED), vec![]));
        tail.handle_frame(0, stream, frame(&TailEvent::Records(metas), body));
        let caught_up = TailEvent::CaughtUp { tail: 6 };
        tail.handle_frame(0, stream, frame(&caught_up, vec![]));
        assert!(matches!(tail.poll_output(), Some(TailOutput::Records(_))));
        let Some(TailOutput::Failed(error)) = tail.poll_output() else {
            panic!("then it ends")
        };
        check(&error);
        assert_eq!(tail.poll_output(), None, "nothing follows");
        assert_eq!(tail.position(), Some(2));
        assert!(is_over(&mut tail));
    }
}

/// However far they would go, batches that wait take no more room than their stored bytes.
#[test]
fn what_waits_is_compressed() {
    // Zeros: a literal, and matches of it, as long as the batch may be at most.
    let section = (4 << 20) - 32;
    let matched = section - 1 - 5;
    let mut stored = vec![0x1f, 0, 1, 0];
    stored.extend(vec![255; (matched - 19) / 255]);
    stored.push(((matched - 19) % 255) as u8);
    stored.extend([0x50, 0, 0, 0, 0, 0]);
    let mut whole = BytesMut::zeroed(BATCH_HEADER_BYTES);
    whole[0..4].copy_from_slice(b"PXB1");
    (whole[8], whole[9], whole[12]) = (1, 1, 1);
    whole[16..20].copy_from_slice(&(stored.len() as u32).to_le_bytes());
    whole[20..24].copy_from_slice(&(section as u32).to_le_bytes());
    whole.extend_from_slice(&stored);
    let crc = crc32c::crc32c(&whole[8..]);
    whole[4..8].copy_from_slice(&crc.to_le_bytes());
    let meta = BatchMeta {
        start: 5,
        records: 1,
        bytes: whole.len() as u32,
        timestamp: 7,
    };
    let piece = Piece::new(&meta, vec![whole.freeze()], 5).expect("no damage");
    assert!(matches!(piece.records, Section::Compressed(_)));
    assert!(piece.bytes() < 20_000);
    // Decompressed, it is no records: one of no length and a lot behind it.
    let error = piece.open().expect_err("a server could not know");
    assert_eq!(error.skip_to(), Some(6));
    #[cfg(feature = "lz4")]
    assert!(error.message.contains("behind the last record"), "{error}");
}

/// Damage is another matter: another replica has a good copy.
#[test]
fn a_damaged_batch_is_asked_for_elsewhere() {
    let mut read = read_of(&[good("x"), damaged()], |_| {});
    assert!(matches!(read.poll_output(), Some(ReadOutput::Records(_))));
    assert_eq!(read.poll_output(), None);
    assert!(matches!(read.poll_effect(), Some(Effect::Close { .. })));
    assert!(read.poll_timer().is_some(), "it goes on");
}

#[test]
fn a_batch_that_reaches_beyond_any_offset_is_damaged() {
    let (metas, _) = announced(&[good("x")]);
    let at = |start| {
        let meta = BatchMeta { start, ..metas[0] };
        Piece::new(&meta, good("x"), start)
    };
    assert!(at(u64::MAX - 1).is_err());
    let last = at(u64::MAX - 2).expect("the last that there can be");
    let last = last.open().expect("it is not compressed");
    let offsets: Vec<u64> = last.records().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [u64::MAX - 2, u64::MAX - 1]);
}

fn damaged() -> Vec<Bytes> {
    let mut damaged = bad(1)[0].to_vec();
    damaged[9] = 77;
    vec![damaged.into()]
}

/// The machine's next stream, once it may open one; none if it gave up.
fn next_up(machine: &mut dyn Machine, now: &mut u64) -> Option<StreamId> {
    loop {
        match machine.poll_effect() {
            Some(Effect::Open { stream, .. }) => {
                machine.handle_up(*now, stream);
                while machine.poll_effect().is_some() {}
                return Some(stream);
            }
            Some(_) => {}
            None => {
                *now = machine.poll_timer()?;
                machine.handle_tick(*now);
            }
        }
    }
}

/// Each server begins well, and has nothing good to give: that they began is no progress.
#[test]
fn what_every_server_has_damaged_ends_with_that_before_the_deadline() {
    const DEADLINE: u64 = 60_000_000_000;
    let (metas, body) = announced(&[damaged()]);
    let mut now = 0;
    let config = ReadConfig::new("log", ReadFrom::First, 1, DEADLINE);
    let mut read = Read::new(0, config, tracker());
    for _ in 0..3 {
        let stream = next_up(&mut read, &mut now).expect("it asks another server");
        let started = frame(&ReadEvent::Started(STARTED), vec![]);
        read.handle_frame(now, stream, started);
        let records = ReadEvent::Records(metas.clone());
        read.handle_frame(now, stream, frame(&records, body.clone()));
    }
    assert_eq!(next_up(&mut read, &mut now), None);
    let Some(ReadOutput::Failed(error)) = read.poll_output() else {
        panic!("it goes on")
    };
    assert_eq!(error.code, Code::Corrupt, "{error}");
    assert!(now < DEADLINE, "{now}");

    let mut now = 0;
    let mut tail = Tail::new(0, TailConfig::new("log", ReadFrom::First, 1), tracker());
    for _ in 0..3 {
        let stream = next_up(&mut tail, &mut now).expect("it asks another server");
        let started = frame(&TailEvent::Started(STARTED), vec![]);
        tail.handle_frame(now, stream, started);
        let records = TailEvent::Records(metas.clone());
        tail.handle_frame(now, stream, frame(&records, body.clone()));
    }
    assert_eq!(next_up(&mut tail, &mut now), None);
    let Some(TailOutput::Failed(error)) = tail.poll_output() else {
        panic!("it goes on")
    };
    assert_eq!(error.code, Code::Corrupt, "{error}");
}

/// The others are not there: what is known to be damaged is said, and not only that they do not answer.
#[test]
fn a_damaged_copy_is_told_of_though_others_did_not_answer() {
    const DEADLINE: u64 = 5_000_000_000;
    let (metas, body) = announced(&[damaged()]);
    let mut now = 0;
    let config = ReadConfig::new("log", ReadFrom::First, 1, DEADLINE);
    let mut read = Read::new(0, config, tracker());
    let stream = next_up(&mut read, &mut now).expect("it asks");
    read.handle_frame(now, stream, frame(&ReadEvent::Started(STARTED), vec![]));
    read.handle_frame(now, stream, frame(&ReadEvent::Records(metas), body));
    while let Some(stream) = next_up(&mut read, &mut now) {
        let why = Error::new(Code::Unavailable, "no answer");
        read.handle_down(now, stream, why);
    }
    let Some(ReadOutput::Failed(error)) = read.poll_output() else {
        panic!("it goes on")
    };
    assert_eq!(error.code, Code::Corrupt, "{error}");
    assert!(error.message.contains("no answer"), "{error}");
    assert!(now >= DEADLINE, "{now}");
}
