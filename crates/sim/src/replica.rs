//! One replica: its disk, and while it runs its core and its log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use paxlog_node::{
    Config, ENTRY_HEADER_BYTES, Effects, Found, FoundFrame, FoundSegment, IdxFile, Node,
    RecoverError,
};
use paxlog_paxos::{Ballot, ClusterId, GroupId, Incarnation, ReplicaId, Slot};
use paxlog_store::OpenError;
use paxlog_wal::sim::{Rng, SimDisk};
use paxlog_wal::{Driver, Health, Identity, Options, Wal};

use crate::clock::Clock;
use crate::desk::Desk;
use crate::invariants::ValueId;
use crate::plan::{Moment, Plan};
use crate::rng::stream;

pub(crate) const CLUSTER: u128 = 0x5113;
pub(crate) const GROUP: GroupId = GroupId(0);

/// Accepted slots that are remembered as told durable, the newest.
const TOLD_MAX: usize = 512;

/// A directory's place in the cluster, whether somebody serves it or not.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) id: u16,
    pub(crate) incarnation: u128,
    pub(crate) disk: SimDisk,
    pub(crate) running: Option<Running>,
    /// How long its disk takes, and what becomes of unsynced bytes.
    pub(crate) rng: Rng,
    /// How often it was started: what an earlier life scheduled is void.
    pub(crate) life: u32,
    /// Its directory was lost, or may be as good as: nothing is asked of it any more.
    pub(crate) out: bool,
    /// It does not start for now.
    pub(crate) kept_down: bool,
    /// Its directory does not open any more.
    pub(crate) refused: bool,
    /// It has the list with which the group was formed.
    pub(crate) formed: bool,
    /// It was damaged.
    pub(crate) damaged: bool,
    /// Its directory was lost.
    pub(crate) wiped: bool,
    /// Until when it stands still.
    pub(crate) paused_until: u64,
    /// At what it stops, whether the power goes then, and for how long it is down.
    pub(crate) dies: Option<(Moment, bool, u64)>,
    /// How long it is down when it stops by itself.
    pub(crate) restarted_after: u64,
    /// Its disk is lost right after a list of members left it, once for each; it is down for so long then.
    pub(crate) loses_lists: VecDeque<u64>,
    /// No sync of it ends from now on.
    pub(crate) stalls: bool,
    /// Its next sync takes so long.
    pub(crate) next_sync: Option<u64>,
    pub(crate) wall_error: i64,
    /// The highest ballot that was durable here, over all lives.
    pub(crate) promised: Ballot,
    /// The newest accepted slots that its cores were told to be durable, over all lives.
    pub(crate) told: BTreeMap<Slot, (Ballot, ValueId)>,
    /// A durable frame promises that everything below was synced.
    pub(crate) covered: u64,
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
    /// When it returns.
    pub(crate) sync_ends: u64,
    /// Frames that are not durable yet, in order.
    pub(crate) pending: VecDeque<Pending>,
    /// What its log holds in the slots that no frame of this life has vouched for yet, queued or found.
    pub(crate) held: BTreeMap<Slot, ValueId>,
    /// Every slot below is vouched for.
    pub(crate) vouched: Slot,
    /// The promise that is durable.
    pub(crate) promised: Ballot,
    /// What it acknowledged last: the ballot, and up to which slot.
    pub(crate) acknowledged: (Ballot, Slot),
    /// When the next tick is due, by true time.
    pub(crate) timer_at: u64,
    pub(crate) turn_due: bool,
    pub(crate) prefix_seen: Slot,
}

