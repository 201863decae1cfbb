//! Numbers that no other client draws.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

/// 64 bits from the keys that the standard library draws from the system, and a counter: enough to
/// tell clients apart; nothing secret rests on it.
pub(crate) fn seed() -> u64 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    RandomState::new().hash_one((
        DRAWN.fetch_add(1, Ordering::Relaxed),
        time,
        std::process::id(),
    ))
}

/// Twice as many.
pub(crate) fn nonce() -> u128 {
    u128::from(seed()) << 64 | u128::from(seed())
}
