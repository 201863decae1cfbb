//! Commands: what is ordered in slots.
//!
//! One command in a value, little-endian; the batch of an append follows it in
//! the value and is not part of it:
//!
//! ```text
//!  0  u8   version, 1
//!  1  u8   kind (`CommandKind`)
//!  2  u16  flags: bit 0 = an origin follows; the others are 0
//!  4  u32  length of the whole command in bytes
//!  8  origin, if any: u64 producer, u32 epoch, u64 sequence      (20 bytes)
//!     body:
//!       OpenProducer  u128 nonce, u8 has a name, [u8 length, name]
//!       CreateLog     u8 if absent, u8 length, name
//!       Append        u64 log, u32 records, u32 bytes
//!       Trim          u64 log, u64 to
//!       Seal          u64 log
//! ```

use bytes::BytesMut;

use crate::codec::{DecodeError, Reader, Writer};
use crate::ids::{LogId, Offset, Origin, ProducerId};
use crate::names::{LogName, ProducerName};

/// A command: what to do, and the number under which a retry is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who numbered it. None only for the opening of a producer.
    pub origin: Option<Origin>,
    /// What to do.
    pub body: Body,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Grants a producer. Without a name: a new one for each nonce. With one:
    /// the name's producer under its next epoch. The same (name, nonce) again
    /// is a retry and gets the same answer.
    OpenProducer {
        /// Drawn at random for each opening.
        nonce: u128,
        /// Given by the user, to be the same producer after a restart.
        name: Option<ProducerName>,
    },
    /// Creates a log.
    CreateLog {
        /// Its name.
        name: LogName,
        /// An existing log of that name is an answer, not an error.
        if_absent: bool,
    },
    /// Appends the batch that follows the command in the value.
    Append {
        /// To which log.
        log: LogId,
        /// Records in the batch, at least one.
        records: u32,
        /// Bytes of the batch as framed by the producer.
        bytes: u32,
    },
    /// Gives up the offsets below `to`; keeps `to`.
    Trim {
        /// Of which log.
        log: LogId,
        /// The first offset to keep; at most the tail.
        to: Offset,
    },
    /// Ends the log: no more records.
    Seal {
        /// Which log.
        log: LogId,
    },
}

/// The kinds, as numbered in the encoding. Kept free for what comes later:
/// 6 alter, 7 delete, 8 fence, 9 set and 10 delete a cursor, 32 membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum CommandKind {
    /// [`Body::OpenProducer`]
    OpenProducer = 1,
    /// [`Body::CreateLog`]
    CreateLog = 2,
    /// [`Body::Append`]
    Append = 3,
    /// [`Body::Trim`]
    Trim = 4,
    /// [`Body::Seal`]
    Seal = 5,
}

impl Command {
    /// Its kind.
    pub fn kind(&self) -> CommandKind {
        match self.body {
            Body::OpenProducer { .. } => CommandKind::OpenProducer,
            Body::CreateLog { .. } => CommandKind::CreateLog,
            Body::Append { .. } => CommandKind::Append,
            Body::Trim { .. } => CommandKind::Trim,
            Body::Seal { .. } => CommandKind::Seal,
        }
    }

    /// Bytes of the batch that follows the command in its value.
    pub fn batch_bytes(&self) -> u32 {
        match self.body {
            Body::Append { bytes, .. } => bytes,
            _ => 0,
        }
    }

    /// Appends the encoded command to `to`.
    pub fn encode(&self, to: &mut BytesMut) {
        let begin = to.len();
        let mut w = Writer(to);
        w.u8(VERSION);
        w.u8(self.kind() as u8);
        w.u16(if self.origin.is_some() {
            FLAG_ORIGIN
        } else {
            0
        });
        w.u32(0);
        if let Some(origin) = self.origin {
            w.u64(origin.producer.0);
            w.u32(origin.epoch);
            w.u64(origin.sequence);
        }
        match &self.body {
            Body::OpenProducer { nonce, name } => {
                w.u128(*nonce);
                w.bool(name.is_some());
                if let Some(name) = name {
                    w.name(name.as_str());
                }
            }
            Body::CreateLog { name, if_absent } => {
                w.bool(*if_absent);
                w.name(name.as_str());
            }
            Body::Append {
                log,
                records,
                bytes,
            } => {
                w.u64(log.0);
                w.u32(*records);
                w.u32(*bytes);
            }
            Body::Trim { log, to } => {
                w.u64(log.0);
                w.u64(to.0);
            }
            Body::Seal { log } => w.u64(log.0),
        }
        let length = (to.len() - begin) as u32;
        to[begin + 4..begin + 8].copy_from_slice(&length.to_le_bytes());
    }

