//! A history as JSON Lines.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use serde::{Deserialize, Serialize};

use super::{History, LogName, Operation, Outcome, Settled};

/// The version of the format that this build writes. It reads this one and all before: 1 knew nothing of ids, nor of
/// logs that are deleted.
pub const FORMAT: u32 = 2;
/// The oldest that it reads.
const FORMAT_MIN: u32 = 1;

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read.
    #[error("it cannot be read beyond line {line}: {error}")]
    Io {
        /// Lines that were read.
        line: u64,
        /// Why not.
        error: io::Error,
    },
    /// It does not begin with a header.
    #[error(
        "line 1 is not the header of a history, such as {{\"paxlog_history\":{FORMAT},\"complete\":true}}"
    )]
    NoHistory,
    /// It is of a later format.
    #[error("it is a history of format {version}; this program reads up to {FORMAT}")]
    Version {
        /// The format that it says it is.
        version: u32,
    },
    /// A line is garbled.
    #[error("line {line}: {why}")]
    Garbled {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// So that a file that is something else is not read into memory to find that out.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// The longest line is that of a log's records.
const LINE_BYTES_MAX: u64 = 1 << 30;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    paxlog_history: u32,
    #[serde(default = "complete")]
    complete: bool,
}

/// Of whatever format.
#[derive(Deserialize)]
struct Version {
    paxlog_history: u32,
}

fn complete() -> bool {
    true
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Op(&'a Operation),
    Settled(&'a Settled),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum OwnedLine {
    Op(Operation),
    Settled(Settled),
}

impl History {
    /// Writes it as JSON Lines. Give it something buffered.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let mut line = |value: &dyn Fn(&mut dyn Write) -> serde_json::Result<()>| {
            value(&mut out)?;
            out.write_all(b"\n")
        };
        let header = Header {
            paxlog_history: FORMAT,
            complete: self.complete,
        };
        line(&|out| serde_json::to_writer(out, &header))?;
        for operation in &self.operations {
            line(&|out| serde_json::to_writer(out, &Line::Op(operation)))?;
        }
        for settled in &self.settled {
            line(&|out| serde_json::to_writer(out, &Line::Settled(settled)))?;
        }
        out.flush()
    }

    /// Reads what [`History::write`] wrote. Empty lines are passed over. It takes memory in proportion to what is read,
    /// and reads no line beyond 1 GiB.
    ///
    /// # Errors
    /// [`ReadError`], which names the line.
    pub fn read(input: impl BufRead) -> Result<History, ReadError> {
        History::read_lines(input, LINE_BYTES_MAX)
    }

    fn read_lines(mut input: impl BufRead, line_bytes_max: u64) -> Result<History, ReadError> {
        let mut history = History::default();
        let mut names: BTreeSet<LogName> = BTreeSet::new();
        let mut settled: BTreeSet<LogName> = BTreeSet::new();
        let mut text = Vec::new();
        for number in 1_u64.. {
            text.clear();
            let bytes_max = if number == 1 {
                HEADER_BYTES_MAX
            } else {
                line_bytes_max
            };
            let mut line = input.by_ref().take(bytes_max);
            let read = line.read_until(b'\n', &mut text);
            if read.map_err(|error| ReadError::Io {
                line: number - 1,
                error,
            })? == 0
            {
                return match number {
                    1 => Err(ReadError::NoHistory),
                    _ => Ok(history),
                };
            }
            if number == 1 {
                history.complete = header(&text)?.complete;
                continue;
            }
            if text.len() as u64 == bytes_max && !text.ends_with(b"\n") {
                return Err(ReadError::Garbled {
                    line: number,
                    why: format!("it is longer than {bytes_max} bytes"),
                });
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            history
                .add(&text, &mut names, &mut settled)
                .map_err(|why| ReadError::Garbled { line: number, why })?;
        }
        unreachable!("a file has fewer lines than numbers")
    }

    fn add(
        &mut self,
        text: &[u8],
        names: &mut BTreeSet<LogName>,
        settled_logs: &mut BTreeSet<LogName>,
    ) -> Result<(), String> {
        // One copy of each name.
        let mut shared = |name: &LogName| match names.get(name) {
            Some(known) => known.clone(),
            None => {
                names.insert(name.clone());
                name.clone()
            }
        };
        match serde_json::from_slice(text).map_err(|error| reason(&error))? {
            OwnedLine::Op(mut operation) => {
                if operation.ret.is_some_and(|ret| ret < operation.call) {
                    return Err("the operation returned before it was called".into());
                }
                if operation.again.iter().any(|(at, _)| *at < operation.call) {
                    return Err("the operation was answered again before it was called".into());
                }
                if operation.ret.is_none() && !matches!(operation.outcome, Outcome::Unknown { .. })
                {
                    return Err("the operation was answered and has no `ret`".into());
                }
                operation.log = shared(&operation.log);
                self.operations.push(operation);
            }
            OwnedLine::Settled(mut settled) => {
                settled.log = shared(&settled.log);
                if !settled_logs.insert(settled.log.clone()) {
                    return Err(format!("log {} is settled a second time", settled.log));
                }
                self.settled.push(settled);
            }
        }
        Ok(())
    }
}

fn header(text: &[u8]) -> Result<Header, ReadError> {
    let Version { paxlog_history } =
        serde_json::from_slice(text).map_err(|_| ReadError::NoHistory)?;
    if !(FORMAT_MIN..=FORMAT).contains(&paxlog_history) {
        return Err(ReadError::Version {
            version: paxlog_history,
        });
    }
    serde_json::from_slice(text).map_err(|error| ReadError::Garbled {
        line: 1,
        why: reason(&error),
    })
}

/// Without the place that serde names: to it every line is the first.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    format!(
        "{} (column {})",
        text.strip_suffix(&place).unwrap_or(&text),
        error.column()
    )
}

#[cfg(test)]
mod tests;
