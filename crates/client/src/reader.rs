//! Reading up to a bound.

use crate::Error;
use crate::types::Batch;

/// A read that goes on until its bound; on another replica if one fails.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// The next records; none at the end.
    ///
    /// # Errors
    /// `Trimmed` in strict reads; `Corrupt`; whatever kept the cluster from answering.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, Error> {
        Ok(None)
    }

    /// The offset to read on from.
    pub fn next(&self) -> u64 {
        0
    }

    /// The tail, as last heard.
    pub fn tail(&self) -> u64 {
        0
    }
}
