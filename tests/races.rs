//! Several who want the same log: by fences, and by expected tails, while leaders are killed.
//!
//! Each append is taken down with how it ended, and then looked for in the log as each replica has it. An append that was
//! called not applied must not be there; of one whose outcome is unknown, either is right, and they are counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use paxlog_client::{
    Appender, AppenderOptions, Client, Code, CreateOptions, Error, Expected, OutcomeFact, Pending,
    Profile, Receipt, Record,
};

use crate::support::{Cluster, LIVENESS, Rng, Stored, block_on, read_at, seed, until};

/// Appends of each racer in the test command; the soak asks for more with `PAXLOG_RACE_APPENDS`.
const APPENDS: u64 = 1_000;
const LOG: &str = "raced";
const RACERS: usize = 2;
/// Leaders killed in each race of so many appends.
const KILLS: u64 = 3;

fn appends() -> u64 {
    std::env::var("PAXLOG_RACE_APPENDS").map_or(APPENDS, |text| {
        text.parse().expect("PAXLOG_RACE_APPENDS is a number")
    })
}

/// How an append ended.
#[derive(Debug)]
enum End {
    /// Acknowledged, at that offset.
    At(u64),
    /// Not applied.
    Not(Code),
    Unknown,
}

impl End {
    fn of(result: Result<Receipt, Error>) -> End {
        match result {
            Ok(receipt) => End::At(receipt.start),
            Err(error) if error.outcome == OutcomeFact::Unknown => End::Unknown,
            Err(error) => End::Not(error.code),
        }
    }
}

/// One append of one record.
#[derive(Debug)]
struct Append {
    payload: String,
    /// The tail that it expects; one under a fence begins with its token.
    if_tail: Option<u64>,
    end: End,
}

/// A fence that was set, as it was answered.
#[derive(Clone, Debug)]
struct Fence {
    token: String,
    tail: u64,
    /// Orders them: how many commands had been applied to the log.
    version: u64,
}

/// What one racer did.
#[derive(Debug, Default)]
struct Racer {
    appends: Vec<Append>,
    fences: Vec<Fence>,
    /// Fences of which nobody knows whether they were set; nothing was appended under them.
    fences_unknown: u64,
}

#[test]
fn nothing_is_appended_under_a_superseded_fence() {
    let (mut cluster, mut rng) = begin();
    let (wanted, done) = (appends(), Arc::new(AtomicU64::new(0)));
    let racers = race(
        &cluster,
        &mut rng,
        &done,
        move |client, name, rng, done| async move {
            fence_again_and_again(&client, name, rng, wanted, &done).await
        },
    );
    let racers = disturb(&mut cluster, racers, &done, wanted);
    let log = same_everywhere(&mut cluster);
    let count = check_ends(&racers, &log);

    let mut fences: Vec<Fence> = racers
        .iter()
        .flat_map(|racer| racer.fences.clone())
        .collect();
    fences.sort_by_key(|fence| fence.version);
    check_fences(&fences, &log).expect("each record is under its fence");
    let unknown: u64 = racers.iter().map(|racer| racer.fences_unknown).sum();
    println!(
        "{} fences, {unknown} more of unknown outcome; {count}",
        fences.len()
    );
    let fenced = of_code(&racers, Code::Fenced);
    println!("{fenced} appends were refused for a superseded fence");
    // Who never met the other shows nothing.
    let changes = fences
        .windows(2)
        .filter(|two| two[0].token[..1] != two[1].token[..1]);
    assert!(changes.count() >= 5, "the fence hardly changed hands");
    assert!(fenced >= 5, "hardly any append met a superseded fence");

    // The check sees what it is to see: two records that changed places.
    let mut broken = log.clone();
    let first = payload_of(&log[0]);
    let other = log
        .iter()
        .position(|stored| token_of(&payload_of(stored)) != token_of(&first))
        .expect("another fence");
    (broken[0].payload, broken[other].payload) =
        (log[other].payload.clone(), log[0].payload.clone());
    check_fences(&fences, &broken).expect_err("records changed places");
    cluster.finish();
}

