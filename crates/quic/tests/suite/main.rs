//! The tests of this crate from outside, over loopback: one binary, a module a theme.

mod certs;
mod handshakes;
mod hostile;
mod links;
mod streams;
mod support;
