//! How every machine of this crate is called.

use paxlog_wire::{Frame, LeaderHint};

use crate::{Effect, Error, StreamId};

/// Monotonic nanoseconds of the owner's clock; only differences matter.
pub type Nanos = u64;

/// What the owner calls one append or call by; given back with its end. Need not be unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A state machine that talks to replicas over streams it has its owner open.
///
/// The owner calls `handle_*` for what the world brings and the machine's own verbs for what the
/// user wants, then takes effects and the machine's events until there are none, then sleeps until
/// [`Machine::poll_timer`]. Events of streams that the machine closed or never opened are ignored.
pub trait Machine {
    /// The stream is open: the replica said hello, and what is sent now goes out.
    fn handle_up(&mut self, now: Nanos, stream: StreamId);

    /// A frame came on the stream.
    fn handle_frame(&mut self, now: Nanos, stream: StreamId, frame: Frame);

    /// The stream could not be opened, broke, or ended; nothing more comes on it. `why` is
    /// `Unavailable` if nothing better is known; an error that is not to be retried (wrong cluster,
    /// no common version, not allowed) counts against that server only, until every one said so.
    fn handle_down(&mut self, now: Nanos, stream: StreamId, why: Error);

    /// A replica said who leads (`ServerHello`, a push, or a reply to another machine).
    fn handle_leader(&mut self, now: Nanos, hint: &LeaderHint);

    /// Time has passed.
    fn handle_tick(&mut self, now: Nanos);

    /// When [`Machine::handle_tick`] is wanted next, at the latest.
    fn poll_timer(&self) -> Option<Nanos>;

    /// What to do next, in this order.
    fn poll_effect(&mut self) -> Option<Effect>;
}
