//! What every example begins and ends with, so that each shows only what it is about.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use paxlog_client::{Client, Profile};

/// Whatever can go wrong.
pub(crate) type Failure = Box<dyn Error>;

/// Connects, runs an example with what stands on its command line but the profile, and ends as `paxlog` itself does:
/// 0 done, 1 refused, 2 wrong before anything was sent, 3 unavailable, 4 outcome unknown.
pub(crate) fn run(
    usage: &str,
    example: impl AsyncFnOnce(&Client, &[String]) -> Result<(), Failure>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let result = runtime.block_on(async {
        let mut args: Vec<String> = std::env::args().skip(1).collect();
        if args.iter().any(|arg| arg == "--help") {
            println!("usage: {usage}");
            return Ok(());
        }
        let client = Client::connect(profile(&mut args)?).await?;
        let result = example(&client, &args).await;
        // The replicas hear of it now, and not only when they miss us.
        client.close().await;
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

/// `--profile FILE`, else `PAXLOG_PROFILE`, else the usual places: `paxlog dev` makes the first of them.
fn profile(args: &mut Vec<String>) -> Result<Profile, Failure> {
    if let Some(at) = args.iter().position(|arg| arg == "--profile") {
        let file = args.get(at + 1).ok_or("--profile needs a file")?.clone();
        args.drain(at..at + 2);
        return Ok(Profile::load(Path::new(&file))?);
    }
    match std::env::var_os("PAXLOG_PROFILE").filter(|file| !file.is_empty()) {
        Some(file) => Ok(Profile::load(Path::new(&file))?),
        None => Ok(Profile::find()?),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::from(match failure.downcast_ref::<paxlog_client::Error>() {
        Some(error) => error.exit_code(),
        None => 2,
    })
}
