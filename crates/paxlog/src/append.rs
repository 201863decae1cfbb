//! `paxlog append`: lines, a whole file or JSON through one appender.
//!
//! Nothing is opened, so no log is made and no older producer of the name shut out, before there is a first good record.
//! However it ends, it says what stands and what is known of the rest ([`settled`]).

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use paxlog_client::{
    Appender, AppenderOptions, Completion, Compression, LastOutcome, LastReceipt, Receipt, Record,
    Summary,
};
use serde_json::json;

use crate::cli::{DeadlineArg, Global};
use crate::compression;
use crate::connect;
use crate::failure::{Exit, Failure};
use crate::input::{self, As, Chunk, Chunks};
use crate::interrupt::Interrupt;
use crate::output::{self, Format, Stdout};
use crate::{record_json, time};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog append notes -m 'hello'                 one record
  paxlog append notes book.txt                   a record a line
  some-program | paxlog append events            as it comes
  paxlog append blobs photo.jpg --as whole       a record
  paxlog append events -m '{\"key\":\"k\",\"payload\":\"v\"}' --as json
  paxlog append events in.jsonl --as json        {\"key\":…,\"headers\":[[\"k\",\"v\"]],\"payload\":…} a line
  find . -print0 | paxlog append names -0        a record between NULs
  paxlog append notes -m x --if-tail 42          only if that is where the log ends
  paxlog append notes in.txt --fence writer-2    while writer-2 is the log's fence
  paxlog append notes in.txt --producer ingest   as the producer of that name
  paxlog append notes --producer ingest </dev/null     only tells what it appended last
  paxlog append logs access.log --compression zstd

A record is the bytes between line feeds, a carriage return included; an unterminated last line is a
record too. A line over 1 MiB is refused with its number; the lines before it stand. Empty input appends
nothing, makes no log, and is no error. Receipts mean: on disk on a majority of the replicas.

With --if-tail, each batch is appended where the one before it ended, or not at all: nothing of others comes between.

An error says what stands and what is known of the rest: not applied (exit 1, 2, 3 or 6), or unknown (4).
With --output json it has code, retry, outcome (not_applied or unknown) of what failed, and in records and
unknown how many stand and of how many nobody knows.")]
pub(crate) struct AppendArgs {
    /// The log; made at the first append if the cluster allows it.
    #[arg(value_parser = crate::names::log_name)]
    log: String,
    /// The input; `-` or nothing is stdin.
    #[arg(conflicts_with = "messages")]
    file: Option<PathBuf>,
    /// Append this text as one record, or the record that it is with `--as json`; may be given several times.
    #[arg(
        short = 'm',
        long = "message",
        value_name = "TEXT",
        allow_hyphen_values = true
    )]
    messages: Vec<String>,
    /// How the input becomes records.
    #[arg(long = "as", value_enum, default_value = "lines", value_name = "FORM")]
    how: As,
    /// Records end with NUL instead of a line feed.
    #[arg(short = '0', long = "null")]
    nul: bool,
    /// Append under this name: the cluster knows a repeated batch of it again, and a newer one of
    /// the same name shuts out an older.
    #[arg(long, value_name = "NAME", value_parser = crate::names::producer_name)]
    producer: Option<String>,
    /// Append only if the log ends at this offset.
    #[arg(long, value_name = "OFFSET")]
    if_tail: Option<u64>,
    /// The log's fence, which `paxlog fence` set.
    #[arg(long, value_name = "TOKEN", value_parser = crate::names::fence)]
    fence: Option<String>,
    /// How long a batch waits for more records before it is sent.
    #[arg(long, default_value = "0s", value_parser = time::parse_duration, value_name = "DURATION")]
    linger: Duration,
    /// Compress batches: none, lz4, zstd or zstd:LEVEL (1 fast to 22 small, 3 if none is named). What
    /// would not become shorter is sent as it is; whoever reads notices nothing of it.
    #[arg(long, default_value = "none", value_parser = compression::parse, value_name = "HOW")]
    compression: Compression,
    #[command(flatten)]
    deadline: DeadlineArg,
    /// Print a receipt for each batch.
    #[arg(short, long)]
    verbose: bool,
}

/// How long the receipts under way may still take after Ctrl-C.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);

/// Records given to the appender in one call, at most: one receipt each call.
const RECORDS_PER_APPEND: usize = 1024;
/// Their bytes, at most.
const BYTES_PER_APPEND: usize = 512 << 10;

pub(crate) async fn append(global: &Global, args: AppendArgs) -> Result<(), Failure> {
    let producer = args.producer.clone();
    let mut done = Summary::default();
    let result = attempt(global, args, &mut done).await;
    result.map_err(|failure| settled(failure, &done, producer.as_deref()))
}

