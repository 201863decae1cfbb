//! Where the records of an append come from: a file or stdin, read on a thread of its own.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use bytes::BytesMut;
use paxlog_client::{Record, limits};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::framing::{Framer, TooLong};
use crate::record_json;

/// How input becomes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum As {
    /// A record a line: the bytes between line feeds.
    Lines,
    /// All of it is one record.
    Whole,
    /// A JSON object a line, with the keys key, headers and payload.
    Json,
}

/// Records that were read together, in order; not empty.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<Record>,
    /// The bytes of input they were cut from, about.
    pub(crate) input_bytes: u64,
}

/// What input gives: chunks, and at most one failure, which ends it; the records before it were given.
pub(crate) type Chunks = mpsc::Receiver<Result<Chunk, Failure>>;

/// An input that was opened.
pub(crate) struct Input {
    pub(crate) reader: Box<dyn Read + Send>,
    /// For messages.
    pub(crate) name: String,
    /// Its length, if it is a file.
    pub(crate) length: Option<u64>,
}

/// Bytes asked of the system at once.
const READ_BYTES: usize = 256 << 10;
/// Chunks read ahead.
const CHUNKS_AHEAD: usize = 8;

/// Opens FILE, or stdin for `-` and for no name.
pub(crate) fn open(file: Option<&Path>) -> Result<Input, Failure> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        return Ok(Input {
            reader: Box::new(io::stdin()),
            name: "stdin".to_owned(),
            length: None,
        });
    };
    let cannot = |error: io::Error| {
        let failure = Failure::usage(format!("cannot read {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => failure.hint(format!(
                "to append the text itself, write -m '{}'",
                path.display()
            )),
            _ => failure,
        }
    };
    let opened = File::open(path).map_err(cannot)?;
    let meta = opened.metadata().map_err(cannot)?;
    if meta.is_dir() {
        return Err(Failure::usage(format!(
            "cannot read {}: it is a directory",
            path.display()
        )));
    }
    Ok(Input {
        reader: Box::new(opened),
        name: path.display().to_string(),
        length: meta.is_file().then_some(meta.len()),
    })
}

/// Reads on a thread of its own: a read of a terminal or pipe can block for ever, and must hold up neither
/// receipts nor Ctrl-C.
pub(crate) fn start(input: Input, how: As, nul: bool) -> Chunks {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        // The other side may stop listening; then there is nothing left to do.
        read_all(input, how, nul, |item| sender.blocking_send(item).is_ok());
    });
    receiver
}

/// Gives chunks to `send` until the end, a failure, or until `send` wants no more.
fn read_all(
    mut input: Input,
    how: As,
    nul: bool,
    mut send: impl FnMut(Result<Chunk, Failure>) -> bool,
) {
    let name = input.name;
    if how == As::Whole {
        send(read_whole(&mut input.reader, &name));
        return;
    }
    let mut framer = Framer::new(if nul { 0 } else { b'\n' }, piece_bytes_max(how));
    loop {
        let bytes = match read_some(&mut input.reader, framer.buffer()) {
            Ok(bytes) => bytes,
            Err(error) => {
                send(Err(Failure::local_io(format!(
                    "cannot read {name}: {error}"
                ))));
                return;
            }
        };
        let mut records = Vec::new();
        let failure = cut(&mut framer, how, bytes == 0, &name, &mut records).err();
        if !records.is_empty()
            && !send(Ok(Chunk {
                records,
                input_bytes: bytes as u64,
            }))
        {
            return;
        }
        if let Some(failure) = failure {
            send(Err(failure));
            return;
        }
        if bytes == 0 {
            return;
        }
    }
}