/// A frame that is not durable yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) lsn: u64,
    pub(crate) frame: Frame,
    /// What was durable when it was appended: it promises that.
    pub(crate) covers: u64,
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
    pub(crate) fn new(seed: u64, id: u16, incarnation: u128, disk: SimDisk) -> Replica {
        let replica = Replica {
            id,
            incarnation,
            disk,
            running: None,
            rng: stream(seed, "replica", u64::from(id)),
            life: 0,
            out: false,
            kept_down: false,
            refused: false,
            formed: false,
            damaged: false,
            wiped: false,
            paused_until: 0,
            dies: None,
            stalls: false,
            loses_lists: VecDeque::new(),
            restarted_after: 100 * crate::plan::MS,
            next_sync: None,
            wall_error: 0,
            promised: Ballot::NONE,
            told: BTreeMap::new(),
            covered: 0,
        };
        paxlog_wal::format(&replica.disk, replica.identity()).expect("an empty disk");
        replica
    }

    /// Its directory is lost, and formatted anew: another incarnation, which has no vote.
    pub(crate) fn lose_disk(&mut self) {
        self.incarnation = u128::from(self.rng.next_u64()) | 1;
        self.disk = SimDisk::new(self.rng.next_u64());
        (self.out, self.wiped) = (true, true);
        self.refused = false;
        (self.promised, self.formed) = (Ballot::NONE, false);
        self.told.clear();
        self.covered = 0;
        paxlog_wal::format(&self.disk, self.identity()).expect("an empty disk");
    }

    /// Its core was told that a slot is durable here, as accepted in a ballot.
    pub(crate) fn tell(&mut self, slot: Slot, ballot: Ballot, value: ValueId) {
        self.told.insert(slot, (ballot, value));
        if self.told.len() > TOLD_MAX {
            self.told.pop_first();
        }
    }

    /// Work on the disk begins that takes so long: whether the replica stops before its end, and when, how and for
    /// how long. `count` gives what is left to count, if it is such work at which it is to stop.
    pub(crate) fn dies_in(
        &mut self,
        takes: u64,
        count: impl FnOnce(&mut Moment) -> Option<&mut u64>,
    ) -> Option<(u64, bool, u64)> {
        let (when, power, down) = self.dies.as_mut()?;
        let left = count(when)?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        Some((self.rng.below(takes), *power, *down))
    }

    pub(crate) fn options(&self, plan: &Plan) -> Options {
        Options {
            segment_bytes: plan.segment_bytes,
            driver: Driver::Caller,
            ..Options::new(self.identity())
        }
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
        self.next_sync = None;
        let options = self.options(plan);
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
            create_on_append: vec![String::new()],
            client_append_bytes_per_s: 0,
            addresses: vec![address(usize::from(self.id) - 1)],
            value_bytes_target: plan.value_bytes_target,
        };
        let mut summary = Found {
            cut: found.cut,
            promise_may_be_lost: found.promise_may_be_lost,
            damaged: found.damaged.clone(),
            segments: found.segments.iter().map(frames_of).collect(),
            ..Found::default()
        };
        // What is found in frames that may be dropped does not count before it is written again.
        let promised = found
            .state
            .as_deref()
            .and_then(paxlog_node::decode_state)
            .map_or(Ballot::NONE, |(_, state)| state.promised);
        let node = Node::recover(config, found, clock.now(time)).map_err(NoStart::Recover)?;
        let vouched = node.paxos().chosen_prefix();
        for segment in &mut summary.segments {
            complete(segment, vouched, &wal);
        }
        let frames = summary.segments.iter().flat_map(|segment| &segment.frames);
        let held = frames
            .filter(|frame| frame.header.slot >= vouched)
            .map(|frame| (frame.header.slot, (frame.header.len, frame.header.checksum)))
            .collect();
        self.running = Some(Running {
            held,
            vouched,
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
            sync_ends: 0,
            pending: VecDeque::new(),
            promised,
            acknowledged: (Ballot::NONE, Slot::ZERO),
            timer_at: u64::MAX,
            turn_due: false,
            prefix_seen: Slot(0),
        });
        Ok(summary)
    }

    /// Whether anything is asked of it: it takes part, as far as this release can let it.
    pub(crate) fn in_group(&self) -> bool {
        // What damage took from it the others may hold only in checkpoints.
        let stranded = |running: &Running| running.node.paxos().is_stranded();
        let waits = self.damaged && self.running.as_ref().is_some_and(stranded);
        !self.out && !waits
    }
}

impl Running {
    /// A frame is queued that vouches for every slot below: from where on that is news.
    pub(crate) fn vouch(&mut self, below: Slot) -> Slot {
        let from = self.vouched;
        self.vouched = from.max(below);
        from
    }

    pub(crate) fn disk_is_full(&self) -> bool {
        matches!(self.wal.health(), Health::DiskFull)
    }

    pub(crate) fn disk_failed(&self) -> bool {
        matches!(self.wal.health(), Health::Failed(_))
    }
}

/// Reads the frames that recovery took from an `.idx` file, as far as anything is asked about them.
fn complete(segment: &mut FoundSegment, from: Slot, wal: &Wal) {
    let Some(bytes) = segment.annotation.take() else {
        return;
    };
    if !segment.frames.is_empty() {
        return;
    }
    let Some(idx) = IdxFile::open(segment.number, &bytes) else {
        return;
    };
    for row in idx.slots().filter(|row| row.slot >= from) {
        let lsn = u64::from(segment.number) << 32 | u64::from(row.frame);
        let head = wal.read_head(paxlog_wal::Lsn(lsn), ENTRY_HEADER_BYTES);
        let frame = head
            .ok()
            .and_then(|(_, head)| FoundFrame::read(lsn, &head).ok());
        segment.frames.extend(frame);
    }
}

fn frames_of(segment: &FoundSegment) -> FoundSegment {
    FoundSegment {
        number: segment.number,
        annotation: segment.annotation.clone(),
        annotation_lost: false,
        frames: segment.frames.clone(),
    }
}

/// Where clients reach a replica.
pub(crate) fn address(at: usize) -> String {
    format!("r{}", at + 1)
}