/// Leaves in `done` what was done, however it ends.
async fn attempt(global: &Global, args: AppendArgs, done: &mut Summary) -> Result<(), Failure> {
    // Everything that can be wrong here is found before anything is sent.
    let (mut chunks, length) = if args.messages.is_empty() {
        let input = input::open(args.file.as_deref())?;
        if input.length.is_none() && std::io::stdin().is_terminal() && args.file.is_none() {
            output::note(
                global.output,
                "reading records from the terminal, one a line; Ctrl-D ends",
            );
        }
        let length = input.length;
        (input::start(input, args.how, args.nul), length)
    } else {
        (texts(args.messages, args.how)?, None)
    };
    let interrupt = Interrupt::watch();
    let deadline = args.deadline.deadline;
    let mut run = Run {
        log: args.log,
        format: global.output,
        verbose: args.verbose,
        progress: progress(length, args.verbose),
        stdout: Stdout::report(),
        if_tail: args.if_tail,
        last: None,
    };
    let client = tokio::select! {
        client = connect::connect(global, deadline) => client?,
        () = interrupt.wait() => return run.nothing(done, Err(Failure::interrupted())),
    };
    // Opening may make the log: only for a record that can be sent.
    let first = tokio::select! {
        first = chunks.recv() => first,
        () = interrupt.wait() => return run.nothing(done, Err(Failure::interrupted())),
    };
    let first = first.transpose()?;
    if first.is_none() && args.producer.is_none() {
        return run.nothing(done, Ok(()));
    }
    let options = AppenderOptions {
        // Without a record a producer is only asked what it did last.
        create: first.is_some(),
        producer: args.producer,
        linger: args.linger,
        deadline,
        fence: args.fence,
        compression: args.compression,
        ..AppenderOptions::default()
    };
    let appender = tokio::select! {
        appender = client.appender(&run.log, options) => appender?,
        () = interrupt.wait() => return run.nothing(done, Err(Failure::interrupted())),
    };
    run.last = appender.opened().last;
    let Some(first) = first else {
        return run.nothing(done, Ok(()));
    };
    run.all(&appender, first, chunks, &interrupt, done).await
}

/// `-m`: as if it had been read, each a record.
fn texts(messages: Vec<String>, how: As) -> Result<Chunks, Failure> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let input_bytes = messages.iter().map(|m| m.len() as u64).sum();
    let records = messages.into_iter().enumerate();
    let records = records
        .map(|(index, text)| match how {
            As::Lines | As::Whole => Ok(Record::new(text)),
            As::Json => record_json::from_json(text.as_bytes())
                .map_err(|problem| Failure::usage(format!("-m number {} {problem}", index + 1))),
        })
        .collect::<Result<_, _>>()?;
    sender
        .try_send(Ok(input::Chunk {
            records,
            input_bytes,
        }))
        .expect("the channel is new and has room");
    Ok(receiver)
}

fn progress(length: Option<u64>, verbose: bool) -> ProgressBar {
    if verbose || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr_with_hz(8));
    let template = match length {
        Some(_) => "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}",
        None => "{spinner} {bytes}  {bytes_per_sec}  {msg}",
    };
    bar.set_style(
        ProgressStyle::with_template(template).expect("a constant template that is tested"),
    );
    bar
}

struct Run {
    log: String,
    format: Format,
    verbose: bool,
    progress: ProgressBar,
    stdout: Stdout,
    /// Where the next batch is to stand, if that matters.
    if_tail: Option<u64>,
    /// What the producer did last before this.
    last: Option<LastReceipt>,
}

impl Run {
    /// Ends before anything was sent.
    fn nothing(mut self, done: &Summary, result: Result<(), Failure>) -> Result<(), Failure> {
        self.summary(done, result.is_err())?;
        result.and(self.end(done))
    }

    /// The end of what went well: whether its report could be written.
    fn end(self, done: &Summary) -> Result<(), Failure> {
        self.stdout.end().map_err(|failure| {
            let all = Failure::local_io(format!("{failure}; all records stand"));
            all.fact("records", done.records).fact("unknown", 0)
        })
    }

