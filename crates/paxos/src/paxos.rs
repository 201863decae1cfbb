//! One replica of one group: the public state machine. What it does about each event is in the files named
//! for it: `candidate`, `proposing`, `heartbeat`, `learner`, `serving`.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::acceptor::Acceptor;
use crate::asking::{Asking, Freshness};
use crate::candidate::Candidate;
use crate::config::{Config, Recovered};
use crate::counters::Counters;
use crate::effect::{Effect, Effects, Role, RoleChange};
use crate::forming::{Forming, Todo};
use crate::leader::Leader;
use crate::learner::Learner;
use crate::message::{Envelope, Form, Message};
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::quorum::Members;
use crate::reads::Reader;
use crate::rng::Rng;
use crate::serving::{ReadFor, Serving};
use crate::silent::SilentHolders;
use crate::types::{
    Ballot, DiskHealth, LinkEvent, Member, Nanos, PersistId, ReadId, ReadToken, ReplicaId, Slot,
    Value,
};

/// Why a value was not proposed. Nothing of it was sent or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProposeError {
    /// This replica does not lead.
    #[error("this replica is not the leader")]
    NotLeader {
        /// Who may, if known.
        leader: Option<ReplicaId>,
    },
    /// It leads, but may not serve: taking over, handing over, or without a quorum or a working disk.
    #[error("the leader is not ready to serve")]
    NotReady,
    /// As much as is allowed is unchosen: try again after the next `Effect::Chosen`.
    #[error("the window of unchosen values is full")]
    Full,
}

/// This replica does not lead, or may not serve yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this replica is not a serving leader")]
pub struct NotLeader {
    /// Who leads, if known.
    pub leader: Option<ReplicaId>,
}

/// No slot number is higher: at a billion slots a second that takes a century. A message that names a higher
/// one is not believed.
pub(crate) const SLOT_SANE_MAX: Slot = Slot(1 << 62);

/// What this replica is at the moment.
#[derive(Debug)]
pub(crate) enum Post {
    Follower,
    Candidate(Candidate),
    Leader(Box<Leader>),
}

/// Who is thought to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) ballot: Ballot,
    /// Heard without anybody in between.
    pub(crate) direct: bool,
    /// It says that its disk is well and that it reaches a quorum.
    pub(crate) well: bool,
}

/// One replica of one Paxos group.
#[derive(Debug)]
pub struct Paxos {
    pub(crate) config: Config,
    /// When the last message or tick came.
    pub(crate) clock: Nanos,
    pub(crate) rng: Rng,
    pub(crate) out: Outbox,
    pub(crate) acceptor: Acceptor,
    pub(crate) forming: Forming,
    pub(crate) members: Option<Members>,
    pub(crate) promise_may_be_lost: bool,
    pub(crate) contradicted: bool,
    pub(crate) disk: DiskHealth,
    pub(crate) peers: Peers,
    pub(crate) post: Post,
    pub(crate) known: Option<Known>,
    /// A leader that was known by its Accept, and until when that counts.
    pub(crate) accept_seen: Option<(Ballot, Nanos)>,
    /// The highest ballot round seen anywhere.
    pub(crate) round_seen: u64,
    /// The highest chosen index told by a leader.
    pub(crate) told_index: Slot,
    pub(crate) applied: Slot,
    /// The owner's durable checkpoint.
    checkpoint: Slot,
    pub(crate) reaches_quorum: bool,
    pub(crate) learner: Learner,
    pub(crate) serving: BTreeMap<ReplicaId, Serving>,
    pub(crate) reading: BTreeMap<ReadId, ReadFor>,
    pub(crate) last_read: ReadId,
    pub(crate) next_round_at: Nanos,
    /// When to stand, once it was seen that this replica may.
    pub(crate) stand_at: Option<Nanos>,
    /// Whoever just started listens until then.
    pub(crate) defer_until: Nanos,
    /// When somebody else was promised last.
    pub(crate) rival_at: Option<Nanos>,
    /// Promises to others since a leader was known: the more, the longer each gets.
    pub(crate) rivals: u64,
    /// Until then others should lead: as a leader it got nothing through, though heartbeats passed.
    pub(crate) unfit_until: Nanos,
    /// Those who promised values and then gave none: phase 1 does without them where it can.
    pub(crate) silent: SilentHolders,
    /// Reads asked of the leader.
    pub(crate) asking: Asking,
    pub(crate) freshness: Freshness,
    pub(crate) counters: Counters,
    announced: (Role, Ballot),
}

