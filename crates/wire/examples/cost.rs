//! Prints what the messages of one append cost to encode, decode and check, in nanoseconds.
//!
//! `cargo run --release -p paxlog-wire --example cost`

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use paxlog_paxos::{
    Accept, Accepted, Ballot, ClusterId, ConfigNumber, Envelope, GroupId, Incarnation, Message,
    ReplicaId, Slot, Value,
};
use paxlog_wire::batch::{self, BatchBuilder, Record};
use paxlog_wire::client::{
    CommandBody, CommandOutcome, CommandReply, CommandRequest, Durability, Origin, Receipt,
};
use paxlog_wire::replica::decode_envelope;
use paxlog_wire::{Flags, FrameDecoder, FrameEncoder, FrameLimits, decode};

const ROUNDS: u32 = 300_000;

fn measure(what: &str, mut once: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        once();
    }
    let start = Instant::now();
    for _ in 0..ROUNDS {
        once();
    }
    println!(
        "{what:<46} {:>8.0} ns",
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    );
}

fn main() {
    let record = Record::new(vec![7u8; 1_024]);
    let build = || {
        let mut builder = BatchBuilder::with_capacity(record.encoded_len());
        builder.push(&record).expect("it fits");
        builder.finish().expect("one record")
    };
    let parts = build().into_parts();
    measure("crc32c of the 1 KiB batch alone", || {
        black_box(paxlog_wire::parts::crc32c(black_box(&parts)));
    });
    measure("batch of one 1 KiB record: build", || {
        black_box(build());
    });
    measure("batch of one 1 KiB record: check", || {
        black_box(batch::check(black_box(&parts))).expect("ours");
    });

    let origin = Origin {
        producer: 1,
        epoch: 2,
        sequence: 3,
    };
    let append = CommandRequest {
        request: 4,
        deadline_ms: 10_000,
        command: CommandBody::Append {
            origin,
            log: 5,
            if_tail: None,
            fence: None,
        },
    };
    let receipt = Receipt {
        log: 5,
        start: 10,
        end: 11,
        timestamp: 12,
        tail: 11,
        version: 13,
        durability: Durability::MAJORITY,
        duplicate: false,
    };
    let reply = CommandReply {
        request: 4,
        result: Ok(CommandOutcome::Appended(receipt)),
    };
    let envelope = |message| Envelope {
        cluster: ClusterId(1),
        group: GroupId(2),
        config: ConfigNumber(3),
        from: ReplicaId(1),
        incarnation: Incarnation(4),
        message,
    };
    let ballot = Ballot::new(1, ReplicaId(1));
    let accept = envelope(Message::Accept(Accept {
        ballot,
        first: Slot(1),
        free: Slot(1),
        slot: Slot(9),
        chosen: Slot(8),
        value: Value::from_parts(parts.clone()),
    }));
    let accepted = envelope(Message::Accepted(Accepted {
        ballot,
        life: 1,
        upto: Slot(9),
        received: Slot(9),
    }));

    let mut encoder = FrameEncoder::new();
    let mut chunks = Vec::new();
    measure("append request: encode", || {
        encoder
            .push_with(&append, Flags::NONE, &parts)
            .expect("small");
        chunks.clear();
        encoder.take_into(&mut chunks);
    });
    measure("receipt: encode, 64 to a write (each)", || {
        encoder.push(&reply).expect("small");
        if encoder.bytes() > 64 * 100 {
            chunks.clear();
            encoder.take_into(&mut chunks);
        }
    });
    encoder.take();
    measure("Accept: encode", || {
        encoder.push_envelope(&accept).expect("small");
        chunks.clear();
        encoder.take_into(&mut chunks);
    });
    measure("Accepted: encode", || {
        encoder.push_envelope(&accepted).expect("small");
        chunks.clear();
        encoder.take_into(&mut chunks);
    });

    let mut wired = |fill: &dyn Fn(&mut FrameEncoder)| {
        fill(&mut encoder);
        Bytes::from(encoder.take().concat())
    };
    let append = wired(&|encoder| {
        encoder
            .push_with(&append, Flags::NONE, &parts)
            .expect("small")
    });
    let reply = wired(&|encoder| encoder.push(&reply).expect("small"));
    let accept = wired(&|encoder| encoder.push_envelope(&accept).expect("small"));
    let accepted = wired(&|encoder| encoder.push_envelope(&accepted).expect("small"));
    let mut decoder = FrameDecoder::new(FrameLimits::REPLICA);
    let mut next = |bytes: &Bytes| {
        decoder.push(bytes.clone());
        decoder.next_frame().expect("ours").expect("whole")
    };
    measure("append request: frame and decode", || {
        black_box(decode::<CommandRequest>(&next(&append)).expect("ours"));
    });
    measure("receipt: frame and decode", || {
        black_box(decode::<CommandReply>(&next(&reply)).expect("ours"));
    });
    measure("Accept: frame and decode, value's CRC included", || {
        black_box(decode_envelope(next(&accept)).expect("ours"));
    });
    measure("Accepted: frame and decode", || {
        black_box(decode_envelope(next(&accepted)).expect("ours"));
    });
}
