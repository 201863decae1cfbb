//! The value of a slot: a list of commands, and behind them the batches of the
//! appends among them, as their producers framed them.
//!
//! ```text
//!  0  u8   version, 1
//!  1  u8   zero
//!  2  u16  zero
//!  4  u32  number of commands, at least 1
//!  8  u64  the proposer's wall clock, nanoseconds since 1970
//! 16  u32  length of the front: this header and the commands, in bytes
//! 20  u32  policies that apply needs (none yet), zero
//! 24       the commands, one behind the other (`paxlog_log::Command`)
//! front    the batches of the appends, in the order of the commands
//! ```
//!
//! Little-endian. Only the front is ever decoded; a batch travels from the
//! producer's frame to the disk, to the other replicas and to the readers as
//! the parts in which it came.

use bytes::{Bytes, BytesMut};
use paxlog_log::Command;
use paxlog_paxos::Value;
use paxlog_wire::parts;

/// Length of the fixed header in bytes.
const HEADER_BYTES: usize = 24;
const VERSION: u8 = 1;

/// Batches up to this length are copied into a value's buffer. That costs less than what each part costs on its way: to the
/// disk, to two followers, and to whoever reads it.
const COPIED_BYTES_MAX: usize = 4 << 10;
/// The most that such a buffer takes.
const BLOCK_BYTES: usize = 64 << 10;

/// Gathers commands and closes them into one value.
#[derive(Debug, Default)]
pub(crate) struct ValueBuilder {
    commands: BytesMut,
    bodies: Vec<Bytes>,
    /// The end of the bodies: small batches, one behind the other.
    joined: BytesMut,
    /// Bytes of batches that are likely still to come.
    expected: usize,
    bytes: usize,
    count: u32,
}

impl ValueBuilder {
    /// One that is likely to get so many bytes of batches.
    pub(crate) fn expecting(bytes: usize) -> ValueBuilder {
        ValueBuilder {
            expected: bytes,
            ..ValueBuilder::default()
        }
    }

    /// Adds a command and, for an append, its batch.
    pub(crate) fn push(&mut self, command: &Command, batch: Vec<Bytes>) {
        debug_assert_eq!(parts::len(&batch), command.batch_bytes() as usize);
        if self.commands.is_empty() {
            self.commands.resize(HEADER_BYTES, 0);
        }
        command.encode(&mut self.commands);
        let bytes = command.batch_bytes() as usize;
        self.bytes += bytes;
        if bytes > COPIED_BYTES_MAX {
            self.cut();
            self.bodies.extend(batch);
        } else {
            self.copy(&batch, bytes);
        }
        self.expected = self.expected.saturating_sub(bytes);
        self.count += 1;
    }

    fn copy(&mut self, batch: &[Bytes], bytes: usize) {
        if self.joined.capacity() - self.joined.len() < bytes {
            self.cut();
            self.joined = BytesMut::with_capacity(self.expected.min(BLOCK_BYTES).max(bytes));
        }
        for part in batch {
            self.joined.extend_from_slice(part);
        }
    }

    fn cut(&mut self) {
        if !self.joined.is_empty() {
            self.bodies.push(self.joined.split().freeze());
        }
    }

    /// Bytes of the value so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.commands.len()
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of what was gathered, which must not be nothing; the builder is
    /// empty afterwards.
    pub(crate) fn close(&mut self, clock_ns: u64) -> Value {
        assert!(self.count > 0, "an empty value would be a no-op");
        let mut front = std::mem::take(&mut self.commands);
        self.cut();
        let front_bytes = front.len() as u32;
        front[0] = VERSION;
        front[4..8].copy_from_slice(&self.count.to_le_bytes());
        front[8..16].copy_from_slice(&clock_ns.to_le_bytes());
        front[16..20].copy_from_slice(&front_bytes.to_le_bytes());
        let mut all = Vec::with_capacity(1 + self.bodies.len());
        all.push(front.freeze());
        all.append(&mut self.bodies);
        self.bytes = 0;
        self.count = 0;
        Value::from_parts(all)
    }
}

/// A value's commands with the places of their batches.
#[derive(Debug, PartialEq, Eq)]
pub struct Front {
    /// The proposer's wall clock, nanoseconds since 1970.
    pub clock_ns: u64,
    /// The commands in their order.
    pub commands: Vec<PlacedCommand>,
}

/// A command and where in the value its batch lies.
#[derive(Debug, PartialEq, Eq)]
pub struct PlacedCommand {
    /// The command.
    pub command: Command,
    /// Where its batch begins, in bytes from the value's start; its length is
    /// `command.batch_bytes()`.
    pub batch_at: u32,
}

