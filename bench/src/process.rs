//! Child processes that end with us.
//!
//! Every child is in a registry, and in a process group of its own, so that what it started ends with it. Dropping a
//! [`Process`] kills and reaps it; [`end_on_signals`] does the same for all of them on Ctrl-C, and removes the temporary directories
//! that were registered, since no destructor runs then. Nothing is ever ended by name, only by the id of a child that we have
//! not reaped, which nobody else can have got.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// How long an end may go unseen: a tenth of what it took, within these. To look more often would take time
/// from what is measured.
const ASK_EVERY: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// What must go when we go.
#[derive(Default)]
struct Registry {
    children: Vec<Arc<Mutex<Child>>>,
    dirs: Vec<PathBuf>,
    /// Set once by a signal: nothing is started any more.
    ending: bool,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    children: Vec::new(),
    dirs: Vec::new(),
    ending: false,
});

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is never left half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running child. Dropped, it is killed, with its process group, and reaped.
#[derive(Debug)]
pub struct Process {
    child: Arc<Mutex<Child>>,
    id: u32,
    stdin: Option<ChildStdin>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: Vec<u8>,
    /// All of its stderr, as text.
    pub stderr: String,
}

impl Process {
    /// Starts a child. Its stdin, if piped, stays open until the end of this.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: &mut Command) -> Result<Process> {
        // Held over the start, so that a signal either sees the child or prevents it.
        let mut registry = locked(&REGISTRY);
        if registry.ending {
            drop(registry);
            hold();
        }
        let mut child = command.process_group(0).spawn().with_context(|| {
            format!(
                "{} cannot be started",
                command.get_program().to_string_lossy()
            )
        })?;
        let (id, stdin) = (child.id(), child.stdin.take());
        let child = Arc::new(Mutex::new(child));
        registry.children.push(Arc::clone(&child));
        Ok(Process { child, id, stdin })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// If the system cannot tell.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        Ok(locked(&self.child).try_wait()?)
    }

    /// Waits for its end; after `patience` it is killed, which is an error.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn wait(&self, patience: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                // If it was a signal to us that ended it, there is nothing to tell of it.
                hold_if_ending();
                return Ok(status);
            }
            if begin.elapsed() > patience {
                end(&self.child);
                bail!(
                    "it did not end within {} s and was killed",
                    patience.as_secs()
                );
            }
            std::thread::sleep((begin.elapsed() / 10).clamp(ASK_EVERY[0], ASK_EVERY[1]));
        }
    }

    /// Asks it to stop by ending its stdin, as `serve --until-stdin-ends` wants it, and waits.
    ///
    /// # Errors
    /// If it takes too long; it is killed then.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        drop(self.stdin.take());
        self.wait(patience)
    }

    /// Takes a pipe that was asked for.
    fn pipes(
        &self,
    ) -> (
        Option<impl Read + Send + use<>>,
        Option<impl Read + Send + use<>>,
    ) {
        let mut child = locked(&self.child);
        (child.stdout.take(), child.stderr.take())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&self.child);
        locked(&REGISTRY)
            .children
            .retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}

/// SIGKILL to the group of a child that was not reaped yet, and reaps it.
fn end(child: &Mutex<Child>) {
    let mut child = locked(child);
    if let Ok(Some(_)) = child.try_wait() {
        return;
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended this moment; it is not reaped, so its id is still its own.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    let _ = child.wait();
}

/// Runs a command to its end, and gives what it said.
///
/// # Errors
/// If it cannot be started or takes longer than `patience`.
pub fn run(command: &mut Command, patience: Duration) -> Result<Ended> {
    run_with(command, patience, |_| {})
}

/// The same, with each line of stdout and stderr shown as it comes.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    command: &mut Command,
    patience: Duration,
    line: impl Fn(&str) + Send + Sync,
) -> Result<Ended> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = Process::start(command)?;
    let (stdout, stderr) = process.pipes();
    let line = &line;
    std::thread::scope(|scope| {
        let out = scope.spawn(move || drain(stdout, line));
        let err = scope.spawn(move || drain(stderr, line));
        let status = process.wait(patience);
        let (stdout, stderr) = (
            out.join().expect("reading does not panic"),
            err.join().expect("reading does not panic"),
        );
        Ok(Ended {
            status: status.with_context(|| said(&stderr))?,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    })
}

/// The last words of a stderr, for an error.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("its last words: {line}"),
        None => "it said nothing".into(),
    }
}

fn drain(pipe: Option<impl Read>, line: &(impl Fn(&str) + Sync)) -> Vec<u8> {
    let (mut all, mut shown, mut chunk) = (Vec::new(), 0, [0; 64 << 10]);
    let Some(mut pipe) = pipe else { return all };
    // An error means that the other end is gone.
    while let Ok(n @ 1..) = pipe.read(&mut chunk) {
        all.extend_from_slice(&chunk[..n]);
        while let Some(end) = all[shown..].iter().position(|byte| *byte == b'\n') {
            line(&String::from_utf8_lossy(&all[shown..shown + end]));
            shown += end + 1;
        }
    }
    all
}

/// Does not return once a signal came: the thread that got it ends everything, says so and exits. Call it before
/// reporting a failure, which may be no more than that, and before exiting.
pub fn hold_if_ending() {
    let ending = locked(&REGISTRY).ending;
    if ending {
        hold();
    }
}

fn hold() -> ! {
    loop {
        std::thread::park();
    }
}

/// A directory that a signal removes as well.
pub(crate) fn remove_on_signals(dir: &Path) {
    locked(&REGISTRY).dirs.push(dir.to_owned());
}

/// It is removed, or kept on purpose.
pub(crate) fn forget_dir(dir: &Path) {
    locked(&REGISTRY).dirs.retain(|known| known != dir);
}

/// From now on SIGINT, SIGTERM and SIGHUP end all children, remove the registered directories and exit with 130.
///
/// # Errors
/// If the signals cannot be taken over.
pub fn end_on_signals() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the thread that waits for signals cannot start")?;
    let guard = runtime.enter();
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    drop(guard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
        });
        let (children, dirs) = {
            let mut registry = locked(&REGISTRY);
            registry.ending = true;
            (registry.children.clone(), registry.dirs.clone())
        };
        for child in &children {
            end(child);
        }
        for dir in &dirs {
            // Nobody is left to be told.
            let _ = std::fs::remove_dir_all(dir);
        }
        eprintln!("interrupted: everything that was started is ended and removed");
        std::process::exit(130);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_says_and_how_it_ends_is_given() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let ended = run(&mut command, Duration::from_secs(10)).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert_eq!(
            (&ended.stdout[..], &ended.stderr[..]),
            (&b"out\n"[..], "err\n")
        );
    }

    #[test]
    fn a_command_that_takes_too_long_goes_with_all_that_it_started() {
        let mut command = Command::new("sh");
        // The grandchild holds the pipe: were it left, reading would go on for a minute.
        command.args(["-c", "sleep 60 & wait"]);
        let begin = Instant::now();
        let error = run(&mut command, Duration::from_millis(50)).unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(30));
        assert!(
            format!("{error:#}").contains("did not end within"),
            "{error:#}"
        );
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let stat = PathBuf::from(format!("/proc/{}/stat", process.id()));
        assert!(stat.exists());
        drop(process);
        assert!(!stat.exists());
    }
}