#[test]
fn of_two_appends_at_one_tail_one_is_applied() {
    let (mut cluster, mut rng) = begin();
    let (wanted, done) = (appends(), Arc::new(AtomicU64::new(0)));
    let racers = race(
        &cluster,
        &mut rng,
        &done,
        move |client, name, rng, done| async move {
            append_at_the_tail(&client, name, rng, wanted, &done).await
        },
    );
    let racers = disturb(&mut cluster, racers, &done, wanted);
    let log = same_everywhere(&mut cluster);
    let count = check_ends(&racers, &log);
    for append in racers.iter().flat_map(|racer| &racer.appends) {
        let tail = append.if_tail.expect("each has one");
        // check_ends() saw that it is there; and where two were acknowledged, one of them would not be.
        if let End::At(start) = append.end {
            assert_eq!(start, tail, "{append:?}");
        }
        // Also of those that were never acknowledged: if it is there, then where it had to be.
        let found = log
            .iter()
            .find(|stored| payload_of(stored) == append.payload);
        assert!(
            found.is_none_or(|stored| stored.offset == tail),
            "{append:?}: {found:?}"
        );
    }
    println!("{count}");
    let second = of_code(&racers, Code::TailMismatch);
    println!("{second} appends came second");
    assert!(second >= 5, "hardly any append came second");
    cluster.finish();
}

/// A cluster with the log.
fn begin() -> (Cluster, Rng) {
    let cluster = Cluster::started();
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        let created = client.create_log(LOG, CreateOptions::default()).await;
        created.expect("created");
        client.close().await;
    });
    (cluster, Rng::new(seed()))
}

/// Each racer on a thread and connections of its own.
fn race<F: Future<Output = Racer>>(
    cluster: &Cluster,
    rng: &mut Rng,
    done: &Arc<AtomicU64>,
    run: impl Fn(Client, String, Rng, Arc<AtomicU64>) -> F + Copy + Send + 'static,
) -> Vec<JoinHandle<Racer>> {
    let racer = |number: usize| {
        let (profile, rng, done): (Profile, _, _) =
            (cluster.profile(), Rng::new(rng.next()), Arc::clone(done));
        std::thread::spawn(move || {
            block_on(async {
                let client = Client::connect_within(profile, LIVENESS)
                    .await
                    .expect("there");
                let name = ["a", "b"][number].to_owned();
                let racer = run(client.clone(), name, rng, done).await;
                client.close().await;
                racer
            })
        })
    };
    (0..RACERS).map(racer).collect()
}

/// Kills the leader when a part of the race is over, some times, and waits for its end.
fn disturb(
    cluster: &mut Cluster,
    racers: Vec<JoinHandle<Racer>>,
    done: &AtomicU64,
    wanted: u64,
) -> Vec<Racer> {
    let all = wanted * RACERS as u64;
    let kills = KILLS * (wanted / APPENDS).max(1);
    for kill in 1..=kills {
        let at = all * kill / (kills + 1);
        until("the race goes on", || {
            cluster.alive();
            let over = racers.iter().any(JoinHandle::is_finished);
            (over || done.load(Ordering::Relaxed) >= at).then_some(())
        });
        let leader = cluster.leader();
        cluster.kill(leader);
        println!(
            "killed {leader} after {} of {all} appends",
            done.load(Ordering::Relaxed)
        );
        std::thread::sleep(Duration::from_millis(300));
        cluster.start(leader);
        cluster.wait_ready(leader);
    }
    racers
        .into_iter()
        .map(|racer| racer.join().expect("no panic"))
        .collect()
}

/// Appends in flight at once.
const IN_FLIGHT: usize = 8;

/// Half of the time in a hurry, so that some outcomes stay open.
fn patience(rng: &mut Rng) -> Duration {
    match rng.below(2) {
        0 => Duration::from_millis(rng.within(1, 40)),
        _ => LIVENESS,
    }
}

