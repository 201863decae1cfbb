//! What the log holds at each offset, and who says so.

use std::cell::OnceCell;

use super::findings::Findings;
use super::subject::{Subject, Who, is_foreign, receipt};
use super::violation::Violation;
use super::work::Work;
use crate::history::{Event, Kind, Operation, Payload, Reply, Stored};

/// By what payloads are told apart.
pub(super) type Key = (u64, u32);

/// One record of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'h> {
    pub(super) offset: u64,
    pub(super) key: Key,
    pub(super) payload: &'h Payload,
    pub(super) timestamp: Option<u64>,
    pub(super) by: Who,
}

/// The log as everybody together knows it: whole from its trim point on; below that, what a scribe kept, what receipts
/// promised and what readers were given.
pub(super) struct Contents<'h> {
    /// By offset, one an offset.
    cells: Vec<Cell<'h>>,
    /// What all of them hold, in order; only made when something is wrong already.
    keys: OnceCell<Vec<Key>>,
}

impl<'h> Contents<'h> {
    pub(super) fn gather(
        subject: &Subject<'h>,
        findings: &mut Findings<'_>,
        work: &Work,
    ) -> Contents<'h> {
        let settled = subject.settled;
        let mut expected = settled.trim_point;
        for stored in &settled.records {
            work.step();
            if stored.offset != expected {
                not_dense(findings, expected, stored.offset);
            }
            expected = stored.offset.saturating_add(1);
        }
        if expected != settled.tail.max(settled.trim_point) {
            not_dense(findings, expected, settled.tail);
        }
        for two in settled.kept.windows(2) {
            if two[1].offset <= two[0].offset {
                not_dense(findings, two[0].offset.saturating_add(1), two[1].offset);
            }
        }
        let mut contents = Contents {
            cells: Vec::new(),
            keys: OnceCell::new(),
        };
        let sure = settled.records.iter().chain(&settled.kept);
        contents.add(
            sure.map(|stored| cell(stored, Who::Settled)),
            work,
            |_, _| {},
        );
        // Below the trim point, where nothing better is known.
        let below = |offset: &u64| *offset < settled.trim_point;
        let promised = subject.ops.iter().flat_map(|(id, operation)| {
            let receipt = receipt(operation)
                .map(|(_, receipt)| receipt)
                .filter(|_| !is_foreign(operation));
            let records = match &operation.kind {
                Kind::Append { records, .. } => records.as_slice(),
                _ => &[],
            };
            receipt.into_iter().flat_map(move |receipt| {
                (receipt.start..receipt.end)
                    .zip(records)
                    .map(move |(offset, payload)| Cell {
                        offset,
                        key: payload.key(),
                        payload,
                        timestamp: receipt.timestamp,
                        by: Who::Op(*id),
                    })
            })
        });
        let promised = promised.filter(|cell| below(&cell.offset));
        contents.add(promised, work, |one, two| {
            findings.add(Violation::SamePlace {
                log: findings.log(),
                offset: one.offset,
                one: findings.witness(one.by),
                two: findings.witness(two.by),
            });
        });
        let read = subject.ops.iter().flat_map(|(id, operation)| {
            given(operation)
                .iter()
                .map(move |stored| cell(stored, Who::Op(*id)))
        });
        contents.add(read.filter(|cell| below(&cell.offset)), work, |_, _| {});
        contents
    }

    /// Adds what is not known yet; of two that contradict each other, the first. What is left out is held against
    /// the log where its source is judged.
    fn add(
        &mut self,
        cells: impl Iterator<Item = Cell<'h>>,
        work: &Work,
        mut contradict: impl FnMut(&Cell<'h>, &Cell<'h>),
    ) {
        let mut fresh: Vec<Cell<'h>> = cells
            .filter(|cell| self.get(cell.offset, work).is_none())
            .collect();
        work.sort_by_key(&mut fresh, |cell| cell.offset);
        for two in fresh.windows(2) {
            if two[0].offset == two[1].offset && two[0].key != two[1].key {
                contradict(&two[0], &two[1]);
            }
        }
        fresh.dedup_by_key(|cell| cell.offset);
        self.cells.extend(fresh);
        work.sort_by_key(&mut self.cells, |cell| cell.offset);
    }

    pub(super) fn get(&self, offset: u64, work: &Work) -> Option<&Cell<'h>> {
        // Nearly always the log is dense: then its place follows from the first.
        let first = self.cells.first()?.offset;
        let guess = usize::try_from(offset.checked_sub(first)?).ok()?;
        work.step();
        if let Some(cell) = self.cells.get(guess)
            && cell.offset == offset
        {
            return Some(cell);
        }
        let place = work.find_by(&self.cells, |cell| cell.offset.cmp(&offset))?;
        Some(&self.cells[place])
    }

    /// Whether the log holds that payload anywhere.
    pub(super) fn holds(&self, key: Key, work: &Work) -> bool {
        let keys = self.keys.get_or_init(|| {
            let mut keys: Vec<Key> = self.cells.iter().map(|cell| cell.key).collect();
            work.sort_by_key(&mut keys, |key| *key);
            keys
        });
        work.find_by(keys, |held| held.cmp(&key)).is_some()
    }

    pub(super) fn cells(&self) -> &[Cell<'h>] {
        &self.cells
    }
}

fn cell(stored: &Stored, by: Who) -> Cell<'_> {
    Cell {
        offset: stored.offset,
        key: stored.payload.key(),
        payload: &stored.payload,
        timestamp: stored.timestamp,
        by,
    }
}

fn not_dense(findings: &mut Findings<'_>, expected: u64, found: u64) {
    findings.add(Violation::NotDense {
        log: findings.log(),
        expected,
        found,
        by: findings.witness(Who::Settled),
    });
}

/// The records that an operation was given.
pub(super) fn given(operation: &Operation) -> &[Stored] {
    match super::subject::answer(operation) {
        Some((_, Reply::Read(read))) => &read.records,
        Some((_, Reply::Event(Event::Records(records)))) => records,
        _ => &[],
    }
}

/// Which append each payload belongs to.
pub(super) struct Payloads {
    /// By key: the append's place among the operations of the log, and the record's place in it.
    owners: Vec<(Key, usize, u64)>,
}

impl Payloads {
    pub(super) fn of(subject: &Subject<'_>, findings: &mut Findings<'_>, work: &Work) -> Payloads {
        let mut owners: Vec<(Key, usize, u64)> = Vec::new();
        for (place, (_, operation)) in subject.ops.iter().enumerate() {
            if let Kind::Append { records, .. } = &operation.kind {
                owners.extend(
                    (0..)
                        .zip(records)
                        .map(|(part, payload)| (payload.key(), place, part)),
                );
            }
        }
        work.sort_by_key(&mut owners, |owner| *owner);
        for two in owners.windows(2) {
            if two[0].0 == two[1].0 {
                let (one, other) = (subject.ops[two[0].1], subject.ops[two[1].1]);
                let payload = match &one.1.kind {
                    Kind::Append { records, .. } => records[two[0].2 as usize].to_string(),
                    _ => String::new(),
                };
                findings.add(Violation::PayloadRepeated {
                    log: findings.log(),
                    payload,
                    one: findings.witness(Who::Op(one.0)),
                    two: findings.witness(Who::Op(other.0)),
                });
            }
        }
        Payloads { owners }
    }

    /// The append's place among the operations, and the record's place in it.
    pub(super) fn owner(&self, key: Key, work: &Work) -> Option<(usize, u64)> {
        let at = work.find_by(&self.owners, |owner| owner.0.cmp(&key))?;
        Some((self.owners[at].1, self.owners[at].2))
    }
}
