//! Which bug is awake, in this thread.

use std::cell::Cell;

thread_local! {
    static AWAKE: Cell<u32> = const { Cell::new(0) };
}

/// Wakes a bug in this thread, and puts the one before to sleep; 0 is none.
pub fn set(bug: u32) {
    AWAKE.set(bug);
}

/// Whether this bug is awake in this thread.
#[inline]
#[must_use]
pub fn on(bug: u32) -> bool {
    AWAKE.get() == bug
}
