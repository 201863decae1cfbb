//! Colours and progress: on a terminal that wants them, nowhere else.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::{Cluster, Options, Paxlog, Ports, Signal, paxlog, signal, until};

/// A pseudo terminal: what is written on it is kept.
struct Terminal {
    program_side: File,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    fn open() -> Terminal {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).expect("a terminal of ours");
        unlockpt(&ours).expect("a terminal of ours");
        let name = ptsname(&ours, Vec::new()).expect("a terminal of ours");
        let program_side = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().expect("a path of text"))
            .expect("its other side");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let reader = std::thread::spawn(move || {
            let mut ours = File::from(ours);
            let mut bytes = [0; 4096];
            // An error is the end: nobody has the other side open any more.
            while let Ok(length @ 1..) = ours.read(&mut bytes) {
                let mut kept = kept.lock().expect("no panic");
                kept.extend_from_slice(&bytes[..length]);
            }
        });
        Terminal {
            program_side,
            seen,
            reader,
        }
    }

    /// For a stream of a program.
    fn stream(&self) -> Stdio {
        let stream = self.program_side.try_clone();
        stream.expect("a handle").into()
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no panic")).into_owned()
    }

    /// Everything, once its programs have ended.
    fn text(self) -> String {
        drop(self.program_side);
        self.reader.join().expect("no panic");
        let seen = self.seen.lock().expect("no panic");
        String::from_utf8_lossy(&seen).into_owned()
    }
}

/// Variables of the environment.
type Settings = &'static [(&'static str, &'static str)];

/// A command whose terminal can do everything, unless `settings` say otherwise.
fn with(arguments: &[&str], settings: &[(&str, &str)]) -> Paxlog {
    let command = paxlog(arguments).env("TERM", "xterm-256color");
    settings
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value))
}

/// Whether any of it sets colours, bold or underlines.
fn coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|after| {
        let end = after.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| after[end..].starts_with('m'))
    })
}

#[test]
fn escapes_are_told_apart() {
    assert!(coloured("a \x1b[1;31merror\x1b[0m"));
    assert!(coloured("\x1b[m"));
    assert!(!coloured("\x1b[2K\x1b[1Aa m \x1b[3;4H"));
}

