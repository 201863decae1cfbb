//! Numbers what is to be made durable, and holds back what may not leave before.

use std::collections::VecDeque;
use std::mem::discriminant;

use crate::config::Config;
use crate::effect::{Effect, Effects, Persist};
use crate::message::{Envelope, Message};
use crate::types::{PersistId, ReplicaId};

/// Everything that leaves goes through here.
#[derive(Debug)]
pub(crate) struct Outbox {
    blank: Envelope,
    last: PersistId,
    durable: PersistId,
    /// In order of id. One of a kind and receiver: a newer message replaces the older, so that a stalled
    /// disk holds back a bounded number.
    waiting: VecDeque<(PersistId, ReplicaId, Message)>,
}

impl Outbox {
    pub(crate) fn new(config: &Config) -> Outbox {
        Outbox {
            blank: Envelope {
                cluster: config.cluster,
                group: config.group,
                config: config.config,
                from: config.id,
                incarnation: config.incarnation,
                message: Message::FormAsk(crate::message::FormAsk { round: 0 }),
            },
            last: PersistId(0),
            durable: PersistId(0),
            waiting: VecDeque::new(),
        }
    }

    /// The id of the newest Persist effect.
    pub(crate) fn last(&self) -> PersistId {
        self.last
    }

    pub(crate) fn durable(&self) -> PersistId {
        self.durable
    }

    pub(crate) fn persist(&mut self, what: Persist, fx: &mut Effects) -> PersistId {
        self.last = PersistId(self.last.0 + 1);
        fx.push(Effect::Persist {
            id: self.last,
            what,
        });
        self.last
    }

    pub(crate) fn send(&self, to: ReplicaId, message: Message, fx: &mut Effects) {
        let message = Envelope {
            message,
            ..self.blank.clone()
        };
        fx.push(Effect::Send { to, message });
    }

    /// Sends once `after` is durable.
    pub(crate) fn send_after(
        &mut self,
        after: PersistId,
        to: ReplicaId,
        message: Message,
        fx: &mut Effects,
    ) {
        if after <= self.durable {
            return self.send(to, message, fx);
        }
        let kind = discriminant(&message);
        self.waiting
            .retain(|(_, t, m)| *t != to || discriminant(m) != kind);
        self.waiting.push_back((after, to, message));
    }

    /// Whoever gave up standing asks nobody any more.
    pub(crate) fn withdraw_prepares(&mut self) {
        self.waiting
            .retain(|(_, _, m)| !matches!(m, Message::Prepare(_)));
    }

    pub(crate) fn set_durable(&mut self, upto: PersistId, fx: &mut Effects) {
        assert!(
            upto <= self.last,
            "nothing is durable before it was asked for"
        );
        self.durable = self.durable.max(upto);
        let mut still = VecDeque::new();
        for (after, to, message) in std::mem::take(&mut self.waiting) {
            if after <= self.durable {
                self.send(to, message, fx);
            } else {
                still.push_back((after, to, message));
            }
        }
        self.waiting = still;
    }
}
