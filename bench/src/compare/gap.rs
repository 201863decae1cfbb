//! The longest gap in a peer's acknowledgements when its leader is killed.
//!
//! Every peer is given the best case: workers that stay connected to all three servers, that give an attempt up soon and
//! try the next server at once, and count whichever acknowledgement comes first. So the gap is what the servers need, not
//! what a client's back-off adds. (Paxlog is measured with its client as it is: [`failover`](crate::failover).)

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream::Context;
use bytes::Bytes;
use tonic::transport::Channel;

use super::choice::System;
use super::drivers::{etcd, nats};
use super::servers::{MEMBERS, Peer};
use crate::failover::FailOver;

/// Appends in flight, as for Paxlog.
const WORKERS: usize = 16;
const PAYLOAD: usize = 1024;
/// An attempt that is not answered by then is given up.
const ATTEMPT: Duration = Duration::from_millis(200);
/// Between a refusal and the next attempt.
const PAUSE: Duration = Duration::from_millis(5);
/// A flow without a fault is watched for so long before each kill.
const BEFORE: Duration = Duration::from_secs(1);
/// The flow is watched for so long after a kill, and until acknowledgements come again.
const AFTER: Duration = Duration::from_secs(2);
const GAP_MAX: Duration = Duration::from_secs(60);
/// How long the members may take to be of one mind again.
const PATIENCE: Duration = Duration::from_secs(60);
/// The stream, or the prefix of keys.
const LOG: &str = "bench-failover";

/// Kills the leader of a peer `times` times under a flow of appends, and brings it back each time.
pub(super) fn measure(
    peer: &mut Peer,
    times: usize,
    mut each: impl FnMut(&FailOver),
) -> Result<Vec<FailOver>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut all = Vec::new();
        for _ in 0..times {
            let ways = Arc::new(Ways::open(peer).await?);
            let leader = settled(peer, &ways).await?;
            let flow = Arc::new(Mutex::new(Flow::new()));
            let mut workers = tokio::task::JoinSet::new();
            for worker in 0..WORKERS {
                workers.spawn(work(worker, Arc::clone(&ways), Arc::clone(&flow)));
            }
            // Connections and caches are warm after the first half.
            tokio::time::sleep(BEFORE / 2).await;
            lock(&flow).watch();
            tokio::time::sleep(BEFORE).await;
            let before = lock(&flow).watch();
            let victim = peer.take(leader)?;
            let killed = Instant::now();
            let reaper = std::thread::spawn(move || drop(victim));
            tokio::time::sleep(AFTER).await;
            while lock(&flow).last < killed + AFTER / 2 {
                let waited = killed.elapsed();
                ensure!(
                    waited < GAP_MAX,
                    "no acknowledgement for {} s after a kill",
                    waited.as_secs()
                );
                peer.alive()?;
                tokio::time::sleep(AFTER / 8).await;
            }
            workers.shutdown().await;
            reaper.join().expect("to drop a process does not panic");
            peer.start(leader)?;
            let one = FailOver {
                replica: leader as u16 + 1,
                pause: lock(&flow).watch(),
                before,
            };
            each(&one);
            all.push(one);
        }
        Ok(all)
    })
}

fn lock(flow: &Mutex<Flow>) -> std::sync::MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When acknowledgements came.
struct Flow {
    last: Instant,
    longest: Duration,
}

impl Flow {
    fn new() -> Flow {
        Flow {
            last: Instant::now(),
            longest: Duration::ZERO,
        }
    }

    fn acknowledged(&mut self) {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last);
        self.last = now;
    }

    /// The longest gap since this was called last.
    fn watch(&mut self) -> Duration {
        std::mem::take(&mut self.longest)
    }
}

/// One connection to each member.
enum Ways {
    Etcd(Vec<Channel>),
    Nats(Vec<Context>),
}

impl Ways {
    async fn open(peer: &Peer) -> Result<Ways> {
        let addresses = peer
            .members()
            .iter()
            .map(|member| member.clients.to_string());
        if peer.system() == System::Etcd {
            let channels: Result<_> = addresses.map(|address| etcd::channel(&address)).collect();
            return Ok(Ways::Etcd(channels?));
        }
        let mut all = Vec::new();
        for address in addresses {
            all.push(persist(|| nats::connect(&address, ATTEMPT)).await?);
        }
        Ok(Ways::Nats(all))
    }

    async fn append(&self, member: usize, worker: usize, number: u64) -> Result<()> {
        let payload = Bytes::from(vec![b'.'; PAYLOAD]);
        match self {
            Ways::Etcd(channels) => {
                let request = etcd::PutRequest {
                    key: format!("{LOG}/{worker:02}/{number:012x}").into(),
                    value: payload,
                };
                etcd::put(&channels[member], request).await
            }
            Ways::Nats(contexts) => {
                let ack = nats::publish(&contexts[member], LOG, payload).await?;
                ack.await?;
                Ok(())
            }
        }
    }
}

/// Appends one after the other, through whichever member answers.
async fn work(worker: usize, ways: Arc<Ways>, flow: Arc<Mutex<Flow>>) {
    let (mut member, mut number) = (worker % MEMBERS, 0);
    loop {
        let attempt = ways.append(member, worker, number);
        if let Ok(Ok(())) = tokio::time::timeout(ATTEMPT, attempt).await {
            lock(&flow).acknowledged();
        } else {
            // A second attempt is another record: peers do not promise more here.
            member = (member + 1) % MEMBERS;
            tokio::time::sleep(PAUSE).await;
        }
        number += 1;
    }
}

/// Which member leads, once all are up to date.
async fn settled(peer: &Peer, ways: &Ways) -> Result<usize> {
    match ways {
        Ways::Etcd(_) => persist(|| peer.etcd_leader()).await,
        Ways::Nats(contexts) => persist(|| nats_leader(&contexts[0])).await,
    }
}

async fn nats_leader(context: &Context) -> Result<usize> {
    nats::make_stream(context, LOG).await?;
    let info = context.get_stream(LOG).await?.get_info().await?;
    let cluster = info.cluster.context("the stream has no cluster")?;
    let up_to_date = cluster
        .replicas
        .iter()
        .filter(|replica| replica.current && !replica.offline);
    if up_to_date.count() + 1 < MEMBERS {
        bail!("not all replicas of the stream are up to date");
    }
    let leader = nats::leader(Some(&cluster)).context("the stream has no leader")?;
    let place = (0..MEMBERS).find(|member| Peer::name(*member) == leader);
    place.context("an unknown server leads")
}

/// Tries until it works or it is too late.
async fn persist<T, F: Future<Output = Result<T>>>(mut attempt: impl FnMut() -> F) -> Result<T> {
    let begin = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if begin.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_is_kept_until_it_is_asked_for() {
        let mut flow = Flow::new();
        flow.last -= Duration::from_millis(300);
        flow.acknowledged();
        flow.acknowledged();
        assert!(flow.watch() >= Duration::from_millis(300));
        assert_eq!(flow.watch(), Duration::ZERO);
    }
}
