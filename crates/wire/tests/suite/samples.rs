//! One message of every sort, for the test vectors, the golden files and the properties. The `match`es that name them have no wildcard, so that
//! a new variant does not compile without a sample's name.

use paxlog_paxos::{
    Accept, Accepted, AskIndex, Ballot, BelowChosen, ClusterId, ConfigNumber, Confirm, Confirmed,
    Echo, Envelope, Fetch, FetchAnswer, FetchReply, FetchWhat, Form, FormAnswer, FormAsk, GroupId,
    HandOver, Heartbeat, Incarnation, Index, Leading, Member, Message, Prepare, Promise,
    PromisedSlot, Refuse, ReplicaId, Slot, UnknownSlots, Value,
};
use paxlog_wire::batch::{Batch, BatchBuilder, Codec, Record};
use paxlog_wire::client::*;
use paxlog_wire::replica::{LinkOpen, Purpose, ReplicaHello, ReplicaHelloReply, StreamClass};
use paxlog_wire::{Code, LeaderHint, WireError};

const CLUSTER: u128 = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;

fn named<T>(samples: Vec<T>, name: impl Fn(&T) -> &'static str) -> Vec<(&'static str, T)> {
    let named: Vec<_> = samples
        .into_iter()
        .map(|sample| (name(&sample), sample))
        .collect();
    let mut names: Vec<_> = named.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), named.len(), "one sample each");
    named
}

fn leader() -> LeaderHint {
    LeaderHint {
        ballot: 0x5_0002,
        replica: 2,
        addresses: vec!["10.0.0.2:7400".into(), "[::1]:7401".into()],
    }
}

fn error() -> WireError {
    WireError {
        code: Code::SequenceGap,
        message: "sequence 9 came where 7 was due: reopen the producer".into(),
        retry_after_ms: Some(20),
        leader: Some(leader().into()),
        tail: Some(11),
        trim_point: Some(3),
        found: Some(7),
        log: Some(12),
        version: Some(13),
    }
}

fn config() -> LogConfig {
    LogConfig {
        retention_age_ns: 1,
        retention_bytes: 2,
        batch_bytes_max: 3,
        append_bytes_per_s: 4,
    }
}

pub(crate) fn records() -> Vec<Record> {
    vec![
        Record::new("payload"),
        Record::new("")
            .with_key("")
            .with_header("h", "")
            .with_header("", "v"),
        Record::new(vec![0xff, 0x00]).with_key(vec![0x80]),
    ]
}

pub(crate) fn batch() -> Batch {
    let mut builder = BatchBuilder::new();
    for record in records() {
        builder.push(&record).unwrap();
    }
    builder.finish().unwrap()
}

/// The records of [`compressed`].
pub(crate) fn repeated() -> Vec<Record> {
    let record = Record::new("the same payload")
        .with_key("k")
        .with_header("h", "v");
    vec![record; 8]
}

/// What a producer makes of [`repeated`]; this crate has no codecs, so their work is given in hexadecimal.
pub(crate) fn compressed() -> Vec<(&'static str, Batch)> {
    let samples = vec![
        (
            Codec::Lz4,
            "d0010000000a000000100000006b0d00000400f00368767468652073616d65207061796c6f616416000f2700f46061796c6f6164",
        ),
        (
            Codec::Zstd,
            "28b52ffd6038007501003402010000000a000000100000006b0100000068767468652073616d65207061796c6f616402001c94d2f0d58101",
        ),
    ];
    let batches = samples.into_iter().map(|(codec, section)| {
        let mut builder = BatchBuilder::new();
        for record in repeated() {
            builder.push(&record).unwrap();
        }
        let section = crate::golden::unhex(section);
        let batch = builder.finish_with(codec, |_| Some(&section)).unwrap();
        (codec, batch)
    });
    let named = named(batches.collect(), |(codec, _)| match codec {
        Codec::Lz4 => "batch.lz4",
        Codec::Zstd => "batch.zstd",
    });
    named
        .into_iter()
        .map(|(name, (_, batch))| (name, batch))
        .collect()
}

