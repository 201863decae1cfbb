//! The core's turns: take what waits, step, carry out, end the turn.
//!
//! **Rule:** nothing here calls the disk or waits for a lock held across IO.
//! A turn takes at most [`INPUTS_MAX`] events and [`TURN_MAX`], then yields, so
//! that the streams' tasks and heartbeats run under any load.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use paxlog_node::{Effect, Effects, Event, Node, Now};
use paxlog_paxos::{DiskHealth, Message, ReplicaId};
use paxlog_quic::{LinkEvent, LinkEvents, Links};
use paxlog_wal::{FrameMeta, Health, Kind, Wal};
use tokio::sync::mpsc;

use crate::aux_io::{AuxIo, ReadJob, WriteJob};
use crate::clients::Desk;
use crate::exit::ExitReason;
use crate::http::Published;
use crate::mailbox::Mailbox;
use crate::meter::{self, Meter};
use crate::status::{self, Facts};

/// Events taken in one turn.
const INPUTS_MAX: usize = 256;
/// A turn ends after so long, whatever still waits.
const TURN_MAX: Duration = Duration::from_millis(1);
/// How often status and gauges are brought up to date.
const PUBLISH_EVERY: Duration = Duration::from_millis(100);
/// How soon again at the earliest for whoever asks, however many ask.
const PUBLISH_GAP: Duration = Duration::from_millis(5);
/// How often the process' memory is looked up (it reads a file of `/proc`).
const MEMORY_EVERY: Duration = Duration::from_secs(5);

/// The loop around the core, with everything it drives.
pub(crate) struct Turns {
    with: Driven,
    fx: Effects,
    events: Vec<Event>,
    disk: DiskHealth,
    disk_full: bool,
    handed_over: bool,
    failed: Option<String>,
    ended: Option<ExitReason>,
    next_publish: Instant,
    last_publish: Option<Instant>,
    /// Looks that were asked for and have been shown.
    shown: u64,
    next_memory: Instant,
}

/// What [`Turns`] drives.
pub(crate) struct Driven {
    pub(crate) node: Node,
    pub(crate) wal: Arc<Wal>,
    pub(crate) desk: Rc<Desk>,
    pub(crate) links: Links,
    pub(crate) link_events: LinkEvents,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) aux: Rc<AuxIo>,
    pub(crate) meter: Meter,
    pub(crate) published: Arc<Published>,
    pub(crate) facts: Facts,
    pub(crate) stop: mpsc::UnboundedReceiver<Duration>,
    /// The origin of the core's monotonic time.
    pub(crate) begin: Instant,
}

impl Turns {
    pub(crate) fn new(with: Driven) -> Turns {
        let now = Instant::now();
        Turns {
            with,
            fx: Effects::default(),
            events: Vec::new(),
            disk: DiskHealth::Well,
            disk_full: false,
            handed_over: false,
            failed: None,
            ended: None,
            next_publish: now,
            last_publish: None,
            shown: 0,
            next_memory: now,
        }
    }

    /// Runs until the replica is asked to stop, or must.
    pub(crate) async fn run(mut self) -> ExitReason {
        self.events.push(Event::Tick);
        self.turn();
        let asked = loop {
            if let Some(ended) = self.ended.take() {
                break Err(ended);
            }
            if let Some(patience) = self.woken().await {
                break Ok(patience);
            }
            self.turn();
            tokio::task::yield_now().await;
        };
        let reason = match asked {
            Ok(patience) => {
                self.hand_over(patience).await;
                self.failed
                    .take()
                    .map_or(ExitReason::Stopped, ExitReason::StorageFailed)
            }
            Err(reason) => reason,
        };
        self.with.links.close("the replica stopped");
        reason
    }

    /// Waits until there is something to do; gives the patience for a hand-over
    /// if that is to stop.
    async fn woken(&mut self) -> Option<Duration> {
        let due = self.with.begin + Duration::from_nanos(self.with.node.poll_timer());
        let due = tokio::time::Instant::from_std(due.min(self.next_publish));
        tokio::select! {
            biased;
            asked = self.with.stop.recv() => return Some(asked.unwrap_or(Duration::ZERO)),
            () = self.with.mailbox.rung() => {}
            Some(event) = self.with.link_events.next(), if self.with.facts.members.len() > 1 => self.take_link_event(event),
            () = tokio::time::sleep_until(due) => self.events.push(Event::Tick),
        }
        None
    }

