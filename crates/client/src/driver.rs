//! Runs one state machine of `session` over the pool's connections, without a task or a channel of its
//! own: whoever owns the driver polls it, and all that came since goes through in one turn.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use paxlog_quic::{FrameReceiver, FrameSender};
use paxlog_session::{Effect, Machine, Message, Nanos, Outgoing, StreamId};
use paxlog_wire::{Code, EncodeError};
use tokio::time::Sleep;

use crate::Error;
use crate::pool::{Hints, Opening, Pool, received, sent};

/// Frames taken from one stream before the others have their turn.
const FRAMES_PER_TURN: usize = 256;

/// A machine with its streams.
pub(crate) struct Driver<M> {
    pub(crate) machine: M,
    pool: Arc<Pool>,
    hints: Hints,
    streams: BTreeMap<StreamId, Stream>,
    /// Set to `armed`, if that is some.
    sleep: Pin<Box<Sleep>>,
    armed: Option<Nanos>,
}

enum Stream {
    Opening(Opening),
    Up(Box<Open>),
}

struct Open {
    sender: FrameSender,
    receiver: FrameReceiver,
}

impl<M: Machine> Driver<M> {
    pub(crate) fn new(pool: Arc<Pool>, machine: M) -> Driver<M> {
        Driver {
            machine,
            hints: pool.hints(),
            pool,
            streams: BTreeMap::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed: None,
        }
    }

    /// The machine's time.
    pub(crate) fn now(&self) -> Nanos {
        self.pool.now()
    }