pub(crate) fn lone_batch() -> Batch {
    let mut builder = BatchBuilder::new();
    builder.push(&Record::new("alone")).unwrap();
    builder.finish().unwrap()
}

/// What `Records` in the samples tell of.
pub(crate) fn batches() -> Vec<Batch> {
    vec![batch(), lone_batch()]
}

pub(crate) fn client_hellos() -> Vec<(&'static str, ClientHello)> {
    vec![(
        "client_hello",
        ClientHello {
            version_min: 1,
            version_max: 2,
            cluster: CLUSTER,
        },
    )]
}

pub(crate) fn control_events() -> Vec<(&'static str, ControlEvent)> {
    let hello = ServerHello {
        version: 1,
        cluster: CLUSTER,
        replica: 3,
        limits: ServerLimits::default(),
        leader: Some(leader()),
    };
    let samples = vec![
        ControlEvent::Hello(hello),
        ControlEvent::Refused(error()),
        ControlEvent::Leader(leader()),
        ControlEvent::NoLeader,
        ControlEvent::GoingAway,
    ];
    named(samples, |sample| match sample {
        ControlEvent::Hello(_) => "control.hello",
        ControlEvent::Refused(_) => "control.refused",
        ControlEvent::Leader(_) => "control.leader",
        ControlEvent::NoLeader => "control.no_leader",
        ControlEvent::GoingAway => "control.going_away",
    })
}

pub(crate) fn command_requests() -> Vec<(&'static str, CommandRequest)> {
    let origin = Origin {
        producer: 0x1111,
        epoch: 2,
        sequence: 0x3333,
    };
    let commands = vec![
        CommandBody::OpenProducer {
            nonce: 77,
            name: Some("ingest".into()),
        },
        CommandBody::CreateLog {
            origin: None,
            name: "orders".into(),
            if_absent: true,
            config: config(),
        },
        CommandBody::OpenLog {
            origin: Some(origin),
            name: "orders".into(),
            create: true,
        },
        CommandBody::Trim {
            origin: Some(origin),
            log: 4,
            to: 1_000,
        },
        CommandBody::Seal {
            origin: Some(origin),
            log: 4,
        },
        CommandBody::Append {
            origin,
            log: 4,
            if_tail: Some(110),
            fence: Some("f1".into()),
        },
        CommandBody::AlterLog {
            origin: Some(origin),
            log: 4,
            change: ConfigChange {
                retention_age_ns: Some(1),
                retention_bytes: None,
                batch_bytes_max: Some(2),
                append_bytes_per_s: Some(3),
            },
        },
        CommandBody::DeleteLog {
            origin: Some(origin),
            log: 4,
        },
        CommandBody::Fence {
            origin: Some(origin),
            log: 4,
            token: Some("f2".into()),
            expect: Expected::Is("f1".into()),
        },
        CommandBody::SetCursor {
            origin: Some(origin),
            log: 4,
            name: "billing".into(),
            at: 60,
            expect: Expected::Absent,
        },
        CommandBody::DeleteCursor {
            origin: Some(origin),
            log: 4,
            name: "billing".into(),
        },
    ];
    let samples = commands
        .into_iter()
        .map(|command| CommandRequest {
            request: 0x55,
            deadline_ms: 10_000,
            command,
        })
        .collect();
    named(samples, |sample: &CommandRequest| match sample.command {
        CommandBody::OpenProducer { .. } => "command.open_producer",
        CommandBody::CreateLog { .. } => "command.create_log",
        CommandBody::OpenLog { .. } => "command.open_log",
        CommandBody::Append { .. } => "command.append",
        CommandBody::Trim { .. } => "command.trim",
        CommandBody::Seal { .. } => "command.seal",
        CommandBody::AlterLog { .. } => "command.alter_log",
        CommandBody::DeleteLog { .. } => "command.delete_log",
        CommandBody::Fence { .. } => "command.fence",
        CommandBody::SetCursor { .. } => "command.set_cursor",
        CommandBody::DeleteCursor { .. } => "command.delete_cursor",
    })
}

