//! What the state machine should do, written as plainly as possible: every
//! answer ever given is kept, nothing is shared and nothing is forgotten.

use paxlog_log::{
    Body, Command, Invalidity, LastReceipt, LogId, Offset, Outcome, ProducerId, Receipt, Refusal,
    Timestamp,
};

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) logs: Vec<Log>,
    pub(crate) producers: Vec<Producer>,
    clock: u64,
}

#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) name: String,
    pub(crate) tail: u64,
    pub(crate) trim_point: u64,
    pub(crate) sealed: bool,
    pub(crate) version: u64,
}

pub(crate) struct Producer {
    name: Option<String>,
    pub(crate) epochs: Vec<Epoch>,
}

pub(crate) struct Epoch {
    nonce: u128,
    opened: Outcome,
    /// The commands applied, with their answers.
    pub(crate) applied: Vec<(Body, Outcome)>,
    pub(crate) ended: Option<(Refusal, Option<u64>)>,
}

impl Model {
    pub(crate) fn apply(&mut self, clock_ns: u64, command: &Command) -> Outcome {
        self.clock = self.clock.max(clock_ns);
        match (&command.body, command.origin) {
            (Body::OpenProducer { nonce, name }, None) => {
                self.open(*nonce, name.as_ref().map(|n| n.to_string()))
            }
            (Body::OpenProducer { .. }, Some(_)) => invalid(Invalidity::Numbered),
            (_, None) => invalid(Invalidity::NotNumbered),
            (body, Some(origin)) => {
                self.numbered(origin.producer.0, origin.epoch, origin.sequence, body)
            }
        }
    }

    fn open(&mut self, nonce: u128, name: Option<String>) -> Outcome {
        let found = self.producers.iter().position(|producer| match &name {
            Some(_) => producer.name == name,
            None => producer.name.is_none() && producer.epochs[0].nonce == nonce,
        });
        let at = found.unwrap_or_else(|| {
            self.producers.push(Producer {
                name,
                epochs: vec![],
            });
            self.producers.len() - 1
        });
        let producer = &mut self.producers[at];
        // The state machine knows the last 16 openings.
        if let Some(epoch) = producer
            .epochs
            .iter()
            .rev()
            .take(16)
            .find(|epoch| epoch.nonce == nonce)
        {
            return as_duplicate(epoch.opened.clone());
        }
        let last = producer
            .epochs
            .iter()
            .enumerate()
            .rev()
            .find_map(|(at, epoch)| {
                let (_, outcome) = epoch.applied.last()?;
                let sequence = epoch.applied.len() as u64 - 1;
                Some(LastReceipt {
                    epoch: at as u32 + 1,
                    sequence,
                    receipt: receipt(outcome),
                })
            });
        let opened = Outcome::ProducerOpened {
            producer: ProducerId(at as u64 + 1),
            epoch: producer.epochs.len() as u32 + 1,
            last,
            duplicate: false,
        };
        producer.epochs.push(Epoch {
            nonce,
            opened: opened.clone(),
            applied: vec![],
            ended: None,
        });
        opened
    }

    fn numbered(&mut self, producer: u64, epoch: u32, sequence: u64, body: &Body) -> Outcome {
        let refused = |why| Outcome::Refused { why, version: None };
        let Some(at) = producer
            .checked_sub(1)
            .filter(|&at| at < self.producers.len() as u64)
        else {
            return invalid(Invalidity::UnknownProducer);
        };
        let newest = self.producers[at as usize].epochs.len() as u32;
        if epoch != newest {
            return match epoch < newest {
                true => refused(Refusal::Fenced { epoch: newest }),
                false => invalid(Invalidity::EpochAhead),
            };
        }
        let current = self.producers[at as usize]
            .epochs
            .last()
            .expect("opened once at least");
        let next = current.applied.len() as u64;
        if let Some((first, outcome)) = current.applied.get(sequence as usize) {
            return match same_subject(first, body) {
                true => as_duplicate(outcome.clone()),
                false => invalid(Invalidity::SequenceReused),
            };
        }
        if let Some((why, version)) = current.ended {
            return Outcome::Refused {
                why,
                version: if sequence == next { version } else { None },
            };
        }
        if sequence > next {
            return refused(Refusal::SequenceGap { expected: next });
        }
        let outcome = self.change(body);
        let current = self.producers[at as usize]
            .epochs
            .last_mut()
            .expect("as before");
        match &outcome {
            Outcome::Refused { why, version } => current.ended = Some((*why, *version)),
            applied => current.applied.push((body.clone(), applied.clone())),
        }
        outcome
    }

