//! One replica: its disk, and while it runs its core and its log.

use std::collections::VecDeque;
use std::sync::Arc;

use paxlog_node::{Config, Effects, Found, FoundSegment, Node, RecoverError};
use paxlog_paxos::{Ballot, ClusterId, GroupId, Incarnation, ReplicaId, Slot};
use paxlog_store::OpenError;
use paxlog_wal::sim::SimDisk;
use paxlog_wal::{Driver, Health, Identity, Options, Wal};

use crate::clock::Clock;
use crate::desk::Desk;
use crate::invariants::ValueId;
use crate::plan::Plan;

pub(crate) const CLUSTER: u128 = 0x5113;
pub(crate) const GROUP: GroupId = GroupId(0);

/// A directory's place in the cluster, whether somebody serves it or not.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: u16,
    pub(crate) incarnation: u128,
    pub(crate) disk: SimDisk,
    pub(crate) running: Option<Running>,
    /// How often it was started: what an earlier life scheduled is void.
    pub(crate) life: u32,
    /// Its directory was lost, or may be as good as: nothing is asked of it any more.
    pub(crate) out: bool,
    /// It may be damaged or lost.
    pub(crate) victim: bool,
    /// Until when it stands still.
    pub(crate) paused_until: u64,
    /// Effects that it still carries out before it stops.
    pub(crate) dies_in: Option<u64>,
    /// Its next sync takes so long.
    pub(crate) next_sync: Option<u64>,
    pub(crate) wall_error: i64,
}

/// A life of a replica.
pub(crate) struct Running {
    pub(crate) node: Node,
    pub(crate) wal: Wal,
    pub(crate) fx: Effects,
    pub(crate) clock: Clock,
    pub(crate) desk: Desk,
    /// What the core was told last.
    pub(crate) durable: u64,
    pub(crate) full: bool,
    pub(crate) failed: bool,
    pub(crate) stalled: bool,
    /// The number of the sync under way.
    pub(crate) syncing: Option<u64>,
    pub(crate) syncs: u64,
    /// Frames that are not durable yet, in order: position, and what they hold.
    pub(crate) pending: VecDeque<(u64, Frame)>,
    /// The promise that is durable.
    pub(crate) promised: Ballot,
    /// When the next tick is due, by true time.
    pub(crate) timer_at: u64,
    pub(crate) turn_due: bool,
    pub(crate) handed_over: bool,
    pub(crate) prefix_seen: Slot,
}

/// What a frame of the log holds, as far as invariants go.
#[derive(Clone, Debug)]
pub(crate) enum Frame {
    Accepted {
        slot: Slot,
        ballot: Ballot,
        value: ValueId,
    },
    State(paxlog_paxos::DurableState),
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("status", &self.node.status())
            .finish_non_exhaustive()
    }
}

/// Why a replica does not start.
#[derive(Debug)]
pub(crate) enum NoStart {
    Open(OpenError),
    Recover(RecoverError),
}

impl NoStart {
    pub(crate) fn is_disk_full(&self) -> bool {
        use paxlog_wal::OpenError as Wal;
        let NoStart::Open(OpenError::Log(Wal::Io { source, .. })) = self else {
            return false;
        };
        source.kind() == std::io::ErrorKind::StorageFull
    }
}

impl std::fmt::Display for NoStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NoStart::Open(error) => error.fmt(f),
            NoStart::Recover(error) => error.fmt(f),
        }
    }
}

impl Replica {
    /// A formatted, blank directory.
    pub(crate) fn new(id: u16, incarnation: u128, disk: SimDisk) -> Replica {
        let replica = Replica {
            id,
            incarnation,
            disk,
            running: None,
            life: 0,
            out: false,
            victim: false,
            paused_until: 0,
            dies_in: None,
            next_sync: None,
            wall_error: 0,
        };
        paxlog_wal::format(&replica.disk, replica.identity()).expect("an empty disk");
        replica
    }

    fn identity(&self) -> Identity {
        Identity {
            cluster: CLUSTER,
            replica: u64::from(self.id),
            wal_id: self.incarnation,
        }
    }

    /// Opens the directory, and begins a life.
    pub(crate) fn start(
        &mut self,
        plan: &Plan,
        clock: Clock,
        time: u64,
        seed: u64,
    ) -> Result<Found, NoStart> {
        self.life += 1;
        self.dies_in = None;
        self.next_sync = None;
        let options = Options {
            segment_bytes: plan.segment_bytes,
            driver: Driver::Caller,
            ..Options::new(self.identity())
        };
        let (wal, found) = paxlog_store::open(Arc::new(self.disk.clone()), options, GROUP)
            .map_err(NoStart::Open)?;
        let mut paxos = paxlog_paxos::Config::new(
            ClusterId(CLUSTER),
            GROUP,
            ReplicaId(self.id),
            Incarnation(self.incarnation),
            (1..=plan.replicas).map(ReplicaId).collect(),
            seed,
        );
        paxos.slots_in_flight_max = plan.slots_in_flight_max;
        paxos.window_bytes_max = plan.window_bytes_max;
        let config = Config {
            paxos,
            create_on_append: true,
            addresses: vec![address(usize::from(self.id) - 1)],
            value_bytes_target: plan.value_bytes_target,
        };
        let summary = Found {
            promise_may_be_lost: found.promise_may_be_lost,
            damaged: found.damaged.clone(),
            segments: found.segments.iter().map(frames_of).collect(),
            ..Found::default()
        };
        let node = Node::recover(config, found, clock.now(time)).map_err(NoStart::Recover)?;
        let promised = node.ballot();
        self.running = Some(Running {
            durable: wal.durable().0,
            node,
            wal,
            fx: Effects::default(),
            clock,
            desk: Desk::default(),
            full: false,
            failed: false,
            stalled: false,
            syncing: None,
            syncs: 0,
            pending: VecDeque::new(),
            promised,
            timer_at: u64::MAX,
            turn_due: false,
            handed_over: false,
            prefix_seen: Slot(0),
        });
        Ok(summary)
    }

    /// Whether anything is asked of it: it takes part, as far as this release can let it.
    pub(crate) fn in_group(&self) -> bool {
        !self.out
    }
}

impl Running {
    pub(crate) fn disk_is_full(&self) -> bool {
        matches!(self.wal.health(), Health::DiskFull)
    }

    pub(crate) fn disk_failed(&self) -> bool {
        matches!(self.wal.health(), Health::Failed(_))
    }
}

fn frames_of(segment: &FoundSegment) -> FoundSegment {
    FoundSegment {
        number: segment.number,
        annotation: None,
        annotation_lost: false,
        frames: segment.frames.clone(),
    }
}

/// Where clients reach a replica.
pub(crate) fn address(at: usize) -> String {
    format!("r{}", at + 1)
}