pub(crate) fn command_replies() -> Vec<(&'static str, CommandReply)> {
    let last = |what| {
        let last = Some(LastReceipt {
            epoch: 1,
            sequence: 9,
            what,
        });
        Ok(CommandOutcome::ProducerOpened {
            producer: 8,
            epoch: 2,
            last,
        })
    };
    let appended = LastOutcome::Appended {
        log: 4,
        start: 100,
        end: 103,
        timestamp: 1_700,
        version: 41,
    };
    let receipt = Receipt {
        log: 4,
        start: 100,
        end: 103,
        timestamp: 1_700_000_000_000_000_000,
        tail: 110,
        version: 42,
        durability: Durability::on([1, 3]),
        duplicate: true,
    };
    let results = vec![
        Ok(CommandOutcome::ProducerOpened {
            producer: 8,
            epoch: 0,
            last: None,
        }),
        last(appended),
        last(LastOutcome::Created {
            log: 4,
            version: 1,
            existed: true,
        }),
        last(LastOutcome::Trimmed {
            log: 4,
            trim_point: 50,
            tail: 110,
            version: 43,
        }),
        last(LastOutcome::Sealed {
            log: 4,
            tail: 110,
            version: 44,
        }),
        last(LastOutcome::Altered {
            log: 4,
            version: 45,
        }),
        last(LastOutcome::Deleted {
            log: 4,
            version: 46,
        }),
        last(LastOutcome::FenceSet {
            log: 4,
            tail: 110,
            version: 47,
        }),
        last(LastOutcome::CursorSet {
            log: 4,
            at: 60,
            version: 48,
        }),
        last(LastOutcome::CursorDeleted {
            log: 4,
            version: 49,
        }),
        Ok(CommandOutcome::LogOpened {
            log: 4,
            version: 1,
            existed: true,
            tail: 5,
            sealed: false,
        }),
        Ok(CommandOutcome::Appended(receipt)),
        Ok(CommandOutcome::Trimmed {
            trim_point: 50,
            tail: 110,
            version: 43,
            duplicate: false,
        }),
        Ok(CommandOutcome::Sealed {
            tail: 110,
            version: 44,
            duplicate: false,
        }),
        Ok(CommandOutcome::LogAltered {
            version: 45,
            duplicate: false,
        }),
        Ok(CommandOutcome::LogDeleted {
            version: 46,
            duplicate: true,
        }),
        Ok(CommandOutcome::FenceSet {
            tail: 110,
            version: 47,
            duplicate: false,
        }),
        Ok(CommandOutcome::CursorSet {
            at: 60,
            version: 48,
            duplicate: false,
        }),
        Ok(CommandOutcome::CursorDeleted {
            version: 49,
            duplicate: false,
        }),
        Err(error()),
    ];
    let samples = results
        .into_iter()
        .map(|result| CommandReply {
            request: 0x55,
            result,
        })
        .collect();
    named(samples, |sample: &CommandReply| match sample.result {
        Ok(CommandOutcome::ProducerOpened { last: None, .. }) => "reply.producer_opened",
        Ok(CommandOutcome::ProducerOpened {
            last: Some(last), ..
        }) => match last.what {
            LastOutcome::Created { .. } => "reply.producer_opened_created",
            LastOutcome::Appended { .. } => "reply.producer_opened_appended",
            LastOutcome::Trimmed { .. } => "reply.producer_opened_trimmed",
            LastOutcome::Sealed { .. } => "reply.producer_opened_sealed",
            LastOutcome::Altered { .. } => "reply.producer_opened_altered",
            LastOutcome::Deleted { .. } => "reply.producer_opened_deleted",
            LastOutcome::FenceSet { .. } => "reply.producer_opened_fence_set",
            LastOutcome::CursorSet { .. } => "reply.producer_opened_cursor_set",
            LastOutcome::CursorDeleted { .. } => "reply.producer_opened_cursor_deleted",
        },
        Ok(CommandOutcome::LogOpened { .. }) => "reply.log_opened",
        Ok(CommandOutcome::Appended(_)) => "reply.appended",
        Ok(CommandOutcome::Trimmed { .. }) => "reply.trimmed",
        Ok(CommandOutcome::Sealed { .. }) => "reply.sealed",
        Ok(CommandOutcome::LogAltered { .. }) => "reply.log_altered",
        Ok(CommandOutcome::LogDeleted { .. }) => "reply.log_deleted",
        Ok(CommandOutcome::FenceSet { .. }) => "reply.fence_set",
        Ok(CommandOutcome::CursorSet { .. }) => "reply.cursor_set",
        Ok(CommandOutcome::CursorDeleted { .. }) => "reply.cursor_deleted",
        Err(_) => "reply.error",
    })
}

