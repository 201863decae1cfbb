//! `paxlog man`: the manual, made from the same definitions as `--help`.
//!
//! A page a command. Names, options and sub-commands are clap's. What a command's help says at its end is set as it is
//! meant: indented lines as they stand, `Examples:` as a section, the rest as prose. Exit codes, variables and files are
//! those of the whole program and stand on every page, since each is read alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use roff::{Roff, bold, roman};
use serde_json::json;

use crate::cli::{Cli, Global};
use crate::failure::Failure;
use crate::output::{Format, Stdout};
use crate::whole_file::WholeFile;

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog man ~/.local/share/man/man1             every page, for `man paxlog` and `man paxlog-append`
  paxlog man | man -l -                          one page, to read now
  paxlog man --page log-create | man -l -        another one
  paxlog man dir --output json | jq -r .command  every command there is

The directory is made if it is not there; pages of the same names in it are replaced.")]
pub(crate) struct ManArgs {
    /// Where to write all pages; without it one goes to stdout.
    #[arg(conflicts_with = "page")]
    dir: Option<PathBuf>,
    /// The page of this command, its words joined by `-`.
    #[arg(
        long,
        value_name = "COMMAND",
        default_value = "paxlog",
        hide_default_value = true
    )]
    page: String,
}

pub(crate) fn man(global: &Global, args: &ManArgs) -> Result<(), Failure> {
    let pages = pages();
    match &args.dir {
        Some(dir) => write_all(global.output, dir, &pages),
        None => print_one(global.output, &args.page, &pages),
    }
}

fn write_all(format: Format, dir: &Path, pages: &[Page]) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(|error| {
        Failure::local_io(format!(
            "cannot make the directory {}: {error}",
            dir.display()
        ))
    })?;
    let mut out = Stdout::new();
    for page in pages {
        let file = dir.join(format!("{}.1", page.name));
        WholeFile::at(&file)?.write(|out| out.write_all(page.text.as_bytes()))?;
        if format == Format::Json {
            out.json(&json!({"command": page.command, "page": page.name, "file": file}))?;
        }
    }
    if format == Format::Text {
        out.line(&format!("wrote {} pages to {}", pages.len(), dir.display()))?;
    }
    out.flush()
}

fn print_one(format: Format, name: &str, pages: &[Page]) -> Result<(), Failure> {
    let name = name.replace(' ', "-");
    let whole = format!("paxlog-{name}");
    let Some(page) = pages
        .iter()
        .find(|page| page.name == name || page.name == whole)
    else {
        return Err(Failure::usage(format!("there is no page `{name}`"))
            .hint("a page is named for its command: append, log-create, …; see `paxlog --help`"));
    };
    let mut out = Stdout::new();
    match format {
        Format::Json => {
            out.json(&json!({"command": page.command, "page": page.name, "text": page.text}))?
        }
        Format::Text => out.write(page.text.as_bytes())?,
    }
    out.flush()
}

/// A page of the manual.
struct Page {
    /// The words that one types: `log create`; empty for the program itself.
    command: String,
    /// `paxlog-log-create`.
    name: String,
    text: String,
}

/// The program's page, and one of every command, each before those below it.
fn pages() -> Vec<Page> {
    let mut top = Cli::command().disable_help_subcommand(true);
    top.build();
    let mut pages = Vec::new();
    add(&mut pages, &top, &[]);
    pages
}

fn add(pages: &mut Vec<Page>, command: &Command, above: &[&str]) {
    let words: Vec<&str> = match pages.is_empty() {
        true => Vec::new(),
        false => above.iter().copied().chain([command.get_name()]).collect(),
    };
    let name = page_name(&words);
    pages.push(Page {
        text: render(command, &name, &words),
        command: words.join(" "),
        name,
    });
    for sub in visible(command) {
        add(pages, sub, &words);
    }
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn page_name(words: &[&str]) -> String {
    [&["paxlog"], words].concat().join("-")
}

fn render(command: &Command, name: &str, words: &[&str]) -> String {
    let program = format!("paxlog {}", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        // None, so that the same program always writes the same page; empty, it has to be quoted to count.
        .date("\"\"")
        .source(program)
        .manual("Paxlog");
    let mut text = Vec::new();
    // Into memory: there is nothing to fail.
    let mut sections = || {
        page.render_title(&mut text)?;
        page.render_name_section(&mut text)?;
        page.render_synopsis_section(&mut text)?;
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
        if command.has_subcommands() {
            page.render_subcommands_section(&mut text)?;
        }
        let mut end = Roff::new();
        after_help(&mut end, command);
        exit_status(&mut end);
        environment(&mut end, command);
        see_also(&mut end, command, words);
        end.to_writer(&mut text)
    };
    sections().expect("writing to memory does not fail");
    let text = String::from_utf8(text).expect("roff of text is text");
    ascii(&once(&text))
}

/// What is not ASCII as roff names it: not every formatter takes UTF-8.
fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_ascii() {
            true => out.push(character),
            false => out.push_str(&format!("\\[u{:04X}]", u32::from(character))),
        }
    }
    out
}

