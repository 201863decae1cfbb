//! Names as users type them, checked before anything is sent.

use paxlog_wire::limits::NAME_BYTES_MAX;

/// The name of a log: 1 to 255 of `[A-Za-z0-9._/-]`.
pub(crate) fn log_name(text: &str) -> Result<String, String> {
    let bad = text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "._/-".contains(*c)));
    match bad {
        Some(bad) => Err(format!(
            "{bad:?} is not allowed: a log's name is made of A-Z a-z 0-9 . _ / -"
        )),
        None => bounded(text),
    }
}

/// The name of a producer: 1 to 255 bytes without control characters.
pub(crate) fn producer_name(text: &str) -> Result<String, String> {
    match text.chars().find(|c| c.is_control()) {
        Some(bad) => Err(format!("{bad:?} is not allowed in a producer's name")),
        None => bounded(text),
    }
}

/// The name of a cursor: 1 to 255 bytes without control characters.
pub(crate) fn cursor_name(text: &str) -> Result<String, String> {
    producer_name(text).map_err(|problem| problem.replace("a producer's name", "a cursor's name"))
}

/// A fence: 1 to 255 bytes without control characters.
pub(crate) fn fence(text: &str) -> Result<String, String> {
    producer_name(text).map_err(|problem| problem.replace("a producer's name", "a fence"))
}

fn bounded(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("a name can't be empty".into()),
        1..=NAME_BYTES_MAX => Ok(text.into()),
        len => Err(format!(
            "a name has at most {NAME_BYTES_MAX} bytes, not {len}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_as_the_cluster_does() {
        for good in ["a", "orders/eu.1_x-2", &"x".repeat(255)] {
            assert_eq!(log_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "a b", "ä", "a\n", &"x".repeat(256)] {
            assert!(log_name(bad).is_err(), "{bad:?}");
        }
        assert!(producer_name("shop 1").is_ok());
        assert_eq!(cursor_name("c"), fence("c"));
        assert!(fence("\n").unwrap_err().ends_with("in a fence"));
        assert!(producer_name("").is_err() && producer_name("a\u{7}").is_err());
    }
}