pub(crate) fn query_requests() -> Vec<(&'static str, QueryRequest)> {
    let queries = vec![
        Query::CheckTail {
            log: LogRef::Name("orders".into()),
            linearizable: true,
        },
        Query::Describe {
            log: LogRef::Id(4),
            linearizable: false,
        },
        Query::List {
            prefix: "o".into(),
            after: Some("orders".into()),
            limit: 100,
        },
        Query::Status,
        Query::Cursor {
            log: LogRef::Id(4),
            name: "billing".into(),
            linearizable: true,
        },
        Query::Cursors {
            log: LogRef::Id(4),
            prefix: "b".into(),
            after: Some("a".into()),
            limit: 10,
            linearizable: false,
        },
    ];
    let samples = queries
        .into_iter()
        .map(|query| QueryRequest {
            deadline_ms: 500,
            query,
        })
        .collect();
    named(samples, |sample: &QueryRequest| match sample.query {
        Query::CheckTail { .. } => "query.check_tail",
        Query::Describe { .. } => "query.describe",
        Query::List { .. } => "query.list",
        Query::Status => "query.status",
        Query::Cursor { .. } => "query.cursor",
        Query::Cursors { .. } => "query.cursors",
    })
}

pub(crate) fn query_replies() -> Vec<(&'static str, QueryReply)> {
    let tail = TailInfo {
        log: 4,
        offset: 110,
        timestamp: 1_700,
        trim_point: 50,
        sealed: true,
        version: 44,
        fence: Some("f1".into()),
        stale_ms: Some(12),
    };
    let description = LogDescription {
        name: "orders".into(),
        tail: tail.clone(),
        created: 1_600,
        bytes_appended: 4_096,
        bytes_kept: 1_024,
        config: config(),
        cursors: 2,
        producers: 3,
    };
    let member = |replica, linked| MemberStatus {
        replica,
        addresses: vec!["10.0.0.1:7400".into()],
        linked,
        lag_slots: linked.then_some(3),
        round_trip_us: linked.then_some(250),
        why: (!linked).then(|| "no link".into()),
    };
    let status = Status {
        cluster: CLUSTER,
        replica: 1,
        incarnation: 99,
        program: "0.1.0".into(),
        role: RoleStatus::Leader,
        leader: Some(leader()),
        ballot: 0x5_0001,
        chosen_index: 10,
        chosen_prefix: 9,
        applied: 8,
        ready: true,
        standing: "well".into(),
        disk: "well".into(),
        wal_bytes: 64 << 20,
        logs: 2,
        members: vec![member(1, true), member(2, false)],
    };
    let cursor = Cursor {
        name: "billing".into(),
        at: 60,
        set: 1_700,
    };
    let answers = vec![
        Ok(Answer::Tail(tail)),
        Ok(Answer::Description(description.clone())),
        Ok(Answer::Logs {
            logs: vec![description.clone(), description],
            more: true,
        }),
        Ok(Answer::Status(Box::new(status))),
        Ok(Answer::Cursor {
            cursor: Some(cursor.clone()),
            version: 44,
        }),
        Ok(Answer::Cursors {
            cursors: vec![cursor],
            more: true,
            version: 44,
        }),
        Err(error()),
    ];
    let samples = answers
        .into_iter()
        .map(|result| QueryReply { result })
        .collect();
    named(samples, |sample: &QueryReply| match sample.result {
        Ok(Answer::Tail(_)) => "answer.tail",
        Ok(Answer::Description(_)) => "answer.description",
        Ok(Answer::Logs { .. }) => "answer.logs",
        Ok(Answer::Status(_)) => "answer.status",
        Ok(Answer::Cursor { .. }) => "answer.cursor",
        Ok(Answer::Cursors { .. }) => "answer.cursors",
        Err(_) => "answer.error",
    })
}

