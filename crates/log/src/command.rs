//! Commands: what is ordered in slots.
//!
//! One command in a value, little-endian; the batch of an append follows it in
//! the value and is not part of it:
//!
//! ```text
//!  0  u8   version, 1
//!  1  u8   kind (`CommandKind`)
//!  2  u16  flags: bit 0 = an origin follows; of an append: bit 1 = it expects
//!          a tail, bit 2 = it carries a fence; the others are 0
//!  4  u32  length of the whole command in bytes
//!  8  origin, if any: u64 producer, u32 epoch, u64 sequence      (20 bytes)
//!     body:
//!       OpenProducer  u128 nonce, u8 has a name, [u8 length, name]
//!       CreateLog     u8 bit 0 = if absent, bit 1 = settings follow; name, [settings]
//!       Append        u64 log, u32 records, u32 bytes, [u64 tail], [fence]
//!       Trim          u64 log, u64 to
//!       Seal          u64 log
//!       AlterLog      u64 log, u8 mask, [u64 age], [u64 bytes], [u32 batch], [u64 rate]
//!       DeleteLog     u64 log
//!       Fence         u64 log, u8 bit 0 = a token follows, bits 1-2 = expects
//!                     (0 anything, 1 none, 2 the token that follows); [token], [token]
//!       SetCursor     u64 log, name, u64 offset, u8 expects (as above), [u64 offset]
//!       DeleteCursor  u64 log, name
//!       Retain        u64 log, u64 to
//!     settings are u64 age in ns, u64 bytes, u32 batch bytes, u64 bytes a second;
//!     names and tokens are a u8 length and UTF-8
//! ```

use bytes::BytesMut;

use crate::codec::{DecodeError, Reader, Writer};
use crate::config::{ConfigChange, LogConfig};
use crate::ids::{LogId, Offset, Origin, ProducerId};
use crate::names::{CursorName, FenceToken, LogName, ProducerName};

/// A command: what to do, and the number under which a retry is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Who numbered it. None only for the opening of a producer, and for what the leader does by itself.
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
        /// An existing log of that name is an answer, not an error; its settings stay as they are.
        if_absent: bool,
        /// Its settings.
        config: LogConfig,
    },
    /// Appends the batch that follows the command in the value.
    Append {
        /// To which log.
        log: LogId,
        /// Records in the batch, at least one.
        records: u32,
        /// Bytes of the batch as framed by the producer.
        bytes: u32,
        /// When it is refused.
        on: Conditions,
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
    /// Changes a log's settings.
    AlterLog {
        /// Of which log.
        log: LogId,
        /// What to change.
        change: ConfigChange,
    },
    /// Deletes a log with all its records and cursors. Its id is never used again; its name may be.
    DeleteLog {
        /// Which log.
        log: LogId,
    },
    /// Sets what the log's appends must carry, or that they need carry nothing.
    Fence {
        /// Of which log.
        log: LogId,
        /// The token; none: appends must carry none.
        token: Option<FenceToken>,
        /// What the fence must be for this to be done.
        expect: Expected<FenceToken>,
    },
    /// Sets a cursor of a log, and makes it if it is new.
    SetCursor {
        /// Of which log.
        log: LogId,
        /// Its name.
        name: CursorName,
        /// Where it is to stand; at most the tail.
        at: Offset,
        /// Where it must stand for this to be done.
        expect: Expected<Offset>,
    },
    /// Deletes a cursor.
    DeleteCursor {
        /// Of which log.
        log: LogId,
        /// Its name.
        name: CursorName,
    },
    /// Gives up the offsets below `to` as the log's settings say. The leader's own: nobody numbers it, and doing it
    /// twice is doing it once.
    Retain {
        /// Of which log.
        log: LogId,
        /// The first offset to keep.
        to: Offset,
    },
}

/// When an append is refused although the log takes records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The tail at which its first record must come to stand.
    pub if_tail: Option<Offset>,
    /// The fence that it carries: the log's, whether it has one or none.
    pub fence: Option<FenceToken>,
}

/// What a compare-and-set compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected<T> {
    /// Nothing: it is set whatever was there.
    Any,
    /// There must be none.
    Absent,
    /// There must be this.
    Is(T),
}

impl<T: PartialEq> Expected<T> {
    /// Whether what there is, is what is expected.
    pub fn holds(&self, now: Option<&T>) -> bool {
        match self {
            Expected::Any => true,
            Expected::Absent => now.is_none(),
            Expected::Is(expected) => now == Some(expected),
        }
    }
}

impl<T> Expected<T> {
    fn number(&self) -> u8 {
        match self {
            Expected::Any => 0,
            Expected::Absent => 1,
            Expected::Is(_) => 2,
        }
    }

