//! What a running cluster shows of itself, and that dashboards and documents name only what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use paxlog_client::{AppenderOptions, Record};
use serde_json::Value;

use crate::support::{Cluster, Options, block_on, get, until};

/// What the issue asks for, and more: taken out of here, a metric may be renamed; until then dashboards rely on it.
const DOCUMENTED: [(&str, &str); 37] = [
    ("paxlog_appends_total", "counter"),
    ("paxlog_append_records_total", "counter"),
    ("paxlog_append_bytes_total", "counter"),
    ("paxlog_append_duplicates_total", "counter"),
    ("paxlog_append_seconds", "histogram"),
    ("paxlog_commands_refused_total", "counter"),
    ("paxlog_commands_queued", "gauge"),
    ("paxlog_values_proposed_total", "counter"),
    ("paxlog_slots_in_flight", "gauge"),
    ("paxlog_commit_index", "gauge"),
    ("paxlog_applied_index", "gauge"),
    ("paxlog_leader_changes_total", "counter"),
    ("paxlog_is_leader", "gauge"),
    ("paxlog_ready", "gauge"),
    ("paxlog_peer_up", "gauge"),
    ("paxlog_peer_lag_slots", "gauge"),
    ("paxlog_peer_round_trip_seconds", "gauge"),
    ("paxlog_logs", "gauge"),
    ("paxlog_producers", "gauge"),
    ("paxlog_tailing_readers", "gauge"),
    ("paxlog_read_bytes_total", "counter"),
    ("paxlog_client_connections", "gauge"),
    ("paxlog_index_batches", "gauge"),
    ("paxlog_anonymous_memory_bytes", "gauge"),
    ("paxlog_core_turn_seconds", "histogram"),
    ("paxlog_wal_sync_seconds", "histogram"),
    ("paxlog_wal_sync_batch_bytes", "histogram"),
    ("paxlog_wal_syncs_total", "counter"),
    ("paxlog_wal_synced_bytes_total", "counter"),
    ("paxlog_wal_synced_frames_total", "counter"),
    ("paxlog_wal_slow_syncs_total", "counter"),
    ("paxlog_wal_stalls_total", "counter"),
    ("paxlog_wal_failures_total", "counter"),
    ("paxlog_wal_corrupt_reads_total", "counter"),
    ("paxlog_wal_segments", "gauge"),
    ("paxlog_wal_size_bytes", "gauge"),
    ("paxlog_wal_ready_segments", "gauge"),
];

/// One scrape, taken apart.
struct Scrape {
    kinds: BTreeMap<String, String>,
    help: BTreeSet<String>,
    /// Each sample's name, with `_bucket`, `_sum` or `_count`, and labels; and its value.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    fn parse(text: &str) -> Scrape {
        let mut scrape = Scrape {
            kinds: BTreeMap::new(),
            help: BTreeSet::new(),
            samples: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a kind");
                let before = scrape.kinds.insert(name.into(), kind.into());
                assert_eq!(before, None, "{name} has one type");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a text");
                assert!(!help.is_empty(), "{line}");
                scrape.help.insert(name.into());
            } else {
                assert!(!line.starts_with('#'), "{line}");
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let (name, labels) = match series.split_once('{') {
                    None => (series, ""),
                    Some((name, rest)) => (name, rest.strip_suffix('}').expect("closed")),
                };
                let labels = labels
                    .split(',')
                    .filter(|label| !label.is_empty())
                    .map(|label| {
                        let (key, value) = label.split_once('=').expect("key=\"value\"");
                        (key.to_owned(), value.trim_matches('"').to_owned())
                    })
                    .collect();
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                scrape.samples.push((name.into(), labels, value));
            }
        }
        scrape
    }

    fn value(&self, name: &str) -> f64 {
        let found: Vec<f64> = self
            .samples
            .iter()
            .filter(|(sample, labels, _)| sample == name && labels.len() == 1)
            .map(|(_, _, value)| *value)
            .collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0]
    }

    /// Every name that a query may use: samples, as they are exported.
    fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|(name, _, _)| &**name).collect()
    }
}

fn scrape(cluster: &Cluster, id: u16) -> Scrape {
    let (code, text) = get(cluster.place(id).metrics, "/metrics").expect("it answers");
    assert_eq!(code, 200);
    Scrape::parse(&text)
}

