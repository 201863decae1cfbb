//! What the appender itself costs per append: an ideal replica answers at once, without a network.
//!
//! `cargo run --release -p paxlog-session --example append_cost`

#![expect(clippy::disallowed_methods, reason = "it measures")]

use std::time::Instant;

use bytes::Bytes;
use paxlog_session::{
    AppendEvent, Appender, AppenderConfig, Effect, LeaderTracker, Machine, Message, StreamId, Token,
};
use paxlog_wire::batch::Record;
use paxlog_wire::client::{CommandBody, CommandOutcome, CommandReply, Durability, Receipt};
use paxlog_wire::{Flags, FrameDecoder, FrameEncoder, FrameLimits};

const APPENDS: u64 = 400_000;

fn main() {
    for (in_flight, a_turn) in [(256, 1), (256, 32), (4096, 256)] {
        run(in_flight, a_turn);
    }
}

fn run(in_flight: u64, a_turn: u64) {
    let config = AppenderConfig {
        window: 4096,
        ..AppenderConfig::new("log", 1, 1)
    };
    let mut appender = Appender::new(0, config, LeaderTracker::new(["replica:7400"], 1));
    let record = Record::new(Bytes::from(vec![7; 1024]));
    let mut decoder = FrameDecoder::new(FrameLimits::TO_CLIENT);
    let (mut taken, mut done, mut now, mut tail, mut batches) = (0, 0, 0, 0, 0);
    let mut stream = StreamId(0);
    let begun = Instant::now();
    while done < APPENDS {
        now += 1_000;
        for _ in 0..a_turn {
            if taken - done < in_flight && taken < APPENDS {
                appender
                    .append(
                        now,
                        Token(taken),
                        std::slice::from_ref(&record),
                        now + 10_000_000_000,
                    )
                    .expect("the window has room");
                taken += 1;
            }
        }
        appender.flush(now);
        let mut replies = FrameEncoder::new();
        while let Some(effect) = appender.poll_effect() {
            match effect {
                Effect::Open { stream: opened, .. } => {
                    stream = opened;
                    appender.handle_up(now, stream);
                }
                Effect::Close { .. } => {}
                Effect::Send { frame, .. } => {
                    let Message::Command(request) = frame.message else {
                        continue;
                    };
                    let outcome = match request.command {
                        CommandBody::OpenProducer { .. } => CommandOutcome::ProducerOpened {
                            producer: 1,
                            epoch: 1,
                            last: None,
                        },
                        CommandBody::OpenLog { .. } => CommandOutcome::LogOpened {
                            log: 1,
                            version: 1,
                            existed: true,
                            tail: 0,
                            sealed: false,
                        },
                        _ => {
                            batches += 1;
                            let info = paxlog_wire::batch::check(&frame.body).expect("a batch");
                            let start = tail;
                            tail += u64::from(info.records);
                            CommandOutcome::Appended(Receipt {
                                log: 1,
                                start,
                                end: tail,
                                timestamp: now,
                                tail,
                                version: 1,
                                durability: Durability::MAJORITY,
                                duplicate: false,
                            })
                        }
                    };
                    let reply = CommandReply {
                        request: request.request,
                        result: Ok(outcome),
                    };
                    replies
                        .push_with(&reply, Flags::NONE, &[])
                        .expect("within the limits");
                }
            }
        }
        for chunk in replies.take() {
            decoder.push(chunk);
        }
        while let Some(frame) = decoder.next_frame().expect("whole frames") {
            appender.handle_frame(now, stream, frame);
        }
        while let Some(event) = appender.poll_event() {
            if let AppendEvent::Done { result, .. } = event {
                result.expect("an ideal replica");
                done += 1;
            }
        }
    }
    let each = begun.elapsed().as_nanos() as u64 / APPENDS;
    println!(
        "{in_flight} in flight, {a_turn} a turn: {each} ns an append, {} a batch",
        APPENDS / batches
    );
}
