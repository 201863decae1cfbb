//! The table for a terminal.

use serde_json::Value;

use super::choice::{Scenario, System};
use crate::table::{number, rate, text, us};

/// What [`run`](super::run) gave, as text.
pub(super) fn table(all: &Value) -> String {
    let mut lines = head(all);
    for scenario in Scenario::in_order() {
        let rows: Vec<&Value> = of(all, scenario).collect();
        if rows.is_empty() {
            continue;
        }
        lines.push(String::new());
        lines.push(scenario.title().to_owned());
        match scenario {
            Scenario::Failover => failover(&rows, &mut lines),
            Scenario::Live | Scenario::Stuck => live(&rows, &mut lines),
            Scenario::Backlog => backlog(&rows, &mut lines),
            _ => appends(&rows, &mut lines),
        }
    }
    let left_out: Vec<&Value> = all["left_out"].as_array().into_iter().flatten().collect();
    if !left_out.is_empty() {
        lines.push(String::new());
    }
    for one in left_out {
        let of = match one["scenario"].as_str() {
            Some(scenario) => format!("{} in {scenario}", text(&one["system"])),
            None => text(&one["system"]),
        };
        lines.push(format!("left out: {of}: {}", text(&one["why"])));
    }
    lines.join("\n")
}

fn of(all: &Value, scenario: Scenario) -> impl Iterator<Item = &Value> {
    let results = all["results"].as_array().into_iter().flatten();
    results.filter(move |result| result["scenario"] == scenario.name())
}

fn head(all: &Value) -> Vec<String> {
    let machine = &all["machine"];
    let floor = &all["floor"]["median"];
    let mut lines = vec![
        format!(
            "{} CPUs ({}), {} MB, Linux {}, {}",
            text(&machine["cpus"]),
            text(&machine["model"]),
            text(&machine["memory_mb"]),
            text(&machine["kernel"]),
            text(&machine["disk"]),
        ),
        format!(
            "three processes of each system, default settings; medians of {} rounds of {} s, in turns; load average {} before, {} after",
            text(&all["plan"]["rounds"]),
            text(&all["plan"]["secs"]),
            number(&all["load"]["before"]),
            number(&all["load"]["after"]),
        ),
    ];
    if floor.is_object() {
        let most = match floor["most_bytes_per_s"].as_f64() {
            Some(bytes) => format!(", the most these cores can take {:.0} MB/s", bytes / 1e6),
            None => String::new(),
        };
        lines.push(format!(
            "the floor: a sync {}, three at once {}, the least append {}{most}",
            us(&floor["sync_p50_us"]),
            us(&floor["sync_three_p50_us"]),
            us(&floor["least_append_p50_us"]),
        ));
    }
    lines.push(
        "best peer x: how many times better than the best durable peer, by the first figure of a row; \
         floor: times the least latency, or the share of the most bytes a second"
            .to_owned(),
    );
    lines.push(format!(
        "versions: {}",
        all["versions"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, version)| format!("{name} {}", text(version)))
            .collect::<Vec<_>>()
            .join(", ")
    ));
    lines
}

fn label(row: &Value) -> &'static str {
    let known = System::ALL
        .into_iter()
        .find(|system| row["system"] == system.name());
    known.map_or("?", System::label)
}

/// The median, and the least and the greatest if they differ.
fn spread(row: &Value, key: &str) -> String {
    let (least, most) = (rate(&row["min"][key]), rate(&row["max"][key]));
    match least == most {
        true => String::new(),
        false => format!("{least}..{most}"),
    }
}

fn ratio(row: &Value) -> String {
    match row["times_best_durable_peer"].as_f64() {
        Some(ratio) => format!("{ratio:.2}"),
        None => "–".into(),
    }
}

fn of_floor(row: &Value) -> String {
    let floor = &row["of_floor"];
    match (floor["times"].as_f64(), floor["share"].as_f64()) {
        (Some(times), _) => format!("{times:.2} x"),
        (_, Some(share)) => format!("{:.0} %", share * 100.0),
        _ => "–".into(),
    }
}

fn appends(rows: &[&Value], lines: &mut Vec<String>) {
    lines.push(format!(
        "  {:<38}{:>10}{:>18}{:>9}{:>9}{:>9}{:>8}{:>9}{:>8}{:>8}{:>12}{:>8}",
        "",
        "records/s",
        "(spread)",
        "p50",
        "p99",
        "p99.9",
        "MB/s",
        "CPU s/GB",
        "RSS MB",
        "anon MB",
        "best peer x",
        "floor"
    ));
    for row in rows {
        let median = &row["median"];
        lines.push(format!(
            "  {:<38}{:>10}{:>18}{:>9}{:>9}{:>9}{:>8}{:>9}{:>8}{:>8}{:>12}{:>8}",
            label(row),
            rate(&median["ops_per_s"]),
            spread(row, "ops_per_s"),
            us(&median["p50_us"]),
            us(&median["p99_us"]),
            us(&median["p999_us"]),
            tenths(&median["mb_per_s"]),
            tenths(&median["servers_cpu_s_per_gb"]),
            rate(&median["peak_rss_mb"]),
            rate(&median["peak_anon_mb"]),
            ratio(row),
            of_floor(row),
        ));
    }
}

