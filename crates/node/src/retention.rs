//! Retention: the leader looks at what its index says is older or more than a log's settings keep, and orders a trim.
//!
//! The trim is a command like any other, so every replica drops the same records; when it is ordered, and how exactly
//! it meets the settings, is the leader's to say. Nobody numbers it: to order it twice trims once.

use paxlog_log::{Body, Command, LogConfig, LogId, Offset, Timestamp};
use paxlog_paxos::Role;

use crate::event::Now;
use crate::node::Node;

/// How often to look.
const LOOK_NS: u64 = 1_000_000_000;

impl Node {
    /// Orders the trims that are due, if this replica leads.
    pub(crate) fn retain(&mut self, now: Now) {
        if now.mono < self.next_retention {
            return;
        }
        self.next_retention = now.mono + LOOK_NS;
        let serves = matches!(self.paxos.role(), Role::Leader { ready: true });
        // What was due before and found no way into a value may not be due any more.
        self.commands.set_own(match serves && !self.handing_over {
            true => self.trims_due(now),
            false => Vec::new(),
        });
    }

    fn trims_due(&self, now: Now) -> Vec<Command> {
        let due = self
            .state
            .retaining()
            .filter_map(|(log, config)| Some((log, self.beyond_retention(now, log, config)?)));
        due.map(|(log, to)| Command {
            origin: None,
            body: Body::Retain { log, to },
        })
        .collect()
    }

    fn beyond_retention(&self, now: Now, log: LogId, config: LogConfig) -> Option<Offset> {
        let older = match config.retention_age_ns {
            0 => 0,
            age => now.wall.saturating_sub(age),
        };
        let bytes_max = config.retention_bytes;
        let to = self
            .index
            .beyond_retention(log, Timestamp(older), bytes_max)?;
        let trim_point = self.state.describe(log)?.trim_point;
        (to > trim_point).then_some(to)
    }
}
