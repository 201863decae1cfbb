//! What the state machine should do, written as plainly as possible: every
//! answer ever given is kept, nothing is shared and nothing is forgotten.

use std::collections::BTreeMap;

use paxlog_log::{
    Body, Command, Conditions, Expected, Invalidity, LastReceipt, LogConfig, LogId, Offset,
    Outcome, ProducerId, Receipt, Refusal, Timestamp,
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
    pub(crate) deleted: bool,
    pub(crate) fence: Option<String>,
    pub(crate) cursors: BTreeMap<String, u64>,
    pub(crate) config: LogConfig,
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
            (Body::OpenProducer { .. } | Body::Retain { .. }, Some(_)) => {
                invalid(Invalidity::Numbered)
            }
            (Body::Retain { log, to }, None) => self.retain(*log, to.0),
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

    /// The log of that id.
    fn log(&mut self, id: LogId) -> Result<&mut Log, Outcome> {
        let gone = |why| Outcome::Refused { why, version: None };
        match (id.0 as usize)
            .checked_sub(1)
            .and_then(|at| self.logs.get_mut(at))
        {
            Some(log) if log.deleted => Err(gone(Refusal::LogDeleted)),
            Some(log) => Ok(log),
            None => Err(gone(Refusal::NotFound)),
        }
    }

    fn retain(&mut self, id: LogId, to: u64) -> Outcome {
        let log = match self.log(id) {
            Ok(log) => log,
            Err(refused) => return refused,
        };
        let goes = log.config.retention_age_ns > 0 || log.config.retention_bytes > 0;
        if goes && to.min(log.tail) > log.trim_point {
            log.trim_point = to.min(log.tail);
            log.version += 1;
        }
        applied(Receipt::Trimmed {
            log: id,
            trim_point: Offset(log.trim_point),
            tail: Offset(log.tail),
            version: log.version,
        })
    }

    fn create(&mut self, name: &str, if_absent: bool, config: LogConfig) -> Outcome {
        let found = |log: &Log| log.name == name && !log.deleted;
        if let Some(at) = self.logs.iter().position(found) {
            let (log, version) = (LogId(at as u64 + 1), self.logs[at].version);
            return match if_absent {
                true => applied(Receipt::Created {
                    log,
                    version,
                    existed: true,
                }),
                false => Outcome::Refused {
                    why: Refusal::AlreadyExists { log },
                    version: Some(version),
                },
            };
        }
        self.logs.push(Log {
            name: name.to_owned(),
            tail: 0,
            trim_point: 0,
            sealed: false,
            version: 1,
            deleted: false,
            fence: None,
            cursors: BTreeMap::new(),
            config,
        });
        applied(Receipt::Created {
            log: LogId(self.logs.len() as u64),
            version: 1,
            existed: false,
        })
    }

    fn change(&mut self, body: &Body) -> Outcome {
        let timestamp = Timestamp(self.clock);
        let id = match body {
            Body::CreateLog {
                name,
                if_absent,
                config,
            } => return self.create(name.as_str(), *if_absent, *config),
            Body::Append { log, .. }
            | Body::Trim { log, .. }
            | Body::Seal { log }
            | Body::AlterLog { log, .. }
            | Body::DeleteLog { log }
            | Body::Fence { log, .. }
            | Body::SetCursor { log, .. }
            | Body::DeleteCursor { log, .. } => *log,
            Body::OpenProducer { .. } | Body::Retain { .. } => unreachable!("not numbered"),
        };
        let log = match self.log(id) {
            Ok(log) => log,
            Err(refused) => return refused,
        };
        let version = log.version + 1;
        match log.change(id, body, timestamp, version) {
            Ok(receipt) => {
                log.version = version;
                applied(receipt)
            }
            Err(why) => Outcome::Refused {
                why,
                version: Some(log.version),
            },
        }
    }
}

