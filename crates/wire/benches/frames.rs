//! What frames cost to make and to take apart, and what they allocate.
//!
//! `cargo bench -p paxlog-wire`

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{AllocProfiler, Bencher, black_box};
use paxlog_paxos::{
    Accept, Accepted, Ballot, ClusterId, ConfigNumber, Envelope, GroupId, Incarnation, Message,
    ReplicaId, Slot, Value,
};
use paxlog_wire::batch::{self, BatchBuilder, Record};
use paxlog_wire::client::{
    CommandBody, CommandOutcome, CommandReply, CommandRequest, Durability, Origin, Receipt,
};
use paxlog_wire::replica::decode_envelope;
use paxlog_wire::{Flags, FrameDecoder, FrameEncoder, FrameLimits, decode, parts};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Records of 1 KiB in a batch.
const RECORDS: [usize; 2] = [1, 64];
/// Frames that come or leave together under load.
const TOGETHER: usize = 64;
/// What one datagram carries, about: as QUIC over loopback, and as over Ethernet.
const CHUNK_BYTES: [usize; 2] = [6_450, 1_400];

fn main() {
    divan::main();
}

fn batch_of(records: usize) -> Vec<Bytes> {
    let record = Record::new(vec![7u8; 1_024]);
    let mut builder = BatchBuilder::with_capacity(records * record.encoded_len());
    for _ in 0..records {
        builder.push(&record).expect("it fits");
    }
    builder.finish().expect("not empty").into_parts()
}

fn append() -> CommandRequest {
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

fn receipt() -> CommandReply {
    CommandReply {
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
    }
}

fn envelope(message: Message) -> Envelope {
    Envelope {
        cluster: ClusterId(1),
        group: GroupId(2),
        config: ConfigNumber(3),
        from: ReplicaId(1),
        incarnation: Incarnation(4),
        message,
    }
}

fn accept(records: usize) -> Envelope {
    envelope(Message::Accept(Accept {
        ballot: Ballot::new(1, ReplicaId(1)),
        first: Slot(1),
        free: Slot(1),
        slot: Slot(9),
        chosen: Slot(8),
        value: Value::from_parts(batch_of(records)),
    }))
}

fn accepted() -> Envelope {
    envelope(Message::Accepted(Accepted {
        ballot: Ballot::new(1, ReplicaId(1)),
        life: 1,
        upto: Slot(9),
        received: Slot(9),
    }))
}

/// A frame in pieces as they come out of datagrams.
fn cut(fill: impl FnOnce(&mut FrameEncoder), chunk_bytes: usize) -> Vec<Bytes> {
    let mut encoder = FrameEncoder::new();
    fill(&mut encoder);
    let whole = Bytes::from(encoder.take().concat());
    (0..whole.len())
        .step_by(chunk_bytes)
        .map(|at| whole.slice(at..whole.len().min(at + chunk_bytes)))
        .collect()
}

/// Makes the same frame again and again on one stream.
fn encode(bencher: Bencher<'_, '_>, push: impl Fn(&mut FrameEncoder)) {
    let (mut encoder, mut chunks) = (FrameEncoder::new(), Vec::new());
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        push(&mut encoder);
        chunks.clear();
        encoder.take_into(&mut chunks);
    });
}

/// Takes the same frame apart again and again on one stream.
fn take_apart<T>(
    bencher: Bencher<'_, '_>,
    pieces: &[Bytes],
    read: impl Fn(paxlog_wire::Frame) -> T,
) {
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
        for piece in pieces {
            decoder.push(piece.clone());
        }
        let frame = decoder.next_frame().expect("ours").expect("whole");
        read(frame)
    });
}

/// Takes many frames apart that came together.
fn take_all_apart(bencher: Bencher<'_, '_>, pieces: &[Bytes], read: impl Fn(paxlog_wire::Frame)) {
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    bencher.counter(ItemsCount::new(TOGETHER)).bench_local(|| {
        for piece in pieces {
            decoder.push(piece.clone());
        }
        while let Some(frame) = decoder.next_frame().expect("ours") {
            read(frame);
        }
    });
}

/// The checksum alone: what every check of a batch costs at least.
#[divan::bench(args = RECORDS)]
fn batch_crc(bencher: Bencher<'_, '_>, records: usize) {
    let batch = batch_of(records);
    bencher
        .counter(BytesCount::new(parts::len(&batch)))
        .bench_local(|| parts::crc32c(black_box(&batch)));
}

#[divan::bench(args = RECORDS)]
fn batch_build(bencher: Bencher<'_, '_>, records: usize) {
    bencher.bench_local(|| batch_of(black_box(records)));
}