    fn change(&mut self, body: &Body) -> Outcome {
        let refused = |why, log: &Log| Outcome::Refused {
            why,
            version: Some(log.version),
        };
        let (id, timestamp, duplicate) = match body {
            Body::CreateLog { name, if_absent } => {
                if let Some(at) = self.logs.iter().position(|log| log.name == name.as_str()) {
                    let (log, version) = (LogId(at as u64 + 1), self.logs[at].version);
                    return match if_absent {
                        true => Outcome::Created {
                            log,
                            version,
                            existed: true,
                            duplicate: false,
                        },
                        false => refused(Refusal::AlreadyExists { log }, &self.logs[at]),
                    };
                }
                let name = name.to_string();
                self.logs.push(Log {
                    name,
                    tail: 0,
                    trim_point: 0,
                    sealed: false,
                    version: 1,
                });
                let log = LogId(self.logs.len() as u64);
                return Outcome::Created {
                    log,
                    version: 1,
                    existed: false,
                    duplicate: false,
                };
            }
            Body::Append { log, .. } | Body::Trim { log, .. } | Body::Seal { log } => {
                (*log, Timestamp(self.clock), false)
            }
            Body::OpenProducer { .. } => unreachable!("not numbered"),
        };
        let Some(log) = (id.0 as usize)
            .checked_sub(1)
            .and_then(|at| self.logs.get_mut(at))
        else {
            return Outcome::Refused {
                why: Refusal::NotFound,
                version: None,
            };
        };
        let tail = Offset(log.tail);
        match *body {
            Body::Append { records, bytes, .. } => {
                if log.sealed {
                    return refused(Refusal::Sealed { tail }, log);
                }
                if records == 0 {
                    return refused(Refusal::Invalid(Invalidity::EmptyBatch), log);
                }
                if bytes > 4 << 20 {
                    return refused(Refusal::TooLarge { limit: 4 << 20 }, log);
                }
                log.tail += u64::from(records);
                log.version += 1;
                let end = Offset(log.tail);
                let version = log.version;
                Outcome::Appended {
                    log: id,
                    start: tail,
                    end,
                    timestamp,
                    tail: end,
                    version,
                    duplicate,
                }
            }
            Body::Trim { to, .. } => {
                if to > tail {
                    return refused(Refusal::OffsetOutOfRange { tail }, log);
                }
                log.trim_point = log.trim_point.max(to.0);
                log.version += 1;
                let trim_point = Offset(log.trim_point);
                Outcome::Trimmed {
                    log: id,
                    trim_point,
                    tail,
                    version: log.version,
                    duplicate,
                }
            }
            _ => {
                log.sealed = true;
                log.version += 1;
                Outcome::Sealed {
                    log: id,
                    tail,
                    version: log.version,
                    duplicate,
                }
            }
        }
    }
}

pub(crate) fn as_duplicate(mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::ProducerOpened { duplicate, .. }
        | Outcome::Created { duplicate, .. }
        | Outcome::Appended { duplicate, .. }
        | Outcome::Trimmed { duplicate, .. }
        | Outcome::Sealed { duplicate, .. } => *duplicate = true,
        Outcome::Refused { .. } => {}
    }
    outcome
}

fn invalid(why: Invalidity) -> Outcome {
    Outcome::Refused {
        why: Refusal::Invalid(why),
        version: None,
    }
}

fn same_subject(first: &Body, now: &Body) -> bool {
    match (first, now) {
        (Body::CreateLog { .. }, Body::CreateLog { .. }) => true,
        (
            Body::Append { log, records, .. },
            Body::Append {
                log: to,
                records: sent,
                ..
            },
        ) => log == to && records == sent,
        (Body::Trim { log, .. }, Body::Trim { log: of, .. })
        | (Body::Seal { log }, Body::Seal { log: of }) => log == of,
        _ => false,
    }
}

fn receipt(outcome: &Outcome) -> Receipt {
    match *outcome {
        Outcome::Created {
            log,
            version,
            existed,
            ..
        } => Receipt::Created {
            log,
            version,
            existed,
        },
        Outcome::Appended {
            log,
            start,
            end,
            timestamp,
            version,
            ..
        } => Receipt::Appended {
            log,
            start,
            records: (end.0 - start.0) as u32,
            timestamp,
            version,
        },
        Outcome::Trimmed {
            log,
            trim_point,
            tail,
            version,
            ..
        } => Receipt::Trimmed {
            log,
            trim_point,
            tail,
            version,
        },
        Outcome::Sealed {
            log, tail, version, ..
        } => Receipt::Sealed { log, tail, version },
        Outcome::ProducerOpened { .. } | Outcome::Refused { .. } => {
            panic!("no receipt: {outcome:?}")
        }
    }
}
