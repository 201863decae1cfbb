//! How often an append allocates, stage by stage, as a table.
//!
//! `cargo bench -p paxlog-store`
//!
//! Counted over all threads, so the write-ahead log's own are in it. A *turn* is what the core takes at once: its appends
//! become one value, so what a stage does once a value is shared by them.

#[path = "../../node/benches/alone/mod.rs"]
mod alone;
#[path = "../../paxos/benches/three/mod.rs"]
mod three;

use std::alloc::System;
use std::sync::Arc;

use bytes::Bytes;
use paxlog_paxos::{
    Accept, Ballot, ClusterId, ConfigNumber, Envelope, GroupId, Incarnation, Message, ReplicaId,
    Slot, Value,
};
use paxlog_wal::{Disk, FrameMeta, Identity, Options, RealDisk, Wal, format};
use paxlog_wire::batch::{BatchBuilder, Record};
use paxlog_wire::client::{
    CommandBody, CommandOutcome, CommandReply, CommandRequest, Durability, Origin, Receipt,
};
use paxlog_wire::replica::decode_envelope;
use paxlog_wire::{Flags, Frame, FrameDecoder, FrameEncoder, FrameLimits, decode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use alone::{Alone, batch_of};
use three::Three;

#[global_allocator]
static ALLOCATIONS: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Appends in a turn.
const TURNS: [usize; 3] = [1, 16, 256];
const PAYLOAD_BYTES: usize = 1 << 10;
/// What one datagram carries over loopback, about.
const CHUNK_BYTES: usize = 6_450;
const ID: Identity = Identity {
    cluster: 1,
    replica: 1,
    wal_id: 1,
};

fn main() {
    // Without `--bench` it is run as a test.
    let rounds = match std::env::args().any(|arg| arg == "--bench") {
        true => 2_000,
        false => 2,
    };
    println!("allocations (and bytes allocated) for each append of 1 KiB, by appends in a turn");
    print!("{:<52}", "");
    for turn in TURNS {
        print!("{turn:>18}");
    }
    println!();
    for (what, stage) in STAGES {
        print!("{what:<52}");
        for turn in TURNS {
            let mut once = stage(turn);
            for _ in 0..rounds / 10 + 1 {
                once();
            }
            let region = Region::new(ALLOCATIONS);
            for _ in 0..rounds {
                once();
            }
            let change = region.change();
            let appends = (rounds * turn) as f64;
            // To grow is to allocate again.
            let count = (change.allocations + change.reallocations) as f64 / appends;
            let bytes = change.bytes_allocated as f64 / appends;
            print!("{:>18}", format!("{count:.2} ({bytes:.0})"));
        }
        println!();
    }
}

/// What happens to a turn's appends at one place; made for so many appends, and called once a turn.
type Stage = fn(usize) -> Box<dyn FnMut()>;

const STAGES: [(&str, Stage); 9] = [
    ("client: batch built", build),
    ("client: request encoded", encode_requests),
    ("leader: request decoded", decode_requests),
    ("core of a group of one: from event to reply", core),
    ("Paxos, three replicas: proposed to chosen", choose),
    ("leader: Accept encoded, for one follower", encode_accept),
    ("follower: Accept decoded", decode_accept),
    ("write-ahead log: from append to durable", log),
    ("leader: receipt encoded", encode_receipts),
];

fn build(appends: usize) -> Box<dyn FnMut()> {
    let record = Record::new(vec![7; PAYLOAD_BYTES]);
    Box::new(move || {
        for _ in 0..appends {
            let mut builder = BatchBuilder::with_capacity(record.encoded_len());
            builder.push(&record).expect("it fits");
            std::hint::black_box(builder.finish().expect("one record").into_parts());
        }
    })
}

fn request() -> CommandRequest {
    CommandRequest {
        request: 4,
        deadline_ms: 10_000,
        command: CommandBody::Append {
            origin: Origin {
                producer: 1,
                epoch: 2,
                sequence: 3,
            },
            log: 5,
            if_tail: None,
            fence: None,
        },
    }
}

fn encode_requests(appends: usize) -> Box<dyn FnMut()> {
    let (request, batch) = (request(), batch_of(PAYLOAD_BYTES));
    encode(move |encoder| {
        for _ in 0..appends {
            encoder
                .push_with(&request, Flags::NONE, &batch)
                .expect("small");
        }
    })
}

fn decode_requests(appends: usize) -> Box<dyn FnMut()> {
    let (request, batch) = (request(), batch_of(PAYLOAD_BYTES));
    let fill = |encoder: &mut FrameEncoder| {
        for _ in 0..appends {
            encoder
                .push_with(&request, Flags::NONE, &batch)
                .expect("small");
        }
    };
    take_apart(fill, |frame| {
        let request: CommandRequest = decode(&frame).expect("ours");
        drop((request, frame.body));
    })
}

fn core(appends: usize) -> Box<dyn FnMut()> {
    let (mut alone, batch) = (Alone::new(), parts());
    let mut events = Vec::new();
    Box::new(move || {
        for _ in 0..appends {
            // The parts' list comes with the frame, and is counted there.
            let event = alone.append(batch.clone());
            events.push(event);
        }
        let before = alone.done();
        alone.turn(events.drain(..));
        assert_eq!(alone.done() - before, appends as u64);
    })
}

fn choose(appends: usize) -> Box<dyn FnMut()> {
    let (mut three, value) = (Three::new(), value_of(appends));
    Box::new(move || {
        three.choose(value.clone());
    })
}

fn encode_accept(appends: usize) -> Box<dyn FnMut()> {
    let accept = accept(appends);
    encode(move |encoder| encoder.push_envelope(&accept).expect("small"))
}

fn decode_accept(appends: usize) -> Box<dyn FnMut()> {
    let accept = accept(appends);
    take_apart(
        |encoder| encoder.push_envelope(&accept).expect("small"),
        |frame| drop(decode_envelope(frame).expect("ours")),
    )
}

/// One frame a turn, since a turn's appends are one value.
fn log(appends: usize) -> Box<dyn FnMut()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target directory");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(dir.path()).expect("it was made"));
    format(&*disk, ID).expect("an empty directory");
    let (wal, _) = Wal::open(disk, Options::new(ID)).expect("a formatted directory");
    let value = value_of(appends);
    let mut retired = wal.tail().seq();
    Box::new(move || {
        let lsn = wal
            .append(FrameMeta::data(0, 0, 0), value.parts())
            .expect("the log is well");
        wal.wait_durable(lsn).expect("the log is well");
        if lsn.seq() >= retired + 3 {
            wal.retire_below(lsn.seq() - 1).expect("the log is well");
            retired = lsn.seq() - 1;
        }
        let _kept_till_the_end = &dir;
    })
}

