//! What can be wrong with a history: a variant a rule.

use serde::Serialize;

use super::witness::Witness;

/// A promise that was broken, with the operations that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Violation {
    /// The history shows nothing.
    Vacuous {
        /// What is missing.
        why: String,
    },
    /// A log was never read whole.
    NotSettled {
        /// The log.
        log: String,
    },
    /// Two appends of a log have the same payload, so nothing can be told of them: the recorder's mistake.
    PayloadRepeated {
        /// The log.
        log: String,
        /// The payload.
        payload: String,
        /// One append.
        one: Box<Witness>,
        /// The other; maybe the same.
        two: Box<Witness>,
    },
    /// Offsets have a hole or a repeat.
    NotDense {
        /// The log.
        log: String,
        /// The offset that belongs there.
        expected: u64,
        /// The offset that came.
        found: u64,
        /// Who was given it.
        by: Box<Witness>,
    },
    /// A record that nobody appended.
    NeverAppended {
        /// The log.
        log: String,
        /// Where.
        offset: u64,
        /// What.
        payload: String,
        /// Who was given it.
        by: Box<Witness>,
    },
    /// A record is there twice.
    Twice {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// Where one of its records is.
        first: u64,
        /// And where it is again.
        second: u64,
        /// Who was given it there.
        by: Box<Witness>,
    },
    /// A batch is not whole, or not in its order.
    Torn {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// Which of its records is out of its place, from 0.
        part: u64,
        /// The offset where that was found, or should be.
        offset: u64,
    },
    /// Acknowledged, and not there.
    Lost {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// The append that stands at its place, if one does.
        instead: Option<Box<Witness>>,
        /// Who did not find it.
        by: Box<Witness>,
    },
    /// Acknowledged at one place, and at another.
    Misplaced {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// Where it is.
        found: u64,
        /// The append that stands at its place, if one does.
        instead: Option<Box<Witness>>,
    },
    /// An append stands elsewhere than at the tail that it was conditioned on.
    AgainstCondition {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// Where it is.
        found: u64,
    },
    /// A fence or a cursor is shown as nobody can have set it.
    Register {
        /// The log.
        log: String,
        /// Which, and how.
        what: String,
        /// Who shows or sets it before.
        one: Box<Witness>,
        /// Who contradicts that.
        two: Box<Witness>,
    },
    /// A receipt that cannot be right by itself.
    WrongReceipt {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// What is wrong.
        why: String,
    },
    /// Two appends were acknowledged at the same offset.
    SamePlace {
        /// The log.
        log: String,
        /// The offset.
        offset: u64,
        /// One append.
        one: Box<Witness>,
        /// The other.
        two: Box<Witness>,
    },
    /// Called not applied, and there.
    AppliedNotApplied {
        /// The log.
        log: String,
        /// The append.
        append: Box<Witness>,
        /// Where it is.
        offset: u64,
    },
    /// A reader was given something else than the log holds.
    ReadDiffers {
        /// The log.
        log: String,
        /// Where.
        offset: u64,
        /// What the reader was given.
        given: String,
        /// What the log holds there.
        holds: String,
        /// The reader.
        read: Box<Witness>,
        /// The append of what it was given, if there is one.
        append: Option<Box<Witness>>,
    },
    /// A reader was given a record that then was not in the log.
    Unseen {
        /// The log.
        log: String,
        /// Where it was.
        offset: u64,
        /// The reader.
        read: Box<Witness>,
        /// The append.
        append: Box<Witness>,
    },
    /// A replica has something else than the log holds.
    ReplicaDiffers {
        /// The log.
        log: String,
        /// The replica.
        replica: u64,
        /// Where.
        offset: u64,
        /// What the replica has there.
        given: String,
        /// What the log holds there.
        holds: String,
    },
    /// Two answers to one command.
    AnswersDiffer {
        /// The log.
        log: String,
        /// The command.
        command: Box<Witness>,
        /// One answer.
        one: String,
        /// Another.
        two: String,
    },
    /// Refused for a reason that was none.
    WrongRefusal {
        /// The log.
        log: String,
        /// The command.
        command: Box<Witness>,
        /// Why it should not have been.
        why: &'static str,
    },
    /// A timestamp is less than that of an earlier record.
    TimestampBack {
        /// The log.
        log: String,
        /// The append of the earlier record.
        before: Box<Witness>,
        /// Its timestamp.
        timestamp: u64,
        /// The append of the later record.
        after: Box<Witness>,
        /// Its lower timestamp.
        lower: u64,
    },
    /// Two timestamps of the same record.
    TimestampsDiffer {
        /// The log.
        log: String,
        /// The record.
        offset: u64,
        /// One.
        one: u64,
        /// Who was told that.
        by: Box<Witness>,
        /// Another.
        two: u64,
        /// Who was told that.
        and: Box<Witness>,
    },
    /// A tail within a batch, or beyond the log.
    NoBatchEnd {
        /// The log.
        log: String,
        /// The tail.
        tail: u64,
        /// Who was told it.
        by: Box<Witness>,
        /// The append that it cuts, if there is one.
        append: Option<Box<Witness>>,
    },
    /// What was over before something else was called is ordered after it: stale, or reordered.
    Order {
        /// The log.
        log: String,
        /// By what they are ordered.
        by: &'static str,
        /// It was over first …
        first: Box<Witness>,
        /// … and this, which began later, is ordered before it.
        second: Box<Witness>,
    },
    /// A reader was shown what was only called when its read was over.
    Early {
        /// The log.
        log: String,
        /// The reader.
        read: Box<Witness>,
        /// What it saw the effect of.
        second: Box<Witness>,
    },
    /// Two appends of one pipeline changed places.
    Pipeline {
        /// The log.
        log: String,
        /// It was begun first, and stands behind …
        first: Box<Witness>,
        /// … this one.
        second: Box<Witness>,
    },
    /// Two commands with the same version.
    VersionTwice {
        /// The log.
        log: String,
        /// The version.
        version: u64,
        /// One command.
        one: Box<Witness>,
        /// The other.
        two: Box<Witness>,
    },
    /// Two answers that no one sequence of commands can have given; or one that none can.
    States {
        /// The log.
        log: String,
        /// What contradicts.
        what: &'static str,
        /// One; at the lower version, if they have any.
        one: Box<Witness>,
        /// The other; maybe the same.
        two: Box<Witness>,
    },
    /// The first version is the making of the log, and of nothing else.
    FirstVersion {
        /// The log.
        log: String,
        /// The version.
        version: u64,
        /// Who was told it.
        by: Box<Witness>,
    },
    /// A version that no command explains.
    VersionUnexplained {
        /// The log.
        log: String,
        /// The version.
        version: u64,
        /// Who was told of it or a higher one.
        by: Box<Witness>,
    },
    /// A command that happened, and has no place among the versions.
    NoVersionLeft {
        /// The log.
        log: String,
        /// The command, whose outcome was unknown to its caller.
        command: Box<Witness>,
        /// The lowest version that it can have.
        from: u64,
        /// The highest.
        to: u64,
    },
    /// A trim point that no trim explains.
    TrimUnexplained {
        /// The log.
        log: String,
        /// The trim point.
        trim_point: u64,
        /// Who saw it.
        by: Box<Witness>,
    },
    /// A seal that nobody asked for.
    SealUnexplained {
        /// The log.
        log: String,
        /// Who saw it.
        by: Box<Witness>,
    },
    /// A sealed log went on.
    AfterSeal {
        /// The log.
        log: String,
        /// Who was told that it is sealed.
        seal: Box<Witness>,
        /// What came after it.
        after: Box<Witness>,
    },
    /// A deleted log went on.
    AfterDelete {
        /// The log.
        log: String,
        /// Its deletion, or who saw that it was deleted.
        delete: Box<Witness>,
        /// What came after it.
        after: Box<Witness>,
    },
    /// A log is gone that nobody asked to delete.
    DeleteUnexplained {
        /// The log.
        log: String,
        /// Its id.
        id: u64,
        /// Who saw that it is gone.
        by: Box<Witness>,
    },
    /// A reader was told of a gap, or had one, where nothing was trimmed.
    GapNotTrimmed {
        /// The log.
        log: String,
        /// The first offset left out.
        from: u64,
        /// The next that was given.
        to: u64,
        /// The reader.
        read: Box<Witness>,
    },
    /// A strict read went on behind a gap.
    StrictGap {
        /// The log.
        log: String,
        /// The first offset left out.
        from: u64,
        /// The next that was given.
        to: u64,
        /// The reader.
        read: Box<Witness>,
    },
    /// A reader was given a record that is not the next one.
    Jump {
        /// The log.
        log: String,
        /// The offset that was next.
        expected: u64,
        /// The offset that came.
        found: u64,
        /// The reader.
        read: Box<Witness>,
    },
    /// A session was shown an older state than before.
    SessionBack {
        /// The log.
        log: String,
        /// The session.
        session: u64,
        /// What went back.
        what: &'static str,
        /// The earlier observation.
        first: Box<Witness>,
        /// The later one.
        second: Box<Witness>,
    },
    /// A session was shown less than it had asked for.
    BelowFloor {
        /// The log.
        log: String,
        /// The observation.
        read: Box<Witness>,
        /// The tail that it carried.
        floor: u64,
        /// The tail that it was shown.
        tail: u64,
    },
}

