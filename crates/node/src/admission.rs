//! Commands from their stream to their slot: admission, closing a value, deadlines.
//!
//! Admission looks only at size, format, window, disk space, deadline and
//! leadership. What depends on the state of a log or producer is decided at
//! apply, where every replica decides alike.

use bytes::Bytes;
use paxlog_log::{Body, Command, Outcome, Receipt};
use paxlog_paxos::{ProposeError, Role, Slot, Value};
use paxlog_wire::client::{CommandBody, CommandReply, CommandRequest, Durability};
use paxlog_wire::{Code, WireError};

use crate::commands::{Queued, Waiting};
use crate::effect::{Effect, Effects};
use crate::event::{ClientId, Now, StreamId};
use crate::node::Node;
use crate::replies;
use crate::value::ValueBuilder;

/// How often what waits is looked at for its deadline.
const SWEEP_NS: u64 = 10_000_000;
/// When to ask again where the leader reaches no majority.
const NO_MAJORITY_RETRY_MS: u32 = 50;

impl Node {
    pub(crate) fn handle_command(
        &mut self,
        now: Now,
        (client, stream): (ClientId, StreamId),
        resume: bool,
        request: CommandRequest,
        batch: Vec<Bytes>,
        fx: &mut Effects,
    ) {
        let append = matches!(request.command, CommandBody::Append { .. });
        let refusal = self.commands.came(stream, resume).cloned();
        let waiting = Waiting {
            client,
            stream,
            request: request.request,
            append,
            since: now.mono,
            deadline: now
                .mono
                .saturating_add(u64::from(request.deadline_ms) * 1_000_000),
        };
        if append && let Some(refusal) = refusal {
            self.counters.refused += 1;
            fx.push(Effect::Reply(
                stream,
                CommandReply {
                    request: request.request,
                    result: Err(refusal),
                },
            ));
            return;
        }
        match self.admit(now, &waiting, request.command, &batch) {
            Ok(Admitted::Queue(command)) => self.commands.push(Queued {
                waiting,
                command,
                batch,
            }),
            Ok(Admitted::Answer(outcome)) => {
                if outcome_is_duplicate(&outcome) {
                    self.counters.duplicates += 1;
                }
                self.answer(now, waiting, &outcome, Durability::MAJORITY, fx);
            }
            Err(error) => self.refuse(waiting, error, fx),
        }
    }

    /// Looks at size, format, window, disk space, deadline, leadership and the log's rate; what else
    /// depends on a log's or producer's state is decided at apply.
    fn admit(
        &mut self,
        now: Now,
        waiting: &Waiting,
        body: CommandBody,
        batch: &[Bytes],
    ) -> Result<Admitted, WireError> {
        if self.handing_over {
            return Err(WireError::new(
                Code::Unavailable,
                "this replica is stopping: ask another",
            ));
        }
        if !matches!(self.paxos.role(), Role::Leader { .. }) {
            return Err(self.not_leading());
        }
        if waiting.deadline <= waiting.since {
            return Err(WireError::new(
                Code::DeadlineExceeded,
                "the deadline passed before anything was done",
            ));
        }
        if !waiting.append && !batch.is_empty() {
            return Err(WireError::new(
                Code::Invalid,
                "only an append carries a batch",
            ));
        }
        let command = match self.asked(body, batch)? {
            Ok(command) => command,
            Err(answer) => return Ok(Admitted::Answer(answer)),
        };
        if let Some(known) = self.state.lookup(&command) {
            return Ok(Admitted::Answer(known));
        }
        if !self.paxos.quorum_is_reached() {
            return Err(self.no_majority());
        }
        if self.disk_full && matches!(command.body, Body::Append { .. } | Body::CreateLog { .. }) {
            return Err(WireError::new(
                Code::DiskFull,
                "the leader's disk is full: trim logs or make room; reads and trims still work",
            )
            .with_retry_after_ms(1_000));
        }
        if self.commands.is_over_its_share(waiting.client) {
            return Err(WireError::new(
                Code::Overloaded,
                "too much waits at the leader, and this client has more than its share of it: try again in a moment",
            )
            .with_retry_after_ms(50));
        }
        self.take_from_rates(now, waiting.client, &command)?;
        Ok(Admitted::Queue(command))
    }

