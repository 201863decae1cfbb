//! etcd, by gRPC: tonic, and the few messages that are needed, with the numbers of etcd's `rpc.proto` (version 3).
//!
//! An append is a put of a new key, a batch is one transaction of puts; each is answered when it is applied, after a
//! majority has synced it. Used as well as it can be: each client has [`CHANNELS`] connections to the leader, so that
//! nothing is forwarded, many puts are under way on each, and a key is as short as it can be. A log is a prefix of
//! keys; a reader asks for page after page, at the live end it watches. Connections are not encrypted.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::{Driver, Packing, Pending, Reach};
use crate::compare::load::Target;

/// Connections of a client that appends.
const CHANNELS: usize = 2;
/// Records of a page: about 2 MB of 1 KiB records.
const PAGE: i64 = 2000;
/// The largest answer taken; the default of 4 MiB is less than a burst of a watch may be.
const ANSWER_BYTES_MAX: usize = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, PartialEq, Message)]
pub(in crate::compare) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(in crate::compare) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(in crate::compare) value: Bytes,
}

/// What of an answer is not looked at is skipped when decoding.
#[derive(Clone, Copy, PartialEq, Message)]
pub(in crate::compare) struct Done {}

#[derive(Clone, PartialEq, Message)]
struct TxnRequest {
    #[prost(message, repeated, tag = "2")]
    success: Vec<RequestOp>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOp {
    #[prost(message, optional, tag = "2")]
    request_put: Option<PutRequest>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TxnResponse {
    #[prost(bool, tag = "2")]
    succeeded: bool,
}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    limit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    start_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(in crate::compare) struct WatchResponse {
    #[prost(bool, tag = "4")]
    canceled: bool,
    #[prost(string, tag = "6")]
    cancel_reason: String,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseHeader {
    #[prost(uint64, tag = "2")]
    member_id: u64,
}

/// What a member says of itself.
#[derive(Clone, PartialEq, Message)]
pub(in crate::compare) struct Status {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub(in crate::compare) version: String,
    /// The id of the leader that it knows; 0 if none.
    #[prost(uint64, tag = "4")]
    pub(in crate::compare) leader: u64,
    #[prost(uint64, tag = "5")]
    pub(in crate::compare) raft_index: u64,
    #[prost(uint64, tag = "7")]
    pub(in crate::compare) raft_applied_index: u64,
}

impl Status {
    /// Whether it is the leader itself.
    pub(in crate::compare) fn leads(&self) -> bool {
        let own = self.header.as_ref().map(|header| header.member_id);
        self.leader != 0 && own == Some(self.leader)
    }
}

/// A channel to a member, connected when it is used first.
pub(in crate::compare) fn channel(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect_timeout(PATIENCE)
        // The defaults of HTTP/2 would hold a reader of big pages up.
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(endpoint.connect_lazy())
}

async fn call<Q, A>(channel: &Channel, path: &'static str, request: Q) -> Result<A>
where
    Q: Message + Send + Sync + 'static,
    A: Message + Default + Send + Sync + 'static,
{
    let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
    grpc.ready().await?;
    let codec = ProstCodec::<Q, A>::default();
    let path = PathAndQuery::from_static(path);
    let answer = grpc.unary(tonic::Request::new(request), path, codec).await;
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => bail!("etcd answers {:?}: {}", status.code(), status.message()),
    }
}

/// Puts a value under a key.
pub(in crate::compare) async fn put(channel: &Channel, request: PutRequest) -> Result<()> {
    let _: Done = call(channel, "/etcdserverpb.KV/Put", request).await?;
    Ok(())
}

/// Asks a member how it is.
pub(in crate::compare) async fn status(channel: &Channel) -> Result<Status> {
    call(channel, "/etcdserverpb.Maintenance/Status", Done {}).await
}

/// The members' addresses, and which of them leads.
pub(in crate::compare) struct Client {
    members: Vec<String>,
    leader: usize,
}

pub(in crate::compare) struct Appends {
    channels: Vec<Channel>,
    prefix: String,
    records: usize,
    given: u64,
    pending: Pending,
}

pub(in crate::compare) enum Reads {
    End {
        channel: Channel,
        /// The first key of the next page, and the first one beyond the log.
        next: Bytes,
        end: Bytes,
    },
    Live(Box<tonic::Streaming<WatchResponse>>),
}

fn key(prefix: &str, number: u64) -> Bytes {
    format!("{prefix}/{number:012x}").into()
}

/// All keys of a log: `first..end`. `0` comes after `/`.
fn keys(log: &str) -> (Bytes, Bytes) {
    (format!("{log}/").into(), format!("{log}0").into())
}

impl Driver for Client {
    type Appends = Appends;
    type Reads = Reads;

    async fn connect(target: &Target) -> Result<Client> {
        let Target::Etcd(members) = target else {
            bail!("not an etcd cluster");
        };
        for (leader, address) in members.iter().enumerate() {
            if status(&channel(address)?).await?.leads() {
                let members = members.clone();
                return Ok(Client { members, leader });
            }
        }
        bail!("no etcd member leads");
    }

    async fn appends(&self, log: &str, packing: Packing) -> Result<Appends> {
        let mut channels = Vec::new();
        for _ in 0..CHANNELS.min(packing.flight) {
            let channel = channel(&self.members[self.leader])?;
            // Connects.
            status(&channel).await?;
            channels.push(channel);
        }
        Ok(Appends {
            channels,
            prefix: format!("{log}/{}", packing.client),
            records: packing.records,
            given: 0,
            pending: Pending::new(),
        })
    }

    async fn reads(&self, log: &str, reach: Reach, number: usize) -> Result<Reads> {
        let address = &self.members[(self.leader + number) % self.members.len()];
        let channel = channel(address)?;
        let (first, end) = keys(log);
        if reach == Reach::End {
            let next = first;
            return Ok(Reads::End { channel, next, end });
        }
        let create = WatchCreateRequest {
            key: first,
            range_end: end,
            start_revision: 1,
        };
        let request = WatchRequest {
            create_request: Some(create),
        };
        // It lasts as long as its stream of requests.
        let requests = stream::iter([request]).chain(stream::pending());
        let mut grpc = Grpc::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        grpc.ready().await?;
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answers = grpc
            .streaming(tonic::Request::new(requests), path, codec)
            .await
            .context("a watch")?;
        Ok(Reads::Live(Box::new(answers.into_inner())))
    }
}

impl super::Appends for Appends {
    async fn give(&mut self, tag: u64, payload: &Bytes) -> Result<()> {
        let channel = self.channels[tag as usize % self.channels.len()].clone();
        let first = self.given;
        self.given += self.records as u64;
        let put_of = |number| PutRequest {
            key: key(&self.prefix, number),
            value: payload.clone(),
        };
        if self.records == 1 {
            let request = put_of(first);
            self.pending.push(async move {
                put(&channel, request).await?;
                Ok(tag)
            });
        } else {
            let success = (first..self.given)
                .map(|number| RequestOp {
                    request_put: Some(put_of(number)),
                })
                .collect();
            self.pending.push(async move {
                let request = TxnRequest { success };
                let answer: TxnResponse = call(&channel, "/etcdserverpb.KV/Txn", request).await?;
                ensure!(answer.succeeded, "etcd did not apply a transaction");
                Ok(tag)
            });
        }
        Ok(())
    }

    async fn ended(&mut self, into: &mut Vec<u64>) -> Result<()> {
        self.pending.ended(into).await
    }
}

impl super::Reads for Reads {
    async fn next(&mut self, into: &mut Vec<Bytes>) -> Result<()> {
        match self {
            Reads::End { channel, next, end } => {
                let request = RangeRequest {
                    key: next.clone(),
                    range_end: end.clone(),
                    limit: PAGE,
                };
                let page: RangeResponse = call(channel, "/etcdserverpb.KV/Range", request).await?;
                if let Some(last) = page.kvs.last() {
                    // The least key that is greater.
                    *next = [&last.key[..], b"\0"].concat().into();
                }
                into.extend(page.kvs.into_iter().map(|kv| kv.value));
            }
            Reads::Live(answers) => {
                // The first answer has no events: it says that the watch is there.
                while into.is_empty() {
                    let answer = answers.message().await?.context("a watch ended")?;
                    ensure!(
                        !answer.canceled,
                        "a watch was cancelled: {}",
                        answer.cancel_reason
                    );
                    let values = answer.events.into_iter().filter_map(|event| event.kv);
                    into.extend(values.map(|kv| kv.value));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_bytes_of_etcd() {
        let request = PutRequest {
            key: "k".into(),
            value: "v".into(),
        };
        assert_eq!(request.encode_to_vec(), b"\x0a\x01k\x12\x01v");
        let put = RequestOp {
            request_put: Some(request),
        };
        let txn = TxnRequest { success: vec![put] };
        assert_eq!(txn.encode_to_vec(), b"\x12\x08\x12\x06\x0a\x01k\x12\x01v");
    }

    #[test]
    fn keys_are_in_the_order_of_their_numbers_and_within_their_log() {
        let (first, end) = keys("bench");
        assert!(first < key("bench/0", 0));
        assert!(key("bench/0", 9) < key("bench/0", 10));
        assert!(key("bench/9", u64::from(u32::MAX)) < end);
        assert!(end < key("bench1/0", 0) || key("bench1/0", 0) < first);
    }
}