#[divan::bench(args = RECORDS)]
fn batch_check(bencher: Bencher<'_, '_>, records: usize) {
    let batch = batch_of(records);
    bencher
        .counter(BytesCount::new(parts::len(&batch)))
        .bench_local(|| batch::check(black_box(&batch)).expect("ours"));
}

#[divan::bench(args = RECORDS)]
fn append_encode(bencher: Bencher<'_, '_>, records: usize) {
    let (request, batch) = (append(), batch_of(records));
    encode(bencher, |encoder| {
        encoder
            .push_with(black_box(&request), Flags::NONE, &batch)
            .expect("small");
    });
}

#[divan::bench(args = RECORDS, consts = CHUNK_BYTES)]
fn append_decode<const CHUNK: usize>(bencher: Bencher<'_, '_>, records: usize) {
    let (request, batch) = (append(), batch_of(records));
    let pieces = cut(
        |encoder| {
            encoder
                .push_with(&request, Flags::NONE, &batch)
                .expect("small");
        },
        CHUNK,
    );
    take_apart(bencher, &pieces, |frame| {
        let request: CommandRequest = decode(&frame).expect("ours");
        (request, frame.body)
    });
}

/// As they come under load: several to a datagram. An item is an append.
#[divan::bench(consts = CHUNK_BYTES)]
fn appends_decode_64<const CHUNK: usize>(bencher: Bencher<'_, '_>) {
    let (request, batch) = (append(), batch_of(1));
    let pieces = cut(
        |encoder| {
            for _ in 0..TOGETHER {
                encoder
                    .push_with(&request, Flags::NONE, &batch)
                    .expect("small");
            }
        },
        CHUNK,
    );
    take_all_apart(bencher, &pieces, |frame| {
        let request: CommandRequest = decode(&frame).expect("ours");
        drop((request, frame.body));
    });
}

#[divan::bench]
fn receipt_encode(bencher: Bencher<'_, '_>) {
    let reply = receipt();
    encode(bencher, |encoder| {
        encoder.push(black_box(&reply)).expect("small");
    });
}

#[divan::bench]
fn receipt_decode(bencher: Bencher<'_, '_>) {
    let pieces = cut(
        |encoder| encoder.push(&receipt()).expect("small"),
        CHUNK_BYTES[0],
    );
    take_apart(bencher, &pieces, |frame| {
        decode::<CommandReply>(&frame).expect("ours")
    });
}

/// As they leave under load: many in one write. An item is a receipt.
#[divan::bench]
fn receipts_encode_64(bencher: Bencher<'_, '_>) {
    let reply = receipt();
    let (mut encoder, mut chunks) = (FrameEncoder::new(), Vec::new());
    bencher.counter(ItemsCount::new(TOGETHER)).bench_local(|| {
        for _ in 0..TOGETHER {
            encoder.push(black_box(&reply)).expect("small");
        }
        chunks.clear();
        encoder.take_into(&mut chunks);
    });
}

#[divan::bench]
fn receipts_decode_64(bencher: Bencher<'_, '_>) {
    let reply = receipt();
    let pieces = cut(
        |encoder| {
            for _ in 0..TOGETHER {
                encoder.push(&reply).expect("small");
            }
        },
        CHUNK_BYTES[0],
    );
    take_all_apart(bencher, &pieces, |frame| {
        decode::<CommandReply>(&frame).expect("ours");
    });
}

#[divan::bench(args = RECORDS)]
fn accept_encode(bencher: Bencher<'_, '_>, records: usize) {
    let accept = accept(records);
    encode(bencher, |encoder| {
        encoder.push_envelope(black_box(&accept)).expect("small");
    });
}

/// The value's checksum is held against it.
#[divan::bench(args = RECORDS, consts = CHUNK_BYTES)]
fn accept_decode<const CHUNK: usize>(bencher: Bencher<'_, '_>, records: usize) {
    let accept = accept(records);
    let pieces = cut(
        |encoder| encoder.push_envelope(&accept).expect("small"),
        CHUNK,
    );
    take_apart(bencher, &pieces, |frame| {
        decode_envelope(frame).expect("ours")
    });
}

#[divan::bench]
fn accepted_encode(bencher: Bencher<'_, '_>) {
    let accepted = accepted();
    encode(bencher, |encoder| {
        encoder.push_envelope(black_box(&accepted)).expect("small");
    });
}

#[divan::bench]
fn accepted_decode(bencher: Bencher<'_, '_>) {
    let pieces = cut(
        |encoder| encoder.push_envelope(&accepted()).expect("small"),
        CHUNK_BYTES[0],
    );
    take_apart(bencher, &pieces, |frame| {
        decode_envelope(frame).expect("ours")
    });
}
