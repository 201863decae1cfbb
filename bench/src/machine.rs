//! What a figure is worth nothing without: the machine, its disk and what else ran on it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The average number of runnable tasks over the last minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().and_then(|word| word.parse().ok());
    first.unwrap_or(f64::NAN)
}

/// Processors, model, memory, kernel and the file system under `dir`.
pub fn describe(dir: &Path) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory_kb: Option<u64> = line(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse().ok());
    json!({
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "model": line(&read("/proc/cpuinfo"), "model name"),
        "memory_mb": memory_kb.map(|kb| kb / 1000),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "disk": mount(dir, &read("/proc/mounts")),
    })
}

/// The device and the type of the file system that `dir` is on: the longest mount point above it.
fn mount(dir: &Path, mounts: &str) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
        dir.starts_with(point)
            .then(|| (point.len(), format!("{device} {kind}")))
    });
    above
        .max_by_key(|(length, _)| *length)
        .map(|(_, text)| text)
}

/// The anonymous resident memory of a process, in bytes: what it holds that no file backs (RssAnon, proc(5)).
///
/// # Errors
/// If there is no such process.
pub fn rss_anon(pid: u32) -> Result<u64> {
    status_bytes(pid, "RssAnon:")
}

/// The most memory that a process has had resident since it began, mapped files included (VmHWM, proc(5)).
///
/// # Errors
/// If there is no such process.
pub fn rss_peak(pid: u32) -> Result<u64> {
    status_bytes(pid, "VmHWM:")
}

fn status_bytes(pid: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let kb = text
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kb.with_context(|| format!("{path} does not say {key}"))? * 1024)
}

/// The CPU time that all threads of a process have used, user and system, in seconds; it is counted in steps of a
/// hundredth, usually (utime and stime, proc(5)).
///
/// # Errors
/// If there is no such process.
pub fn cpu_secs(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let ticks = cpu_ticks(&text).with_context(|| format!("{path} has another form"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Fields 14 and 15; the second one, in brackets, may hold anything, brackets and spaces too.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

/// The bytes that the files of a directory take on disk.
pub fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    // A file may be retired while we look.
    entries
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.blocks() * 512)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_and_this_machine_can_be_measured() {
        assert!(rss_anon(std::process::id()).unwrap() > 0);
        assert!(rss_peak(std::process::id()).unwrap() >= rss_anon(std::process::id()).unwrap());
        assert!(cpu_secs(std::process::id()).unwrap() >= 0.0);
        assert!(load() >= 0.0);
        let dir = tempfile::tempdir().unwrap();
        assert!(describe(dir.path())["cpus"].as_u64().unwrap() > 0);
        std::fs::write(dir.path().join("a"), [1; 10_000]).unwrap();
        assert!(disk_bytes(dir.path()) >= 4096);
    }

    #[test]
    fn a_name_cannot_confuse_the_accounting() {
        let stat = "7 (a) 9 (b)) S 1 7 7 0 -1 4194560 1 0 0 0 25 17 0 0 20 0";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks("7 (a"), None);
    }

    #[test]
    fn the_nearest_mount_is_named() {
        let mounts = "a / ext4 rw\nb /nowhere tmpfs rw\nproc /proc proc rw\n";
        assert_eq!(mount(Path::new("/proc/self"), mounts).unwrap(), "proc proc");
        assert_eq!(mount(Path::new("/usr"), mounts).unwrap(), "a ext4");
    }
}