impl Paxos {
    /// A replica as recovery left it. Call `handle_tick` at once: it says what is due, and when it wants
    /// to be called again. [`Effect::Chosen`] will begin at [`Paxos::chosen_prefix`].
    #[must_use]
    pub fn new(config: Config, recovered: Recovered, now: Nanos) -> Paxos {
        let mut rng = Rng::new(config.seed);
        let life = rng.next_u64();
        let me = Member {
            id: config.id,
            incarnation: config.incarnation,
        };
        let mut peers = Peers::new(life, config.heartbeat_ns);
        let members = recovered
            .formed
            .clone()
            .map(|list| Members::new(list, config.id));
        let forming = match &members {
            Some(members) if members.contains(me.id, me.incarnation) => Forming::Formed,
            Some(_) => Forming::LeftOut,
            None => Forming::new(recovered.blank, life),
        };
        if let Some(members) = &members {
            peers.set(members.others());
        }
        let promise_may_be_lost = recovered.promise_may_be_lost;
        let acceptor = Acceptor::new(recovered, config.window_bytes_max.saturating_mul(2));
        let silence_ns = peers.silence_ns();
        let alone = config.initial_members.len() <= 1;
        Paxos {
            clock: now,
            out: Outbox::new(&config),
            rng,
            round_seen: acceptor.promised().round,
            told_index: acceptor.chosen_prefix(),
            applied: acceptor.chosen_below(),
            checkpoint: acceptor.chosen_below(),
            acceptor,
            forming,
            members,
            promise_may_be_lost,
            contradicted: false,
            disk: DiskHealth::Well,
            peers,
            post: Post::Follower,
            known: None,
            accept_seen: None,
            reaches_quorum: false,
            learner: Learner::default(),
            serving: BTreeMap::new(),
            reading: BTreeMap::new(),
            last_read: ReadId(0),
            next_round_at: now,
            stand_at: None,

            defer_until: if alone { now } else { now + silence_ns },
            rival_at: None,
            rivals: 0,
            unfit_until: 0,
            silent: SilentHolders::default(),
            asking: Asking::default(),
            freshness: Freshness::default(),
            counters: Counters::default(),
            announced: (Role::Follower { leader: None }, Ballot::NONE),
            config,
        }
    }

    /// A message came.
    pub fn handle_message(&mut self, now: Nanos, envelope: Envelope, fx: &mut Effects) {
        self.acceptor.restate(&mut self.out, fx);
        let Envelope {
            cluster,
            group,
            config,
            from,
            incarnation,
            message,
        } = envelope;
        self.clock = now;
        if cluster != self.config.cluster || group != self.config.group || from == self.config.id {
            return;
        }
        let sender = Member {
            id: from,
            incarnation,
        };
        match message {
            Message::FormAsk(ask) => {
                let answer = self.forming.on_ask(sender, &ask);
                self.out.send(from, answer, fx);
                self.offer_list(from, ask.round, fx);
            }
            Message::FormAnswer(answer) => {
                if answer.blank && answer.asker == self.config.incarnation {
                    self.offer_list(from, answer.statement, fx);
                }
                if self.forming.on_answer(&self.config, sender, &answer) {
                    self.ask_all(fx);
                }
                self.adopt_own_list(fx);
            }
            Message::Form(form) => match self.forming.on_form(&self.config, sender, form) {
                Todo::Adopt(members) => self.adopt(members, BTreeMap::new(), fx),
                Todo::Nothing => {}
            },
            _ if !matches!(self.forming, Forming::Formed) => {
                // A member speaks: its list is what is wanted here.
                if let Some(blank) = self.forming.answer_to_member(sender) {
                    self.out.send(from, blank, fx);
                }
            }
            _ if config != self.config.config => {}
            message => {
                let members = self.members.as_ref().expect("formed");
                if members.contains(sender.id, sender.incarnation) {
                    self.on_message(now, from, message, fx);
                }
            }
        }
        self.announce(fx);
    }

