//! What clients do.

use bytes::Bytes;
use paxlog_session::{
    AppenderConfig, Change, Compression, Consistency as Whom, NotTaken, ReadConfig, TailConfig,
};
use paxlog_wire::batch::Record;
use paxlog_wire::client::{LogRef, Query, ReadFrom};

use super::*;
use crate::history::{Call, ClientId, Consistency, Kind, Payload};

/// How long a call may take that is not made in haste.
const DEADLINE: u64 = 10 * SECOND;
/// Tails that a client opens in a run.
const TAILS_MAX: u64 = 1;

impl World {
    pub(super) fn act(&mut self, client: usize) {
        if self.act_by_contract(client) {
            return;
        }
        let logs = self.plan.logs;
        let log = self.clients.clients[client].rng.below(logs) as usize;
        let shunned = self.is_shunned(log);
        let rng = &mut self.clients.clients[client].rng;
        match rng.below(100) {
            0..=79 if self.clients.sealed.contains(&log) && !rng.chance(2) => {}
            0..=79 if shunned => {}
            0..=79 => self.append(client, log),
            80..=88 => self.check_tail(client, log),
            89..=92 => self.read(client, log, None),
            93..=94 => self.tail(client, log),
            95..=98 => self.trim(client, log),
            // Rarely: nothing is appended to it any more.
            _ if self.plan.seals && rng.chance(20) => self.seal(client, log),
            _ => {}
        }
    }

    pub(super) fn append(&mut self, client: usize, log: usize) {
        let name = self.clients.logs[log].clone();
        let existing = self.clients.clients[client].appenders[log].filter(|&actor| {
            !matches!(
                self.clients.actors[actor].role,
                Role::Append { closed: true, .. }
            )
        });
        let actor = match existing {
            Some(actor) => actor,
            None => {
                let tracker = self.tracker(None);
                let rng = &mut self.clients.clients[client].rng;
                let nonce = u128::from(rng.next_u64());
                let mut config = AppenderConfig::new(&name, nonce, rng.next_u64());
                config.window = self.plan.window as usize;
                // A frame of the smallest segment holds it.
                config.batch_bytes_max = 8 << 10;
                config.fence = self.clients.clients[client].fences[log].clone();
                // By a stream of its own, so that runs without it stay as they are.
                let mut compression = stream(self.plan.seed, "compression", nonce as u64);
                if compression.chance(self.plan.compressed_percent) {
                    config.compression = Compression::Lz4;
                }
                let machine = Box::new(Appender::new(self.now, config, tracker));
                let actor = self.add_actor(
                    client,
                    Role::Append {
                        machine,
                        log,
                        id: None,
                        under_way: BTreeMap::new(),
                        closed: false,
                    },
                );
                self.clients.clients[client].appenders[log] = Some(actor);
                self.settle(actor);
                actor
            }
        };
        let count = 1 + self.clients.clients[client].rng.below(3);
        let payloads: Vec<Bytes> = (0..count).map(|_| self.payload(client)).collect();
        let records: Vec<Record> = payloads.iter().cloned().map(Record::new).collect();
        let token = self.clients.token();
        // A call that fails takes those behind it with it: whoever is watched for progress is patient.
        let hasty = log < self.plan.logs as usize;
        let share = self.plan.hasty_percent;
        let deadline = match hasty && self.clients.clients[client].rng.chance(share) {
            true => self.now + MS * self.clients.clients[client].rng.between(1, 300),
            false => self.now + if hasty { self.plan.deadline } else { DEADLINE },
        };
        let share = self.plan.conditional_percent;
        let if_tail = (hasty && share > 0 && self.clients.clients[client].rng.chance(share))
            .then(|| self.clients.tails[log]);
        let fence = self.clients.clients[client].fences[log].clone();
        let Role::Append {
            machine,
            id,
            under_way,
            ..
        } = &mut self.clients.actors[actor].role
        else {
            return;
        };
        match machine.append_at(self.now, token, &records, if_tail, deadline) {
            Ok(()) => {
                let call = Call::append(name, payloads.iter().map(|p| Payload::id_of(p)))
                    .on(if_tail, fence);
                let op = self.clients.recorder.begin_in(
                    self.now,
                    ClientId(client as u64),
                    actor as u64,
                    call,
                );
                if let Some(id) = id {
                    self.clients.recorder.about(op, *id);
                }
                under_way.insert(token.0, op);
                machine.flush(self.now);
            }
            Err(NotTaken::Full | NotTaken::Refused(_)) => {}
        }
        self.settle(actor);
    }

    fn payload(&mut self, client: usize) -> Bytes {
        let one = &mut self.clients.clients[client];
        one.next_payload += 1;
        let mut payload = format!("{client}/{}", one.next_payload).into_bytes();
        let more = one.rng.below(self.plan.payload_max) as usize;
        payload.resize(payload.len() + more, b'.');
        payload.into()
    }

    /// Where a log ends, from the leader.
    pub(super) fn watch(&mut self, client: usize) {
        let logs = self.plan.logs;
        let log = self.clients.clients[client].rng.below(logs) as usize;
        self.check_tail_of(client, log, true);
    }

