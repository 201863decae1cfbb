//! What the core knows of itself and of the group, for whoever asks.

use paxlog_paxos::{Ballot, Incarnation, PeerStatus, ReplicaId, Role, Slot, Standing};

/// A look at the core.
#[derive(Clone, Debug)]
pub struct Status {
    /// This replica.
    pub replica: ReplicaId,
    /// Its directory.
    pub incarnation: Incarnation,
    /// What it is.
    pub role: Role,
    /// The leader it knows, under which ballot.
    pub leader: Option<(Ballot, ReplicaId)>,
    /// The highest ballot it promised.
    pub ballot: Ballot,
    /// Whether it votes, and if not, why.
    pub standing: Standing,
    /// The highest chosen index it was told of, or reached as leader.
    pub chosen_index: Slot,
    /// Everything below is chosen and held here.
    pub chosen_prefix: Slot,
    /// Everything below is applied here.
    pub applied: Slot,
    /// Whether it leads or follows a leader, and has applied all that it knew
    /// of at its start.
    pub ready: bool,
    /// Why it is not ready, or that it is, in a sentence.
    pub sentence: String,
    /// Slots proposed here and not yet chosen.
    pub slots_in_flight: u64,
    /// Commands waiting for a value.
    pub commands_queued: usize,
    /// The other members.
    pub peers: Vec<PeerStatus>,
    /// How many logs there are.
    pub logs: usize,
    /// How many producers are known.
    pub producers: usize,
    /// How many readers there are.
    pub readers: usize,
    /// Batches held in the index one by one.
    pub recent_batches: usize,
    /// Segments that hold frames of the group.
    pub segments: usize,
}

/// Counts since the start, for metrics; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Appends applied (duplicates not counted).
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// Appends answered from a kept receipt.
    pub duplicates: u64,
    /// Commands refused, at admission or at apply.
    pub refused: u64,
    /// Values proposed here.
    pub values: u64,
    /// Times that the leader known here changed.
    pub leader_changes: u64,
    /// Bytes of batches handed to readers from the hot window.
    pub read_bytes: u64,
}
