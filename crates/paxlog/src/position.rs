//! `--from`: where a reader begins.

use paxlog_client::From;

use crate::failure::Failure;
use crate::time;

/// Reads `first`, `tail`, an offset, `tail-N` or `@TIME`.
pub(crate) fn parse(text: &str) -> Result<From, Failure> {
    let number = |digits: &str| digits.parse::<u64>().ok();
    match text {
        "first" => return Ok(From::First),
        "tail" => return Ok(From::Tail),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("cursor:") {
        return Err(Failure::usage(format!(
            "cannot read from the cursor `{name}`: this release keeps no cursors"
        ))
        .hint("keep the next offset yourself and give it as --from OFFSET"));
    }
    if let Some(at) = text.strip_prefix('@') {
        time::parse_ns(at).map_err(|problem| {
            Failure::usage(format!("--from {text}: {problem}"))
                .hint("write the time as RFC 3339, with its offset")
        })?;
        return Err(Failure::usage(format!(
            "cannot read from the time {at}: this release finds records by offset only"
        ))
        .hint("the timestamps of `paxlog read --output json` show which offset to begin at"));
    }
    let from = match text.strip_prefix("tail-") {
        Some(count) => number(count).map(From::TailMinus),
        None => number(text).map(From::Offset),
    };
    from.ok_or_else(|| {
        Failure::usage(format!("--from {text}: not a place in a log"))
            .hint("write first, tail, an offset such as 42, or tail-10")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn every_form_is_read() {
        assert_eq!(parse("first").unwrap(), From::First);
        assert_eq!(parse("tail").unwrap(), From::Tail);
        assert_eq!(parse("42").unwrap(), From::Offset(42));
        assert_eq!(parse("tail-10").unwrap(), From::TailMinus(10));
    }

    #[test]
    fn what_is_no_place_is_refused_before_anything_is_sent() {
        for text in [
            "",
            "last",
            "-1",
            "tail-",
            "tail-x",
            "@noon",
            "cursor:me",
            "@2026-11-24T10:00:00Z",
        ] {
            assert_eq!(parse(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
