//! What `--help` and the README tell people to type is understood.

use clap::{Command, CommandFactory, Parser};

use crate::cli::Cli;

#[test]
fn every_example_of_every_command_parses() {
    fn walk(command: &Command, count: &mut usize) {
        if let Some(help) = command.get_after_help() {
            for line in help.to_string().lines().filter(|l| l.starts_with("  ")) {
                *count += parse_all(line.trim_start(), command.get_name());
            }
        }
        for sub in command.get_subcommands() {
            walk(sub, count);
        }
    }
    let mut count = 0;
    walk(&Cli::command(), &mut count);
    assert!(count > 50, "only {count} examples were found");
}

#[test]
fn the_readme_s_commands_parse() {
    let readme = include_str!("../../../README.md");
    let mut inside = false;
    let mut count = 0;
    for line in readme.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            let line = line.replace("cargo run --release -- ", "paxlog ");
            count += parse_all(&line, "README.md");
        }
    }
    assert!(count > 10, "only {count} commands were found");
}

#[test]
fn examples_are_told_from_what_is_said_of_them() {
    let parts = |line| commands(line).collect::<Vec<_>>();
    assert_eq!(
        parts("paxlog append notes -m 'hello, world'    one record"),
        [["append", "notes", "-m", "hello, world"]]
    );
    assert_eq!(
        parts("find . -print0 | paxlog append names -0"),
        [["append", "names", "-0"]]
    );
    assert_eq!(
        parts("A=/b paxlog demo --history F && paxlog sim check F > x"),
        [vec!["demo", "--history", "F"], vec!["sim", "check", "F"]]
    );
    assert!(parts("Writes ca.pem, which every client gets").is_empty());
}

/// Parses every command of ours in a line of shell, and counts them.
fn parse_all(line: &str, of: &str) -> usize {
    commands(line)
        .map(|words| {
            let line = ["paxlog".to_owned()].into_iter().chain(words.clone());
            if let Err(error) = Cli::try_parse_from(line) {
                panic!("{of}: {words:?}: {error}");
            }
        })
        .count()
}

/// The words behind `paxlog`, of each command in a line of shell; what stands two spaces behind it is said of it.
fn commands(line: &str) -> impl Iterator<Item = Vec<String>> {
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let (mut word, mut quote) = (String::new(), None);
    let mut rest = line.chars().peekable();
    while let Some(character) = rest.next() {
        match (character, quote) {
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => quote = Some(character),
            (' ', None) => {
                push(&mut commands, &mut word);
                if rest.peek() == Some(&' ') {
                    break;
                }
            }
            (';', None) => {
                push(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (c, None) => word.push(c),
        }
    }
    push(&mut commands, &mut word);
    commands.into_iter().filter_map(|words| {
        let at = words.iter().position(|word| word == "paxlog")?;
        // Variables and programs that run it may stand before.
        let before = words[..at].iter().all(|word| word.contains('='));
        before.then(|| words[at + 1..].to_vec())
    })
}

fn push(commands: &mut Vec<Vec<String>>, word: &mut String) {
    let word = std::mem::take(word);
    let operator = matches!(word.as_str(), "|" | "&&" | ">" | "#" | "do");
    match commands.last_mut() {
        _ if operator => commands.push(Vec::new()),
        Some(words) if !word.is_empty() => words.push(word.replace("$n", "1")),
        _ => {}
    }
}