fn backlog(rows: &[&Value], lines: &mut Vec<String>) {
    lines.push(format!(
        "  {:<38}{:>10}{:>18}{:>12}{:>9}{:>8}{:>8}{:>12}{:>12}",
        "",
        "MB/s",
        "(spread)",
        "records/s",
        "CPU s/GB",
        "RSS MB",
        "anon MB",
        "backlog MB",
        "best peer x"
    ));
    for row in rows {
        let median = &row["median"];
        lines.push(format!(
            "  {:<38}{:>10}{:>18}{:>12}{:>9}{:>8}{:>8}{:>12}{:>12}",
            label(row),
            tenths(&median["mb_per_s"]),
            spread(row, "mb_per_s"),
            rate(&median["ops_per_s"]),
            tenths(&median["servers_cpu_s_per_gb"]),
            rate(&median["peak_rss_mb"]),
            rate(&median["peak_anon_mb"]),
            rate(&median["backlog_mb"]),
            ratio(row),
        ));
    }
}

fn live(rows: &[&Value], lines: &mut Vec<String>) {
    lines.push(format!(
        "  {:<38}{:>10}{:>12}{:>9}{:>9}{:>9}{:>12}{:>12}{:>9}{:>12}  appends slower by the stuck one",
        "",
        "appends/s",
        "heard/s",
        "missed",
        "ear p50",
        "ear p99",
        "append p50",
        "append p99",
        "CPU s/GB",
        "best peer x"
    ));
    for row in rows {
        let median = &row["median"];
        let slower = match row["slowdown"]["append_p50"].as_f64() {
            Some(p50) => format!(
                "  {p50:.2} x p50, {} x p99",
                number(&row["slowdown"]["append_p99"])
            ),
            None => String::new(),
        };
        lines.push(format!(
            "  {:<38}{:>10}{:>12}{:>9}{:>9}{:>9}{:>12}{:>12}{:>9}{:>12}{slower}",
            label(row),
            rate(&median["appended_per_s"]),
            rate(&median["ops_per_s"]),
            rate(&median["missed"]),
            us(&median["p50_us"]),
            us(&median["p99_us"]),
            us(&median["append_p50_us"]),
            us(&median["append_p99_us"]),
            tenths(&median["servers_cpu_s_per_gb"]),
            ratio(row),
        ));
    }
}

fn failover(rows: &[&Value], lines: &mut Vec<String>) {
    lines.push(format!(
        "  {:<38}{:>10}{:>18}{:>14}{:>8}{:>12}",
        "", "median", "(spread)", "without kill", "kills", "best peer x"
    ));
    for row in rows {
        let ms = |key: &str| format!("{} ms", rate(&row[key]["gap_ms"]));
        lines.push(format!(
            "  {:<38}{:>10}{:>18}{:>14}{:>8}{:>12}",
            label(row),
            ms("median"),
            spread(row, "gap_ms"),
            format!("{} ms", rate(&row["median"]["before_ms"])),
            text(&row["kills"]),
            ratio(row),
        ));
    }
}

fn tenths(value: &Value) -> String {
    value
        .as_f64()
        .map_or("–".into(), |number| format!("{number:.1}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_stand_under_their_scenario_and_what_is_missing_is_said() {
        let all = json!({
            "plan": {"rounds": 3, "secs": 6},
            "results": [{
                "scenario": "256", "system": "paxlog",
                "median": {"ops_per_s": 123456.0, "p50_us": 900.0, "mb_per_s": 126.4},
                "min": {"ops_per_s": 120000.0}, "max": {"ops_per_s": 130000.0},
                "times_best_durable_peer": 4.5, "of_floor": {"share": 0.5},
            }],
            "left_out": [{"system": "etcd", "scenario": null, "why": "there is no etcd"}],
        });
        let table = table(&all);
        for part in [
            "256 in flight",
            "123,456",
            "120,000..130,000",
            "900 µs",
            "4.50",
            "50 %",
            "left out: etcd: there is no etcd",
        ] {
            assert!(table.contains(part), "{part} in\n{table}");
        }
        assert!(!table.contains("backlog"));
    }
}
