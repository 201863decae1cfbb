//! Values as text: ids, sizes, durations, addresses. Each error reads after the key: "must be …".

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::MemberConfig;

/// Writes a cluster id as 32 hex digits.
pub fn format_cluster_id(cluster: u128) -> String {
    format!("{cluster:032x}")
}

/// Reads a cluster id: exactly 32 hex digits, either case.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub fn parse_cluster_id(text: &str) -> Result<u128, String> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("must be 32 hex digits, not `{text}`"));
    }
    u128::from_str_radix(text, 16).map_err(|error| format!("must be 32 hex digits: {error}"))
}

/// Reads a size: a whole number of bytes, or one with `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`, `B`.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("must be a size such as \"64MiB\", not `{text}`");
    let text_trimmed = text.trim();
    let digits = text_trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).ok_or_else(bad)
}

/// Reads a duration: a number, perhaps with a fraction, and `ns`, `us`, `ms`, `s`, `m` or `h`.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("must be a duration such as \"20ms\" or \"1s\", not `{text}`");
    let text_trimmed = text.trim();
    let digits = text_trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(digits);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let unit = match unit.trim() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    // Whole nanoseconds, so that "20ms" is exactly 20 ms.
    let ns = (number * unit * 1e9).round();
    if !(0.0..=1e18).contains(&ns) {
        return Err(bad());
    }
    Ok(Duration::from_nanos(ns as u64))
}

pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("must be an address and port such as \"127.0.0.1:7400\", not `{text}`")
    })
}

pub(super) fn replica_id(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(id) if id != 0 => Ok(id),
        _ => Err(format!("must be a number from 1 to 65535, not {text}")),
    }
}

pub(super) fn parse_member(text: &str) -> Result<MemberConfig, String> {
    let (id, addresses) = text
        .split_once('=')
        .ok_or_else(|| format!("must be given as ID=ADDRESS[,ADDRESS…], not `{text}`"))?;
    Ok(MemberConfig {
        id: replica_id(id)?,
        replicas: addresses
            .split(',')
            .map(parse_address)
            .collect::<Result<_, _>>()?,
    })
}

pub(super) fn check_advertised(address: &str) -> Result<(), String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| format!("must be host:port such as \"10.0.0.1:7400\", not `{address}`"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || !matches!(port.parse::<u16>(), Ok(port) if port != 0) {
        return Err(format!(
            "must be host:port such as \"10.0.0.1:7400\", not `{address}`"
        ));
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(format!(
            "must not be {address}: write the address that clients reach this replica at"
        )),
        _ => Ok(()),
    }
}
