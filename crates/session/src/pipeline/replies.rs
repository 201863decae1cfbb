//! What came of each request.

use paxlog_wire::client::{CommandOutcome, CommandReply};
use paxlog_wire::{Code, Retry, WireError};

use crate::{Error, Nanos};

use super::asked::Asked;
use super::class::{Class, class};
use super::{OpenProducer, Owner, Pipeline, Policy};

impl<P: Owner> Pipeline<P> {
    pub(super) fn handle_reply(&mut self, now: Nanos, reply: CommandReply) {
        let Some(asked) = self.asked.remove(reply.request) else {
            return;
        };
        if let Err(error) = &reply.result
            && let Some(hint) = &error.leader
        {
            self.link.tracker.note(hint);
        }
        match (asked, reply.result) {
            (Asked::Item { serial }, Ok(outcome)) => {
                self.worked();
                if let Some(at) = self.position(serial) {
                    let item = &mut self.queue[at];
                    item.pending -= 1;
                    if let (CommandOutcome::LogDeleted { .. }, Some(log)) =
                        (&outcome, item.work.log())
                    {
                        // The name may come to be another log's.
                        self.logs.remove(log);
                    }
                    if item.result.is_none() {
                        item.result = Some(Ok(outcome));
                    }
                }
            }
            (Asked::Item { serial }, Err(error)) => {
                if let Some(at) = self.position(serial) {
                    self.item_refused(now, at, reply.request, error);
                }
            }
            (
                Asked::Producer { nonce },
                Ok(CommandOutcome::ProducerOpened {
                    producer,
                    epoch,
                    last,
                }),
            ) => {
                self.worked();
                if self.producer.open.is_none() && self.producer.nonce == nonce {
                    let opened = OpenProducer {
                        id: producer,
                        epoch,
                    };
                    if self.producer.taken_over(opened) {
                        let mut error = Error::new(
                            Code::Fenced,
                            format!("the producer was opened elsewhere; its epoch is {epoch} now"),
                        );
                        error.found = Some(epoch.into());
                        return self.close(error);
                    }
                    self.producer.open = Some(opened);
                    self.producer.granted = Some(opened);
                    self.producer.asked_since = 0;
                    if !std::mem::replace(&mut self.producer.opened_before, true) {
                        self.producer.last = last;
                    }
                }
            }
            (Asked::Lookup { name }, Ok(CommandOutcome::LogOpened { log, .. })) => {
                self.worked();
                self.logs.insert(name, log);
            }
            (Asked::Create { name }, Ok(CommandOutcome::LogOpened { log, .. })) => {
                self.worked();
                self.logs.insert(name, log);
                self.reopen();
            }
            (Asked::Leads, Ok(_)) => self.unsure = false,
            (Asked::Leads, Err(error)) if error.code == Code::NotFound => self.unsure = false,
            (Asked::Producer { .. } | Asked::Lookup { .. } | Asked::Create { .. }, Ok(_)) => {
                let error = Error::new(
                    Code::Internal,
                    "a replica answered another question than was asked",
                );
                self.close(error);
            }
            (asked, Err(error)) => self.preparation_refused(now, &asked, error),
        }
    }

    fn worked(&mut self) {
        self.link.worked();
        self.trouble = None;
        self.said_so = 0;
        self.unsure = false;
    }

    fn item_refused(&mut self, now: Nanos, at: usize, request: u64, refusal: WireError) {
        let error = Error::of_a_write(refusal);
        let expected = error.found;
        let item = &mut self.queue[at];
        item.pending -= 1;
        if item.result.is_some() {
            return;
        }
        // An older attempt was refused; a newer one is under way.
        let stale = item.request != request;
        match class(&error) {
            Class::Final { settles } => {
                item.doubt &= !settles;
                let unknown = item.open();
                if self.policy == Policy::Single
                    && matches!(error.code, Code::NotFound | Code::LogDeleted)
                    && let Some(log) = item.work.log()
                {
                    // The next one of that name looks again.
                    self.logs.remove(log);
                }
                item.result = Some(Err(if unknown {
                    error.with_unknown_outcome()
                } else {
                    error
                }));
            }
            Class::Fenced => self.close(error),
            Class::Forgotten => {
                item.refusal = Some(error);
                self.forgotten = true;
            }
            Class::Unknown => {
                item.doubt = true;
                if !stale && at < self.cursor {
                    self.note_trouble(error);
                    self.rewind(0, now, None);
                    self.follow_leader();
                }
            }
            Class::Gap => {
                let first = self.queue[0].sequence;
                if expected.is_some_and(|expected| Some(expected) < first) {
                    // The cluster does not know of what it acknowledged.
                    self.close(Error::new(
                        Code::Internal,
                        format!("the cluster expects sequence {expected:?}, but acknowledged all below {first:?}"),
                    ));
                } else if !stale && at < self.cursor {
                    self.rewind(0, now, None);
                }
            }
            Class::Elsewhere => {
                item.refusal = Some(error.clone());
                if !stale && at < self.cursor {
                    self.rewind(at, now, None);
                    self.leave(error);
                }
            }
            Class::Later { here } => {
                item.refusal = Some(error.clone());
                if !stale && at < self.cursor {
                    self.rewind(at, now, asked_wait(&error));
                    if here || self.leads_all_the_same(&error) {
                        self.note_trouble(error);
                    } else {
                        self.unsure = self.said_so > 0;
                        self.leave(error);
                    }
                }
            }
        }
    }

