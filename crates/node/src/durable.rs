//! What the write-ahead log's STATE frames hold: the promise, the formed list
//! and a copy of the chosen prefix, per group.
//!
//! ```text
//!  0  u8   version, 1
//!  1  u8   formed: 0 no, 1 yes
//!  2  u16  members in the formed list
//!  4  u32  group
//!  8  u64  promised ballot (round << 16 | replica)
//! 16  u64  chosen prefix
//! 24       per member: u16 replica id, u128 incarnation
//! ```
//!
//! Little-endian. One group per state for now; a second one will follow the
//! first in the same bytes.

use bytes::{BufMut, Bytes, BytesMut};
use paxlog_paxos::{Ballot, DurableState, GroupId, Incarnation, Member, ReplicaId, Slot};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 24;
const MEMBER_BYTES: usize = 18;

/// The bytes of a STATE frame.
pub(crate) fn encode(group: GroupId, state: &DurableState) -> Bytes {
    let members = state.formed.as_deref().unwrap_or_default();
    let mut to = BytesMut::with_capacity(HEADER_BYTES + members.len() * MEMBER_BYTES);
    to.put_u8(VERSION);
    to.put_u8(state.formed.is_some().into());
    to.put_u16_le(members.len() as u16);
    to.put_u32_le(group.0);
    to.put_u64_le(state.promised.to_u64());
    to.put_u64_le(state.chosen_prefix.0);
    for member in members {
        to.put_u16_le(member.id.0);
        to.put_u128_le(member.incarnation.0);
    }
    to.freeze()
}

/// Reads what an [`Effect::State`](crate::Effect::State) holds; none if the bytes are of another version or no
/// state at all.
pub fn decode(bytes: &[u8]) -> Option<(GroupId, DurableState)> {
    let (head, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    if head[0] != VERSION || head[1] > 1 {
        return None;
    }
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let count = usize::from(u16::from_le_bytes([head[2], head[3]]));
    if rest.len() != count * MEMBER_BYTES || (head[1] == 0 && count > 0) {
        return None;
    }
    let mut members = Vec::with_capacity(count);
    while let Some((member, after)) = rest.split_first_chunk::<MEMBER_BYTES>() {
        let mut incarnation = [0u8; 16];
        incarnation.copy_from_slice(&member[2..]);
        members.push(Member {
            id: ReplicaId(u16::from_le_bytes([member[0], member[1]])),
            incarnation: Incarnation(u128::from_le_bytes(incarnation)),
        });
        rest = after;
    }
    let state = DurableState {
        promised: Ballot::from_u64(u64_at(8)),
        formed: (head[1] == 1).then_some(members),
        chosen_prefix: Slot(u64_at(16)),
    };
    Some((GroupId(u32_at(4)), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_a_cut_one_does_not() {
        let formed = DurableState {
            promised: Ballot {
                round: 5,
                replica: ReplicaId(2),
            },
            formed: Some(vec![
                Member {
                    id: ReplicaId(1),
                    incarnation: Incarnation(1 << 100),
                },
                Member {
                    id: ReplicaId(2),
                    incarnation: Incarnation(3),
                },
            ]),
            chosen_prefix: Slot(99),
        };
        let blank = DurableState {
            promised: Ballot::NONE,
            formed: None,
            chosen_prefix: Slot(0),
        };
        for state in [formed, blank] {
            let bytes = encode(GroupId(4), &state);
            assert_eq!(decode(&bytes), Some((GroupId(4), state)));
            for end in 0..bytes.len() {
                assert_eq!(decode(&bytes[..end]), None);
            }
        }
    }
}