    fn read(
        number: u8,
        take: impl FnOnce() -> Result<T, DecodeError>,
    ) -> Result<Expected<T>, DecodeError> {
        match number {
            0 => Ok(Expected::Any),
            1 => Ok(Expected::Absent),
            2 => Ok(Expected::Is(take()?)),
            _ => Err(DecodeError::Malformed("an unknown kind of expectation")),
        }
    }
}

/// The kinds, as numbered in the encoding. Kept free for what comes later: 32 membership.
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
    /// [`Body::AlterLog`]
    AlterLog = 6,
    /// [`Body::DeleteLog`]
    DeleteLog = 7,
    /// [`Body::Fence`]
    Fence = 8,
    /// [`Body::SetCursor`]
    SetCursor = 9,
    /// [`Body::DeleteCursor`]
    DeleteCursor = 10,
    /// [`Body::Retain`]
    Retain = 11,
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
            Body::AlterLog { .. } => CommandKind::AlterLog,
            Body::DeleteLog { .. } => CommandKind::DeleteLog,
            Body::Fence { .. } => CommandKind::Fence,
            Body::SetCursor { .. } => CommandKind::SetCursor,
            Body::DeleteCursor { .. } => CommandKind::DeleteCursor,
            Body::Retain { .. } => CommandKind::Retain,
        }
    }

    /// Bytes of the batch that follows the command in its value.
    pub fn batch_bytes(&self) -> u32 {
        match self.body {
            Body::Append { bytes, .. } => bytes,
            _ => 0,
        }
    }

    fn flags(&self) -> u16 {
        let flag = |set, flag| if set { flag } else { 0 };
        let of_append = match &self.body {
            Body::Append { on, .. } => {
                flag(on.if_tail.is_some(), FLAG_TAIL) | flag(on.fence.is_some(), FLAG_FENCE)
            }
            _ => 0,
        };
        flag(self.origin.is_some(), FLAG_ORIGIN) | of_append
    }

    /// Appends the encoded command to `to`.
    pub fn encode(&self, to: &mut BytesMut) {
        let begin = to.len();
        let mut w = Writer(to);
        w.u8(VERSION);
        w.u8(self.kind() as u8);
        w.u16(self.flags());
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
            Body::CreateLog {
                name,
                if_absent,
                config,
            } => {
                let set = *config != LogConfig::default();
                w.u8(u8::from(*if_absent) | u8::from(set) << 1);
                w.name(name.as_str());
                if set {
                    w.config(config);
                }
            }
            Body::Append {
                log,
                records,
                bytes,
                on,
            } => {
                w.u64(log.0);
                w.u32(*records);
                w.u32(*bytes);
                if let Some(tail) = on.if_tail {
                    w.u64(tail.0);
                }
                if let Some(fence) = &on.fence {
                    w.name(fence.as_str());
                }
            }
            Body::Trim { log, to } | Body::Retain { log, to } => {
                w.u64(log.0);
                w.u64(to.0);
            }
            Body::Seal { log } | Body::DeleteLog { log } => w.u64(log.0),
            Body::AlterLog { log, change } => {
                w.u64(log.0);
                w.change(change);
            }
            Body::Fence { log, token, expect } => {
                w.u64(log.0);
                w.u8(u8::from(token.is_some()) | expect.number() << 1);
                if let Some(token) = token {
                    w.name(token.as_str());
                }
                if let Expected::Is(token) = expect {
                    w.name(token.as_str());
                }
            }
            Body::SetCursor {
                log,
                name,
                at,
                expect,
            } => {
                w.u64(log.0);
                w.name(name.as_str());
                w.u64(at.0);
                w.u8(expect.number());
                if let Expected::Is(at) = expect {
                    w.u64(at.0);
                }
            }
            Body::DeleteCursor { log, name } => {
                w.u64(log.0);
                w.name(name.as_str());
            }
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
        let known = match kind {
            3 => FLAG_ORIGIN | FLAG_TAIL | FLAG_FENCE,
            _ => FLAG_ORIGIN,
        };
        if flags & !known != 0 {
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
        let body = Body::decode(kind, flags, &mut r)?;
        r.end()?;
        Ok((Command { origin, body }, length))
    }
}

