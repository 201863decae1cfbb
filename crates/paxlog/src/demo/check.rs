//! What was read, against what was acknowledged.

use paxlog_client::{Client, Consistency, From, ReadOptions, Record, TailEvent};

use super::LOG;
use crate::failure::Failure;

/// Holds what was read against what was acknowledged: `offsets[n]` is where append `n` was said to be.
pub(super) fn check(what: &str, read: &[u64], offsets: &[u64], end: u64) -> Result<(), Failure> {
    let wrong = |why: String| {
        Err(Failure::integrity(format!("{what}: {why}"))
            .hint("this must never happen: please report it"))
    };
    if read.len() as u64 != end {
        return wrong(format!(
            "{} records were read of a log that ends at {end}",
            read.len()
        ));
    }
    // Every append was acknowledged, so the log is exactly the appends, in order.
    for (offset, number) in (0_u64..).zip(read) {
        if offset != *number {
            return wrong(format!(
                "append {number} stands at offset {offset}, where append {offset} belongs"
            ));
        }
    }
    for (number, offset) in (0_u64..).zip(offsets) {
        if read.get(*offset as usize) != Some(&number) {
            return wrong(format!(
                "append {number} was acknowledged at offset {offset} and is not there"
            ));
        }
    }
    Ok(())
}

pub(super) async fn read_all(
    client: &Client,
    consistency: Consistency,
) -> Result<Vec<u64>, Failure> {
    let options = ReadOptions {
        consistency,
        strict: true,
        ..ReadOptions::default()
    };
    let mut reader = client.read(LOG, From::First, options).await?;
    let mut numbers = Vec::new();
    while let Some(batch) = reader.next_batch().await? {
        numbers.extend(batch.records().map(|stored| number(&stored.record)));
    }
    Ok(numbers)
}

pub(super) async fn follow(
    mut tail: paxlog_client::Tail,
) -> Result<Vec<u64>, paxlog_client::Error> {
    let mut numbers = Vec::new();
    loop {
        match tail.next().await? {
            TailEvent::Records(batch) => {
                numbers.extend(batch.records().map(|stored| number(&stored.record)))
            }
            TailEvent::Gap { .. } | TailEvent::CaughtUp { .. } => {}
            TailEvent::Sealed { .. } => return Ok(numbers),
        }
    }
}

pub(super) fn number(record: &Record) -> u64 {
    record
        .payload
        .first_chunk::<8>()
        .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn the_check_sees_what_is_missing_repeated_or_out_of_place() {
        assert!(check("x", &[0, 1, 2], &[0, 1, 2], 3).is_ok());
        for (read, offsets, end) in [
            (vec![0, 1], vec![0, 1, 2], 3),
            (vec![0, 2, 1], vec![0, 1, 2], 3),
            (vec![0, 1, 1], vec![0, 1, 2], 3),
            (vec![0, 1, 2], vec![0, 2, 1], 3),
            (vec![0, 1], vec![0, 1, 2], 2),
            (vec![0, 1, 2, 2], vec![0, 1, 2], 4),
        ] {
            assert_eq!(
                check("x", &read, &offsets, end).unwrap_err().exit,
                Exit::Integrity,
                "{read:?} {offsets:?} {end}"
            );
        }
    }
}