    /// A message of a member, under its incarnation.
    fn on_message(&mut self, now: Nanos, from: ReplicaId, message: Message, fx: &mut Effects) {
        let voter = self.votes();
        match message {
            Message::Heartbeat(beat) => self.on_heartbeat(now, from, &beat, fx),
            Message::Fetch(fetch) => self.on_fetch(from, fetch, fx),
            Message::FetchReply(reply) => self.on_fetch_reply(now, from, reply, fx),
            Message::Refuse(refuse) => self.on_refuse(now, &refuse, fx),
            Message::Prepare(prepare) if voter => self.on_prepare(now, from, &prepare, fx),
            Message::Promise(promise) if voter => self.on_promise(now, from, promise, fx),
            Message::Accept(accept) if voter => self.on_accept(now, from, accept, fx),
            Message::Accepted(accepted) if voter => self.on_accepted(now, from, &accepted, fx),
            Message::BelowChosen(below) if voter => self.on_below_chosen(now, from, &below, fx),
            Message::Confirm(confirm) if voter => self.on_confirm(from, &confirm, fx),
            Message::Confirmed(confirmed) if voter => self.on_confirmed(now, from, &confirmed, fx),
            Message::AskIndex(ask) => self.on_ask_index(now, from, &ask, fx),
            Message::Index(answer) => self.on_index(from, &answer, fx),
            Message::HandOver(hand_over) if voter => self.on_hand_over(now, from, &hand_over, fx),
            _ => {}
        }
    }

    /// Time went on. May be called at any time, also early.
    pub fn handle_tick(&mut self, now: Nanos, fx: &mut Effects) {
        self.acceptor.restate(&mut self.out, fx);
        self.clock = now;
        if now >= self.next_round_at {
            self.next_round_at = now + self.config.heartbeat_ns;
            if matches!(self.forming, Forming::Formed) {
                self.begin_round(now, fx);
            } else {
                self.adopt_own_list(fx);
                self.ask_all(fx);
            }
        }
        if self.tell_at().is_some_and(|at| now >= at) {
            self.tell_all(now, fx);
        }
        if self.stand_at.is_some_and(|at| now >= at) {
            self.stand_at = None;
            if self.may_stand(now) {
                self.stand(now, fx);
            }
        }
        self.announce(fx);
    }

    /// When `handle_tick` wants to be called next.
    #[must_use]
    pub fn poll_timer(&self) -> Nanos {
        let others = [self.stand_at, self.tell_at()];
        others
            .into_iter()
            .flatten()
            .fold(self.next_round_at, Nanos::min)
    }

    fn tell_at(&self) -> Option<Nanos> {
        match &self.post {
            Post::Leader(leader) => leader.tell_at,
            _ => None,
        }
    }

    /// Every Persist effect with an id `<= upto` is durable.
    pub fn handle_durable(&mut self, now: Nanos, upto: PersistId, fx: &mut Effects) {
        if upto <= self.out.durable() {
            return;
        }
        self.out.set_durable(upto, fx);
        self.acceptor.set_durable(upto);
        let before = self.acceptor.run();
        self.acceptor.settle(upto, fx);
        if let Forming::Adopting { persist, .. } = &self.forming
            && *persist <= upto
        {
            self.become_formed(now, fx);
        }
        match &self.post {
            Post::Leader(_) => self.lead_on(now, fx),
            Post::Candidate(_) => self.promise_oneself(now, fx),
            Post::Follower => {
                let after = self.acceptor.run();
                if let (Some((_, before, _)), Some((ballot, after, _))) = (before, after)
                    && after > before
                {
                    self.acknowledge(ballot, fx);
                }
            }
        }
        self.announce(fx);
    }

    /// The answer to an [`Effect::ReadValue`](crate::Effect::ReadValue); `None`: it can't be read.
    pub fn handle_value(&mut self, now: Nanos, id: ReadId, value: Option<Value>, fx: &mut Effects) {
        self.acceptor.restate(&mut self.out, fx);
        if let Some(purpose) = self.reading.remove(&id) {
            self.on_value(now, id, purpose, value, fx);
        }
        self.announce(fx);
    }

