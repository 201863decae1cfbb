//! Everything that replicas of a group say to each other.
//!
//! Plain structs: `wire` mirrors and encodes them, and nothing here knows how. Every message may be lost,
//! delayed, repeated, and overtaken by one of another class.

use std::ops::Range;

use crate::types::{
    Ballot, ClusterId, ConfigNumber, GroupId, Incarnation, Member, ReplicaId, Slot, Value,
};

/// A message with what every message carries. One of another cluster or group is dropped; the vote of a
/// sender that is not in the formed list under this incarnation is not counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
    /// The membership under which it was sent.
    pub config: ConfigNumber,
    /// The sender; the link has proved it.
    pub from: ReplicaId,
    /// The sender's directory.
    pub incarnation: Incarnation,
    /// What it says.
    pub message: Message,
}

/// Which stream a message travels on. Order holds within a class at most, and only until a stream breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small and urgent: heartbeats, ballots, acknowledgements.
    Control,
    /// Accepts, with their values.
    Accepts,
    /// Values for whoever is behind, or is taking over.
    CatchUp,
}

/// What one replica says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Once a heartbeat interval, to every member.
    Heartbeat(Box<Heartbeat>),
    /// Forming: are you blank?
    FormAsk(FormAsk),
    /// Forming: what I am.
    FormAnswer(FormAnswer),
    /// Forming: the list, to be adopted by a blank replica that is in it.
    Form(Form),
    /// Phase 1, from a candidate.
    Prepare(Prepare),
    /// Phase 1, the answer: metadata only.
    Promise(Promise),
    /// A Prepare, Accept or Confirm came with a ballot below the promised one.
    Refuse(Refuse),
    /// Phase 2, from the leader: one slot.
    Accept(Accept),
    /// Phase 2, the acknowledgement: cumulative.
    Accepted(Accepted),
    /// What takes the place of an Accept, or of its answer, below `chosen_below`.
    BelowChosen(BelowChosen),
    /// Ask for values.
    Fetch(Fetch),
    /// One value, or why there is none.
    FetchReply(FetchReply),
    /// A leader asks whether it still is the leader.
    Confirm(Confirm),
    /// The answer, by a replica that has promised no higher ballot.
    Confirmed(Confirmed),
    /// The leader asks the receiver to take over at once.
    HandOver(HandOver),
    /// A follower asks how far everything acknowledged so far reaches.
    AskIndex(AskIndex),
    /// The answer, once a quorum confirmed that whoever answers leads.
    Index(Index),
}

impl Message {
    /// The stream it travels on.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Message::Accept(_) => Class::Accepts,
            Message::FetchReply(_) => Class::CatchUp,
            Message::Heartbeat(_)
            | Message::FormAsk(_)
            | Message::FormAnswer(_)
            | Message::Form(_)
            | Message::Prepare(_)
            | Message::Promise(_)
            | Message::Refuse(_)
            | Message::Accepted(_)
            | Message::BelowChosen(_)
            | Message::Fetch(_)
            | Message::Confirm(_)
            | Message::Confirmed(_)
            | Message::HandOver(_)
            | Message::AskIndex(_)
            | Message::Index(_) => Class::Control,
        }
    }
}

/// A heartbeat: rounds and echoes tell reachability both ways; the rest lets each replica judge by itself
/// whether to stand, and repeats what a broken link may have lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// A random number of the sender's life (from start to stop): rounds are counted anew in each.
    pub life: u64,
    /// The sender's round, from 1.
    pub round: u64,
    /// The receiver's life and round last heard by the sender, if any.
    pub echo: Option<Echo>,
    /// The sender's durable promise.
    pub promised: Ballot,
    /// When the sender leads.
    pub leading: Option<Leading>,
    /// The ballot under which the sender is a candidate now.
    pub standing: Option<Ballot>,
    /// Whether the sender may vote at all.
    pub voter: bool,
    /// The sender reaches a majority, both ways, itself included.
    pub reaches_quorum: bool,
    /// The sender's disk is well.
    pub disk_well: bool,
    /// The ballot of the leader that the sender follows.
    pub follows: Option<Ballot>,
    /// Whether the sender heard that leader *directly* in its last rounds, well and reaching a quorum: it vouches for it.
    pub vouches: bool,
    /// The higher the better placed to lead.
    pub priority: u32,
    /// Every slot below is applied at the sender.
    pub applied: Slot,
    /// Every slot below is known chosen and held at the sender.
    pub chosen_prefix: Slot,
    /// The chosen prefix that the sender would know of after a crash now.
    pub durable_prefix: Slot,
    /// Values below may have been dropped at the sender.
    pub chosen_below: Slot,
    /// The cumulative acknowledgement, repeated.
    pub accepted: Option<Accepted>,
}

/// The round of the receiver that the sender heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// The life in which that round was numbered.
    pub life: u64,
    /// The round.
    pub round: u64,
    /// How long the sender has held it, so that the receiver can tell the round trip.
    pub held_ns: u64,
}

/// What a leader says of itself in its heartbeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading {
    /// Its ballot.
    pub ballot: Ballot,
    /// The ballot's first slot: everything below was chosen before it.
    pub first: Slot,
    /// Its chosen index: it knows every slot below as chosen.
    pub chosen: Slot,
}

/// Are you formatted and blank? From the lowest-numbered initial member, itself blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAsk {
    /// The number of this round of questions: no other round has it, whoever asks. Not 0.
    pub round: u64,
}

/// What a replica without a list is; also sent to a formed replica that speaks to one without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAnswer {
    /// To whom it is said: an answer given to an earlier incarnation is not an answer.
    pub asker: Incarnation,
    /// The round that it answers; 0 when it was not asked.
    pub round: u64,
    /// The directory holds no state, and no list.
    pub blank: bool,
    /// The number under which it is said, to be repeated with the list; 0 if not blank.
    pub statement: u64,
}