#[test]
fn a_running_cluster_shows_what_is_documented_and_the_dashboards_ask_for_nothing_else() {
    let mut cluster = Cluster::started();
    cluster
        .paxlog(&["append", "notes"])
        .stdin("a\nb\nc\n")
        .run()
        .ok();
    cluster
        .paxlog(&["read", "notes", "--linearizable"])
        .run()
        .ok();
    cluster.wait_caught_up();
    let leader = cluster.leader();
    // Gauges follow at intervals.
    until("the scrape shows the append", || {
        let scrape = scrape(&cluster, leader);
        (scrape.value("paxlog_append_records_total") >= 3.0
            && scrape.value("paxlog_logs") == 1.0
            && scrape.value("paxlog_is_leader") == 1.0)
            .then_some(())
    });
    let scrapes: Vec<Scrape> = (1..=3).map(|id| scrape(&cluster, id)).collect();
    for (id, scrape) in (1_u16..).zip(&scrapes) {
        for (name, kind) in DOCUMENTED {
            let found = scrape.kinds.get(name).map(String::as_str);
            assert_eq!(found, Some(kind), "replica {id}: {name}");
        }
        for (name, kind) in &scrape.kinds {
            assert!(name.starts_with("paxlog_"), "{name}");
            assert!(scrape.help.contains(name), "{name} says what it is");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert_ne!(kind, "summary", "{name}: quantiles cannot be added up");
            assert!(
                DOCUMENTED.iter().any(|(known, _)| known == name),
                "{name} is new: add it here and to the documents"
            );
        }
        for (name, labels, _) in &scrape.samples {
            assert_eq!(labels.get("replica"), Some(&id.to_string()), "{name}");
            for label in labels.keys() {
                let bounded = ["replica", "peer", "le", "code", "kind", "path", "group"];
                assert!(bounded.contains(&&**label), "{name} has the label {label}");
            }
        }
        histograms(scrape);
        let peers = scrape
            .samples
            .iter()
            .filter(|(name, labels, value)| {
                name == "paxlog_peer_up" && labels.contains_key("peer") && *value == 1.0
            })
            .count();
        assert_eq!(peers, 2, "replica {id} hears the others");
        assert_eq!(scrape.value("paxlog_ready"), 1.0);
        assert_eq!(scrape.value("paxlog_is_leader") == 1.0, id == leader);
    }
    let led = &scrapes[usize::from(leader) - 1];
    assert!(led.value("paxlog_append_seconds_count") >= 1.0);
    assert!(led.value("paxlog_wal_syncs_total") >= 1.0);

    let names: BTreeSet<&str> = scrapes.iter().flat_map(Scrape::names).collect();
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    dashboards(&root.join("grafana"), &names);
    documents(&root, &names);

    health(&mut cluster, leader);
    cluster.finish();
}

#[test]
fn status_is_as_of_the_question() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let place = cluster.place(1).clone();
    block_on(async {
        let client = cluster.client().await;
        let appender = client
            .appender("notes", AppenderOptions::default())
            .await
            .expect("opened");
        let mut before = 0;
        // Faster than anything that is only looked at from time to time.
        for number in 0..50 {
            let record = vec![Record::new(number.to_string())];
            let pending = appender.append(record).await.expect("taken");
            pending.await.expect("applied");
            let asked = client.status(&place.clients.to_string()).await;
            let applied = asked.expect("it answers").applied;
            assert!(applied > before, "{applied} after {before}");
            let record = vec![Record::new("over http")];
            let pending = appender.append(record).await.expect("taken");
            pending.await.expect("applied");
            before = cluster.applied(1).expect("it answers");
            assert!(before > applied, "{before} after {applied}");
        }
        client.close().await;
    });
    cluster.finish();
}

#[test]
fn serve_says_when_it_serves_and_when_it_stopped() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let place = cluster.place(1).clone();
    let said = |cluster: &Cluster, words: &str| -> Vec<String> {
        let log = cluster.log(1);
        let lines = log.lines().filter(|line| line.contains(words));
        lines.map(str::to_owned).collect()
    };
    until("it says that it serves", || {
        (!said(&cluster, "serving").is_empty()).then_some(())
    });
    cluster.finish();
    let serving = said(&cluster, "serving");
    assert_eq!(serving.len(), 1, "once: {serving:?}");
    for words in [
        "INFO".to_owned(),
        "role=\"leader\"".to_owned(),
        format!("clients={}", place.clients),
        format!("replicas={}", place.replicas),
        format!("metrics={}", place.metrics),
    ] {
        assert!(serving[0].contains(&words), "{words}: {}", serving[0]);
    }
    let stopped = said(&cluster, "stopped: ");
    assert_eq!(stopped.len(), 1, "once: {stopped:?}");
    for words in ["INFO", "it was asked to", "exit=0"] {
        assert!(stopped[0].contains(words), "{words}: {}", stopped[0]);
    }
}