fn read_some(reader: &mut dyn Read, buffer: &mut BytesMut) -> io::Result<usize> {
    let before = buffer.len();
    buffer.resize(before + READ_BYTES, 0);
    let read = loop {
        match reader.read(&mut buffer[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    buffer.truncate(before + *read.as_ref().unwrap_or(&0));
    read
}

fn read_whole(reader: &mut dyn Read, name: &str) -> Result<Chunk, Failure> {
    let mut bytes = Vec::new();
    let limit = limits::RECORD_BYTES_MAX;
    reader
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::local_io(format!("cannot read {name}: {error}")))?;
    if bytes.len() > limit {
        return Err(Failure::refused(format!(
            "{name} is longer than a record may be, {limit} bytes"
        ))
        .code("TooLarge")
        .hint("--as lines makes a record of each line"));
    }
    Ok(Chunk {
        input_bytes: bytes.len() as u64,
        records: vec![Record::new(bytes)],
    })
}

/// Cuts what was read into records; those before a failure are in `records`.
fn cut(
    framer: &mut Framer,
    how: As,
    end: bool,
    name: &str,
    records: &mut Vec<Record>,
) -> Result<(), Failure> {
    let too_long = |TooLong { line }: TooLong| {
        Failure::refused(format!(
            "line {line} of {name} is longer than a record may be, {} bytes",
            piece_bytes_max(how)
        ))
        .code("TooLarge")
        .fact("line", line)
    };
    loop {
        let piece = match framer.cut().map_err(too_long)? {
            None if end => framer.finish().map_err(too_long)?,
            piece => piece,
        };
        let Some(piece) = piece else { return Ok(()) };
        match how {
            As::Lines | As::Whole => records.push(Record::new(piece)),
            As::Json if piece.iter().all(u8::is_ascii_whitespace) => {}
            As::Json => {
                let line = framer.records();
                let record = record_json::from_json(&piece).map_err(|problem| {
                    Failure::refused(format!("line {line} of {name} {problem}"))
                        .code("Invalid")
                        .fact("line", line)
                })?;
                check(&record).map_err(|problem| {
                    Failure::refused(format!("the record on line {line} of {name} {problem}"))
                        .code("TooLarge")
                        .fact("line", line)
                })?;
                records.push(record);
            }
        }
    }
}

/// What is wrong with the size of a record, if anything is: what the client would refuse, found before anything is sent.
fn check(record: &Record) -> Result<(), String> {
    let (bytes, limit) = (record_bytes(record), limits::RECORD_BYTES_MAX);
    if bytes > limit {
        return Err(format!("has {bytes} bytes; it may have {limit}"));
    }
    let key = record.key.as_ref().map_or(0, |key| key.len());
    let (headers, limit) = (
        bytes - record.payload.len() - key,
        limits::HEADERS_BYTES_MAX,
    );
    if headers > limit {
        return Err(format!(
            "has headers of {headers} bytes; they may have {limit}"
        ));
    }
    Ok(())
}

/// The bytes of a record that count towards its limit.
pub(crate) fn record_bytes(record: &Record) -> usize {
    record.encoded_len() - Record::default().encoded_len()
}

/// How long one piece of input may be. JSON says in more bytes what it means: up to six for one
/// (`\u0000`), and the names of the fields.
fn piece_bytes_max(how: As) -> usize {
    match how {
        As::Lines | As::Whole => limits::RECORD_BYTES_MAX,
        As::Json => 6 * limits::RECORD_BYTES_MAX + 4096,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    fn read(bytes: &'static [u8], how: As, nul: bool) -> (Vec<Record>, Option<Failure>) {
        let input = Input {
            reader: Box::new(bytes),
            name: "in".into(),
            length: None,
        };
        let (mut records, mut failure) = (Vec::new(), None);
        read_all(input, how, nul, |item| {
            match item {
                Ok(chunk) => records.extend(chunk.records),
                Err(error) => failure = Some(error),
            }
            true
        });
        (records, failure)
    }

    #[test]
    fn lines_whole_and_nul() {
        let payloads = |records: Vec<Record>| {
            records
                .into_iter()
                .map(|r| r.payload.to_vec())
                .collect::<Vec<_>>()
        };
        let (records, failure) = read(b"a\r\n\nb", As::Lines, false);
        assert!(failure.is_none());
        assert_eq!(
            payloads(records),
            [b"a\r".to_vec(), b"".to_vec(), b"b".to_vec()]
        );
        assert_eq!(
            payloads(read(b"a\nb\0c", As::Lines, true).0),
            [b"a\nb".to_vec(), b"c".to_vec()]
        );
        assert_eq!(
            payloads(read(b"a\nb\0", As::Whole, false).0),
            [b"a\nb\0".to_vec()]
        );
        assert_eq!(
            payloads(read(b"", As::Whole, false).0),
            [b"".to_vec()],
            "one empty record"
        );
        assert!(read(b"", As::Lines, false).0.is_empty());
    }

    #[test]
    fn a_line_over_the_limit_is_refused_and_the_lines_before_it_stand() {
        let mut input = b"one\ntwo\n".to_vec();
        input.extend(vec![b'x'; limits::RECORD_BYTES_MAX]);
        input.extend(b"\n");
        input.extend(vec![b'y'; limits::RECORD_BYTES_MAX + 1]);
        let (records, failure) = read(input.leak(), As::Lines, false);
        assert_eq!(records.len(), 3, "exactly the limit is within it");
        let failure = failure.unwrap();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.starts_with("line 4 of in"), "{failure}");
    }

    #[test]
    fn json_lines_are_counted_blank_ones_too() {
        let (records, failure) = read(
            b"{\"payload\":\"a\"}\n\n{\"payload\":\"b\"}\n{}\n",
            As::Json,
            false,
        );
        assert_eq!(records.len(), 2);
        assert!(
            failure
                .unwrap()
                .message
                .starts_with("line 4 of in has neither")
        );
    }

    #[test]
    fn a_missing_file_hints_at_m() {
        let failure = open(Some(Path::new("/nowhere/hello"))).err().unwrap();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.hint.unwrap().contains("-m '/nowhere/hello'"));
    }
}
