//! `paxlog wal verify|dump`: a replica's write-ahead log, offline; never changes a file.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use paxlog_wal::{DumpedFrame, InspectError, Kind, OpenError, Verdict, VerifyReport};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format, Stdout};
use crate::time;

#[derive(Subcommand)]
pub(crate) enum WalCommand {
    /// Read and check everything; exits with 5 if synced bytes are damaged.
    Verify(VerifyArgs),
    /// List every frame.
    Dump(DumpArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog wal verify /var/lib/paxlog
  paxlog wal verify .paxlog/r1 --output json | jq .verdict

A torn end, as a crash leaves it, is no damage: it was never acknowledged.")]
pub(crate) struct VerifyArgs {
    /// The data directory.
    dir: PathBuf,
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog wal dump .paxlog/r1 | tail
  paxlog wal dump .paxlog/r1 --output json | jq 'select(.kind == \"data\") | .len'")]
pub(crate) struct DumpArgs {
    /// The data directory.
    dir: PathBuf,
}

pub(crate) fn wal(global: &Global, command: WalCommand) -> Result<(), Failure> {
    match command {
        WalCommand::Verify(args) => verify(global, &args.dir),
        WalCommand::Dump(args) => dump(global, &args.dir),
    }
}

fn verify(global: &Global, dir: &Path) -> Result<(), Failure> {
    let report = paxlog_wal::verify(dir).map_err(|error| failure(dir, error))?;
    match global.output {
        Format::Json => output::print_json(&report_json(dir, &report))?,
        Format::Text => output::print_line(&report_text(dir, &report))?,
    }
    judge(dir, &report)
}

fn dump(global: &Global, dir: &Path) -> Result<(), Failure> {
    let dump = paxlog_wal::dump(dir).map_err(|error| failure(dir, error))?;
    let mut out = Stdout::new();
    for frame in &dump.frames {
        match global.output {
            Format::Json => out.json(&frame_json(frame))?,
            Format::Text => out.line(&frame_text(frame))?,
        }
    }
    out.flush()?;
    judge(dir, &dump.report)
}

fn judge(dir: &Path, report: &VerifyReport) -> Result<(), Failure> {
    match report.verdict {
        Verdict::Clean | Verdict::Blemished => Ok(()),
        Verdict::Damaged => Err(Failure::integrity(format!(
            "{} holds damage: synced bytes that cannot be read any more",
            dir.display()
        ))
        .hint("the replica never votes on what it cannot read; keep the other replicas running")),
    }
}

fn failure(dir: &Path, error: InspectError) -> Failure {
    let message = format!("{}: {error}", dir.display());
    match error {
        InspectError::Open(OpenError::MetaDamaged(_)) => Failure::integrity(message),
        InspectError::Open(OpenError::NotFormatted) => {
            Failure::usage(message).hint("name the data_dir of a replica's config")
        }
        InspectError::Open(OpenError::Io { .. }) | InspectError::Io { .. } if dir.is_dir() => {
            Failure::local_io(message)
        }
        InspectError::Open(_) | InspectError::Io { .. } => Failure::usage(message),
    }
}

fn report_json(dir: &Path, report: &VerifyReport) -> Value {
    json!({
        "dir": dir,
        "verdict": match report.verdict {
            Verdict::Clean => "clean",
            Verdict::Blemished => "blemished",
            Verdict::Damaged => "damaged",
        },
        "cluster": format!("{:032x}", report.identity.cluster),
        "replica": report.identity.replica,
        "incarnation": format!("{:032x}", report.identity.wal_id),
        "in_use": report.in_use,
        "segments": report.segments.len(),
        "frames": report.frames,
        "data_frames": report.data_frames,
        "data_bytes": report.data_bytes,
        "end": report.end.to_string(),
        "durable": report.durable.to_string(),
        "cut": report.cut.map(|lsn| lsn.to_string()),
        "damaged": report.damaged.iter().map(|d| json!({
            "lsn": d.lsn.to_string(), "bytes": d.len, "group": d.group, "tag": d.tag, "aux": d.aux,
        })).collect::<Vec<_>>(),
        "blemishes": report.blemishes.iter().map(|b| json!({"lsn": b.lsn.to_string(), "what": b.what})).collect::<Vec<_>>(),
        "end_lost": report.end_lost,
        "promise_may_be_lost": report.promise_may_be_lost,
        "side_files": report.side_files,
        "side_files_damaged": report.side_files_damaged,
    })
}

fn report_text(dir: &Path, report: &VerifyReport) -> String {
    let mut lines = vec![format!(
        "{}: {}, {} segments, {} frames, {} of them values of {} in all",
        dir.display(),
        match report.verdict {
            Verdict::Clean => "clean",
            Verdict::Blemished => "nothing lost, but not tidy",
            Verdict::Damaged => "DAMAGED",
        },
        report.segments.len(),
        time::thousands(report.frames),
        time::thousands(report.data_frames),
        time::human_bytes(report.data_bytes),
    )];
    lines.push(format!(
        "replica {}, incarnation {:032x}, ends at {}",
        report.identity.replica, report.identity.wal_id, report.end
    ));
    if report.in_use {
        lines.push("a replica has it open: its end may have moved meanwhile".into());
    }
    if let Some(cut) = report.cut {
        lines.push(format!(
            "a torn end at {cut}, as a crash leaves it; an opening cuts it off"
        ));
    }
    for damage in &report.damaged {
        let bytes = damage
            .len
            .map_or("unknown length".to_owned(), time::human_bytes);
        let slot = damage
            .tag
            .map_or(String::new(), |tag| format!(", slot {tag}"));
        lines.push(format!("damaged at {}: {bytes}{slot}", damage.lsn));
    }
    for blemish in &report.blemishes {
        lines.push(format!("at {}: {}", blemish.lsn, blemish.what));
    }
    for file in &report.side_files_damaged {
        lines.push(format!("damaged side file: {file}"));
    }
    if report.end_lost {
        lines.push("the successor of the last sealed segment is gone".into());
    }
    if report.promise_may_be_lost {
        lines.push(
            "a promise may be lost: this replica must not vote until it is readmitted".into(),
        );
    }
    lines.join("\n")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Data => "data",
        Kind::Mark => "mark",
        Kind::Index => "index",
        Kind::Copy => "copy",
        Kind::Retire => "retire",
        Kind::State => "state",
    }
}

fn frame_json(frame: &DumpedFrame) -> Value {
    json!({
        "lsn": frame.frame.lsn.to_string(),
        "kind": kind(frame.frame.kind),
        "len": frame.frame.len,
        "group": frame.frame.group,
        "tag": frame.frame.tag,
        "aux": frame.frame.aux.to_string(),
        "durable": frame.durable.to_string(),
        "kept": frame.kept,
        "good": frame.payload_good,
    })
}

fn frame_text(frame: &DumpedFrame) -> String {
    let info = &frame.frame;
    let mut text = format!(
        "{}  {:<6} {:>8} bytes  group {}  tag {}  aux {:#x}",
        info.lsn,
        kind(info.kind),
        info.len,
        info.group,
        info.tag,
        info.aux
    );
    if !frame.payload_good {
        text.push_str("  DAMAGED");
    }
    if !frame.kept {
        text.push_str("  beyond the cut");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_directory_that_is_none_of_ours_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let error = paxlog_wal::verify(dir.path()).unwrap_err();
        assert_eq!(failure(dir.path(), error).exit, Exit::Usage);
    }
}