impl Violation {
    /// The rule's name, as in JSON.
    pub fn rule(&self) -> &'static str {
        match self {
            Violation::Vacuous { .. } => "vacuous",
            Violation::NotSettled { .. } => "not_settled",
            Violation::PayloadRepeated { .. } => "payload_repeated",
            Violation::NotDense { .. } => "not_dense",
            Violation::NeverAppended { .. } => "never_appended",
            Violation::Twice { .. } => "twice",
            Violation::Torn { .. } => "torn",
            Violation::Lost { .. } => "lost",
            Violation::Misplaced { .. } => "misplaced",
            Violation::WrongReceipt { .. } => "wrong_receipt",
            Violation::SamePlace { .. } => "same_place",
            Violation::AppliedNotApplied { .. } => "applied_not_applied",
            Violation::ReadDiffers { .. } => "read_differs",
            Violation::Unseen { .. } => "unseen",
            Violation::ReplicaDiffers { .. } => "replica_differs",
            Violation::AnswersDiffer { .. } => "answers_differ",
            Violation::WrongRefusal { .. } => "wrong_refusal",
            Violation::AgainstCondition { .. } => "against_condition",
            Violation::Register { .. } => "register",
            Violation::TimestampBack { .. } => "timestamp_back",
            Violation::TimestampsDiffer { .. } => "timestamps_differ",
            Violation::NoBatchEnd { .. } => "no_batch_end",
            Violation::Order { .. } => "order",
            Violation::Early { .. } => "early",
            Violation::Pipeline { .. } => "pipeline",
            Violation::VersionTwice { .. } => "version_twice",
            Violation::States { .. } => "states",
            Violation::FirstVersion { .. } => "first_version",
            Violation::VersionUnexplained { .. } => "version_unexplained",
            Violation::NoVersionLeft { .. } => "no_version_left",
            Violation::TrimUnexplained { .. } => "trim_unexplained",
            Violation::SealUnexplained { .. } => "seal_unexplained",
            Violation::AfterSeal { .. } => "after_seal",
            Violation::AfterDelete { .. } => "after_delete",
            Violation::DeleteUnexplained { .. } => "delete_unexplained",
            Violation::GapNotTrimmed { .. } => "gap_not_trimmed",
            Violation::StrictGap { .. } => "strict_gap",
            Violation::Jump { .. } => "jump",
            Violation::SessionBack { .. } => "session_back",
            Violation::BelowFloor { .. } => "below_floor",
        }
    }
}
