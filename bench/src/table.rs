//! Results as tables for people.

use serde_json::{Value, json};

/// Microseconds with the digits that matter.
pub(crate) fn us(value: &Value) -> String {
    match value.as_f64() {
        None => "–".into(),
        Some(us) if us < 1e3 => format!("{us:.0} µs"),
        Some(us) if us < 1e4 => format!("{:.2} ms", us / 1e3),
        Some(us) if us < 1e6 => format!("{:.0} ms", us / 1e3),
        Some(us) => format!("{:.2} s", us / 1e6),
    }
}

pub(crate) fn rate(value: &Value) -> String {
    let digits = format!("{:.0}", value.as_f64().unwrap_or(0.0));
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn number(value: &Value) -> String {
    value
        .as_f64()
        .map_or("–".into(), |number| format!("{number:.2}"))
}

pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".into(),
        other => other.to_string(),
    }
}

/// What [`suite::measure`](crate::suite::measure) gave.
pub fn suite(all: &Value) -> String {
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    let machine = &all["machine"];
    line(format!(
        "{} CPUs ({}), {} MB, Linux {}, {}",
        text(&machine["cpus"]),
        text(&machine["model"]),
        text(&machine["memory_mb"]),
        text(&machine["kernel"]),
        text(&machine["disk"]),
    ));
    line(format!(
        "three replica processes, default settings, 1 KiB records; medians of {} rounds of {} s each",
        text(&all["plan"]["rounds"]),
        text(&all["plan"]["secs"]),
    ));
    line(format!(
        "load average {} before, {} after (this run included)",
        number(&all["load"]["before"]),
        number(&all["load"]["after"]),
    ));
    line(String::new());
    line(format!(
        "{:<44}{:>12}{:>12}{:>14}",
        "", "p50", "p99", "records/s"
    ));
    let floor = &all["floor"];
    for (what, key) in [
        ("floor: write + fdatasync, one writer", "sync"),
        ("floor: the same, three writers at once", "sync_three"),
        (
            "floor: QUIC round trip, client settings",
            "client_round_trip",
        ),
        (
            "floor: QUIC round trip, replica settings",
            "replica_round_trip",
        ),
        ("floor: the least that an append can take", "least_append"),
    ] {
        let (p50, p99) = (
            us(&floor[format!("{key}_p50_us")]),
            us(&floor[format!("{key}_p99_us")]),
        );
        line(format!("{what:<44}{p50:>12}{p99:>12}"));
    }
    if let Some(most) = floor["most_mb_per_s"].as_f64() {
        // One append is a record of 1 KiB.
        let records = serde_json::json!(most * 1e6 / 1024.0);
        let what = "floor: the most that these cores can append";
        line(format!(
            "{what:<44}{:>12}{:>12}{:>14}",
            "",
            "",
            rate(&records)
        ));
    }
    for (what, key) in [
        ("append, one in flight", "append_lone"),
        (
            "append, 256 in flight, a frame a record",
            "append_256_coalesce_off",
        ),
        (
            "append, 256 in flight, records share batches",
            "append_256_coalesce_on",
        ),
        ("append to a tailing reader's ear", "tail"),
    ] {
        let part = &all[key];
        line(format!(
            "{what:<44}{:>12}{:>12}{:>14}",
            us(&part["p50_us"]),
            us(&part["p99_us"]),
            rate(&part["ops_per_s"]),
        ));
    }
    line(String::new());
    line(format!(
        "a lone append takes {} times the least possible",
        number(&all["append_lone"]["times_floor"])
    ));
    let failover = &all["failover"];
    if failover.is_object() {
        line(format!(
            "leader killed: the longest pause that an appender sees is {} ms in the median of {} kills, {} ms at worst ({} ms in a second without a kill)",
            text(&failover["pause_median_ms"]),
            text(&failover["kills"]),
            text(&failover["pause_max_ms"]),
            text(&failover["before_median_ms"]),
        ));
    }
    out.trim_end().to_owned()
}

