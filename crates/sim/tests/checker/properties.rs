//! Random legal histories pass; with a swap, loss, repeat or shift they fail.

use paxlog_sim::check::{Report, check};
use paxlog_sim::history::{Consistency, History, Kind, Outcome, Reply, Stored};
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
