//! The example `exactly_once`, killed at random moments: B is f(A) all the same, in order, nothing twice or missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use paxlog_client::{AppenderOptions, Client, Consistency, From, Profile, ReadOptions, Record};

use crate::support::{
    Cluster, LIVENESS, Paxlog, Rng, Running, Signal, block_on, example, seed, until,
};

/// Kills in the test command; the soak asks for more with `PAXLOG_SOAK_KILLS`.
const KILLS: u64 = 5;
const A: &str = "a";
const B: &str = "b";

#[test]
fn b_is_f_of_a_however_often_the_program_between_is_killed() {
    let kills = std::env::var("PAXLOG_SOAK_KILLS").map_or(KILLS, |text| {
        text.parse().expect("PAXLOG_SOAK_KILLS is a number")
    });
    let mut rng = Rng::new(seed());
    let mut cluster = Cluster::started();
    let feeder = Feeder::start(cluster.profile());
    until("a is there", || (feeder.appended() > 0).then_some(()));
    let mut worked = 0;
    let mut former: Option<Running> = None;
    for kill in 0..kills {
        let before = tail_of(&cluster, B);
        let mut run = program(&cluster, &[]).start();
        // By now it has shut out its former self, which may be running still.
        run.line();
        if let Some(former) = former.take() {
            let stopped = former.end();
            assert!(
                matches!(stopped.code, Some(1)) && stopped.stderr.contains("Fenced"),
                "{:?}: {}",
                stopped.code,
                stopped.stderr
            );
        }
        std::thread::sleep(Duration::from_millis(rng.within(0, 300)));
        // The leader of the cluster in between: in every fifth round, at first in the second.
        let leader = (kill % 5 == 1).then(|| cluster.leader());
        if let Some(leader) = leader {
            cluster.kill(leader);
            std::thread::sleep(Duration::from_millis(rng.within(0, 400)));
        }
        // In every third round it is not killed, but the next one is started beside it.
        if kill % 3 == 2 && kill + 1 < kills {
            former = Some(run);
        } else {
            run.send(Signal::KILL);
            assert_eq!(run.end().code, None, "it had not ended by itself");
        }
        if let Some(leader) = leader {
            cluster.start(leader);
            cluster.wait_ready(leader);
        }
        let after = tail_of(&cluster, B);
        println!(
            "round {kill}: b ends at {after}, {} more; a at {}",
            after - before,
            feeder.appended()
        );
        worked += u64::from(after > before);
    }
    let fed = feeder.finish();
    // Whatever the last one left under way, this one settles; it may be shut out by nobody now.
    let last = program(&cluster, &["--once"]).run().ok();
    println!("{}", last.text().trim());

    let (a, b) = block_on(async {
        let client = cluster.client().await;
        let logs = (read(&client, A).await, read(&client, B).await);
        client.close().await;
        logs
    });
    assert_eq!(a.len() as u64, fed, "a itself has what was appended");
    let expected: Vec<(String, u64)> = (0..)
        .zip(&a)
        .filter(|(_, (payload, _))| !payload.starts_with('#'))
        .map(|(offset, (payload, _))| (payload.to_uppercase(), offset))
        .collect();
    let found: Vec<(String, u64)> = b
        .into_iter()
        .map(|(payload, source)| (payload, source.expect("each names its source")))
        .collect();
    if let Some(at) =
        (0..expected.len().max(found.len())).find(|&at| expected.get(at) != found.get(at))
    {
        panic!(
            "b[{at}] is {:?} where {:?} was due; {} results of {} that were due",
            found.get(at),
            expected.get(at),
            found.len(),
            expected.len()
        );
    }
    println!(
        "{} of {} records of a are in b, each once, over {kills} kills",
        found.len(),
        a.len()
    );
    // Runs that were killed before they did anything show nothing.
    assert!(
        worked * 2 >= kills,
        "only {worked} of {kills} runs appended anything"
    );
    cluster.finish();
}

fn program(cluster: &Cluster, more: &[&str]) -> Paxlog {
    example("exactly_once", [A, B].iter().chain(more)).profile(&cluster.profile_path())
}

fn tail_of(cluster: &Cluster, log: &str) -> u64 {
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        let tail = client.check_tail(log, Consistency::Linearizable).await;
        client.close().await;
        // Nobody has made it yet.
        tail.map_or(0, |tail| tail.offset)
    })
}

/// The payloads of a log, and the header in which results name their source.
async fn read(client: &Client, log: &str) -> Vec<(String, Option<u64>)> {
    let options = ReadOptions {
        consistency: Consistency::Linearizable,
        strict: true,
        ..ReadOptions::default()
    };
    let mut reader = client.read(log, From::First, options).await.expect("begun");
    let mut records = Vec::new();
    while let Some(batch) = reader.next_batch().await.expect("read") {
        for stored in batch.records() {
            let text = |bytes: &[u8]| std::str::from_utf8(bytes).expect("text").to_owned();
            let mut headers = stored.record.headers.iter();
            let source = headers.find(|(name, _)| name == "source");
            records.push((
                text(&stored.record.payload),
                source.map(|(_, value)| text(value).parse().expect("a number")),
            ));
        }
    }
    records
}

/// Appends to A all the while, comments among it.
struct Feeder {
    stop: Arc<AtomicBool>,
    appended: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

/// Records a second, about: enough that a kill finds some under way.
const BATCH: u64 = 10;
const PAUSE: Duration = Duration::from_millis(5);

impl Feeder {
    fn start(profile: Profile) -> Feeder {
        let (stop, appended) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&appended));
        let thread = std::thread::spawn(move || {
            block_on(async {
                let client = Client::connect_within(profile, LIVENESS)
                    .await
                    .expect("there");
                let options = AppenderOptions {
                    deadline: LIVENESS,
                    ..AppenderOptions::default()
                };
                let appender = client.appender(A, options).await.expect("opened");
                let mut next = 0;
                while !stopped.load(Ordering::Relaxed) {
                    let records = (next..next + BATCH)
                        .map(|number| match number % 7 {
                            3 => Record::new(format!("# comment {number}")),
                            _ => Record::new(format!("record {number}")),
                        })
                        .collect();
                    let pending = appender.append(records).await.expect("taken");
                    pending.await.expect("acknowledged");
                    next += BATCH;
                    count.store(next, Ordering::Relaxed);
                    tokio::time::sleep(PAUSE).await;
                }
                client.close().await;
            });
        });
        Feeder {
            stop,
            appended,
            thread,
        }
    }

    fn appended(&self) -> u64 {
        self.appended.load(Ordering::Relaxed)
    }

    fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic");
        self.appended.load(Ordering::Relaxed)
    }
}
