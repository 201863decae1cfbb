//! Producers: who may number commands, and what became of those numbers.
//!
//! What is forgotten, and when, follows from applied state alone: a producer
//! used least recently by position goes first.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::{Body, Command};
use crate::ids::{LogId, Origin, Position, ProducerId};
use crate::limits::{OPENINGS_MAX, PRODUCERS_MAX, RECEIPTS_MAX};
use crate::names::ProducerName;
use crate::outcome::{LastReceipt, Outcome, Receipt};
use crate::receipts::Receipts;
use crate::refusal::{Invalidity, Refusal};

/// One producer.
#[derive(Clone, Debug)]
pub(crate) struct Producer {
    pub(crate) name: Option<ProducerName>,
    /// The current epoch, from 1; equals that of the last opening.
    pub(crate) epoch: u32,
    /// When it last opened or numbered anything.
    pub(crate) used: Position,
    /// What it wrote to last.
    pub(crate) last_log: Option<LogId>,
    /// The last openings, oldest first, at least one; without a name just one.
    pub(crate) openings: Vec<Opening>,
    /// How the current epoch ended, if it did.
    pub(crate) ended: Option<Ended>,
    /// The last receipt of any older epoch.
    pub(crate) last: Option<LastReceipt>,
    /// Of the current epoch.
    pub(crate) receipts: Receipts,
}

/// One answer to an opening, kept for its retry.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) nonce: u128,
    pub(crate) epoch: u32,
    pub(crate) last: Option<LastReceipt>,
}

/// The refusal that ended an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// The refused sequence: the one that would have been next.
    pub(crate) sequence: u64,
    pub(crate) why: Refusal,
    pub(crate) version: Option<u64>,
}

/// All producers of the group.
#[derive(Clone, Debug)]
pub(crate) struct Producers {
    /// The id the next producer gets; every id given out is below it.
    pub(crate) next: u64,
    pub(crate) by_id: BTreeMap<ProducerId, Arc<Producer>>,
    by_name: BTreeMap<ProducerName, ProducerId>,
    /// Those without a name, by the nonce of their opening.
    by_nonce: BTreeMap<u128, ProducerId>,
    /// `by_id` in the order of use. A position uses one producer at most.
    by_use: BTreeMap<Position, ProducerId>,
    /// Receipts kept over all producers.
    receipts: u64,
}

impl Producers {
    pub(crate) fn new() -> Producers {
        Producers {
            next: 1,
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
            by_nonce: BTreeMap::new(),
            by_use: BTreeMap::new(),
            receipts: 0,
        }
    }

    /// Receipts kept over all producers.
    pub(crate) fn receipts(&self) -> u64 {
        self.receipts
    }

    /// Takes a producer from a checkpoint. False if it contradicts another.
    pub(crate) fn restore(&mut self, id: ProducerId, producer: Producer) -> bool {
        let fresh_name = match (&producer.name, producer.openings.first()) {
            (Some(name), _) => self.by_name.insert(name.clone(), id).is_none(),
            (None, Some(opening)) => self.by_nonce.insert(opening.nonce, id).is_none(),
            (None, None) => false,
        };
        let fresh_use = self.by_use.insert(producer.used, id).is_none();
        self.receipts += producer.receipts.len();
        self.by_id.insert(id, Arc::new(producer)).is_none() && fresh_name && fresh_use
    }

    /// The kept answer to an opening, if it is a retry.
    pub(crate) fn opened(&self, nonce: u128, name: Option<&ProducerName>) -> Option<Outcome> {
        let id = self.find(nonce, name)?;
        let producer = self.by_id.get(&id)?;
        let opening = producer
            .openings
            .iter()
            .find(|opening| opening.nonce == nonce)?;
        Some(Outcome::ProducerOpened {
            producer: id,
            epoch: opening.epoch,
            last: opening.last,
            duplicate: true,
        })
    }

    fn find(&self, nonce: u128, name: Option<&ProducerName>) -> Option<ProducerId> {
        match name {
            Some(name) => self.by_name.get(name).copied(),
            None => self.by_nonce.get(&nonce).copied(),
        }
    }