    /// The error, with what is known of servers that it does not speak of.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.pool.explain(error)
    }

    /// Lets the world in and the machine's effects out. Ready when the machine was told something, so that it
    /// may have something to say; pending, with the wake-up arranged, when there is nothing to do.
    pub(crate) fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = self.pool.now();
        let mut told = self.effects(now, context);
        if let Some(hint) = self.hints.poll_change(context) {
            self.machine.handle_leader(now, &hint);
            told = true;
        }
        told |= self.poll_streams(now, context);
        // What came is heard before time passes: a machine that was not polled for long must not take its own
        // absence for a replica's silence.
        if self.machine.poll_timer().is_some_and(|due| due <= now) {
            self.machine.handle_tick(now);
            told = true;
        }
        // Frames go out in the turn that made them.
        self.effects(now, context);
        if told || !self.arm(context) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Arranges the timer's wake-up. False if it is due already.
    fn arm(&mut self, context: &mut Context<'_>) -> bool {
        let due = self.machine.poll_timer();
        let Some(at) = due else {
            self.armed = None;
            return true;
        };
        if self.armed != due {
            let instant: Instant = self.pool.instant(at);
            self.sleep.as_mut().reset(instant.into());
            self.armed = due;
        }
        self.sleep.as_mut().poll(context).is_pending()
    }

    /// Carries the machine's effects out, and writes. True if the machine was told something.
    fn effects(&mut self, now: Nanos, context: &mut Context<'_>) -> bool {
        let mut told = false;
        loop {
            while let Some(effect) = self.machine.poll_effect() {
                match effect {
                    Effect::Open { stream, server } => {
                        let opening = self.pool.open(&server);
                        self.streams.insert(stream, Stream::Opening(opening));
                    }
                    Effect::Send { stream, frame } => self.send(stream, &frame),
                    Effect::Close { stream } => {
                        if let Some(Stream::Up(open)) = self.streams.remove(&stream) {
                            open.close();
                        }
                    }
                }
            }
            let opened = self.poll_openings(now, context);
            told |= opened;
            if !opened {
                break;
            }
        }
        told | self.poll_writes(now, context)
    }

    fn send(&mut self, stream: StreamId, frame: &Outgoing) {
        let Some(Stream::Up(open)) = self.streams.get_mut(&stream) else {
            return;
        };
        if let Err(error) = push(&mut open.sender, frame) {
            // The machines keep to the limits; what they got wrong ends by its deadline.
            tracing::error!(%error, "a frame over its limit was not sent");
        }
    }

    fn poll_openings(&mut self, now: Nanos, context: &mut Context<'_>) -> bool {
        let mut told = false;
        let mut failed = Vec::new();
        for (&id, stream) in &mut self.streams {
            let Stream::Opening(opening) = stream else {
                continue;
            };
            match opening.as_mut().poll(context) {
                Poll::Pending => {}
                Poll::Ready(Ok((sender, receiver))) => {
                    *stream = Stream::Up(Box::new(Open { sender, receiver }));
                    self.machine.handle_up(now, id);
                    told = true;
                }
                Poll::Ready(Err(why)) => failed.push((id, why)),
            }
        }
        for (id, why) in failed {
            self.streams.remove(&id);
            self.machine.handle_down(now, id, why);
            told = true;
        }
        told
    }

    fn poll_writes(&mut self, now: Nanos, context: &mut Context<'_>) -> bool {
        let mut failed = Vec::new();
        for (&id, stream) in &mut self.streams {
            let Stream::Up(open) = stream else { continue };
            // A dropped flush keeps what it did not write, and its wake-up.
            if let Poll::Ready(Err(why)) = pin!(open.sender.flush()).poll(context) {
                failed.push((id, sent(&why)));
            }
        }
        self.fail(now, failed)
    }

    fn poll_streams(&mut self, now: Nanos, context: &mut Context<'_>) -> bool {
        let mut told = false;
        let mut failed = Vec::new();
        for (&id, stream) in &mut self.streams {
            let Stream::Up(open) = stream else { continue };
            let mut frames = 0;
            let why = loop {
                if frames == FRAMES_PER_TURN {
                    // There may be more: come back at once, after the others.
                    context.waker().wake_by_ref();
                    break None;
                }
                frames += 1;
                match pin!(open.receiver.next()).poll(context) {
                    Poll::Pending => break None,
                    Poll::Ready(Ok(Some(frame))) => {
                        self.machine.handle_frame(now, id, frame);
                        told = true;
                    }
                    Poll::Ready(Ok(None)) => {
                        break Some(Error::new(
                            Code::Unavailable,
                            "the replica ended the stream",
                        ));
                    }
                    Poll::Ready(Err(why)) => break Some(received(&why)),
                }
            };
            if let Some(why) = why {
                failed.push((id, why));
            }
        }
        told | self.fail(now, failed)
    }

    fn fail(&mut self, now: Nanos, failed: Vec<(StreamId, Error)>) -> bool {
        let told = !failed.is_empty();
        for (id, why) in failed {
            if let Some(Stream::Up(open)) = self.streams.remove(&id) {
                open.close();
            }
            self.machine.handle_down(now, id, why);
        }
        told
    }
}

impl Open {
    /// The code tells the replica nothing: the stream is not wanted any more.
    fn close(mut self) {
        self.sender.reset(Code::Unavailable);
        self.receiver.stop(Code::Unavailable);
    }
}

fn push(sender: &mut FrameSender, frame: &Outgoing) -> Result<(), EncodeError> {
    let (flags, body) = (frame.flags, &frame.body);
    match &frame.message {
        Message::Command(message) => sender.push_with(message, flags, body),
        Message::Query(message) => sender.push_with(message, flags, body),
        Message::Read(message) => sender.push_with(message, flags, body),
        Message::Tail(message) => sender.push_with(message, flags, body),
        Message::Credit(message) => sender.push_with(message, flags, body),
    }
}

impl<M> Drop for Driver<M> {
    fn drop(&mut self) {
        for (_, stream) in std::mem::take(&mut self.streams) {
            if let Stream::Up(open) = stream {
                open.close();
            }
        }
    }
}

impl<M> std::fmt::Debug for Driver<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver")
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}
