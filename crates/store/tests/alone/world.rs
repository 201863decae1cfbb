//! The core and its log, driven by hand.

use std::sync::Arc;

use bytes::Bytes;
use paxlog_node::{Config, Effect, Effects, Event, Found, Node, Now, RecoverError, StreamId};
use paxlog_paxos::{ClusterId, GroupId, Incarnation, ReplicaId, Role};
use paxlog_store::{annotate, checkpoint, entry_at, found, retire};
use paxlog_wal::{FrameMeta, Identity, Kind, Options, RealDisk, Wal};
use paxlog_wire::batch::{BatchBuilder, Record};
use paxlog_wire::client::{CommandBody, CommandReply, CommandRequest, Origin};

const ID: Identity = Identity {
    cluster: 1,
    replica: 1,
    wal_id: 7,
};
pub(crate) const STREAM: StreamId = StreamId(1);
pub(crate) const MS: u64 = 1_000_000;
/// Values of up to 1 MiB must fit, as in a server.
pub(crate) const SEGMENT_BYTES: u64 = 3 << 20;

pub(crate) struct Alone {
    pub(crate) node: Node,
    pub(crate) wal: Wal,
    pub(crate) now: u64,
    pub(crate) replies: Vec<CommandReply>,
    /// The lengths of the frames appended.
    pub(crate) frames: Vec<usize>,
    pub(crate) stopped: Option<String>,
    /// Whether `.idx` files and checkpoints are written.
    pub(crate) annotates: bool,
    pub(crate) checkpoints: bool,
    fx: Effects,
    /// The producer's next.
    pub(crate) sequence: u64,
    request: u64,
}

pub(crate) fn formatted() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let disk = RealDisk::new(dir.path()).expect("a directory");
    paxlog_wal::format(&disk, ID).expect("formatted");
    dir
}

pub(crate) fn look(dir: &std::path::Path) -> (Wal, Found) {
    let disk = Arc::new(RealDisk::new(dir).expect("a directory"));
    let mut options = Options::new(ID);
    options.segment_bytes = SEGMENT_BYTES;
    let (wal, recovered) = Wal::open(disk, options).expect("opened");
    let found = found(&wal, &recovered, GroupId(0)).expect("gathered");
    (wal, found)
}

impl Alone {
    pub(crate) fn open(dir: &std::path::Path) -> Result<Alone, RecoverError> {
        let (wal, found) = look(dir);
        let paxos = paxlog_paxos::Config::new(
            ClusterId(1),
            GroupId(0),
            ReplicaId(1),
            Incarnation(7),
            vec![ReplicaId(1)],
            42,
        );
        let config = Config {
            paxos,
            create_on_append: vec![String::new()],
            client_append_bytes_per_s: 0,
            addresses: vec![],
            value_bytes_target: paxlog_node::VALUE_BYTES_TARGET,
        };
        let node = Node::recover(config, found, Now { mono: 0, wall: 0 })?;
        let mut alone = Alone {
            node,
            wal,
            now: 0,
            replies: Vec::new(),
            frames: Vec::new(),
            stopped: None,
            annotates: true,
            checkpoints: true,
            fx: Effects::default(),
            sequence: 0,
            request: 0,
        };
        alone.pass(500);
        Ok(alone)
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.node.status().role, Role::Leader { ready: true })
    }

    /// Lets time go on.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += MS;
            self.turn(vec![Event::Tick]);
        }
    }

    /// One turn, and everything that follows from it.
    pub(crate) fn turn(&mut self, mut events: Vec<Event>) {
        loop {
            let now = Now {
                mono: self.now,
                wall: 1_000_000_000 + self.now,
            };
            for event in std::mem::take(&mut events) {
                self.node.step(now, event, &mut self.fx);
                self.carry_out(&mut events);
            }
            self.node.end_turn(now, &mut self.fx);
            let before = self.wal.tail();
            self.carry_out(&mut events);
            self.wal.flush();
            if before.0 > 0 && self.wal.durable() < self.wal.tail() {
                let last = paxlog_wal::Lsn(self.wal.tail().0 - 1);
                self.wal.wait_durable(last).expect("synced");
            }
            events.push(Event::Durable(self.wal.durable().0));
            if events.len() == 1 && !self.node.wants_turn() {
                self.node.step(now, events.remove(0), &mut self.fx);
                self.node.end_turn(now, &mut self.fx);
                self.carry_out(&mut events);
                if events.is_empty() && self.wal.durable() == self.wal.tail() {
                    return;
                }
            }
        }
    }

    fn carry_out(&mut self, events: &mut Vec<Event>) {
        for effect in std::mem::take(&mut self.fx.list) {
            match effect {
                Effect::Append {
                    persist,
                    group,
                    tag,
                    aux,
                    parts,
                } => {
                    let meta = FrameMeta {
                        kind: Kind::Data,
                        ..FrameMeta::data(group, tag, aux)
                    };
                    self.frames.push(parts.iter().map(Bytes::len).sum());
                    let lsn = self.wal.append(meta, &parts).expect("appended");
                    self.node.placed(persist, lsn.0);
                }
                Effect::State { persist, bytes } => {
                    let lsn = self.wal.state(bytes).expect("appended");
                    self.node.placed(persist, lsn.0);
                }
                Effect::Reply(_, reply) => self.replies.push(reply),
                Effect::ReadEntry(token, place) => {
                    events.push(Event::Entry(token, entry_at(&self.wal, &place)));
                }
                Effect::Annotate { segment, bytes } if self.annotates => {
                    events.push(annotate(&self.wal, segment, &bytes));
                }
                Effect::Checkpoint(taken) if self.checkpoints => {
                    events.push(checkpoint(&self.wal, &taken));
                }
                Effect::Retire(below) => events.push(retire(&self.wal, below)),
                Effect::Stop(why) => self.stopped = Some(why),
                _ => {}
            }
        }
    }

    pub(crate) fn request(&mut self, deadline_ms: u32, command: CommandBody) -> Event {
        self.request += 1;
        Event::Command {
            client: paxlog_node::ClientId(1),
            stream: STREAM,
            resume: false,
            request: CommandRequest {
                request: self.request,
                deadline_ms,
                command,
            },
            batch: Vec::new(),
        }
    }

    pub(crate) fn origin(&mut self) -> Origin {
        self.sequence += 1;
        Origin {
            producer: 1,
            epoch: 1,
            sequence: self.sequence - 1,
        }
    }

    /// An append of one record.
    pub(crate) fn append(&mut self, deadline_ms: u32, log: u64, payload: &[u8]) -> Event {
        let mut builder = BatchBuilder::new();
        builder
            .push(&Record::new(payload.to_vec()))
            .expect("not too large");
        let parts = builder.finish().expect("one record").into_parts();
        let origin = self.origin();
        let mut event = self.request(
            deadline_ms,
            CommandBody::Append {
                origin,
                log,
                if_tail: None,
                fence: None,
            },
        );
        if let Event::Command { batch, .. } = &mut event {
            *batch = parts;
        }
        event
    }

    pub(crate) fn call(&mut self, command: CommandBody) -> CommandReply {
        let event = self.request(10_000, command);
        self.turn(vec![event]);
        self.replies.pop().expect("answered")
    }

    /// Opens producer 1 and makes log 1.
    pub(crate) fn open_log(&mut self) {
        let opened = self.call(CommandBody::OpenProducer {
            nonce: 1,
            name: None,
        });
        let origin = Some(self.origin());
        let made = self.call(CommandBody::OpenLog {
            origin,
            name: "t".into(),
            create: true,
        });
        assert!(opened.result.is_ok() && made.result.is_ok());
    }
}
