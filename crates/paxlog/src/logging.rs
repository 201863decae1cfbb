//! What the program says about itself: `tracing` events on stderr.

use tracing_subscriber::EnvFilter;

use crate::failure::{Failure, colours};
use crate::output::Format;

/// Starts logging. `PAXLOG_LOG` holds the filter, otherwise `default` does.
pub(crate) fn start(format: Format, default: &str) -> Result<(), Failure> {
    let filter = match std::env::var("PAXLOG_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            Failure::usage(format!("PAXLOG_LOG={text}: {error}"))
                .hint("write a level such as `info`, or `paxlog_server=debug,warn`")
        })?,
        _ => EnvFilter::new(default),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would tell of a closed pipe or a full disk behind stderr on stderr, and panic when that fails: who reads the
        // logs, or keeps them, must not decide whether a replica runs.
        .log_internal_errors(false);
    // A second start (several commands in one test process) changes nothing.
    let _ = match format {
        Format::Text => builder.with_ansi(colours()).try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
