//! Following a log.

use crate::Error;
use crate::types::TailEvent;

/// A stream of what comes, pushed by a replica within the credit it was given; when that replica
/// fails, it goes on at another from the same offset.
#[derive(Debug)]
pub struct Tail {}

impl Tail {
    /// Waits for the next event.
    ///
    /// # Errors
    /// `NotFound`, `LogDeleted`, `Corrupt`; or, when no replica answered for the deadline, why.
    pub async fn next(&mut self) -> Result<TailEvent, Error> {
        Ok(TailEvent::Sealed { tail: 0 })
    }

    /// The offset of the next record to come.
    pub fn position(&self) -> u64 {
        0
    }
}
