//! One stream at a time to whoever should answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use paxlog_wire::{LeaderHint, Retry};

use crate::backoff::Backoff;
use crate::{Effect, Error, LeaderTracker, Nanos, Server, StreamId};

/// Whom a link goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The leader, or whoever may know it.
    Leader,
    /// Any replica; another one after each failure.
    Any,
    /// The leader if it is known, since it knows first what was appended; else any replica. What was
    /// opened stays where it is.
    Freshest,
    /// That one.
    Only(Server),
}

/// The current stream, if there is one, and when to open the next.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) tracker: LeaderTracker,
    pub(crate) route: Route,
    backoff: Backoff,
    current: Option<Current>,
    /// Nothing is opened or sent before.
    hold_until: Option<Nanos>,
    /// Servers that failed in a way that no retry there mends, since one last worked.
    hopeless: BTreeSet<Server>,
    /// What each server refused with last, or why it was not reached, since something last worked.
    said: BTreeMap<Server, String>,
}

#[derive(Debug)]
struct Current {
    stream: StreamId,
    server: Server,
    up: bool,
    /// When it was opened, or something last came on it.
    heard: Nanos,
}

impl Link {
    pub(crate) fn new(tracker: LeaderTracker, route: Route, seed: u64) -> Link {
        Link {
            tracker,
            route,
            backoff: Backoff::new(seed),
            current: None,
            hold_until: None,
            hopeless: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }

    /// Opens a stream if there is none and the time has come.
    pub(crate) fn ensure(&mut self, now: Nanos, streams: &mut u64, effects: &mut VecDeque<Effect>) {
        let held = self.held(now);
        if self.current.is_some() || held {
            return;
        }
        let server = match &self.route {
            Route::Leader | Route::Freshest => self.tracker.next_server(),
            Route::Any => self.tracker.next_in_turn(),
            Route::Only(server) => Some(server.clone()),
        };
        let Some(server) = server else { return };
        *streams += 1;
        let stream = StreamId(*streams);
        effects.push_back(Effect::Open {
            stream,
            server: server.clone(),
        });
        self.current = Some(Current {
            stream,
            server,
            up: false,
            heard: now,
        });
    }

    /// Whether it is too early; forgets the hold once it is over.
    pub(crate) fn held(&mut self, now: Nanos) -> bool {
        if self.hold_until.is_some_and(|until| until <= now) {
            self.hold_until = None;
        }
        self.hold_until.is_some()
    }

    pub(crate) fn hold_until(&self) -> Option<Nanos> {
        self.hold_until
    }

    /// The stream that is up.
    pub(crate) fn up(&self) -> Option<StreamId> {
        self.current
            .as_ref()
            .filter(|current| current.up)
            .map(|current| current.stream)
    }

    pub(crate) fn is_current(&self, stream: StreamId) -> bool {
        self.current
            .as_ref()
            .is_some_and(|current| current.stream == stream)
    }

    pub(crate) fn server(&self) -> Option<&Server> {
        self.current.as_ref().map(|current| &current.server)
    }

    /// Whether the stream goes to the leader, as far as anybody said.
    pub(crate) fn at_leader(&self) -> bool {
        self.server().is_some() && self.server() == self.tracker.leader()
    }

    /// True if it is the current stream that came up.
    pub(crate) fn handle_up(&mut self, now: Nanos, stream: StreamId) -> bool {
        match &mut self.current {
            Some(current) if current.stream == stream => {
                current.up = true;
                current.heard = now;
                true
            }
            _ => false,
        }
    }

    /// Something came on the current stream.
    pub(crate) fn heard(&mut self, now: Nanos) {
        if let Some(current) = &mut self.current {
            current.heard = now;
        }
    }

    /// When the current stream has been silent for so long, or has not come up in a while.
    pub(crate) fn silent_at(&self, silence: Nanos) -> Option<Nanos> {
        let current = self.current.as_ref()?;
        let patience = if current.up {
            silence
        } else {
            silence.min(OPENING_NS)
        };
        Some(current.heard.saturating_add(patience))
    }

    /// Something worked.
    pub(crate) fn worked(&mut self) {
        self.backoff.reset();
        self.hopeless.clear();
        self.said.clear();
    }

    /// The stream is gone: the next is opened after a wait. A `why` that no retry at that server
    /// mends is remembered.
    pub(crate) fn lost(&mut self, now: Nanos, why: &Error) {
        if let Some(current) = self.current.take() {
            self.tracker.forget(&current.server);
            self.said
                .insert(current.server.clone(), words(why).to_owned());
            if matches!(why.retry, Retry::Never | Retry::Elsewhere) {
                self.hopeless.insert(current.server);
            }
        }
        self.wait(now, None);
    }

    /// The current server refused.
    pub(crate) fn refused(&mut self, why: &Error) {
        if let Some(server) = self.server().cloned() {
            self.said.insert(server, words(why).to_owned());
        }
    }

    /// What each server that was tried said; none where only one could be.
    pub(crate) fn account(&self) -> Option<String> {
        let asked = !self.said.is_empty() && !matches!(self.route, Route::Only(_));
        asked.then(|| crate::error::account(self.said.iter().map(|(s, words)| (s, &**words))))
    }

    /// The same error with that for its message.
    pub(crate) fn told(&self, error: Error) -> Error {
        match self.account() {
            Some(message) => Error { message, ..error },
            None => error,
        }
    }

    /// No retry at that server mends it.
    pub(crate) fn hopeless_at(&mut self, server: Server) {
        self.hopeless.insert(server);
    }

    /// Whether every server failed in a way that no retry mends.
    pub(crate) fn is_hopeless(&self) -> bool {
        match &self.route {
            Route::Only(server) => self.hopeless.contains(server),
            Route::Leader | Route::Freshest | Route::Any => {
                let servers = self.tracker.servers();
                servers.iter().all(|server| self.hopeless.contains(server))
            }
        }
    }

    /// Nothing is opened or sent for a while: as long as was asked for, or longer each time.
    pub(crate) fn wait(&mut self, now: Nanos, asked: Option<Nanos>) {
        let wait = self.backoff.step().max(asked.unwrap_or(0));
        self.hold_until = Some(now.saturating_add(wait));
    }

    /// Gives the current stream up.
    pub(crate) fn close(&mut self, effects: &mut VecDeque<Effect>) -> Option<Server> {
        let current = self.current.take()?;
        effects.push_back(Effect::Close {
            stream: current.stream,
        });
        Some(current.server)
    }

    /// Gives the current stream up because of how its server behaves.
    pub(crate) fn abandon(&mut self, effects: &mut VecDeque<Effect>) -> String {
        let server = self.close(effects);
        if let Some(server) = &server {
            self.tracker.forget(server);
            self.said.insert(server.clone(), "no answer".to_owned());
        }
        server.map_or_else(String::new, |server| server.to_string())
    }

    /// Takes a hint. True if the current stream goes elsewhere although the leader is known now:
    /// the caller closes it and everything is sent there at once.
    pub(crate) fn note(&mut self, hint: &LeaderHint) -> bool {
        if !self.tracker.note(hint) || self.route != Route::Leader {
            return false;
        }
        self.hold_until = None;
        self.backoff.reset();
        self.current.is_some() && !self.at_leader()
    }
}

fn words(error: &Error) -> &str {
    match error.message.as_str() {
        "" => error.code.name(),
        message => message,
    }
}

/// A handshake takes a few round trips; a replica that is there has done it by then.
const OPENING_NS: Nanos = 1_000_000_000;