/// Why a chosen value can't be read.
///
/// Every replica sees the same bytes, but a newer release may read what this
/// one can't; to skip the value would make the replicas differ. So the replica
/// that meets this must stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Written by a newer release.
    #[error("the value's format version {0} is not known to this release")]
    Version(u8),
    /// A command that this release does not know.
    #[error("a command in the value can't be read: {0}")]
    Command(#[from] paxlog_log::DecodeError),
    /// Lengths that do not add up.
    #[error("the value's lengths do not add up")]
    Lengths,
}

impl Front {
    /// Length of the front in bytes, from the value's first bytes. Reading a
    /// value for its commands alone needs no more of it.
    ///
    /// # Errors
    /// As [`Front::parse`].
    pub(crate) fn bytes_of(head: &[u8]) -> Result<usize, ValueError> {
        let head = head
            .first_chunk::<HEADER_BYTES>()
            .ok_or(ValueError::Lengths)?;
        if head[0] != VERSION {
            return Err(ValueError::Version(head[0]));
        }
        Ok(u32::from_le_bytes([head[16], head[17], head[18], head[19]]) as usize)
    }

    /// Reads the front of a value given as parts.
    ///
    /// # Errors
    /// [`ValueError`]: the value was made by another release, or by a bug.
    pub fn parse(value: &[Bytes]) -> Result<Front, ValueError> {
        let total = parts::len(value);
        let mut cursor = parts::Cursor::new(value);
        let head = cursor
            .take_array::<HEADER_BYTES>()
            .ok_or(ValueError::Lengths)?;
        let front_bytes = Front::bytes_of(&head)?;
        let count = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let clock_ns = u64::from_le_bytes([
            head[8], head[9], head[10], head[11], head[12], head[13], head[14], head[15],
        ]);
        let commands_bytes = front_bytes
            .checked_sub(HEADER_BYTES)
            .ok_or(ValueError::Lengths)?;
        let encoded = cursor
            .take_joined(commands_bytes)
            .ok_or(ValueError::Lengths)?;
        let mut rest = &encoded[..];
        let mut at = front_bytes;
        // An encoded command takes at least 8 bytes, so a false count allocates nothing to speak of.
        let mut commands = Vec::with_capacity(count.min(rest.len() / 8));
        for _ in 0..count {
            let (command, used) = Command::decode(rest)?;
            rest = &rest[used..];
            let batch_at = u32::try_from(at).map_err(|_| ValueError::Lengths)?;
            at += command.batch_bytes() as usize;
            commands.push(PlacedCommand { command, batch_at });
        }
        if !rest.is_empty() || at != total || count == 0 {
            return Err(ValueError::Lengths);
        }
        Ok(Front { clock_ns, commands })
    }
}

#[cfg(test)]
mod tests {
    use paxlog_log::{Body, Conditions, LogConfig, LogId, LogName, Origin, ProducerId};
    use proptest::prelude::*;

    use super::*;

    fn append(sequence: u64, bytes: u32) -> Command {
        Command {
            origin: Some(Origin {
                producer: ProducerId(1),
                epoch: 0,
                sequence,
            }),
            body: Body::Append {
                log: LogId(1),
                records: 1,
                bytes,
                on: Conditions::default(),
            },
        }
    }

    proptest! {
        /// Whatever the seams of the parts, the commands and the places of
        /// their batches come back.
        #[test]
        fn a_value_reads_back_across_any_seams(
            batches in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..10),
        ) {
            let mut builder = ValueBuilder::default();
            let create = Command { origin: None, body: Body::CreateLog { name: LogName::new("a").expect("valid"), if_absent: true, config: LogConfig::default() } };
            builder.push(&create, vec![]);
            for (i, batch) in batches.iter().enumerate() {
                builder.push(&append(i as u64, batch.len() as u32), vec![Bytes::from(batch.clone())]);
            }
            let value = builder.close(77);
            prop_assert!(builder.is_empty());
            let whole = parts::join(value.parts());
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
            at.sort_unstable();
            at.push(whole.len());
            let mut cut = Vec::new();
            let mut from = 0;
            for to in at {
                cut.push(whole.slice(from..to));
                from = to;
            }
            let front = Front::parse(&cut).expect("it was built");
            prop_assert_eq!(front.clock_ns, 77);
            prop_assert_eq!(front.commands.len(), batches.len() + 1);
            for (placed, batch) in front.commands[1..].iter().zip(&batches) {
                let at = placed.batch_at as usize;
                prop_assert_eq!(&whole[at..at + batch.len()], &batch[..]);
            }
        }

        /// Bytes from nowhere are refused, without panic.
        #[test]
        fn any_bytes_are_no_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let _ = Front::parse(&[Bytes::from(bytes)]);
        }
    }
}
