//! NATS JetStream, by its Rust client.
//!
//! A log is a stream of three replicas with file storage, a batch is an atomic batch publish (all or nothing, one
//! acknowledgement). Used as well as it can be: a client that appends is connected to its stream's leader, so that
//! nothing takes a route between servers; publishes are pipelined, the futures of their acknowledgements awaited all at
//! once, and the bound of the library on what is unacknowledged is above what is in flight, so that it never waits by itself.
//! A reader is a pull consumer without acknowledgements, kept in memory, read from the server that leads it with
//! thousands of messages asked for ahead. Connections are not encrypted.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::stream::{ClusterInfo, Config, StorageType};
use async_nats::jetstream::{Context, message::PublishMessage};
use async_nats::{ConnectOptions, HeaderMap};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};

use super::{Driver, Packing, Pending, Reach};
use crate::compare::load::Target;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that a reader asks for ahead; it asks again when half have come.
const AHEAD: usize = 20_000;
/// Room for commands on their way to a connection's task.
const COMMANDS: usize = 8192;

/// The servers, by name.
pub(in crate::compare) struct Client {
    addresses: HashMap<String, String>,
    /// To any of them.
    context: Context,
}

pub(in crate::compare) struct Appends {
    context: Context,
    subject: String,
    client: usize,
    records: usize,
    batches: u64,
    pending: Pending,
}

pub(in crate::compare) struct Reads {
    messages: pull::Stream,
    /// Messages that there are, if it is to end.
    left: Option<u64>,
    /// Keeps the connection.
    _context: Context,
}

/// Connects to one server and stays with it; it comes back at once when that does.
pub(in crate::compare) async fn connect(address: &str, timeout: Duration) -> Result<Context> {
    let client = ConnectOptions::new()
        .ignore_discovered_servers()
        .client_capacity(COMMANDS)
        .subscription_capacity(4 * AHEAD)
        .reconnect_delay_callback(|_| Duration::from_millis(10))
        .connect(format!("nats://{address}"))
        .await
        .with_context(|| format!("connecting to {address}"))?;
    let context = ContextBuilder::new()
        .timeout(timeout)
        .max_ack_inflight(1 << 20)
        .build(client);
    Ok(context)
}

/// Makes a stream of three replicas; gives the name of the server that leads it.
pub(in crate::compare) async fn make_stream(context: &Context, name: &str) -> Result<String> {
    let config = Config {
        name: name.to_owned(),
        subjects: vec![name.to_owned()],
        storage: StorageType::File,
        num_replicas: 3,
        allow_atomic_publish: true,
        ..Config::default()
    };
    let stream = context
        .get_or_create_stream(config)
        .await
        .with_context(|| format!("making the stream {name}"))?;
    leader(stream.cached_info().cluster.as_ref()).context("the new stream has no leader")
}

/// The server that leads a stream or a consumer.
pub(in crate::compare) fn leader(cluster: Option<&ClusterInfo>) -> Option<String> {
    cluster?.leader.clone().filter(|name| !name.is_empty())
}

/// Publishes one record; gives the acknowledgement to come.
pub(in crate::compare) async fn publish(
    context: &Context,
    subject: &str,
    payload: Bytes,
) -> Result<impl Future<Output = Result<PublishAck>> + Send + use<>> {
    let ack = context.publish(subject.to_owned(), payload).await?;
    Ok(async move { Ok(ack.await?) })
}

impl Client {
    async fn dial(&self, server: &str) -> Result<Context> {
        let address = self
            .addresses
            .get(server)
            .with_context(|| format!("there is no server {server}"))?;
        connect(address, PATIENCE).await
    }
}

impl Driver for Client {
    type Appends = Appends;
    type Reads = Reads;

    async fn connect(target: &Target) -> Result<Client> {
        let Target::Nats(servers) = target else {
            bail!("not a NATS cluster");
        };
        let (_, first) = servers.first().context("no server is named")?;
        Ok(Client {
            addresses: servers.iter().cloned().collect(),
            context: connect(first, PATIENCE).await?,
        })
    }

