//! Records go by age and by bytes, and nothing else goes: what is to be kept is read back, from every replica, while the
//! leader is killed and all are started again. Readers that come late are told of the gap. Disk space comes back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use paxlog_client::{
    Client, ConfigChange, CreateOptions, From, LogConfig, Record, TailEvent, TailOptions,
};

use crate::support::{Cluster, LIVENESS, block_on, read_at, until};

/// Keeps so many bytes.
const BY_BYTES: &str = "by-bytes";
const KEEP_BYTES: u64 = 20 << 20;
/// Keeps what is younger.
const BY_AGE: &str = "by-age";
const KEEP_AGE: Duration = Duration::from_secs(2);
/// Keeps everything.
const ALL: &str = "all";

/// A batch is one append of one record, of this many bytes with what frames it.
const BATCH: u64 = PAYLOAD as u64 + 32 + 12;
const PAYLOAD: usize = 256 << 10;
/// `wal.segment_bytes` of the clusters of these tests.
const SEGMENT: u64 = 16 << 20;

#[test]
fn what_is_old_or_too_much_goes_what_is_to_be_kept_stays_and_space_comes_back() {
    let mut cluster = Cluster::started();
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        create(&client, BY_BYTES, 0, KEEP_BYTES).await;
        create(&client, BY_AGE, KEEP_AGE.as_nanos() as u64, 0).await;
        let mut bytes = Log::new(BY_BYTES);
        let mut age = Log::new(BY_AGE);
        // A reader that stands still from the beginning on, and holds nothing back.
        let mut late = client
            .tail(
                BY_BYTES,
                From::First,
                TailOptions {
                    credit: PAYLOAD as u64 * 2,
                },
            )
            .await
            .expect("begun");
        bytes.append(&client, 1).await;
        let TailEvent::Records(first) = late.next().await.expect("the first record") else {
            panic!("no records");
        };
        assert_eq!((first.start(), first.end()), (0, 1));

        // 130 MB, so that segments of 16 MiB come and go.
        for _ in 0..40 {
            bytes.append(&client, 12).await;
            age.append(&client, 1).await;
            bytes.check(&client).await;
            age.check(&client).await;
        }
        let all = bytes.tail() * BATCH / SEGMENT;
        assert!(all >= 6, "only {all} segments were filled");
        settle(&client, &mut bytes, &mut age).await;
        read_all(&cluster, &bytes, &age).await;
        // As many as the records that are kept may lie in, those made ahead, and one that waits for a checkpoint.
        let most = (KEEP_BYTES + SEGMENT).div_ceil(SEGMENT) + 4;
        until("segments are deleted on every replica", || {
            let left: Vec<Vec<u64>> = (1..=3).map(|id| segments(&cluster, id)).collect();
            let gone = left
                .iter()
                .all(|left| left[0] > 3 && left.len() as u64 <= most);
            gone.then(|| println!("{all} segments were filled, left are {left:?}"))
        });

        // The reader hears of what it has missed, and then everything.
        let mut next = 1;
        let mut gaps = 0;
        while next < bytes.tail() {
            match late.next().await.expect("an event") {
                TailEvent::Records(batch) => {
                    assert_eq!(batch.start(), next);
                    for stored in batch.records() {
                        assert_eq!(stored.record.payload, payload(BY_BYTES, stored.offset));
                    }
                    next = batch.end();
                }
                TailEvent::Gap { to } => {
                    assert!(
                        to > next && to <= bytes.trimmed,
                        "{next} {to} {}",
                        bytes.trimmed
                    );
                    (next, gaps) = (to, gaps + 1);
                }
                TailEvent::CaughtUp { .. } => {}
                TailEvent::Sealed { .. } => panic!("nobody sealed it"),
            }
        }
        assert!(gaps >= 1, "it missed nothing");

        // A log that keeps all, among them; and the same again after the leader and then all were killed.
        let mut kept = Log::new(ALL);
        create(&client, ALL, 0, 0).await;
        for round in 0..2 {
            match round {
                0 => {
                    let leader = cluster.leader();
                    cluster.kill(leader);
                    bytes.append(&client, 20).await;
                    cluster.start(leader);
                }
                _ => {
                    cluster.kill_all(&[1, 2, 3]);
                    cluster.start_all();
                }
            }
            cluster.wait_all_ready();
            let before = (bytes.trimmed, age.trimmed);
            for _ in 0..10 {
                bytes.append(&client, 9).await;
                age.append(&client, 1).await;
                kept.append(&client, 1).await;
                bytes.check(&client).await;
                age.check(&client).await;
            }
            settle(&client, &mut bytes, &mut age).await;
            assert!(
                before.0 < bytes.trimmed && before.1 < age.trimmed,
                "{before:?}"
            );
            cluster.wait_caught_up();
            read_all(&cluster, &bytes, &age).await;
            kept.check(&client).await;
            assert_eq!(kept.trimmed, 0, "nobody said that its records go");
            kept.read(&cluster).await;
        }
        // Settings that are taken back count from then on.
        let change = ConfigChange {
            retention_age_ns: Some(0),
            ..ConfigChange::default()
        };
        client.alter_log(BY_AGE, change).await.expect("altered");
        age.append(&client, 1).await;
        tokio::time::sleep(KEEP_AGE + Duration::from_secs(2)).await;
        let before = age.trimmed;
        age.check(&client).await;
        assert_eq!(age.trimmed, before, "it was told to keep this");
        client.close().await;
    });
    cluster.finish();
}