    /// Hands leadership over and lets what is under way end, for a bounded time.
    async fn hand_over(&mut self, patience: Duration) {
        let until = tokio::time::Instant::now() + patience.min(Duration::from_secs(2));
        self.with.desk.going_away.send_replace(true);
        self.events.push(Event::HandOver);
        self.turn();
        while !self.handed_over && self.ended.is_none() {
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                // Asked again: the patience stays.
                _ = self.woken() => {}
            }
            self.turn();
            tokio::task::yield_now().await;
        }
        // One more pass for the tasks that write the last replies.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        Now {
            mono: self.with.begin.elapsed().as_nanos() as u64,
            wall,
        }
    }

    fn turn(&mut self) {
        let begin = Instant::now();
        let now = self.now();
        if self.with.mailbox.take(&mut self.events) {
            self.wal_news();
        }
        if self.with.published.asked() != self.shown {
            let soonest = self.last_publish.map_or(begin, |last| last + PUBLISH_GAP);
            self.next_publish = self.next_publish.min(soonest);
        }
        // Whoever looks sees who is heard *now*. And the bell may ring before every wait, so that the timer is never
        // looked at: heartbeats go first all the same.
        if begin >= self.next_publish || now.mono >= self.with.node.poll_timer() {
            self.step(now, Event::Tick);
        }
        let mut more = self.with.desk.take_inbox(&mut self.events, INPUTS_MAX);
        for _ in 0..INPUTS_MAX {
            let Some(event) = self.with.link_events.try_next() else {
                break;
            };
            self.take_link_event(event);
        }
        let mut events = std::mem::take(&mut self.events);
        let mut taken = events.drain(..);
        while let Some(event) = taken.next() {
            self.step(now, event);
            if begin.elapsed() > TURN_MAX && taken.len() > 0 {
                self.events.extend(taken.by_ref());
                more = true;
            }
        }
        drop(taken);
        if self.events.is_empty() {
            // Keep the room.
            self.events = events;
        }
        self.with.node.end_turn(now, &mut self.fx);
        self.carry_out();
        more |= self.with.node.wants_turn();
        self.with.wal.flush();
        self.with.links.flush();
        let (bytes, commands) = self.with.node.queue();
        self.with.desk.set_backlog(bytes, commands);
        for nanoseconds in self.with.node.drain_receipt_ns() {
            self.with.meter.receipt(nanoseconds);
        }
        if more {
            self.with.mailbox.ring();
        }
        let end = Instant::now();
        self.with.meter.turn(end - begin);
        if end >= self.next_publish {
            self.publish(end);
        }
    }

    fn step(&mut self, now: Now, event: Event) {
        if self.disk == DiskHealth::Failed && is_value(&event) {
            // Nothing can be stored any more: what is taken would only be kept in memory.
            return;
        }
        self.with.node.step(now, event, &mut self.fx);
        self.carry_out();
    }

    fn take_link_event(&mut self, event: LinkEvent) {
        let event = match event {
            LinkEvent::Message(envelope) => Event::Peer(envelope),
            LinkEvent::ControlUp { peer, hello } => {
                tracing::info!(peer, "control link up");
                self.events
                    .push(Event::Addresses(ReplicaId(peer), hello.client_addresses));
                Event::Link(ReplicaId(peer), paxlog_paxos::LinkEvent::ControlUp)
            }
            LinkEvent::AcceptsUp { peer } => {
                tracing::debug!(peer, "accepts link up");
                Event::Link(ReplicaId(peer), paxlog_paxos::LinkEvent::AcceptsUp)
            }
            LinkEvent::Down { peer, why } => {
                tracing::info!(peer, %why, "link down");
                Event::Link(ReplicaId(peer), paxlog_paxos::LinkEvent::Down)
            }
        };
        self.events.push(event);
    }

    /// The write-ahead log became durable further, or its health changed.
    fn wal_news(&mut self) {
        self.events.push(Event::Durable(self.with.wal.durable().0));
        let health = self.with.wal.health();
        let full = matches!(health, Health::DiskFull);
        if full != self.disk_full {
            self.disk_full = full;
            self.events.push(Event::DiskFull(full));
        }
        let disk = match health {
            Health::Well | Health::DiskFull => DiskHealth::Well,
            Health::Stalled => DiskHealth::Stalled,
            Health::Failed(failed) => {
                self.failed = Some(failed.reason.to_string());
                DiskHealth::Failed
            }
        };
        if disk != self.disk {
            tracing::warn!(?disk, "the disk's health changed");
            self.disk = disk;
            self.events.push(Event::Disk(disk));
        }
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.fx.list);
        for effect in effects.drain(..) {
            match effect {
                Effect::Append {
                    persist,
                    group,
                    tag,
                    aux,
                    parts,
                } => {
                    match self.with.wal.enqueue(
                        FrameMeta {
                            kind: Kind::Data,
                            group,
                            tag,
                            aux,
                        },
                        &parts,
                    ) {
                        Ok(lsn) => self.with.node.placed(persist, lsn.0),
                        Err(error) => self.refused_by_wal(&error),
                    }
                }
                Effect::State { persist, bytes } => match self.with.wal.state(bytes) {
                    Ok(lsn) => self.with.node.placed(persist, lsn.0),
                    Err(error) => self.refused_by_wal(&error),
                },
                // A message that is lost is repeated by whoever needs it.
                Effect::Send(to, envelope) => {
                    self.with.links.send(to.0, &envelope);
                }
                Effect::Reply(stream, reply) => self.with.desk.reply(stream, reply),
                Effect::Answer(query, reply) => self.with.desk.answer(query, reply),
                Effect::Reader(reader, effect) => self.with.desk.read(reader, effect),
                Effect::ReadEntry(token, place) => self.with.aux.read(ReadJob::Entry(token, place)),
                Effect::Annotate { segment, bytes } => {
                    self.with.aux.write(WriteJob::Annotate { segment, bytes })
                }
                Effect::Checkpoint(checkpoint) => {
                    self.with.aux.write(WriteJob::Checkpoint(checkpoint))
                }
                Effect::Retire(below) => self.with.aux.write(WriteJob::Retire(below)),
                Effect::Leader(hint) => {
                    match &hint {
                        Some(hint) => tracing::info!(
                            leader = hint.replica,
                            ballot = hint.ballot >> 16,
                            "leader"
                        ),
                        None => tracing::info!("no leader"),
                    }
                    self.with.desk.leader.send_replace(hint);
                    self.next_publish = Instant::now();
                }
                Effect::HandedOver => self.handed_over = true,
                Effect::Stop(why) => {
                    tracing::error!(why, "the replica must stop");
                    self.ended = Some(ExitReason::Diverging(why));
                }
            }
        }
        debug_assert!(self.fx.list.is_empty());
        self.fx.list = effects;
    }

    /// A frame was not taken. It was never sent as accepted, and never will be:
    /// nothing becomes durable any more.
    fn refused_by_wal(&mut self, error: &paxlog_wal::AppendError) {
        match error {
            paxlog_wal::AppendError::Failed(failed) => {
                self.failed = Some(failed.reason.to_string())
            }
            paxlog_wal::AppendError::TooLarge { .. } => {
                // The core bounds its values below the largest frame.
                self.ended = Some(ExitReason::Diverging(format!(
                    "a value does not fit the write-ahead log: {error}"
                )));
            }
        }
    }

    fn publish(&mut self, at: Instant) {
        self.next_publish = at + PUBLISH_EVERY;
        self.last_publish = Some(at);
        // Before the look: who asks from now on waits for the next one.
        self.shown = self.with.published.asked();
        self.with.published.beat();
        let core = self.with.node.status();
        let health = self.with.wal.health();
        let status = status::of(
            &self.with.facts,
            &core,
            &health,
            &self.with.wal.segments(),
            self.with.wal.durable(),
            &self.with.links.status(),
        );
        *self.with.desk.status.borrow_mut() = Some(status::on_the_wire(
            &self.with.facts,
            &core,
            &status,
            self.with.node.leader_hint(),
        ));
        self.with.meter.update(
            &self.with.node.counters(),
            &core,
            &status,
            self.with.desk.connections.get(),
            self.with.desk.read_bytes.get(),
        );
        self.with.published.publish(self.shown, status);
        if at >= self.next_memory {
            self.next_memory = at + MEMORY_EVERY;
            if let Some(bytes) = meter::anonymous_memory() {
                self.with.meter.memory(bytes);
            }
        }
    }
}

/// Whether it is a message with a value to be stored.
fn is_value(event: &Event) -> bool {
    matches!(event, Event::Peer(envelope) if matches!(envelope.message, Message::Accept(_) | Message::FetchReply(_)))
}
