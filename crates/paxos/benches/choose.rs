//! What it costs to choose a value: all that three replicas do, in memory.
//!
//! `cargo bench -p paxlog-paxos`

mod three;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use paxlog_paxos::Value;

use three::Three;

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Bytes of a value.
const BYTES: [usize; 3] = [1 << 10, 64 << 10, 1 << 20];

fn main() {
    divan::main();
}

fn parts(bytes: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![7; bytes])]
}

/// From the proposal to chosen at the leader: one propose, two Accepts, three durable, two acknowledgements.
#[divan::bench(args = BYTES, min_time = 0.1)]
fn propose_to_chosen(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut three = Three::new();
    let value = Value::from_parts(parts(bytes));
    bencher
        .counter(ItemsCount::new(1u32))
        .bench_local(|| three.choose(value.clone()));
}

/// A value made of its parts: its checksum above all.
#[divan::bench(args = BYTES)]
fn value_of_parts(bencher: Bencher<'_, '_>, bytes: usize) {
    let parts = parts(bytes);
    bencher
        .with_inputs(|| parts.clone())
        .bench_local_values(Value::from_parts);
}
