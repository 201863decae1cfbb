//! Small clusters driven by text files in `transcripts/`: lines that begin with `>` are commands, the lines
//! after each are what it brought about. `PAXLOG_REWRITE=1` writes them anew; the diff is to be reviewed.
//!
//! Heartbeats travel at once and are not shown; everything else waits until it is delivered by a command.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use bytes::Bytes;
use paxlog_paxos::{
    AcceptedEntry, ClusterId, Config, Effect, Effects, Envelope, FetchAnswer, FetchWhat, GroupId,
    Incarnation, Member, Message, Paxos, Persist, PersistId, ReadToken, Recovered, ReplicaId, Slot,
    Value,
};

const MS: u64 = 1_000_000;

struct Replica {
    paxos: Option<Paxos>,
    frames: Vec<Persist>,
    durable: usize,
    base: usize,
}

#[derive(Default)]
struct Cluster {
    replicas: BTreeMap<u16, Replica>,
    wires: BTreeMap<(u16, u16), VecDeque<Envelope>>,
    now: u64,
    out: String,
    lives: u64,
}

fn text(value: &Value) -> String {
    let bytes: Vec<u8> = value
        .parts()
        .iter()
        .flat_map(|p| p.iter().copied())
        .collect();
    match value.is_noop() {
        true => "no-op".to_string(),
        false => format!("{:?}", String::from_utf8_lossy(&bytes)),
    }
}

fn describe(message: &Message) -> String {
    match message {
        Message::Prepare(m) => format!("Prepare {} from {}", m.ballot, m.first),
        Message::Promise(m) => {
            let mut line = format!("Promise {} chosen prefix {}", m.ballot, m.chosen_prefix);
            for s in &m.slots {
                let _ = write!(line, ", slot {} in {}", s.slot, s.ballot);
            }
            for u in &m.unknown {
                let _ = write!(line, ", unknown {}..{}", u.slots.start, u.slots.end);
            }
            line
        }
        Message::Refuse(m) => format!("Refuse {}, promised {}", m.ballot, m.promised),
        Message::Accept(m) => format!(
            "Accept {} slot {} {}, chosen {}",
            m.ballot,
            m.slot,
            text(&m.value),
            m.chosen
        ),
        Message::Accepted(m) => format!("Accepted {} up to {}", m.ballot, m.upto),
        Message::BelowChosen(m) => format!("BelowChosen {} {}", m.ballot, m.chosen_below),
        Message::Fetch(m) => match &m.what {
            FetchWhat::Chosen { slots, .. } => {
                format!("Fetch chosen {}..{}", slots.start, slots.end)
            }
            FetchWhat::Accepted { slot, ballot } => {
                format!("Fetch slot {slot} as accepted in {ballot}")
            }
        },
        Message::FetchReply(m) => match &m.answer {
            FetchAnswer::Chosen {
                slot,
                ballot,
                value,
            } => format!("chosen slot {slot} {ballot} {}", text(value)),
            FetchAnswer::Accepted {
                slot,
                ballot,
                value,
            } => format!("accepted slot {slot} {ballot} {}", text(value)),
            FetchAnswer::End { next, .. } => format!("end at {next}"),
            FetchAnswer::Absent { slot, ballot } => format!("absent slot {slot} {ballot}"),
        },
        Message::Confirm(m) => format!("Confirm {} round {}", m.ballot, m.round),
        Message::Confirmed(m) => format!("Confirmed {} round {}", m.ballot, m.round),
        Message::AskIndex(_) => "AskIndex".to_string(),
        Message::Index(m) => format!("Index {:?}", m.index),
        Message::HandOver(m) => format!("HandOver {} chosen {}", m.ballot, m.chosen),
        Message::Form(m) => format!("Form of {}", m.members.len()),
        Message::FormAsk(_) => "FormAsk".to_string(),
        Message::FormAnswer(m) => format!("FormAnswer blank {}", m.blank),
        Message::Heartbeat(_) => "Heartbeat".to_string(),
    }
}