pub(crate) fn read_requests() -> Vec<(&'static str, ReadRequest)> {
    let from = vec![
        ReadFrom::Offset(7),
        ReadFrom::First,
        ReadFrom::Tail,
        ReadFrom::TailMinus(10),
        ReadFrom::Timestamp(1_700_000_000_000_000_000),
        ReadFrom::Cursor("billing".into()),
    ];
    let samples = from
        .into_iter()
        .map(|from| ReadRequest {
            deadline_ms: 10_000,
            log: LogRef::Name("orders".into()),
            from,
            records_max: 1_000,
            bytes_max: 1 << 20,
            until_tail: true,
            until_timestamp: 5,
            wait_ms: 250,
            strict: true,
            linearizable: false,
        })
        .collect();
    named(samples, |sample: &ReadRequest| match sample.from {
        ReadFrom::Offset(_) => "read.offset",
        ReadFrom::First => "read.first",
        ReadFrom::Tail => "read.tail",
        ReadFrom::TailMinus(_) => "read.tail_minus",
        ReadFrom::Timestamp(_) => "read.timestamp",
        ReadFrom::Cursor(_) => "read.cursor",
    })
}

fn started() -> Started {
    Started {
        log: 4,
        from: 7,
        tail: 110,
        trim_point: 5,
        version: 44,
        stale_ms: Some(12),
    }
}

fn metas() -> Vec<BatchMeta> {
    let places = [(5, 1_700), (8, 1_701)];
    let placed = batches().into_iter().zip(places);
    placed
        .map(|(batch, (start, timestamp))| BatchMeta {
            start,
            records: batch.info().records,
            bytes: batch.info().bytes,
            timestamp,
        })
        .collect()
}

pub(crate) fn read_events() -> Vec<(&'static str, ReadEvent)> {
    let mut samples = vec![
        ReadEvent::Started(started()),
        ReadEvent::Records(metas()),
        ReadEvent::Gap { to: 50 },
        ReadEvent::Refused(error()),
    ];
    let reasons = [
        EndReason::Tail,
        EndReason::Limit,
        EndReason::Until,
        EndReason::Sealed,
    ];
    samples.extend(reasons.map(|reason| ReadEvent::End {
        next: 9,
        tail: 110,
        reason,
    }));
    named(samples, |sample| match sample {
        ReadEvent::Started(_) => "read_event.started",
        ReadEvent::Records(_) => "read_event.records",
        ReadEvent::Gap { .. } => "read_event.gap",
        ReadEvent::End {
            reason: EndReason::Tail,
            ..
        } => "read_event.end_tail",
        ReadEvent::End {
            reason: EndReason::Limit,
            ..
        } => "read_event.end_limit",
        ReadEvent::End {
            reason: EndReason::Until,
            ..
        } => "read_event.end_until",
        ReadEvent::End {
            reason: EndReason::Sealed,
            ..
        } => "read_event.end_sealed",
        ReadEvent::Refused(_) => "read_event.refused",
    })
}

pub(crate) fn tail_requests() -> Vec<(&'static str, TailRequest)> {
    vec![(
        "tail",
        TailRequest {
            log: LogRef::Id(4),
            from: ReadFrom::TailMinus(10),
            credit_bytes: 1 << 20,
        },
    )]
}

pub(crate) fn credit() -> Credit {
    Credit { bytes: 65_536 }
}

