use crate::history::{
    Call, ClientId, Consistency, Event, Gap, Observed, Outcome, Payload, ReadReply, Receipt,
    Recorder, Reply, SessionId, Stored, TailReply,
};

use super::*;

/// One of everything.
fn example() -> History {
    let mut recorder = Recorder::new();
    let me = ClientId(7);
    let session = SessionId(3);
    let mut op = |call: Call, outcome: Outcome| {
        let id = recorder.begin(10, me, call);
        recorder.end(20, id, outcome);
        id
    };
    let receipt = Receipt {
        log: Some(3),
        timestamp: Some(u64::MAX),
        tail: Some(9),
        version: Some(4),
        duplicate: true,
        ..Receipt::at(0..2)
    };
    let payloads = [
        Payload::from("text"),
        Payload::from(&b"\xff"[..]),
        Payload::id_of(b"x"),
    ];
    op(
        Call::append("a", payloads.clone()),
        Outcome::Ok(Reply::Appended(receipt)),
    );
    op(
        Call::append("a", ["gone"]),
        Outcome::NotApplied {
            code: "Sealed".into(),
            seen: Some(Observed {
                tail: Some(1),
                version: Some(2),
                sealed: Some(true),
                cursor: None,
            }),
        },
    );
    op(
        Call::trim("a", 1),
        Outcome::Ok(Reply::Trimmed {
            trim_point: 1,
            tail: 2,
            version: Some(5),
            duplicate: false,
        }),
    );
    op(
        Call::seal("a"),
        Outcome::Ok(Reply::Sealed {
            tail: 2,
            version: None,
            duplicate: true,
        }),
    );
    op(
        Call::create("a", true),
        Outcome::Ok(Reply::Created {
            version: Some(1),
            existed: false,
        }),
    );
    op(
        Call::check_tail("a", Consistency::Local).in_session(session, 4),
        Outcome::Ok(Reply::Tail(TailReply {
            offset: 1,
            timestamp: Some(0),
            trim_point: 0,
            sealed: false,
            version: Some(3),
            fence: None,
        })),
    );
    let records: Vec<Stored> = (5..)
        .zip(payloads)
        .map(|(offset, payload)| Stored::new(offset, payload, Some(offset / 7)))
        .collect();
    op(
        Call::read("b", Consistency::Linearizable, true).reading_from(2),
        Outcome::Ok(Reply::Read(ReadReply {
            records: records.clone(),
            gaps: vec![Gap { from: 2, to: 5 }],
            next: Some(8),
            tail: Some(8),
            error: Some("Unavailable".into()),
        })),
    );
    op(
        Call::append("b", ["never"]),
        Outcome::Unknown {
            code: Some("OutcomeUnknown".into()),
        },
    );
    for event in [
        Event::Records(records.clone()),
        Event::Gap { to: 9 },
        Event::CaughtUp { tail: 9 },
        Event::Sealed { tail: 9 },
    ] {
        recorder.event(30, me, "b", session, event);
    }
    recorder.begin_in(40, me, 6, Call::append("b", ["open"]));
    let delete = recorder.begin(50, me, Call::delete("b"));
    let deleted = Reply::Deleted {
        version: Some(4),
        duplicate: true,
    };
    recorder.end(60, delete, Outcome::Ok(deleted));
    recorder.about(delete, 5);
    let mut settled = Settled::whole("a", records.clone());
    settled.id = Some(3);
    settled.kept = records[..1].to_vec();
    settled.add_replica(1, records.clone());
    settled.add_replica(2, records[1..].to_vec());
    recorder.settle(settled);
    recorder.finish()
}

fn written(history: &History) -> String {
    let mut out = Vec::new();
    history.write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let mut history = example();
    let text = written(&history);
    assert_eq!(text.lines().count(), 1 + history.operations.len() + 1);
    assert_eq!(History::read(text.as_bytes()).unwrap(), history);
    history.complete = false;
    assert_eq!(
        History::read(written(&history).as_bytes()).unwrap(),
        history
    );
    assert_eq!(history.settled[0].replicas[0].records, None, "small");
}

#[test]
fn a_garbled_line_is_named() {
    let text = written(&example());
    for number in 2..=text.lines().count() {
        let garbled: Vec<&str> = (1..)
            .zip(text.lines())
            .map(|(n, line)| {
                if n == number {
                    &line[..line.len() - 3]
                } else {
                    line
                }
            })
            .collect();
        let error = History::read(garbled.join("\n").as_bytes()).unwrap_err();
        assert!(
            matches!(error, ReadError::Garbled { line, .. } if line == number as u64),
            "{number}: {error}"
        );
    }
}

