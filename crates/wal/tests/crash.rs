//! The log on a simulated disk: power cuts at any moment, any subset of unsynced sectors, bytes
//! flipped anywhere.
//!
//! Fault model: as `paxlog_wal::sim` says. The worst mistakes looked for: a frame that was reported
//! durable is gone without a word; bytes that were never appended come back; what a cut dropped
//! comes back later; an honest crash is called damage.

mod crash {
    pub(crate) mod exhaustive;
    pub(crate) mod faults;
    pub(crate) mod golden;
    pub(crate) mod model;
    pub(crate) mod random;
}
