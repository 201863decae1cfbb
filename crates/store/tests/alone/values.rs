//! What goes into a value, and what does not.

use paxlog_wire::Code;
use paxlog_wire::client::{CommandBody, CommandOutcome};

use crate::world::{Alone, MS, formatted};

/// Commands without a batch have a length too: a value of many of them closes
/// before it is too long for a frame.
#[test]
fn many_commands_without_batches_go_into_values_of_bounded_length() {
    let dir = formatted();
    let mut alone = Alone::open(dir.path()).expect("recovered");
    assert!(alone.leads());
    const COMMANDS: usize = 20_000;
    alone.frames.clear();
    let opens = (0..COMMANDS).map(|n| CommandBody::OpenProducer {
        nonce: n as u128,
        name: Some(format!("{n:0>200}")),
    });
    let opens: Vec<CommandBody> = opens.collect();
    let events = opens
        .into_iter()
        .map(|open| alone.request(10_000, open))
        .collect();
    alone.turn(events);
    assert_eq!(alone.replies.len(), COMMANDS);
    assert!(alone.replies.iter().all(|reply| reply.result.is_ok()));
    let (longest, all) = (
        *alone.frames.iter().max().expect("some"),
        alone.frames.iter().sum::<usize>(),
    );
    assert!(all > COMMANDS * 200, "{all}");
    assert!(longest < 1_100_000, "{longest}");
}

/// An append whose deadline passed in the queue takes those behind it with it:
/// none of them is proposed out of order, and the same sequences sent again are
/// applied.
#[test]
fn what_is_behind_an_expired_append_is_not_proposed() {
    let dir = formatted();
    let mut alone = Alone::open(dir.path()).expect("recovered");
    alone.open_log();
    alone.replies.clear();
    let payload = vec![1; 62 << 10];
    // These fill a value, so that what is behind the late one is left for the next.
    let mut events: Vec<_> = (0..16).map(|_| alone.append(10_000, 1, &payload)).collect();
    events.push(alone.append(5, 1, &payload[..100]));
    events.extend((0..4).map(|_| alone.append(10_000, 1, &payload)));
    let mut fx = paxlog_node::Effects::default();
    for event in events {
        let now = paxlog_node::Now {
            mono: alone.now,
            wall: 1,
        };
        alone.node.step(now, event, &mut fx);
    }
    assert!(fx.list.is_empty(), "nothing was answered yet");
    alone.now += 6 * MS;
    alone.turn(vec![]);
    let (done, refused): (Vec<_>, Vec<_>) = alone
        .replies
        .drain(..)
        .map(|reply| reply.result)
        .partition(Result::is_ok);
    assert_eq!((done.len(), refused.len()), (16, 5));
    for error in refused {
        assert_eq!(error.expect_err("refused").code, Code::DeadlineExceeded);
    }
    // The client goes on from the first that was refused.
    let mut again: Vec<_> = Vec::new();
    alone.sequence -= 5;
    for n in 0..5 {
        let mut event = alone.append(10_000, 1, &payload);
        if let paxlog_node::Event::Command { resume, .. } = &mut event {
            *resume = n == 0;
        }
        again.push(event);
    }
    alone.turn(again);
    let starts: Vec<u64> = alone
        .replies
        .iter()
        .map(|reply| match &reply.result {
            Ok(CommandOutcome::Appended(receipt)) => receipt.start,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(starts, [16, 17, 18, 19, 20]);
}