/// What [`memory::Memory::summary`](crate::memory::Memory::summary) gave.
pub fn memory(all: &Value) -> String {
    let mut out = format!(
        "{:.2} GB passed through in {} s ({} MB/s) with {} trims\n{:<10}{:>10}{:>10}{:>10}   {:<8}{:>12}{:>12}   flat",
        all["bytes"].as_f64().unwrap_or(0.0) / 1e9,
        text(&all["secs"]),
        text(&all["mb_per_s"]),
        text(&all["trims"]),
        "RssAnon",
        "start",
        "peak",
        "end",
        "flat",
        "disk, peak",
        "disk, end",
    );
    for replica in all["replicas"].as_array().into_iter().flatten() {
        let mb = |key: &str| format!("{:.1} MB", replica[key].as_f64().unwrap_or(0.0));
        out.push_str(&format!(
            "\nreplica {:<2}{:>10}{:>10}{:>10}   {:<8}{:>12}{:>12}   {}",
            text(&replica["replica"]),
            mb("start_mb"),
            mb("peak_mb"),
            mb("end_mb"),
            yes_or_no(&replica["flat"]),
            mb("disk_peak_mb"),
            mb("disk_end_mb"),
            yes_or_no(&replica["disk_flat"]),
        ));
    }
    out.push_str(&format!(
        "\n{}",
        match all["holds"] == true {
            true => format!(
                "the memory of every replica stayed flat and at or under {} MB",
                text(&all["bound_mb"])
            ),
            false => format!(
                "memory is NOT flat and at or under {} MB everywhere",
                text(&all["bound_mb"])
            ),
        }
    ));
    out
}

/// What [`growth::measure`](crate::growth::measure) gave.
pub fn growth(all: &Value) -> String {
    let mut out = format!(
        "three replica processes, default settings, 1 KiB records; each row a cluster of its own, {} s a measurement\n",
        text(&all["plan"]["secs"])
    );
    let mut line = |cells: [&str; 8]| {
        let [what, lone, lone_p99, many, p50, p99, anon, start] = cells;
        out.push_str(&format!(
            "{what:<20}{lone:>10}{lone_p99:>10}{many:>14}{p50:>10}{p99:>10}{anon:>10}{start:>10}\n"
        ));
    };
    line([
        "",
        "lone p50",
        "p99",
        "in flight: /s",
        "p50",
        "p99",
        "RssAnon",
        "start",
    ]);
    for row in all["rows"].as_array().into_iter().flatten() {
        let count = row["count"].as_u64().unwrap_or(0);
        let what = match row["what"].as_str() {
            Some("bytes stored") => format!("{} GB stored", number(&json!(count as f64 / 1e9))),
            Some(what) if count == 1 => format!("1 {}", what.trim_end_matches('s')),
            what => format!("{} {}", rate(&row["count"]), what.unwrap_or("?")),
        };
        let many = if row["many"].is_null() {
            &row["one_each"]
        } else {
            &row["many"]
        };
        line([
            &what,
            &us(&row["lone"]["p50_us"]),
            &us(&row["lone"]["p99_us"]),
            &rate(&many["ops_per_s"]),
            &us(&many["p50_us"]),
            &us(&many["p99_us"]),
            &format!("{} MB", text(&row["anon_mb"])),
            &us(&json!(row["start_ms"].as_f64().map(|ms| ms * 1e3))),
        ]);
    }
    out.push_str("in flight: 256 over four producers, or one of each of the row's producers");
    out
}

fn yes_or_no(value: &Value) -> &'static str {
    if *value == true { "yes" } else { "NO" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(us(&json!(312.0)), "312 µs");
        assert_eq!(us(&json!(3120)), "3.12 ms");
        assert_eq!(rate(&json!(1234567.8)), "1,234,568");
        assert_eq!(rate(&json!(999)), "999");
    }

    #[test]
    fn what_is_missing_does_not_hide_the_rest() {
        let table = suite(
            &json!({"append_lone": {"p50_us": 100, "times_floor": 2.5}, "floor": {"most_mb_per_s": 102.4}}),
        );
        assert!(table.contains("100 µs"), "{table}");
        assert!(table.contains("2.50 times"), "{table}");
        assert!(table.contains("100,000"), "{table}");
    }
}
