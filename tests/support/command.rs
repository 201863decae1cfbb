//! Runs of the program under test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{LIVENESS, until};

pub(crate) use rustix::process::Signal;

/// A command line, to be run.
pub(crate) struct Paxlog {
    command: Command,
    shown: String,
    stdin: Vec<u8>,
}

/// `paxlog` with arguments, and nothing of the environment's own settings of it.
pub(crate) fn paxlog<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Paxlog {
    program(Path::new(env!("CARGO_BIN_EXE_paxlog")), "paxlog", arguments)
}

/// The same for another program of ours.
pub(crate) fn program<A: AsRef<OsStr>>(
    path: &Path,
    name: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Paxlog {
    let mut command = Command::new(path);
    let mut shown = name.to_owned();
    for argument in arguments {
        shown.push(' ');
        shown.push_str(&argument.as_ref().to_string_lossy());
        command.arg(argument);
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PAXLOG_") {
            command.env_remove(name);
        }
    }
    // Nor what the user thinks of colours.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(name);
    }
    // No profile of the user's own.
    command.env("HOME", "/nonexistent");
    Paxlog {
        command,
        shown,
        stdin: Vec::new(),
    }
}

impl Paxlog {
    pub(crate) fn profile(mut self, path: &Path) -> Paxlog {
        self.command.env("PAXLOG_PROFILE", path);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Paxlog {
        self.command.env(name, value);
        self
    }

    /// Starts it with streams of the caller's own.
    pub(crate) fn spawn(
        mut self,
        stdin: impl Into<Stdio>,
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Plumbed {
        let child = self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        let child = child.spawn();
        Plumbed {
            child: child.unwrap_or_else(|error| panic!("{}: {error}", self.shown)),
            shown: self.shown,
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Paxlog {
        self.shown.push(' ');
        self.shown.push_str(&argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    pub(crate) fn args(self, arguments: &[&str]) -> Paxlog {
        arguments.iter().fold(self, Paxlog::arg)
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Paxlog {
        self.command.current_dir(dir);
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Paxlog {
        self.stdin = bytes.into();
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it does not end within [`LIVENESS`]; it is killed then.
    pub(crate) fn run(mut self) -> Output {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        let mut stdin = child.stdin.take().expect("piped");
        let bytes = std::mem::take(&mut self.stdin);
        let writer = std::thread::spawn(move || {
            // It need not read to the end.
            let _ = stdin.write_all(&bytes);
        });
        let stdout = drain(child.stdout.take().expect("piped"));
        let stderr = drain(child.stderr.take().expect("piped"));
        let code = wait(&mut child, &self.shown);
        writer.join().expect("no panic");
        Output {
            shown: self.shown,
            code,
            stdout: stdout.join().expect("no panic"),
            stderr: String::from_utf8(stderr.join().expect("no panic")).expect("stderr is text"),
        }
    }

    /// Starts it, to be listened to while it runs.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.shown));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("piped");
        let stderr = drain(child.stderr.take().expect("piped"));
        // No line is read ahead: one that nobody waits for is left in the pipe.
        let (sender, lines) = mpsc::sync_channel(0);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Running {
            shown: self.shown,
            child,
            stdin,
            lines: Some(lines),
            stderr: Some(stderr),
        }
    }
}

/// A run with streams of the caller's own; killed if it is dropped.
pub(crate) struct Plumbed {
    shown: String,
    pub(crate) child: Child,
}

impl Plumbed {
    pub(crate) fn of(child: Child, shown: &str) -> Plumbed {
        Plumbed {
            shown: shown.to_owned(),
            child,
        }
    }

    /// Waits for its end: the exit code, none if a signal ended it.
    pub(crate) fn end(mut self) -> Option<i32> {
        wait(&mut self.child, &self.shown)
    }
}

impl Drop for Plumbed {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run that has not ended; killed if it is dropped.
pub(crate) struct Running {
    shown: String,
    child: Child,
    stdin: Option<std::process::ChildStdin>,
    lines: Option<mpsc::Receiver<(Instant, String)>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    /// The next line of its output, and when it came.
    ///
    /// # Panics
    /// When none comes within [`LIVENESS`].
    pub(crate) fn line(&mut self) -> (Instant, String) {
        match self.lines().recv_timeout(LIVENESS) {
            Ok(line) => line,
            Err(error) => panic!("{}: no further line of output: {error}", self.shown),
        }
    }

    /// A line, if one comes within `patience`.
    pub(crate) fn line_within(&mut self, patience: Duration) -> Option<String> {
        let line = self.lines().recv_timeout(patience);
        line.ok().map(|(_, line)| line)
    }

    fn lines(&self) -> &mpsc::Receiver<(Instant, String)> {
        self.lines.as_ref().expect("not closed")
    }

    /// Closes our end of its output, as `head` does when it has enough.
    pub(crate) fn close_stdout(&mut self) {
        self.lines = None;
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(bytes).expect("it reads");
        stdin.flush().expect("it reads");
    }

    pub(crate) fn send(&self, signal_sent: Signal) {
        signal(&self.child, signal_sent);
    }

    /// Waits until it listens to SIGINT; where that cannot be seen it has had some time.
    pub(crate) fn listens(&self) {
        listens(self.child.id());
    }

    /// Ends its input, and waits for its end.
    pub(crate) fn end_after_input(mut self) -> Output {
        self.stdin = None;
        self.end()
    }

    /// Waits for its end; what was printed and not taken as lines is in the output.
    pub(crate) fn end(mut self) -> Output {
        let mut stdout = Vec::new();
        if let Some(lines) = self.lines.take() {
            let begin = Instant::now();
            while let Ok((_, line)) = lines.recv_timeout(LIVENESS.saturating_sub(begin.elapsed())) {
                stdout.extend_from_slice(line.as_bytes());
                stdout.push(b'\n');
            }
        }
        let code = wait(&mut self.child, &self.shown);
        let stderr = self.stderr.take().expect("taken once").join();
        Output {
            shown: std::mem::take(&mut self.shown),
            code,
            stdout,
            stderr: String::from_utf8(stderr.expect("no panic")).expect("stderr is text"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run left.
pub(crate) struct Output {
    shown: String,
    /// None if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts the exit code.
    pub(crate) fn code(self, code: i32) -> Output {
        assert_eq!(
            self.code,
            Some(code),
            "{}\nstdout: {}\nstderr: {}",
            self.shown,
            self.text().chars().take(2_000).collect::<String>(),
            self.stderr
        );
        assert!(
            !self.stderr.contains("panicked"),
            "{}: {}",
            self.shown,
            self.stderr
        );
        self
    }

    /// Asserts success.
    pub(crate) fn ok(self) -> Output {
        self.code(0)
    }

    /// Its one line of JSON.
    pub(crate) fn json(&self) -> Value {
        let lines = self.json_lines();
        assert_eq!(lines.len(), 1, "{}: {}", self.shown, self.text());
        lines.into_iter().next().expect("one")
    }

    /// Its lines of JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("{}: {error}: {line}", self.shown))
            })
            .collect()
    }

    /// Asserts the exit code, that stderr is one JSON object with that code and a message, and that stdout is
    /// empty. Returns what `error` holds.
    pub(crate) fn error(self, code: i32) -> Value {
        let output = self.code(code);
        assert_eq!(output.text(), "", "{}: results on a failure", output.shown);
        output.error_beside_results()
    }

    /// The same for what prints results before it fails.
    pub(crate) fn error_beside_results(&self) -> Value {
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{}: {}", self.shown, self.stderr);
        let value: Value = serde_json::from_str(lines[0])
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.shown, self.stderr));
        let error = value["error"].clone();
        assert_eq!(error["exit"], self.code.expect("an exit code"), "{value}");
        assert!(
            error["message"].as_str().is_some_and(|m| m.len() > 8),
            "{value}"
        );
        error
    }

    /// Asserts that stderr says all of this.
    pub(crate) fn says(self, words: &[&str]) -> Output {
        for word in words {
            assert!(
                self.stderr.contains(word),
                "{}: {word:?} is not in: {}",
                self.shown,
                self.stderr
            );
        }
        self
    }
}

/// Waits until a process listens to SIGINT; where that cannot be seen it has had some time.
pub(crate) fn listens(process: u32) {
    let status = format!("/proc/{process}/status");
    until("it listens to signals", || {
        let Ok(status) = std::fs::read_to_string(&status) else {
            std::thread::sleep(Duration::from_secs(1));
            return Some(());
        };
        let caught = status.lines().find_map(|l| l.strip_prefix("SigCgt:"))?;
        let caught = u64::from_str_radix(caught.trim(), 16).ok()?;
        (caught & 0b10 != 0).then_some(())
    });
}

/// What any command printed; for programs that are not ours.
pub(crate) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Sends a signal to a child that has not been waited for, so that its id is still its own.
pub(crate) fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal)
        .expect("it has not been waited for");
}

fn wait(child: &mut Child, shown: &str) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status.code();
        }
        if begin.elapsed() > LIVENESS {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown}: did not end within {LIVENESS:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn drain(mut stream: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before it broke is what there is.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}