impl Body {
    fn decode(kind: u8, flags: u16, r: &mut Reader<'_>) -> Result<Body, DecodeError> {
        Ok(match kind {
            1 => {
                let nonce = r.u128()?;
                let name = match r.bool()? {
                    true => Some(ProducerName::new(r.name()?)?),
                    false => None,
                };
                Body::OpenProducer { nonce, name }
            }
            2 => {
                let bits = r.u8()?;
                if bits > 3 {
                    return Err(DecodeError::Malformed("unknown flags of a new log"));
                }
                Body::CreateLog {
                    name: LogName::new(r.name()?)?,
                    if_absent: bits & 1 != 0,
                    config: match bits & 2 {
                        0 => LogConfig::default(),
                        _ => Some(r.config()?)
                            .filter(|config| *config != LogConfig::default())
                            .ok_or(DecodeError::Malformed("settings that set nothing"))?,
                    },
                }
            }
            3 => Body::Append {
                log: LogId(r.u64()?),
                records: r.u32()?,
                bytes: r.u32()?,
                on: Conditions {
                    if_tail: match flags & FLAG_TAIL {
                        0 => None,
                        _ => Some(Offset(r.u64()?)),
                    },
                    fence: match flags & FLAG_FENCE {
                        0 => None,
                        _ => Some(FenceToken::new(r.name()?)?),
                    },
                },
            },
            4 => Body::Trim {
                log: LogId(r.u64()?),
                to: Offset(r.u64()?),
            },
            5 => Body::Seal {
                log: LogId(r.u64()?),
            },
            6 => Body::AlterLog {
                log: LogId(r.u64()?),
                change: r.change()?,
            },
            7 => Body::DeleteLog {
                log: LogId(r.u64()?),
            },
            8 => {
                let log = LogId(r.u64()?);
                let bits = r.u8()?;
                let token = match bits & 1 {
                    0 => None,
                    _ => Some(FenceToken::new(r.name()?)?),
                };
                let expect = Expected::read(bits >> 1, || Ok(FenceToken::new(r.name()?)?))?;
                Body::Fence { log, token, expect }
            }
            9 => {
                let log = LogId(r.u64()?);
                let name = CursorName::new(r.name()?)?;
                let at = Offset(r.u64()?);
                let number = r.u8()?;
                let expect = Expected::read(number, || Ok(Offset(r.u64()?)))?;
                Body::SetCursor {
                    log,
                    name,
                    at,
                    expect,
                }
            }
            10 => Body::DeleteCursor {
                log: LogId(r.u64()?),
                name: CursorName::new(r.name()?)?,
            },
            11 => Body::Retain {
                log: LogId(r.u64()?),
                to: Offset(r.u64()?),
            },
            kind => return Err(DecodeError::Kind { kind }),
        })
    }
}

impl Writer<'_> {
    /// A log's settings: `Reader::config` reads them back.
    pub(crate) fn config(&mut self, config: &LogConfig) {
        self.u64(config.retention_age_ns);
        self.u64(config.retention_bytes);
        self.u32(config.batch_bytes_max);
        self.u64(config.append_bytes_per_s);
    }

    fn change(&mut self, change: &ConfigChange) {
        let ConfigChange {
            retention_age_ns: age,
            retention_bytes: bytes,
            batch_bytes_max: batch,
            append_bytes_per_s: rate,
        } = *change;
        let set = [
            age.is_some(),
            bytes.is_some(),
            batch.is_some(),
            rate.is_some(),
        ];
        let mask = set
            .iter()
            .enumerate()
            .fold(0, |mask, (bit, &set)| mask | u8::from(set) << bit);
        self.u8(mask);
        age.into_iter()
            .chain(bytes)
            .for_each(|value| self.u64(value));
        batch.into_iter().for_each(|value| self.u32(value));
        rate.into_iter().for_each(|value| self.u64(value));
    }
}

impl Reader<'_> {
    pub(crate) fn config(&mut self) -> Result<LogConfig, DecodeError> {
        Ok(LogConfig {
            retention_age_ns: self.u64()?,
            retention_bytes: self.u64()?,
            batch_bytes_max: self.u32()?,
            append_bytes_per_s: self.u64()?,
        })
    }

    fn change(&mut self) -> Result<ConfigChange, DecodeError> {
        let mask = self.u8()?;
        if mask > 15 {
            return Err(DecodeError::Malformed("an unknown setting"));
        }
        Ok(ConfigChange {
            retention_age_ns: (mask & 1 != 0).then(|| self.u64()).transpose()?,
            retention_bytes: (mask & 2 != 0).then(|| self.u64()).transpose()?,
            batch_bytes_max: (mask & 4 != 0).then(|| self.u32()).transpose()?,
            append_bytes_per_s: (mask & 8 != 0).then(|| self.u64()).transpose()?,
        })
    }
}

const VERSION: u8 = 1;
const FLAG_ORIGIN: u16 = 1;
const FLAG_TAIL: u16 = 2;
const FLAG_FENCE: u16 = 4;
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
                on: Conditions::default(),
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
                config: LogConfig {
                    retention_bytes: 1,
                    ..LogConfig::default()
                },
            },
        };
        let bytes = bytes_of(&command);
        for end in 0..bytes.len() {
            assert!(Command::decode(&bytes[..end]).is_err());
        }
    }
}
