//! What a step's program says, kept in `target/soak/STEP.log`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result};
use bench::program;

use crate::step::Context;

/// A log, written as lines come.
pub(crate) struct Log {
    file: Mutex<File>,
    path: PathBuf,
    begin: Instant,
}

impl Log {
    /// In place of the one that the step had before.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create(context: &Context) -> Result<Log> {
        let dir = program::target()?.join("soak");
        std::fs::create_dir_all(&dir)
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        let path = dir.join(format!("{}.log", context.step));
        let file =
            File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Log {
            file: Mutex::new(file),
            path,
            begin: Instant::now(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A line, with the seconds since the beginning.
    pub(crate) fn say(&self, line: &str) {
        let mut file = self.file.lock().expect("writing a line does not panic");
        // A log that cannot be written must not fail the step that it tells of.
        let _ = writeln!(file, "{:8.2} {line}", self.begin.elapsed().as_secs_f64());
    }
}

/// What a reader of a failure wants to see first.
pub(crate) fn end_of(stdout: &str, stderr: &str) -> String {
    let last = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    };
    format!("{}\n{}", last(stderr), last(stdout))
}
