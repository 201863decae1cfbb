//! What the core costs: an append from its event to its receipt, and a look-up in the index.
//!
//! `cargo bench -p paxlog-node`

mod alone;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use paxlog_node::{Event, ReaderId};
use paxlog_wire::client::{LogRef, ReadFrom, ReadRequest};

use alone::{Alone, LOG, batch_of};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// So many appends of 1 KiB in one turn: admitted, proposed as one value, persisted, durable, chosen, applied, answered. The
/// core is its group's only replica, so no message is sent.
#[divan::bench(args = [1, 16, 256], min_time = 0.2)]
fn append_1_kib(bencher: Bencher<'_, '_>, appends: usize) {
    append(bencher, appends, 1 << 10);
}

/// The same with 64 KiB.
#[divan::bench(args = [1, 16], min_time = 0.2)]
fn append_64_kib(bencher: Bencher<'_, '_>, appends: usize) {
    append(bencher, appends, 64 << 10);
}

fn append(bencher: Bencher<'_, '_>, appends: usize, payload_bytes: usize) {
    let mut alone = Alone::new();
    // Shared already, as what came off the network is.
    let batch = batch_of(payload_bytes);
    let _other_holder = batch.clone();
    // The events are made within: a request is numbered when it is sent.
    let mut events = Vec::with_capacity(appends);
    bencher.counter(ItemsCount::new(appends)).bench_local(|| {
        for _ in 0..appends {
            let event = alone.append(batch.clone());
            events.push(event);
        }
        alone.turn(events.drain(..));
    });
    assert!(alone.done() > 0, "receipts came");
}

/// A read of one batch that the index has in memory, from the request to the effect; among so many batches.
#[divan::bench(args = [1_000, 100_000], min_time = 0.2)]
fn index_lookup(bencher: Bencher<'_, '_>, batches: u64) {
    let mut alone = Alone::new();
    let batch = batch_of(16);
    while alone.done() < batches {
        let events: Vec<_> = (0..100).map(|_| alone.append(batch.clone())).collect();
        alone.turn(events);
    }
    let (mut offset, mut reader) = (0, ReaderId(0));
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        // Far from the last, so that no cache helps.
        offset = (offset + batches / 2 + 7) % batches;
        reader.0 += 1;
        alone.step(Event::Read(reader, one_batch(offset)));
        alone.step(Event::ReaderClosed(reader));
    });
    assert!(alone.done() > batches, "batches were found");
}

fn one_batch(offset: u64) -> ReadRequest {
    ReadRequest {
        deadline_ms: 10_000,
        log: LogRef::Id(LOG),
        from: ReadFrom::Offset(offset),
        records_max: 1,
        bytes_max: 1,
        until_tail: true,
        until_timestamp: 0,
        wait_ms: 0,
        strict: false,
        linearizable: false,
    }
}