/// The list of the group's first members, durable at the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// In order of id.
    pub members: Vec<Member>,
    /// The newest number under which the receiver told the sender that it is blank (a question's round is
    /// one): so it is seen that the sender held the list after that.
    pub statement: u64,
}

/// Phase 1 for every slot from `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// The candidate's ballot, durable as its own promise.
    pub ballot: Ballot,
    /// The candidate's chosen prefix: it needs nothing below.
    pub first: Slot,
}

/// A promise to accept nothing below `ballot`, and what was accepted before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The ballot promised, durable.
    pub ballot: Ballot,
    /// Values below may have been dropped here.
    pub chosen_below: Slot,
    /// All slots below are chosen, and held here as chosen unless below `chosen_below`.
    pub chosen_prefix: Slot,
    /// The accepted slots from `max(first, chosen_prefix)` on, in order.
    pub slots: Vec<PromisedSlot>,
    /// Slots for which this replica may have accepted something that damage has taken. In order,
    /// disjoint, none of them in `slots`.
    pub unknown: Vec<UnknownSlots>,
}

/// One accepted slot, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromisedSlot {
    /// The slot.
    pub slot: Slot,
    /// The ballot in which it was accepted.
    pub ballot: Ballot,
    /// The value's length.
    pub len: u32,
    /// The value's CRC32C.
    pub checksum: u32,
}

/// Slots that are *unknown*, which is not the same as never accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSlots {
    /// Half-open; the end may be [`Slot::MAX`].
    pub slots: Range<Slot>,
    /// The highest ballot in which one of them can have been accepted here: the one in a surviving header,
    /// else what was promised when the damage was found. `None` from the owner at opening: not known.
    pub ballot: Option<Ballot>,
}

/// The sender has promised more than the ballot of what it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// The ballot that was refused.
    pub ballot: Ballot,
    /// What the sender has promised.
    pub promised: Ballot,
}

/// Phase 2 for one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The ballot's first slot: cumulative acknowledgements count from it.
    pub first: Slot,
    /// From here on phase 1 found that nothing of an older ballot can have been chosen, nor ever will be.
    pub free: Slot,
    /// The slot.
    pub slot: Slot,
    /// The leader's chosen index.
    pub chosen: Slot,
    /// The value.
    pub value: Value,
}

/// Every slot from the ballot's first up to `upto` is durable at the sender *as accepted in `ballot`*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The ballot.
    pub ballot: Ballot,
    /// The sender's life, see [`Heartbeat::life`].
    pub life: u64,
    /// Exclusive.
    pub upto: Slot,
    /// Exclusive; what has come, durable or not: it need not be sent again. `upto <= received`.
    pub received: Slot,
}

/// To the leader of `ballot`: an Accept was below the sender's `chosen_below`; that slot is chosen, and was
/// not stored. From the leader of `ballot`: its values below are dropped, no Accept of them will come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BelowChosen {
    /// The ballot of the leader.
    pub ballot: Ballot,
    /// Every slot below is chosen.
    pub chosen_below: Slot,
}

/// A request for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The asker's number for it; a later one replaces an earlier one of the same kind.
    pub id: u64,
    /// Which.
    pub what: FetchWhat,
}

/// Which values are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchWhat {
    /// Chosen values of a range, in order, at most about `bytes_max` of them.
    Chosen {
        /// Half-open.
        slots: Range<Slot>,
        /// The server stops after the value that reaches it.
        bytes_max: u32,
    },
    /// The value accepted in one slot and ballot, for a takeover.
    Accepted {
        /// The slot.
        slot: Slot,
        /// The ballot in which it was accepted.
        ballot: Ballot,
    },
}

/// One answer to a [`Fetch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchReply {
    /// The request's number.
    pub id: u64,
    /// What the sender can give.
    pub answer: FetchAnswer,
}

/// What the sender of a [`FetchReply`] can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchAnswer {
    /// A value known chosen at the sender.
    Chosen {
        /// The slot.
        slot: Slot,
        /// The ballot in which the sender holds it.
        ballot: Ballot,
        /// The value.
        value: Value,
    },
    /// A value merely accepted at the sender: good for re-proposing, never to be stored as it is.
    Accepted {
        /// The slot.
        slot: Slot,
        /// The ballot in which it was accepted.
        ballot: Ballot,
        /// The value.
        value: Value,
    },
    /// The sender holds no value accepted in this slot and ballot, or can't read it: a takeover must do
    /// without it, if nobody else has it.
    Absent {
        /// The slot.
        slot: Slot,
        /// The ballot that was asked for.
        ballot: Ballot,
    },
    /// The range is answered up to here (exclusive); ask again for more.
    End {
        /// The first slot not answered.
        next: Slot,
        /// Values below may have been dropped here: nothing below can be had as a value.
        chosen_below: Slot,
    },
}

/// Has anybody promised more than `ballot`?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The leader's number for this round of questions.
    pub round: u64,
}

/// Not I, when I got your question of that round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The round; it answers every earlier round too.
    pub round: u64,
}

/// Stand at once: the leader of `ballot` wants to be succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The leader's chosen index.
    pub chosen: Slot,
}

/// How far does everything acknowledged so far reach?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskIndex {
    /// The asker's life: an answer to another one is not an answer to it.
    pub life: u64,
    /// The asker's number for the question, within that life.
    pub token: u64,
}

/// The answer to an [`AskIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The asker's life.
    pub life: u64,
    /// The asker's number for the question.
    pub token: u64,
    /// Every slot that was acknowledged before the question came lies below; none: whoever answers does not serve.
    pub index: Option<Slot>,
}