    /// An append counts against its client's rate and its log's.
    fn take_from_rates(
        &mut self,
        now: Now,
        client: ClientId,
        command: &Command,
    ) -> Result<(), WireError> {
        let Body::Append { log, bytes, .. } = command.body else {
            return Ok(());
        };
        let of_client = self.config.client_append_bytes_per_s;
        let of_log = self
            .state
            .config(log)
            .map_or(0, |config| config.append_bytes_per_s);
        if of_client > 0 {
            let taken = self
                .client_rates
                .take(now.mono, client, bytes.into(), of_client);
            taken.map_err(|wait| throttled("a client may append", of_client, wait))?;
        }
        if of_log > 0 {
            let taken = self.rates.take(now.mono, log, bytes.into(), of_log);
            taken.map_err(|wait| throttled("the log takes", of_log, wait))?;
        }
        Ok(())
    }

    /// Refuses a command, and with it the appends behind it on its stream.
    pub(crate) fn refuse(&mut self, waiting: Waiting, error: WireError, fx: &mut Effects) {
        self.counters.refused += 1;
        if waiting.append {
            // What comes behind was never looked at: whatever became of this one, it is not applied.
            let behind = match error.code {
                Code::OutcomeUnknown => self.not_leading(),
                _ => error.clone(),
            };
            self.commands.refuse(waiting.stream, behind);
        }
        fx.push(Effect::Reply(
            waiting.stream,
            CommandReply {
                request: waiting.request,
                result: Err(error),
            },
        ));
    }

    pub(crate) fn answer(
        &mut self,
        now: Now,
        waiting: Waiting,
        outcome: &Outcome,
        durability: Durability,
        fx: &mut Effects,
    ) {
        let result = replies::reply(outcome, durability, &self.state);
        if result.is_err() {
            self.counters.refused += 1;
        }
        if waiting.append {
            self.receipt_ns.push(now.mono.saturating_sub(waiting.since));
        }
        fx.push(Effect::Reply(
            waiting.stream,
            CommandReply {
                request: waiting.request,
                result,
            },
        ));
    }

    pub(crate) fn close_value(&mut self, now: Now, fx: &mut Effects) {
        let nothing = self.commands.queue_is_empty() && !self.commands.has_own();
        if nothing || self.handing_over || !self.paxos.can_propose() {
            return;
        }
        let Some((value, waiting)) = self.commands.take_held().or_else(|| self.gather(now, fx))
        else {
            return;
        };
        match self
            .paxos
            .propose(now.mono, value.clone(), &mut self.paxos_fx)
        {
            Ok(slot) => {
                self.counters.values += 1;
                self.commands.proposed(slot, waiting);
            }
            // It fits once something is chosen; that wakes the next turn.
            Err(ProposeError::Full) => self.commands.hold(value, waiting),
            Err(ProposeError::NotLeader { .. } | ProposeError::NotReady) => {
                let error = self.not_leading();
                for waiting in waiting {
                    self.refuse(waiting, error.clone(), fx);
                }
            }
        }
        self.run_paxos(now, fx);
    }

