//! Reading the command line: what cannot be understood, and help and versions that were asked for.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::failure::{Exit, Failure};
use crate::output::Format;

/// Reads this process' command line and variables.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    let mut command = without_empty_variables(Cli::command());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// A variable that is set to nothing counts as one that is not set, as shells and what starts containers leave them; clap
/// would miss the flag's value.
fn without_empty_variables(command: Command) -> Command {
    let empty = |argument: &Arg| {
        let value = argument.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    let mut command = command.mut_args(|argument| match empty(&argument) {
        true => argument.env(Resettable::Reset),
        false => argument,
    });
    let subcommands = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned());
    for name in subcommands.collect::<Vec<_>>() {
        command = command.mut_subcommand(name, without_empty_variables);
    }
    command
}

/// Prints what clap has to say, and gives the exit code: help and version go to stdout; a mistake to stderr, as JSON if
/// that was asked for.
pub(crate) fn end(error: &clap::Error) -> ExitCode {
    let asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let variable = std::env::var_os("PAXLOG_OUTPUT");
    if !asked_for && wants_json(std::env::args_os().skip(1), variable.as_deref()) {
        failure(&error.render().to_string()).print(Format::Json);
        return ExitCode::from(Exit::Usage as u8);
    }
    // Nobody is left to tell if the terminal is gone.
    let _ = error.print();
    ExitCode::from(error.exit_code() as u8)
}

/// Whether a command line asks for JSON that clap made nothing of. Arguments may be any bytes.
fn wants_json(arguments: impl Iterator<Item = OsString>, variable: Option<&OsStr>) -> bool {
    let arguments: Vec<OsString> = arguments.take_while(|argument| argument != "--").collect();
    let flag = arguments.iter().enumerate().find_map(|(at, argument)| {
        if argument == "--output" {
            return Some(arguments.get(at + 1).is_some_and(|value| value == "json"));
        }
        let value = argument.to_str()?.strip_prefix("--output=")?;
        Some(value == "json")
    });
    flag.unwrap_or_else(|| variable.is_some_and(|value| value == "json"))
}

/// What clap says in several lines, as a sentence and a hint.
fn failure(text: &str) -> Failure {
    let (mut message, mut hints) = (Vec::new(), Vec::new());
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in said.take_while(|line| !line.starts_with("Usage:")) {
        if let Some(tip) = line.strip_prefix("tip: ") {
            hints.push(tip);
        } else if !line.starts_with("For more information") {
            message.push(line.trim_start_matches("error: "));
        }
    }
    let message = match message.is_empty() {
        true => "wrong usage".to_owned(),
        false => message.join(" "),
    };
    hints.push("see --help");
    Failure::usage(message).hint(hints.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_flag_or_variable_and_the_flag_decides() {
        let wants = |line: &str, variable: Option<&str>| {
            wants_json(
                line.split_whitespace().map(OsString::from),
                variable.map(OsStr::new),
            )
        };
        assert!(wants("frob --output json", None));
        assert!(wants("--output=json frob", None));
        assert!(wants("frob", Some("json")));
        assert!(!wants("frob --output text", Some("json")));
        assert!(!wants("frob --output", Some("json")), "a value is missing");
        assert!(!wants("append x -- --output json", None));
        assert!(!wants("frob", None));
    }

    #[test]
    fn what_is_missing_is_named_and_a_tip_is_a_hint() {
        let missing = failure(
            "error: the following required arguments were not provided:\n  <LOG>\n  <TO>\n\n\
             Usage: paxlog trim <LOG> <TO>\n\nFor more information, try '--help'.\n",
        );
        assert_eq!(
            missing.message,
            "the following required arguments were not provided: <LOG> <TO>"
        );
        let close = failure(
            "error: unrecognized subcommand 'apend'\n\n  tip: a similar subcommand exists: 'append'\n\n\
             Usage: paxlog [OPTIONS] <COMMAND>\n\nFor more information, try '--help'.\n",
        );
        assert_eq!(close.message, "unrecognized subcommand 'apend'");
        assert_eq!(
            close.hint.as_deref(),
            Some("a similar subcommand exists: 'append'; see --help")
        );
        assert_eq!(failure("").message, "wrong usage");
    }
}
