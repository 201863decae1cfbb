//! Times and durations as people and scripts write them.

use std::time::Duration;

use jiff::Timestamp;

/// Writes nanoseconds since 1970 as RFC 3339 in UTC with nine digits: a number of that size
/// would lose its end in jq and JavaScript.
pub(crate) fn format_ns(ns: u64) -> String {
    match Timestamp::from_nanosecond(i128::from(ns)) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S.%9NZ").to_string(),
        // Beyond the year 9999.
        Err(_) => format!("{ns}ns"),
    }
}

/// Reads an RFC 3339 time with its offset (`2026-11-24T10:00:00Z`), as nanoseconds since 1970.
pub(crate) fn parse_ns(text: &str) -> Result<u64, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is not a time such as 2026-11-24T10:00:00Z"))?;
    u64::try_from(time.as_nanosecond()).map_err(|_| format!("`{text}` is before 1970"))
}

/// Reads `1ms`, `10s`, `1m30s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is not a duration such as 10s or 1ms");
    let span: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    Duration::try_from(span).map_err(|_| bad())
}

/// Reads `1000`, `64KiB`, `10GB`: a number with a unit of bytes, decimal or binary.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => 0,
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor));
    match bytes {
        Some(bytes) if factor > 0 => Ok(bytes),
        _ => Err(format!(
            "`{text}` is not a size such as 64KiB, 10GB or 1000"
        )),
    }
}

/// Writes a long duration for people: whole days, hours, minutes or seconds where it is, else as [`human`] does.
pub(crate) fn human_age(age: Duration) -> String {
    let seconds = age.as_secs();
    if age.subsec_nanos() == 0 {
        for (unit, length) in [
            ("day", 86_400),
            ("hour", 3_600),
            ("minute", 60),
            ("second", 1),
        ] {
            if seconds > 0 && seconds.is_multiple_of(length) {
                let count = seconds / length;
                let plural = if count == 1 { "" } else { "s" };
                return format!("{count} {unit}{plural}");
            }
        }
    }
    human(age)
}

/// Writes a duration for people, with two or three digits that matter.
pub(crate) fn human(duration: Duration) -> String {
    let us = duration.as_secs_f64() * 1e6;
    if us < 1e3 {
        format!("{us:.0} µs")
    } else if us < 1e4 {
        format!("{:.2} ms", us / 1e3)
    } else if us < 1e6 {
        format!("{:.0} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

/// Writes a byte count for people.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// Writes a count with its thousands apart: `1,234,567`.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_nine_digits_and_come_back() {
        for ns in [0, 1, 999_999_999, 1_795_000_000_123_456_789] {
            let text = format_ns(ns);
            assert_eq!(text.len(), "1970-01-01T00:00:00.000000000Z".len(), "{text}");
            assert_eq!(parse_ns(&text), Ok(ns));
        }
        assert_eq!(format_ns(1), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(parse_ns("1970-01-01T01:00:00+01:00"), Ok(0));
        assert!(
            parse_ns("1969-12-31T00:00:00Z")
                .unwrap_err()
                .contains("before 1970")
        );
        assert!(parse_ns("yesterday").is_err());
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1ms"), Ok(Duration::from_millis(1)));
        assert_eq!(parse_duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert!(parse_duration("10").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn sizes_are_read_in_either_kind_of_unit() {
        assert_eq!(parse_bytes("1000"), Ok(1_000));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("10 GB"), Ok(10_000_000_000));
        for bad in ["", "GB", "-1", "1.5MB", "10XB", "99999999999TiB"] {
            assert!(parse_bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(human(Duration::from_micros(80)), "80 µs");
        assert_eq!(human(Duration::from_micros(1234)), "1.23 ms");
        assert_eq!(human(Duration::from_millis(250)), "250 ms");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(5_120_000), "5.1 MB");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(thousands(123), "123");
        assert_eq!(human_age(Duration::from_secs(86_400)), "1 day");
        assert_eq!(human_age(Duration::from_secs(7_200)), "2 hours");
        assert_eq!(human_age(Duration::from_millis(1_500)), "1.50 s");
    }
}
