//! What a process asks of the kernel, as `strace` saw it: independent of the program, and of what it says of itself.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Signal, signal, until};

/// A process being traced. The process goes on when the trace ends.
pub(crate) struct Trace {
    strace: Child,
    dir: tempfile::TempDir,
}

/// A call that came back without an error. Times are since 1970.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// The file that it was for.
    pub(crate) path: PathBuf,
    /// The line, with what was written.
    pub(crate) text: String,
    pub(crate) entered: Duration,
    /// Taken before the process went on.
    pub(crate) returned: Duration,
}

/// Whether processes can be traced here; if not, says so where everybody sees it.
pub(crate) fn is_possible(test: &str) -> bool {
    let tried = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync", "true"])
        .stdin(Stdio::null())
        .output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    // Not `eprintln`, which only failed tests show.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {test}: strace does not work here ({}); apt-get install strace",
        why.trim()
    );
    false
}

impl Trace {
    /// Begins to trace writes and syncs of all threads of a process, and holds each `fdatasync` back for so long.
    pub(crate) fn begin(pid: u32, hold_syncs: Duration) -> Trace {
        let dir = tempfile::Builder::new()
            .prefix("paxlog-trace-")
            .tempdir()
            .expect("a temporary directory");
        let strace = Command::new("strace")
            .args(["-ff", "-ttt", "-T", "-y", "-s", "4096"])
            .args([
                "-e",
                "trace=pwritev,pwritev2,pwrite64,fdatasync,fsync,sync_file_range",
            ])
            .arg("-e")
            .arg(format!(
                "inject=fdatasync:delay_enter={}",
                hold_syncs.as_micros()
            ))
            .arg("-p")
            .arg(pid.to_string())
            .arg("-o")
            .arg(dir.path().join("calls"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("said")).expect("made"))
            .spawn()
            .expect("it worked before");
        let trace = Trace { strace, dir };
        until("every thread is traced", || {
            let said = std::fs::read_to_string(trace.dir.path().join("said")).unwrap_or_default();
            assert!(!said.contains("not permitted"), "strace: {said}");
            is_traced(pid).then_some(())
        });
        trace
    }

    /// Ends the trace; gives all calls that came back.
    pub(crate) fn end(mut self) -> Vec<Call> {
        signal(&self.strace, Signal::INT);
        self.strace.wait().expect("a child of ours");
        let files = std::fs::read_dir(self.dir.path()).expect("readable");
        let mut calls = Vec::new();
        for file in files {
            let path = file.expect("readable").path();
            if path.file_stem().is_some_and(|stem| stem == "calls") {
                let text = std::fs::read(path).expect("readable");
                let text = String::from_utf8_lossy(&text);
                calls.extend(text.lines().filter_map(call));
            }
        }
        calls.sort_by_key(|call| call.entered);
        calls
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It lets the process go, however this test ends.
        let _ = self.strace.kill();
        let _ = self.strace.wait();
    }
}

fn is_traced(pid: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
    tasks.flatten().all(|task| {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// `1764197000.123456 fdatasync(12</dir/0001.seg>) = 0 <0.000150>`, perhaps with `(DELAYED)` before the time.
fn call(line: &str) -> Option<Call> {
    let (entered, rest) = line.split_once(' ')?;
    let entered = seconds(entered)?;
    let (name, rest) = rest.split_once('(')?;
    let (_, rest) = rest.split_once('<')?;
    let (path, after) = rest.split_once('>')?;
    let (_, result) = after.rsplit_once(" = ")?;
    if result.starts_with(['-', '?']) {
        return None;
    }
    let (_, lasted) = result.rsplit_once('<')?;
    Some(Call {
        name: name.to_owned(),
        path: Path::new(path).to_owned(),
        text: after.to_owned(),
        entered,
        returned: entered + seconds(lasted.trim_end().strip_suffix('>')?)?,
    })
}

fn seconds(text: &str) -> Option<Duration> {
    let (whole, micros) = text.split_once('.')?;
    (micros.len() == 6).then_some(())?;
    Some(Duration::new(
        whole.parse().ok()?,
        micros.parse::<u32>().ok()? * 1_000,
    ))
}
