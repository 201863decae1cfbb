//! A steady flow of appends through one appender, as a user's program would have it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use paxlog_client::{Appender, AppenderOptions, Client, Completion, Record};

/// Keeps appends of one record in flight and watches their receipts.
pub(crate) struct Flow {
    appender: Appender,
    record: Record,
    inflight: u64,
    given: u64,
    /// Receipts got; they come in order.
    pub(crate) received: u64,
    /// One beyond the offset of the newest receipt.
    pub(crate) end: u64,
    pub(crate) last_receipt: Instant,
    /// The longest time between two receipts since it was last set to zero.
    pub(crate) longest: Duration,
    ends: Vec<Completion>,
}

impl Flow {
    pub(crate) async fn open(
        client: &Client,
        log: &str,
        inflight: u64,
        payload: usize,
    ) -> Result<Flow> {
        let options = AppenderOptions {
            deadline: DEADLINE,
            window_bytes: (inflight as usize * (payload + 256)).max(16 << 20),
            ..AppenderOptions::default()
        };
        Ok(Flow {
            appender: client.appender(log, options).await?,
            record: Record::new(vec![b'.'; payload]),
            inflight,
            given: 0,
            received: 0,
            end: 0,
            last_receipt: Instant::now(),
            longest: Duration::ZERO,
            ends: Vec::new(),
        })
    }

    /// Forgets the pauses so far.
    pub(crate) fn watch(&mut self) {
        self.longest = Duration::ZERO;
    }

    /// Goes on until `until`, or until `enough` appends have their receipt.
    ///
    /// # Errors
    /// An append that ended without a receipt; or a receipt for an offset that was given before.
    pub(crate) async fn run(&mut self, until: Instant, enough: u64) -> Result<()> {
        while Instant::now() < until && self.received < enough {
            while self.given - self.received < self.inflight {
                self.appender
                    .append_tagged(vec![self.record.clone()], self.given)
                    .await?;
                self.given += 1;
            }
            tokio::select! {
                () = self.appender.completions(&mut self.ends) => self.receipts()?,
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
        Ok(())
    }

    fn receipts(&mut self) -> Result<()> {
        let now = Instant::now();
        for end in self.ends.drain(..) {
            let receipt = end
                .result
                .with_context(|| format!("append {} has no receipt", end.tag))?;
            ensure!(
                end.tag == self.received && receipt.start >= self.end,
                "the receipt of append {} says {}..{} after {} receipts up to offset {}",
                end.tag,
                receipt.start,
                receipt.end,
                self.received,
                self.end
            );
            self.received += 1;
            self.end = receipt.end;
            self.longest = self.longest.max(now - self.last_receipt);
            self.last_receipt = now;
        }
        Ok(())
    }

    /// Waits for the receipts still out.
    ///
    /// # Errors
    /// As [`Flow::run`].
    pub(crate) async fn finish(mut self) -> Result<()> {
        while self.received < self.given {
            self.appender.completions(&mut self.ends).await;
            self.receipts()?;
        }
        self.appender.close().await;
        Ok(())
    }
}

/// Longer than any pause that would still be a pause.
const DEADLINE: Duration = Duration::from_secs(60);