    fn check_tail(&mut self, client: usize, log: usize) {
        let linearizable = self.clients.clients[client].rng.half();
        self.check_tail_of(client, log, linearizable);
    }

    fn check_tail_of(&mut self, client: usize, log: usize, linearizable: bool) {
        let name = self.clients.logs[log].clone();
        let consistency = match linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        };
        let token = self.clients.token();
        let call = Call::check_tail(&name, consistency);
        let op = self
            .clients
            .recorder
            .begin(self.now, ClientId(client as u64), call);
        let actor = self.clients.clients[client].queries;
        let Role::Query { machine, under_way } = &mut self.clients.actors[actor].role else {
            return;
        };
        under_way.insert(token.0, op);
        let query = Query::CheckTail {
            log: LogRef::Name(name),
            linearizable,
        };
        // A follower asks the leader how far everything acknowledged reaches.
        let at_any = self.plan.cursors && token.0.is_multiple_of(3);
        let whom = match linearizable && !at_any {
            true => Whom::Leader,
            false => Whom::Any,
        };
        machine.ask(self.now, token, query, whom, self.now + DEADLINE);
        self.settle(actor);
    }

    /// A read of the end, or of more; of everything, and of one replica alone, where `settling` names it.
    fn read(&mut self, client: usize, log: usize, settling: Option<usize>) {
        let name = self.clients.logs[log].clone();
        let rng = &mut self.clients.clients[client].rng;
        let (linearizable, strict) = match settling {
            Some(_) => (false, false),
            None => (rng.half(), rng.chance(10)),
        };
        let consistency = match linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        };
        // Most look at the end only.
        let about = self.clients.tails[log];
        let rng = &mut self.clients.clients[client].rng;
        let whole = settling.is_some() || about < 40 || rng.chance(5);
        let (from, at) = match whole {
            true => (ReadFrom::First, 0),
            false => {
                let at = about - rng.below(40);
                (ReadFrom::Offset(at), at)
            }
        };
        let mut config = ReadConfig::new(&name, from, rng.next_u64(), self.now + DEADLINE);
        (config.linearizable, config.strict) = (linearizable, strict);
        if settling.is_none() {
            config.records_max = rng.one_of(&[0, 0, 1, 30]);
        }
        let tracker = self.tracker(settling);
        let mut call = Call::read(&name, consistency, strict);
        if !whole {
            call = call.reading_from(at);
        }
        let op = self
            .clients
            .recorder
            .begin(self.now, ClientId(client as u64), call);
        let role = Role::Read {
            machine: Box::new(Read::new(self.now, config, tracker)),
            op,
            so_far: ReadReply::default(),
            at,
            over: false,
            for_settling: settling.map(|replica| log << 8 | replica),
        };
        let actor = self.add_actor(client, role);
        self.settle(actor);
    }

    fn tail(&mut self, client: usize, log: usize) {
        // Each hears everything: a few are enough.
        if self.clients.clients[client].tails >= TAILS_MAX {
            return;
        }
        self.clients.clients[client].tails += 1;
        let name = self.clients.logs[log].clone();
        let tracker = self.tracker(None);
        let rng = &mut self.clients.clients[client].rng;
        let mut config = TailConfig::new(&name, ReadFrom::First, rng.next_u64());
        config.credit = rng.one_of(&[2_000, 4 << 20]);
        self.clients.next_session += 1;
        let role = Role::Tail {
            machine: Box::new(Tail::new(self.now, config, tracker)),
            log: name,
            session: SessionId(self.clients.next_session),
            over: false,
        };
        let actor = self.add_actor(client, role);
        self.settle(actor);
    }

    fn trim(&mut self, client: usize, log: usize) {
        let to = self.clients.tails[log].saturating_sub(self.plan.keep);
        if to == 0 {
            return;
        }
        self.change(client, log, Kind::Trim { to }, Change::Trim { to });
    }

    // ---- the end ----

    /// Gives the tails up, whose machines would go on for ever.
    pub(crate) fn close_tails(&mut self) {
        for actor in 0..self.clients.actors.len() {
            if let Role::Tail { machine, .. } = &mut self.clients.actors[actor].role {
                machine.close();
                self.settle(actor);
            }
        }
    }

    /// Seals every log; and what is still in them stays.
    pub(crate) fn seal_all(&mut self) {
        if self.plan.retention {
            self.retain_no_more(self.clients.seats[0]);
        }
        for log in 0..self.clients.logs.len() {
            self.seal(self.clients.seats[0], log);
        }
    }

    fn seal(&mut self, client: usize, log: usize) {
        self.clients.sealed.insert(log);
        self.change(client, log, Kind::Seal, Change::Seal);
    }

    /// Reads every log whole, at every replica that takes part and has not fallen behind: one may have, where more
    /// was ruined than can be survived.
    pub(crate) fn read_all(&mut self) {
        let applied = self.applied();
        let most = applied.values().copied().max();
        for log in 0..self.clients.logs.len() {
            for at in 0..self.replicas.len() {
                let id = self.replicas[at].id;
                if applied.get(&id).copied() == most && most.is_some() {
                    if !self.replicas[at].damaged {
                        self.clients.asked.insert((log, at));
                    }
                    self.read(self.clients.seats[0], log, Some(at));
                }
            }
        }
    }
}