    /// A link to a peer came or went.
    pub fn handle_link(&mut self, now: Nanos, peer: ReplicaId, event: LinkEvent, fx: &mut Effects) {
        self.acceptor.restate(&mut self.out, fx);
        if !matches!(self.forming, Forming::Formed) || self.peers.get(peer).is_none() {
            return;
        }
        match event {
            LinkEvent::ControlUp => self.send_heartbeat(now, peer, fx),
            LinkEvent::AcceptsUp => {
                self.silent.forget(peer);
                if let Post::Leader(leader) = &mut self.post
                    && let Some(progress) = leader.progress.get_mut(&peer)
                {
                    progress.rewind(now);
                    self.feed(now, peer, fx);
                }
                self.serving.remove(&peer);
                self.learner.link_broke(peer);
                self.learn(now, fx);
            }
            LinkEvent::Down => {
                if let Post::Leader(leader) = &mut self.post
                    && let Some(progress) = leader.progress.get_mut(&peer)
                {
                    progress.rewind(now);
                }
                self.serving.remove(&peer);
                self.learner.link_broke(peer);
            }
        }
        self.announce(fx);
    }

    /// The own disk's health changed. A leader whose disk is not well says so at once, and hands over.
    pub fn handle_disk(&mut self, now: Nanos, health: DiskHealth, fx: &mut Effects) {
        self.acceptor.restate(&mut self.out, fx);
        // A failed write or sync latches: nothing is believed until the log is opened anew.
        if self.disk == health || self.disk == DiskHealth::Failed {
            return;
        }
        self.disk = health;
        if matches!(self.forming, Forming::Formed) {
            if health != DiskHealth::Well {
                if matches!(self.post, Post::Candidate(_)) {
                    self.follow(fx);
                }
                self.begin_handing(now, fx);
            }
            self.tell_all(now, fx);
        }
        self.announce(fx);
    }

    /// Proposes a value for the next slot. An `Effect::Chosen` for that slot *in the ballot led here* means
    /// that this value was chosen; if leadership is lost before, the slot is among `RoleChange::unknown`.
    /// An empty value is taken, too.
    ///
    /// # Errors
    /// See [`ProposeError`]; nothing was proposed.
    pub fn propose(
        &mut self,
        now: Nanos,
        value: Value,
        fx: &mut Effects,
    ) -> Result<Slot, ProposeError> {
        let bytes = u64::from(value.len());
        self.check_propose(bytes)?;
        let Post::Leader(leader) = &mut self.post else {
            return Err(ProposeError::NotReady);
        };
        let slot = leader.next;
        leader.mine.push_back(slot);
        self.propose_next(now, value, fx);
        self.announce(fx);
        Ok(slot)
    }

    /// Whether `propose` would take a small value now.
    #[must_use]
    pub fn can_propose(&self) -> bool {
        self.check_propose(0).is_ok()
    }

    fn check_propose(&self, bytes: u64) -> Result<(), ProposeError> {
        let Post::Leader(leader) = &self.post else {
            return Err(ProposeError::NotLeader {
                leader: self.leader().map(|(_, id)| id),
            });
        };
        if !leader.ready
            || leader.handing.is_some()
            || !self.reaches_quorum
            || self.disk != DiskHealth::Well
        {
            return Err(ProposeError::NotReady);
        }
        if !leader.has_room(
            bytes,
            self.config.slots_in_flight_max,
            self.config.window_bytes_max,
        ) {
            return Err(ProposeError::Full);
        }
        Ok(())
    }

    /// Begins a linearizable read: answered by `ReadReady` or `ReadFailed` with this token. A follower asks the
    /// leader. While no quorum answers it waits: the caller has its own deadline.
    ///
    /// # Errors
    /// [`NotLeader`] when this replica is no serving leader, and hears none.
    pub fn read_index(
        &mut self,
        now: Nanos,
        token: ReadToken,
        fx: &mut Effects,
    ) -> Result<(), NotLeader> {
        let serves = matches!(&self.post, Post::Leader(leader) if leader.ready);
        if serves {
            self.begin_read(now, Reader::Own(token), fx);
            return Ok(());
        }
        match self.ask_leader(now, token, fx) {
            true => Ok(()),
            false => Err(NotLeader {
                leader: self.leader().map(|(_, id)| id),
            }),
        }
    }

