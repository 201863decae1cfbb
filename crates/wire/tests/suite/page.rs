//! What `docs/protocol.md` says and the program knows: tables that are generated, numbers that must be the same.

use std::path::PathBuf;

use paxlog_wire::client::PROTOCOL_MAX;
use paxlog_wire::{Code, Kind, OutcomeFact, Retry, limits};

use crate::golden::rewriting;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md")
}

fn page() -> String {
    std::fs::read_to_string(path()).expect("docs/protocol.md")
}

fn table_of_errors() -> String {
    let mut table = "| number | code | retry | outcome | |\n|---:|---|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let retry = match code.retry() {
            Retry::Now => "now",
            Retry::After(_) => "after",
            Retry::Elsewhere => "elsewhere",
            Retry::Never => "never",
        };
        let outcome = match code.outcome() {
            OutcomeFact::NotApplied => "not applied",
            OutcomeFact::Unknown => "unknown",
            OutcomeFact::NotAWrite => "–",
        };
        let (number, meaning) = (code.number(), code.meaning());
        table.push_str(&format!(
            "| {number} | `{code}` | {retry} | {outcome} | {meaning} |\n"
        ));
    }
    table
}

#[test]
fn the_page_has_exactly_the_table_of_errors() {
    let (begins, ends) = (
        "<!-- the table of errors begins",
        "<!-- the table of errors ends -->",
    );
    let page = page();
    let (before, rest) = page.split_once(begins).expect("the table's beginning");
    let (comment, rest) = rest.split_once('\n').expect("a line");
    let (table, after) = rest.split_once(ends).expect("the table's end");
    let due = format!("\n{}\n", table_of_errors());
    if rewriting() {
        let page = format!("{before}{begins}{comment}\n{due}{ends}{after}");
        std::fs::write(path(), page).expect("written");
    } else {
        assert_eq!(table, due, "see the comment before the table");
    }
}

/// As the page writes numbers.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[test]
fn the_page_has_the_kinds_and_their_limits() {
    let page = page();
    for kind in Kind::ALL.iter().filter(|kind| kind.number() < 64) {
        let meta = match kind {
            Kind::ClientHello => limits::FIRST_FRAME_BYTES_MAX,
            Kind::QueryReply => limits::LIST_META_BYTES_MAX,
            _ => limits::META_BYTES_MAX,
        };
        let (number, meta) = (kind.number(), thousands(meta));
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {number} | `{kind:?}` | ")));
        let row = row.unwrap_or_else(|| panic!("no row for {kind:?}"));
        assert!(row.contains(&format!(" | {meta} | ")), "{row}");
    }
    assert!(page.starts_with(&format!("# The client protocol, version {PROTOCOL_MAX}\n")));
}

#[test]
fn the_page_has_the_limits() {
    let page = page();
    let (_, section) = page.split_once("\n## Limits\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another one");
    for (row, limit) in [
        ("record: ", limits::RECORD_BYTES_MAX),
        ("header section", limits::HEADERS_BYTES_MAX),
        ("batch, ", limits::BATCH_BYTES_MAX),
        ("name of a log", limits::NAME_BYTES_MAX),
        ("name of a producer", limits::NAME_BYTES_MAX),
        ("numbered commands", limits::APPENDS_IN_FLIGHT_MAX as usize),
        ("replies owed", limits::REPLIES_OWED_MAX as usize),
        (
            "streams of a connection",
            limits::CLIENT_STREAMS_MAX as usize,
        ),
        ("logs or cursors", limits::LIST_LOGS_MAX as usize),
    ] {
        let line = section
            .lines()
            .find(|line| line.starts_with(&format!("| {row}")));
        let line = line.unwrap_or_else(|| panic!("no row {row}"));
        assert!(line.contains(&thousands(limit)), "{limit}: {line}");
    }
    for body in [limits::BATCH_BYTES_MAX, limits::BODY_BYTES_MAX] {
        let said = format!("{} bytes from a client", thousands(body));
        let said_of_replicas = format!("{} from a\nreplica", thousands(body));
        assert!(
            page.contains(&said) || page.contains(&said_of_replicas),
            "{body}"
        );
    }
}
