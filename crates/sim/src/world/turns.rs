//! A replica's turns: events for its core, and what the core wants done.

use paxlog_node::{ENTRY_HEADER_BYTES, Effect, EntryHeader, ReaderEffect};
use paxlog_paxos::{Message, Role, Standing};
use paxlog_wal::{AppendError, FrameMeta, Kind};
use paxlog_wire::Code;

use super::*;
use crate::plan::Moment;
use crate::replica::{Frame, Pending, Running};

/// The states of replicas are compared after slots of these multiples.
const DIGEST_EVERY: u64 = 64;

impl World {
    /// An event for the core; then its turn is due.
    pub(crate) fn input(&mut self, at: usize, event: Event) {
        let now = self.now;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let clock = running.clock.now(now);
        running.node.step(clock, event, &mut running.fx);
        self.carry_out(at);
        if let Some(running) = &mut self.replicas[at].running
            && !running.turn_due
        {
            running.turn_due = true;
            let life = self.replicas[at].life;
            self.queue.push(now + 20 * US, Happening::Turn { at, life });
        }
    }

    pub(crate) fn turn(&mut self, at: usize) {
        let now = self.now;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        running.turn_due = false;
        let clock = running.clock.now(now);
        running.node.end_turn(clock, &mut running.fx);
        self.carry_out(at);
        let life = self.replicas[at].life;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        if running.node.wants_turn() && !running.turn_due {
            running.turn_due = true;
            self.queue.push(now + 20 * US, Happening::Turn { at, life });
        }
        let due = running.clock.when(running.node.poll_timer()).max(now + US);
        if due < running.timer_at {
            running.timer_at = due;
            self.queue.push(due, Happening::Timer { at, life });
        }
        self.look(at);
        self.kick_disk(at);
    }

    /// What can be seen of a replica after its turn.
    fn look(&mut self, at: usize) {
        let id = self.replicas[at].id;
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let paxos = running.node.paxos();
        let (prefix, applied) = (paxos.chosen_prefix(), running.node.applied());
        let (standing, ballot) = (paxos.standing(), paxos.ballot());
        let leads = matches!(paxos.role(), Role::Leader { ready: true });
        let seen = running.prefix_seen;
        running.prefix_seen = prefix.max(seen);
        // Of some slots only: it reads the whole state.
        let sampled = prefix > seen && applied.0.is_multiple_of(DIGEST_EVERY);
        let digest = sampled.then(|| running.node.state().digest());
        if prefix < seen {
            self.check(Err(Broken {
                rule: "nothing goes back",
                what: format!("replica {id}: the chosen prefix fell from {seen} to {prefix}"),
            }));
        }
        if applied > prefix {
            self.check(Err(Broken {
                rule: "nothing chosen too early",
                what: format!(
                    "replica {id} has applied {applied} slots, and knows {prefix} as chosen"
                ),
            }));
        }
        if prefix > seen {
            let checked = self.invariants.prefix(id, prefix);
            self.check(checked);
        }
        if let Some(digest) = digest {
            let checked = self.invariants.applied(id, applied, digest);
            self.check(checked);
        }
        if leads && ballot.to_u64() > self.last_leader {
            self.last_leader = ballot.to_u64();
            self.leaders.push((self.now, at));
            self.coverage.hit("a leader serves");
            self.trace
                .note(self.now, &format!("r{id}"), || format!("leads in {ballot}"));
        }
        match standing {
            Standing::NotMember => {
                if !self.replicas[at].wiped {
                    self.check(Err(Broken {
                        rule: "a member stays one",
                        what: format!("replica {id} kept its directory, and is no member"),
                    }));
                }
                self.replicas[at].out = true;
            }
            Standing::PromiseMayBeLost => {
                self.only_if_damaged(at, || "its promise may be lost".into());
                self.replicas[at].out = true;
            }
            Standing::Contradicted => self.check(Err(Broken {
                rule: "agreement",
                what: format!("replica {id} says that it was contradicted"),
            })),
            Standing::Voter => {
                // It lost its directory before the list was made: it is a member like any other.
                let replica = &mut self.replicas[at];
                if replica.wiped && !replica.damaged {
                    replica.out = false;
                }
            }
            Standing::NotFormed => {}
        }
    }