    async fn all(
        mut self,
        appender: &Appender,
        first: Chunk,
        mut chunks: Chunks,
        interrupt: &Interrupt,
        done: &mut Summary,
    ) -> Result<(), Failure> {
        // Of an append that was sent; and of what came behind all that was.
        let (mut failure, mut behind): (Option<Failure>, Option<Failure>) = (None, None);
        let mut ends: Vec<Completion> = Vec::new();
        // Appends under way, by tag: `0..tag` were given, `ended` of them have ended.
        let (mut tag, mut ended) = (0_u64, 0_u64);
        let mut interrupted = false;
        let mut next = Some(first);
        'input: loop {
            let chunk = match next.take() {
                Some(first) => Some(Ok(first)),
                None => tokio::select! {
                    chunk = chunks.recv() => chunk,
                    () = appender.completions(&mut ends), if ended < tag => {
                        ended += self.receipts(&mut ends, &mut failure)?;
                        if failure.is_some() { break; }
                        continue;
                    }
                    () = interrupt.wait() => { interrupted = true; break; }
                },
            };
            let chunk = match chunk {
                None => break,
                Some(Err(error)) => {
                    behind = Some(error);
                    break;
                }
                Some(Ok(chunk)) => chunk,
            };
            self.progress.inc(chunk.input_bytes);
            for records in split(chunk.records) {
                // The window may be full: receipts and Ctrl-C must be heard meanwhile.
                let at = self.if_tail;
                self.if_tail = at.map(|at| at.saturating_add(records.len() as u64));
                let append = give(appender, records, at, tag);
                tokio::pin!(append);
                loop {
                    tokio::select! {
                        result = &mut append => {
                            if let Err(error) = result {
                                behind = Some(error.into());
                                break 'input;
                            }
                            tag += 1;
                            break;
                        }
                        () = appender.completions(&mut ends), if ended < tag => {
                            ended += self.receipts(&mut ends, &mut failure)?;
                            if failure.is_some() { break 'input; }
                        }
                        () = interrupt.wait() => { interrupted = true; break 'input; }
                    }
                }
            }
        }
        while ended < tag {
            let wait = async {
                match interrupted {
                    true => tokio::time::sleep(INTERRUPTED_WAIT).await,
                    false => interrupt.wait().await,
                }
            };
            tokio::select! {
                () = appender.completions(&mut ends) => ended += self.receipts(&mut ends, &mut failure)?,
                () = wait, if !interrupted => interrupted = true,
                () = tokio::time::sleep(INTERRUPTED_WAIT), if interrupted => break,
            }
        }
        self.progress.finish_and_clear();
        *done = appender.summary();
        // What has not ended by now is not known.
        done.unknown += std::mem::take(&mut done.pending);
        self.summary(done, interrupted)?;
        match failure.or(behind) {
            Some(failure) => Err(failure),
            None if interrupted => Err(Failure::interrupted()),
            None => self.end(done),
        }
    }

    /// Takes note of ends, and of the first error among them. Returns how many there were.
    fn receipts(
        &mut self,
        ends: &mut Vec<Completion>,
        failure: &mut Option<Failure>,
    ) -> Result<u64, Failure> {
        let count = ends.len() as u64;
        for end in ends.drain(..) {
            match end.result {
                Ok(receipt) if self.verbose => self.receipt(&receipt)?,
                Ok(_) => {}
                Err(error) => {
                    failure.get_or_insert_with(|| error.into());
                }
            }
        }
        if self.verbose {
            self.stdout.flush()?;
        }
        Ok(count)
    }

    fn receipt(&mut self, receipt: &Receipt) -> Result<(), Failure> {
        let at = time::format_ns(receipt.timestamp);
        match self.format {
            Format::Json => self.stdout.json(&json!({
                "log": self.log,
                "start": receipt.start,
                "end": receipt.end,
                "timestamp": at,
                "tail": receipt.tail,
                "version": receipt.version,
                "durability": "majority",
                "replicas": receipt.durability.replicas().collect::<Vec<_>>(),
                "duplicate": receipt.duplicate,
            })),
            Format::Text => {
                let duplicate = if receipt.duplicate {
                    ", was there already"
                } else {
                    ""
                };
                let on: Vec<String> = receipt
                    .durability
                    .replicas()
                    .map(|id| id.to_string())
                    .collect();
                let on = match on.is_empty() {
                    true => "a majority".to_owned(),
                    false => on.join(" and "),
                };
                self.stdout.line(&format!(
                    "{}..{} at {at} on {on}{duplicate}",
                    receipt.start, receipt.end
                ))
            }
        }
    }

    fn summary(&mut self, summary: &Summary, interrupted: bool) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let mut value = summary_json(&self.log, summary, interrupted);
                if let Some(last) = &self.last {
                    value["last"] = last_json(last);
                }
                self.stdout.json(&value)?
            }
            Format::Text => {
                let mut text = summary_text(&self.log, summary, interrupted);
                if let Some(last) = &self.last {
                    text.push_str(&format!(
                        "; the producer's last before that: {}",
                        last_text(last)
                    ));
                }
                self.stdout.line(&text)?
            }
        }
        self.stdout.flush()
    }
}

