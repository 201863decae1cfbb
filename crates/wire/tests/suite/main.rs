//! The tests of this crate from outside: one binary, a module a theme.

mod golden;
mod page;
mod plain;
mod properties;
mod refused;
mod samples;
mod vectors;
