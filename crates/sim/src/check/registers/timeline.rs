//! What is known of one register, in the order of versions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Dues, Value};
use crate::check::subject::Who;
use crate::check::work::Work;
use crate::history::{Nanos, OpId};

/// The rank right before the command of that version.
pub(super) fn before(version: u64) -> u64 {
    version.saturating_mul(3).saturating_sub(1)
}

/// The rank of the command of that version.
pub(super) fn by(version: u64) -> u64 {
    version.saturating_mul(3)
}

/// The rank of whoever saw the state after the command of that version.
pub(super) fn after(version: u64) -> u64 {
    version.saturating_mul(3).saturating_add(1)
}

/// After how many commands.
fn state(rank: u64) -> u64 {
    rank / 3
}

/// What is known at some rank.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// It held this.
    Is(Value),
    /// It held something else.
    IsNot(Value),
    /// It was set to this.
    Set(Value),
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) rank: u64,
    pub(super) ret: Nanos,
    pub(super) who: Who,
    pub(super) known: Known,
}

/// A command that may have been applied.
#[derive(Clone, Debug)]
pub(super) struct Perhaps {
    pub(super) value: Value,
    /// What it must hold before; none: anything.
    pub(super) expected: Option<Value>,
    pub(super) call: Nanos,
    pub(super) op: OpId,
}

/// What it held last, as far as is known.
struct Held {
    value: Value,
    by: Who,
}

/// One register.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    events: Vec<Event>,
    perhaps: Vec<Perhaps>,
    /// States, the first and the last, in which it held a value; as far as is known.
    spans: BTreeMap<Value, Vec<(u64, u64)>>,
}

impl Timeline {
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn may_be(&mut self, perhaps: Perhaps) {
        self.perhaps.push(perhaps);
    }

    /// In which versions an append under that value can have been applied: none at all, any for all that is known, or
    /// from the first to the last.
    pub(super) fn under(&self, value: &Value) -> Option<Option<(u64, u64)>> {
        if self.perhaps.iter().any(|perhaps| perhaps.value == *value) {
            return Some(None);
        }
        let spans = self.spans.get(value)?;
        let (first, last) = (spans.first()?.0, spans.last()?.1);
        // The command before it left the value there.
        let from = first.saturating_add(1);
        Some(Some((from, last.saturating_add(1))))
    }

    /// Goes through what is known; tells what nobody can have made, who said otherwise before, and who said so.
    pub(super) fn walk(
        &mut self,
        dues: &mut Dues,
        work: &Work,
        mut wrong: impl FnMut(&Value, Who, Who),
    ) {
        work.sort_by_key(&mut self.events, |event| event.rank);
        let mut open = Open::of(&self.perhaps, work);
        // At first nothing is set.
        let mut held = Some(Held {
            value: None,
            by: Who::Settled,
        });
        // When it was known last; when it came to hold what it holds.
        let (mut since, mut began) = (0, 0);
        let mut spans: BTreeMap<Value, Vec<(u64, u64)>> = BTreeMap::new();
        let mut ends = |value: Value, from: u64, to: u64| {
            if from <= to {
                spans.entry(value).or_default().push((from, to));
            }
        };
        for event in &self.events {
            work.step();
            let now = state(event.rank);
            let Some(Held { value, by }) = &held else {
                // Somebody may have changed it meanwhile: it is known again when it is shown or set.
                if let Known::Is(value) | Known::Set(value) = &event.known {
                    held = Some(Held {
                        value: value.clone(),
                        by: event.who,
                    });
                    began = match event.known {
                        Known::Set(_) => now,
                        _ => since,
                    };
                    since = now;
                }
                continue;
            };
            let becomes = match &event.known {
                Known::Set(next) => Some((next.clone(), event.who)),
                Known::Is(shown) if shown == value => None,
                // Between the two there is room for a command that nobody knows of.
                Known::Is(shown) => {
                    let explains = open
                        .take(shown, value, event.ret, work)
                        .filter(|_| since < now);
                    match explains {
                        // Of several that are alike nobody can say which came in when.
                        Some(op) if open.only(shown) => {
                            dues.commands.insert(op, (since.saturating_add(1), now));
                        }
                        Some(_) => {}
                        None => wrong(shown, *by, event.who),
                    }
                    Some((shown.clone(), explains.map_or(event.who, Who::Op)))
                }
                // It may have changed all the same.
                Known::IsNot(other) if other != value => continue,
                Known::IsNot(other) => {
                    let changed = match since < now {
                        true => open.others(other, event.ret, work),
                        false => Vec::new(),
                    };
                    match changed.as_slice() {
                        [] => wrong(other, *by, event.who),
                        [only] if self.perhaps.len() == 1 => {
                            open.used(only);
                            let versions = (since.saturating_add(1), now);
                            dues.commands.insert(only.op, versions);
                            ends(value.clone(), began, now.saturating_sub(1));
                            held = Some(Held {
                                value: only.value.clone(),
                                by: Who::Op(only.op),
                            });
                            (began, since) = (since.saturating_add(1), now);
                            continue;
                        }
                        _ => {}
                    }
                    ends(value.clone(), began, now.saturating_sub(1));
                    held = None;
                    since = now;
                    continue;
                }
            };
            if let Some((next, who)) = becomes {
                ends(value.clone(), began, now.saturating_sub(1));
                began = match event.known {
                    Known::Set(_) => now,
                    _ => since.saturating_add(1),
                };
                held = Some(Held {
                    value: next,
                    by: who,
                });
            }
            since = now;
        }
        if let Some(Held { value, .. }) = held {
            ends(value, began, u64::MAX);
        }
        self.spans = spans;
    }
}

