//! What a replica keeps, past the checksums of its write-ahead log: checkpoints, values, index files, its promise.

use bytes::{Bytes, BytesMut};
use paxlog_log::{
    Body, Command, Conditions, ConfigChange, CursorName, Expected, FenceToken, LogConfig, LogId,
    LogName, Offset, Origin, ProducerId, ProducerName, State, Timestamp,
};
use paxlog_node::{Batch, Checkpoint, Front, IdxFile, Place, decode_state};
use paxlog_paxos::{GroupId, Slot};

use crate::input::Input;

/// Input: what it is (u8: odd a replica's checkpoint, even the state alone), how many commands follow the checkpoint
/// (u16: their bytes), the commands, and the checkpoint. Lengths and the digest are mended.
pub(crate) fn checkpoint(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let whole = input.u8() & 1 == 1;
    let commands_bytes = input.u16();
    let commands = input.take(commands_bytes.into());
    let mut bytes = input.rest().to_vec();
    let at = if whole { state_in(&bytes) } else { 0 };
    mend(&mut bytes, at);
    let state = if whole {
        let Ok(checkpoint) = Checkpoint::decode(&bytes) else {
            return;
        };
        assert_eq!(Checkpoint::slot_of(&bytes), Some(checkpoint.slot));
        assert_eq!(checkpoint.encode(), bytes, "a checkpoint in two ways");
        checkpoint.state
    } else {
        let Ok(state) = State::decode(&bytes) else {
            return;
        };
        assert_eq!(state.encode(), bytes, "a state in two ways");
        state
    };
    used(state, commands);
}

/// Input: clocks and encoded commands, as [`used`] takes them; and the same bytes as a value.
pub(crate) fn commands(bytes: &[u8]) {
    let whole = Bytes::copy_from_slice(bytes);
    if let Ok(front) = Front::parse(std::slice::from_ref(&whole)) {
        let (left, right) = (
            whole.slice(..bytes.len() / 3),
            whole.slice(bytes.len() / 3..),
        );
        assert_eq!(
            Front::parse(&[left, right]).as_ref(),
            Ok(&front),
            "how it was cut matters"
        );
        for placed in &front.commands {
            assert!(placed.batch_at as usize <= bytes.len());
        }
    }
    used(State::new(), bytes);
}

/// Applies commands to a state, each after a byte that says how far the clock moved; asks whatever can be asked; and
/// holds the state against what a checkpoint makes of it.
fn used(mut state: State, mut commands: &[u8]) {
    let mut slot = state.applied().map_or(0, |last| last.slot);
    let mut clock = 0u64;
    while let Some((&step, rest)) = commands.split_first() {
        let Ok((command, used)) = Command::decode(rest) else {
            break;
        };
        let mut again = BytesMut::new();
        command.encode(&mut again);
        assert_eq!(&again[..], &rest[..used], "a command in two ways");
        commands = &rest[used..];
        // A slot number that can't be raised is none that a group reaches.
        let Some(next) = slot.checked_add(1) else {
            break;
        };
        slot = next;
        clock = clock.saturating_add(1 << (step % 64));
        let before = state.lookup(&command);
        let outcome = state.apply(slot, 0, clock, &command);
        if let Some(before) = before {
            assert_eq!(before, outcome, "what is answered without applying");
        }
    }
    for log in 0..4 {
        let log = LogId(log);
        if let Some(description) = state.describe(log) {
            assert!(description.trim_point <= description.tail);
            assert!(state.by_name(description.name.as_str()).is_some());
            state.cursors(log, "", None, 10);
        }
    }
    let listing = state.list("", None, 3);
    assert!(listing.logs.len() <= 3);
    let bytes = state.encode();
    let again = State::decode(&bytes).expect("a state that was encoded");
    assert_eq!(again.encode(), bytes);
    assert_eq!(again.digest(), state.digest());
}

