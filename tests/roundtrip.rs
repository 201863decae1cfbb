//! What went in comes out, byte for byte.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Cluster, Ports, Rng, Running, Signal, paxlog, real_text};

/// `paxlog dev`, as a newcomer starts it.
struct Dev {
    dir: tempfile::TempDir,
    running: Option<Running>,
    ports: Ports,
}

impl Dev {
    fn start() -> Dev {
        let mut dev = Dev {
            dir: tempfile::tempdir().expect("a temporary directory"),
            running: None,
            ports: Ports::take(),
        };
        dev.run();
        dev
    }

    fn run(&mut self) {
        let mut running = paxlog(["dev", "--output", "json", "--listen"])
            .arg(self.ports.clients(1).to_string())
            .arg("--metrics")
            .arg(self.ports.metrics(1).to_string())
            .dir(self.dir.path())
            .start();
        let ready: Value = serde_json::from_str(&running.line().1).expect("JSON");
        assert_eq!(ready["event"], "ready", "{ready}");
        self.running = Some(running);
    }

    fn stop(&mut self) {
        let running = self.running.take().expect("it runs");
        running.send(Signal::INT);
        running.end().ok();
    }

    /// A command in the same directory: it finds the profile by itself.
    fn paxlog(&self, arguments: &[&str]) -> crate::support::Paxlog {
        paxlog(arguments).dir(self.dir.path())
    }
}

#[test]
fn a_real_text_of_100_000_lines_through_dev_also_after_it_was_started_again() {
    let mut dev = Dev::start();
    let text = real_text(100_000);
    let lines = text.iter().filter(|b| **b == b'\n').count();
    assert!(lines >= 100_000);
    let unended = usize::from(!text.ends_with(b"\n"));
    std::fs::write(dev.dir.path().join("text"), &text).expect("written");
    let summary = dev
        .paxlog(&[
            "append",
            "text",
            "text",
            "--output",
            "json",
            "--deadline",
            "60s",
        ])
        .run()
        .ok()
        .json();
    assert_eq!(summary["records"], (lines + unended) as u64, "{summary}");
    assert_eq!(summary["start"], 0);
    assert_eq!(summary["durability"], "majority");
    let read = ["read", "text", "--linearizable", "--deadline", "60s"];
    let mut expected = text;
    if unended == 1 {
        expected.push(b'\n');
    }
    assert!(
        dev.paxlog(&read).run().ok().stdout == expected,
        "the same bytes"
    );
    dev.stop();
    dev.run();
    assert!(
        dev.paxlog(&read).run().ok().stdout == expected,
        "also later"
    );
    dev.stop();
}

#[test]
fn binary_files_json_and_odd_lines_come_back_as_they_were() {
    let mut cluster = Cluster::started();
    whole_pieces(&cluster);
    nul_separated(&cluster);
    odd_lines(&cluster);
    json_records(&cluster);
    largest_records(&cluster);
    cluster.finish();
}

/// 20 MB of anything, cut into records of 1 MiB at most.
fn whole_pieces(cluster: &Cluster) {
    let bytes = Rng::new(1).bytes(20_000_000);
    let piece = cluster.dir().join("piece");
    for chunk in bytes.chunks(1 << 20) {
        std::fs::write(&piece, chunk).expect("written");
        cluster
            .paxlog(&["append", "blob", "--as", "whole", "--deadline", "60s"])
            .arg(&piece)
            .run()
            .ok();
    }
    let read = cluster
        .paxlog(&[
            "read",
            "blob",
            "--as",
            "raw",
            "--linearizable",
            "--deadline",
            "60s",
        ])
        .run()
        .ok();
    assert!(read.stdout == bytes, "the same bytes");
    let one = cluster
        .paxlog(&[
            "read",
            "blob",
            "--from",
            "7",
            "-n",
            "1",
            "--as",
            "raw",
            "--linearizable",
        ])
        .run()
        .ok();
    assert!(one.stdout == bytes[7 << 20..8 << 20], "the eighth piece");
}

/// The same bytes as records between NULs.
fn nul_separated(cluster: &Cluster) {
    let mut bytes = Rng::new(2).bytes(3_000_000);
    bytes.push(0);
    cluster
        .paxlog(&["append", "nul", "-0", "--deadline", "60s"])
        .stdin(bytes.clone())
        .run()
        .ok();
    let read = cluster
        .paxlog(&["read", "nul", "-0", "--linearizable", "--deadline", "60s"])
        .run()
        .ok();
    assert!(read.stdout == bytes, "the same bytes");
}

