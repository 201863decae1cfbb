//! Clients that delete logs, in the midst of what others do to them; whoever appends next makes them again.

use paxlog_session::Change;

use super::*;
use crate::history::Kind;

/// The mean time between two deletions.
const EVERY: u64 = 1_500 * MS;

impl World {
    pub(super) fn schedule_deletion(&mut self) {
        let after = self.clients.deletion.exponential(EVERY);
        self.schedule_client(MS + after, Happening::Delete);
    }

    /// Some client deletes a log, most times the last: others show what they show without.
    pub(super) fn delete(&mut self) {
        let Clients {
            deletion, seats, ..
        } = &mut self.clients;
        let log = match deletion.chance(80) {
            true => self.plan.logs - 1,
            false => deletion.below(self.plan.logs),
        } as usize;
        let seat = deletion.below(seats.len() as u64) as usize;
        // For a while it may be nobody's: its name, and whatever else tells that it once was, must last.
        let shunned = deletion.one_of(&[0, 0, 300 * MS, 3 * SECOND]);
        let client = seats[seat];
        self.clients.shunned[log] = self.now + shunned;
        // What is made next is not sealed.
        self.clients.sealed.remove(&log);
        self.change(client, log, Kind::Delete, Change::Delete);
    }

    /// Whether nobody appends to it for now.
    pub(super) fn is_shunned(&self, log: usize) -> bool {
        self.clients.shunned[log] > self.now
    }

    /// A log was deleted.
    pub(super) fn deleted(&mut self, log: usize, id: Option<u64>, again: bool) {
        self.coverage.hit("a log was deleted");
        if again {
            self.coverage.hit("a deletion was asked for again");
        }
        if id == Some(self.clients.ids[log]) {
            self.clients.tails[log] = 0;
        }
        let in_flight = |actor: &Actor| match &actor.role {
            Role::Append {
                log: of, under_way, ..
            } => *of == log && !under_way.is_empty(),
            _ => false,
        };
        if self.clients.actors.iter().any(in_flight) {
            self.coverage
                .hit("a log was deleted with appends under way");
        }
    }
}