/// Each section begins with the same definition, for apostrophes: one is enough.
fn once(text: &str) -> String {
    let mut lines = text.lines();
    let Some(first) = lines.next() else {
        return String::new();
    };
    let preamble: Vec<&str> = [first]
        .into_iter()
        .chain(
            text.lines()
                .skip(1)
                .take_while(|line| !line.starts_with(".TH")),
        )
        .collect();
    let mut out = preamble.join("\n") + "\n";
    for line in lines.filter(|line| !preamble.contains(line)) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// What `--help` says at its end.
fn after_help(out: &mut Roff, command: &Command) {
    let Some(help) = command.get_after_help() else {
        return;
    };
    let help = help.to_string();
    let mut notes = false;
    for block in help.split("\n\n") {
        let (title, lines) = match block.split_once('\n') {
            // A line that ends so, before others that are indented, is their title.
            Some((title, lines)) if title.ends_with(':') && lines.starts_with("  ") => {
                (Some(title.trim_end_matches(':')), lines)
            }
            _ => (None, block),
        };
        match title {
            Some(title) => {
                let title = title.to_uppercase();
                out.control("SH", [title.as_str()]);
                notes = false;
            }
            // Said of the whole program below.
            None if block.starts_with("Exit codes:") => continue,
            None if !notes => {
                out.control("SH", ["NOTES"]);
                notes = true;
            }
            None => {
                out.control("PP", []);
            }
        }
        if title.is_some() {
            out.control("nf", []);
            for line in lines.lines() {
                out.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
            out.control("fi", []);
        } else {
            out.text([roman(lines.replace('\n', " "))]);
        }
    }
}

fn exit_status(out: &mut Roff) {
    out.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        out.control("TP", ["5"]);
        out.text([bold(code)]);
        out.text([roman(meaning)]);
    }
}

/// What the numbers of `failure::Exit` mean to a script.
const EXIT_STATUS: [(&str, &str); 8] = [
    (
        "0",
        "Done; also where nobody read the results to their end.",
    ),
    (
        "1",
        "Refused, and not applied. Of an append, the records before the refused one stand.",
    ),
    (
        "2",
        "Wrong before anything was sent or opened: flags, names, files, the profile.",
    ),
    ("3", "Not available now: try again."),
    (
        "4",
        "The outcome is unknown: it may have been applied, or may yet be.",
    ),
    ("5", "Something that must be whole is not."),
    ("6", "A local disk or file failed."),
    (
        "130",
        "Interrupted; append says what was acknowledged, and what is unknown.",
    ),
];

/// Every variable that stands for a flag here, and those of the whole program.
fn environment(out: &mut Roff, command: &Command) {
    let mut variables: BTreeMap<String, String> = BTreeMap::from([
        (
            "PAXLOG_LOG".into(),
            "What is logged on stderr: a level, or levels by part (warn, paxlog=debug).".into(),
        ),
        (
            "NO_COLOR".into(),
            "Not empty: no colours. CLICOLOR, CLICOLOR_FORCE and TERM are heeded too.".into(),
        ),
    ]);
    for argument in command.get_arguments() {
        if let (Some(variable), Some(flag)) = (argument.get_env(), argument.get_long()) {
            variables.insert(
                variable.to_string_lossy().into_owned(),
                format!("Stands for --{flag}."),
            );
        }
    }
    out.control("SH", ["ENVIRONMENT"]);
    for (variable, meaning) in variables {
        out.control("TP", []);
        out.text([bold(variable)]);
        out.text([roman(meaning)]);
    }
}

/// The pages above, below and beside it.
fn see_also(out: &mut Roff, command: &Command, words: &[&str]) {
    let mut names: Vec<String> = (0..words.len()).map(|n| page_name(&words[..n])).collect();
    names.extend(visible(command).map(|sub| page_name(&[words, &[sub.get_name()]].concat())));
    out.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        if at > 0 {
            line.push(roman(", "));
        }
        line.push(bold(name));
        line.push(roman("(1)"));
    }
    out.text(line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn every_command_has_a_page_with_its_parts() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        assert_eq!(names[0], "paxlog");
        assert!(names.contains(&"paxlog-append") && names.contains(&"paxlog-log-create"));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "no page replaces another");
        for page in &pages {
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"] {
                let heading = format!("\n.SH {section}\n").replace("SEE ALSO", "\"SEE ALSO\"");
                assert_eq!(
                    page.text.matches(&heading).count(),
                    1,
                    "{}: {section}",
                    page.name
                );
            }
            let leaf = !pages
                .iter()
                .any(|other| other.name.starts_with(&format!("{}-", page.name)));
            assert!(page.text.is_ascii(), "{}", page.name);
            assert!(
                !leaf || page.text.contains("\n.SH EXAMPLES\n"),
                "{}",
                page.name
            );
        }
        let append = pages.iter().find(|page| page.command == "append");
        let append = &append.expect("a page").text;
        assert!(append.contains("\npaxlog append notes \\-m "), "{append}");
        assert!(append.contains("[default: 10s]"), "{append}");
        let create = pages.iter().find(|page| page.command == "log create");
        let create = &create.expect("a page").text;
        assert!(create.contains("paxlog\\-log\\fR(1)"), "{create}");
    }

    #[test]
    fn the_exit_codes_are_all_told() {
        let told: Vec<&str> = EXIT_STATUS.iter().map(|(code, _)| *code).collect();
        for exit in [
            Exit::Unread,
            Exit::Refused,
            Exit::Usage,
            Exit::Unavailable,
            Exit::Unknown,
            Exit::Integrity,
            Exit::LocalIo,
            Exit::Interrupted,
        ] {
            assert!(
                told.contains(&(exit as u8).to_string().as_str()),
                "{exit:?}"
            );
        }
    }
}