/// What the environment says, and whether there are colours on a terminal, and elsewhere.
const SETTINGS: [(Settings, bool, bool); 9] = [
    (&[], true, false),
    (&[("NO_COLOR", "1")], false, false),
    (&[("NO_COLOR", "0")], false, false),
    // As if it were not there (no-color.org).
    (&[("NO_COLOR", "")], true, false),
    (&[("TERM", "dumb")], false, false),
    (&[("CLICOLOR", "0")], false, false),
    (&[("CLICOLOR_FORCE", "1")], true, true),
    (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false, false),
    (&[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true, true),
];

#[test]
fn errors_and_help_have_colours_where_they_are_wanted() {
    for (settings, on_terminal, elsewhere) in SETTINGS {
        for (arguments, on_stdout) in [
            // Of clap.
            (&["--help"] as &[&str], true),
            (&["help", "append"], true),
            (&["log"], false),
            (&["frobnicate"], false),
            // Ours.
            (&["read", "notes", "--profile", "/nonexistent"], false),
            (&["wal", "verify", "/nonexistent"], false),
        ] {
            let run = || with(arguments, settings);
            let terminal = Terminal::open();
            run()
                .spawn(Stdio::null(), terminal.stream(), terminal.stream())
                .end();
            let text = terminal.text();
            assert!(!text.is_empty(), "{arguments:?}");
            assert_eq!(
                coloured(&text),
                on_terminal,
                "{settings:?} {arguments:?}: {text:?}"
            );
            let output = run().run();
            let text = output.text() + &output.stderr;
            assert_eq!(
                coloured(&text),
                elsewhere,
                "{settings:?} {arguments:?}: {text:?}"
            );
            // Each stream is judged by itself: the other one being a terminal changes nothing.
            let terminal = Terminal::open();
            let (read, write) = std::io::pipe().expect("a pipe");
            let child = match on_stdout {
                true => run().spawn(Stdio::null(), write, terminal.stream()),
                false => run().spawn(Stdio::null(), terminal.stream(), write),
            };
            child.end();
            let text = std::io::read_to_string(read).expect("text");
            assert_eq!(
                coloured(&text),
                elsewhere,
                "{settings:?} {arguments:?}: {text:?}"
            );
        }
    }
}

#[test]
fn json_and_scripts_have_no_colours_whatever_is_asked_for() {
    let settings: &[(&str, &str)] = &[("CLICOLOR_FORCE", "1")];
    for arguments in [
        &["frobnicate", "--output", "json"] as &[&str],
        &["wal", "verify", "/nonexistent", "--output", "json"],
        &["completions", "bash"],
        &["man"],
        &["serve", "--print-sample"],
        &["sim", "--seed", "1", "--output", "json"],
    ] {
        let terminal = Terminal::open();
        let run = with(arguments, settings);
        run.spawn(Stdio::null(), terminal.stream(), terminal.stream())
            .end();
        let text = terminal.text();
        assert!(!coloured(&text), "{arguments:?}: {text:?}");
    }
}

#[test]
fn logs_of_a_cluster_and_its_story_have_colours_only_where_they_are_wanted() {
    for (settings, on_terminal, elsewhere) in SETTINGS {
        for on in [true, false] {
            let ports = Ports::take();
            let (listen, metrics) = (ports.clients(1).to_string(), ports.metrics(1).to_string());
            let arguments = [
                "dev",
                "--ephemeral",
                "--replicas",
                "1",
                "--listen",
                &listen,
                "--metrics",
                &metrics,
            ];
            let dev = with(&arguments, settings).env("PAXLOG_LOG", "info");
            let terminal = Terminal::open();
            let (read, write) = std::io::pipe().expect("a pipe");
            let running = match on {
                true => dev.spawn(Stdio::null(), terminal.stream(), terminal.stream()),
                false => dev.spawn(Stdio::null(), terminal.stream(), write),
            };
            until("it is up", || {
                terminal.so_far().contains("Ctrl-C").then_some(())
            });
            signal(&running.child, Signal::TERM);
            assert_eq!(running.end(), Some(0));
            let stdout = terminal.text();
            let text = match on {
                true => stdout,
                false => {
                    assert!(!coloured(&stdout), "what it tells has none: {stdout:?}");
                    std::io::read_to_string(read).expect("text")
                }
            };
            assert!(text.contains("INFO"), "{text}");
            let want = if on { on_terminal } else { elsewhere };
            assert_eq!(coloured(&text), want, "{settings:?}: {text:?}");
        }
    }
}

#[test]
fn progress_is_shown_on_a_terminal_that_can_and_is_gone_at_the_end() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let profile = cluster.profile_path();
    let profile = profile.to_str().expect("a path of text");
    let append = |settings: &[(&str, &str)], more: &[&str]| {
        let arguments = [&["append", "notes", "--profile", profile], more].concat();
        let terminal = Terminal::open();
        let (read, mut write) = std::io::pipe().expect("a pipe");
        let running = with(&arguments, settings).spawn(read, Stdio::null(), terminal.stream());
        std::io::Write::write_all(&mut write, b"one\ntwo\n").expect("it reads");
        (terminal, running, write)
    };
    // Its unit shows that it is there: the bytes read so far.
    let shown = |text: &str| text.contains(" B") && text.contains("/s");
    for (settings, more) in [
        (&[] as &[(&str, &str)], &[] as &[&str]),
        (&[("NO_COLOR", "1")], &[]),
        (&[], &["--output", "json"]),
    ] {
        let (terminal, running, write) = append(settings, more);
        until("progress", || shown(&terminal.so_far()).then_some(()));
        drop(write);
        assert_eq!(running.end(), Some(0));
        let text = terminal.text();
        assert!(!coloured(&text), "{settings:?}: {text:?}");
        let cleared = text.rfind("\x1b[2K").or_else(|| text.rfind("\x1b[J"));
        let last = &text[cleared.expect("it clears the line")..];
        assert!(!shown(last), "{settings:?}: {text:?}");
    }
    for (settings, more) in [
        (&[("TERM", "dumb")] as &[(&str, &str)], &[] as &[&str]),
        (&[], &["-v"]),
    ] {
        let (terminal, running, write) = append(settings, more);
        drop(write);
        assert_eq!(running.end(), Some(0));
        assert_eq!(terminal.text(), "", "{settings:?} {more:?}");
    }
    // An error does not stand behind what is left of a bar.
    let (terminal, running, mut write) = append(&[], &["--as", "json"]);
    until("progress or an error", || {
        (!terminal.so_far().is_empty()).then_some(())
    });
    // It may have ended already.
    let _ = std::io::Write::write_all(&mut write, b"{}\n");
    drop(write);
    assert_eq!(running.end(), Some(1));
    let text = terminal.text();
    let line = text
        .lines()
        .find(|line| line.contains("error"))
        .expect("an error");
    assert!(!shown(line), "{text:?}");
    // Elsewhere there is none.
    let output = cluster
        .paxlog(&["append", "notes"])
        .stdin("one\n")
        .run()
        .ok();
    assert_eq!(output.stderr, "");
    cluster.finish();
}