async fn create(client: &Client, log: &str, retention_age_ns: u64, retention_bytes: u64) {
    let options = CreateOptions {
        config: LogConfig {
            retention_age_ns,
            retention_bytes,
            ..LogConfig::default()
        },
        ..CreateOptions::default()
    };
    client.create_log(log, options).await.expect("created");
}

/// A log as it has to be.
struct Log {
    name: &'static str,
    /// When each record was stamped.
    times: Vec<u64>,
    trimmed: u64,
}

impl Log {
    fn new(name: &'static str) -> Log {
        Log {
            name,
            times: Vec::new(),
            trimmed: 0,
        }
    }

    fn tail(&self) -> u64 {
        self.times.len() as u64
    }

    /// Records one by one: each is a batch.
    async fn append(&mut self, client: &Client, count: u64) {
        let appender = client
            .appender(
                self.name,
                paxlog_client::AppenderOptions {
                    max_batch_records: 1,
                    deadline: LIVENESS,
                    ..Default::default()
                },
            )
            .await
            .expect("opened");
        let mut pending = Vec::new();
        for offset in self.tail()..self.tail() + count {
            let record = Record::new(payload(self.name, offset));
            pending.push(appender.append(vec![record]).await.expect("taken"));
        }
        for pending in pending {
            let receipt = pending.await.expect("acknowledged");
            assert_eq!(receipt.start, self.tail(), "{}", self.name);
            self.times.push(receipt.timestamp);
        }
    }

    /// Looks that nothing went that was to be kept.
    async fn check(&mut self, client: &Client) {
        let tail = client.check_tail(self.name, Default::default()).await;
        let tail = tail.expect("a tail");
        assert_eq!(tail.offset, self.tail());
        assert!(tail.trim_point >= self.trimmed, "it went back");
        self.trimmed = tail.trim_point;
        if self.trimmed == 0 {
            return;
        }
        match self.name {
            BY_BYTES => {
                let kept = (self.tail() - self.trimmed) * BATCH;
                assert!(kept >= KEEP_BYTES, "only {kept} bytes are kept");
            }
            BY_AGE => {
                // The leader's clock is ours, and it trimmed before now.
                let youngest = self.times[self.trimmed as usize - 1];
                let age = now().saturating_sub(youngest);
                assert!(
                    u128::from(age) >= KEEP_AGE.as_nanos(),
                    "{age} ns is too young to go"
                );
            }
            _ => {}
        }
    }

    /// Every replica has exactly what is kept.
    async fn read(&self, cluster: &Cluster) {
        for place in &cluster.places {
            let stored = read_at(&cluster.profile(), place.clients, self.name).await;
            let from = stored.first().map_or(self.tail(), |first| first.offset);
            assert!(
                from >= self.trimmed,
                "{}: {from} {}",
                self.name,
                self.trimmed
            );
            assert_eq!(stored.len() as u64, self.tail() - from, "{}", self.name);
            for (offset, stored) in (from..).zip(&stored) {
                assert_eq!(stored.offset, offset);
                assert_eq!(stored.timestamp, self.times[offset as usize]);
                assert!(
                    stored.payload == payload(self.name, offset),
                    "{} at {offset}",
                    self.name
                );
            }
        }
    }
}

/// Waits until everything is gone that has to go.
async fn settle(client: &Client, bytes: &mut Log, age: &mut Log) {
    let begin = std::time::Instant::now();
    loop {
        bytes.check(client).await;
        age.check(client).await;
        // As coarse as the index is: by the segment, where batches are not in memory any more.
        let kept = (bytes.tail() - bytes.trimmed) * BATCH;
        if kept < KEEP_BYTES + SEGMENT + BATCH && age.trimmed == age.tail() {
            return;
        }
        assert!(
            begin.elapsed() < LIVENESS,
            "{kept} bytes are kept, {} of {} old records are gone",
            age.trimmed,
            age.tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn read_all(cluster: &Cluster, bytes: &Log, age: &Log) {
    bytes.read(cluster).await;
    age.read(cluster).await;
}

/// The numbers of a replica's segment files, rising.
fn segments(cluster: &Cluster, id: u16) -> Vec<u64> {
    let files = std::fs::read_dir(&cluster.place(id).data).expect("its directory");
    let mut numbers: Vec<u64> = files
        .filter_map(|file| {
            let name = file.ok()?.file_name();
            name.to_str()?.strip_suffix(".seg")?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    numbers
}

fn payload(log: &str, offset: u64) -> Vec<u8> {
    let mut payload = format!("{log} {offset} ").into_bytes();
    payload.resize(PAYLOAD, b'.');
    payload
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_nanos() as u64
}
