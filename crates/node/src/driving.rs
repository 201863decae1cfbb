//! The core and Paxos: its effects, its roles, and who leads.

use bytes::Bytes;
use paxlog_paxos::{PersistId, Role, RoleChange, Standing};
use paxlog_wire::{Code, LeaderHint, WireError};

use crate::durable;
use crate::effect::{Effect, Effects};
use crate::entry::EntryHeader;
use crate::event::Now;
use crate::node::{ChosenSlot, EntryFor, Node};
use crate::slots::Entry;

/// How long a client is told to wait where there is no leader.
const ELECTING_RETRY_MS: u32 = 20;

impl Node {
    pub(crate) fn run_paxos(&mut self, now: Now, fx: &mut Effects) {
        let queue = std::mem::take(&mut self.paxos_fx);
        self.paxos_fx = self.run_effects(now, queue, fx);
    }

    /// Carries out what Paxos wants; gives the empty queue back for its room.
    pub(crate) fn run_effects(
        &mut self,
        now: Now,
        mut queue: paxlog_paxos::Effects,
        fx: &mut Effects,
    ) -> paxlog_paxos::Effects {
        loop {
            let mut unreadable = Vec::new();
            for effect in queue.drain() {
                match effect {
                    paxlog_paxos::Effect::Persist { id, what } => self.persist(id, what, fx),
                    paxlog_paxos::Effect::Send { to, message } => {
                        fx.push(Effect::Send(to, message))
                    }
                    paxlog_paxos::Effect::Chosen {
                        slot,
                        ballot: _,
                        value,
                    } => {
                        self.chosen.push_back(ChosenSlot {
                            slot,
                            value,
                            reading: None,
                        });
                    }
                    paxlog_paxos::Effect::ReadValue { id, slot, ballot } => {
                        let purpose = EntryFor::Paxos(id, slot, ballot);
                        if self.read_entry(slot, purpose, fx).is_none() {
                            unreadable.push(id);
                        }
                    }
                    paxlog_paxos::Effect::Role(change) => self.handle_role(&change, fx),
                    paxlog_paxos::Effect::ReadReady { token, index } => {
                        self.read_ready(now, token, index, fx)
                    }
                    paxlog_paxos::Effect::ReadFailed { token } => self.read_failed(token, fx),
                }
            }
            for id in unreadable {
                self.paxos.handle_value(now.mono, id, None, &mut queue);
            }
            if queue.is_empty() {
                return queue;
            }
        }
    }

    pub(crate) fn persist(
        &mut self,
        persist: PersistId,
        what: paxlog_paxos::Persist,
        fx: &mut Effects,
    ) {
        let group = self.config.paxos.group;
        match what {
            paxlog_paxos::Persist::Accepted {
                slot,
                ballot,
                value,
                chosen_prefix,
            } => {
                let header = EntryHeader {
                    slot,
                    ballot,
                    len: value.len(),
                    checksum: value.checksum(),
                    chosen_prefix,
                    config: self.config.paxos.config,
                };
                let mut parts = Vec::with_capacity(1 + value.parts().len());
                parts.push(Bytes::copy_from_slice(&header.encode()));
                parts.extend_from_slice(value.parts());
                let entry = Entry {
                    ballot,
                    lsn: 0,
                    len: value.len(),
                    checksum: value.checksum(),
                };
                self.unplaced.insert(persist, Some((slot, entry)));
                fx.push(Effect::Append {
                    persist,
                    group: group.0,
                    tag: slot.0,
                    aux: ballot.to_u64(),
                    parts,
                });
            }
            paxlog_paxos::Persist::State(state) => {
                self.unplaced.insert(persist, None);
                fx.push(Effect::State {
                    persist,
                    bytes: durable::encode(group, &state),
                });
            }
        }
    }

    pub(crate) fn handle_role(&mut self, change: &RoleChange, fx: &mut Effects) {
        if let Some(first) = change.unknown.first() {
            for waiting in self.commands.take_unknown(*first) {
                let error = WireError::new(
                    Code::OutcomeUnknown,
                    "leadership was lost while this was under way: send it again under the same sequence to learn \
                     what became of it",
                );
                self.refuse(waiting, error, fx);
            }
        }
        self.refresh_hint(fx);
        if !matches!(change.role, Role::Leader { .. }) && !self.commands.queue_is_empty() {
            let error = self.not_leading();
            let queued = self.commands.drain_queue();
            for waiting in queued {
                self.refuse(waiting, error.clone(), fx);
            }
        }
    }

    pub(crate) fn refresh_hint(&mut self, fx: &mut Effects) {
        let hint = self.paxos.leader().map(|(ballot, replica)| {
            let addresses = if replica == self.config.paxos.id {
                self.config.addresses.clone()
            } else {
                self.addresses.get(&replica).cloned().unwrap_or_default()
            };
            LeaderHint {
                ballot: ballot.to_u64(),
                replica: replica.0,
                addresses,
            }
        });
        if hint != self.hint {
            let ballot = |hint: &Option<LeaderHint>| hint.as_ref().map(|hint| hint.ballot);
            if hint.is_some() && ballot(&hint) != ballot(&self.hint) {
                self.counters.leader_changes += 1;
            }
            self.hint = hint.clone();
            fx.push(Effect::Leader(hint));
        }
    }

    /// Why this replica can't take a command: somebody else leads, or nobody.
    pub(crate) fn not_leading(&self) -> WireError {
        let other = self
            .hint
            .as_ref()
            .filter(|hint| hint.replica != self.config.paxos.id.0);
        match other {
            Some(hint) => WireError::new(
                Code::NotLeader,
                format!("replica {} leads: ask it", hint.replica),
            )
            .with_leader(Some(hint.clone())),
            None if self.handing_over => {
                WireError::new(Code::Unavailable, "this replica is stopping: ask another")
            }
            None => WireError::new(
                Code::Electing,
                if self.paxos.standing() == Standing::Voter && !self.paxos.quorum_is_reached() {
                    "there is no leader: this replica reaches no majority"
                } else {
                    "there is no leader at present: try again in a moment"
                },
            )
            .with_retry_after_ms(ELECTING_RETRY_MS),
        }
    }

    pub(crate) fn handle_hand_over(&mut self, now: Now, fx: &mut Effects) {
        self.handing_over = true;
        self.paxos.hand_over(now.mono, &mut self.paxos_fx);
        let error = WireError::new(Code::Unavailable, "this replica is stopping: ask another");
        let queued = self.commands.drain_queue();
        for waiting in queued {
            self.refuse(waiting, error.clone(), fx);
        }
    }
}
