//! How each system's clients are driven: the same three verbs for all.

pub(super) mod etcd;
pub(super) mod nats;
pub(super) mod paxlog;

use std::future::Future;
use std::pin::Pin;

use anyhow::Result;
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use super::load::Target;

/// How a client appends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// Records of an append, which get one receipt.
    pub(super) records: usize,
    /// Whether the client library may pack appends into one.
    pub(super) coalesce: bool,
    /// The most appends in flight, for libraries that want to know.
    pub(super) flight: usize,
    /// Bytes of a record.
    pub(super) payload: usize,
    /// The client's number, where records of several clients must be told apart.
    pub(super) client: usize,
}

/// How far a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// From the first record to the end, as it is now.
    End,
    /// From the first record on, and what comes.
    Live,
}

/// A connected client.
pub(super) trait Driver: Sized + Send + 'static {
    type Appends: Appends;
    type Reads: Reads;

    fn connect(target: &Target) -> impl Future<Output = Result<Self>> + Send;

    /// Opens a log to append to, and makes it if nobody has.
    fn appends(
        &self,
        log: &str,
        packing: Packing,
    ) -> impl Future<Output = Result<Self::Appends>> + Send;

    /// Opens a log to read. Readers with other numbers go to other servers, where all serve reads.
    fn reads(
        &self,
        log: &str,
        reach: Reach,
        number: usize,
    ) -> impl Future<Output = Result<Self::Reads>> + Send;
}

/// Appends under way. Every future may be dropped without a loss.
pub(super) trait Appends: Send + 'static {
    /// Gives an append of as many records as was said, each of `payload`.
    fn give(&mut self, tag: u64, payload: &Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Waits for acknowledgements; the tags of all there are go to `into`. An append that fails is an error.
    fn ended(&mut self, into: &mut Vec<u64>) -> impl Future<Output = Result<()>> + Send;
}

/// Records as they come. Every future may be dropped without a loss.
pub(super) trait Reads: Send + 'static {
    /// Waits for records; the payloads of all there are go to `into`; nothing at the end.
    fn next(&mut self, into: &mut Vec<Bytes>) -> impl Future<Output = Result<()>> + Send;
}

/// Acknowledgements to come, for libraries that give a future each.
pub(super) struct Pending(FuturesUnordered<Pin<Box<dyn Future<Output = Result<u64>> + Send>>>);

impl Pending {
    fn new() -> Pending {
        Pending(FuturesUnordered::new())
    }

    fn push(&self, end: impl Future<Output = Result<u64>> + Send + 'static) {
        self.0.push(Box::pin(end));
    }

    /// Waits for one, and takes all others that are there.
    async fn ended(&mut self, into: &mut Vec<u64>) -> Result<()> {
        match self.0.next().await {
            Some(tag) => into.push(tag?),
            // Nothing is under way: there is nothing to wait for.
            None => std::future::pending().await,
        }
        while let Some(Some(tag)) = self.0.next().now_or_never() {
            into.push(tag?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ends_that_are_there_come_at_once() {
        let mut pending = Pending::new();
        for tag in 0..3 {
            pending.push(async move { Ok(tag) });
        }
        pending.push(std::future::pending());
        let mut ends = Vec::new();
        pending.ended(&mut ends).now_or_never().unwrap().unwrap();
        ends.sort_unstable();
        assert_eq!(ends, [0, 1, 2]);
        assert!(pending.ended(&mut ends).now_or_never().is_none());
    }
}
