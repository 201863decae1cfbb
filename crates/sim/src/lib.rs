//! What a cluster did, as a history, and whether it kept its promises.
//!
//! | module | is |
//! |---|---|
//! | [`history`] | the model of a recorded history, its recorder and its file format |
//! | [`check`](mod@check) | the checker: judges a history in n log n, and names what contradicts |

pub mod check;
pub mod history;
