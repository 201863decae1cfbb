//! Replicas embedded in this process, seen by clients made by hand.

mod client;
mod disks;
mod faulty;
mod group;
mod streams;
mod support;
