//! A group of one over a real directory: what its core asks of the log is done
//! at once, so that a test says when it starts, stops and finds damage.

mod damage;
mod values;
mod world;