    /// Applies an opening.
    pub(crate) fn open(
        &mut self,
        at: Position,
        nonce: u128,
        name: Option<&ProducerName>,
    ) -> Outcome {
        let found = self.find(nonce, name);
        if let Some(id) = found {
            self.touch(at, id);
        }
        if let Some(again) = self.opened(nonce, name) {
            return again;
        }
        match found {
            Some(id) => self.reopen(id, nonce),
            None => self.grant(at, nonce, name.cloned()),
        }
    }

    fn grant(&mut self, at: Position, nonce: u128, name: Option<ProducerName>) -> Outcome {
        let id = ProducerId(self.next);
        self.next += 1;
        let producer = Producer {
            name,
            epoch: 1,
            used: at,
            last_log: None,
            openings: vec![Opening {
                nonce,
                epoch: 1,
                last: None,
            }],
            ended: None,
            last: None,
            receipts: Receipts::default(),
        };
        let fresh = self.restore(id, producer);
        debug_assert!(
            fresh,
            "a new id under a new name or nonce, at a new position"
        );
        Outcome::ProducerOpened {
            producer: id,
            epoch: 1,
            last: None,
            duplicate: false,
        }
    }

    fn reopen(&mut self, id: ProducerId, nonce: u128) -> Outcome {
        let producer = Arc::make_mut(self.by_id.get_mut(&id).expect("found by its name just now"));
        let Some(epoch) = producer.epoch.checked_add(1) else {
            return Outcome::Refused {
                why: Refusal::Invalid(Invalidity::EpochsSpent),
                version: None,
            };
        };
        if let Some(receipt) = producer.receipts.last() {
            let sequence = producer.receipts.next() - 1;
            producer.last = Some(LastReceipt {
                epoch: producer.epoch,
                sequence,
                receipt,
            });
        }
        self.receipts -= producer.receipts.len();
        producer.receipts = Receipts::default();
        producer.ended = None;
        producer.epoch = epoch;
        if producer.openings.len() >= OPENINGS_MAX {
            producer.openings.remove(0);
        }
        producer.openings.push(Opening {
            nonce,
            epoch,
            last: producer.last,
        });
        Outcome::ProducerOpened {
            producer: id,
            epoch,
            last: producer.last,
            duplicate: false,
        }
    }

    /// What the numbering alone says about a command: an answer, or nothing if
    /// it is the producer's next one. Changes no state.
    pub(crate) fn settled(&self, origin: &Origin, body: &Body) -> Option<Outcome> {
        let refused = |why| Some(Outcome::Refused { why, version: None });
        let Some(producer) = self.by_id.get(&origin.producer) else {
            let given_out = origin.producer.0 != 0 && origin.producer.0 < self.next;
            return refused(match given_out {
                true => Refusal::DedupExpired,
                false => Refusal::Invalid(Invalidity::UnknownProducer),
            });
        };
        if origin.epoch < producer.epoch {
            return refused(Refusal::Fenced {
                epoch: producer.epoch,
            });
        }
        if origin.epoch > producer.epoch {
            return refused(Refusal::Invalid(Invalidity::EpochAhead));
        }
        let next = producer.receipts.next();
        if origin.sequence < next {
            return match producer.receipts.get(origin.sequence) {
                Some(receipt) if answers(&receipt, body) => Some(receipt.outcome(true)),
                Some(_) => refused(Refusal::Invalid(Invalidity::SequenceReused)),
                None => refused(Refusal::DedupExpired),
            };
        }
        if let Some(ended) = producer.ended {
            // A sequence behind the refused one looked at no log, so it carries
            // no version: it would state an observation that nobody made.
            let version = if origin.sequence == ended.sequence {
                ended.version
            } else {
                None
            };
            return Some(Outcome::Refused {
                why: ended.why,
                version,
            });
        }
        (origin.sequence > next).then_some(Outcome::Refused {
            why: Refusal::SequenceGap { expected: next },
            version: None,
        })
    }

