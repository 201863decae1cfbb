//! `paxlog serve`: one replica.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use paxlog_server::config::{self, Config, Overrides};

use crate::cli::Global;
use crate::failure::Failure;
use crate::{output, replica};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog serve --config /etc/paxlog/r1.toml
  paxlog serve --config r1.toml --listen-metrics 127.0.0.1:9401
  PAXLOG_DATA_DIR=/srv/paxlog paxlog serve --config r1.toml
  paxlog serve --print-sample > r1.toml")]
pub(crate) struct ServeArgs {
    /// Print a config file with every key explained, and do nothing else.
    #[arg(long)]
    print_sample: bool,
    /// Stop when stdin ends, so that a replica goes with its parent process.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// The config file, and every one of its keys as a flag and a variable.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// The config file (TOML).
    #[arg(long, env = "PAXLOG_CONFIG", value_name = "FILE", hide_env = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Args)]
#[command(
    next_help_heading = "Keys of the config file (each also a variable: PAXLOG_LISTEN_CLIENTS …)"
)]
struct Keys {
    /// The cluster's id, 32 hex digits.
    #[arg(long, env = "PAXLOG_CLUSTER", value_name = "ID", hide_env = true)]
    cluster: Option<String>,
    /// This replica's id.
    #[arg(long, env = "PAXLOG_REPLICA", value_name = "N", hide_env = true, value_parser = clap::value_parser!(u16).range(1..))]
    replica: Option<u16>,
    /// The directory that `paxlog format` made.
    #[arg(long, env = "PAXLOG_DATA_DIR", value_name = "DIR", hide_env = true)]
    data_dir: Option<PathBuf>,
    /// UDP address for clients [default: 0.0.0.0:7400].
    #[arg(
        long,
        env = "PAXLOG_LISTEN_CLIENTS",
        value_name = "ADDRESS",
        hide_env = true
    )]
    listen_clients: Option<String>,
    /// UDP address for the other replicas [default: 0.0.0.0:7410].
    #[arg(
        long,
        env = "PAXLOG_LISTEN_REPLICAS",
        value_name = "ADDRESS",
        hide_env = true
    )]
    listen_replicas: Option<String>,
    /// TCP address for /metrics, /livez, /readyz and /status [default: 127.0.0.1:9400].
    #[arg(
        long,
        env = "PAXLOG_LISTEN_METRICS",
        value_name = "ADDRESS",
        hide_env = true
    )]
    listen_metrics: Option<String>,
    /// Addresses that clients are told, separated by commas.
    #[arg(
        long,
        env = "PAXLOG_ADVERTISE_CLIENTS",
        value_name = "ADDRESS,…",
        hide_env = true,
        value_delimiter = ','
    )]
    advertise_clients: Option<Vec<String>>,
    /// One member of the group; give all, or separate them by semicolons.
    #[arg(
        long = "member",
        env = "PAXLOG_MEMBERS",
        value_name = "ID=ADDRESS,…",
        hide_env = true,
        value_delimiter = ';'
    )]
    members: Option<Vec<String>>,
    /// The certificate authority's PEM file.
    #[arg(long, env = "PAXLOG_TLS_CA", value_name = "FILE", hide_env = true)]
    tls_ca: Option<PathBuf>,
    /// This replica's certificate.
    #[arg(long, env = "PAXLOG_TLS_CERT", value_name = "FILE", hide_env = true)]
    tls_cert: Option<PathBuf>,
    /// This replica's key.
    #[arg(long, env = "PAXLOG_TLS_KEY", value_name = "FILE", hide_env = true)]
    tls_key: Option<PathBuf>,
    /// Size of one write-ahead log segment [default: 64MiB].
    #[arg(
        long,
        env = "PAXLOG_WAL_SEGMENT_BYTES",
        value_name = "SIZE",
        hide_env = true
    )]
    wal_segment_bytes: Option<String>,
    /// How often a leader lets itself be heard [default: 20ms].
    #[arg(
        long,
        env = "PAXLOG_TIMING_HEARTBEAT",
        value_name = "DURATION",
        hide_env = true
    )]
    timing_heartbeat: Option<String>,
    /// A sync longer than this is a stalled disk [default: 1s].
    #[arg(
        long,
        env = "PAXLOG_TIMING_STALL",
        value_name = "DURATION",
        hide_env = true
    )]
    timing_stall: Option<String>,
    /// Bytes of batches a second that one client's connection may append; 0: no bound [default: 0].
    #[arg(
        long,
        env = "PAXLOG_LIMITS_CLIENT_APPEND_RATE",
        value_name = "BYTES",
        hide_env = true
    )]
    limits_client_append_rate: Option<String>,
    /// Whether an append to an unknown name creates the log: true, false, or beginnings of names with commas between
    /// them [default: false].
    #[arg(
        long,
        env = "PAXLOG_LOGS_CREATE_ON_APPEND",
        value_name = "BOOL|PREFIXES",
        hide_env = true
    )]
    logs_create_on_append: Option<String>,
}

impl ConfigArgs {
    /// The configuration: the file, with flags and variables over it.
    pub(crate) fn load(self) -> Result<Config, Failure> {
        let keys = self.keys;
        let overrides = Overrides {
            cluster: keys.cluster,
            replica: keys.replica,
            data_dir: keys.data_dir,
            listen_clients: keys.listen_clients,
            listen_replicas: keys.listen_replicas,
            listen_metrics: keys.listen_metrics,
            advertise_clients: keys.advertise_clients,
            members: keys.members,
            tls_ca: keys.tls_ca,
            tls_cert: keys.tls_cert,
            tls_key: keys.tls_key,
            wal_segment_bytes: keys.wal_segment_bytes,
            timing_heartbeat: keys.timing_heartbeat,
            timing_stall: keys.timing_stall,
            limits_client_append_rate: keys.limits_client_append_rate,
            logs_create_on_append: keys.logs_create_on_append,
        };
        Config::load(self.config.as_deref(), &overrides).map_err(|error| {
            let hint = match &error {
                config::ConfigError::Missing { .. } if self.config.is_none() => {
                    "give a file with --config, or see `paxlog serve --print-sample`"
                }
                _ => "`paxlog serve --print-sample` shows every key",
            };
            Failure::usage(error.to_string()).hint(hint)
        })
    }
}

/// How long a replica may take to hand over and close its log once it was asked to stop.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(10);

pub(crate) fn serve(global: &Global, args: ServeArgs) -> Result<(), Failure> {
    if args.print_sample {
        return output::print_sample(global.output, config::SAMPLE);
    }
    let config = args.config.load()?;
    replica::run_one(&config, args.until_stdin_ends)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use paxlog_server::config::{Listen, Timing, WalConfig};

    #[test]
    fn the_defaults_that_help_tells_are_those_of_the_config() {
        let mut command = crate::cli::Cli::command();
        let serve = command
            .find_subcommand_mut("serve")
            .expect("it is a command");
        let help = serve.render_long_help().to_string();
        let (listen, timing) = (Listen::default(), Timing::default());
        for default in [
            listen.clients.to_string(),
            listen.replicas.to_string(),
            listen.metrics.to_string(),
            format!("{}MiB", WalConfig::default().segment_bytes >> 20),
            format!("{}ms", timing.heartbeat.as_millis()),
            format!("{}s", timing.stall.as_secs()),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default}");
        }
    }
}
