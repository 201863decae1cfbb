//! The command line: every verb, and the flags that all of them take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::output::Format;
use crate::{
    append, bench, certs, check_tail, cluster, cursor, demo, dev, fence, format, log, read, seal,
    serve, sim, tail, time, trim, wal,
};

/// Paxlog: a replicated log. What it acknowledges is on disk on a majority of the replicas.
#[derive(Parser)]
#[command(
    name = "paxlog",
    version,
    about,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Begin with:
  paxlog demo                            the whole story in one command, a kill -9 included
  paxlog dev                             three replicas in this terminal; it prints what to type next

Exit codes: 0 done · 1 refused · 2 wrong usage · 3 unavailable, try again · 4 outcome unknown ·
5 integrity failure · 6 local IO error · 130 interrupted"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Global {
    /// How results are printed; JSON is one object a line.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "PAXLOG_OUTPUT",
        value_name = "FORMAT",
        hide_env = true
    )]
    pub(crate) output: Format,

    /// The client profile [else ./.paxlog/client.toml, then ~/.config/paxlog/client.toml].
    #[arg(
        long,
        global = true,
        env = "PAXLOG_PROFILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub(crate) profile: Option<PathBuf>,

    /// How logs on stderr are written; what is logged is set by PAXLOG_LOG (`warn`, `paxlog=debug`).
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        env = "PAXLOG_LOG_FORMAT",
        value_name = "FORMAT",
        hide_env = true
    )]
    pub(crate) log_format: Format,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The whole story in one command: three processes, a load, a kill -9, a check; then it cleans up.
    Demo(demo::DemoArgs),
    /// Three replicas in this process, over real QUIC and real files; made at the first start.
    Dev(dev::DevArgs),
    /// Make one replica's data directory, once.
    Format(format::FormatArgs),
    /// Run one replica.
    Serve(serve::ServeArgs),
    /// Append records to a log.
    Append(append::AppendArgs),
    /// Read a log up to the tail seen at the start.
    Read(read::ReadArgs),
    /// Print the last records of a log, and with -f those to come.
    Tail(tail::TailArgs),
    /// Where a log ends.
    CheckTail(check_tail::CheckTailArgs),
    /// Give up the records below an offset.
    Trim(trim::TrimArgs),
    /// Allow no more appends to a log, for good.
    Seal(seal::SealArgs),
    /// Shut out the writers of a log that do not carry a token.
    Fence(fence::FenceArgs),
    /// Consumers' own places in a log, kept by the cluster.
    #[command(subcommand)]
    Cursor(cursor::CursorCommand),
    /// Create, list, describe, alter and delete logs.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// How the cluster is.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// A private certificate authority, and the certificates of replicas and clients.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Look into a replica's write-ahead log, offline; never changes a file.
    #[command(subcommand)]
    Wal(wal::WalCommand),
    /// Run simulated clusters under faults, and judge histories.
    Sim(sim::SimArgs),
    /// Measure a cluster, and what nobody can beat on this machine.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

/// How long a command may take.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct DeadlineArg {
    /// How long to try; the deadline travels with each request.
    #[arg(long, default_value = "10s", value_parser = time::parse_duration, value_name = "DURATION")]
    pub(crate) deadline: Duration,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_parses_as_documented() {
        for line in [
            "demo --seconds 15",
            "dev --dir .paxlog --replicas 3 --listen 127.0.0.1:7400 --metrics 127.0.0.1:9400",
            "dev --ephemeral",
            "format --config r1.toml",
            "serve --config r1.toml --log-format json --listen-clients 127.0.0.1:0 --member 1=127.0.0.1:1 --member 2=127.0.0.1:2",
            "append notes - --as json -0 --producer me --linger 1ms --deadline 10s",
            "append notes -m hello --output json",
            "append notes -m -5",
            "read notes --from tail-10 -n 5 --until 2026-11-24T10:00:00Z --as raw -0 --linearizable",
            "tail notes -f -n 10",
            "tail notes --from first",
            "check-tail notes --local",
            "trim notes 100",
            "seal notes",
            "log create notes",
            "log list --prefix a/",
            "log describe notes",
            "log create notes --retention-age 7d --retention-bytes 10GiB --max-batch 1MiB --append-rate 20MB",
            "log alter notes --retention-age none",
            "log delete notes",
            "fence notes w2 --expect w1",
            "fence notes w1 --expect-none",
            "fence notes --clear",
            "cursor get notes me --local",
            "cursor set notes me 10 --expect 5",
            "cursor list notes --prefix m",
            "cursor delete notes me",
            "append notes -m x --if-tail 5 --fence w1",
            "read notes --from cursor:me",
            "read notes --from @2026-11-24T10:00:00Z",
            "tail notes -f --cursor me --commit-interval 5s",
            "cluster status --output json",
            "certs init --dir certs",
            "certs issue --dir certs --replica 1",
            "certs issue --dir certs --client me",
            "wal verify data",
            "wal dump data",
            "sim --seed 138 --messages",
            "sim --seed 138 --shrink --runs-max 100 --save-plan plan.json",
            "sim --plan plan.json --history history.jsonl --output json",
            "sim --seeds 1..101 --jobs 2 --twice --covered",
            "sim check history.jsonl",
            "bench append --payload 1024 --inflight 256 --clients 4 --secs 8 --coalesce off",
            "bench tail --secs 8",
            "bench floor --dir data",
        ] {
            let parsed = Cli::try_parse_from(["paxlog"].into_iter().chain(line.split(' ')));
            if let Err(error) = parsed {
                panic!("{line}: {error}");
            }
        }
    }

    #[test]
    fn wrong_flags_are_exit_code_2() {
        for line in [
            "append",
            "append notes --as pages",
            "trim notes x",
            "tail notes --from first -n 3",
            "fence notes",
            "fence notes w --clear",
            "fence notes w --expect v --expect-none",
            "cursor set notes me x",
            "log alter notes --retention-age soon",
            "sim",
            "sim --seed 1 --seeds 1..2",
            "sim --seeds 2..2",
            "sim --seed 1 --jobs 2",
            "sim --seeds 1..3 --shrink",
            "frobnicate",
        ] {
            let error = Cli::try_parse_from(["paxlog"].into_iter().chain(line.split(' ')))
                .err()
                .expect(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn every_verb_has_examples_in_its_help() {
        fn check(command: &mut clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            if command.get_subcommands().next().is_none() && command.get_name() != "help" {
                let help = command.render_long_help().to_string();
                assert!(help.contains("Example"), "{path} has no example");
            }
            for sub in command.get_subcommands_mut() {
                check(sub, &path);
            }
        }
        check(&mut Cli::command(), "");
    }
}
