//! What a healthy cluster refuses, request by request.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use paxlog_client::Profile;
use paxlog_wire::client::{CommandBody, Expected, LogConfig, ReadFrom, TailInfo};
use paxlog_wire::{Code, Flags, limits};

use super::{By, Seen, append_to, tail, unchanged};
use crate::support::raw::{Commands, Raw, appended, batch_of};

pub(super) async fn requests(profile: &Profile, leader: SocketAddr, follower: SocketAddr) {
    let mut seen = Seen::new(By::Request);
    let raw = Raw::connect(profile, leader).await;
    let mut one = raw.producer().await;
    let log = one.create("one", LogConfig::default()).await.expect("made");
    for payload in ["a", "b", "c"] {
        one.append(log, payload.as_bytes()).await.expect("appended");
    }
    let before = tail(&raw, log).await;

    // Not here: elsewhere, and where that is.
    let away = Raw::connect(profile, follower).await;
    let mut lost = away.commands().await;
    let refused = lost.open(None).await.expect_err("it does not lead");
    let hint = refused.leader.as_ref().expect("who leads");
    assert_eq!(hint.addresses, [leader.to_string()]);
    seen.refused(Code::NotLeader, &refused);
    (lost.producer, lost.epoch) = (one.producer, one.epoch);
    for command in every_command(&one, log, one.sequence) {
        let batch = match command {
            CommandBody::Append { .. } => batch_of(b"x"),
            _ => Vec::new(),
        };
        let refused = lost.send(command, &batch, Flags::RESUME).await;
        seen.refused(Code::NotLeader, &refused.expect_err("it does not lead"));
    }
    unchanged(&raw, &before).await;

    // No time: at once again, with more of it.
    one.deadline_ms = 0;
    let refused = one.append(log, b"d").await.expect_err("no time");
    seen.refused(Code::DeadlineExceeded, &refused);
    unchanged(&raw, &before).await;
    one.deadline_ms = 60_000;
    assert_eq!(one.append(log, b"d").await.expect("in time").start, 3);
    let before = tail(&raw, log).await;

    // Beyond the sequence that is due: from that one on, in order.
    let due = one.sequence;
    for sequence in [due + 1, due + 2] {
        one.push(
            append_to(log, one.at(sequence)),
            &batch_of(b"late"),
            Flags::NONE,
        );
    }
    one.flush().await;
    for _ in 0..2 {
        let refused = one.reply().await.1.expect_err("one is missing");
        assert_eq!(refused.found, Some(due), "{refused}");
        seen.refused(Code::SequenceGap, &refused);
    }
    unchanged(&raw, &before).await;
    for sequence in due..due + 3 {
        one.push(
            append_to(log, one.at(sequence)),
            &batch_of(b"due"),
            Flags::NONE,
        );
    }
    one.flush().await;
    for start in 4..7 {
        let receipt = appended(one.reply().await.1).expect("in order");
        assert_eq!(receipt.start, start);
    }
    let before = tail(&raw, log).await;

    conditions(&mut seen, &raw, log, &before).await;
    names(&mut seen, &raw, log, &before).await;
    sizes(&mut seen, &raw).await;
    forgotten(&mut seen, &raw).await;
    rates(&mut seen, &raw).await;
    unchanged(&raw, &before).await;
    seen.all();
}

/// One of each command, numbered alike.
fn every_command(producer: &Commands, log: u64, sequence: u64) -> Vec<CommandBody> {
    let own = producer.at(sequence);
    let origin = Some(own);
    vec![
        CommandBody::OpenProducer {
            nonce: 7,
            name: Some("somebody".into()),
        },
        CommandBody::CreateLog {
            origin,
            name: "never".into(),
            if_absent: false,
            config: LogConfig::default(),
        },
        CommandBody::OpenLog {
            origin,
            name: "never".into(),
            create: true,
        },
        append_to(log, own),
        CommandBody::Trim { origin, log, to: 1 },
        CommandBody::Seal { origin, log },
        CommandBody::AlterLog {
            origin,
            log,
            change: Default::default(),
        },
        CommandBody::DeleteLog { origin, log },
        CommandBody::Fence {
            origin,
            log,
            token: Some("w".into()),
            expect: Expected::Any,
        },
        CommandBody::SetCursor {
            origin,
            log,
            name: "me".into(),
            at: 1,
            expect: Expected::Any,
        },
        CommandBody::DeleteCursor {
            origin,
            log,
            name: "me".into(),
        },
    ]
}

