//! A binary file, cut into records as a small script would do it, through `paxlog append --as whole` and back.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench::{Cluster, process};

use crate::rng::Rng;
use crate::step::Context;

const LOG: &str = "soak/blob";
/// The largest record.
const RECORD_BYTES_MAX: u64 = 1 << 20;
/// Of one append or of the reading of one record.
const COMMAND: Duration = Duration::from_secs(60);
/// Of reading all.
const READ: Duration = Duration::from_secs(600);

/// The step.
pub(crate) fn there_and_back(context: &Context) -> Result<String> {
    let bytes = context.pick(100_000_000, 5_000_000);
    // Real bytes, of every value: the program itself, over and over.
    let blob = repeated(context.program.path(), bytes)?;
    let parts = cut(bytes, &mut Rng::new(context.seed));
    let mut cluster = Cluster::start(context.program, &context.dir)?;
    let profile = cluster.profile_path();
    let paxlog = |args: &[&str]| {
        let mut command = context.program.command();
        command.args(args).arg("--profile").arg(&profile);
        command
    };
    let part_file = context.dir.join("part");
    for (number, part) in parts.iter().enumerate() {
        std::fs::write(&part_file, &blob[part.clone()])
            .with_context(|| format!("{} cannot be written", part_file.display()))?;
        let mut command = paxlog(&["append", LOG, "--as", "whole", "--output", "json"]);
        // One by its name, the next through a pipe.
        match number % 2 {
            0 => command.arg(&part_file).stdin(Stdio::null()),
            _ => command.arg("-").stdin(File::open(&part_file)?),
        };
        let said = good(&mut command, COMMAND)?;
        let receipt: serde_json::Value = serde_json::from_slice(&said)?;
        ensure!(
            receipt["start"] == number && receipt["end"] == number + 1,
            "part {number} of {} bytes got the receipt {receipt}",
            part.len()
        );
        if number % 50 == 0 {
            eprintln!("   {number} of {} records appended", parts.len());
        }
    }
    // All of it, from the leader and from each replica by itself.
    let linearizable = good(
        &mut paxlog(&["read", LOG, "--as", "raw", "--linearizable"]),
        READ,
    )?;
    same("a linearizable read", &linearizable, &blob)?;
    for replica in 1..=bench::cluster::REPLICAS {
        let path = profile.with_file_name(format!("only-r{replica}.toml"));
        std::fs::write(&path, cluster.profile_of(replica).to_toml())?;
        let mut command = context.program.command();
        command
            .args(["read", LOG, "--as", "raw", "--profile"])
            .arg(&path);
        same(
            &format!("replica {replica}"),
            &good(&mut command, READ)?,
            &blob,
        )?;
    }
    // And where one record ends and the next begins.
    let mut rng = Rng::new(context.seed ^ 1);
    for _ in 0..20 {
        let number = rng.below(parts.len() as u64) as usize;
        let from = number.to_string();
        let one = good(
            &mut paxlog(&["read", LOG, "--from", &from, "-n", "1", "--as", "raw"]),
            COMMAND,
        )?;
        same(
            &format!("record {number}"),
            &one,
            &blob[parts[number].clone()],
        )?;
    }
    cluster.stop_and_verify()?;
    Ok(format!(
        "{bytes} bytes in {} records of 0 to {RECORD_BYTES_MAX} bytes, the same from the leader and from each replica, seed {}",
        parts.len(),
        context.seed
    ))
}

/// The bytes of a file, repeated until there are so many.
fn repeated(path: &Path, bytes: usize) -> Result<Vec<u8>> {
    let mut blob = Vec::with_capacity(bytes);
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    file.take(bytes as u64).read_to_end(&mut blob)?;
    ensure!(!blob.is_empty(), "{} is empty", path.display());
    while blob.len() < bytes {
        let more = (bytes - blob.len()).min(blob.len());
        blob.extend_from_within(..more);
    }
    Ok(blob)
}

/// Ranges that follow on each other: mostly of any size up to the largest, some empty, some as large as can be,
/// some tiny.
fn cut(bytes: usize, rng: &mut Rng) -> Vec<std::ops::Range<usize>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while at < bytes {
        let length = match rng.below(10) {
            0 => 0,
            1 => RECORD_BYTES_MAX,
            2 => 1 + rng.below(100),
            _ => 1 + rng.below(RECORD_BYTES_MAX),
        };
        let end = bytes.min(at + length as usize);
        parts.push(at..end);
        at = end;
    }
    parts
}

/// The stdout of a command that succeeds.
fn good(command: &mut Command, patience: Duration) -> Result<Vec<u8>> {
    let ended = process::run(command, patience)?;
    if !ended.status.success() {
        let args: Vec<_> = command
            .get_args()
            .map(|arg| arg.to_string_lossy())
            .collect();
        bail!(
            "paxlog {} ended with {}: {}",
            args.join(" "),
            ended.status,
            ended.stderr.trim()
        );
    }
    Ok(ended.stdout)
}

fn same(what: &str, read: &[u8], written: &[u8]) -> Result<()> {
    if read == written {
        return Ok(());
    }
    let differ = read.iter().zip(written).position(|(r, w)| r != w);
    bail!(
        "{what}: {} bytes were read of {}, the first difference is at byte {}",
        read.len(),
        written.len(),
        differ.unwrap_or(read.len().min(written.len())),
    )
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn the_parts_are_the_whole() {
        for seed in 0..20 {
            let parts = cut(20_000_000, &mut Rng::new(seed));
            assert_eq!((parts[0].start, parts.last().unwrap().end), (0, 20_000_000));
            assert!(parts.windows(2).all(|two| two[0].end == two[1].start));
            let longest = parts.iter().map(std::ops::Range::len).max();
            assert!(longest.unwrap() <= RECORD_BYTES_MAX as usize);
        }
        let parts = cut(100_000_000, &mut Rng::new(7));
        assert!(parts.iter().any(|part| part.is_empty()));
        assert!(
            parts
                .iter()
                .any(|part| part.len() == RECORD_BYTES_MAX as usize)
        );
    }

    #[test]
    fn a_difference_is_named() {
        assert!(same("x", b"abc", b"abc").is_ok());
        let error = same("x", b"abd", b"abc").unwrap_err();
        assert!(error.to_string().contains("at byte 2"), "{error}");
        let error = same("x", b"ab", b"abc").unwrap_err();
        assert!(
            error.to_string().contains("2 bytes were read of 3"),
            "{error}"
        );
    }

    #[test]
    fn bytes_are_repeated_to_the_size() {
        let blob = repeated(Path::new("/proc/self/exe"), 1000).unwrap();
        assert_eq!(blob.len(), 1000);
        let dir = std::env::temp_dir().join(format!("soak-{}", std::process::id()));
        std::fs::write(&dir, b"abc").unwrap();
        let blob = repeated(&dir, 8).unwrap();
        std::fs::remove_file(&dir).unwrap();
        assert_eq!(blob, b"abcabcab");
    }
}