    /// Who has applied as many slots as another one has the same state.
    pub(crate) fn compare_state(&mut self, at: usize) {
        let replica = &self.replicas[at];
        let Some(running) = &replica.running else {
            return;
        };
        let (applied, digest) = (running.node.applied(), running.node.state().digest());
        let checked = self.invariants.applied(replica.id, applied, digest);
        self.check(checked);
    }

    /// A frame was queued that vouches for every slot below.
    fn look_at_prefix(&mut self, at: usize, below: Slot) {
        let replica = &mut self.replicas[at];
        let Some(running) = &mut replica.running else {
            return;
        };
        let from = running.vouch(below);
        let checked = self
            .invariants
            .vouches(replica.id, from, below, &running.held);
        running.held = running.held.split_off(&running.vouched);
        self.check(checked);
    }

    /// What a message says must be durable where it comes from.
    fn look_at_message(&mut self, at: usize, message: &Message) {
        let replica = &mut self.replicas[at];
        let Some(running) = &mut replica.running else {
            return;
        };
        let knows = running.node.paxos().chosen_prefix();
        let mut checked = self
            .invariants
            .sent(replica.id, message, running.promised, knows);
        let accepted = match message {
            Message::Accepted(accepted) => Some(accepted),
            Message::Heartbeat(heartbeat) => heartbeat.accepted.as_ref(),
            _ => None,
        };
        if let Some(accepted) = accepted {
            let (ballot, upto) = (accepted.ballot, accepted.upto);
            let from = match running.acknowledged {
                (same, known) if same == ballot => known.min(upto),
                _ => self.invariants.first_of(ballot).unwrap_or(upto),
            };
            running.acknowledged = (ballot, upto);
            let excused_below = match replica.damaged {
                true => running.node.paxos().chosen_below(),
                false => Slot(0),
            };
            for slot in (from.0..upto.0).map(Slot) {
                let told = replica.told.get(&slot).copied();
                let held =
                    self.invariants
                        .acknowledges(replica.id, (slot, excused_below), ballot, told);
                checked = checked.and(held);
            }
        }
        self.check(checked);
    }

