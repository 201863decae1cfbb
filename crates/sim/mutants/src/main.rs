//! Plants the bugs in a copy of Paxlog, and runs it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use mutants::args::{self, Command as Wanted};
use mutants::{bug, plant, readme};

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let args = args::parse(env::args().skip(1))?;
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = home
        .ancestors()
        .nth(3)
        .ok_or("this package lies in crates/sim/mutants")?;
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => env::current_dir()
            .map_err(|error| format!("no current folder: {error}"))?
            .join(folder),
        None => root.join("target"),
    };
    let tree: PathBuf = target.join("mutants");
    let bugs = bug::read_all(&home.join("bugs"))?;
    if args.command == Wanted::Readme {
        readme::write(&home.join("README.md"), &bugs)?;
        return Ok(ExitCode::SUCCESS);
    }
    plant::plant(root, home, &tree, &bugs)?;
    if args.command == Wanted::Plant {
        println!("{}", tree.display());
        return Ok(ExitCode::SUCCESS);
    }
    // The same cargo, if one runs this.
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--release", "--manifest-path"])
        .arg(tree.join("Cargo.toml"))
        .args(["--package", "mutants-runner", "--"])
        .args(env::args_os().skip(1))
        // Third-party crates are compiled once for both workspaces.
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