    /// Closes what waits into one value; none if all of it has expired.
    fn gather(&mut self, now: Now, fx: &mut Effects) -> Option<(Value, Vec<Waiting>)> {
        let expected = self
            .commands
            .queue_bytes()
            .min(self.config.value_bytes_target);
        let mut builder = ValueBuilder::expecting(expected);
        let mut waiting = Vec::new();
        let mut room = None;
        loop {
            if self.commands.next_is_late(now.mono) {
                self.refuse_expired(now, fx);
            }
            let Some(queued) = self.commands.pop_fitting(room) else {
                break;
            };
            builder.push(&queued.command, queued.batch);
            waiting.push(queued.waiting);
            // Commands without a batch have a length too: a value must fit a frame of the log and of the wire.
            if builder.bytes() >= self.config.value_bytes_target {
                break;
            }
            room = Some(self.config.value_bytes_target - builder.bytes());
        }
        // Behind all others: nobody waits for them.
        for command in self.commands.take_own() {
            builder.push(&command, Vec::new());
        }
        (!builder.is_empty()).then(|| (builder.close(now.wall), waiting))
    }

    /// Refuses what waited too long for a value, and what may not overtake it.
    fn refuse_expired(&mut self, now: Now, fx: &mut Effects) {
        for waiting in self.commands.take_expired_queued(now.mono) {
            let why = match waiting.deadline <= now.mono {
                true => "the deadline passed before this was proposed",
                false => "an append before it was not proposed in time",
            };
            self.refuse(waiting, WireError::new(Code::DeadlineExceeded, why), fx);
        }
    }

    pub(crate) fn sweep(&mut self, now: Now, fx: &mut Effects) {
        if now.mono < self.next_sweep {
            return;
        }
        self.next_sweep = now.mono + SWEEP_NS;
        self.refuse_expired(now, fx);
        // What was queued just before the majority was lost: known not to be applied, and told in time.
        let cut_off =
            matches!(self.paxos.role(), Role::Leader { .. }) && !self.paxos.quorum_is_reached();
        if cut_off && !self.commands.queue_is_empty() {
            let queued = self.commands.drain_queue();
            for waiting in queued {
                self.refuse(waiting, self.no_majority(), fx);
            }
        }
        // What is under way may never end here: the others may have a leader whom this replica is the last to hear
        // of. Sent again under the same sequence there, it is applied once.
        if cut_off {
            for waiting in self.commands.take_unknown(Slot::ZERO) {
                let error = WireError::new(
                    Code::OutcomeUnknown,
                    "the leader lost its majority while this was under way: send it again under the same sequence to \
                     learn what became of it",
                );
                self.refuse(waiting, error, fx);
            }
        }
        for waiting in self.commands.take_expired_proposed(now.mono) {
            let error = WireError::new(
                Code::OutcomeUnknown,
                "the deadline passed while this was under way: send it again under the same sequence to learn what \
                 became of it",
            );
            self.counters.refused += 1;
            fx.push(Effect::Reply(
                waiting.stream,
                CommandReply {
                    request: waiting.request,
                    result: Err(error),
                },
            ));
        }
        self.sweep_queries(now, fx);
        let (readers, view) = self.readers_and_view(now);
        readers.sweep(view, fx);
    }

    /// A leader that would only keep a command until its deadline says at once that it is not applied: at the
    /// deadline itself, silence and an answer cannot be told apart. It names itself: a client that went on to the
    /// others would ask replicas that are down, and not know what became of it there.
    fn no_majority(&self) -> WireError {
        WireError::new(
            Code::Unavailable,
            "the leader reaches no majority: nothing is appended until one is up and connected",
        )
        .with_leader(self.hint.clone())
        .with_retry_after_ms(NO_MAJORITY_RETRY_MS)
    }
}

/// What admission made of a request.
enum Admitted {
    Queue(Command),
    Answer(Outcome),
}

fn outcome_is_duplicate(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Applied {
            receipt: Receipt::Appended { .. },
            duplicate: true,
        }
    )
}

fn throttled(who: &str, rate: u64, retry_after_ms: u32) -> WireError {
    WireError::new(
        Code::Throttled,
        format!("{who} {rate} bytes a second, and that is used up: try again later"),
    )
    .with_retry_after_ms(retry_after_ms)
}
