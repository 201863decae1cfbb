//! What clients are told, written down as a history.

use bytes::Bytes;
use paxlog_session::{AppendEvent, ReadOutput, TailOutput};
use paxlog_wire::OutcomeFact;
use paxlog_wire::client::{Answer, CommandOutcome, EndReason};

use super::*;
use crate::coverage::Coverage;
use crate::history::{
    ClientId, CursorAt, Event as TailEvent, Gap, Kind, Observed, Operation, Outcome, Payload,
    Receipt, Reply, TailReply,
};

impl World {
    /// Takes down what a machine says; whether it said anything.
    pub(super) fn listen(&mut self, actor: usize) -> bool {
        let now = self.now;
        let Clients {
            actors,
            recorder,
            acknowledged,
            clients,
            settled,
            tails,
            ids,
            logs,
            ..
        } = &mut self.clients;
        let Actor { client, role, .. } = &mut actors[actor];
        let who = ClientId(*client as u64);
        let mut said = false;
        let mut deleted = Vec::new();
        match role {
            Role::Append {
                machine,
                log,
                id,
                under_way,
                closed,
            } => {
                while let Some(event) = machine.poll_event() {
                    said = true;
                    match event {
                        AppendEvent::Opened(opened) => {
                            *id = Some(opened.log);
                            for op in under_way.values() {
                                recorder.about(*op, opened.log);
                            }
                            if ids[*log] > 0 && opened.log > ids[*log] {
                                self.coverage.hit("a log was made again under its name");
                            }
                            if opened.log > ids[*log] {
                                (ids[*log], tails[*log]) = (opened.log, 0);
                            }
                        }
                        AppendEvent::Closed(_) => *closed = true,
                        AppendEvent::Done { token, result } => {
                            let op = under_way.remove(&token.0).expect("each ends once");
                            let outcome = match result {
                                Ok(receipt) => {
                                    if receipt.log == ids[*log] {
                                        tails[*log] = tails[*log].max(receipt.tail);
                                    }
                                    *acknowledged += receipt.end - receipt.start;
                                    clients[*client].acknowledged += receipt.end - receipt.start;
                                    if receipt.duplicate {
                                        self.coverage.hit("an append was resent and was there");
                                    }
                                    Outcome::Ok(Reply::Appended(Receipt {
                                        log: Some(receipt.log),
                                        start: receipt.start,
                                        end: receipt.end,
                                        timestamp: Some(receipt.timestamp),
                                        tail: Some(receipt.tail),
                                        version: Some(receipt.version),
                                        duplicate: receipt.duplicate,
                                    }))
                                }
                                // What ended a pipeline is told to all that were in it: they looked at nothing.
                                Err(error) => {
                                    if error.code == Code::LogDeleted {
                                        self.coverage.hit("an append was refused: deleted");
                                        // Whoever goes on does so in the log that has the name now.
                                        clients[*client].appenders[*log]
                                            .take_if(|appender| *appender == actor);
                                    }
                                    failed(&error, None, &mut self.coverage)
                                }
                            };
                            recorder.end(now, op, outcome);
                        }
                    }
                }
            }
            Role::Command { machine, under_way } => {
                while let Some(done) = machine.poll_done() {
                    said = true;
                    let op = under_way.remove(&done.token.0).expect("each ends once");
                    if let Some(log) = done.log {
                        recorder.about(op, log);
                    }
                    let outcome = match done.result {
                        Ok(CommandOutcome::Trimmed {
                            trim_point,
                            tail,
                            version,
                            duplicate,
                        }) => Outcome::Ok(Reply::Trimmed {
                            trim_point,
                            tail,
                            version: Some(version),
                            duplicate,
                        }),
                        Ok(CommandOutcome::Sealed {
                            tail,
                            version,
                            duplicate,
                        }) => {
                            if duplicate {
                                self.coverage.hit("a seal was asked for again");
                            }
                            Outcome::Ok(Reply::Sealed {
                                tail,
                                version: Some(version),
                                duplicate,
                            })
                        }
                        Ok(CommandOutcome::FenceSet {
                            tail,
                            version,
                            duplicate,
                        }) => Outcome::Ok(Reply::FenceSet {
                            tail,
                            version: Some(version),
                            duplicate,
                        }),
                        Ok(
                            CommandOutcome::CursorSet {
                                version, duplicate, ..
                            }
                            | CommandOutcome::CursorDeleted { version, duplicate }
                            | CommandOutcome::LogAltered { version, duplicate },
                        ) => Outcome::Ok(Reply::Changed {
                            version: Some(version),
                            duplicate,
                        }),
                        Ok(CommandOutcome::LogDeleted { version, duplicate }) => {
                            Outcome::Ok(Reply::Deleted {
                                version: Some(version),
                                duplicate,
                            })
                        }
                        Ok(_) => Outcome::Unknown { code: None },
                        Err(error) => failed(&error, seen(&error), &mut self.coverage),
                    };
                    let operation = recorder.history().get(op).expect("it was begun");
                    if let Some(log) = place(logs, operation) {
                        if let Outcome::Ok(Reply::Deleted { duplicate, .. }) = outcome {
                            deleted.push((log, done.log, duplicate));
                        }
                        learn(&mut clients[*client], log, &operation.kind, &outcome);
                    }
                    recorder.end(now, op, outcome);
                }
            }
            Role::Query { machine, under_way } => {
                while let Some(done) = machine.poll_done() {
                    said = true;
                    let op = under_way.remove(&done.token.0).expect("each ends once");
                    let outcome = match done.result {
                        Ok(Answer::Tail(tail)) => {
                            recorder.about(op, tail.log);
                            let fence = tail.fence.clone();
                            let operation = recorder.history().get(op).expect("it was begun");
                            if let Some(log) = place(logs, operation) {
                                clients[*client].believe(log, fence.clone());
                            }
                            Outcome::Ok(Reply::Tail(TailReply {
                                offset: tail.offset,
                                timestamp: Some(tail.timestamp),
                                trim_point: tail.trim_point,
                                sealed: tail.sealed,
                                version: Some(tail.version),
                                fence: Some(fence.unwrap_or_default()),
                            }))
                        }
                        Ok(Answer::Cursor { cursor, version }) => Outcome::Ok(Reply::Cursor {
                            at: cursor.map(|cursor| cursor.at).into(),
                            version: Some(version),
                        }),
                        Ok(_) => Outcome::Unknown { code: None },
                        Err(error) => {
                            self.coverage.error(error.code);
                            Outcome::NotApplied {
                                code: error.code.name().to_owned(),
                                seen: None,
                            }
                        }
                    };
                    recorder.end(now, op, outcome);
                }
            }
            Role::Read {
                machine,
                op,
                so_far,
                at,
                over,
                for_settling,
            } => {
                while let Some(output) = machine.poll_output() {
                    said = true;
                    if let Some(log) = machine.started().map(|said| said.log) {
                        recorder.about(*op, log);
                    }
                    match output {
                        ReadOutput::Records(piece) => {
                            if piece.compression().is_some() {
                                self.coverage.hit("a compressed batch was read");
                            }
                            for (offset, record) in piece.records() {
                                so_far.records.push(stored(
                                    offset,
                                    &record.payload,
                                    piece.timestamp,
                                ));
                            }
                            *at = piece.end;
                        }
                        ReadOutput::Gap { to } => {
                            so_far.gaps.push(Gap { from: *at, to });
                            *at = to;
                        }
                        ReadOutput::End { next, tail, reason } => {
                            *over = true;
                            so_far.next = Some(next);
                            if reason == EndReason::Limit {
                                self.coverage.hit("a read ended at its bound");
                            }
                            // Where it ended in a gap nobody told it the tail.
                            let in_a_gap = so_far.gaps.last().is_some_and(|gap| gap.to == next);
                            let at_the_tail = matches!(reason, EndReason::Tail | EndReason::Sealed);
                            so_far.tail = (at_the_tail && !in_a_gap).then_some(tail);
                            if let Some(key) = for_settling {
                                let (log, replica) = (*key >> 8, *key & 0xff);
                                let read = Whole::Read(
                                    so_far.records.clone(),
                                    tail,
                                    machine.started().map(|said| said.log),
                                );
                                settled.insert((log, replica), read);
                            }
                            recorder.end(
                                now,
                                *op,
                                Outcome::Ok(Reply::Read(std::mem::take(so_far))),
                            );
                        }
                        ReadOutput::Failed(error) => {
                            *over = true;
                            self.coverage.error(error.code);
                            if let Some(key) = for_settling
                                && error.code == Code::NotFound
                            {
                                let (log, replica) = (*key >> 8, *key & 0xff);
                                settled.insert((log, replica), Whole::Absent);
                            }
                            let mut reply = std::mem::take(so_far);
                            let outcome = if reply.records.is_empty() && reply.gaps.is_empty() {
                                Outcome::NotApplied {
                                    code: error.code.name().to_owned(),
                                    seen: None,
                                }
                            } else {
                                reply.error = Some(error.code.name().to_owned());
                                Outcome::Ok(Reply::Read(reply))
                            };
                            recorder.end(now, *op, outcome);
                        }
                    }
                }
            }
            Role::Tail {
                machine,
                log,
                session,
                over,
            } => {
                while let Some(output) = machine.poll_output() {
                    said = true;
                    let event = match output {
                        TailOutput::Records(piece) => {
                            machine.release(piece.bytes());
                            let records = piece.records();
                            TailEvent::Records(
                                records
                                    .map(|(offset, record)| {
                                        stored(offset, &record.payload, piece.timestamp)
                                    })
                                    .collect(),
                            )
                        }
                        TailOutput::Gap { to } => {
                            self.coverage.hit("a tail skipped what was trimmed");
                            TailEvent::Gap { to }
                        }
                        TailOutput::CaughtUp { tail } => TailEvent::CaughtUp { tail },
                        TailOutput::Sealed { tail } => {
                            *over = true;
                            TailEvent::Sealed { tail }
                        }
                        TailOutput::Failed(error) => {
                            *over = true;
                            self.coverage.error(error.code);
                            if error.code == Code::LogDeleted {
                                self.coverage.hit("a tail heard that its log was deleted");
                                // It may follow what comes to have the name.
                                let tails = &mut clients[*client].tails;
                                *tails = tails.saturating_sub(1);
                            }
                            continue;
                        }
                    };
                    let id = machine.started().map(|said| said.log);
                    let op = recorder.event(now, who, log.as_str(), *session, event);
                    if let Some(id) = id {
                        recorder.about(op, id);
                    }
                }
            }
        }
        for (log, id, again) in deleted {
            self.deleted(log, id, again);
        }
        said
    }
}

