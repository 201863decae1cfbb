//! A simulated disk.

/// A simulated disk.
#[derive(Clone, Debug)]
pub struct SimDisk {}
