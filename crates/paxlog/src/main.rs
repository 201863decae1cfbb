//! The `paxlog` program: a file a subcommand, results on stdout, everything else on stderr.

mod append;
mod bench;
mod certs;
mod change;
mod check_tail;
mod cli;
mod cluster;
mod completions;
mod compression;
mod connect;
mod cursor;
mod demo;
mod dev;
mod failure;
mod fence;
mod format;
mod framing;
#[cfg(test)]
mod help_tests;
mod input;
mod interrupt;
mod log;
mod logging;
mod man;
mod names;
mod output;
mod position;
mod print;
mod read;
mod record_json;
mod replica;
mod seal;
mod serve;
mod settings;
mod sim;
mod tail;
mod time;
mod trim;
mod usage;
mod wal;
mod whole_file;

use std::process::ExitCode;

use cli::{Cli, Command};
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(error) => return usage::end(&error),
    };
    let format = cli.global.output;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads the results any more: as good as done.
        Err(failure) if failure.exit == Exit::Unread => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(format);
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let global = cli.global;
    let filter = match cli.command {
        Command::Serve(_) => "info",
        // Links come and go together with this process; that is no news.
        Command::Dev(_) => "warn,paxlog_quic=error",
        // What goes wrong in a simulated cluster is meant to.
        Command::Sim(_) => "off",
        _ => "warn",
    };
    logging::start(global.log_format, filter)?;
    match cli.command {
        Command::Demo(args) => wait_for(demo::demo(&global, args)),
        Command::Dev(args) => dev::dev(&global, args),
        Command::Format(args) => format::format(&global, args),
        Command::Serve(args) => serve::serve(&global, args),
        Command::Append(args) => wait_for(append::append(&global, args)),
        Command::Read(args) => wait_for(read::read(&global, args)),
        Command::Tail(args) => wait_for(tail::tail(&global, args)),
        Command::CheckTail(args) => wait_for(check_tail::check_tail(&global, args)),
        Command::Trim(args) => wait_for(trim::trim(&global, args)),
        Command::Seal(args) => wait_for(seal::seal(&global, args)),
        Command::Fence(args) => wait_for(fence::fence(&global, args)),
        Command::Cursor(command) => wait_for(cursor::cursor(&global, command)),
        Command::Log(command) => wait_for(log::log(&global, command)),
        Command::Cluster(command) => wait_for(cluster::cluster(&global, command)),
        Command::Certs(command) => certs::certs(&global, command),
        Command::Wal(command) => wal::wal(&global, command),
        Command::Sim(args) => sim::sim(&global, &args),
        Command::Bench(command) => wait_for(bench::bench(&global, command)),
        Command::Completions(args) => completions::completions(&global, &args),
        Command::Man(args) => man::man(&global, &args),
    }
}

/// Runs on one thread: a client has nothing to gain from a second, and a hand-off between CPUs
/// costs more than most of what it does.
fn wait_for(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local_io(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        let result = command.await;
        // The client is gone by now; what it said last still has to leave.
        for _ in 0..GOODBYES {
            tokio::task::yield_now().await;
        }
        result
    });
    // A thread that waits for a terminal or pipe is left behind: it has nothing to lose.
    runtime.shutdown_background();
    result
}

/// Turns of the runtime for the connections' last packets.
const GOODBYES: u32 = 8;
