//! The one client: numbered commands, resent until they are settled.

use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_node::{Event, StreamId};
use paxlog_wire::client::{CommandBody, CommandOutcome, CommandRequest, Origin};
use paxlog_wire::{Code, batch};

use crate::world::{MS, Sim};

/// One client's nonce, and the only log's name.
pub(crate) const NONCE: u128 = 99;
pub(crate) const LOG: &str = "log";

/// The one client: numbered appends, one stream a leader, resent until settled.
pub(crate) struct Client {
    pub(crate) producer: Option<(u64, u32)>,
    pub(crate) log: Option<u64>,
    /// The first sequence without a receipt.
    pub(crate) next: u64,
    pub(crate) sent_at: u64,
    pub(crate) request: u64,
    pub(crate) stream: u64,
    /// sequence → (offset, payload)
    pub(crate) acked: BTreeMap<u64, u64>,
    pub(crate) trimmed: u64,
    pub(crate) trim_under_way: bool,
    pub(crate) goal: u64,
}

pub(crate) fn payload(sequence: u64) -> Bytes {
    let mut bytes = format!("record {sequence} ").into_bytes();
    bytes.resize(200 + (sequence % 7) as usize * 150, b'.');
    bytes.into()
}

impl Sim {
    pub(crate) fn send(&mut self, leader: usize, command: CommandBody, batch: Vec<Bytes>) {
        self.client.request += 1;
        let request = CommandRequest {
            request: self.client.request,
            deadline_ms: 2_000,
            command,
        };
        let stream = StreamId(self.client.stream);
        self.step(
            leader,
            Event::Command {
                client: paxlog_node::ClientId(1),
                stream,
                resume: true,
                request,
                batch,
            },
        );
    }

    pub(crate) fn client_tick(&mut self) {
        for (stream, reply) in std::mem::take(&mut self.replies) {
            self.client_reply(stream, reply);
        }
        if self.client.sent_at + 150 * MS > self.now && self.client.sent_at > 0 {
            return;
        }
        let Some(leader) = self.leader() else { return };
        self.client.sent_at = self.now;
        self.client.stream += 1;
        let Some((producer, epoch)) = self.client.producer else {
            return self.send(
                leader,
                CommandBody::OpenProducer {
                    nonce: NONCE,
                    name: None,
                },
                vec![],
            );
        };
        let origin = |sequence| Origin {
            producer,
            epoch,
            sequence,
        };
        let Some(log) = self.client.log else {
            let command = CommandBody::OpenLog {
                origin: Some(origin(0)),
                name: LOG.into(),
                create: true,
            };
            return self.send(leader, command, vec![]);
        };
        if self.client.next > self.client.goal {
            return;
        }
        // A trim is a numbered command like any other: it goes alone.
        if self.client.next.is_multiple_of(40) && self.client.next > 80 {
            let keep = self
                .client
                .acked
                .values()
                .rev()
                .nth(self.keep)
                .copied()
                .unwrap_or(0);
            self.client.trim_under_way = true;
            self.client.trimmed = self.client.trimmed.max(keep);
            let command = CommandBody::Trim {
                origin: Some(origin(self.client.next)),
                log,
                to: self.client.trimmed,
            };
            return self.send(leader, command, vec![]);
        }
        let until_trim = 40 - self.client.next % 40;
        let count = (1 + self.rng.below(8))
            .min(until_trim)
            .min(self.client.goal + 1 - self.client.next);
        for sequence in self.client.next..self.client.next + count {
            let mut builder = batch::BatchBuilder::new();
            builder
                .push(&batch::Record::new(payload(sequence)))
                .expect("small");
            let parts = builder.finish().expect("not empty").into_parts();
            self.send(
                leader,
                CommandBody::Append {
                    origin: origin(sequence),
                    log,
                    if_tail: None,
                    fence: None,
                },
                parts,
            );
        }
    }

    pub(crate) fn client_reply(&mut self, stream: u64, reply: paxlog_wire::client::CommandReply) {
        match reply.result {
            Ok(CommandOutcome::ProducerOpened {
                producer, epoch, ..
            }) => {
                let opened = (producer, epoch);
                assert!(
                    self.client.producer.is_none_or(|was| was == opened),
                    "seed {}: two answers",
                    self.seed
                );
                self.client.producer = Some(opened);
                self.client.sent_at = 0;
            }
            Ok(CommandOutcome::LogOpened { log, .. }) => {
                if self.client.log.is_none() {
                    self.client.next = 1;
                }
                self.client.log = Some(log);
                self.client.sent_at = 0;
            }
            Ok(CommandOutcome::Appended(receipt)) => {
                self.stats.duplicates += u64::from(receipt.duplicate);
                // Requests say nothing of sequences: the receipt's offset is found by what is there at the end.
                let sequence = self.client.next;
                if stream == self.client.stream {
                    self.client.acked.insert(sequence, receipt.start);
                    self.client.next = sequence + 1;
                    self.client.sent_at = if self.client.next.is_multiple_of(40) {
                        0
                    } else {
                        self.client.sent_at
                    };
                }
            }
            Ok(CommandOutcome::Trimmed { .. }) => {
                if stream == self.client.stream && self.client.trim_under_way {
                    self.client.trim_under_way = false;
                    self.client.next += 1;
                    self.client.sent_at = 0;
                }
            }
            Ok(other) => unreachable!("nobody asked for {other:?}"),
            // Sent again when the time is over, under the same sequence.
            Err(error) => assert!(
                matches!(
                    error.code,
                    Code::NotLeader
                        | Code::Electing
                        | Code::OutcomeUnknown
                        | Code::DeadlineExceeded
                        | Code::SequenceGap
                        | Code::Unavailable
                ),
                "seed {}: {error:?}",
                self.seed
            ),
        }
    }
}
