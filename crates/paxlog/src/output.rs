//! Results on stdout: text or JSON Lines; a reader that went away is the end, not an error.

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

use serde::Serialize;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::failure::{Exit, Failure};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// JSON Lines: one object a line.
    Json,
}

/// Buffered stdout. A closed pipe ends the command, with 0: `paxlog tail -f x | head` is no error, and there is nobody
/// to print the rest for. It ends in order: what it made is removed, what it started is stopped.
pub(crate) struct Stdout {
    out: BufWriter<io::Stdout>,
    /// For a report of work that goes on though nobody reads the report: the first error, kept until the end.
    report: Option<Result<(), Failure>>,
}

impl Stdout {
    pub(crate) fn new() -> Stdout {
        Stdout {
            out: BufWriter::with_capacity(64 << 10, io::stdout()),
            report: None,
        }
    }

    /// For what is printed beside work that must not end because of it: nothing fails before [`Stdout::end`].
    pub(crate) fn report() -> Stdout {
        Stdout {
            report: Some(Ok(())),
            ..Stdout::new()
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.checked(|out| out.write_all(bytes))
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
        self.checked(BufWriter::flush)
    }

    /// Whether a report could be written. Nobody having read it is no error.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        self.flush()?;
        match self.report {
            Some(Err(failure)) if failure.exit != Exit::Unread => Err(failure),
            _ => Ok(()),
        }
    }

    fn checked(
        &mut self,
        write: impl FnOnce(&mut BufWriter<io::Stdout>) -> io::Result<()>,
    ) -> Result<(), Failure> {
        if let Some(Err(_)) = self.report {
            return Ok(());
        }
        let result = write(&mut self.out).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::unread(),
            _ => Failure::local_io(format!("cannot write to stdout: {error}")),
        });
        match &mut self.report {
            None => result,
            Some(report) => {
                *report = result;
                Ok(())
            }
        }
    }
}

/// Waits until nobody reads stdout any more: who prints only now and then would find out with the next record, which may
/// never come. Pending for ever where stdout is no pipe.
pub(crate) async fn unread() {
    // Of its own handle, and nothing is written here: the writes stay blocking. A file is refused; it does not go away.
    if let Ok(stdout) = io::stdout().as_fd().try_clone_to_owned()
        && let Ok(stdout) = Sender::from_owned_fd_unchecked(stdout)
        && stdout.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
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

/// Prints a sample of a file.
pub(crate) fn print_sample(format: Format, text: &str) -> Result<(), Failure> {
    match format {
        Format::Text => print_line(text.trim_end()),
        Format::Json => print_json(&serde_json::json!({ "sample": text })),
    }
}

/// Says something beside the results, on stderr; nothing depends on it. With JSON, that is JSON as well: who reads stderr
/// for an error finds an object a line.
pub(crate) fn note(format: Format, text: &str) {
    aside(format, text, || serde_json::json!({ "note": text }));
}

/// The same, with fields of its own in JSON.
pub(crate) fn aside(format: Format, text: &str, json: impl FnOnce() -> serde_json::Value) {
    let mut stderr = io::stderr().lock();
    let _ = match format {
        Format::Text => writeln!(stderr, "{text}"),
        Format::Json => writeln!(stderr, "{}", json()),
    };
}