fn odd_lines(cluster: &Cluster) {
    // Empty lines, carriage returns, NULs, no UTF-8, no line feed at the end.
    let text =
        b"first\r\n\n\n\r\na\0b\n\xff\xfe\x80\n\xc5\xbelu\xc5\xa5ou\xc4\x8dk\xc3\xbd\nunended";
    let summary = cluster
        .paxlog(&["append", "odd", "--output", "json"])
        .stdin(&text[..])
        .run()
        .ok()
        .json();
    assert_eq!(summary["records"], 8, "{summary}");
    let read = ["read", "odd", "--linearizable"];
    let mut expected = text.to_vec();
    expected.push(b'\n');
    assert_eq!(cluster.paxlog(&read).run().ok().stdout, expected);
    let records = cluster
        .paxlog(&[&read[..], &["--output", "json"]].concat())
        .run()
        .ok()
        .json_lines();
    assert_eq!(records[0]["payload"], "first\r");
    assert_eq!(records[1]["payload"], "");
    assert_eq!(
        records[5]["payload_base64"],
        STANDARD.encode(b"\xff\xfe\x80")
    );
    assert_eq!(records[6]["payload"], "žluťoučký");
    assert_eq!(records[7]["offset"], 7);
    // Nothing at all is no record; an empty line is one.
    for (input, records) in [("", 0), ("\n", 1)] {
        let summary = cluster
            .paxlog(&["append", "empty", "--output", "json"])
            .stdin(input)
            .run()
            .ok()
            .json();
        assert_eq!(summary["records"], records, "{input:?}: {summary}");
    }
}

fn json_records(cluster: &Cluster) {
    let mut rng = Rng::new(3);
    let given: Vec<Value> = (0..500)
        .map(|i| match i % 5 {
            0 => json!({"key": format!("k{i}"), "headers": [["a", "1"], ["a", "2"]], "payload": "text"}),
            1 => json!({"key": null, "headers": [], "payload": ""}),
            2 => json!({"key": "", "headers": [["b", {"base64": STANDARD.encode(b"\xff\x00")}]],
                        "payload_base64": STANDARD.encode([&b"\xfe"[..], &rng.bytes(i)].concat())}),
            3 => json!({"key_base64": STANDARD.encode(b"\x80"), "headers": [["", ""]],
                        "payload": "ž\n\u{0}\u{1F40E}"}),
            _ => json!({"key": "x", "headers": [["h", "ů"]], "payload": "y".repeat(i * 20)}),
        })
        .collect();
    let lines: Vec<String> = given.iter().map(Value::to_string).collect();
    let read = ["read", "json", "--output", "json", "--linearizable"];
    let append = ["append", "json", "--as", "json", "--output", "json"];
    let summary = cluster
        .paxlog(&append)
        .stdin(lines.join("\n"))
        .run()
        .ok()
        .json();
    assert_eq!(summary["records"], 500, "{summary}");
    let printed = cluster.paxlog(&read).run().ok();
    let mut times = Vec::new();
    let without_place = |record: &Value| {
        let mut record = record.clone();
        let object = record.as_object_mut().expect("an object");
        object.remove("offset");
        object.remove("timestamp");
        record
    };
    for (offset, (record, given)) in printed.json_lines().iter().zip(&given).enumerate() {
        assert_eq!(record["offset"], offset as u64);
        times.push(record["timestamp"].as_str().expect("text").to_owned());
        assert_eq!(&without_place(record), given, "{offset}");
    }
    assert_eq!(times.len(), 500);
    assert!(times.is_sorted(), "RFC 3339 with nine digits sorts");
    assert!(times.iter().all(|time| time.len() == times[0].len()));
    // What `read` prints, `append` takes.
    let again = [&["append", "again"], &append[2..]].concat();
    cluster
        .paxlog(&again)
        .stdin(printed.stdout.clone())
        .run()
        .ok();
    let second = cluster
        .paxlog(&[&["read", "again"], &read[2..]].concat())
        .run()
        .ok();
    for (one, two) in printed.json_lines().iter().zip(second.json_lines()) {
        assert_eq!(without_place(one), without_place(&two));
    }
    // Up to a time.
    let none = cluster
        .paxlog(&["read", "json", "--linearizable", "--until", &times[0]])
        .run()
        .ok();
    assert_eq!(none.text(), "");
}

/// Exactly 1 MiB is within the limit, as a line, whole, and by its JSON.
fn largest_records(cluster: &Cluster) {
    let line = vec![b'x'; 1 << 20];
    let whole = Rng::new(4).bytes(1 << 20);
    let file = cluster.dir().join("large");
    std::fs::write(&file, &whole).expect("written");
    append_file(cluster, &["--as", "whole"], &file);
    std::fs::write(&file, &line).expect("written");
    append_file(cluster, &[], &file);
    let escaped = json!({"payload": "\u{1}".repeat(1 << 20)}).to_string();
    std::fs::write(&file, escaped).expect("written");
    append_file(cluster, &["--as", "json"], &file);
    let read = cluster
        .paxlog(&[
            "read",
            "large",
            "--as",
            "raw",
            "--linearizable",
            "--deadline",
            "60s",
        ])
        .run()
        .ok();
    let expected = [whole, line, vec![1; 1 << 20]].concat();
    assert!(read.stdout == expected, "the same bytes");
}

fn append_file(cluster: &Cluster, form: &[&str], file: &Path) {
    cluster
        .paxlog(&["append", "large", "--deadline", "60s"])
        .args(form)
        .arg(file)
        .run()
        .ok();
}
