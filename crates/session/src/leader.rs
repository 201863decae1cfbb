//! Who leads, as far as anybody said.

use std::fmt;
use std::sync::Arc;

use paxlog_wire::LeaderHint;

use crate::rng::Rng;

/// A replica's address for clients, as the profile or a leader hint has it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server(pub Arc<str>);

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Follows the leader by the ballots of what replicas say, and goes round the servers where nobody
/// knows one.
#[derive(Clone, Debug)]
pub struct LeaderTracker {
    /// Those of the profile, then those that hints added.
    servers: Vec<Server>,
    /// The server to try where no leader is known.
    turn: usize,
    /// The highest ballot heard of, and where its leader is reached; none once that failed.
    ballot: u64,
    leader: Option<Server>,
}

impl LeaderTracker {
    /// With the addresses of the profile, in any order; the first to try is drawn by `seed`.
    pub fn new(servers: impl IntoIterator<Item = impl AsRef<str>>, seed: u64) -> LeaderTracker {
        let servers: Vec<Server> = servers
            .into_iter()
            .map(|server| Server(server.as_ref().into()))
            .collect();
        let turn = Rng::new(seed).below(servers.len() as u64) as usize;
        LeaderTracker {
            servers,
            turn,
            ballot: 0,
            leader: None,
        }
    }

    /// Takes a hint; older ballots than the highest heard of are ignored. True if it is news: a
    /// higher ballot, or another server than was known.
    pub fn note(&mut self, hint: &LeaderHint) -> bool {
        if hint.ballot < self.ballot {
            return false;
        }
        let known = hint
            .addresses
            .iter()
            .find_map(|address| self.servers.iter().find(|server| *server.0 == **address));
        let server = match (known, hint.addresses.first()) {
            (Some(known), _) => known.clone(),
            (None, Some(address)) if self.servers.len() < SERVERS_MAX => {
                let added = Server(address.as_str().into());
                self.servers.push(added.clone());
                added
            }
            _ => return false,
        };
        let news = hint.ballot > self.ballot || self.leader.as_ref() != Some(&server);
        self.ballot = hint.ballot;
        self.leader = Some(server);
        news
    }

    /// The leader could not be reached, or said that it does not lead.
    pub fn forget(&mut self, server: &Server) {
        if self.leader.as_ref() == Some(server) {
            self.leader = None;
        }
    }

    /// The leader, if it is known.
    pub fn leader(&self) -> Option<&Server> {
        self.leader.as_ref()
    }

    /// The leader, or else the next server in turn; none if there are no servers.
    pub fn next_server(&mut self) -> Option<Server> {
        match &self.leader {
            Some(leader) => Some(leader.clone()),
            None => self.next_in_turn(),
        }
    }

    /// The next server in turn, whoever leads; none if there are no servers.
    pub fn next_in_turn(&mut self) -> Option<Server> {
        let server = self.servers.get(self.turn % self.servers.len().max(1))?;
        self.turn = (self.turn + 1) % self.servers.len();
        Some(server.clone())
    }

    /// All servers heard of.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }
}

/// A group has few replicas; a hint adds no more than this.
const SERVERS_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(ballot: u64, address: &str) -> LeaderHint {
        LeaderHint {
            ballot,
            replica: 1,
            addresses: vec![address.into()],
        }
    }

    #[test]
    fn the_highest_ballot_names_the_leader() {
        let mut tracker = LeaderTracker::new(["a", "b", "c"], 1);
        assert!(tracker.note(&hint(5, "b")));
        assert!(!tracker.note(&hint(4, "a")));
        assert!(!tracker.note(&hint(5, "b")));
        assert!(tracker.note(&hint(6, "b")));
        assert_eq!(tracker.next_server(), Some(Server("b".into())));
        tracker.forget(&Server("a".into()));
        assert!(tracker.leader().is_some());
        tracker.forget(&Server("b".into()));
        assert!(tracker.leader().is_none());
        assert!(!tracker.note(&hint(5, "a")));
        assert!(tracker.note(&hint(6, "b")));
    }

    #[test]
    fn without_a_leader_every_server_has_its_turn() {
        let mut tracker = LeaderTracker::new(["a", "b", "c"], 9);
        let mut seen: Vec<_> = (0..3).filter_map(|_| tracker.next_server()).collect();
        seen.sort();
        assert_eq!(seen, ["a", "b", "c"].map(|address| Server(address.into())));
        assert_eq!(LeaderTracker::new([""; 0], 1).next_server(), None);
    }

    #[test]
    fn a_leader_that_the_profile_does_not_name_is_added() {
        let mut tracker = LeaderTracker::new(["a"], 9);
        assert!(tracker.note(&hint(1, "d")));
        assert_eq!(tracker.servers().len(), 2);
    }
}
