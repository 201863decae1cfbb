//! `paxlog completions`: scripts for shells, made from the same definitions as the command line itself.

use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use serde_json::json;

use crate::cli::{Cli, Global};
use crate::failure::Failure;
use crate::output::{Format, Stdout};

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog completions bash > ~/.local/share/bash-completion/completions/paxlog
  paxlog completions zsh > ~/.zfunc/_paxlog
  paxlog completions fish > ~/.config/fish/completions/paxlog.fish
  source <(paxlog completions bash)              only in this bash

The folder must be there (mkdir -p), and zsh must look in it: fpath+=~/.zfunc before compinit in ~/.zshrc. Write the
script anew after an update of this program.")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn completions(global: &Global, args: &CompletionsArgs) -> Result<(), Failure> {
    let script = script(args.shell);
    let mut out = Stdout::new();
    match global.output {
        Format::Json => out.json(&json!({
            "shell": args.shell.to_possible_value().map(|value| value.get_name().to_owned()),
            "script": String::from_utf8_lossy(&script),
        }))?,
        Format::Text => out.write(&script)?,
    }
    out.flush()
}

/// Into memory first: the generators panic where they cannot write.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let mut command = visible(&Cli::command()).version(env!("CARGO_PKG_VERSION"));
    command = command.propagate_version(true);
    clap_complete::generate(shell, &mut command, "paxlog", &mut script);
    script
}

/// The command without what is hidden in it, which the generators would offer.
fn visible(command: &Command) -> Command {
    let arguments = command.get_arguments().filter(|a| !a.is_hide_set());
    let commands = command.get_subcommands().filter(|c| !c.is_hide_set());
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(command.get_name().to_owned())
        .about(about)
        .args(arguments.cloned())
        .subcommands(commands.map(visible))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_s_script_knows_every_verb() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(script(*shell)).expect("text");
            for command in Cli::command().get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: {name}");
            }
            for inner in ["describe", "--linearizable", "--producer", "completions"] {
                let word = inner.trim_start_matches("--");
                assert!(script.contains(word), "{shell}: {inner}");
            }
            assert!(
                !script.contains("until-stdin-ends"),
                "{shell}: what is hidden stays so"
            );
        }
    }
}