impl Cluster {
    fn open(&mut self, id: u16, count: u16, blank: bool) {
        self.lives += 1;
        let member = |id: u16| Member {
            id: ReplicaId(id),
            incarnation: Incarnation(u128::from(id)),
        };
        let r = self.replicas.entry(id).or_insert(Replica {
            paxos: None,
            frames: Vec::new(),
            durable: 0,
            base: 0,
        });
        r.frames.truncate(r.durable);
        r.base = r.durable;
        let mut recovered = Recovered {
            blank,
            formed: (!blank).then(|| (1..=count).map(member).collect()),
            lasting: (paxlog_paxos::Ballot::NONE, !blank),
            ..Recovered::default()
        };
        for frame in &r.frames {
            match frame {
                Persist::Accepted {
                    slot,
                    ballot,
                    value,
                    chosen_prefix,
                } => {
                    recovered.promised = recovered.promised.max(*ballot);
                    recovered.chosen_prefix = recovered.chosen_prefix.max(*chosen_prefix);
                    recovered.accepted.push(AcceptedEntry {
                        slot: *slot,
                        ballot: *ballot,
                        len: value.len(),
                        checksum: value.checksum(),
                    });
                }
                Persist::State(state) => {
                    recovered.lasting = (state.promised, true);
                    recovered.promised = recovered.promised.max(state.promised);
                    recovered.chosen_prefix = recovered.chosen_prefix.max(state.chosen_prefix);
                }
            }
        }
        let ids = (1..=count).map(ReplicaId).collect();
        let incarnation = Incarnation(u128::from(id));
        let config = Config::new(
            ClusterId(1),
            GroupId(1),
            ReplicaId(id),
            incarnation,
            ids,
            self.lives,
        );
        r.paxos = Some(Paxos::new(config, recovered, self.now));
        self.drive(id, |paxos, now, fx| paxos.handle_tick(now, fx));
    }

    fn drive(&mut self, id: u16, call: impl FnOnce(&mut Paxos, u64, &mut Effects)) {
        let now = self.now;
        let Some(paxos) = self.replicas.get_mut(&id).and_then(|r| r.paxos.as_mut()) else {
            return;
        };
        let mut fx = Effects::new();
        call(paxos, now, &mut fx);
        self.carry_out(id, fx);
    }

    fn carry_out(&mut self, id: u16, mut fx: Effects) {
        let mut reads = Vec::new();
        while let Some(effect) = fx.pop() {
            let line = match effect {
                Effect::Persist { id: number, what } => {
                    let r = self.replicas.get_mut(&id).expect("open");
                    r.frames.push(what.clone());
                    match what {
                        Persist::Accepted {
                            slot,
                            ballot,
                            value,
                            ..
                        } => format!(
                            "persist {}: slot {slot} {ballot} {}",
                            number.0,
                            text(&value)
                        ),
                        Persist::State(state) => {
                            format!("persist {}: promised {}", number.0, state.promised)
                        }
                    }
                }
                Effect::Send { to, message } => {
                    let said = describe(&message.message);
                    let hidden = matches!(message.message, Message::Heartbeat(_));
                    self.wires.entry((id, to.0)).or_default().push_back(message);
                    if hidden {
                        continue;
                    }
                    format!("-> {to}: {said}")
                }
                Effect::Chosen { slot, ballot, .. } => format!("chosen slot {slot} {ballot}"),
                Effect::ReadValue {
                    id: read,
                    slot,
                    ballot,
                } => {
                    reads.push((read, slot, ballot));
                    format!("reads slot {slot} {ballot}")
                }
                Effect::Role(change) => {
                    let mut line = format!("is {:?} {}", change.role, change.ballot);
                    if !change.unknown.is_empty() {
                        let _ = write!(line, ", outcome unknown {:?}", change.unknown);
                    }
                    line
                }
                Effect::ReadReady { token, index } => format!("read {} ready at {index}", token.0),
                Effect::ReadFailed { token } => format!("read {} failed", token.0),
            };
            let _ = writeln!(self.out, "{id} {line}");
        }
        for (read, slot, ballot) in reads {
            let frames = &self.replicas[&id].frames;
            let value = frames.iter().rev().find_map(|f| match f {
                Persist::Accepted {
                    slot: s,
                    ballot: b,
                    value,
                    ..
                } if (*s, *b) == (slot, ballot) => Some(value.clone()),
                _ => None,
            });
            let now = self.now;
            let mut fx = Effects::new();
            if let Some(paxos) = self.replicas.get_mut(&id).and_then(|r| r.paxos.as_mut()) {
                paxos.handle_value(now, read, value, &mut fx);
            }
            self.carry_out(id, fx);
        }
    }

