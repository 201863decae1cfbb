//! Completions and man pages, as shells and formatters take them.
//!
//! What a machine lacks is said aloud and skipped; what can be seen without it is checked all the same.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{paxlog, skipped};
use crate::verbs::commands;

/// Runs a program over a file; none if there is no such program.
fn run(program: &str, arguments: &[&str], file: &Path) -> Option<(bool, String, String)> {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        skipped(&format!(
            "there is no {program} here to look at {}",
            file.display()
        ));
        return None;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((
        output.status.success(),
        plain(&text(&output.stdout)),
        text(&output.stderr),
    ))
}

/// Without overstrikes, by which formatters make bold and underlined letters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{8}' => drop(out.pop()),
            character => out.push(character),
        }
    }
    out
}

#[test]
fn shells_take_their_scripts() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (shell, check) in [
        ("bash", &["-n"] as &[&str]),
        ("zsh", &["-n"]),
        ("fish", &["--no-execute"]),
        ("elvish", &["-compileonly"]),
        ("powershell", &[]),
    ] {
        let script = paxlog(["completions", shell]).run().ok();
        assert_eq!(script.stderr, "", "{shell}");
        let text = script.text();
        for word in ["check-tail", "transmogrify"] {
            assert_eq!(text.contains(word), word == "check-tail", "{shell}: {word}");
        }
        let file = dir.path().join(shell);
        std::fs::write(&file, &script.stdout).expect("written");
        if check.is_empty() {
            continue;
        }
        if let Some((ok, _, said)) = run(shell, check, &file) {
            assert!(ok && said.is_empty(), "{shell}: {said}");
        }
    }
    // What fish itself would offer.
    let ask = ["-N", "-c", "source $argv[1]; complete -C 'paxlog log des'"];
    if let Some((ok, offered, said)) = run("fish", &ask, &dir.path().join("fish")) {
        assert!(ok && offered.starts_with("describe"), "{offered} {said}");
    }
    let json = paxlog(["completions", "bash", "--output", "json"]).run();
    let json = json.ok().json();
    let text = paxlog(["completions", "bash"]).run().ok().text();
    assert_eq!(json["script"].as_str(), Some(text.as_str()));
}

/// What bash offers for a line, its last word being completed.
fn offered(script: &Path, here: &Path, line: &str) -> Option<Vec<String>> {
    // What the shell does on a press of the key: the function that `complete` was told of, with the words of the line.
    let ask = r#"
        source "$1" || exit 1
        COMP_LINE=$2; COMP_POINT=${#COMP_LINE}
        read -ra COMP_WORDS <<< "$2"
        [[ $2 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        function=$(complete -p paxlog | sed 's/.*-F \([^ ]*\) .*/\1/')
        cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}
        "$function" paxlog "$cur" "$prev"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["--norc", "-c", ask, "bash"])
        .arg(script)
        .arg(line)
        .current_dir(here)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        skipped("there is no bash here to complete a line");
        return None;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stderr.is_empty(),
        "{line}: {stderr}"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let words = text.lines().filter(|line| !line.is_empty());
    Some(words.map(str::to_owned).collect())
}

#[test]
fn bash_completes_verbs_flags_values_and_files() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let script = dir.path().join("paxlog.bash");
    let printed = paxlog(["completions", "bash"]).run().ok();
    std::fs::write(&script, &printed.stdout).expect("written");
    std::fs::write(dir.path().join("book.txt"), "x").expect("written");
    let offered = |line: &str| offered(&script, dir.path(), line);
    if offered("paxlog ").is_none() {
        return;
    }
    let is = |line: &str, words: &[&str]| {
        let have = offered(line).expect("bash is there");
        assert_eq!(have, words, "{line:?}");
    };
    let has = |line: &str, words: &[&str]| {
        let have = offered(line).expect("bash is there");
        for word in words {
            assert!(have.iter().any(|h| h == word), "{line:?}: {have:?}");
        }
    };
    is("paxlog app", &["append"]);
    is("paxlog ch", &["check-tail"]);
    is("paxlog log des", &["describe"]);
    is("paxlog --output json wal ver", &["verify"]);
    has(
        "paxlog ",
        &["append", "read", "cluster", "completions", "man", "help"],
    );
    has(
        "paxlog read notes --",
        &["--from", "--linearizable", "--deadline", "--output"],
    );
    is("paxlog read notes --lin", &["--linearizable"]);
    has("paxlog read notes --as ", &["lines", "raw", "json"]);
    is("paxlog append notes --output j", &["json"]);
    is("paxlog completions z", &["zsh"]);
    has("paxlog append notes --profile b", &["book.txt"]);
    has("paxlog wal verify --profile b", &["book.txt"]);
    is("paxlog help clu", &["cluster"]);
    is("paxlog frob", &[]);
    // Every verb, at its place.
    for (words, _) in commands() {
        if !words.is_empty() {
            let have = offered(&format!("paxlog {words}")).expect("bash is there");
            let last = words.split(' ').next_back().expect("not empty");
            assert!(have.iter().any(|h| h == last), "{words}: {have:?}");
        }
    }
}