/// Input: the file, of segment 2.
pub(crate) fn idx(bytes: &[u8]) {
    let Some(idx) = IdxFile::check(2, bytes) else {
        return;
    };
    let mut batches = 0;
    for (log, extent) in idx.extents() {
        assert!(extent.start <= extent.end);
        for offset in [extent.start, extent.end, Offset(0)] {
            let mut next = None;
            for batch in idx.batches_from(log, offset) {
                assert!(next.is_none_or(|next| next == batch.start), "no hole");
                assert!(batch.start < batch.end(), "no batch is empty");
                next = Some(batch.end());
                batches += 1;
            }
        }
        for time in [0, 1, u64::MAX] {
            idx.batch_at_time(log, extent.start, Timestamp(time));
        }
    }
    assert!(batches <= 3 * bytes.len() * bytes.len());
    if let Some((first, end)) = idx.slot_range() {
        assert!(first < end);
        assert!(idx.slot(first).is_some());
    }
    for row in idx.slots() {
        assert!(
            idx.slot(row.slot).is_some(),
            "a slot that is listed is found"
        );
    }
    idx.applied();
}

/// Input: the STATE frame's payload.
pub(crate) fn promise(bytes: &[u8]) {
    if let Some((_, state)) = decode_state(bytes) {
        assert!(state.formed.map_or(0, |members| members.len()) * 18 <= bytes.len());
    }
}

/// Where the state begins in a replica's checkpoint.
fn state_in(bytes: &[u8]) -> usize {
    let rows = bytes
        .get(20..24)
        .map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    32 + rows * 48
}

/// Puts the right length before the state that begins at `at`, if it is in a checkpoint, and the right digest behind it.
fn mend(bytes: &mut [u8], at: usize) {
    let Some(state_bytes) = bytes.len().checked_sub(at) else {
        return;
    };
    if at > 0 {
        bytes[24..32].copy_from_slice(&(state_bytes as u64).to_le_bytes());
    }
    if let Some((body, sum)) = bytes[at..].split_last_chunk_mut::<8>() {
        *sum = digest(body).to_le_bytes();
    }
}

