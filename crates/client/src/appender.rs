//! The pipelined, idempotent appender.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use paxlog_wire::Code;
use paxlog_wire::batch::Record;
use paxlog_wire::client::Receipt;

use crate::Error;
use crate::types::Summary;

/// Appends to one log, in order, many in flight; retries keep their sequence, so nothing is appended
/// twice and nothing is left out between two receipts.
#[derive(Debug)]
pub struct Appender {}

/// The receipt to come of one [`Appender::append`].
#[derive(Debug)]
pub struct Pending {}

impl Future for Pending {
    type Output = Result<Receipt, Error>;

    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(Error::new(
            Code::Unavailable,
            "this client cannot connect yet",
        )))
    }
}

/// The end of one tagged append ([`Appender::append_tagged`]).
#[derive(Clone, Debug)]
pub struct Completion {
    /// The caller's tag.
    pub tag: u64,
    /// What came of it.
    pub result: Result<Receipt, Error>,
}

impl Appender {
    /// Takes records to append, all or none, in order after all taken before; waits while the
    /// window is full.
    ///
    /// # Errors
    /// `TooLarge` or `Invalid` for records that fit no batch; the error that ended this appender, if one did.
    pub async fn append(&self, _records: Vec<Record>) -> Result<Pending, Error> {
        Err(Error::new(
            Code::Unavailable,
            "this client cannot connect yet",
        ))
    }

    /// As [`Appender::append`], with the end reported through [`Appender::completions`]: one wake-up
    /// for many, where a future each costs too much.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub async fn append_tagged(&self, _records: Vec<Record>, _tag: u64) -> Result<(), Error> {
        Err(Error::new(
            Code::Unavailable,
            "this client cannot connect yet",
        ))
    }

    /// Waits for ends of tagged appends, and moves all there are behind `into`, in the order of the appends.
    pub async fn completions(&self, _into: &mut Vec<Completion>) {}

    /// Waits until everything taken so far has ended.
    ///
    /// # Errors
    /// The first error since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    /// What was done so far.
    pub fn summary(&self) -> Summary {
        Summary::default()
    }

    /// Flushes, and says what was done. Errors are in the counts of the summary.
    pub async fn close(self) -> Summary {
        Summary::default()
    }
}
