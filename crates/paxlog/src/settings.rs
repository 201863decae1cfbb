//! A log's settings as flags, and as they are shown.

use std::time::Duration;

use clap::Args;
use paxlog_client::{ConfigChange, LogConfig};
use serde_json::{Value, json};

use crate::time;

/// What can be set; `none` takes a setting away.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct SettingArgs {
    /// Trim records that are older (7d, 12h, 90s; none: never for their age).
    #[arg(long, value_parser = age, value_name = "AGE")]
    retention_age: Option<Age>,
    /// Trim the oldest records while more bytes than this are kept (10GiB, 500MB; none: never for their bytes).
    #[arg(long, value_parser = size, value_name = "BYTES")]
    retention_bytes: Option<Size>,
    /// The largest batch it takes (1MiB; none: 4 MiB, the limit of every log).
    #[arg(long, value_parser = batch_size, value_name = "BYTES")]
    max_batch: Option<Size>,
    /// Bytes a second that it takes, over all producers (20MB; none: no bound).
    #[arg(long, value_parser = size, value_name = "BYTES")]
    append_rate: Option<Size>,
}

/// A time to keep records for; 0: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Age(u64);

/// A number of bytes; 0: no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(u64);

impl SettingArgs {
    /// Whether none was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.change() == ConfigChange::default()
    }

    pub(crate) fn change(&self) -> ConfigChange {
        ConfigChange {
            retention_age_ns: self.retention_age.map(|age| age.0),
            retention_bytes: self.retention_bytes.map(|size| size.0),
            batch_bytes_max: self.max_batch.map(|size| size.0 as u32),
            append_bytes_per_s: self.append_rate.map(|size| size.0),
        }
    }

    pub(crate) fn config(&self) -> LogConfig {
        let change = self.change();
        LogConfig {
            retention_age_ns: change.retention_age_ns.unwrap_or(0),
            retention_bytes: change.retention_bytes.unwrap_or(0),
            batch_bytes_max: change.batch_bytes_max.unwrap_or(0),
            append_bytes_per_s: change.append_bytes_per_s.unwrap_or(0),
        }
    }
}

fn age(text: &str) -> Result<Age, String> {
    if text == "none" {
        return Ok(Age(0));
    }
    let days = |count: &str, seconds: u64| {
        let count: u64 = count.parse().ok()?;
        Some(Duration::from_secs(count.checked_mul(seconds)?))
    };
    let parsed = match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(count), _) => days(count, 86_400),
        (_, Some(count)) => days(count, 7 * 86_400),
        _ => time::parse_duration(text).ok(),
    };
    let ns = parsed.and_then(|age| u64::try_from(age.as_nanos()).ok());
    match ns {
        Some(ns) if ns > 0 => Ok(Age(ns)),
        _ => Err(format!("`{text}` is not an age such as 7d, 12h or none")),
    }
}

fn size(text: &str) -> Result<Size, String> {
    if text == "none" {
        return Ok(Size(0));
    }
    match time::parse_bytes(text)? {
        0 => Err(format!("`{text}`: write none for no bound")),
        bytes => Ok(Size(bytes)),
    }
}

fn batch_size(text: &str) -> Result<Size, String> {
    let limit = paxlog_client::limits::BATCH_BYTES_MAX as u64;
    match size(text)? {
        Size(bytes) if bytes > limit => Err(format!(
            "`{text}` is over the limit of every log, {limit} bytes"
        )),
        size => Ok(size),
    }
}

/// The settings under their names in the API; null: none.
pub(crate) fn to_json(config: &LogConfig) -> Value {
    let some = |value: u64| (value > 0).then_some(value);
    json!({
        "retention_age_s": some(config.retention_age_ns).map(|ns| ns as f64 / 1e9),
        "retention_bytes": some(config.retention_bytes),
        "batch_bytes_max": some(config.batch_bytes_max.into()),
        "append_bytes_per_s": some(config.append_bytes_per_s),
    })
}

/// The settings that are not the default, for people.
pub(crate) fn to_text(config: &LogConfig) -> String {
    let mut parts = Vec::new();
    if config.retention_age_ns > 0 {
        let age = Duration::from_nanos(config.retention_age_ns);
        parts.push(format!("records for {}", time::human_age(age)));
    }
    if config.retention_bytes > 0 {
        let bytes = time::human_bytes(config.retention_bytes);
        parts.push(format!("the newest {bytes}"));
    }
    if parts.is_empty() {
        parts.push("everything until it is trimmed".to_owned());
    }
    let mut text = format!("keeps {}", parts.join(", and "));
    if config.batch_bytes_max > 0 {
        let bytes = time::human_bytes(config.batch_bytes_max.into());
        text.push_str(&format!("; batches up to {bytes}"));
    }
    if config.append_bytes_per_s > 0 {
        let bytes = time::human_bytes(config.append_bytes_per_s);
        text.push_str(&format!("; takes {bytes} a second"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_are_read_as_people_write_them() {
        let day = 86_400 * 1_000_000_000;
        assert_eq!(age("7d"), Ok(Age(7 * day)));
        assert_eq!(age("2w"), Ok(Age(14 * day)));
        assert_eq!(age("12h"), Ok(Age(day / 2)));
        assert_eq!(age("none"), Ok(Age(0)));
        for bad in ["", "d", "-1d", "0s", "7", "9999999999999d"] {
            assert!(age(bad).is_err(), "{bad}");
        }
        assert_eq!(size("10GiB"), Ok(Size(10 << 30)));
        assert_eq!(size("none"), Ok(Size(0)));
        assert!(size("0").is_err() && size("much").is_err());
        assert!(batch_size("5MiB").is_err() && batch_size("4MiB").is_ok());
    }

    #[test]
    fn settings_in_words() {
        let config = LogConfig {
            retention_age_ns: 7 * 86_400 * 1_000_000_000,
            retention_bytes: 1_000_000_000,
            batch_bytes_max: 0,
            append_bytes_per_s: 5_000_000,
        };
        assert_eq!(
            to_text(&config),
            "keeps records for 7 days, and the newest 1.0 GB; takes 5.0 MB a second"
        );
        assert_eq!(
            to_text(&LogConfig::default()),
            "keeps everything until it is trimmed"
        );
        assert_eq!(to_json(&config)["batch_bytes_max"], Value::Null);
    }
}