fn stored(offset: u64, payload: &Bytes, timestamp: u64) -> Stored {
    Stored {
        offset,
        timestamp: Some(timestamp),
        payload: Payload::id_of(payload),
    }
}

fn place(logs: &[String], operation: &Operation) -> Option<usize> {
    let name = operation.log.as_str();
    logs.iter().position(|log| log == name)
}

/// What a client knows of fences and cursors by what it did.
fn learn(client: &mut Client, log: usize, kind: &Kind, outcome: &Outcome) {
    match (kind, outcome) {
        (Kind::Fence { token, .. }, Outcome::Ok(_)) => client.believe(log, token.clone()),
        (Kind::SetCursor { name, at, .. }, Outcome::Ok(_)) => {
            client.cursors.insert((log, name.clone()), *at);
        }
        (Kind::DeleteCursor { name }, Outcome::Ok(_)) => {
            client.cursors.remove(&(log, name.clone()));
        }
        (Kind::SetCursor { name, .. }, Outcome::NotApplied { seen, .. }) => {
            match seen.and_then(|seen| seen.cursor) {
                Some(CursorAt::At(at)) => client.cursors.insert((log, name.clone()), at),
                Some(CursorAt::Absent) => client.cursors.remove(&(log, name.clone())),
                None => None,
            };
        }
        _ => {}
    }
}

impl Client {
    /// From here on it carries that fence: in an appender of its own.
    fn believe(&mut self, log: usize, fence: Option<String>) {
        if self.fences[log] != fence {
            self.fences[log] = fence;
            self.appenders[log] = None;
        }
    }
}

/// What the log was like when it refused, where it was the log that did.
fn seen(error: &Error) -> Option<Observed> {
    error.version.map(|version| Observed {
        tail: error.tail,
        version: Some(version),
        sealed: (error.code == Code::Sealed).then_some(true),
        cursor: (error.code == Code::CursorMismatch).then(|| error.found.into()),
    })
}

fn failed(error: &Error, seen: Option<Observed>, coverage: &mut Coverage) -> Outcome {
    coverage.error(error.code);
    let code = error.code.name().to_owned();
    match error.outcome {
        OutcomeFact::Unknown => Outcome::Unknown { code: Some(code) },
        OutcomeFact::NotApplied | OutcomeFact::NotAWrite => Outcome::NotApplied { code, seen },
    }
}