/// A value, and what a command that sets it expects.
type Key = (Value, Option<Value>);

/// Commands that may have been applied and explain nothing yet.
struct Open<'a> {
    /// When they were called, the earliest first.
    by_key: BTreeMap<Key, VecDeque<(Nanos, OpId)>>,
    /// In the order of their calls.
    by_call: Vec<&'a Perhaps>,
    used: BTreeSet<OpId>,
    /// How many there are of each value, those that were taken included.
    alike: BTreeMap<&'a Value, u64>,
}

impl<'a> Open<'a> {
    fn of(perhaps: &'a [Perhaps], work: &Work) -> Open<'a> {
        let mut by_call: Vec<&Perhaps> = perhaps.iter().collect();
        work.sort_by_key(&mut by_call, |perhaps| perhaps.call);
        let mut by_key: BTreeMap<Key, VecDeque<(Nanos, OpId)>> = BTreeMap::new();
        let mut alike = BTreeMap::new();
        for perhaps in perhaps {
            *alike.entry(&perhaps.value).or_default() += 1;
        }
        for perhaps in &by_call {
            by_key
                .entry(key(perhaps))
                .or_default()
                .push_back((perhaps.call, perhaps.op));
        }
        Open {
            by_key,
            by_call,
            used: BTreeSet::new(),
            alike,
        }
    }

    /// Whether no more than one sets it to that.
    fn only(&self, value: &Value) -> bool {
        self.alike.get(value) == Some(&1)
    }

    fn of_value(&self, value: &Value) -> impl Iterator<Item = (&Key, &VecDeque<(Nanos, OpId)>)> {
        self.by_key
            .range((value.clone(), None)..)
            .take_while(move |((of, _), _)| of == value)
    }

    /// One that sets it to that, called by then: the one called first serves best, since it can have come in wherever
    /// a later one can. What it expects stood there, or one of the others may have set it.
    fn take(&mut self, value: &Value, held: &Value, by: Nanos, work: &Work) -> Option<OpId> {
        let mut best: Option<(Nanos, OpId, &Key)> = None;
        for (key, queue) in self.of_value(value) {
            work.step();
            let Some(&(call, op)) = queue.front() else {
                continue;
            };
            let met = match &key.1 {
                None => true,
                Some(expected) => expected == held || self.may_become(expected, by, op),
            };
            if met && call <= by && best.is_none_or(|(first, ..)| call < first) {
                best = Some((call, op, key));
            }
        }
        let (_, op, key) = best?;
        let key = key.clone();
        self.by_key.get_mut(&key)?.pop_front();
        self.used.insert(op);
        Some(op)
    }

    /// Whether another one of those left may set it to that.
    fn may_become(&self, value: &Value, by: Nanos, but: OpId) -> bool {
        self.of_value(value).any(|(_, queue)| {
            let mut left = queue.iter().filter(|(_, op)| *op != but);
            left.next().is_some_and(|(call, _)| *call <= by)
        })
    }

    /// At most two that set it to anything else, called by then.
    fn others(&self, value: &Value, by: Nanos, work: &Work) -> Vec<&'a Perhaps> {
        self.by_call
            .iter()
            .take_while(|perhaps| perhaps.call <= by)
            .filter(|perhaps| {
                work.step();
                perhaps.value != *value && !self.used.contains(&perhaps.op)
            })
            .take(2)
            .copied()
            .collect()
    }

    fn used(&mut self, perhaps: &Perhaps) {
        if let Some(queue) = self.by_key.get_mut(&key(perhaps)) {
            queue.retain(|(_, op)| *op != perhaps.op);
        }
        self.used.insert(perhaps.op);
    }
}

fn key(perhaps: &Perhaps) -> Key {
    (perhaps.value.clone(), perhaps.expected.clone())
}
