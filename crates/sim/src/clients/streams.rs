//! Streams between clients' machines and replicas: they open, carry frames, and break.

use paxlog_session::Effect;
use paxlog_wire::{FrameEncoder, FrameLimits};

use super::*;
use crate::desk::reread;

/// How long a handshake takes at most, in round trips' worth of noise.
const HANDSHAKE: u64 = 3 * MS;

impl World {
    pub(super) fn up(&mut self, conn: u64) {
        let Some(open) = self.clients.conns.get_mut(&conn) else {
            return;
        };
        let replica = &self.replicas[open.at];
        if replica.life != open.life || replica.running.is_none() {
            return self.client_happens(Happening::Down { conn });
        }
        open.up = true;
        let (actor, stream) = (open.actor, open.stream);
        let hint = replica
            .running
            .as_ref()
            .and_then(|r| r.node.leader_hint().cloned());
        let machine = self.clients.actors[actor].role.machine();
        machine.handle_up(self.now, stream);
        if let Some(hint) = hint {
            machine.handle_leader(self.now, &hint);
        }
        self.settle(actor);
    }

    /// A replica stopped: some clients notice at once, others when nothing comes.
    pub(crate) fn server_gone(&mut self, at: usize) {
        let gone: Vec<u64> = self
            .clients
            .conns
            .iter()
            .filter(|(_, conn)| conn.at == at)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in gone {
            let after = match self.clients.rng.half() {
                true => MS + self.clients.rng.below(5 * MS),
                false => SECOND + self.clients.rng.below(9 * SECOND),
            };
            self.schedule_client(after, Happening::Down { conn });
        }
    }

    /// Somebody's streams break.
    pub(crate) fn reset_client(&mut self, client: usize) {
        let gone = self.conns_of(self.clients.seats[client]);
        for conn in gone {
            self.schedule_client(US, Happening::Down { conn });
        }
    }

    pub(crate) fn tell_clients(&mut self, at: usize, hint: &LeaderHint) {
        let mut told: Vec<usize> = self
            .clients
            .conns
            .values()
            .filter(|conn| conn.at == at && conn.up)
            .map(|conn| conn.actor)
            .collect();
        told.dedup();
        for actor in told {
            let after = self.client_delay();
            let hint = hint.clone();
            self.schedule_client(after, Happening::Hint { actor, hint });
        }
    }

    pub(super) fn client_delay(&mut self) -> u64 {
        self.plan.delay_min + self.clients.rng.exponential(self.plan.delay_mean)
    }

    pub(crate) fn frame_to_client(&mut self, at: usize, conn: u64, frame: Frame) {
        let delay = self.client_delay();
        let (now, life) = (self.now, self.replicas[at].life);
        if let Some(open) = self.clients.conns.get_mut(&conn)
            && (open.at, open.life) == (at, life)
        {
            open.to_client = open.to_client.max(now + delay);
            let arrives = open.to_client;
            let happening = Happening::ToClient { conn, frame };
            self.queue
                .push(arrives, world::Happening::Client(happening));
        }
    }

    /// Takes what a machine wants done and has to say, and minds its timer.
    pub(super) fn settle(&mut self, actor: usize) {
        loop {
            while let Some(effect) = self.clients.actors[actor].role.machine().poll_effect() {
                self.perform(actor, effect);
            }
            if !self.listen(actor) {
                break;
            }
        }
        let one = &mut self.clients.actors[actor];
        if let Some(due) = one.role.machine().poll_timer()
            && due < one.timer_at
        {
            one.timer_at = due.max(self.now + 1);
            let at = one.timer_at;
            self.queue
                .push(at, world::Happening::Client(Happening::Timer { actor }));
        }
    }

    fn perform(&mut self, actor: usize, effect: Effect) {
        match effect {
            Effect::Open { stream, server } => {
                let at = (0..self.replicas.len())
                    .find(|&at| *address(at) == *server.0)
                    .expect("a server of this cluster");
                let client = self.clients.actors[actor].client;
                self.trace
                    .message(self.now, &format!("c{client}>r{}", at + 1), || {
                        format!("opens a stream, machine {actor}")
                    });
                self.clients.next_conn += 1;
                let conn = self.clients.next_conn;
                let replica = &self.replicas[at];
                let (life, runs) = (replica.life, replica.running.is_some());
                let after = match runs {
                    true => US + self.clients.rng.below(HANDSHAKE) + 2 * self.plan.delay_mean,
                    false => self.clients.rng.one_of(&[MS, SECOND]),
                };
                let open = Conn {
                    actor,
                    stream,
                    at,
                    life,
                    up: false,
                    to_server: 0,
                    to_client: 0,
                };
                self.clients.conns.insert(conn, open);
                self.clients.actors[actor].streams.insert(stream, conn);
                self.schedule_client(
                    after,
                    if runs {
                        Happening::Up { conn }
                    } else {
                        Happening::Down { conn }
                    },
                );
            }
            Effect::Send { stream, frame } => {
                let delay = self.client_delay();
                let Some(&conn) = self.clients.actors[actor].streams.get(&stream) else {
                    return;
                };
                let mut encoder = FrameEncoder::new();
                frame
                    .encode(&mut encoder)
                    .expect("machines stay within the limits");
                let frame = reread(encoder, FrameLimits::FROM_CLIENT);
                if let Some(open) = self.clients.conns.get_mut(&conn) {
                    open.to_server = open.to_server.max(self.now + delay);
                    let arrives = open.to_server;
                    let happening = Happening::ToServer { conn, frame };
                    self.queue
                        .push(arrives, world::Happening::Client(happening));
                }
            }
            Effect::Close { stream } => {
                let Some(conn) = self.clients.actors[actor].streams.remove(&stream) else {
                    return;
                };
                if let Some(open) = self.clients.conns.remove(&conn) {
                    let after = self.client_delay();
                    let (at, life) = (open.at, open.life);
                    self.schedule_client(after, Happening::Closed { at, life, conn });
                }
            }
        }
    }
}
