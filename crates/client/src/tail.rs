//! Following a log.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use paxlog_session::{TailConfig, TailOutput};
use paxlog_wire::client::{ReadFrom, Started};

use crate::driver::Driver;
use crate::pool::Pool;
use crate::types::{Batch, TailEvent, TailOptions};
use crate::{Error, random};

/// A stream of what comes, pushed by a replica within the credit it was given; when that replica
/// fails, it goes on at another from the same offset.
#[derive(Debug)]
pub struct Tail {
    driver: Driver<paxlog_session::Tail>,
    /// Bytes of the records given last: dealt with once the next are asked for.
    held: u64,
    over: Option<Result<u64, Error>>,
}

impl Tail {
    pub(crate) fn start(
        pool: Arc<Pool>,
        log: &str,
        from: ReadFrom,
        options: &TailOptions,
        patience: Duration,
    ) -> Tail {
        let config = TailConfig {
            credit: options.credit,
            patience: patience.as_nanos() as u64,
            ..TailConfig::new(log, from, random::seed())
        };
        let machine = paxlog_session::Tail::new(pool.now(), config, pool.tracker());
        Tail {
            driver: Driver::new(pool, machine),
            held: 0,
            over: None,
        }
    }

    /// Waits for the next event. Cancel-safe. What the last event held of the credit is given back.
    ///
    /// # Errors
    /// `NotFound`, `LogDeleted`, `Corrupt`; `Invalid` with [`skip_to`](crate::Error::skip_to) at a batch that cannot be
    /// read as its producer wrote it; or, when no replica answered for the client's deadline, why.
    pub async fn next(&mut self) -> Result<TailEvent, Error> {
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            self.driver.machine.release(held);
        }
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<TailEvent, Error>> {
        loop {
            if let Some(over) = &self.over {
                return Poll::Ready(over.clone().map(|tail| TailEvent::Sealed { tail }));
            }
            if let Some(output) = self.driver.machine.poll_output() {
                return Poll::Ready(match output {
                    TailOutput::Records(piece) => {
                        self.held += piece.bytes();
                        Ok(TailEvent::Records(Batch(piece)))
                    }
                    TailOutput::Gap { to } => Ok(TailEvent::Gap { to }),
                    TailOutput::CaughtUp { tail } => Ok(TailEvent::CaughtUp { tail }),
                    TailOutput::Sealed { tail } => {
                        self.over = Some(Ok(tail));
                        Ok(TailEvent::Sealed { tail })
                    }
                    TailOutput::Failed(error) => {
                        self.over = Some(Err(error.clone()));
                        Err(error)
                    }
                });
            }
            if self.driver.poll_turn(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// What the replica that sends the records said when it began, once one has: where the log begins and ends there,
    /// and how old that may be. Another replica may take over; then it is what that one said.
    pub fn started(&self) -> Option<Started> {
        self.driver.machine.started()
    }

    /// The offset of the next record to come, once it is known.
    pub fn position(&self) -> Option<u64> {
        self.driver.machine.position()
    }
}