/// As `paxlog_log` computes it; the seeds show whether it still does.
fn digest(bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word))
            .wrapping_mul(PRIME)
            .rotate_left(29);
    }
    for &byte in rest {
        hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

/// A command of every kind, some refused, some in two forms.
fn samples() -> Vec<Command> {
    let name = |name: &str| LogName::new(name).expect("a valid name");
    let cursor = |name: &str| CursorName::new(name).expect("a valid name");
    let token = |token: &str| FenceToken::new(token).expect("a valid token");
    let log = LogId(1);
    let config = LogConfig {
        retention_age_ns: 1_000,
        retention_bytes: 1_000,
        batch_bytes_max: 1_000,
        append_bytes_per_s: 1_000,
    };
    let open = |nonce, name: Option<&str>| Body::OpenProducer {
        nonce,
        name: name.map(|name| ProducerName::new(name).expect("a valid name")),
    };
    let append = |if_tail: Option<u64>, fence: Option<&str>| Body::Append {
        log,
        records: 3,
        bytes: 100,
        on: Conditions {
            if_tail: if_tail.map(Offset),
            fence: fence.map(token),
        },
    };
    let fence = |to: Option<&str>, expect| Body::Fence {
        log,
        token: to.map(token),
        expect,
    };
    let set = |at, expect| Body::SetCursor {
        log,
        name: cursor("c"),
        at: Offset(at),
        expect,
    };
    let create = |text: &str, if_absent, config| Body::CreateLog {
        name: name(text),
        if_absent,
        config,
    };
    let numbered = [
        create("a", false, LogConfig::default()),
        create("a", true, config),
        append(None, None),
        append(Some(3), None),
        append(Some(3), None),
        fence(Some("f"), Expected::Absent),
        append(None, Some("f")),
        append(None, None),
        fence(None, Expected::Is(token("f"))),
        set(2, Expected::Any),
        set(3, Expected::Is(Offset(2))),
        Body::Trim { log, to: Offset(2) },
        Body::AlterLog {
            log,
            change: ConfigChange {
                retention_bytes: Some(5),
                ..ConfigChange::default()
            },
        },
        Body::DeleteCursor {
            log,
            name: cursor("c"),
        },
        Body::Seal { log },
        create("b", false, config),
        Body::DeleteLog { log: LogId(2) },
    ];
    let mut commands: Vec<Body> = vec![open(7, Some("p")), open(8, None), open(9, Some("p"))];
    commands.push(Body::Retain { log, to: Offset(1) });
    let free = commands
        .into_iter()
        .map(|body| Command { origin: None, body });
    let origin = |epoch, sequence| {
        Some(Origin {
            producer: ProducerId(1),
            epoch,
            sequence,
        })
    };
    let mut epoch = (1, 0);
    let mut all: Vec<Command> = free.collect();
    for body in numbered {
        all.push(Command {
            origin: origin(epoch.0, epoch.1),
            body: body.clone(),
        });
        epoch.1 += 1;
    }
    // And one of them again, as a retry.
    all.push(all[all.len() - 1].clone());
    all
}

/// Each command after its clock's step.
fn encoded(commands: &[Command]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for command in commands {
        bytes.extend([20]);
        command.encode(&mut bytes);
    }
    bytes.to_vec()
}

/// As the value of a slot.
fn value(commands: &[Command]) -> Vec<u8> {
    let mut front = BytesMut::new();
    let batches: u32 = commands.iter().map(Command::batch_bytes).sum();
    for command in commands {
        command.encode(&mut front);
    }
    let mut bytes = vec![1, 0, 0, 0];
    bytes.extend((commands.len() as u32).to_le_bytes());
    bytes.extend(77u64.to_le_bytes());
    bytes.extend((24 + front.len() as u32).to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(front);
    bytes.extend(vec![5; batches as usize]);
    bytes
}

pub(crate) fn commands_seeds() -> Vec<Vec<u8>> {
    let all = samples();
    let mut seeds = vec![encoded(&all), value(&all), value(&all[..3])];
    assert!(
        Front::parse(&[value(&all).into()]).is_ok(),
        "the format of values is as said here"
    );
    seeds.extend(all.iter().map(|one| encoded(std::slice::from_ref(one))));
    seeds
}

pub(crate) fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let commands = samples();
    let mut seeds = Vec::new();
    for applied in [0, 1, 5, commands.len()] {
        let mut state = State::new();
        for (slot, command) in (1..).zip(&commands[..applied]) {
            state.apply(slot, 0, 1_000 * slot, command);
        }
        let encoded_state = state.encode();
        let rest = encoded(&commands[applied..]);
        let mut seed = vec![0];
        seed.extend((rest.len() as u16).to_le_bytes());
        seed.extend(&rest);
        let mut mended = encoded_state.clone();
        mend(&mut mended, 0);
        assert_eq!(mended, encoded_state, "the digest is as said here");
        seed.extend(encoded_state);
        seeds.push(seed);
        let place = Place {
            lsn: 2 << 32 | 4096,
            at: 72,
            len: 100,
        };
        let batch = Batch {
            start: Offset(0),
            records: 3,
            timestamp: Timestamp(5),
            place,
        };
        let whole = Checkpoint {
            group: GroupId(1),
            slot: Slot(applied as u64 + 1),
            state,
            recent: vec![(LogId(1), batch)],
        };
        seeds.push([&[1, 0, 0][..], &whole.encode()].concat());
    }
    seeds
}

pub(crate) fn idx_seeds() -> Vec<Vec<u8>> {
    let mut file = b"PAXIDX1\0".to_vec();
    file.extend(2u64.to_le_bytes());
    file.extend(3u32.to_le_bytes());
    file.extend(2u32.to_le_bytes());
    file.extend(9u64.to_le_bytes());
    for (log, start) in [(1u64, 0u64), (1, 3), (4, 7)] {
        for number in [log, start, 1_000 * start] {
            file.extend(number.to_le_bytes());
        }
        for number in [4096u32, 72, 100, 3] {
            file.extend(number.to_le_bytes());
        }
    }
    for slot in [5u64, 8] {
        file.extend(slot.to_le_bytes());
        file.extend((2u64 << 16 | 1).to_le_bytes());
        file.extend(4096u32.to_le_bytes());
        file.extend(100u32.to_le_bytes());
    }
    assert!(
        IdxFile::check(2, &file).is_some(),
        "the format is as said here"
    );
    vec![file]
}

pub(crate) fn promise_seeds() -> Vec<Vec<u8>> {
    let mut state = vec![1, 1, 3, 0];
    state.extend(0u32.to_le_bytes());
    state.extend((7u64 << 16 | 2).to_le_bytes());
    state.extend(9u64.to_le_bytes());
    for member in 1..=3u16 {
        state.extend(member.to_le_bytes());
        state.extend(u128::from(member).to_le_bytes());
    }
    assert!(decode_state(&state).is_some(), "the format is as said here");
    let unformed = [&[1, 0, 0, 0][..], &state[4..24]].concat();
    vec![state, unformed]
}