#[test]
fn every_command_has_a_page_that_formatters_take() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Made where it is missing, and written over.
    let pages = dir.path().join("share/man1");
    for _ in 0..2 {
        let said = paxlog(["man"]).arg(&pages).run().ok().text();
        assert!(
            said.starts_with("wrote ") && said.contains("man1"),
            "{said}"
        );
    }
    let commands = commands();
    let there = |tool: &str| run(tool, &[], Path::new("/dev/null")).is_some();
    let (groff, mandoc) = (there("groff"), there("mandoc"));
    let title = |words: &str| format!("\n.TH PAXLOG{words} 1 \"\" \"paxlog ");
    let written = std::fs::read_dir(&pages).expect("there").count();
    assert_eq!(
        written,
        commands.len(),
        "a page a command, and nothing else"
    );
    for (words, parent) in &commands {
        let name = format!("paxlog {words}").trim().replace(' ', "-");
        let file = pages.join(format!("{name}.1"));
        let page = std::fs::read_to_string(&file).expect("a page");
        let shown = paxlog(["man", "--page", &name]).run().ok();
        assert_eq!(shown.text(), page, "{name}");
        well_formed(&name, &page);
        let upper = words.to_uppercase().replace(' ', "-");
        let upper = if upper.is_empty() {
            upper
        } else {
            format!("-{upper}")
        };
        assert!(page.contains(&title(&upper)), "{name}");
        // As a reader sees it.
        let options = ["-man", "-ww", "-Tutf8", "-P-c", "-rLL=100n"];
        if groff && let Some((ok, text, said)) = run("groff", &options, &file) {
            // What it says beside warnings is of its own fonts and macros, where they are not all there.
            assert!(ok && !said.contains("warning"), "{name}: {said}");
            assert!(*parent || text.contains("EXAMPLES"), "{name}: {text}");
        }
        if mandoc && let Some((ok, _, said)) = run("mandoc", &["-T", "lint", "-W", "error"], &file)
        {
            assert!(ok, "{name}: {said}");
        }
    }
    let append = pages.join("paxlog-append.1");
    if let Some((ok, text, said)) = run("man", &["-P", "cat", "-l"], &append) {
        assert!(ok, "{said}");
        for words in ["paxlog append notes book.txt", "<DURATION>", "EXIT STATUS"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
    let one = paxlog(["man"]).run().ok().text();
    let top = std::fs::read_to_string(pages.join("paxlog.1")).expect("a page");
    assert_eq!(one, top, "without a name it is the program's");
    paxlog(["man", "--page", "frobnicate"])
        .run()
        .code(2)
        .says(&["no page", "--help"]);
    paxlog(["man", "--page", "log create"]).run().ok();
    paxlog(["man"])
        .arg(&append)
        .run()
        .code(6)
        .says(&["paxlog-append.1"]);
}

/// What can be seen without a formatter: one title, sections in order, requests that exist, and no line that a formatter
/// would take for one though it is text.
fn well_formed(name: &str, page: &str) {
    assert!(page.is_ascii() && page.ends_with('\n'), "{name}");
    let titles = page.lines().filter(|line| line.starts_with(".TH "));
    assert_eq!(titles.count(), 1, "{name}");
    let sections: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix(".SH "))
        .map(|line| line.trim_matches('"'))
        .collect();
    assert_eq!(
        sections[..4],
        ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"],
        "{name}"
    );
    assert_eq!(
        sections[sections.len() - 3..],
        ["EXIT STATUS", "ENVIRONMENT", "SEE ALSO"],
        "{name}"
    );
    let (mut unfilled, mut indented) = (0, 0);
    for line in page.lines() {
        let Some(request) = line.strip_prefix('.') else {
            assert!(!line.starts_with('\''), "{name}: {line}");
            continue;
        };
        match request.split(' ').next().unwrap_or_default() {
            "nf" => unfilled += 1,
            "fi" => unfilled -= 1,
            "RS" => indented += 1,
            "RE" => indented -= 1,
            "TH" | "SH" | "TP" | "PP" | "IP" | "br" | "ie" | "el" => {}
            other => panic!("{name}: .{other}"),
        }
        assert!(
            (0..=1).contains(&unfilled) && (0..=1).contains(&indented),
            "{name}: {line}"
        );
    }
    assert_eq!((unfilled, indented), (0, 0), "{name}");
}
