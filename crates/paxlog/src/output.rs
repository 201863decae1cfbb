//! Results on stdout: text or JSON Lines; a reader that went away is the end, not an error.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::failure::Failure;

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// JSON Lines: one object a line.
    Json,
}

/// Buffered stdout. A closed pipe ends the process with 0 at once: `paxlog tail -f x | head` is
/// no error, and there is nobody to print the rest for.
pub(crate) struct Stdout {
    out: BufWriter<io::Stdout>,
}

impl Stdout {
    pub(crate) fn new() -> Stdout {
        Stdout {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let result = self.out.write_all(bytes);
        checked(result)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let mut text =
            serde_json::to_vec(value).expect("our own types have text keys and always serialize");
        text.push(b'\n');
        self.write(&text)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let result = self.out.flush();
        checked(result)
    }
}

fn checked(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::local_io(format!(
            "cannot write to stdout: {error}"
        ))),
    }
}

/// Prints one result at once.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = Stdout::new();
    out.line(text)?;
    out.flush()
}

/// Prints one JSON object at once.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = Stdout::new();
    out.json(value)?;
    out.flush()
}

/// Says something beside the results, on stderr; nothing depends on it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