    /// Reads the command that `bytes` begins with; what follows it is not
    /// looked at. Gives the command and its encoded length.
    ///
    /// # Errors
    /// [`DecodeError`] for bytes that no `encode` of this version made.
    pub fn decode(bytes: &[u8]) -> Result<(Command, usize), DecodeError> {
        let mut head = Reader::new(bytes);
        let version = head.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version { version });
        }
        let kind = head.u8()?;
        let flags = head.u16()?;
        let length = head.u32()? as usize;
        if flags & !FLAG_ORIGIN != 0 {
            return Err(DecodeError::Malformed("unknown flags"));
        }
        if length < HEAD_BYTES {
            return Err(DecodeError::Malformed("length below the header's"));
        }
        let mut r = Reader::new(bytes.get(HEAD_BYTES..length).ok_or(DecodeError::Short)?);
        let origin = if flags & FLAG_ORIGIN != 0 {
            Some(Origin {
                producer: ProducerId(r.u64()?),
                epoch: r.u32()?,
                sequence: r.u64()?,
            })
        } else {
            None
        };
        let body = match kind {
            1 => {
                let nonce = r.u128()?;
                let name = match r.bool()? {
                    true => Some(ProducerName::new(r.name()?)?),
                    false => None,
                };
                Body::OpenProducer { nonce, name }
            }
            2 => {
                let if_absent = r.bool()?;
                Body::CreateLog {
                    name: LogName::new(r.name()?)?,
                    if_absent,
                }
            }
            3 => Body::Append {
                log: LogId(r.u64()?),
                records: r.u32()?,
                bytes: r.u32()?,
            },
            4 => Body::Trim {
                log: LogId(r.u64()?),
                to: Offset(r.u64()?),
            },
            5 => Body::Seal {
                log: LogId(r.u64()?),
            },
            kind => return Err(DecodeError::Kind { kind }),
        };
        r.end()?;
        Ok((Command { origin, body }, length))
    }
}

const VERSION: u8 = 1;
const FLAG_ORIGIN: u16 = 1;
const HEAD_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(command: &Command) -> BytesMut {
        let mut bytes = BytesMut::new();
        command.encode(&mut bytes);
        bytes
    }

    #[test]
    fn the_layout_is_the_table_above() {
        let command = Command {
            origin: Some(Origin {
                producer: ProducerId(7),
                epoch: 2,
                sequence: 9,
            }),
            body: Body::Append {
                log: LogId(3),
                records: 4,
                bytes: 5,
            },
        };
        assert_eq!(
            bytes_of(&command)[..],
            [
                1, 3, 1, 0, 44, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0,
                0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_command_says_where_its_batch_begins() {
        let command = Command {
            origin: None,
            body: Body::OpenProducer {
                nonce: 1 << 100,
                name: ProducerName::new("p").ok(),
            },
        };
        let mut bytes = bytes_of(&command);
        let length = bytes.len();
        bytes.extend_from_slice(b"batch");
        assert_eq!(Command::decode(&bytes), Ok((command, length)));
    }

    #[test]
    fn a_command_cut_anywhere_is_refused() {
        let command = Command {
            origin: None,
            body: Body::CreateLog {
                name: LogName::new("orders").expect("a name"),
                if_absent: true,
            },
        };
        let bytes = bytes_of(&command);
        for end in 0..bytes.len() {
            assert!(Command::decode(&bytes[..end]).is_err());
        }
    }
}