/// Buckets rise to the count, and fit what they measure.
fn histograms(scrape: &Scrape) {
    for (name, _) in scrape.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = scrape
            .samples
            .iter()
            .filter(|(sample, _, _)| *sample == bucket)
            .map(|(_, labels, value)| {
                let le = labels["le"].replace("+Inf", "inf");
                (le.parse().expect("a number"), *value)
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.len() >= 8, "{name}: {buckets:?}");
        assert!(
            buckets.is_sorted_by(|a, b| a.1 <= b.1),
            "{name}: {buckets:?}"
        );
        let last = buckets.last().expect("some");
        assert_eq!(last.0, f64::INFINITY, "{name}");
        assert_eq!(last.1, scrape.value(&format!("{name}_count")), "{name}");
        assert!(scrape.value(&format!("{name}_sum")) >= 0.0, "{name}");
        if name.ends_with("_seconds") {
            let bounds = (buckets[0].0, buckets[buckets.len() - 2].0);
            assert!(
                bounds.0 <= 0.000_05 && bounds.1 >= 10.0,
                "{name}: {bounds:?}"
            );
        }
    }
}

/// Every query of every dashboard names only what was scraped, and every panel that shows data has one.
fn dashboards(grafana: &Path, names: &BTreeSet<&str>) {
    let mut queries = 0;
    let mut files = Vec::new();
    files_below(grafana, "json", &mut files);
    assert!(!files.is_empty(), "there is a dashboard");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let dashboard: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut found = Vec::new();
        queries_in(&dashboard, &mut found);
        for (title, query) in &found {
            let used = metrics_in(query);
            assert!(!used.is_empty(), "{title:?} asks for no metric: {query}");
            for name in used {
                assert!(names.contains(&*name), "{title:?} asks for {name}: {query}");
            }
        }
        assert!(!found.is_empty(), "{} asks for something", file.display());
        queries += found.len();
    }
    println!("{queries} queries of dashboards name only what there is");
}

/// The queries below a value, with the title of their panel.
fn queries_in(value: &Value, into: &mut Vec<(String, String)>) {
    fn walk(value: &Value, title: &str, into: &mut Vec<(String, String)>) {
        match value {
            Value::Object(object) => {
                let own = object.get("title").and_then(Value::as_str);
                let title = own.unwrap_or(title);
                if let Some(targets) = object.get("targets") {
                    let targets = targets.as_array().expect("targets are a list");
                    assert!(!targets.is_empty(), "{title:?} has no query");
                    for target in targets {
                        assert!(target["expr"].is_string(), "{title:?}: {target}");
                    }
                } else if let Some(kind) = object.get("gridPos").and(object.get("type")) {
                    let silent = ["row", "text"].contains(&kind.as_str().expect("text"));
                    assert!(silent, "{title:?} shows data, and asks for none");
                }
                for (key, value) in object {
                    match value.as_str() {
                        Some(text) if key == "expr" => into.push((title.into(), text.into())),
                        // A variable's: `label_values(metric, label)`.
                        Some(text) if key == "query" && text.contains('(') => {
                            into.push((title.into(), text.into()));
                        }
                        _ => walk(value, title, into),
                    }
                }
            }
            Value::Array(list) => list.iter().for_each(|value| walk(value, title, into)),
            _ => {}
        }
    }
    walk(value, "", into);
}

/// The metrics that a query names: words outside of quotes, label matchers and groupings that are neither
/// functions nor keywords.
fn metrics_in(query: &str) -> Vec<String> {
    const WORDS: [&str; 12] = [
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "and",
        "or",
        "unless",
        "offset",
        "bool",
        "atan2",
    ];
    let mut names = Vec::new();
    let mut chars = query.char_indices().peekable();
    let mut depth = 0_u32;
    // Inside the parentheses after `by` and its like stand labels.
    let mut labels = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '"' | '\'' => while chars.next().is_some_and(|(_, end)| end != c) {},
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ')' => labels = false,
            c if depth == 0 && (c.is_ascii_alphabetic() || c == '_' || c == ':') => {
                let mut end = at + 1;
                while let Some((next, _)) =
                    chars.next_if(|(_, c)| c.is_ascii_alphanumeric() || *c == '_' || *c == ':')
                {
                    end = next + 1;
                }
                let word = &query[at..end];
                let rest = query[end..].trim_start();
                // `rate(…)`, and `sum by (…) (…)`.
                let called = rest.starts_with('(')
                    || ["by (", "by(", "without (", "without("]
                        .iter()
                        .any(|grouping| rest.starts_with(grouping));
                if WORDS.contains(&word) {
                    labels = called;
                } else if !called && !labels {
                    names.push(word.to_owned());
                    // `label_values(metric, label)`: what follows is a label.
                    if query.trim_start().starts_with("label_values(") {
                        return names;
                    }
                }
            }
            // Numbers with their units, and Grafana's variables.
            c if c.is_ascii_digit() || c == '$' => {
                while chars
                    .next_if(|(_, c)| c.is_ascii_alphanumeric() || "_.".contains(*c))
                    .is_some()
                {}
            }
            _ => {}
        }
    }
    names
}