/// What is decided at apply: each ends its epoch, so each has a producer of its own.
async fn conditions(seen: &mut Seen, raw: &Raw, log: u64, before: &TailInfo) {
    let tail_now = before.offset;
    let mut two = raw.producer().await;
    let command = CommandBody::Append {
        origin: two.next(),
        log,
        if_tail: Some(99),
        fence: None,
    };
    let refused = two.send(command, &batch_of(b"x"), Flags::NONE).await;
    let refused = refused.expect_err("another tail");
    assert_eq!(refused.tail, Some(tail_now), "{refused}");
    seen.refused(Code::TailMismatch, &refused);
    // What comes behind it in its epoch gets the same, and is not applied.
    let refused = two
        .append(log, b"behind")
        .await
        .expect_err("its epoch ended");
    seen.refused(Code::TailMismatch, &refused);

    let mut two = raw.producer().await;
    let command = CommandBody::Append {
        origin: two.next(),
        log,
        if_tail: None,
        fence: Some("nobody's".into()),
    };
    let refused = two.send(command, &batch_of(b"x"), Flags::NONE).await;
    let refused = refused.expect_err("another fence");
    assert_eq!(refused.found, None, "the log's fence: {refused}");
    seen.refused(Code::Fenced, &refused);

    // A name that was opened again: the older epoch is shut out.
    let mut old = raw.commands().await;
    old.open(Some("mill")).await.expect("opened");
    let mut new = raw.commands().await;
    new.open(Some("mill")).await.expect("opened again");
    let refused = old.append(log, b"x").await.expect_err("shut out");
    assert_eq!(refused.found, Some(new.epoch.into()), "{refused}");
    seen.refused(Code::Fenced, &refused);

    let mut two = raw.producer().await;
    let command = CommandBody::SetCursor {
        origin: Some(two.next()),
        log,
        name: "me".into(),
        at: 1,
        expect: Expected::Is(5),
    };
    let refused = two.call(command).await.expect_err("there is none");
    assert_eq!(refused.found, None, "{refused}");
    seen.refused(Code::CursorMismatch, &refused);

    // Of a write: nothing was applied; of a read: there is nothing yet.
    let mut two = raw.producer().await;
    let origin = Some(two.next());
    let command = CommandBody::Trim {
        origin,
        log,
        to: tail_now + 1,
    };
    let refused = two.call(command).await.expect_err("beyond the tail");
    assert_eq!(refused.tail, Some(tail_now), "{refused}");
    seen.refused(Code::OffsetOutOfRange, &refused);
    let mut two = raw.producer().await;
    let command = CommandBody::SetCursor {
        origin: Some(two.next()),
        log,
        name: "me".into(),
        at: tail_now + 1,
        expect: Expected::Any,
    };
    let refused = two.call(command).await.expect_err("beyond the tail");
    seen.refused(Code::OffsetOutOfRange, &refused);
    let beyond = ReadFrom::Offset(tail_now + 1);
    let refused = raw.read_refused("one", beyond).await;
    assert_eq!(refused.tail, Some(tail_now), "{refused}");
    seen.refused(Code::OffsetOutOfRange, &refused);
    unchanged(raw, before).await;
}

/// Logs that are not there, are there, are sealed, trimmed or deleted; and what makes no sense.
async fn names(seen: &mut Seen, raw: &Raw, log: u64, before: &TailInfo) {
    let mut two = raw.producer().await;
    let refused = two.find("nowhere").await.expect_err("not there");
    seen.refused(Code::NotFound, &refused);
    let refused = raw
        .read_refused("one", ReadFrom::Cursor("nobody".into()))
        .await;
    seen.refused(Code::NotFound, &refused);
    let command = CommandBody::DeleteCursor {
        origin: Some(two.next()),
        log,
        name: "nobody".into(),
    };
    let refused = two.call(command).await.expect_err("not there");
    assert_eq!(refused.version, Some(before.version), "{refused}");
    seen.refused(Code::NotFound, &refused);

    let mut two = raw.producer().await;
    let refused = two.create("one", LogConfig::default()).await;
    let refused = refused.expect_err("there is one");
    assert_eq!(refused.log, Some(log), "{refused}");
    seen.refused(Code::AlreadyExists, &refused);

    let refused = two.call(CommandBody::Seal { origin: None, log });
    let refused = refused.await.expect_err("without a number");
    seen.refused(Code::Invalid, &refused);
    let mut broken = batch_of(b"x").concat();
    *broken.last_mut().expect("not empty") ^= 1;
    let command = append_to(log, two.at(two.sequence));
    let refused = two.send(command, &[broken.into()], Flags::NONE).await;
    seen.refused(Code::Invalid, &refused.expect_err("a wrong checksum"));

    let mut two = raw.producer().await;
    let shut = two
        .create("shut", LogConfig::default())
        .await
        .expect("made");
    two.append(shut, b"a").await.expect("appended");
    two.append(shut, b"b").await.expect("appended");
    let origin = Some(two.next());
    let to_1 = CommandBody::Trim {
        origin,
        log: shut,
        to: 1,
    };
    two.call(to_1).await.expect("trimmed");
    let refused = raw.read_refused("shut", ReadFrom::Offset(0)).await;
    assert_eq!(refused.trim_point, Some(1), "{refused}");
    seen.refused(Code::Trimmed, &refused);
    let origin = Some(two.next());
    let seal = CommandBody::Seal { origin, log: shut };
    two.call(seal).await.expect("sealed");
    let sealed = tail(raw, shut).await;
    let refused = two.append(shut, b"c").await.expect_err("sealed");
    assert_eq!(refused.tail, Some(2), "{refused}");
    seen.refused(Code::Sealed, &refused);
    unchanged(raw, &sealed).await;

    let mut two = raw.producer().await;
    let gone = two
        .create("gone", LogConfig::default())
        .await
        .expect("made");
    let origin = Some(two.next());
    let delete = CommandBody::DeleteLog { origin, log: gone };
    two.call(delete).await.expect("deleted");
    let refused = two.append(gone, b"a").await.expect_err("deleted");
    seen.refused(Code::LogDeleted, &refused);
    unchanged(raw, before).await;
}