/// Sets the fence to a new token, appends under it until it is told that it is another's now, or a while, and again.
async fn fence_again_and_again(
    client: &Client,
    name: String,
    mut rng: Rng,
    wanted: u64,
    done: &AtomicU64,
) -> Racer {
    let mut racer = Racer::default();
    let mut ordinal = 0;
    while (racer.appends.len() as u64) < wanted {
        ordinal += 1;
        let token = format!("{name}{ordinal}");
        let deadline = patience(&mut rng);
        let hurried = client.clone().with_deadline(deadline);
        match hurried.fence(LOG, Some(&token), Expected::Any).await {
            Ok(fenced) => racer.fences.push(Fence {
                token: token.clone(),
                tail: fenced.tail,
                version: fenced.version,
            }),
            Err(error) => {
                racer.fences_unknown += u64::from(error.outcome == OutcomeFact::Unknown);
                continue;
            }
        }
        let options = AppenderOptions {
            deadline,
            fence: Some(token.clone()),
            max_batch_records: 1,
            ..AppenderOptions::default()
        };
        let Ok(appender) = client.appender(LOG, options).await else {
            continue;
        };
        let under = racer.appends.len() + rng.within(5, 60) as usize;
        let mut flights = Flights::new(&appender, &mut racer.appends, done);
        loop {
            let number = flights.appends.len();
            // Given up as well by whoever nobody shut out: else the slower one never comes.
            if number >= under || flights.refused.is_some() {
                break;
            }
            let payload = format!("{token} {name} {number}");
            flights.append(payload, None).await;
        }
        flights.end().await;
        tokio::time::sleep(Duration::from_micros(rng.below(1_500))).await;
    }
    racer
}

/// Appends where it believes that the log ends, several behind each other, and looks again when it was wrong.
async fn append_at_the_tail(
    client: &Client,
    name: String,
    mut rng: Rng,
    wanted: u64,
    done: &AtomicU64,
) -> Racer {
    let mut racer = Racer::default();
    let mut tail = 0;
    while (racer.appends.len() as u64) < wanted {
        let deadline = patience(&mut rng);
        let options = AppenderOptions {
            deadline,
            ..AppenderOptions::default()
        };
        let Ok(appender) = client.appender(LOG, options).await else {
            continue;
        };
        for _ in 0..rng.within(1, 20) {
            let mut flights = Flights::new(&appender, &mut racer.appends, done);
            for _ in 0..rng.within(1, IN_FLIGHT as u64) {
                let payload = format!("{name} {}", flights.appends.len());
                flights.append(payload, Some(tail)).await;
                tail += 1;
            }
            if let Some(error) = flights.end().await {
                // What it says of the tail, or what anybody says.
                tail = match error.tail {
                    Some(tail) => tail,
                    None => match client.check_tail(LOG, Default::default()).await {
                        Ok(info) => info.offset,
                        Err(_) => tail,
                    },
                };
                break;
            }
            tokio::time::sleep(Duration::from_micros(rng.below(1_000))).await;
        }
    }
    racer
}

/// Appends of one appender that are under way.
struct Flights<'a> {
    appender: &'a Appender,
    appends: &'a mut Vec<Append>,
    done: &'a AtomicU64,
    pending: Vec<(usize, Pending)>,
    /// The first refusal.
    refused: Option<Error>,
}

impl<'a> Flights<'a> {
    fn new(appender: &'a Appender, appends: &'a mut Vec<Append>, done: &'a AtomicU64) -> Self {
        Flights {
            appender,
            appends,
            done,
            pending: Vec::new(),
            refused: None,
        }
    }

    async fn append(&mut self, payload: String, if_tail: Option<u64>) {
        let records = vec![Record::new(payload.clone())];
        let taken = match if_tail {
            Some(tail) => self.appender.append_at(records, tail).await,
            None => self.appender.append(records).await,
        };
        self.appends.push(Append {
            payload,
            if_tail,
            end: End::Unknown,
        });
        match taken {
            Ok(pending) => self.pending.push((self.appends.len() - 1, pending)),
            Err(error) => self.ended(self.appends.len() - 1, Err(error)),
        }
        if self.pending.len() >= IN_FLIGHT {
            let (at, oldest) = self.pending.remove(0);
            self.ended(at, oldest.await);
        }
    }

