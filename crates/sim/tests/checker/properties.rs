//! Random legal histories pass; with a swap, loss, repeat or shift they fail.

use paxlog_sim::check::{Report, check};
use paxlog_sim::history::{
    Consistency, CursorAt, History, Kind, Observed, Outcome, Receipt, Reply, Stored,
};
use proptest::prelude::*;

use crate::generate::{Mix, legal};
use crate::rng::Rng;

fn mix(ops: u64) -> Mix {
    Mix {
        ops,
        spread: 60,
        unknown: 6,
        readers: true,
        trims: true,
        seals: true,
        registers: true,
        versions: true,
        records_max: 3,
    }
}

pub(crate) fn told(report: &Report) -> String {
    report
        .violations
        .iter()
        .map(|violation| format!("{violation}\n"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn legal_histories_pass(seed in any::<u64>(), ops in 1_u64..200, versions in any::<bool>(), spread in 0_u64..200) {
        let history = legal(seed, Mix { versions, spread, ..mix(ops) });
        let report = check(&history);
        prop_assert!(report.clean(), "{}", told(&report));
    }

    #[test]
    fn histories_pass_also_where_nobody_kept_what_was_trimmed(seed in any::<u64>(), ops in 1_u64..200) {
        let mut history = legal(seed, mix(ops));
        history.settled[0].kept.clear();
        let report = check(&history);
        prop_assert!(report.clean(), "{}", told(&report));
        history.complete = false;
        let report = check(&history);
        prop_assert!(report.clean(), "{}", told(&report));
    }

    #[test]
    fn what_is_written_and_read_back_is_judged_alike(seed in any::<u64>(), ops in 1_u64..60) {
        let history = legal(seed, mix(ops));
        let mut file = Vec::new();
        history.write(&mut file).expect("written");
        let back = History::read(&file[..]).expect("read");
        prop_assert_eq!(&back, &history);
        prop_assert_eq!(check(&back), check(&history));
    }

    #[test]
    fn any_change_of_what_the_log_holds_is_seen(seed in any::<u64>(), ops in 5_u64..120) {
        let history = legal(seed, Mix { seals: false, ..mix(ops) });
        let mut rng = Rng::new(seed);
        let promised = acknowledged(&history);
        let settled = &history.settled[0];
        // A record that an acknowledged append promised.
        let mine: Vec<usize> = (0..settled.records.len())
            .filter(|at| promised.contains(&settled.records[*at].offset))
            .collect();
        prop_assume!(!mine.is_empty());
        let at = mine[rng.below(mine.len() as u64) as usize];
        let change = |what: &str, change: &dyn Fn(&mut Vec<Stored>)| {
            let mut changed = history.clone();
            changed.settled[0].replicas.clear();
            let settled = &mut changed.settled[0];
            change(&mut settled.records);
            let from = settled.trim_point;
            for (offset, stored) in (from..).zip(&mut settled.records) {
                stored.offset = offset;
            }
            settled.tail = from + settled.records.len() as u64;
            let report = check(&changed);
            prop_assert!(!report.clean(), "{what} of {at} passed");
            Ok(())
        };
        let other = rng.below(settled.records.len() as u64) as usize;
        change("a loss", &|records| {
            records.remove(at);
        })?;
        change("a repeat", &|records| records.insert(other, records[at].clone()))?;
        change("a change", &|records| records[at].payload = "nobody sent this".into())?;
        if other != at {
            change("a swap", &|records| {
                let payload = records[at].payload.clone();
                records[at].payload = std::mem::replace(&mut records[other].payload, payload);
            })?;
        }
        change("a torn end", &|records| records.truncate(at))?;
    }

    #[test]
    fn any_shift_of_a_receipt_is_seen(seed in any::<u64>(), ops in 5_u64..120) {
        let history = legal(seed, mix(ops));
        let mut rng = Rng::new(seed);
        let receipts: Vec<usize> = (0..history.operations.len())
            .filter(|at| matches!(history.operations[*at].outcome, Outcome::Ok(Reply::Appended(_))))
            .collect();
        let at = receipts[rng.below(receipts.len() as u64) as usize];
        for what in 0..3 {
            let mut changed = history.clone();
            let operation = &mut changed.operations[at];
            operation.again.clear();
            let Outcome::Ok(Reply::Appended(receipt)) = &mut operation.outcome else {
                unreachable!("chosen so");
            };
            match what {
                0 => (receipt.start, receipt.end) = (receipt.start + 1, receipt.end + 1),
                1 => receipt.end += 1,
                _ => receipt.timestamp = receipt.timestamp.map(|time| time + 1_000),
            }
            prop_assert!(!check(&changed).clean(), "{what} of {at} passed");
        }
    }

    #[test]
    fn an_answer_that_comes_too_late_or_too_early_is_seen(seed in any::<u64>(), ops in 5_u64..120, versions in any::<bool>()) {
        let history = legal(seed, Mix { versions, ..mix(ops) });
        let end = 10_000_000;
        let appends = || history.iter().filter_map(|(id, operation)| match operation.outcome {
            Outcome::Ok(Reply::Appended(receipt)) => Some((id, receipt.end)),
            _ => None,
        });
        let (last, top) = appends().max_by_key(|(_, end)| *end).expect("one is acknowledged");
        for (id, operation) in history.iter() {
            let place = id.0 as usize;
            let mut changed = history.clone();
            let stale = match (&operation.kind, &operation.outcome) {
                (Kind::CheckTail { consistency: Consistency::Linearizable, .. }, Outcome::Ok(Reply::Tail(tail))) => tail.offset < top,
                (Kind::Read { consistency: Consistency::Linearizable, .. }, Outcome::Ok(Reply::Read(read))) => read.tail < Some(top),
                (Kind::Append { .. }, Outcome::Ok(Reply::Appended(receipt))) => receipt.end < top,
                _ => continue,
            };
            if stale {
                // Called when the last append was over, though it did not see it.
                changed.operations[place].call = end;
                changed.operations[place].ret = Some(end);
                prop_assert!(!check(&changed).clean(), "{id} is stale");
            }
        }
        // A reader that saw the last append before that was called.
        let readers = history.iter().filter(|(_, operation)| match &operation.outcome {
            Outcome::Ok(Reply::Tail(tail)) => tail.offset >= top,
            Outcome::Ok(Reply::Read(read)) => read.records.iter().any(|stored| stored.offset + 1 == top),
            Outcome::Ok(Reply::Event(paxlog_sim::history::Event::Records(records))) => {
                records.iter().any(|stored| stored.offset + 1 == top)
            }
            _ => false,
        });
        for (id, reader) in readers {
            let mut changed = history.clone();
            let called = reader.ret.expect("it was answered") + 1;
            let operation = &mut changed.operations[last.0 as usize];
            operation.call = called;
            operation.ret = operation.ret.max(Some(called));
            operation.again.clear();
            prop_assert!(!check(&changed).clean(), "{id} saw {last} early");
        }
    }
}

/// Each change to a legal history, that it was made, and how often: so that none of the properties is empty.
#[test]
fn a_swap_a_loss_a_repeat_and_a_shift_are_each_made_and_each_found() {
    let mut made = std::collections::BTreeMap::<&str, u64>::new();
    for seed in 0..300 {
        let history = legal(seed, mix(20 + seed % 60));
        assert!(check(&history).clean());
        for (what, changed) in changed(&history, &mut Rng::new(seed)) {
            *made.entry(what).or_default() += 1;
            let report = check(&changed);
            assert!(!report.clean(), "seed {seed}: {what} passed");
        }
    }
    println!("{made:?}");
    assert_eq!(made.len(), 19, "{made:?}");
    for (what, count) in made {
        assert!(count >= 100, "{what} was made {count} times");
    }
}

/// The history with one change each, none of which any log can have told.
fn changed(history: &History, rng: &mut Rng) -> Vec<(&'static str, History)> {
    let mut all: Vec<(&'static str, History)> = Vec::new();
    let mut with = |what, change: &mut dyn FnMut(&mut History)| {
        let mut changed = history.clone();
        change(&mut changed);
        all.push((what, changed));
    };
    let receipts: Vec<usize> = (0..history.operations.len())
        .filter(|at| {
            let operation = &history.operations[*at];
            matches!(operation.outcome, Outcome::Ok(Reply::Appended(_)))
        })
        .collect();
    let (Some(first), Some(last)) = (receipts.first(), receipts.last()) else {
        unreachable!("the generator acknowledges one");
    };
    let chosen = receipts[rng.below(receipts.len() as u64) as usize];
    // What receipts say.
    with("a receipt is shifted up", &mut |history| {
        shift(history, chosen, 1)
    });
    if receipt_of(history, chosen).start > 0 {
        with("a receipt is shifted down", &mut |history| {
            shift(history, chosen, u64::MAX);
        });
    }
    if first != last {
        with("two receipts are swapped", &mut |history| {
            let one = receipt_of(history, *first);
            let two = receipt_of(history, *last);
            set(history, *first, two);
            set(history, *last, one);
        });
        with("a receipt is another's", &mut |history| {
            let one = receipt_of(history, *first);
            set(history, *last, one);
        });
    }
    // What the log holds.
    let promised = acknowledged(history);
    let settled = &history.settled[0];
    let mine: Vec<usize> = (0..settled.records.len())
        .filter(|at| promised.contains(&settled.records[*at].offset))
        .collect();
    if let Some(at) = mine.get(rng.below(mine.len().max(1) as u64) as usize) {
        let mut records = |what, change: &mut dyn FnMut(&mut Vec<Stored>)| {
            with(what, &mut |history| {
                let settled = &mut history.settled[0];
                settled.replicas.clear();
                change(&mut settled.records);
                for (offset, stored) in (settled.trim_point..).zip(&mut settled.records) {
                    stored.offset = offset;
                }
                settled.tail = settled.trim_point + settled.records.len() as u64;
            });
        };
        records("a record is lost", &mut |records| {
            records.remove(*at);
        });
        records("a record is repeated behind", &mut |records| {
            records.push(records[*at].clone());
        });
        records("a record is repeated before", &mut |records| {
            records.insert(0, records[*at].clone());
        });
        records("all are shifted by a foreign one", &mut |records| {
            records.insert(0, Stored::new(0, "nobody sent this", None));
        });
        let other = rng.below(settled.records.len() as u64) as usize;
        if other != *at {
            records("two records are swapped", &mut |records| {
                let payload = records[*at].payload.clone();
                records[*at].payload = std::mem::replace(&mut records[other].payload, payload);
            });
        }
        let copy = settled.records.clone();
        with("a replica lost a record", &mut |history| {
            let mut copy = copy.clone();
            copy.remove(*at);
            history.settled[0].add_replica(9, copy);
        });
        if other != *at {
            with("a replica swapped two records", &mut |history| {
                let mut copy = copy.clone();
                let payload = copy[*at].payload.clone();
                copy[*at].payload = std::mem::replace(&mut copy[other].payload, payload);
                history.settled[0].add_replica(9, copy);
            });
        }
    }
    // What a reader was given.
    let given = history.operations.iter().position(|operation| {
        matches!(&operation.outcome, Outcome::Ok(Reply::Read(read)) if read.records.len() > 1)
    });
    if let Some(at) = given {
        let mut records = |what, change: &mut dyn FnMut(&mut Vec<Stored>)| {
            with(what, &mut |history| {
                if let Outcome::Ok(Reply::Read(read)) = &mut history.operations[at].outcome {
                    change(&mut read.records);
                }
            });
        };
        records("a reader was not given a record", &mut |records| {
            records.remove(0);
        });
        records(
            "a reader was given two in each other's place",
            &mut |records| {
                let payload = records[0].payload.clone();
                records[0].payload = std::mem::replace(&mut records[1].payload, payload);
            },
        );
    }
    of_registers(history, chosen, &mut all);
    all
}

/// The same of fences, conditions and cursors; `append` was acknowledged.
fn of_registers(history: &History, append: usize, all: &mut Vec<(&'static str, History)>) {
    const NOWHERE: u64 = 9_999;
    let mut with =
        |what, at: Option<usize>, change: &dyn Fn(&mut paxlog_sim::history::Operation)| {
            if let Some(at) = at {
                let mut changed = history.clone();
                change(&mut changed.operations[at]);
                all.push((what, changed));
            }
        };
    let find = |is: &dyn Fn(&Kind, &Outcome) -> bool| {
        let mut operations = history.operations.iter();
        operations.position(|operation| is(&operation.kind, &operation.outcome))
    };
    let refused = |code: &str| find(&|_, outcome| refusal(outcome).is_some_and(|is| is == code));
    with(
        "an append is taken under nobody's token",
        Some(append),
        &|operation| {
            if let Kind::Append { fence, .. } = &mut operation.kind {
                *fence = Some("nobody's".into());
            }
        },
    );
    let conditional = find(&|kind, outcome| {
        matches!(
            kind,
            Kind::Append {
                if_tail: Some(_),
                ..
            }
        ) && matches!(outcome, Outcome::Ok(_))
    });
    with("a condition does not hold", conditional, &|operation| {
        if let Kind::Append {
            if_tail: Some(tail),
            ..
        } = &mut operation.kind
        {
            *tail += 1;
        }
    });
    let asked = find(&|_, outcome| matches!(outcome, Outcome::Ok(Reply::Cursor { .. })));
    with("a cursor stands where nobody set it", asked, &|operation| {
        if let Outcome::Ok(Reply::Cursor { at, .. }) = &mut operation.outcome {
            *at = CursorAt::At(NOWHERE);
        }
    });
    with(
        "a compare-and-set that failed is done",
        refused("CursorMismatch"),
        &|operation| {
            if let Outcome::NotApplied {
                seen: Some(seen), ..
            } = operation.outcome
            {
                operation.outcome = Outcome::Ok(Reply::Changed {
                    version: seen.version.map(|version| version + 1),
                    duplicate: false,
                });
            }
        },
    );
    with(
        "a tail that never was is no match",
        refused("TailMismatch"),
        &|operation| {
            if let Outcome::NotApplied {
                seen: Some(seen), ..
            } = &mut operation.outcome
            {
                seen.tail = Some(NOWHERE);
            }
        },
    );
    // Right behind the append, under the same token.
    let receipt = receipt_of(history, append);
    let mut changed = history.clone();
    let mut refused = changed.operations[append].clone();
    refused.again.clear();
    if let Kind::Append { records, .. } = &mut refused.kind {
        *records = vec!["refused".into()];
    }
    refused.outcome = Outcome::NotApplied {
        code: "Fenced".into(),
        seen: Some(Observed {
            version: receipt.version,
            ..Observed::default()
        }),
    };
    changed.operations.push(refused);
    all.push(("a fence refuses whoever carries it", changed));
}

fn refusal(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::NotApplied {
            code,
            seen: Some(_),
        } => Some(code),
        _ => None,
    }
}

fn receipt_of(history: &History, at: usize) -> Receipt {
    match history.operations[at].outcome {
        Outcome::Ok(Reply::Appended(receipt)) => receipt,
        _ => unreachable!("chosen so"),
    }
}

fn set(history: &mut History, at: usize, receipt: Receipt) {
    history.operations[at].outcome = Outcome::Ok(Reply::Appended(receipt));
    history.operations[at].again.clear();
}

fn shift(history: &mut History, at: usize, by: u64) {
    let mut receipt = receipt_of(history, at);
    receipt.start = receipt.start.wrapping_add(by);
    receipt.end = receipt.end.wrapping_add(by);
    set(history, at, receipt);
}

fn acknowledged(history: &History) -> std::collections::BTreeSet<u64> {
    history
        .operations
        .iter()
        .filter_map(|operation| match operation.outcome {
            Outcome::Ok(Reply::Appended(receipt)) => Some(receipt.start..receipt.end),
            _ => None,
        })
        .flatten()
        .collect()
}
