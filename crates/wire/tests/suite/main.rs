//! The tests of this crate from outside: one binary, a module a theme.

mod golden;
mod properties;
mod samples;
