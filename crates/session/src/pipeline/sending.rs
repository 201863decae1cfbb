//! What goes out, and what is lost with a stream.

use bytes::Bytes;
use paxlog_wire::Flags;
use paxlog_wire::client::{CommandBody, CommandRequest, Origin};

use crate::{Effect, Error, Message, Nanos, Outgoing, StreamId};

use super::asked::Asked;
use super::{Owner, Pipeline};

impl<P: Owner> Pipeline<P> {
    /// Sends what the window and the state of the producer and the logs allow.
    pub(super) fn send(&mut self, now: Nanos) {
        let Some(stream) = self.link.up() else { return };
        if self.link.held(now) || self.forgotten {
            return;
        }
        if self.asked.is_empty() {
            // Nothing was asked, so nothing was owed: silence counts from now.
            self.link.heard(now);
        }
        if self.unsure {
            return self.ask_whether_it_leads(stream);
        }
        self.ask_producer(stream);
        self.ask_target(stream);
        let Some(producer) = self.producer.open else {
            return;
        };
        while self.cursor < self.queue.len() {
            let item = &mut self.queue[self.cursor];
            if item.result.is_some() {
                self.cursor += 1;
                continue;
            }
            if item.sequence.is_none() && self.numbered >= self.window {
                // Its log is not looked for either: what is before it may make that log.
                return;
            }
            let log = match item.work.log() {
                None => 0,
                Some(name) => match self.logs.get(name) {
                    Some(&log) => log,
                    // While it is made, no lookup may find it: the making uses sequence 0.
                    None if self
                        .target
                        .as_ref()
                        .is_some_and(|target| target.name == name) =>
                    {
                        return;
                    }
                    None => {
                        let name = name.to_owned();
                        self.ask_log(stream, name);
                        return;
                    }
                },
            };
            let sequence = match item.sequence {
                Some(sequence) => sequence,
                None => {
                    debug_assert_eq!(
                        self.cursor, self.numbered,
                        "items are numbered in their order"
                    );
                    let sequence = self.next_sequence;
                    item.sequence = Some(sequence);
                    self.next_sequence += 1;
                    self.numbered += 1;
                    sequence
                }
            };
            let origin = Origin {
                producer: producer.id,
                epoch: producer.epoch,
                sequence,
            };
            let command = item.work.command(origin, log);
            if let (Some(owner), Some(_)) = (&mut item.owner, item.work.log()) {
                owner.sent_to(log);
            }
            let flags = if self.resume {
                Flags::RESUME
            } else {
                Flags::NONE
            };
            self.resume = false;
            self.requests += 1;
            item.request = self.requests;
            item.pending += 1;
            let left_ms = item.deadline.saturating_sub(now) / 1_000_000;
            let deadline_ms = if item.owner.is_some() {
                left_ms.clamp(1, u32::MAX.into()) as u32
            } else {
                DEADLINE_MS
            };
            let (serial, body) = (item.serial, item.body.clone());
            self.asked.insert(self.requests, Asked::Item { serial });
            self.cursor += 1;
            self.push_frame(stream, command, deadline_ms, flags, body);
        }
    }

    /// Only a leader says whether there is such a log.
    fn ask_whether_it_leads(&mut self, stream: StreamId) {
        if self.is_asked(&Asked::Leads) {
            return;
        }
        let name = match &self.target {
            Some(target) => target.name.clone(),
            None => ANY_LOG.to_owned(),
        };
        let command = CommandBody::OpenLog {
            origin: None,
            name,
            create: false,
        };
        self.ask(stream, Asked::Leads, command);
    }

    fn ask_producer(&mut self, stream: StreamId) {
        let nonce = self.producer.nonce;
        let asked = Asked::Producer { nonce };
        if self.producer.open.is_none() && !self.is_asked(&asked) {
            let name = self.producer.name.clone();
            self.ask(stream, asked, CommandBody::OpenProducer { nonce, name });
        }
    }

    /// The log that is opened in advance.
    fn ask_target(&mut self, stream: StreamId) {
        let Some(target) = &self.target else { return };
        if self.logs.contains_key(&target.name) {
            return;
        }
        let name = target.name.clone();
        if !target.creating {
            return self.ask_log(stream, name);
        }
        let Some(producer) = self.producer.open else {
            return;
        };
        let asked = Asked::Create { name: name.clone() };
        if !self.is_asked(&asked) {
            // The only command of this epoch, so its sequence needs no bookkeeping.
            let origin = Some(Origin {
                producer: producer.id,
                epoch: producer.epoch,
                sequence: 0,
            });
            self.ask(
                stream,
                asked,
                CommandBody::OpenLog {
                    origin,
                    name,
                    create: true,
                },
            );
        }
    }

    fn ask_log(&mut self, stream: StreamId, name: String) {
        let asked = Asked::Lookup { name: name.clone() };
        if !self.is_asked(&asked) {
            self.ask(
                stream,
                asked,
                CommandBody::OpenLog {
                    origin: None,
                    name,
                    create: false,
                },
            );
        }
    }

    fn is_asked(&self, what: &Asked) -> bool {
        self.asked.contains(what)
    }

    fn ask(&mut self, stream: StreamId, asked: Asked, command: CommandBody) {
        self.requests += 1;
        self.asked.insert(self.requests, asked);
        self.push_frame(stream, command, DEADLINE_MS, Flags::NONE, Vec::new());
    }

    fn push_frame(
        &mut self,
        stream: StreamId,
        command: CommandBody,
        deadline_ms: u32,
        flags: Flags,
        body: Vec<Bytes>,
    ) {
        let request = self.requests;
        let message = Message::Command(CommandRequest {
            request,
            deadline_ms,
            command,
        });
        self.effects.push_back(Effect::Send {
            stream,
            frame: Outgoing {
                message,
                flags,
                body,
            },
        });
    }

    /// The current stream is gone: everything unsettled is sent again on the next.
    pub(super) fn lost(&mut self, now: Nanos, why: Error) {
        self.link.lost(now, &why);
        self.forget_stream();
        self.trouble = Some(why.clone());
        if self.link.is_hopeless() {
            self.close(self.link.told(why));
        }
    }

    /// What was asked on the stream will not be answered.
    pub(super) fn forget_stream(&mut self) {
        for item in &mut self.queue {
            item.doubt |= item.result.is_none() && item.pending > 0;
            item.pending = 0;
        }
        self.asked.clear();
        self.cursor = 0;
        self.resume = false;
    }

    /// Sends from the item at `at` again, after a wait.
    pub(super) fn rewind(&mut self, at: usize, now: Nanos, wait: Option<Nanos>) {
        self.cursor = self.cursor.min(at);
        self.resume = true;
        self.link.wait(now, wait);
    }
}

/// A name that a log may have.
const ANY_LOG: &str = "any";
/// For what has no deadline of its own: sent again anyway as long as it is wanted.
const DEADLINE_MS: u32 = 10_000;
