//! Runs inputs through the targets, on any compiler.

use std::path::Path;
use std::process::ExitCode;

use paxlog_fuzz::{TARGETS, target};

const USAGE: &str = "\
paxlog-fuzz list                     the targets
paxlog-fuzz replay TARGET FILE…      runs inputs; panics where cargo-fuzz would
paxlog-fuzz seeds FOLDER             writes the inputs to begin with, a folder a target";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match &args[..] {
        ["list"] => {
            for target in TARGETS {
                println!("{:<17} {}", target.name, target.about);
            }
            Ok(())
        }
        ["replay", name, files @ ..] if !files.is_empty() => replay(name, files),
        ["seeds", folder] => write_seeds(Path::new(folder)).map_err(|error| error.to_string()),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn replay(name: &str, files: &[&str]) -> Result<(), String> {
    let target = target(name).ok_or(format!("there is no target `{name}`\n{USAGE}"))?;
    for file in files {
        let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        println!("{file}, {} bytes", input.len());
        (target.run)(&input);
    }
    Ok(())
}

fn write_seeds(folder: &Path) -> std::io::Result<()> {
    for target in TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
    }
    Ok(())
}
