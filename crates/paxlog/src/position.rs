//! `--from`: where a reader begins.

use paxlog_client::From;

use crate::failure::Failure;
use crate::{names, time};

/// Reads `first`, `tail`, an offset, `tail-N`, `@TIME` or `cursor:NAME`.
pub(crate) fn parse(text: &str) -> Result<From, Failure> {
    let number = |digits: &str| digits.parse::<u64>().ok();
    match text {
        "first" => return Ok(From::First),
        "tail" => return Ok(From::Tail),
        _ => {}
    }
    if let Some(name) = text.strip_prefix("cursor:") {
        return match names::cursor_name(name) {
            Ok(name) => Ok(From::Cursor(name)),
            Err(problem) => Err(Failure::usage(format!("--from {text}: {problem}"))),
        };
    }
    if let Some(at) = text.strip_prefix('@') {
        return match time::parse_ns(at) {
            Ok(ns) => Ok(From::Timestamp(ns)),
            Err(problem) => Err(Failure::usage(format!("--from {text}: {problem}"))
                .hint("write the time as RFC 3339, with its offset")),
        };
    }
    let from = match text.strip_prefix("tail-") {
        Some(count) => number(count).map(From::TailMinus),
        None => number(text).map(From::Offset),
    };
    from.ok_or_else(|| {
        Failure::usage(format!("--from {text}: not a place in a log"))
            .hint("write first, tail, an offset such as 42, tail-10, @2026-11-24T10:00:00Z or cursor:NAME")
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
        assert_eq!(parse("cursor:me").unwrap(), From::Cursor("me".into()));
        let at = parse("@1970-01-01T00:00:01Z").unwrap();
        assert_eq!(at, From::Timestamp(1_000_000_000));
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
            "cursor:",
            "cursor:a\nb",
        ] {
            assert_eq!(parse(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }
}
