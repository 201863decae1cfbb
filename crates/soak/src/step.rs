//! What a step is.

use std::path::PathBuf;

use anyhow::Result;
use bench::Program;

/// One of the soak's steps.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it is chosen by.
    pub(crate) name: &'static str,
    /// What it shows.
    pub(crate) what: &'static str,
    /// Gives what was found in a sentence.
    pub(crate) run: fn(&Context) -> Result<String>,
}

/// What a step may use.
pub(crate) struct Context<'a> {
    /// Its name.
    pub(crate) step: &'static str,
    /// The program.
    pub(crate) program: &'a Program,
    /// Its own directory; removed afterwards.
    pub(crate) dir: PathBuf,
    /// What is drawn is drawn from this.
    pub(crate) seed: u64,
    /// Small numbers.
    pub(crate) quick: bool,
}

impl Context<'_> {
    /// The number for a soak, or the small one.
    pub(crate) fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}
