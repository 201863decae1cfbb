//! What clients do besides appending, trimming and reading: fences, cursors, settings.

use paxlog_session::{Change, Command, Consistency as Whom};
use paxlog_wire::client::{ConfigChange, Expected as Wanted, LogRef, Query};

use super::*;
use crate::history::{Call, ClientId, Consistency, Expected, Kind};

/// How long such a call may take.
const DEADLINE: u64 = 10 * SECOND;
/// Acts, of a hundred, that are of this sort where the plan has any.
const SHARE: u64 = 12;
/// The log whose appends are fenced.
pub(super) const FENCED: usize = 0;

impl World {
    /// Does something of this sort now and then; whether it did.
    pub(super) fn act_by_contract(&mut self, client: usize) -> bool {
        let (fences, cursors, retention) =
            (self.plan.fences, self.plan.cursors, self.plan.retention);
        if !(fences || cursors || retention) {
            return false;
        }
        let logs = self.plan.logs;
        let rng = &mut self.clients.clients[client].rng;
        if !rng.chance(SHARE) {
            return false;
        }
        let log = rng.below(logs) as usize;
        match rng.below(10) {
            0..=1 if fences => self.fence(client),
            2..=5 if cursors => self.set_cursor(client, log),
            6 if cursors && rng.chance(20) => self.delete_cursor(client, log),
            7..=8 if cursors => self.ask_cursor(client, log),
            9 if retention && rng.chance(20) => self.retain(client, logs as usize - 1),
            _ => return false,
        }
        true
    }

    /// Takes the fence over, or takes it away.
    fn fence(&mut self, client: usize) {
        let one = &mut self.clients.clients[client];
        one.next_payload += 1;
        let token = match one.rng.chance(15) {
            true => None,
            false => Some(format!("{client}.{}", one.next_payload)),
        };
        let (believed, about) = (one.fences[FENCED].clone(), one.rng.below(3));
        let (expect, wanted) = match (about, believed) {
            (0, None) => (Expected::Absent, Wanted::Absent),
            (0, Some(fence)) => (Expected::Is(fence.clone()), Wanted::Is(fence)),
            _ => (Expected::Any, Wanted::Any),
        };
        let kind = Kind::Fence {
            token: token.clone(),
            expect,
        };
        let change = Change::Fence {
            token,
            expect: wanted,
        };
        self.change(client, FENCED, kind, change);
    }

    fn cursor_name(&mut self, client: usize) -> String {
        format!("c{}", self.clients.clients[client].rng.below(2))
    }

    fn set_cursor(&mut self, client: usize, log: usize) {
        let name = self.cursor_name(client);
        let tail = self.clients.tails[log];
        let one = &mut self.clients.clients[client];
        // Beyond the tail it is refused.
        let at = one.rng.below(tail + 2);
        let known = one.cursors.get(&(log, name.clone())).copied();
        let (expect, wanted) = match (one.rng.below(3), known) {
            (0, _) => (Expected::Any, Wanted::Any),
            (_, None) => (Expected::Absent, Wanted::Absent),
            (_, Some(at)) => (Expected::Is(at), Wanted::Is(at)),
        };
        let kind = Kind::SetCursor {
            name: name.clone(),
            at,
            expect,
        };
        let change = Change::SetCursor {
            name,
            at,
            expect: wanted,
        };
        self.change(client, log, kind, change);
    }

    fn delete_cursor(&mut self, client: usize, log: usize) {
        let name = self.cursor_name(client);
        let kind = Kind::DeleteCursor { name: name.clone() };
        self.change(client, log, kind, Change::DeleteCursor { name });
    }

    /// Lets the cluster trim the log by itself: what is older than two seconds, or more than a few kilobytes.
    fn retain(&mut self, client: usize, log: usize) {
        let kind = Kind::Alter { retention: true };
        let change = Change::Alter(ConfigChange {
            retention_age_ns: Some(2 * SECOND),
            retention_bytes: Some(16 << 10),
            ..ConfigChange::default()
        });
        self.change(client, log, kind, change);
    }

    /// From here on nothing goes by itself.
    pub(super) fn retain_no_more(&mut self, client: usize) {
        let change = Change::Alter(ConfigChange {
            retention_age_ns: Some(0),
            retention_bytes: Some(0),
            ..ConfigChange::default()
        });
        let log = self.plan.logs as usize - 1;
        self.change(client, log, Kind::Alter { retention: false }, change);
    }

    /// Does something to a log, and takes it down.
    pub(super) fn change(&mut self, client: usize, log: usize, kind: Kind, what: Change) {
        let name = self.clients.logs[log].clone();
        let token = self.clients.token();
        let call = Call::new(&name, kind);
        let who = ClientId(client as u64);
        let op = self.clients.recorder.begin(self.now, who, call);
        let actor = self.clients.clients[client].commands;
        let Role::Command { machine, under_way } = &mut self.clients.actors[actor].role else {
            return;
        };
        under_way.insert(token.0, op);
        let command = Command::on(&name, what);
        machine.push(self.now, token, command, self.now + DEADLINE);
        self.settle(actor);
    }

    fn ask_cursor(&mut self, client: usize, log: usize) {
        let name = self.cursor_name(client);
        let rng = &mut self.clients.clients[client].rng;
        let (linearizable, leader) = (rng.half(), rng.half());
        let consistency = match linearizable {
            true => Consistency::Linearizable,
            false => Consistency::Local,
        };
        let of_log = self.clients.logs[log].clone();
        let token = self.clients.token();
        let call = Call::new(
            &of_log,
            Kind::Cursor {
                name: name.clone(),
                consistency,
            },
        );
        let who = ClientId(client as u64);
        let op = self.clients.recorder.begin(self.now, who, call);
        let actor = self.clients.clients[client].queries;
        let Role::Query { machine, under_way } = &mut self.clients.actors[actor].role else {
            return;
        };
        under_way.insert(token.0, op);
        // The answer does not say which log of that name it is about.
        let log = match (self.plan.deletes, self.clients.ids[log]) {
            (true, id) if id > 0 => {
                self.clients.recorder.about(op, id);
                LogRef::Id(id)
            }
            _ => LogRef::Name(of_log),
        };
        let query = Query::Cursor {
            log,
            name,
            linearizable,
        };
        let whom = match linearizable && leader {
            true => Whom::Leader,
            false => Whom::Any,
        };
        machine.ask(self.now, token, query, whom, self.now + DEADLINE);
        self.settle(actor);
    }
}
