//! The `paxlog` program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{self, Ended};

/// How long a build may take: from nothing, on a small machine.
const BUILD: Duration = Duration::from_secs(1800);

/// The `paxlog` binary that everything is done with.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Uses `given`, or else what cargo builds beside this program. Cargo is asked each time: it does nothing when the
    /// binary is up to date, and an old binary would be measured for a new one otherwise.
    ///
    /// # Errors
    /// If it cannot be built or is not there.
    pub fn find(given: Option<&Path>) -> Result<Program> {
        let path = match given {
            Some(path) => std::path::absolute(path)?,
            None => {
                eprintln!("building paxlog, if it is not up to date");
                let mut build = cargo();
                build.args(["build", "--release", "-p", "paxlog"]);
                let ended = process::run(&mut build, BUILD).context("cargo build")?;
                ensure!(
                    ended.status.success(),
                    "paxlog does not build:\n{}",
                    ended.stderr
                );
                target()?.join("release/paxlog")
            }
        };
        ensure!(path.is_file(), "{} is not there", path.display());
        Ok(Program { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command of it. Variables of the user's own replicas and profiles are not for it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PAXLOG_") && name != "PAXLOG_LOG" {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs a command of it that must succeed.
    ///
    /// # Errors
    /// What the program said, if it did not succeed or took too long.
    pub fn run(&self, configure: impl FnOnce(&mut Command), patience: Duration) -> Result<Ended> {
        let mut command = self.command();
        configure(&mut command);
        let what = || {
            let args: Vec<_> = command
                .get_args()
                .map(|arg| arg.to_string_lossy())
                .collect();
            format!("paxlog {}", args.join(" "))
        };
        let what = what();
        let ended = process::run(&mut command, patience).with_context(|| what.clone())?;
        match ended.status.code() {
            Some(0) => Ok(ended),
            Some(code) => bail!("{what} ended with {code}: {}", ended.stderr.trim()),
            None => bail!("{what} ended by a signal: {}", ended.stderr.trim()),
        }
    }

    /// The same with `--output json`: the object that it printed.
    ///
    /// # Errors
    /// As [`Program::run`]; or if it printed something else.
    pub fn json(&self, configure: impl FnOnce(&mut Command), patience: Duration) -> Result<Value> {
        let ended = self.run(
            |command| {
                configure(command);
                command.args(["--output", "json"]);
            },
            patience,
        )?;
        serde_json::from_slice(&ended.stdout).with_context(|| {
            format!(
                "paxlog printed no JSON object: {}",
                String::from_utf8_lossy(&ended.stdout)
            )
        })
    }
}

/// The root of the workspace.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A command of cargo in the workspace, building where this program was built.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(root())
        .stdin(std::process::Stdio::null());
    if let Ok(target) = target() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// The target directory that this program was built in.
///
/// # Errors
/// If this program was moved away from there.
pub fn target() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("this program cannot tell where it is")?;
    exe.ancestors()
        .find(|dir| dir.file_name().is_some_and(|name| name == "release" || name == "debug" || name == "dist"))
        .and_then(Path::parent)
        .map(Path::to_owned)
        .with_context(|| {
            format!(
                "{} is not in a target directory: name the paxlog binary with --program and a directory with --dir",
                exe.display()
            )
        })
}