async fn sizes(seen: &mut Seen, raw: &Raw) {
    let mut two = raw.producer().await;
    let config = LogConfig {
        batch_bytes_max: 100,
        ..LogConfig::default()
    };
    let small = two.create("small", config).await.expect("made");
    let before = tail(raw, small).await;
    // The record's own limit: known before anything is ordered, so the next one may take its sequence.
    let mut large = batch_of(&vec![b'x'; limits::RECORD_BYTES_MAX]).concat();
    // One byte more, as its lengths and its checksum say.
    large.push(b'x');
    let payload = u32::try_from(limits::RECORD_BYTES_MAX + 1).expect("small");
    let section = payload + 12;
    for (at, value) in [(16, section), (20, section), (40, payload)] {
        large[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let crc = crc32c::crc32c(&large[8..]);
    large[4..8].copy_from_slice(&crc.to_le_bytes());
    let command = append_to(small, two.at(two.sequence));
    let refused = two.send(command, &[Bytes::from(large)], Flags::NONE).await;
    seen.refused(Code::TooLarge, &refused.expect_err("too large"));
    let receipt = two.append(small, b"fits").await.expect("resumed");
    assert_eq!((receipt.start, before.offset), (0, 0));
    // The log's own: decided at apply.
    let before = tail(raw, small).await;
    let refused = two.append(small, &[b'x'; 200]).await;
    seen.refused(
        Code::TooLarge,
        &refused.expect_err("too large for this log"),
    );
    unchanged(raw, &before).await;
}

/// A receipt that is not kept any more.
async fn forgotten(seen: &mut Seen, raw: &Raw) {
    let mut two = raw.producer().await;
    let log = two
        .create("many", LogConfig::default())
        .await
        .expect("made");
    let first = two.sequence;
    let count = u64::from(limits::APPENDS_IN_FLIGHT_MAX) + 1;
    for _ in 0..count {
        let origin = two.next();
        two.push(append_to(log, origin), &batch_of(b"x"), Flags::NONE);
    }
    two.flush().await;
    for _ in 0..count {
        appended(two.reply().await.1).expect("as many in flight as one likes");
    }
    let before = tail(raw, log).await;
    assert_eq!(before.offset, count);
    let again = append_to(log, two.at(first));
    let refused = two.send(again, &batch_of(b"x"), Flags::NONE).await;
    // It was applied, as a matter of fact: the replica does not know any more.
    seen.refused(Code::DedupExpired, &refused.expect_err("forgotten"));
    // The second one is the oldest that is kept.
    let again = append_to(log, two.at(first + 1));
    let known = two.send(again, &batch_of(b"x"), Flags::NONE).await;
    let known = appended(known).expect("known");
    assert!(known.duplicate && known.start == 1, "{known:?}");
    unchanged(raw, &before).await;
}

/// Over a log's rate, and after as long as was asked for.
async fn rates(seen: &mut Seen, raw: &Raw) {
    let mut two = raw.producer().await;
    let config = LogConfig {
        append_bytes_per_s: 10_000,
        ..LogConfig::default()
    };
    let log = two.create("slow", config).await.expect("made");
    // A batch that is more than the log takes in a quarter of a second is taken, and paid for by the next.
    two.append(log, &[b'x'; 20_000]).await.expect("appended");
    let before = tail(raw, log).await;
    let refused = two.append(log, b"y").await.expect_err("over the rate");
    let wait = refused.retry_after_ms.expect("a time");
    assert!(
        (1..=2_000).contains(&wait),
        "{wait} ms for some 18,000 bytes"
    );
    seen.refused(Code::Throttled, &refused);
    unchanged(raw, &before).await;
    tokio::time::sleep(Duration::from_millis(u64::from(wait) + 50)).await;
    let receipt = two.append(log, b"y").await.expect("after that time");
    assert_eq!((receipt.start, receipt.duplicate), (1, false));
}
