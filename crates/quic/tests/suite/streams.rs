//! Frames over streams.

use std::time::Duration;

use bytes::Bytes;
use paxlog_quic::{ReceiveError, SendError};
use paxlog_wire::batch::{BatchBuilder, BatchView, Record};
use paxlog_wire::client::{
    ClientHello, CommandBody, CommandReply, CommandRequest, Credit, Durability, Origin, Receipt,
};
use paxlog_wire::{Code, Flags, FrameLimits, decode, parts};

use crate::support::*;

fn append(request: u64) -> CommandRequest {
    let origin = Origin {
        producer: 1,
        epoch: 1,
        sequence: request,
    };
    CommandRequest {
        request,
        deadline_ms: 1_000,
        command: CommandBody::Append {
            origin,
            log: 1,
            if_tail: None,
            fence: None,
        },
    }
}

fn receipt(request: u64) -> CommandReply {
    let receipt = Receipt {
        log: 1,
        start: request,
        end: request + 1,
        timestamp: 0,
        tail: request + 1,
        version: request,
        durability: Durability::MAJORITY,
        duplicate: false,
    };
    CommandReply {
        request,
        result: Ok(paxlog_wire::client::CommandOutcome::Appended(receipt)),
    }
}

#[test]
fn appends_and_receipts_cross_in_order_many_in_flight() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let count = 500;
        let serving = async {
            let (mut sender, mut receiver) =
                theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
            let mut next = 0;
            while let Some(frame) = receiver.next().await.unwrap() {
                let mut frame = Some(frame);
                while let Some(taken) = frame {
                    let request: CommandRequest = decode(&taken).unwrap();
                    assert_eq!(request, append(next));
                    assert_eq!(taken.flags.contains(Flags::RESUME), next % 7 == 0);
                    let view = BatchView::parse_parts(&taken.body).unwrap();
                    assert_eq!(
                        view.records().next().unwrap().payload,
                        vec![next as u8; 1_000 * (next as usize % 20)]
                    );
                    sender.push(&receipt(next)).unwrap();
                    next += 1;
                    frame = receiver.next_ready().unwrap();
                }
                sender.flush().await.unwrap();
            }
            assert_eq!(next, count);
            sender.finish();
            sender.settled().await;
        };
        let asking = async {
            let (mut sender, mut receiver) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
            let sending = async {
                for request in 0..count {
                    let mut builder = BatchBuilder::new();
                    let payload = vec![request as u8; 1_000 * (request as usize % 20)];
                    builder.push(&Record::new(payload)).unwrap();
                    let flags = if request % 7 == 0 {
                        Flags::RESUME
                    } else {
                        Flags::NONE
                    };
                    sender
                        .push_with(&append(request), flags, builder.finish().unwrap().parts())
                        .unwrap();
                    if request % 3 == 0 {
                        sender.flush().await.unwrap();
                    }
                }
                sender.flush().await.unwrap();
                sender.finish();
            };
            let receiving = async {
                for request in 0..count {
                    let frame = receiver.next().await.unwrap().expect("a receipt for each");
                    assert_eq!(decode::<CommandReply>(&frame).unwrap(), receipt(request));
                }
                assert!(receiver.next().await.unwrap().is_none());
            };
            tokio::join!(sending, receiving);
        };
        tokio::join!(serving, asking);
    });
}

#[test]
fn receiving_can_be_cancelled_anywhere() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let sending = async {
            let (mut sender, _receiver) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
            for request in 0..50 {
                let body = Bytes::from(vec![request as u8; 20_000]);
                sender
                    .send_with(&append(request), Flags::NONE, &[body])
                    .await
                    .unwrap();
                tokio::task::yield_now().await;
            }
            sender.finish();
            sender.settled().await;
        };
        let receiving = async {
            let (_sender, mut receiver) = theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
            let mut next = 0;
            loop {
                // Polled a few times and then dropped, over and over.
                let frame = tokio::select! {
                    biased;
                    frame = receiver.next() => frame.unwrap(),
                    () = tokio::task::yield_now() => continue,
                };
                let Some(frame) = frame else { break };
                assert_eq!(decode::<CommandRequest>(&frame).unwrap().request, next);
                assert_eq!(parts::join(&frame.body), vec![next as u8; 20_000]);
                next += 1;
            }
            assert_eq!(next, 50);
        };
        tokio::join!(sending, receiving);
    });
}

#[test]
fn sending_can_be_cancelled_and_goes_on_with_the_next_flush() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let (mut sender, _receiver) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        // More than all windows hold, so that a flush has to wait for a reader that is not there yet.
        for request in 0..10 {
            sender
                .push_with(
                    &append(request),
                    Flags::NONE,
                    &[Bytes::from(vec![request as u8; 1 << 20])],
                )
                .unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(5), sender.flush()).await;
        }
        let reading = async {
            let (_sender, mut receiver) = theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
            for request in 0..10 {
                let frame = receiver.next().await.unwrap().unwrap();
                assert_eq!(decode::<CommandRequest>(&frame).unwrap().request, request);
                assert_eq!(parts::join(&frame.body), vec![request as u8; 1 << 20]);
            }
        };
        let (_, flushed) = tokio::join!(reading, sender.flush());
        flushed.unwrap();
    });
}

#[test]
fn a_first_frame_has_a_time_and_a_size() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let (mut sender, _) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        sender
            .send_with(&append(1), Flags::NONE, &[Bytes::from_static(b"x")])
            .await
            .unwrap();
        let (_, mut receiver) = theirs.accept_bi(FrameLimits::FIRST).await.unwrap();
        let error = receiver
            .next_within(Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(matches!(error, ReceiveError::Frame(_)), "{error}");

        let (mut sender, _) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        sender.send(&ClientHello::new(CLUSTER)).await.unwrap();
        let (_, mut receiver) = theirs.accept_bi(FrameLimits::FIRST).await.unwrap();
        assert!(
            receiver
                .next_within(Duration::from_secs(5))
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(
            receiver.next_within(Duration::from_millis(20)).await,
            Err(ReceiveError::Late)
        );
    });
}

#[test]
fn what_ends_a_stream_is_told_to_the_other_end() {
    run(async {
        let (_endpoint, _server, ours, theirs) = pair().await;
        let (mut sender, _) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        sender.send(&Credit { bytes: 1 }).await.unwrap();
        let (_, mut receiver) = theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
        receiver.next().await.unwrap();
        sender.reset(Code::OutcomeUnknown);
        assert_eq!(
            receiver.next().await,
            Err(ReceiveError::Reset(u64::from(
                Code::OutcomeUnknown.number()
            )))
        );

        let (mut sender, _) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        sender.send(&Credit { bytes: 1 }).await.unwrap();
        let (_, mut receiver) = theirs.accept_bi(FrameLimits::FROM_CLIENT).await.unwrap();
        receiver.stop(Code::Overloaded);
        loop {
            match sender.send(&Credit { bytes: 1 }).await {
                Ok(()) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => {
                    assert_eq!(
                        error,
                        SendError::Stopped(u64::from(Code::Overloaded.number()))
                    );
                    break;
                }
            }
        }

        let (mut sender, mut receiver) = ours.open_bi(FrameLimits::TO_CLIENT).await.unwrap();
        theirs.close(Code::Throttled, "enough");
        let error = receiver.next().await.unwrap_err();
        assert!(
            matches!(&error, ReceiveError::Lost(lost) if lost.code() == Code::Throttled),
            "{error}"
        );
        assert!(matches!(
            sender.send(&Credit { bytes: 1 }).await,
            Err(SendError::Lost(_))
        ));
    });
}