/// The failure with what stands, and what is known of the rest, in words and as facts.
fn settled(mut failure: Failure, done: &Summary, producer: Option<&str>) -> Failure {
    if failure.facts.contains_key("records") {
        // It says so itself.
        return failure;
    }
    let unknown = done.unknown > 0
        || (done.records == 0 && failure.facts.get("outcome") == Some(&json!("unknown")));
    if unknown && matches!(failure.exit, Exit::Refused | Exit::Unavailable) {
        failure.exit = Exit::Unknown;
    }
    let line = failure
        .facts
        .get("line")
        .and_then(serde_json::Value::as_u64);
    let words = outcome(done, unknown, line);
    failure.message.push_str(&format!("; {words}"));
    if unknown {
        failure.hint = Some(match producer {
            Some(name) => format!(
                "`paxlog append LOG --producer '{name}' </dev/null` settles it: it says what the producer appended last, and shuts out what may still come"
            ),
            None => {
                "`paxlog tail LOG` shows what is there; look before you send it again".to_owned()
            }
        });
    }
    failure
        .fact("outcome", if unknown { "unknown" } else { "not_applied" })
        .fact("records", done.records)
        .fact("unknown", done.unknown)
}

/// What stands, and what is known of the rest.
fn outcome(done: &Summary, unknown: bool, line: Option<u64>) -> String {
    let records = |count: u64| match count {
        1 => "1 record".to_owned(),
        count => format!("{} records", time::thousands(count)),
    };
    let stand = match done.records {
        1 => "stands",
        _ => "stand",
    };
    match (done.records, unknown, line) {
        (0, true, _) if done.unknown == 0 => "whether it was applied is unknown".to_owned(),
        (0, true, _) => format!("of {} the outcome is unknown", records(done.unknown)),
        (count, true, _) => format!(
            "{} {stand}, of {} more the outcome is unknown",
            records(count),
            time::thousands(done.unknown)
        ),
        (0, false, _) => "nothing of it was applied".to_owned(),
        (count, false, Some(line)) => format!(
            "{} before line {line} {stand}, it and what followed were not applied",
            records(count)
        ),
        (count, false, None) => {
            format!("{} {stand}, what followed was not applied", records(count))
        }
    }
}

async fn give(
    appender: &Appender,
    records: Vec<Record>,
    if_tail: Option<u64>,
    tag: u64,
) -> Result<(), paxlog_client::Error> {
    match if_tail {
        Some(tail) => appender.append_tagged_at(records, tail, tag).await,
        None => appender.append_tagged(records, tag).await,
    }
}

/// In calls of a size that keeps many in flight.
fn split(records: Vec<Record>) -> impl Iterator<Item = Vec<Record>> {
    let mut records = records.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut part = Vec::new();
        let mut bytes = 0;
        while let Some(record) = records.peek() {
            let next = record.encoded_len();
            if !part.is_empty()
                && (part.len() == RECORDS_PER_APPEND || bytes + next > BYTES_PER_APPEND)
            {
                break;
            }
            bytes += next;
            part.extend(records.next());
        }
        Some(part).filter(|p| !p.is_empty())
    })
}

fn summary_json(log: &str, summary: &Summary, interrupted: bool) -> serde_json::Value {
    let mut value = json!({
        "log": log,
        "start": summary.start,
        "end": summary.end,
        "records": summary.records,
        "bytes": summary.bytes,
        "timestamp": summary.timestamp.map(time::format_ns),
        "durability": "majority",
    });
    for (key, count) in [("unknown", summary.unknown), ("refused", summary.refused)] {
        if count > 0 || (interrupted && key == "unknown") {
            value[key] = count.into();
        }
    }
    if interrupted {
        value["interrupted"] = true.into();
    }
    value
}

fn summary_text(log: &str, summary: &Summary, interrupted: bool) -> String {
    let mut text = match (summary.start, summary.end, summary.timestamp) {
        (Some(start), Some(end), Some(timestamp)) => format!(
            "{log} {start}..{end}: {} {} ({}) durable on a majority at {}",
            time::thousands(summary.records),
            if summary.records == 1 {
                "record"
            } else {
                "records"
            },
            time::human_bytes(summary.bytes),
            time::format_ns(timestamp),
        ),
        _ => format!("{log}: nothing appended"),
    };
    if summary.unknown > 0 {
        text.push_str(&format!(
            "; of {} more the outcome is unknown",
            time::thousands(summary.unknown)
        ));
    }
    if summary.refused > 0 {
        text.push_str(&format!("; {} refused", time::thousands(summary.refused)));
    }
    if interrupted {
        text.push_str("; interrupted");
    }
    text
}