    /// Planned hand-over (shutdown, drain): the leader takes no more proposals, lets what is under way be
    /// chosen, and asks the best-placed follower to take over. No effect on others.
    pub fn hand_over(&mut self, now: Nanos, fx: &mut Effects) {
        self.begin_handing(now, fx);
        self.announce(fx);
    }

    /// Everything below is applied here.
    pub fn note_applied(&mut self, below: Slot) {
        self.applied = self.applied.max(below);
        self.freshness.applied(self.applied);
    }

    /// A checkpoint of everything below is durable here: values below may be dropped from now on.
    pub fn note_checkpoint(&mut self, below: Slot) {
        self.checkpoint = self.checkpoint.max(below);
        self.apply_checkpoint();
    }

    /// A leader proposes every slot from its first on, also one that it has learned meanwhile; it can't
    /// accept below `chosen_below`. So that waits until they are proposed.
    pub(crate) fn apply_checkpoint(&mut self) {
        let limit = match &self.post {
            Post::Leader(leader) => leader.next,
            _ => Slot::MAX,
        };
        self.acceptor.set_chosen_below(self.checkpoint.min(limit));
    }

    /// Tells the owner when the role, or who leads, is not what it was told last.
    pub(crate) fn announce(&mut self, fx: &mut Effects) {
        let ballot = match &self.post {
            Post::Candidate(candidate) => candidate.ballot,
            _ => self.leader().map_or(Ballot::NONE, |(b, _)| b),
        };
        let now_is = (self.role(), ballot);
        if self.announced != now_is {
            self.announce_with(Vec::new(), fx);
        }
    }

    pub(crate) fn announce_with(&mut self, unknown: Vec<Slot>, fx: &mut Effects) {
        let role = self.role();
        let ballot = match &self.post {
            Post::Candidate(candidate) => candidate.ballot,
            _ => self.leader().map_or(Ballot::NONE, |(b, _)| b),
        };
        self.announced = (role, ballot);
        fx.push(Effect::Role(RoleChange {
            role,
            ballot,
            unknown,
        }));
    }

    /// Sends the list to somebody without one, who said so under this number.
    fn offer_list(&mut self, to: ReplicaId, statement: u64, fx: &mut Effects) {
        if matches!(self.forming, Forming::Formed)
            && let Some(members) = &self.members
        {
            let members = members.list().to_vec();
            let form = Form { members, statement };
            self.out.send(to, Message::Form(form), fx);
        }
    }

    /// Asks the other initial members whether they are blank, if that is this replica's part.
    fn ask_all(&mut self, fx: &mut Effects) {
        let Some(question) = self.forming.question(&self.config) else {
            return;
        };
        for &id in &self.config.initial_members {
            if id != self.config.id {
                self.out.send(id, question.clone(), fx);
            }
        }
    }

    fn adopt_own_list(&mut self, fx: &mut Effects) {
        if let Some((members, statements)) = self.forming.list(&self.config) {
            self.adopt(members, statements, fx);
        }
    }

    fn adopt(
        &mut self,
        members: Vec<Member>,
        statements: BTreeMap<ReplicaId, u64>,
        fx: &mut Effects,
    ) {
        let persist = self.acceptor.set_formed(members.clone(), &mut self.out, fx);
        self.forming = Forming::Adopting {
            members,
            persist,
            statements,
        };
    }

    fn become_formed(&mut self, now: Nanos, fx: &mut Effects) {
        let Forming::Adopting {
            members,
            statements,
            ..
        } = std::mem::replace(&mut self.forming, Forming::Formed)
        else {
            return;
        };
        let members = Members::new(members, self.config.id);
        self.peers.set(members.others());
        let others: Vec<ReplicaId> = members.others().collect();
        self.members = Some(members);
        self.defer_until = if others.is_empty() {
            now
        } else {
            now + 2 * self.config.heartbeat_ns
        };
        for (id, statement) in statements {
            self.offer_list(id, statement, fx);
        }
        self.next_round_at = now;
    }
}
