//! Any sequence of messages and events, from members that may say anything: no panic, no hang, and nothing
//! that was handed out as chosen changes.

use bytes::Bytes;
use paxlog_paxos::{
    Accept, Accepted, AcceptedEntry, AskIndex, Ballot, BelowChosen, ClusterId, Config, Confirm,
    Confirmed, DiskHealth, Echo, Effect, Effects, Envelope, Fetch, FetchAnswer, FetchReply,
    FetchWhat, Form, FormAnswer, FormAsk, GroupId, HandOver, Heartbeat, Incarnation, Index,
    Leading, LinkEvent, Member, Message, Paxos, PersistId, Prepare, Promise, PromisedSlot,
    ReadToken, Recovered, Refuse, ReplicaId, Slot, UnknownSlots, Value,
};
use proptest::prelude::*;

fn slot() -> impl Strategy<Value = Slot> {
    prop_oneof![
        20 => (0u64..12).prop_map(Slot),
        1 => Just(Slot(1 << 40)),
        1 => Just(Slot(u64::MAX - 1)),
        1 => Just(Slot::MAX),
    ]
}

fn ballot() -> impl Strategy<Value = Ballot> {
    let round = prop_oneof![20 => 0u64..6, 1 => Just(Ballot::ROUND_MAX), 1 => Just(u64::MAX >> 16), 1 => Just(u64::MAX)];
    (round, 0u16..4).prop_map(|(round, replica)| Ballot::new(round, ReplicaId(replica)))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::noop()),
        (0u8..3).prop_map(|b| Value::from_parts(vec![Bytes::from(vec![b; 3])])),
    ]
}

fn accepted() -> impl Strategy<Value = Accepted> {
    (ballot(), 0u64..3, slot(), slot()).prop_map(|(ballot, life, upto, received)| Accepted {
        ballot,
        life,
        upto,
        received,
    })
}

fn heartbeat() -> impl Strategy<Value = Message> {
    let who = (
        0u64..3,
        0u64..40,
        proptest::option::of((0u64..3, 0u64..40)),
        ballot(),
    );
    let leads = proptest::option::of((ballot(), slot(), slot()));
    let says = (
        any::<[bool; 4]>(),
        proptest::option::of(ballot()),
        slot(),
        slot(),
    );
    (who, leads, says, proptest::option::of(accepted())).prop_map(
        |((life, round, echo, promised), leads, (flags, follows, prefix, below), accepted)| {
            Message::Heartbeat(Box::new(Heartbeat {
                life,
                round,
                echo: echo.map(|(life, round)| Echo {
                    life,
                    round,
                    held_ns: 7,
                }),
                promised,
                leading: leads.map(|(ballot, first, chosen)| Leading {
                    ballot,
                    first,
                    chosen,
                }),
                standing: follows,
                voter: flags[0],
                reaches_quorum: flags[1],
                disk_well: flags[2],
                follows,
                vouches: flags[3],
                priority: 0,
                applied: prefix,
                chosen_prefix: prefix,
                durable_prefix: prefix,
                chosen_below: below,
                accepted,
            }))
        },
    )
}