fn encode_receipts(appends: usize) -> Box<dyn FnMut()> {
    let reply = CommandReply {
        request: 4,
        result: Ok(CommandOutcome::Appended(Receipt {
            log: 5,
            start: 10,
            end: 11,
            timestamp: 12,
            tail: 11,
            version: 13,
            durability: Durability::MAJORITY,
            duplicate: false,
        })),
    };
    encode(move |encoder| {
        for _ in 0..appends {
            encoder.push(&reply).expect("small");
        }
    })
}

fn encode(fill: impl Fn(&mut FrameEncoder) + 'static) -> Box<dyn FnMut()> {
    let (mut encoder, mut chunks) = (FrameEncoder::new(), Vec::new());
    Box::new(move || {
        fill(&mut encoder);
        chunks.clear();
        encoder.take_into(&mut chunks);
    })
}

/// Takes frames apart that come in pieces as datagrams bring them.
fn take_apart(
    fill: impl FnOnce(&mut FrameEncoder),
    read: impl Fn(Frame) + 'static,
) -> Box<dyn FnMut()> {
    let mut encoder = FrameEncoder::new();
    fill(&mut encoder);
    let whole = Bytes::from(encoder.take().concat());
    let pieces: Vec<Bytes> = (0..whole.len())
        .step_by(CHUNK_BYTES)
        .map(|at| whole.slice(at..whole.len().min(at + CHUNK_BYTES)))
        .collect();
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    Box::new(move || {
        for piece in &pieces {
            decoder.push(piece.clone());
        }
        while let Some(frame) = decoder.next_frame().expect("ours") {
            read(frame);
        }
    })
}

/// A batch that is shared already, as what came off the network is.
fn parts() -> Vec<Bytes> {
    let parts = batch_of(PAYLOAD_BYTES);
    drop(parts.clone());
    parts
}

/// As the core makes it: a front with the commands, and the batches behind it.
fn value_of(appends: usize) -> Value {
    let mut all = vec![Bytes::from(vec![1; 24 + 44 * appends])];
    for _ in 0..appends {
        all.extend(parts());
    }
    Value::from_parts(all)
}

fn accept(appends: usize) -> Envelope {
    Envelope {
        cluster: ClusterId(1),
        group: GroupId(2),
        config: ConfigNumber(3),
        from: ReplicaId(1),
        incarnation: Incarnation(4),
        message: Message::Accept(Accept {
            ballot: Ballot::new(1, ReplicaId(1)),
            first: Slot(1),
            free: Slot(1),
            slot: Slot(9),
            chosen: Slot(8),
            value: value_of(appends),
        }),
    }
}
