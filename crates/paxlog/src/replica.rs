//! Running replicas in this process: starting, waiting, and what their ends mean for the user.

use std::convert::Infallible;
use std::time::Duration;

use paxlog_quic::CertsError;
use paxlog_server::config::Config;
use paxlog_server::{ExitReason, FormatError, Replica, StartError};

use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::serve::SHUTDOWN;

/// How often replicas are asked whether they still run.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// A runtime for signals and waiting; the replicas have their own threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local_io(format!("cannot start the runtime: {error}")))
}

/// `serve`: until a signal, or until the replica stops by itself. With `until_stdin_ends`, also until stdin
/// ends: so a child goes with its parent, however that goes.
pub(crate) fn run_one(config: &Config, until_stdin_ends: bool) -> Result<(), Failure> {
    let replica = start(config)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let interrupt = Interrupt::watch();
        tokio::select! {
            () = interrupt.wait() => Ok(()),
            () = stdin_end(), if until_stdin_ends => Ok(()),
            end = first_end(std::slice::from_ref(&replica)) => end,
            never = tell_when_ready(&replica) => match never {},
        }
    });
    runtime.shutdown_background();
    tracing::info!(replica = config.replica, "stopping");
    let reason = replica.shutdown(SHUTDOWN);
    tracing::info!(
        replica = config.replica,
        exit = reason.exit_code(),
        "stopped: {reason}"
    );
    ended.and(end_failure(&reason))
}

/// Says once that the replica serves, and where.
async fn tell_when_ready(replica: &Replica) -> Infallible {
    loop {
        let status = replica.status();
        if status.ready {
            tracing::info!(
                replica = status.replica,
                role = status.role,
                clients = %replica.client_addr(),
                replicas = %replica.replica_addr(),
                metrics = %replica.metrics_addr(),
                "serving"
            );
            break;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
    std::future::pending().await
}

async fn stdin_end() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // Ended or broken: either way the parent is gone.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = sender.send(());
    });
    // An error would mean that the thread is gone: as good as an end.
    let _ = receiver.await;
}

/// Starts a replica.
pub(crate) fn start(config: &Config) -> Result<Replica, Failure> {
    Replica::start(config.clone()).map_err(|error| start_failure(&error))
}

/// Whether a replica leads and takes appends.
pub(crate) fn serves(replica: &Replica) -> bool {
    let status = replica.status();
    status.ready && status.role == "leader"
}

/// Waits until one of them stops by itself, and says why.
pub(crate) async fn first_end(replicas: &[Replica]) -> Result<(), Failure> {
    loop {
        if let Some(reason) = replicas.iter().find_map(Replica::exited) {
            return end_failure(&reason);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Formats a directory unless it is formatted.
pub(crate) fn format_if_new(config: &Config) -> Result<(), Failure> {
    match paxlog_server::format(config) {
        Ok(_) | Err(FormatError::AlreadyFormatted { .. }) => Ok(()),
        // `start` judges whether it is in use.
        Err(FormatError::InUse { .. }) => Ok(()),
        Err(error) => Err(format_failure(&error)),
    }
}

pub(crate) fn format_failure(error: &FormatError) -> Failure {
    let message = error.to_string();
    match error {
        FormatError::AlreadyFormatted { .. } => Failure::usage(message)
            .hint("`paxlog serve` runs it; only a directory that may be lost for good should be removed and formatted again"),
        FormatError::SampleCluster => Failure::usage(message)
            .hint("put the id into the config file; `paxlog certs issue --replica N` then makes the certificate and key it names"),
        FormatError::Refused(error) => start_failure(error),
        FormatError::InUse { .. } => Failure::unavailable(message).hint("stop the process that has it open"),
        FormatError::Io { .. } => Failure::local_io(message),
    }
}

fn start_failure(error: &StartError) -> Failure {
    let exit = match error.exit_code() {
        2 => Exit::Usage,
        3 => Exit::Unavailable,
        5 => Exit::Integrity,
        _ => Exit::LocalIo,
    };
    let failure = Failure::new(exit, error.to_string());
    match error {
        StartError::Endpoint(_) | StartError::Http { .. } => {
            failure.hint("is another replica, or another program, at that address? Stop it, or choose another port")
        }
        StartError::Certs(CertsError::Read { .. }) => failure.hint(
            "paths in a config file are relative to it; `paxlog certs issue --replica N` makes a certificate and its key",
        ),
        StartError::NotFormatted { .. }
        | StartError::Config(_)
        | StartError::Certs(_)
        | StartError::Foreign { .. }
        | StartError::InUse { .. }
        | StartError::DiskFull { .. }
        | StartError::Recover { .. }
        | StartError::Io { .. }
        | StartError::Thread(_) => failure,
    }
}

fn end_failure(reason: &ExitReason) -> Result<(), Failure> {
    let exit = match reason.exit_code() {
        0 => return Ok(()),
        5 => Exit::Integrity,
        _ => Exit::LocalIo,
    };
    Err(match reason {
        ExitReason::Stopped => return Ok(()),
        ExitReason::StorageFailed(why) => {
            Failure::new(exit, format!("the replica stopped: its disk failed: {why}")).hint(
                "nothing was acknowledged after that; started again, it checks what is on disk",
            )
        }
        ExitReason::Diverging(why) => Failure::new(
            exit,
            format!(
                "the replica stopped, for going on would have made it differ from the others: {why}"
            ),
        )
        .hint("please report this; keep its data directory"),
        ExitReason::Panicked => Failure::new(exit, "the replica stopped with a panic")
            .hint("this is a bug: please report it"),
    })
}