    fn carry_out(&mut self, at: usize) {
        let Some(running) = &mut self.replicas[at].running else {
            return;
        };
        let effects = std::mem::take(&mut running.fx.list);
        for effect in effects {
            if let Some((Moment::Effects(left), power, down)) = &mut self.replicas[at].dies {
                if *left == 0 {
                    let (power, down) = (*power, *down);
                    self.coverage.hit("crash between effects");
                    self.crash(at, power);
                    self.start_after(at, down);
                    return;
                }
                *left -= 1;
            }
            let Some(running) = &mut self.replicas[at].running else {
                return;
            };
            match effect {
                Effect::Append {
                    persist,
                    group,
                    tag,
                    aux,
                    parts,
                } => {
                    let meta = FrameMeta {
                        kind: Kind::Data,
                        group,
                        tag,
                        aux,
                    };
                    let lsn = match running.wal.append(meta, &parts) {
                        Ok(lsn) => lsn,
                        // It takes nothing more; the core is told.
                        Err(AppendError::Failed(_)) => continue,
                        Err(error) => panic!("a frame that the log can't hold: {error}"),
                    };
                    running.node.placed(persist, lsn.0);
                    let head: Vec<u8> = parts
                        .iter()
                        .flatten()
                        .take(ENTRY_HEADER_BYTES)
                        .copied()
                        .collect();
                    let header = EntryHeader::decode(&head).expect("the core's own");
                    let value = (header.len, header.checksum);
                    let (slot, ballot) = (header.slot, header.ballot);
                    running.pending.push_back(Pending {
                        lsn: lsn.0,
                        frame: Frame::Accepted {
                            slot,
                            ballot,
                            value,
                        },
                        covers: running.durable,
                    });
                    running.held.insert(slot, value);
                    let checked = self.invariants.proposed(slot, ballot, value);
                    self.check(checked);
                    self.look_at_prefix(at, header.chosen_prefix);
                }
                Effect::State { persist, bytes } => {
                    let Ok(lsn) = running.wal.state(bytes.clone()) else {
                        continue;
                    };
                    running.node.placed(persist, lsn.0);
                    if let Some((_, state)) = paxlog_node::decode_state(&bytes) {
                        let prefix = state.chosen_prefix;
                        running.pending.push_back(Pending {
                            lsn: lsn.0,
                            frame: Frame::State(state),
                            covers: running.durable,
                        });
                        self.look_at_prefix(at, prefix);
                    }
                }
                Effect::Send(to, envelope) => {
                    self.look_at_message(at, &envelope.message);
                    self.send(at, to, &envelope);
                    if matches!(envelope.message, Message::Form(_))
                        && let Some(down) = self.replicas[at].loses_lists.pop_front()
                        && self.wipe(at, down)
                    {
                        self.coverage.hit("a list left, and its disk was lost");
                        return;
                    }
                }
                Effect::Reply(stream, reply) => {
                    if let Some((stream, frame)) = running.desk.reply(stream, &reply) {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::Answer(query, reply) => {
                    if let Some((stream, frame)) = running.desk.answer(query, &reply) {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::Reader(id, effect) => {
                    let leads = matches!(running.node.paxos().role(), Role::Leader { .. });
                    if let ReaderEffect::Refused(error) = &effect
                        && error.code == Code::LogDeleted
                        && !leads
                    {
                        self.coverage
                            .hit("a follower told a reader that its log was deleted");
                    }
                    let Running {
                        desk, wal, node, ..
                    } = running;
                    let trim = |log| node.state().describe(log).map(|log| log.trim_point);
                    let out = desk.reader(wal, id, effect, trim);
                    let delay = self.plan.write_mean;
                    for event in out.events {
                        self.post(at, delay, event);
                    }
                    if out.corrupt {
                        self.only_if_damaged(at, || "it calls a record corrupt".into());
                    }
                    for (stream, frame) in out.frames {
                        self.frame_to_client(at, stream, frame);
                    }
                }
                Effect::ReadEntry(token, place) => {
                    let entry = paxlog_store::entry_at(&running.wal, &place);
                    self.post(at, 50 * US, Event::Entry(token, entry));
                }
                Effect::Annotate { segment, bytes } => {
                    let event = paxlog_store::annotate(&running.wal, segment, &bytes);
                    self.coverage.hit("idx file written");
                    self.post(at, MS, event);
                    self.upkeep_done(at);
                }
                Effect::Checkpoint(checkpoint) => {
                    // Whoever starts from it is compared with this.
                    let digest = checkpoint.state.digest();
                    let id = self.replicas[at].id;
                    let checked = self.invariants.applied(id, checkpoint.slot, digest);
                    self.check(checked);
                    let Some(running) = &mut self.replicas[at].running else {
                        return;
                    };
                    let event = paxlog_store::checkpoint(&running.wal, &checkpoint);
                    self.coverage.hit("checkpoint written");
                    self.post(at, MS, event);
                    self.upkeep_done(at);
                }
                Effect::Retire(below) => {
                    // The frame that names them must be durable first: this log's threads see to it.
                    running.wal.drive();
                    let event = paxlog_store::retire(&running.wal, below);
                    self.coverage.hit("segments retired");
                    self.post(at, MS, event);
                    self.disk_news(at);
                    self.upkeep_done(at);
                }
                Effect::Leader(hint) => {
                    if let Some(hint) = hint {
                        self.tell_clients(at, &hint);
                    }
                }
                Effect::HandedOver => {
                    self.coverage.hit("handed over");
                    self.crash(at, false);
                    self.start_later(at);
                    return;
                }
                Effect::Stop(why) => {
                    self.trace.note(self.now, &format!("r{}", at + 1), || {
                        format!("stops: {why}")
                    });
                    if !self.replicas[at].damaged {
                        self.check(Err(Broken {
                            rule: "no replica stops by itself",
                            what: format!("replica {}: {why}", at + 1),
                        }));
                    }
                    self.crash(at, false);
                    // What damage took from it stays lost in this release.
                    match self.replicas[at].damaged {
                        true => self.replicas[at].out = true,
                        false => self.start_later(at),
                    }
                    return;
                }
            }
        }
    }

    /// An `.idx` file or a checkpoint was written, or segments were retired: it may be the one after which the power
    /// is to go.
    fn upkeep_done(&mut self, at: usize) {
        self.look_after_upkeep(at);
        if let Some((Moment::Upkeep(left), _, down)) = &mut self.replicas[at].dies {
            if *left > 0 {
                *left -= 1;
                return;
            }
            let down = *down;
            self.coverage.hit("crash after upkeep");
            self.crash(at, true);
            self.start_after(at, down);
        }
    }

    pub(crate) fn post(&mut self, at: usize, after: u64, event: Event) {
        let life = self.replicas[at].life;
        let event = Box::new(event);
        self.queue
            .push(self.now + after, Happening::Posted { at, life, event });
    }
}
