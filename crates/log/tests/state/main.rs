//! The state machine against a model, and what must hold for any commands.

mod commands;
mod forgetting;
mod model;
mod properties;
mod rules;