/// Whatever a document or another file of Grafana's calls a metric is one.
fn documents(root: &Path, names: &BTreeSet<&str>) {
    let mut files = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    for (directory, ending) in [
        ("docs", "md"),
        ("grafana", "yml"),
        ("grafana", "yaml"),
        ("grafana", "md"),
    ] {
        files_below(&root.join(directory), ending, &mut files);
    }
    for file in files.iter().filter(|file| file.exists()) {
        let text = std::fs::read_to_string(file).expect("readable");
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            // Crates have such names too: `paxlog_wal`.
            let crates = std::fs::exists(root.join("crates").join(word.replace("paxlog_", "")));
            if word.starts_with("paxlog_") && word.len() > 7 && !crates.expect("readable") {
                let known = names.contains(word)
                    || names.contains(&*format!("{word}_count"))
                    || word.ends_with('_');
                assert!(known, "{}: {word} is no metric", file.display());
            }
        }
    }
}

fn files_below(directory: &Path, ending: &str, into: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files_below(&path, ending, into);
        } else if path.extension().is_some_and(|e| e == ending) {
            into.push(path);
        }
    }
}

/// `/livez`, `/readyz`, `/status`, and how they change without a majority.
fn health(cluster: &mut Cluster, leader: u16) {
    for id in 1..=3 {
        let metrics = cluster.place(id).metrics;
        assert_eq!(get(metrics, "/livez").expect("it answers").0, 200);
        let (code, sentence) = get(metrics, "/readyz").expect("it answers");
        assert_eq!(code, 200);
        assert!(sentence.trim_end().ends_with('.'), "a sentence: {sentence}");
        let status = cluster.status(id).expect("it answers");
        assert_eq!(status["cluster"], cluster.id.as_str());
        assert_eq!(status["replica"], id);
        assert_eq!(status["leader"], leader);
        assert_eq!(
            status["role"],
            if id == leader { "leader" } else { "follower" }
        );
        assert_eq!(status["ready"], true);
        assert_eq!(status["wal"]["health"], "well");
        assert_eq!(status["incarnation"].as_str().map(str::len), Some(32));
        let peers = status["peers"].as_array().expect("a list");
        assert_eq!(peers.len(), 2, "{status}");
        assert!(
            peers
                .iter()
                .all(|peer| peer["up"] == true && peer["id"] != id)
        );
        for key in ["applied_index", "commit_index", "logs", "uptime_seconds"] {
            assert!(status[key].is_u64(), "{key}: {status}");
        }
        assert_eq!(get(metrics, "/nothing").expect("it answers").0, 404);
    }
    let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
    cluster.kill_all(&others);
    let metrics = cluster.place(leader).metrics;
    let sentence = until("it is not ready without a majority", || {
        let (code, sentence) = get(metrics, "/readyz").ok()?;
        (code == 503).then_some(sentence)
    });
    println!("/readyz without a majority: {sentence}");
    assert!(sentence.trim_end().ends_with('.'), "a sentence: {sentence}");
    assert_eq!(
        get(metrics, "/livez").expect("it answers").0,
        200,
        "but alive"
    );
    cluster.start_all_stopped();
    cluster.wait_all_ready();
}

#[test]
fn metrics_are_found_in_queries() {
    for (query, names) in [
        ("paxlog_up", &["paxlog_up"][..]),
        (
            "sum(rate(a_total{x=~\"b_total\", y='c'}[5m])) by (le, z)",
            &["a_total"],
        ),
        (
            "sum by (le) (rate(a_bucket[$__rate_interval])) / b_count",
            &["a_bucket", "b_count"],
        ),
        (
            "histogram_quantile(0.99, sum without(x) (a_bucket)) > 1e3",
            &["a_bucket"],
        ),
        ("a and on(x) group_left(y) b offset 5m", &["a", "b"]),
        ("label_values(paxlog_ready, replica)", &["paxlog_ready"]),
        ("scalar(max(a)) - b{r=~\"$replica\"} == 1", &["a", "b"]),
    ] {
        assert_eq!(metrics_in(query), names, "{query}");
    }
}
