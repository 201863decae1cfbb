//! Optimistic concurrency: a log as the one source of a state, here of an account that must not be overdrawn.
//!
//! Everybody who changes the account reads the log to its end, decides, and appends on the condition that the log still
//! ends there ([`AppendOptions::if_tail`]). Of two who decided on the same state one wins; the other is told where the
//! log ends now ([`Code::TailMismatch`], [`Error::tail`]), reads what it has missed, and decides anew. Nobody holds a
//! lock, so nobody can die with one.
//!
//! ```sh
//! cargo run --release -p paxlog-client --example conditional -- examples/account +100
//! cargo run --release -p paxlog-client --example conditional -- examples/account -30
//! ```

mod common;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use common::Failure;
use paxlog_client::{
    AppendOptions, Client, Code, Consistency, Error, From, OutcomeFact, ReadOptions, Record,
};

fn main() -> ExitCode {
    common::run(
        "conditional [--profile FILE] LOG +AMOUNT|-AMOUNT [TIMES]",
        conditional,
    )
}

/// The state that the log's records add up to.
#[derive(Default)]
struct Account {
    balance: i64,
    /// The offset of the first record that is not in `balance` yet: the tail, as far as we know.
    next: u64,
}

async fn conditional(client: &Client, args: &[String]) -> Result<(), Failure> {
    let [log, amount, times @ ..] = args else {
        return Err("which account, and what to do with it? Try --help".into());
    };
    let amount: i64 = amount.parse()?;
    let times: u64 = times.first().map_or(Ok(1), |text| text.parse())?;
    let mut account = Account::default();
    for _ in 0..times {
        change(client, log, &mut account, amount).await?;
    }
    println!("balance {} at {}", account.balance, account.next);
    Ok(())
}

/// Changes the account once.
async fn change(
    client: &Client,
    log: &str,
    account: &mut Account,
    amount: i64,
) -> Result<(), Failure> {
    // By this we know our own record again.
    let id = unique()?;
    loop {
        if account.read_on(client, log, &id).await? {
            return Ok(());
        }
        if account.balance + amount < 0 {
            return Err(
                format!("the balance of {} does not allow {amount}", account.balance).into(),
            );
        }
        let record = Record::new(amount.to_string()).with_header("id", id.clone());
        let on = AppendOptions {
            if_tail: Some(account.next),
            ..AppendOptions::default()
        };
        // This opens an appender for one append. Who appends often keeps one, and uses `Appender::append_at`.
        match client.append_with(log, vec![record], on).await {
            Ok(receipt) => {
                account.balance += amount;
                account.next = receipt.end;
                return Ok(());
            }
            Err(error) if error.code == Code::TailMismatch => {
                println!("another was faster: the log ends at {:?} now", error.tail);
            }
            // It may be there, and if not it may still come. But there is one place where it can stand. If ours is
            // there, the next turn finds it; if another's is, ours never will be; if the place is free, we try again,
            // and of the two attempts at most one can have it.
            Err(error) if error.outcome == OutcomeFact::Unknown => println!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
}

impl Account {
    /// Reads what was appended since. True if the record of that id is among it.
    async fn read_on(&mut self, client: &Client, log: &str, id: &str) -> Result<bool, Failure> {
        let options = ReadOptions {
            // Everything that anybody was told of, whichever replica answers.
            consistency: Consistency::Linearizable,
            // A balance without its beginning would be wrong: fail if records are gone.
            strict: true,
            ..ReadOptions::default()
        };
        let mut reader = client.read(log, From::Offset(self.next), options).await?;
        let mut found = false;
        loop {
            let batch = match reader.next_batch().await {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(found),
                Err(error) if no_log_yet(&error) => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            for stored in batch.records() {
                let text = std::str::from_utf8(&stored.record.payload)?;
                self.balance += text.parse::<i64>()?;
                self.next = stored.offset + 1;
                found |= stored
                    .record
                    .headers
                    .iter()
                    .any(|(name, value)| name == "id" && value == id);
            }
        }
    }
}

/// The first append makes the log, where the cluster lets it.
fn no_log_yet(error: &Error) -> bool {
    error.code == Code::NotFound
}

/// An id that nobody else has: of this process, at this moment.
fn unique() -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(format!("{}-{}", std::process::id(), now.as_nanos()))
}
