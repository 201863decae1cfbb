//! How a command ends badly: one sentence, a hint, and the exit code that scripts rely on.

use std::fmt;
use std::io::Write;

use crate::output::Format;

/// Why the program exits as it does. The numbers are part of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Refused; nothing was applied.
    Refused = 1,
    /// Wrong before anything was sent or opened: flags, names, files, profile.
    Usage = 2,
    /// Not available now: nobody reachable, port busy, directory in use, disk full.
    Unavailable = 3,
    /// Nobody knows whether it was applied.
    Unknown = 4,
    /// Something that must be whole is not.
    Integrity = 5,
    /// A local disk or file failed.
    LocalIo = 6,
    /// Ctrl-C, or SIGTERM.
    Interrupted = 130,
    /// Nobody reads stdout any more, as behind `| head`: the end, and no error.
    Unread = 0,
}

impl Exit {
    /// The stable code of an error that has no other.
    fn code(self) -> &'static str {
        match self {
            Exit::Usage | Exit::Refused => "Invalid",
            Exit::Unavailable => "Unavailable",
            Exit::Unknown => "OutcomeUnknown",
            Exit::Integrity => "Corrupt",
            Exit::LocalIo => "LocalIo",
            Exit::Interrupted => "Interrupted",
            Exit::Unread => "Unread",
        }
    }

    /// Whether to try again, unless the error itself says so.
    fn retry(self) -> &'static str {
        match self {
            Exit::Usage | Exit::Refused | Exit::LocalIo => "never",
            Exit::Unavailable => "after",
            Exit::Integrity => "elsewhere",
            Exit::Unknown | Exit::Interrupted | Exit::Unread => "now",
        }
    }

    /// What became of the command, unless the error itself says so.
    fn outcome(self) -> &'static str {
        match self {
            Exit::Unknown => "unknown",
            _ => "not_applied",
        }
    }
}

/// A failure as the user sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What the process returns.
    pub(crate) exit: Exit,
    /// One sentence that names the thing.
    pub(crate) message: String,
    /// The way out, if there is one.
    pub(crate) hint: Option<String>,
    /// The stable code, where it is not that of `exit`.
    pub(crate) code: Option<&'static str>,
    /// Further facts for `--output json`: retry, outcome, tail …
    pub(crate) facts: serde_json::Map<String, serde_json::Value>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure {
            exit,
            message: message.into(),
            hint: None,
            code: None,
            facts: serde_json::Map::new(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Refused, message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Unavailable, message)
    }

    pub(crate) fn integrity(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Integrity, message)
    }

    pub(crate) fn local_io(message: impl Into<String>) -> Failure {
        Failure::new(Exit::LocalIo, message)
    }

    /// Ended by Ctrl-C, after the command printed its own summary.
    pub(crate) fn interrupted() -> Failure {
        Failure::new(Exit::Interrupted, "interrupted")
    }

    /// Nobody reads stdout any more.
    pub(crate) fn unread() -> Failure {
        Failure::new(Exit::Unread, "nobody reads stdout any more")
    }

    /// The same in other words.
    pub(crate) fn saying(mut self, message: impl Into<String>) -> Failure {
        self.message = message.into();
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn code(mut self, code: &'static str) -> Failure {
        self.code = Some(code);
        self
    }

    pub(crate) fn fact(mut self, key: &str, value: impl Into<serde_json::Value>) -> Failure {
        self.facts.insert(key.to_owned(), value.into());
        self
    }

    /// Prints to stderr: a sentence and a hint, or one JSON object.
    pub(crate) fn print(&self, format: Format) {
        let mut stderr = std::io::stderr().lock();
        let text = match format {
            Format::Json => self.to_json(),
            Format::Text => self.to_text(colours()),
        };
        // Nothing is left to tell the user if stderr itself is gone.
        let _ = writeln!(stderr, "{text}");
    }

    fn to_text(&self, colours: bool) -> String {
        let (red, cyan, off) = if colours {
            ("\x1b[1;31m", "\x1b[36m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let mut text = format!("{red}error{off}: {}", self.message);
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\n{cyan}hint{off}: {hint}"));
        }
        text
    }

    fn to_json(&self) -> String {
        let mut error = serde_json::Map::new();
        // Scripts find these four in every error, whoever made it.
        error.insert("code".into(), self.code.unwrap_or(self.exit.code()).into());
        error.insert("retry".into(), self.exit.retry().into());
        error.insert("outcome".into(), self.exit.outcome().into());
        error.insert("message".into(), self.message.clone().into());
        if let Some(hint) = &self.hint {
            error.insert("hint".into(), hint.clone().into());
        }
        error.extend(self.facts.clone());
        error.insert("exit".into(), (self.exit as u8).into());
        serde_json::json!({ "error": error }).to_string()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Whether stderr takes colours: as clap decides for its own errors, by the terminal, TERM, NO_COLOR (no-color.org),
/// CLICOLOR and CLICOLOR_FORCE (bixense.com/clicolors).
pub(crate) fn colours() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_a_sentence_and_a_hint() {
        let failure = Failure::usage("no such file: x").hint("use -m");
        assert_eq!(
            failure.to_text(false),
            "error: no such file: x\nhint: use -m"
        );
        assert!(failure.to_text(true).contains("\x1b[1;31m"));
    }

    #[test]
    fn json_is_one_object_with_the_exit_code() {
        let failure = Failure::new(Exit::Unknown, "silence")
            .code("OutcomeUnknown")
            .fact("outcome", "unknown");
        let value: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"error": {"code": "OutcomeUnknown", "message": "silence", "retry": "now", "outcome": "unknown", "exit": 4}})
        );
        let failure = Failure::local_io("the disk is full");
        let value: serde_json::Value = serde_json::from_str(&failure.to_json()).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"error": {"code": "LocalIo", "message": "the disk is full", "retry": "never", "outcome": "not_applied", "exit": 6}})
        );
    }

    #[test]
    fn exit_codes_are_those_promised() {
        let codes = [
            (Exit::Refused, 1),
            (Exit::Usage, 2),
            (Exit::Unavailable, 3),
            (Exit::Unknown, 4),
            (Exit::Integrity, 5),
            (Exit::LocalIo, 6),
            (Exit::Interrupted, 130),
            (Exit::Unread, 0),
        ];
        assert!(codes.iter().all(|(exit, code)| *exit as u8 == *code));
    }
}
