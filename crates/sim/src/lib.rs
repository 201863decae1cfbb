//! What a cluster did, as a history, and whether it kept its promises.
//!
//! | module | is |
//! |---|---|
//! | [`history`] | the model of a recorded history, its recorder and its file format |

pub mod history;
