//! Reading up to a bound.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use paxlog_session::{Read, ReadConfig, ReadOutput};
use paxlog_wire::client::{ReadFrom, Started};

use crate::driver::Driver;
use crate::pool::Pool;
use crate::types::{Batch, Consistency, ReadOptions};
use crate::{Error, random};

/// A read that goes on until its bound; on another replica if one fails.
#[derive(Debug)]
pub struct Reader {
    driver: Driver<Read>,
    next: u64,
    tail: u64,
    over: bool,
}

impl Reader {
    pub(crate) fn start(
        pool: Arc<Pool>,
        log: &str,
        from: ReadFrom,
        options: &ReadOptions,
        deadline: Duration,
    ) -> Reader {
        let now = pool.now();
        let config = ReadConfig {
            records_max: options.max_records,
            bytes_max: options.max_bytes,
            until_timestamp: options.until,
            wait: options.wait.as_nanos() as u64,
            strict: options.strict,
            linearizable: options.consistency == Consistency::Linearizable,
            ..ReadConfig::new(
                log,
                from,
                random::seed(),
                now + (deadline + options.wait).as_nanos() as u64,
            )
        };
        let machine = Read::new(now, config, pool.tracker());
        Reader {
            driver: Driver::new(pool, machine),
            next: 0,
            tail: 0,
            over: false,
        }
    }

    /// The next records; none at the end.
    ///
    /// # Errors
    /// `NotFound`; `OffsetOutOfRange`; `Trimmed` in strict reads; `Corrupt`; `Invalid` with
    /// [`skip_to`](crate::Error::skip_to) at a batch that cannot be read as its producer wrote it; whatever kept the
    /// cluster from answering. What was given before stands.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        poll_fn(|context| self.poll_batch(context)).await
    }

    fn poll_batch(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Batch>, Error>> {
        loop {
            if self.over {
                return Poll::Ready(Ok(None));
            }
            while let Some(output) = self.driver.machine.poll_output() {
                match output {
                    ReadOutput::Records(piece) => {
                        self.next = piece.end;
                        self.tail = self.tail.max(piece.end);
                        return Poll::Ready(Ok(Some(Batch(piece))));
                    }
                    ReadOutput::Gap { to } => self.next = to,
                    ReadOutput::End {
                        next,
                        tail,
                        reason: _,
                    } => {
                        (self.next, self.tail, self.over) = (next, tail, true);
                        return Poll::Ready(Ok(None));
                    }
                    ReadOutput::Failed(error) => {
                        self.over = true;
                        return Poll::Ready(Err(error));
                    }
                }
            }
            if self.driver.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What the replica that gives the records said when it began, once one has: where the log begins and ends there,
    /// and how old that may be. Another replica may take over; then it is what that one said.
    pub fn started(&self) -> Option<Started> {
        self.driver.machine.started()
    }

    /// The offset to read on from.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The tail, as last heard.
    pub fn tail(&self) -> u64 {
        self.tail
    }
}
