//! Three cores over real write-ahead logs on simulated disks, in one thread and
//! from one seed: messages are lost, delayed and overtaken, replicas lose power
//! at any moment, segments are small, so that `.idx` files, checkpoints and
//! retirement happen all the time.
//!
//! What must hold: every acknowledged append is there once, at its offset, in
//! the order of its sequence, the same on every replica, also after all lost
//! power; what was trimmed stays trimmed; memory and segments stay bounded.
//!
//! Seeds: `PAXLOG_SEEDS=A..B`, by default a few.

mod client;
mod world;

use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_node::{Event, QueryId};
use paxlog_wire::client::{Answer, LogRef, Query};

use crate::client::{LOG, payload};
use crate::world::{Replica, Sim, Stats};

fn run(seed: u64, goal: u64) -> Stats {
    let mut sim = Sim::new(seed, goal);
    sim.until("the load under faults", 600_000, true, |sim| {
        sim.client.next > sim.client.goal
    });
    // All power goes at once, and comes back.
    for i in 0..3 {
        if sim.replicas[i].running.is_some() {
            sim.crash(i);
        }
    }
    sim.loss_percent = 0;
    sim.sync_one_in = 1;
    sim.until("a leader after all healed", 20_000, false, |sim| {
        sim.leader().is_some_and(|leader| {
            sim.replicas[leader]
                .running
                .as_ref()
                .is_some_and(|running| running.node.status().ready)
        })
    });
    // A little more, so that every member says in a durable frame how far it is.
    sim.client.goal += 60;
    sim.until("appends after all healed", 20_000, false, |sim| {
        sim.client.next > sim.client.goal
    });
    let leader = sim.leader().expect("just seen");
    let ask = Query::CheckTail {
        log: LogRef::Name(LOG.into()),
        linearizable: true,
    };
    sim.step(
        leader,
        Event::Query {
            query: QueryId(1),
            deadline_ms: 5_000,
            ask,
        },
    );
    sim.until("a linearizable answer", 10_000, false, |sim| {
        sim.answers.contains_key(&1)
    });
    let Some(Ok(Answer::Tail(tail))) = sim.answers.remove(&1) else {
        panic!("seed {seed}: no tail")
    };
    // Nobody sends anything any more, so all come to the same slot.
    sim.until("all have applied the same", 20_000, false, |sim| {
        let applied: Vec<_> = sim
            .replicas
            .iter()
            .map(|replica| {
                replica
                    .running
                    .as_ref()
                    .map(|running| running.node.applied())
            })
            .collect();
        let tails = |replica: &Replica| {
            replica.running.as_ref().and_then(|running| {
                let state = running.node.state();
                state.describe(state.by_name(LOG)?).map(|log| log.tail.0)
            })
        };
        applied
            .iter()
            .all(|slot| slot.is_some() && *slot == applied[0])
            && sim
                .replicas
                .iter()
                .all(|replica| tails(replica) == Some(tail.offset))
    });
    let digest = |sim: &Sim, i: usize| {
        sim.replicas[i]
            .running
            .as_ref()
            .map(|running| running.node.state().digest())
    };
    assert_eq!(digest(&sim, 0), digest(&sim, 1), "seed {seed}");
    assert_eq!(digest(&sim, 0), digest(&sim, 2), "seed {seed}");
    for i in 0..3 {
        sim.read(i, 1_000);
    }
    sim.until("all reads end", 20_000, false, |sim| sim.ended.len() == 3);
    let trim_point = tail.trim_point;
    let first = sim.reads[&(1, 1_000)].clone();
    for id in 1..=3 {
        let mut read = sim.reads[&(id, 1_000)].clone();
        // The first batch may begin before the trim point.
        read.retain(|(offset, _)| *offset >= trim_point);
        let expected: Vec<_> = first
            .iter()
            .filter(|(offset, _)| *offset >= trim_point)
            .cloned()
            .collect();
        assert_eq!(
            read, expected,
            "seed {seed}: replica {id} reads something else"
        );
        assert_eq!(sim.ended[&(id, 1_000)], tail.offset);
        let offsets: Vec<u64> = read.iter().map(|(offset, _)| *offset).collect();
        assert_eq!(
            offsets,
            (trim_point..tail.offset).collect::<Vec<_>>(),
            "seed {seed}: dense"
        );
    }
    let there: BTreeMap<u64, &Bytes> = first
        .iter()
        .map(|(offset, payload)| (*offset, payload))
        .collect();
    for (sequence, offset) in sim
        .client
        .acked
        .range(..)
        .filter(|(_, offset)| **offset >= trim_point)
    {
        assert_eq!(
            there.get(offset),
            Some(&&payload(*sequence)),
            "seed {seed}: sequence {sequence} at {offset}"
        );
    }
    let offsets: Vec<u64> = sim.client.acked.values().copied().collect();
    assert!(
        offsets.is_sorted_by(|a, b| a < b),
        "seed {seed}: in the order of sequences, each once"
    );
    assert_eq!(
        sim.client.acked.len() as u64,
        tail.offset,
        "seed {seed}: nothing twice, nothing unsent"
    );
    // What was trimmed gives its space back, though nothing is written any more.
    sim.until("the space of what was trimmed", 10_000, false, |sim| {
        let segments = |replica: &Replica| {
            replica
                .running
                .as_ref()
                .map_or(0, |running| running.wal.segments().len())
        };
        sim.replicas
            .iter()
            .all(|replica| segments(replica) < if sim.keep < 100 { 12 } else { 100 })
    });
    sim.stats
}

#[test]
fn what_was_acknowledged_is_there_once_and_in_order_whatever_lost_power() {
    let seeds = std::env::var("PAXLOG_SEEDS").ok();
    let (from, to) = seeds
        .as_deref()
        .and_then(|seeds| seeds.split_once(".."))
        .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        .unwrap_or((0u64, 24));
    let mut total = Stats::default();
    for seed in from..to {
        let stats = run(seed, 1_200);
        total.crashes += stats.crashes;
        total.annotated += stats.annotated;
        total.checkpoints += stats.checkpoints;
        total.retired += stats.retired;
        total.cold += stats.cold;
        total.leader_changes += stats.leader_changes;
        total.duplicates += stats.duplicates;
        total.from_checkpoint += stats.from_checkpoint;
    }
    println!("{total:?}");
    if to - from >= 10 {
        // Else the run was too quiet to prove anything.
        assert!(
            total.crashes > 20 && total.annotated > 20 && total.checkpoints > 20,
            "{total:?}"
        );
        assert!(
            total.retired > 5 && total.from_checkpoint > 20 && total.duplicates > 0,
            "{total:?}"
        );
        assert!(total.cold > 0, "{total:?}");
    }
}
