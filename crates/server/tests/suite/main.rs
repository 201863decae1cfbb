//! Replicas embedded in this process, seen by clients made by hand.

mod client;
mod group;
mod streams;
mod support;