    async fn appends(&self, log: &str, packing: Packing) -> Result<Appends> {
        let leader = make_stream(&self.context, log).await?;
        Ok(Appends {
            context: self.dial(&leader).await?,
            subject: log.to_owned(),
            client: packing.client,
            records: packing.records,
            batches: 0,
            pending: Pending::new(),
        })
    }

    async fn reads(&self, log: &str, reach: Reach, _number: usize) -> Result<Reads> {
        let config = || pull::Config {
            ack_policy: AckPolicy::None,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: Duration::from_secs(60),
            max_batch: AHEAD as i64,
            ..pull::Config::default()
        };
        let stream = self.context.get_stream(log).await?;
        let consumer = stream.create_consumer(config()).await?;
        let info = consumer.cached_info();
        let leader = leader(info.cluster.as_ref()).context("a new consumer has no leader")?;
        let left = (reach == Reach::End).then_some(info.num_pending);
        let context = self.dial(&leader).await?;
        let stream = context.get_stream_no_info(log).await?;
        let here: PullConsumer = stream
            .get_consumer(&info.name)
            .await
            .map_err(|error| anyhow!("{error}"))?;
        let messages = here
            .stream()
            .max_messages_per_batch(AHEAD)
            .messages()
            .await?;
        Ok(Reads {
            messages,
            left,
            _context: context,
        })
    }
}

impl Appends {
    /// Publishes a batch that is stored as a whole or not at all: each message has the batch's id and its own place, the
    /// last one says that it is all, and is acknowledged for all.
    async fn give_batch(&mut self, tag: u64, payload: &Bytes) -> Result<()> {
        self.batches += 1;
        let id = format!("{}-{}", self.client, self.batches);
        let client = self.context.client();
        for place in 1..self.records {
            let headers = headers(&id, place);
            client
                .publish_with_headers(self.subject.clone(), headers, payload.clone())
                .await?;
        }
        let mut last = headers(&id, self.records);
        last.insert("Nats-Batch-Commit", "1");
        let message = PublishMessage::build()
            .payload(payload.clone())
            .headers(last);
        let ack = self
            .context
            .send_publish(self.subject.clone(), message)
            .await?;
        let records = self.records as u64;
        self.pending.push(async move {
            let ack = ack.await?;
            ensure!(
                ack.batch_size == Some(records),
                "NATS stored {:?} messages of a batch of {records}",
                ack.batch_size
            );
            Ok(tag)
        });
        Ok(())
    }
}

fn headers(id: &str, place: usize) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Batch-Id", id);
    headers.insert("Nats-Batch-Sequence", place.to_string());
    headers
}

impl super::Appends for Appends {
    async fn give(&mut self, tag: u64, payload: &Bytes) -> Result<()> {
        if self.records > 1 {
            return self.give_batch(tag, payload).await;
        }
        let ack = publish(&self.context, &self.subject, payload.clone()).await?;
        self.pending.push(async move {
            ack.await?;
            Ok(tag)
        });
        Ok(())
    }

    async fn ended(&mut self, into: &mut Vec<u64>) -> Result<()> {
        self.pending.ended(into).await
    }
}

impl super::Reads for Reads {
    async fn next(&mut self, into: &mut Vec<Bytes>) -> Result<()> {
        if self.left == Some(0) {
            return Ok(());
        }
        let mut next = Some(self.messages.next().await);
        while let Some(message) = next {
            let message = message.context("a consumer ended")?;
            let message = message.map_err(|error| anyhow!("a consumer failed: {error}"))?;
            into.push(message.message.payload);
            self.left = self.left.map(|left| left.saturating_sub(1));
            if into.len() >= AHEAD {
                break;
            }
            next = self.messages.next().now_or_never();
        }
        Ok(())
    }
}
