//! `paxlog format`: makes one replica's data directory, once.

use clap::Args;
use paxlog_server::config::format_cluster_id;
use serde_json::json;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::replica;
use crate::serve::ConfigArgs;

#[derive(Args)]
#[command(
    after_help = "`serve` refuses a directory that was not formatted, so that a lost disk is never taken for a new one.
The config's cluster id, certificate and key are checked first, as `serve` does; if they are refused nothing is made.

Examples:
  paxlog format --config /etc/paxlog/r1.toml
  paxlog format --config r1.toml --data-dir /srv/paxlog"
)]
pub(crate) struct FormatArgs {
    #[command(flatten)]
    config: ConfigArgs,
}

pub(crate) fn format(global: &Global, args: FormatArgs) -> Result<(), Failure> {
    let config = args.config.load()?;
    let formatted =
        paxlog_server::format(&config).map_err(|error| replica::format_failure(&error))?;
    let (cluster, incarnation) = (
        format_cluster_id(config.cluster),
        format!("{:032x}", formatted.incarnation),
    );
    match global.output {
        Format::Json => output::print_json(&json!({
            "data_dir": config.data_dir,
            "cluster": cluster,
            "replica": config.replica,
            "incarnation": incarnation,
        })),
        Format::Text => output::print_line(&format!(
            "formatted {} for replica {} of cluster {cluster}, incarnation {incarnation}",
            config.data_dir.display(),
            config.replica,
        )),
    }
}