#[test]
fn what_is_no_history_is_refused_in_a_sentence() {
    for (text, says) in [
        ("", "line 1 is not the header"),
        ("hello\n", "line 1 is not the header"),
        ("{\"paxlog_history\":3}\n", "format 3"),
        (
            "{\"paxlog_history\":1}\n{\"op\":{\"client\":1,\"log\":\"a\",\"call\":5,\"ret\":4,\"kind\":\"seal\",\"outcome\":{\"unknown\":{}}}}\n",
            "line 2: the operation returned before",
        ),
        (
            "{\"paxlog_history\":1}\n\n{\"settled\":{\"log\":\"a\",\"trim_point\":0,\"tail\":0,\"records\":[]}}\n{\"settled\":{\"log\":\"a\",\"trim_point\":0,\"tail\":0,\"records\":[]}}\n",
            "line 4: log a is settled a second time",
        ),
        ("{\"paxlog_history\":3,\"new\":1}\n", "format 3"),
        (
            // Else the history would be taken for complete.
            "{\"paxlog_history\":1,\"complet\":false}\n",
            "line 1: unknown field `complet`",
        ),
        (
            "{\"paxlog_history\":1}\n{\"op\":{\"client\":1,\"log\":\"a\",\"call\":5,\"kind\":\"seal\",\"outcome\":{\"unknown\":{\"what\":1}}}}\n",
            "line 2: unknown field `what`",
        ),
        (
            "{\"paxlog_history\":1}\n{\"op\":{\"client\":1,\"log\":\"a\",\"call\":5,\"ret\":6,\"kind\":\"seal\",\"outcome\":{\"ok\":{\"sealed\":{\"tail\":1,\"what\":1}}}}}\n",
            "line 2: unknown field `what`",
        ),
        (
            "{\"paxlog_history\":1}\n{\"op\":{\"client\":1,\"log\":\"a\",\"call\":5,\"kind\":\"seal\",\"outcome\":{\"ok\":{\"sealed\":{\"tail\":1}}}}}\n",
            "line 2: the operation was answered and has no `ret`",
        ),
        (
            "{\"paxlog_history\":1}\n{\"op\":{\"client\":1,\"log\":\"a\",\"call\":5,\"kind\":\"seal\",\"outcome\":{\"unknown\":{}},\"again\":[[4,{\"ok\":{\"sealed\":{\"tail\":1}}}]]}}\n",
            "line 2: the operation was answered again before",
        ),
        (
            "{\"paxlog_history\":1}\n{\"what\":1}\n",
            "line 2: unknown variant",
        ),
        (
            "{\"paxlog_history\":1}\n{\"settled\":{\"log\":\"a\",\"trim_point\":0,\"tail\":0,\"records\":[[0,\"x\",[]]]}}\n",
            "number of nanoseconds",
        ),
    ] {
        let said = History::read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
    let bare = History::read("{\"paxlog_history\":1}\n".as_bytes()).unwrap();
    assert_eq!(bare, History::default());
}

#[test]
fn a_later_answer_settles_what_was_unknown_and_stands_beside_what_was_known() {
    let mut recorder = Recorder::new();
    let ok = |duplicate| {
        Outcome::Ok(Reply::Appended(Receipt {
            duplicate,
            ..Receipt::at(0..1)
        }))
    };
    let id = recorder.begin(1, ClientId(1), Call::append("a", ["x"]));
    recorder.end(2, id, Outcome::Unknown { code: None });
    recorder.end(3, id, ok(true));
    recorder.end(4, id, ok(false));
    let history = recorder.finish();
    let operation = history.get(id).unwrap();
    assert_eq!((operation.call, operation.ret), (1, Some(3)));
    assert_eq!(operation.outcome, ok(true));
    assert_eq!(operation.again, [(4, ok(false))]);
}

/// Bytes without end, of which it is counted how many were taken.
struct Endless(u64);

impl io::Read for Endless {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        into.fill(b' ');
        self.0 += into.len() as u64;
        Ok(into.len())
    }
}

#[test]
fn a_line_without_an_end_is_not_read_into_memory() {
    let mut endless = Endless(0);
    let error = History::read(io::BufReader::new(&mut endless)).unwrap_err();
    assert!(matches!(error, ReadError::NoHistory), "{error}");
    assert!(endless.0 <= 2 * HEADER_BYTES_MAX, "{}", endless.0);
    let mut endless = Endless(0);
    let input = io::Read::chain(&b"{\"paxlog_history\":1}\n"[..], &mut endless);
    let error = History::read_lines(io::BufReader::new(input), 100_000).unwrap_err();
    assert_eq!(error.to_string(), "line 2: it is longer than 100000 bytes");
    assert!(endless.0 < 200_000, "{}", endless.0);
    // One that is as long as it may be is read.
    let text = written(&example());
    let longest = text.lines().map(str::len).max().unwrap() as u64 + 1;
    assert!(History::read_lines(text.as_bytes(), longest).is_ok());
    assert!(History::read_lines(text.as_bytes(), longest - 1).is_err());
}

#[test]
fn whatever_is_changed_in_a_file_it_is_read_and_judged_or_refused() {
    let text = written(&example()).into_bytes();
    let (mut read, mut refused) = (0, 0);
    for at in 0..text.len() {
        for byte in [b'0', b'9', b'"', b'[', b'}', b',', 0, 0xff] {
            let mut changed = text.clone();
            changed[at] = byte;
            match History::read(&changed[..]) {
                Ok(history) => {
                    crate::check::check(&history);
                    assert_eq!(
                        History::read(written(&history).as_bytes()).unwrap(),
                        history
                    );
                    read += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 1_000 && refused > 1_000, "{read} {refused}");
}

#[test]
fn the_largest_numbers_are_judged_without_a_panic() {
    let text = written(&example());
    let lines: Vec<&str> = text.lines().collect();
    let mut read = 0;
    for large in ["18446744073709551615", "9223372036854775808", "0"] {
        // One number at a time; the header's stays.
        for (number, line) in lines.iter().enumerate().skip(1) {
            let mut from = 0;
            while let Some(at) = line[from..].find(|c: char| c.is_ascii_digit()) {
                let start = from + at;
                let rest = line[start..].find(|c: char| !c.is_ascii_digit());
                from = rest.map_or(line.len(), |len| start + len);
                let changed = format!("{}{large}{}", &line[..start], &line[from..]);
                let mut changed_lines = lines.clone();
                changed_lines[number] = &changed;
                if let Ok(history) = History::read(changed_lines.join("\n").as_bytes()) {
                    crate::check::check(&history);
                    read += 1;
                }
            }
        }
    }
    assert!(read > 100, "{read}");
}