fn promise() -> impl Strategy<Value = Message> {
    let held = (slot(), ballot(), 0u32..2, 0u32..3);
    let lost = (slot(), slot(), proptest::option::of(ballot()));
    let slots = proptest::collection::vec(held, 0..5);
    let unknown = proptest::collection::vec(lost, 0..3);
    (ballot(), slot(), slot(), slots, unknown).prop_map(
        |(ballot, chosen_below, chosen_prefix, slots, unknown)| {
            let slots = slots
                .into_iter()
                .map(|(slot, ballot, len, checksum)| PromisedSlot {
                    slot,
                    ballot,
                    len,
                    checksum,
                });
            let unknown = unknown
                .into_iter()
                .map(|(start, end, ballot)| UnknownSlots {
                    slots: start..end,
                    ballot,
                });
            Message::Promise(Promise {
                ballot,
                chosen_below,
                chosen_prefix,
                slots: slots.collect(),
                unknown: unknown.collect(),
            })
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let members = (any::<bool>(), any::<bool>());
    let fetch = (slot(), slot(), any::<u32>());
    let asked = || (0u64..4, ballot(), slot(), value());
    prop_oneof![
        4 => heartbeat(),
        3 => promise(),
        3 => (ballot(), slot()).prop_map(|(ballot, first)| Message::Prepare(Prepare { ballot, first })),
        6 => (ballot(), [slot(), slot(), slot(), slot()], value()).prop_map(|(ballot, [first, free, slot, chosen], value)| {
            Message::Accept(Accept { ballot, first, free, slot, chosen, value })
        }),
        2 => accepted().prop_map(Message::Accepted),
        1 => (ballot(), ballot()).prop_map(|(ballot, promised)| Message::Refuse(Refuse { ballot, promised })),
        1 => (ballot(), slot()).prop_map(|(ballot, chosen_below)| Message::BelowChosen(BelowChosen { ballot, chosen_below })),
        1 => fetch.prop_map(|(start, end, bytes_max)| Message::Fetch(Fetch { id: 1, what: FetchWhat::Chosen { slots: start..end, bytes_max } })),
        1 => (slot(), ballot()).prop_map(|(slot, ballot)| Message::Fetch(Fetch { id: 1, what: FetchWhat::Accepted { slot, ballot } })),
        3 => asked().prop_map(|(id, ballot, slot, value)| Message::FetchReply(FetchReply { id, answer: FetchAnswer::Chosen { slot, ballot, value } })),
        1 => asked().prop_map(|(id, ballot, slot, value)| Message::FetchReply(FetchReply { id, answer: FetchAnswer::Accepted { slot, ballot, value } })),
        1 => (slot(), ballot()).prop_map(|(slot, ballot)| Message::FetchReply(FetchReply { id: 1, answer: FetchAnswer::Absent { slot, ballot } })),
        1 => (0u64..4, slot(), slot()).prop_map(|(id, next, chosen_below)| Message::FetchReply(FetchReply { id, answer: FetchAnswer::End { next, chosen_below } })),
        1 => (ballot(), 0u64..4).prop_map(|(ballot, round)| Message::Confirm(Confirm { ballot, round })),
        1 => (ballot(), 0u64..4).prop_map(|(ballot, round)| Message::Confirmed(Confirmed { ballot, round })),
        1 => (ballot(), slot()).prop_map(|(ballot, chosen)| Message::HandOver(HandOver { ballot, chosen })),
        1 => (0u64..4, 0u64..3).prop_map(|(life, token)| Message::AskIndex(AskIndex { life, token })),
        1 => (0u64..4, 0u64..3, prop::option::of(slot())).prop_map(|(life, token, index)| Message::Index(Index { life, token, index })),
        1 => (0..3u64).prop_map(|round| Message::FormAsk(FormAsk { round })),
        1 => (any::<bool>(), 0..3u64, 0..3u64).prop_map(|(blank, round, statement)| {
            Message::FormAnswer(FormAnswer { asker: Incarnation(1), round, blank, statement })
        }),
        1 => (members, 0..3u64).prop_map(|((all, mine), statement)| {
            let count = if all { 3 } else { 2 };
            let members = (1..=count).map(|id| Member {
                id: ReplicaId(id),
                incarnation: Incarnation(if id == 1 && !mine { 99 } else { u128::from(id) }),
            });
            Message::Form(Form { members: members.collect(), statement })
        }),
    ]
}

#[derive(Clone, Debug)]
enum Event {
    Message(u16, Message),
    Tick(u64),
    Durable,
    Values(bool),
    Propose(Value),
    Read,
    Disk(DiskHealth),
    Link(u16, LinkEvent),
    HandOver,
    Checkpoint(Slot),
}

fn event() -> impl Strategy<Value = Event> {
    let health = prop_oneof![4 => Just(DiskHealth::Well), 1 => Just(DiskHealth::Stalled)];
    let link = prop_oneof![
        Just(LinkEvent::ControlUp),
        Just(LinkEvent::AcceptsUp),
        Just(LinkEvent::Down)
    ];
    prop_oneof![
        20 => (1u16..4, message()).prop_map(|(from, message)| Event::Message(from, message)),
        6 => (0u64..60).prop_map(Event::Tick),
        6 => Just(Event::Durable),
        3 => any::<bool>().prop_map(Event::Values),
        2 => value().prop_map(Event::Propose),
        1 => Just(Event::Read),
        1 => health.prop_map(Event::Disk),
        1 => (1u16..4, link).prop_map(|(peer, event)| Event::Link(peer, event)),
        1 => Just(Event::HandOver),
        1 => slot().prop_map(Event::Checkpoint),
    ]
}

fn members() -> Vec<Member> {
    let member = |id: u16| Member {
        id: ReplicaId(id),
        incarnation: Incarnation(u128::from(id)),
    };
    (1..=3).map(member).collect()
}

fn run(formed: bool, events: Vec<Event>) {
    let ids = (1..=3).map(ReplicaId).collect();
    let config = Config::new(
        ClusterId(1),
        GroupId(1),
        ReplicaId(1),
        Incarnation(1),
        ids,
        5,
    );
    let recovered = Recovered {
        blank: !formed,
        formed: formed.then(members),
        accepted: vec![AcceptedEntry {
            slot: Slot(2),
            ballot: Ballot::new(1, ReplicaId(2)),
            len: 3,
            checksum: 1,
        }],
        ..Recovered::default()
    };
    let recovered = if formed {
        recovered
    } else {
        Recovered::blank()
    };
    let mut paxos = Paxos::new(config, recovered, 0);
    let mut fx = Effects::new();
    let (mut now, mut last, mut next) = (0, PersistId(0), Slot(0));
    let mut reads = Vec::new();
    let mut asked = 0;
    for event in events {
        match event {
            Event::Message(from, mut message) => {
                // Most numbers of forming are drawn by the machine: two of three are what it wants.
                match &mut message {
                    Message::FormAnswer(answer) if answer.round > 0 => answer.round = asked,
                    Message::Form(form) if form.statement > 0 => form.statement = asked,
                    _ => {}
                }
                let envelope = Envelope {
                    cluster: ClusterId(1),
                    group: GroupId(1),
                    config: Default::default(),
                    from: ReplicaId(from),
                    incarnation: Incarnation(u128::from(from)),
                    message,
                };
                paxos.handle_message(now, envelope, &mut fx);
            }
            Event::Tick(ms) => {
                now += ms * 1_000_000;
                paxos.handle_tick(now, &mut fx);
            }
            Event::Durable => paxos.handle_durable(now, last, &mut fx),
            Event::Values(there) => {
                for id in std::mem::take(&mut reads) {
                    let value = there.then(|| Value::from_parts(vec![Bytes::from_static(&[1; 3])]));
                    paxos.handle_value(now, id, value, &mut fx);
                }
            }
            Event::Propose(value) => {
                let could = paxos.can_propose();
                let done = paxos.propose(now, value, &mut fx);
                assert!(could || done.is_err());
            }
            Event::Read => {
                let _ = paxos.read_index(now, ReadToken(1), &mut fx);
            }
            Event::Disk(health) => paxos.handle_disk(now, health, &mut fx),
            Event::Link(peer, event) => paxos.handle_link(now, ReplicaId(peer), event, &mut fx),
            Event::HandOver => paxos.hand_over(now, &mut fx),
            Event::Checkpoint(below) => paxos.note_checkpoint(below.min(paxos.chosen_prefix())),
        }
        while let Some(effect) = fx.pop() {
            match effect {
                Effect::Persist { id, .. } => {
                    assert_eq!(id.0, last.0 + 1);
                    last = id;
                }
                Effect::Chosen { slot, .. } => {
                    assert_eq!(slot, next);
                    next = next.next();
                }
                Effect::ReadValue { id, .. } => reads.push(id),
                Effect::Send { to, message } => {
                    assert_ne!(to, ReplicaId(1));
                    if let Message::FormAsk(ask) = &message.message {
                        asked = ask.round;
                    }
                }
                Effect::Role(_) | Effect::ReadReady { .. } | Effect::ReadFailed { .. } => {}
            }
        }
        assert_eq!(paxos.chosen_prefix(), next);
        let _ = (
            paxos.poll_timer(),
            paxos.peers(),
            paxos.min_applied_of_all_members(),
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_messages_are_survived(formed in prop::bool::weighted(0.9), events in prop::collection::vec(event(), 1..120)) {
        run(formed, events);
    }
}