/// The last receipt of a producer's earlier epochs. An append numbered under that epoch at or below `sequence` was
/// applied; one above it never will be.
fn last_json(last: &LastReceipt) -> serde_json::Value {
    let mut value = json!({"epoch": last.epoch, "sequence": last.sequence});
    if let LastOutcome::Appended {
        log,
        start,
        end,
        timestamp,
        version,
    } = last.what
    {
        value["log_id"] = log.to_string().into();
        value["start"] = start.into();
        value["end"] = end.into();
        value["timestamp"] = time::format_ns(timestamp).into();
        value["version"] = version.into();
    }
    value
}

fn last_text(last: &LastReceipt) -> String {
    match last.what {
        LastOutcome::Appended { start, end, .. } => format!("{start}..{end}"),
        _ => "no append".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_templates_are_sound() {
        for template in [
            "{wide_bar} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}",
            "{spinner} {bytes}  {bytes_per_sec}  {msg}",
        ] {
            ProgressStyle::with_template(template).unwrap();
        }
    }

    #[test]
    fn the_summary_has_the_keys_promised_and_says_what_is_unknown() {
        let summary = Summary {
            start: Some(3),
            end: Some(5),
            records: 2,
            bytes: 10,
            timestamp: Some(1),
            ..Summary::default()
        };
        assert_eq!(
            summary_json("notes", &summary, false),
            json!({"log": "notes", "start": 3, "end": 5, "records": 2, "bytes": 10,
                   "timestamp": "1970-01-01T00:00:00.000000001Z", "durability": "majority"})
        );
        let cut = Summary {
            unknown: 7,
            ..Summary::default()
        };
        assert_eq!(summary_json("notes", &cut, true)["unknown"], 7);
        assert_eq!(
            summary_text("notes", &cut, true),
            "notes: nothing appended; of 7 more the outcome is unknown; interrupted"
        );
    }

    #[test]
    fn a_failure_says_what_stands_and_what_is_known_of_the_rest() {
        let done = |records, unknown| Summary {
            records,
            unknown,
            ..Summary::default()
        };
        let line = || {
            Failure::refused("line 17 of in is too long")
                .code("TooLarge")
                .fact("line", 17)
        };
        let nothing = settled(line(), &done(0, 0), None);
        assert_eq!(
            nothing.message,
            "line 17 of in is too long; nothing of it was applied"
        );
        assert_eq!(
            (nothing.exit, nothing.code),
            (Exit::Refused, Some("TooLarge"))
        );
        assert_eq!(nothing.facts["outcome"], "not_applied");
        let some = settled(line(), &done(16, 0), None);
        assert!(
            some.message.ends_with(
                "; 16 records before line 17 stand, it and what followed were not applied"
            ),
            "{some}"
        );
        assert_eq!(some.facts["records"], 16);
        // What was read wrong is of less weight than what nobody knows.
        let unknown = settled(line(), &done(3, 13), Some("me"));
        assert_eq!(unknown.exit, Exit::Unknown);
        assert_eq!(unknown.facts["outcome"], "unknown");
        assert!(
            unknown
                .message
                .ends_with("; 3 records stand, of 13 more the outcome is unknown"),
            "{unknown}"
        );
        assert!(unknown.hint.unwrap().contains("--producer 'me'"));
        // Every error has all facts, whoever made it.
        for failure in [
            Failure::usage("no such file"),
            Failure::local_io("cannot read"),
            Failure::unavailable("nobody"),
            Failure::interrupted(),
        ] {
            let exit = failure.exit;
            let failure = settled(failure, &done(0, 0), None);
            assert_eq!(failure.exit, exit);
            assert_eq!(failure.facts["outcome"], "not_applied", "{failure}");
        }
        let late = Failure::new(Exit::Unknown, "silence").fact("outcome", "unknown");
        let late = settled(late, &done(0, 0), None);
        assert_eq!(late.facts["outcome"], "unknown");
        assert!(
            late.message
                .ends_with("; whether it was applied is unknown")
        );
    }

    #[test]
    fn records_go_in_calls_of_bounded_size_and_in_order() {
        let records: Vec<Record> = (0..3000).map(|i| Record::new(i.to_string())).collect();
        let parts: Vec<Vec<Record>> = split(records.clone()).collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.concat(), records);
        let large = vec![Record::new(vec![0; 1 << 20]); 3];
        assert_eq!(
            split(large).count(),
            3,
            "one that is over the size goes alone"
        );
    }
}
