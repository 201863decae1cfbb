//! Writing a history down as it happens.

use super::operation::{Call, ClientId, Nanos, OpId, Operation, SessionId};
use super::outcome::{Event, Outcome, Reply};
use super::settled::Settled;
use super::{History, LogName};

/// Takes down what happens. Times are of one clock that never goes back, whoever measures them.
#[derive(Debug, Default)]
pub struct Recorder {
    history: History,
}

impl Recorder {
    /// Nothing yet.
    pub fn new() -> Recorder {
        Recorder::default()
    }

    /// `client` calls. To be told *before* the first byte leaves. Until [`Recorder::end`] its outcome is unknown.
    pub fn begin(&mut self, now: Nanos, client: ClientId, call: Call) -> OpId {
        let id = OpId(self.history.operations.len() as u64);
        self.history.operations.push(Operation {
            client,
            log: call.log,
            id: None,
            call: now,
            ret: None,
            kind: call.kind,
            pipeline: None,
            outcome: Outcome::Unknown { code: None },
            again: Vec::new(),
        });
        id
    }

    /// The same, for an append of a pipeline: see [`Operation::pipeline`].
    pub fn begin_in(&mut self, now: Nanos, client: ClientId, pipeline: u64, call: Call) -> OpId {
        let id = self.begin(now, client, call);
        if let Some(operation) = self.history.operations.last_mut() {
            operation.pipeline = Some(pipeline);
        }
        id
    }

    /// It is about the log of that id, and no other of its name.
    ///
    /// # Panics
    /// If `id` is not one of this recorder's.
    pub fn about(&mut self, id: OpId, log: u64) {
        self.operation(id).id = Some(log);
    }

    fn operation(&mut self, id: OpId) -> &mut Operation {
        usize::try_from(id.0)
            .ok()
            .and_then(|place| self.history.operations.get_mut(place))
            .expect("an operation that was begun here")
    }

    /// The caller has its answer. To be told *after* it came. Told again, an answer settles what was unknown before,
    /// and is otherwise kept beside the first: receipts of one append must agree.
    ///
    /// # Panics
    /// If `id` is not one of this recorder's.
    pub fn end(&mut self, now: Nanos, id: OpId, outcome: Outcome) {
        let operation = self.operation(id);
        match (&operation.outcome, &outcome) {
            (Outcome::Unknown { .. }, _) => {
                operation.ret = Some(now);
                operation.outcome = outcome;
            }
            // It is known not to be applied by the attempts so far, and then was: that is how it ended.
            (Outcome::NotApplied { .. }, Outcome::Ok(_)) => {
                operation.again.push((
                    operation.ret.unwrap_or(now),
                    std::mem::replace(&mut operation.outcome, outcome),
                ));
                operation.ret = Some(now);
            }
            _ => operation.again.push((now, outcome)),
        }
    }

    /// A tail gave an event.
    pub fn event(
        &mut self,
        now: Nanos,
        client: ClientId,
        log: impl Into<LogName>,
        session: SessionId,
        event: Event,
    ) -> OpId {
        let id = self.begin(now, client, Call::tail(log, session));
        self.end(now, id, Outcome::Ok(Reply::Event(event)));
        id
    }

    /// What a log came to, when everything is over. Told again, it counts instead. Of a log that was deleted, nothing;
    /// of a name that is nobody's by then, an empty log without an id.
    pub fn settle(&mut self, settled: Settled) {
        self.history.settled.retain(|old| old.log != settled.log);
        self.history.settled.push(settled);
    }

    /// Others may have trimmed or sealed logs of this history too: see [`History::complete`].
    pub fn incomplete(&mut self) {
        self.history.complete = false;
    }

    /// What was taken down so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was taken down.
    pub fn finish(self) -> History {
        self.history
    }
}