    /// Delivers what waits between two: all of it, or only heartbeats.
    fn deliver(&mut self, from: u16, to: u16, all: bool) {
        let waiting = self.wires.remove(&(from, to)).unwrap_or_default();
        for envelope in waiting {
            if all || matches!(envelope.message, Message::Heartbeat(_)) {
                self.drive(to, |paxos, now, fx| paxos.handle_message(now, envelope, fx));
            } else {
                self.wires
                    .entry((from, to))
                    .or_default()
                    .push_back(envelope);
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let ids: Vec<u16> = self.replicas.keys().copied().collect();
        for _ in 0..ms {
            self.now += MS;
            for &id in &ids {
                let due =
                    |r: &Replica| r.paxos.as_ref().is_some_and(|p| p.poll_timer() <= self.now);
                if due(&self.replicas[&id]) {
                    self.drive(id, |paxos, now, fx| paxos.handle_tick(now, fx));
                }
            }
            for &from in &ids {
                for &to in &ids {
                    self.deliver(from, to, false);
                }
            }
        }
    }

    fn command(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> u64 {
            words[at]
                .parse()
                .unwrap_or_else(|_| panic!("a number in {line:?}"))
        };
        let id = |at: usize| number(at) as u16;
        match words[0] {
            "start" | "blank" => {
                for replica in 1..=id(1) {
                    self.open(replica, id(1), words[0] == "blank");
                }
            }
            "pass" => self.pass(number(1)),
            "sync" => {
                let r = self.replicas.get_mut(&id(1)).expect("open");
                r.durable = r.frames.len();
                let upto = PersistId((r.durable - r.base) as u64);
                self.drive(id(1), |paxos, now, fx| paxos.handle_durable(now, upto, fx));
            }
            "deliver" => self.deliver(id(1), id(2), true),
            "drop" => drop(self.wires.remove(&(id(1), id(2)))),
            "propose" => {
                let value = Value::from_parts(vec![Bytes::copy_from_slice(words[2].as_bytes())]);
                let mut result = None;
                self.drive(id(1), |paxos, now, fx| {
                    result = Some(paxos.propose(now, value, fx))
                });
                if let Some(Err(why)) = result {
                    let _ = writeln!(self.out, "{} refuses: {why}", words[1]);
                }
            }
            "read" => {
                let token = ReadToken(number(2));
                self.drive(id(1), |paxos, now, fx| {
                    let _ = paxos.read_index(now, token, fx);
                });
            }
            "hand-over" => self.drive(id(1), |paxos, now, fx| paxos.hand_over(now, fx)),
            "checkpoint" => {
                let below = Slot(number(2));
                self.drive(id(1), |paxos, _, _| paxos.note_checkpoint(below));
            }
            "crash" => self.replicas.get_mut(&id(1)).expect("open").paxos = None,
            "restart" => {
                let count = self.replicas.len() as u16;
                self.open(id(1), count, false);
            }
            other => panic!("no command {other}"),
        }
    }
}

fn play(script: &str) -> String {
    let mut cluster = Cluster::default();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix('>') {
            cluster.out.push_str(line);
            cluster.out.push('\n');
            cluster.command(command.trim());
        } else if line.starts_with('#') || line.is_empty() {
            cluster.out.push_str(line);
            cluster.out.push('\n');
        }
    }
    cluster.out
}

#[test]
fn transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("there")
        .map(|f| f.expect("there").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "the transcripts are there");
    for file in files {
        let script = std::fs::read_to_string(&file).expect("readable");
        let played = play(&script);
        if std::env::var_os("PAXLOG_REWRITE").is_some() {
            std::fs::write(&file, played).expect("writable");
        } else {
            assert_eq!(
                played,
                script,
                "{}: PAXLOG_REWRITE=1 writes it anew",
                file.display()
            );
        }
    }
}
