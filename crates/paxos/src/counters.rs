//! How often what happened: for metrics, and for tests that must know what they reached.

/// Counted since the start of this life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Began phase 1.
    pub stood: u64,
    /// Finished phase 1.
    pub led: u64,
    /// Stopped leading.
    pub stepped_down: u64,
    /// Slots proposed again after phase 1, with the value found.
    pub adopted: u64,
    /// Slots filled with a no-op after phase 1 though a later one was held.
    pub holes_filled: u64,
    /// Slots decided although a promise did not know them.
    pub decided_despite_unknown: u64,
    /// Phase 1 had a quorum and could not decide.
    pub blocked_by_unknown: u64,
    /// Promises given that named unknown slots.
    pub promised_unknown: u64,
    /// Took over again, since a value that phase 1 had found could not be had.
    pub prepared_again: u64,
    /// Found that replicas which had promised values gave none, to do without them or to hand over.
    pub left_out: u64,
    /// Values fetched from others to be proposed again.
    pub takeover_fetched: u64,
    /// Chosen values fetched from others.
    pub chosen_fetched: u64,
    /// Chosen values read and given to others.
    pub chosen_served: u64,
    /// Values read back from the own log for a follower that was behind.
    pub fed_from_log: u64,
    /// Accepts below `chosen_below` answered.
    pub below_chosen: u64,
    /// Followers sent again what had not come.
    pub rewound: u64,
    /// Hand-overs asked of others.
    pub handed_over: u64,
    /// Hand-overs begun because nothing was acknowledged for long although a majority was reached.
    pub stuck: u64,
    /// Hand-overs begun because this leader lacked chosen values that another one had.
    pub behind: u64,
    /// Hand-overs taken.
    pub took_over: u64,
    /// A follower's new life held less than it had acknowledged.
    pub lost_ends: u64,
    /// Accepts that came out of order.
    pub out_of_order: u64,
}
