//! Reads by time begin at the first record that was stamped then or later, exactly: in memory, in segments of which the
//! index keeps a range alone, beside what was trimmed, and after restarts.

use paxlog_client::{AppenderOptions, Client, From, ReadOptions, Record};

use crate::support::{Cluster, LIVENESS, Rng, block_on, get, read_at, seed, starts_at, until};

const LOG: &str = "times";
/// 72 MB, in segments of 16 MiB.
const RECORDS: usize = 1_100;
const PAYLOAD: usize = 64 << 10;
/// Times asked for, of those around which something changes.
const PROBES: usize = 60;

#[test]
fn a_read_by_time_begins_at_the_first_record_of_that_time_or_later() {
    let mut rng = Rng::new(seed());
    let mut cluster = Cluster::started();
    block_on(async {
        let client = cluster.client().await.with_deadline(LIVENESS);
        let stamped = append(&client, &mut rng).await;
        cluster.wait_caught_up();
        // What the receipts said is what is stored.
        let address = cluster.place(1).clients;
        let stored = read_at(&cluster.profile(), address, LOG).await;
        let times: Vec<u64> = stored.iter().map(|stored| stored.timestamp).collect();
        assert!(times == stamped, "receipts and records tell other times");
        assert!(times.is_sorted());
        let mut distinct = times.clone();
        distinct.dedup();
        println!("{} records of {} times", times.len(), distinct.len());
        assert!(distinct.len() > 100, "too few times to look for");
        assert!(distinct.len() < times.len(), "none came at one time");
        until("batches are in memory no more, one by one", || {
            (1..=3)
                .all(|id| in_memory(&cluster, id) < RECORDS / 2)
                .then_some(())
        });

        let mut log = Log { times, trimmed: 0 };
        check(&cluster, &client, &log, &mut rng).await;
        // Within a cold segment, and later within one that was in the newest two.
        for to in [RECORDS / 10, RECORDS - 100] {
            client.trim(LOG, to as u64).await.expect("trimmed");
            cluster.wait_caught_up();
            log.trimmed = to;
            check(&cluster, &client, &log, &mut rng).await;
            if to < RECORDS / 2 {
                cluster.kill_all(&[1, 2, 3]);
                cluster.start_all();
                cluster.wait_all_ready();
                cluster.wait_caught_up();
                check(&cluster, &client, &log, &mut rng).await;
            }
        }
        client.close().await;
    });
    cluster.finish();
}

/// Gives the time of each record.
async fn append(client: &Client, rng: &mut Rng) -> Vec<u64> {
    let appender = client
        .appender(LOG, AppenderOptions::default())
        .await
        .expect("opened");
    let (mut times, mut pending) = (Vec::with_capacity(RECORDS), Vec::new());
    let mut taken = 0;
    while taken < RECORDS {
        // Several at once, so that one value, with one time, has many; and one alone.
        for _ in 0..rng.within(1, 6) {
            let count = (rng.within(1, 4) as usize).min(RECORDS - taken);
            if count == 0 {
                break;
            }
            taken += count;
            let records = (0..count)
                .map(|_| Record::new(vec![b'.'; PAYLOAD]))
                .collect();
            pending.push(appender.append(records).await.expect("taken"));
        }
        for pending in pending.drain(..) {
            let receipt = pending.await.expect("acknowledged");
            assert_eq!(receipt.start, times.len() as u64);
            times.extend((receipt.start..receipt.end).map(|_| receipt.timestamp));
        }
    }
    times
}

/// What the log is known to hold.
struct Log {
    times: Vec<u64>,
    trimmed: usize,
}

impl Log {
    /// Where a read from that time has to begin.
    fn first(&self, time: u64) -> u64 {
        let kept = &self.times[self.trimmed..];
        (self.trimmed + kept.partition_point(|&stamped| stamped < time)) as u64
    }

    /// Times before all, after all, of records, and beside those.
    fn probes(&self, rng: &mut Rng) -> Vec<u64> {
        let (first, last) = (self.times[self.trimmed], self.times[self.times.len() - 1]);
        let mut probes = vec![
            0,
            1,
            first - 1,
            first,
            first + 1,
            last - 1,
            last,
            last + 1,
            u64::MAX,
        ];
        for _ in 0..PROBES {
            // Below the trim point too.
            let time = self.times[rng.below(self.times.len() as u64) as usize];
            probes.extend([time - 1, time, time + 1]);
        }
        probes
    }
}

/// Asks each replica, the client library and the program.
async fn check(cluster: &Cluster, client: &Client, log: &Log, rng: &mut Rng) {
    let probes = log.probes(rng);
    let from: Vec<From> = probes.iter().map(|&time| From::Timestamp(time)).collect();
    for place in &cluster.places {
        let found = starts_at(&cluster.profile(), place.clients, LOG, &from).await;
        for (&time, found) in probes.iter().zip(found) {
            let id = place.id;
            assert_eq!(
                found,
                log.first(time),
                "replica {id} from {time}, trimmed {}",
                log.trimmed
            );
        }
    }
    let one = ReadOptions {
        max_records: 1,
        ..ReadOptions::default()
    };
    for &time in &probes[..30] {
        let mut reader = client
            .read(LOG, From::Timestamp(time), one.clone())
            .await
            .expect("begun");
        let batch = reader.next_batch().await.expect("read");
        let found = batch.and_then(|batch| batch.records().next());
        let found = found.map(|stored| (stored.offset, stored.timestamp));
        assert_eq!(found, log.record(time), "from {time}");
    }
    // Not the largest of all: no calendar has it.
    for &time in probes[2..8].iter().chain(&probes[9..13]) {
        let at = jiff::Timestamp::from_nanosecond(time.into()).expect("of this century");
        let lines = cluster
            .paxlog(&["read", LOG, "-n", "1", "--output", "json", "--from"])
            .arg(format!("@{at}"))
            .run()
            .ok()
            .json_lines();
        let found = lines
            .first()
            .map(|line| line["offset"].as_u64().expect("a number"));
        assert_eq!(
            found,
            log.record(time).map(|(offset, _)| offset),
            "from @{at}"
        );
    }
}

impl Log {
    /// The record that a read from that time gives first.
    fn record(&self, time: u64) -> Option<(u64, u64)> {
        let first = self.first(time);
        Some((first, *self.times.get(first as usize)?))
    }
}

/// How many batches a replica's index has one by one.
fn in_memory(cluster: &Cluster, id: u16) -> usize {
    let (_, metrics) = get(cluster.place(id).metrics, "/metrics").expect("metrics");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("paxlog_index_batches"))
        .expect("the metric");
    let value = line.rsplit(' ').next().expect("a value");
    value.parse::<f64>().expect("a number") as usize
}