pub(crate) fn tail_events() -> Vec<(&'static str, TailEvent)> {
    let samples = vec![
        TailEvent::Started(started()),
        TailEvent::Records(metas()),
        TailEvent::Gap { to: 50 },
        TailEvent::CaughtUp { tail: 110 },
        TailEvent::Sealed { tail: 110 },
        TailEvent::Heartbeat { tail: 110 },
        TailEvent::Refused(error()),
    ];
    named(samples, |sample| match sample {
        TailEvent::Started(_) => "tail_event.started",
        TailEvent::Records(_) => "tail_event.records",
        TailEvent::Gap { .. } => "tail_event.gap",
        TailEvent::CaughtUp { .. } => "tail_event.caught_up",
        TailEvent::Sealed { .. } => "tail_event.sealed",
        TailEvent::Heartbeat { .. } => "tail_event.heartbeat",
        TailEvent::Refused(_) => "tail_event.refused",
    })
}

pub(crate) fn replica_hellos() -> Vec<(&'static str, ReplicaHello)> {
    let samples = [Purpose::Control, Purpose::Accepts].map(|purpose| ReplicaHello {
        version_min: 1,
        version_max: 1,
        cluster: CLUSTER,
        replica: 2,
        incarnation: 99,
        purpose,
        link: 5,
        receive_budget: 425_984,
        client_addresses: vec!["10.0.0.1:7400".to_owned()],
    });
    named(samples.into(), |sample| match sample.purpose {
        Purpose::Control => "replica_hello.control",
        Purpose::Accepts => "replica_hello.accepts",
    })
}

pub(crate) fn replica_hello_replies() -> Vec<(&'static str, ReplicaHelloReply)> {
    let (_, hello) = replica_hellos().remove(0);
    vec![
        (
            "replica_hello_reply.hello",
            ReplicaHelloReply { result: Ok(hello) },
        ),
        (
            "replica_hello_reply.error",
            ReplicaHelloReply {
                result: Err(error()),
            },
        ),
    ]
}

pub(crate) fn link_opens() -> Vec<(&'static str, LinkOpen)> {
    let classes = [
        StreamClass::Control,
        StreamClass::Accepts,
        StreamClass::CatchUp,
    ];
    named(
        classes.map(|class| LinkOpen { link: 5, class }).into(),
        |sample| match sample.class {
            StreamClass::Control => "link_open.control",
            StreamClass::Accepts => "link_open.accepts",
            StreamClass::CatchUp => "link_open.catch_up",
        },
    )
}

