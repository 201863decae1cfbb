//! Running the workspace's own tests with larger numbers.
//!
//! Cargo builds the test binary and says where it is; it is then run directly, so that it is a child of ours and goes when we
//! go. Its temporary directory lies in ours for the same reason, and so that replicas it starts write to a disk.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench::{process, program};
use serde_json::Value;

use crate::log::{Log, end_of};
use crate::step::Context;

/// A test binary of the workspace, and what to run of it.
pub(crate) struct Tests<'a> {
    pub(crate) package: &'a str,
    pub(crate) test: &'a str,
    /// Only tests whose name contains one of these; none: all.
    pub(crate) only: &'a [&'a str],
    pub(crate) variables: &'a [(&'a str, String)],
    pub(crate) patience: Duration,
}

/// What the tests said.
pub(crate) struct Said {
    pub(crate) passed: u64,
    pub(crate) stdout: String,
}

impl Tests<'_> {
    /// Builds and runs them. Everything they say goes to `target/soak/STEP.log`, as it comes.
    ///
    /// # Errors
    /// If they do not build, one fails, or none is run.
    pub(crate) fn run(&self, context: &Context) -> Result<Said> {
        let binary = self.build()?;
        let mut command = Command::new(binary);
        command
            .args(["--nocapture", "--test-threads=2"])
            .args(self.only)
            // As cargo would run them.
            .current_dir(program::root())
            .env("TMPDIR", &context.dir)
            .stdin(Stdio::null());
        let log = Log::create(context)?;
        let variables: Vec<String> = self
            .variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let again = format!(
            "{} cargo test --release -p {} --test {} {}",
            variables.join(" "),
            self.package,
            self.test,
            self.only.join(" ")
        );
        eprintln!(
            "   {}\n   what it says: {}",
            again.trim(),
            log.path().display()
        );
        for (name, value) in self.variables {
            command.env(name, value);
        }
        let ended = process::run_with(&mut command, self.patience, |line| log.say(line))?;
        let stdout = String::from_utf8_lossy(&ended.stdout).into_owned();
        if !ended.status.success() {
            bail!(
                "`{}` failed ({}), see {}\n{}",
                again.trim(),
                ended.status,
                log.path().display(),
                end_of(&stdout, &ended.stderr)
            );
        }
        let passed = passed(&stdout).context("the tests said no result")?;
        ensure!(
            passed > 0,
            "`{}` runs no test: was it renamed?",
            again.trim()
        );
        Ok(Said { passed, stdout })
    }

    fn build(&self) -> Result<PathBuf> {
        let mut build = program::cargo();
        build.args([
            "test",
            "--release",
            "-p",
            self.package,
            "--test",
            self.test,
            "--no-run",
            // Errors still go to stderr.
            "--message-format=json-render-diagnostics",
        ]);
        let ended = process::run(&mut build, BUILD).context("cargo test --no-run")?;
        ensure!(
            ended.status.success(),
            "the tests of {} do not build:\n{}",
            self.package,
            ended.stderr
        );
        let said = String::from_utf8_lossy(&ended.stdout);
        executable(&said, self.test)
            .with_context(|| format!("cargo does not say where the test {} is", self.test))
    }
}

/// From nothing, on a small and busy machine.
const BUILD: Duration = Duration::from_secs(3600);

/// The binary of a test in cargo's messages.
fn executable(said: &str, test: &str) -> Option<PathBuf> {
    said.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message["target"]["name"] == test && message["target"]["kind"][0] == "test"
        })
        .find_map(|message| Some(message["executable"].as_str()?.into()))
}

/// `test result: ok. 12 passed; …`
fn passed(stdout: &str) -> Option<u64> {
    let line = stdout
        .lines()
        .rev()
        .find(|line| line.contains("test result: ok."))?;
    line.split("ok. ").nth(1)?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn the_binary_and_the_result_are_found() {
        let said = "{\"reason\":\"x\"}\n\
            {\"target\":{\"name\":\"main\",\"kind\":[\"bin\"]},\"executable\":\"/wrong\"}\n\
            not json\n\
            {\"target\":{\"name\":\"main\",\"kind\":[\"test\"]},\"executable\":\"/right\"}\n";
        assert_eq!(executable(said, "main"), Some("/right".into()));
        assert_eq!(executable(said, "other"), None);
        let out = "x\ntest result: ok. 12 passed; 0 failed; 0 ignored\n";
        assert_eq!(passed(out), Some(12));
        assert_eq!(passed("test result: FAILED. 12 passed"), None);
    }
}