    /// Opening the producer, finding or making the log was refused.
    fn preparation_refused(&mut self, now: Nanos, asked: &Asked, error: WireError) {
        let error = Error::of_a_write(error);
        match (class(&error), asked) {
            (Class::Later { here }, _) if here || self.leads_all_the_same(&error) => {
                self.link.wait(now, asked_wait(&error));
                self.note_trouble(error);
            }
            (Class::Elsewhere | Class::Later { .. }, _) => {
                self.unsure = self.said_so > 0;
                self.link.wait(now, asked_wait(&error));
                self.leave(error);
            }
            (Class::Unknown, _) => {
                self.link.wait(now, None);
                self.note_trouble(error);
                self.follow_leader();
            }
            // The epoch made for this is no good: take another.
            (Class::Gap | Class::Forgotten, _) => {
                self.link.wait(now, None);
                self.reopen();
            }
            (Class::Final { .. }, Asked::Lookup { name }) if error.code == Code::NotFound => {
                match &mut self.target {
                    Some(target) if target.name == *name && target.create => target.creating = true,
                    _ => self.log_refused(&name.clone(), error),
                }
            }
            (Class::Final { .. }, Asked::Lookup { name }) => self.log_refused(&name.clone(), error),
            (Class::Final { .. } | Class::Fenced, _) => self.close(error),
        }
    }

    /// There is no such log to be had.
    fn log_refused(&mut self, name: &str, error: Error) {
        if self.policy == Policy::Stream {
            return self.close(error);
        }
        // The one it was looked for, the first that is not numbered; those behind it look themselves.
        let waits = self
            .queue
            .get(self.numbered)
            .is_some_and(|item| item.work.log() == Some(name));
        if waits && let Some(mut item) = self.queue.remove(self.numbered) {
            self.bytes -= item.bytes();
            self.deadlines.remove(item.deadline, item.serial);
            self.tell(item.owner.take(), error);
        }
    }

    /// The replica refused, and there will be another attempt.
    fn note_trouble(&mut self, why: Error) {
        self.link.refused(&why);
        self.trouble = Some(why);
    }

    /// This replica does not lead, or can't: the next attempt goes to the leader if somebody named
    /// another one, or to the next in turn.
    fn leave(&mut self, why: Error) {
        self.note_trouble(why);
        if let Some(server) = self.link.server().cloned() {
            self.link.tracker.forget(&server);
        }
        self.link.close(&mut self.effects);
        self.forget_stream();
    }

    /// It cannot do it now, and names itself as the leader. Mostly nobody else could, and the others may be
    /// down; but one that is cut off from the others is the last to learn that they have a new leader, so now and
    /// then they are asked.
    fn leads_all_the_same(&mut self, error: &Error) -> bool {
        let says_so =
            error.code == Code::Unavailable && error.leader.is_some() && self.link.at_leader();
        self.said_so += u32::from(says_so);
        says_so && !self.said_so.is_multiple_of(ASKED_ELSEWHERE_EVERY)
    }

    /// Goes to the leader if somebody named another one than this.
    fn follow_leader(&mut self) {
        if self.link.tracker.leader().is_some() && !self.link.at_leader() {
            self.link.close(&mut self.effects);
            self.forget_stream();
        }
    }
}

/// Of so many times that a leader refuses for want of a majority, the others are asked after the last.
const ASKED_ELSEWHERE_EVERY: u32 = 3;

/// How long the replica asked to wait.
fn asked_wait(error: &Error) -> Option<Nanos> {
    match error.retry {
        Retry::After(wait) => Some(wait.as_nanos().min(WAIT_MAX_NS.into()) as Nanos),
        Retry::Now | Retry::Elsewhere | Retry::Never => None,
    }
}

/// A replica may ask for more, but a deadline should not pass over it.
const WAIT_MAX_NS: Nanos = 1_000_000_000;