pub(crate) fn envelopes() -> Vec<(&'static str, Envelope)> {
    let ballot = Ballot::new(5, ReplicaId(2));
    let older = Ballot::new(4, ReplicaId(1));
    let value = || Value::from_parts(batch().into_parts());
    let accepted = Accepted {
        ballot,
        life: 77,
        upto: Slot(9),
        received: Slot(11),
    };
    let heartbeat = Heartbeat {
        life: 77,
        round: 8,
        echo: Some(Echo {
            life: 78,
            round: 7,
            held_ns: 1_000,
        }),
        promised: ballot,
        leading: Some(Leading {
            ballot,
            first: Slot(1),
            chosen: Slot(8),
        }),
        standing: Some(older),
        voter: true,
        reaches_quorum: true,
        disk_well: false,
        follows: Some(older),
        vouches: true,
        priority: 3,
        applied: Slot(6),
        chosen_prefix: Slot(7),
        durable_prefix: Slot(5),
        chosen_below: Slot(2),
        accepted: Some(accepted.clone()),
    };
    let member = |id, incarnation| Member {
        id: ReplicaId(id),
        incarnation: Incarnation(incarnation),
    };
    let promise = Promise {
        ballot,
        chosen_below: Slot(2),
        chosen_prefix: Slot(7),
        slots: vec![PromisedSlot {
            slot: Slot(7),
            ballot: older,
            len: 100,
            checksum: 0xdead_beef,
        }],
        unknown: vec![
            UnknownSlots {
                slots: Slot(8)..Slot(9),
                ballot: Some(older),
            },
            UnknownSlots {
                slots: Slot(10)..Slot::MAX,
                ballot: None,
            },
        ],
    };
    let fetch = |what| Message::Fetch(Fetch { id: 6, what });
    let reply = |answer| Message::FetchReply(FetchReply { id: 6, answer });
    let samples = vec![
        Message::Heartbeat(heartbeat.into()),
        Message::FormAsk(FormAsk { round: 5 }),
        Message::FormAnswer(FormAnswer {
            asker: Incarnation(99),
            round: 5,
            blank: true,
            statement: 6,
        }),
        Message::Form(Form {
            members: vec![member(1, 99), member(2, 98)],
            statement: 6,
        }),
        Message::Prepare(Prepare {
            ballot,
            first: Slot(7),
        }),
        Message::Promise(promise),
        Message::Refuse(Refuse {
            ballot: older,
            promised: ballot,
        }),
        Message::Accept(Accept {
            ballot,
            first: Slot(1),
            free: Slot(9),
            slot: Slot(10),
            chosen: Slot(8),
            value: value(),
        }),
        Message::Accepted(accepted),
        Message::BelowChosen(BelowChosen {
            ballot,
            chosen_below: Slot(2),
        }),
        fetch(FetchWhat::Chosen {
            slots: Slot(3)..Slot(9),
            bytes_max: 1 << 20,
        }),
        fetch(FetchWhat::Accepted {
            slot: Slot(7),
            ballot: older,
        }),
        reply(FetchAnswer::Chosen {
            slot: Slot(3),
            ballot: older,
            value: value(),
        }),
        reply(FetchAnswer::Accepted {
            slot: Slot(7),
            ballot: older,
            value: Value::noop(),
        }),
        reply(FetchAnswer::End {
            next: Slot(9),
            chosen_below: Slot(2),
        }),
        reply(FetchAnswer::Absent {
            slot: Slot(9),
            ballot: older,
        }),
        Message::Confirm(Confirm { ballot, round: 12 }),
        Message::Confirmed(Confirmed { ballot, round: 12 }),
        Message::HandOver(HandOver {
            ballot,
            chosen: Slot(8),
        }),
        Message::AskIndex(AskIndex { life: 5, token: 6 }),
        Message::Index(Index {
            life: 5,
            token: 6,
            index: Some(Slot(7)),
        }),
    ];
    let samples = samples
        .into_iter()
        .map(|message| Envelope {
            cluster: ClusterId(CLUSTER),
            group: GroupId(1),
            config: ConfigNumber(2),
            from: ReplicaId(2),
            incarnation: Incarnation(98),
            message,
        })
        .collect();
    named(samples, |sample: &Envelope| match &sample.message {
        Message::Heartbeat(_) => "envelope.heartbeat",
        Message::FormAsk(_) => "envelope.form_ask",
        Message::FormAnswer(_) => "envelope.form_answer",
        Message::Form(_) => "envelope.form",
        Message::Prepare(_) => "envelope.prepare",
        Message::Promise(_) => "envelope.promise",
        Message::Refuse(_) => "envelope.refuse",
        Message::Accept(_) => "envelope.accept",
        Message::Accepted(_) => "envelope.accepted",
        Message::BelowChosen(_) => "envelope.below_chosen",
        Message::Fetch(Fetch {
            what: FetchWhat::Chosen { .. },
            ..
        }) => "envelope.fetch_chosen",
        Message::Fetch(Fetch {
            what: FetchWhat::Accepted { .. },
            ..
        }) => "envelope.fetch_accepted",
        Message::FetchReply(reply) => match reply.answer {
            FetchAnswer::Chosen { .. } => "envelope.fetch_reply_chosen",
            FetchAnswer::Accepted { .. } => "envelope.fetch_reply_accepted",
            FetchAnswer::End { .. } => "envelope.fetch_reply_end",
            FetchAnswer::Absent { .. } => "envelope.fetch_reply_absent",
        },
        Message::Confirm(_) => "envelope.confirm",
        Message::Confirmed(_) => "envelope.confirmed",
        Message::HandOver(_) => "envelope.hand_over",
        Message::AskIndex(_) => "envelope.ask_index",
        Message::Index(_) => "envelope.index",
    })
}
