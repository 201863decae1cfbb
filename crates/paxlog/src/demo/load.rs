//! A steady load.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use paxlog_client::{Appender, Completion, Record};
use serde_json::json;

use paxlog_sim::history::OpId;

use super::record::Record as History;
use super::{DemoArgs, Story};
use crate::failure::Failure;
use crate::time;

/// Keeps appends in flight, and has them and their receipts taken down.
pub(super) struct Load {
    inflight: u64,
    payload: Vec<u8>,
    next: u64,
    given: VecDeque<(OpId, Instant)>,
    pub(super) acknowledged: u64,
    history: History,
    last_receipt: Instant,
    /// The longest time without a receipt.
    pub(super) longest: Duration,
    pub(super) all: Histogram<u64>,
    second: Histogram<u64>,
    ends: Vec<Completion>,
}

impl Load {
    pub(super) fn new(args: &DemoArgs, history: History) -> Load {
        let histogram =
            || Histogram::new_with_bounds(1, 100_000_000, 3).expect("constant bounds in order");
        Load {
            inflight: args.inflight,
            payload: vec![b'.'; args.payload as usize],
            next: 0,
            given: VecDeque::new(),
            acknowledged: 0,
            history,
            last_receipt: Instant::now(),
            longest: Duration::ZERO,
            all: histogram(),
            second: histogram(),
            ends: Vec::new(),
        }
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.next - self.acknowledged
    }

    pub(super) fn quantile(&self, quantile: f64) -> String {
        time::human(Duration::from_micros(self.all.value_at_quantile(quantile)))
    }

    /// Until that time; with a story, a line a second or so.
    pub(super) async fn run(
        &mut self,
        appender: &Appender,
        until: Instant,
        story: Option<&Story>,
    ) -> Result<(), Failure> {
        let mut line = Instant::now() + Duration::from_secs(1);
        self.second.reset();
        self.last_receipt = Instant::now();
        while Instant::now() < until {
            self.fill(appender).await?;
            tokio::select! {
                () = appender.completions(&mut self.ends) => self.receipts()?,
                () = tokio::time::sleep_until(until.into()) => {}
            }
            if let Some(story) = story
                && Instant::now() >= line
            {
                self.line(story)?;
                line += Duration::from_secs(1);
            }
        }
        Ok(())
    }

    pub(super) async fn fill(&mut self, appender: &Appender) -> Result<(), Failure> {
        while self.in_flight() < self.inflight {
            self.payload[..8].copy_from_slice(&self.next.to_le_bytes());
            let id = self.history.append(&self.payload);
            appender
                .append_tagged(vec![Record::new(self.payload.clone())], self.next)
                .await?;
            self.given.push_back((id, Instant::now()));
            self.next += 1;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self, appender: &Appender) -> Result<(), Failure> {
        while self.in_flight() > 0 {
            appender.completions(&mut self.ends).await;
            self.receipts()?;
        }
        Ok(())
    }

    pub(super) fn receipts(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.longest = self.longest.max(now - self.last_receipt);
        self.last_receipt = now;
        for end in self.ends.drain(..) {
            if end.tag != self.acknowledged {
                return Err(Failure::integrity(format!(
                    "the receipt of append {} came in the place of {}",
                    end.tag, self.acknowledged
                )));
            }
            let (id, given) = self.given.pop_front().expect("as many were given as ended");
            self.history.appended(id, &end.result);
            end.result?;
            self.acknowledged += 1;
            let us = ((now - given).as_micros() as u64).max(1);
            self.all.saturating_record(us);
            self.second.saturating_record(us);
        }
        Ok(())
    }

    pub(super) fn line(&mut self, story: &Story) -> Result<(), Failure> {
        let at = |quantile| self.second.value_at_quantile(quantile);
        let (records, p50, p99) = (self.second.len(), at(0.5), at(0.99));
        let us = Duration::from_micros;
        story.tell(
            "rate",
            &format!(
                "{:>9} records/s   p50 {:>8}   p99 {:>8}",
                time::thousands(records),
                time::human(us(p50)),
                time::human(us(p99))
            ),
            json!({"ops_per_s": records, "p50_us": p50, "p99_us": p99}),
        )?;
        self.second.reset();
        Ok(())
    }
}