    /// Notes that the producer, if known under that epoch, did something.
    pub(crate) fn touch_origin(&mut self, at: Position, origin: &Origin) {
        if self
            .by_id
            .get(&origin.producer)
            .is_some_and(|producer| producer.epoch == origin.epoch)
        {
            self.touch(at, origin.producer);
        }
    }

    fn touch(&mut self, at: Position, id: ProducerId) {
        if let Some(producer) = self.by_id.get_mut(&id) {
            let producer = Arc::make_mut(producer);
            self.by_use.remove(&producer.used);
            producer.used = at;
            self.by_use.insert(at, id);
        }
    }

    /// Keeps the receipt of the next sequence. Gives the log the producer
    /// wrote to before.
    pub(crate) fn keep(&mut self, id: ProducerId, receipt: Receipt) -> Option<LogId> {
        let producer = Arc::make_mut(self.by_id.get_mut(&id).expect("settled() found it"));
        let before = producer.receipts.len();
        producer.receipts.push(receipt);
        self.receipts += producer.receipts.len() - before;
        producer.last_log.replace(receipt.log())
    }

    /// Ends the producer's epoch at its next sequence.
    pub(crate) fn end_epoch(&mut self, id: ProducerId, why: Refusal, version: Option<u64>) {
        let producer = Arc::make_mut(self.by_id.get_mut(&id).expect("settled() found it"));
        producer.ended = Some(Ended {
            sequence: producer.receipts.next(),
            why,
            version,
        });
    }

    /// Forgets the least recently used producer if there are too many of them
    /// or of receipts, but never the last one. Gives it, to be called again.
    pub(crate) fn evict(&mut self) -> Option<Arc<Producer>> {
        let over = self.by_id.len() > PRODUCERS_MAX || self.receipts > RECEIPTS_MAX;
        if !over || self.by_id.len() <= 1 {
            return None;
        }
        let (_, id) = self.by_use.pop_first()?;
        let producer = self.by_id.remove(&id)?;
        match &producer.name {
            Some(name) => self.by_name.remove(name),
            None => self.by_nonce.remove(&producer.openings[0].nonce),
        };
        self.receipts -= producer.receipts.len();
        Some(producer)
    }
}

/// Whether the receipt can be the answer to that command. A sequence used for
/// two commands is a bug of the client; it must not pass one's receipt off as
/// the other's.
fn answers(receipt: &Receipt, body: &Body) -> bool {
    match (receipt, body) {
        (
            Receipt::Appended { log, records, .. },
            Body::Append {
                log: to,
                records: sent,
                ..
            },
        ) => log == to && records == sent,
        (Receipt::Trimmed { log, .. }, Body::Trim { log: of, .. }) => log == of,
        (Receipt::Sealed { log, .. }, Body::Seal { log: of }) => log == of,
        (Receipt::Created { .. }, Body::CreateLog { .. }) => true,
        (Receipt::Altered { log, .. }, Body::AlterLog { log: of, .. })
        | (Receipt::Deleted { log, .. }, Body::DeleteLog { log: of })
        | (Receipt::FenceSet { log, .. }, Body::Fence { log: of, .. })
        | (Receipt::CursorDeleted { log, .. }, Body::DeleteCursor { log: of, .. }) => log == of,
        (
            Receipt::CursorSet { log, at, .. },
            Body::SetCursor {
                log: of, at: to, ..
            },
        ) => log == of && at == to,
        _ => false,
    }
}

/// What a command's numbering or nonce says about it, if anything.
pub(crate) fn settled(producers: &Producers, command: &Command) -> Option<Outcome> {
    let refused = |why| {
        Some(Outcome::Refused {
            why: Refusal::Invalid(why),
            version: None,
        })
    };
    match (&command.body, &command.origin) {
        (Body::OpenProducer { nonce, name }, None) => producers.opened(*nonce, name.as_ref()),
        (Body::OpenProducer { .. } | Body::Retain { .. }, Some(_)) => refused(Invalidity::Numbered),
        (Body::Retain { .. }, None) => None,
        (_, None) => refused(Invalidity::NotNumbered),
        (body, Some(origin)) => producers.settled(origin, body),
    }
}
