//! What slow, greedy and busy clients do to a replica: nothing to others, and
//! nothing to themselves that is not said.

use std::time::Duration;

use paxlog_wire::Flags;
use paxlog_wire::client::{
    CommandBody, Credit, LogRef, ReadFrom, TailEvent, TailRequest, split_batches,
};

use crate::client::{Client, next};
use crate::support::{Group, leader, runtime, stop, until};

/// Records that were handed out to a slow reader, and trimmed and retired
/// before they left, are a gap and not damage.
#[test]
fn what_is_trimmed_while_it_waits_for_a_slow_reader_is_a_gap() {
    let mut group = Group::new(1);
    group.configs[0].wal.segment_bytes = 9 << 20;
    group.format();
    let replicas = group.start();
    let address = replicas[leader(&replicas)].client_addr();
    runtime().block_on(async {
        let mut client = Client::connect(&group, address).await;
        let log = client.open_log().await;
        let payload = vec![7u8; 64 << 10];
        let batch = |count: usize| vec![payload.as_slice(); count];
        // More than flow control lets through, less than the credit: it waits at the replica.
        client.append(log, &batch(200)).await;
        let slow = Client::connect(&group, address).await;
        let (mut sender, mut receiver) = slow.stream().await;
        let request = TailRequest {
            log: LogRef::Id(log),
            from: ReadFrom::First,
            credit_bytes: 16 << 20,
        };
        sender.send(&request).await.expect("sent");
        next(&mut receiver).await;

        // Later segments push theirs out of the hot window; then they are trimmed, and go.
        for _ in 0..12 {
            client.append(log, &batch(50)).await;
        }
        let origin = client.origin();
        client
            .call(CommandBody::Trim {
                origin: Some(origin),
                log,
                to: 800,
            })
            .await;
        let segments = || {
            let names = std::fs::read_dir(&group.configs[0].data_dir).expect("there");
            let names = names.map(|entry| entry.expect("there").file_name());
            let mut names: Vec<String> = names
                .filter_map(|name| name.into_string().ok())
                .filter(|name| name.ends_with(".seg"))
                .collect();
            names.sort();
            names
        };
        let first = segments().remove(0);
        until("the first segments are retired", || {
            let now = segments();
            (!now.contains(&first) && now.len() <= 4).then_some(())
        });

        let (mut at, mut gaps) = (0, 0);
        while at < 800 {
            let frame = next(&mut receiver).await;
            match paxlog_wire::decode::<TailEvent>(&frame).expect("an event") {
                TailEvent::Records(metas) => {
                    assert_eq!(metas[0].start, at, "nothing is left out in silence");
                    at = metas.last().expect("not empty").end();
                    assert!(split_batches(&metas, &frame.body).is_ok());
                    let bytes = metas.iter().map(|meta| u64::from(meta.bytes)).sum();
                    sender.send(&Credit { bytes }).await.expect("sent");
                }
                TailEvent::Gap { to } => {
                    assert!(to > at && to <= 800, "{at} to {to}");
                    (at, gaps) = (to, gaps + 1);
                }
                TailEvent::Heartbeat { .. } | TailEvent::CaughtUp { .. } => {}
                other => panic!("at {at}: {other:?}"),
            }
        }
        assert!(gaps > 0, "vacuous: nothing was trimmed under the reader");
    });
    stop(replicas);
}

/// A client that sends commands and reads no replies is not read from for ever:
/// what is owed to it is bounded. Once it reads, it gets every reply.
#[test]
fn a_client_that_reads_no_replies_gets_no_further() {
    const COMMANDS: usize = 400_000;
    let group = Group::new(1);
    group.format();
    let replicas = group.start();
    let address = replicas[leader(&replicas)].client_addr();
    runtime().block_on(async {
        let mut client = Client::connect(&group, address).await;
        client.open_log().await;
        let open = || CommandBody::OpenLog {
            origin: None,
            name: "t".into(),
            create: false,
        };
        for _ in 0..COMMANDS {
            let request = client.request(open());
            client
                .sender
                .push_with(&request, Flags::NONE, &[])
                .expect("small");
        }
        let Client {
            mut sender,
            mut receiver,
            ..
        } = client;
        let sending = tokio::spawn(async move {
            sender.flush().await.expect("sent");
            sender
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!sending.is_finished(), "everything was taken");
        for _ in 0..COMMANDS {
            next(&mut receiver).await;
        }
        sending.await.expect("no panic");
    });
    stop(replicas);
}

/// However busy clients keep it, a leader sends its heartbeats: nobody else
/// stands.
#[test]
fn a_leader_whose_inbox_is_never_empty_stays() {
    let mut group = Group::new(3);
    for config in &mut group.configs {
        // A machine that is busy with other things is no reason to stand.
        config.timing.heartbeat = Duration::from_millis(100);
    }
    group.format();
    let replicas = group.start();
    let leading = leader(&replicas);
    let address = replicas[leading].client_addr();
    let ballot = replicas[leading].status().ballot;
    let flood = std::thread::scope(|scope| {
        let floods: Vec<_> = (0..4)
            .map(|n| {
                let group = &group;
                scope.spawn(move || {
                    runtime().block_on(async move {
                        let mut client = Client::connect(group, address).await;
                        if n == 0 {
                            client.open_log().await;
                        }
                        flood(client, Duration::from_secs(4)).await
                    })
                })
            })
            .collect();
        floods
            .into_iter()
            .map(|flood| flood.join().expect("no panic"))
            .sum::<u64>()
    });
    let after = replicas[leading].status();
    assert_eq!((after.role, after.ballot), ("leader", ballot));
    assert!(flood > 10_000, "vacuous: {flood} commands");
    stop(replicas);
}

/// Keeps commands in flight that the core answers at once.
async fn flood(mut client: Client, time: Duration) -> u64 {
    const IN_FLIGHT: usize = 6_000;
    let until = tokio::time::Instant::now() + time;
    let mut answered = 0;
    let mut due = 0;
    while tokio::time::Instant::now() < until {
        while due < IN_FLIGHT {
            let request = client.request(CommandBody::OpenLog {
                origin: None,
                name: "t".into(),
                create: false,
            });
            let pushed = client.sender.push_with(&request, Flags::NONE, &[]);
            pushed.expect("small");
            due += 1;
        }
        client.sender.flush().await.expect("sent");
        for _ in 0..IN_FLIGHT / 16 {
            next(&mut client.receiver).await;
            due -= 1;
            answered += 1;
        }
    }
    answered
}