impl Log {
    fn change(
        &mut self,
        id: LogId,
        body: &Body,
        timestamp: Timestamp,
        version: u64,
    ) -> Result<Receipt, Refusal> {
        let tail = Offset(self.tail);
        Ok(match body {
            Body::Append {
                records, bytes, on, ..
            } => {
                let Conditions { if_tail, fence } = on;
                let limit = match self.config.batch_bytes_max {
                    0 => 4 << 20,
                    limit => limit.min(4 << 20),
                };
                if self.sealed {
                    return Err(Refusal::Sealed { tail });
                }
                if fence.as_ref().map(|fence| fence.as_str()) != self.fence.as_deref() {
                    return Err(Refusal::OtherFence);
                }
                if if_tail.is_some() && *if_tail != Some(tail) {
                    return Err(Refusal::TailMismatch { tail });
                }
                if *records == 0 {
                    return Err(Refusal::Invalid(Invalidity::EmptyBatch));
                }
                if *bytes > limit {
                    let limit = limit.into();
                    return Err(Refusal::TooLarge { limit });
                }
                self.tail += u64::from(*records);
                Receipt::Appended {
                    log: id,
                    start: tail,
                    records: *records,
                    timestamp,
                    version,
                }
            }
            Body::Trim { to, .. } => {
                if *to > tail {
                    return Err(Refusal::OffsetOutOfRange { tail });
                }
                self.trim_point = self.trim_point.max(to.0);
                Receipt::Trimmed {
                    log: id,
                    trim_point: Offset(self.trim_point),
                    tail,
                    version,
                }
            }
            Body::Seal { .. } => {
                self.sealed = true;
                Receipt::Sealed {
                    log: id,
                    tail,
                    version,
                }
            }
            Body::AlterLog { change, .. } => {
                let config = &mut self.config;
                if let Some(value) = change.retention_age_ns {
                    config.retention_age_ns = value;
                }
                if let Some(value) = change.retention_bytes {
                    config.retention_bytes = value;
                }
                if let Some(value) = change.batch_bytes_max {
                    config.batch_bytes_max = value;
                }
                if let Some(value) = change.append_bytes_per_s {
                    config.append_bytes_per_s = value;
                }
                Receipt::Altered { log: id, version }
            }
            Body::DeleteLog { .. } => {
                self.deleted = true;
                Receipt::Deleted { log: id, version }
            }
            Body::Fence { token, expect, .. } => {
                let held = match expect {
                    Expected::Any => true,
                    Expected::Absent => self.fence.is_none(),
                    Expected::Is(token) => self.fence.as_deref() == Some(token.as_str()),
                };
                if !held {
                    return Err(Refusal::OtherFence);
                }
                self.fence = token.as_ref().map(|token| token.to_string());
                Receipt::FenceSet {
                    log: id,
                    tail,
                    version,
                }
            }
            Body::SetCursor {
                name, at, expect, ..
            } => {
                let now = self.cursors.get(name.as_str()).map(|&at| Offset(at));
                let held = match expect {
                    Expected::Any => true,
                    Expected::Absent => now.is_none(),
                    Expected::Is(at) => now == Some(*at),
                };
                if !held {
                    return Err(Refusal::CursorMismatch { at: now });
                }
                if *at > tail {
                    return Err(Refusal::OffsetOutOfRange { tail });
                }
                self.cursors.insert(name.to_string(), at.0);
                Receipt::CursorSet {
                    log: id,
                    at: *at,
                    version,
                }
            }
            Body::DeleteCursor { name, .. } => {
                if self.cursors.remove(name.as_str()).is_none() {
                    return Err(Refusal::NoCursor);
                }
                Receipt::CursorDeleted { log: id, version }
            }
            Body::OpenProducer { .. } | Body::CreateLog { .. } | Body::Retain { .. } => {
                unreachable!("of no log, or not numbered")
            }
        })
    }
}

fn applied(receipt: Receipt) -> Outcome {
    Outcome::Applied {
        receipt,
        duplicate: false,
    }
}

pub(crate) fn as_duplicate(mut outcome: Outcome) -> Outcome {
    match &mut outcome {
        Outcome::ProducerOpened { duplicate, .. } | Outcome::Applied { duplicate, .. } => {
            *duplicate = true
        }
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
        | (Body::AlterLog { log, .. }, Body::AlterLog { log: of, .. })
        | (Body::DeleteLog { log }, Body::DeleteLog { log: of })
        | (Body::Fence { log, .. }, Body::Fence { log: of, .. })
        | (Body::DeleteCursor { log, .. }, Body::DeleteCursor { log: of, .. })
        | (Body::Seal { log }, Body::Seal { log: of }) => log == of,
        (
            Body::SetCursor { log, at, .. },
            Body::SetCursor {
                log: of, at: to, ..
            },
        ) => log == of && at == to,
        _ => false,
    }
}

fn receipt(outcome: &Outcome) -> Receipt {
    match outcome {
        Outcome::Applied { receipt, .. } => *receipt,
        Outcome::ProducerOpened { .. } | Outcome::Refused { .. } => {
            panic!("no receipt: {outcome:?}")
        }
    }
}