    fn ended(&mut self, at: usize, result: Result<Receipt, Error>) {
        if let Err(error) = &result {
            self.refused.get_or_insert_with(|| error.clone());
        }
        self.appends[at].end = End::of(result);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    async fn end(mut self) -> Option<Error> {
        for (at, pending) in std::mem::take(&mut self.pending) {
            self.ended(at, pending.await);
        }
        self.refused
    }
}

/// The log, which is to be the same on every replica.
fn same_everywhere(cluster: &mut Cluster) -> Vec<Stored> {
    // Nothing that is under way somewhere lands behind what is read.
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        client.seal(LOG).await.expect("sealed");
        client.close().await;
    });
    cluster.wait_all_ready();
    cluster.wait_caught_up();
    let profile = cluster.profile();
    let mut logs = cluster
        .places
        .iter()
        .map(|place| block_on(read_at(&profile, place.clients, LOG)));
    let first = logs.next().expect("three replicas");
    for other in logs {
        assert!(first == other, "replicas differ");
    }
    first
}

/// Every acknowledged append is there once, where it was said to be; what was not applied is not; nothing else is.
fn check_ends(racers: &[Racer], log: &[Stored]) -> String {
    let mut places: HashMap<String, u64> = HashMap::new();
    for stored in log {
        let twice = places.insert(payload_of(stored), stored.offset);
        assert_eq!(twice, None, "{:?} is there twice", stored.payload);
    }
    let (mut acknowledged, mut refused, mut unknown, mut unknown_there) = (0, 0, 0, 0);
    for append in racers.iter().flat_map(|racer| &racer.appends) {
        let found = places.remove(&append.payload);
        match append.end {
            End::At(start) => {
                assert_eq!(found, Some(start), "{append:?}");
                acknowledged += 1;
            }
            End::Not(_) => {
                assert_eq!(found, None, "{append:?} is there");
                refused += 1;
            }
            End::Unknown => {
                unknown += 1;
                unknown_there += u64::from(found.is_some());
            }
        }
    }
    assert!(places.is_empty(), "nobody appended {places:?}");
    assert!(
        acknowledged * 4 >= appends(),
        "only {acknowledged} were acknowledged"
    );
    format!(
        "{acknowledged} appends acknowledged, {refused} not applied, {unknown} unknown of which {unknown_there} are there"
    )
}

/// Each record lies between the tail at which its fence was set and that of the next one.
fn check_fences(fences: &[Fence], log: &[Stored]) -> Result<(), String> {
    let orders: HashMap<&str, usize> = fences
        .iter()
        .enumerate()
        .map(|(order, fence)| (fence.token.as_str(), order))
        .collect();
    let mut latest = 0;
    for stored in log {
        let (payload, at) = (payload_of(stored), stored.offset);
        let Some(&order) = orders.get(token_of(&payload)) else {
            return Err(format!(
                "{payload:?} at {at} is under no fence that was set"
            ));
        };
        if order < latest {
            return Err(format!(
                "{payload:?} at {at} is behind records under a later fence"
            ));
        }
        latest = order;
        let next = fences.get(order + 1).map_or(u64::MAX, |next| next.tail);
        let tail = fences[order].tail;
        if at < tail || at >= next {
            return Err(format!(
                "{payload:?} at {at}: its fence was set at {tail}, the next at {next}"
            ));
        }
    }
    Ok(())
}

fn of_code(racers: &[Racer], code: Code) -> usize {
    let appends = racers.iter().flat_map(|racer| &racer.appends);
    appends
        .filter(|append| matches!(append.end, End::Not(with) if with == code))
        .count()
}

fn payload_of(stored: &Stored) -> String {
    String::from_utf8(stored.payload.to_vec()).expect("text")
}

fn token_of(payload: &str) -> &str {
    payload.split(' ').next().expect("it begins with it")
}
