//! Read and tail streams: batches as they lie in the write-ahead log.
//!
//! From the hot window they are slices of the mapped segments; what lies beyond
//! is read by another thread into buffers, and nothing else waits for that.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use paxlog_log::Offset;
use paxlog_node::{Batch, Event, ReaderEffect, ReaderId, corrupt, trimmed};
use paxlog_quic::{FrameReceiver, FrameSender};
use paxlog_store::{ColdRange, ReadBatch};
use paxlog_wal::Lsn;
use paxlog_wire::client::{
    Answer, BatchMeta, Credit, EndReason, LogRef, Query, QueryRequest, ReadEvent, ReadRequest,
    Started, TailEvent, TailRequest,
};
use paxlog_wire::{Code, Flags, Frame, Message, WireError};
use tokio::sync::oneshot;

use super::desk::Desk;
use super::outbox::Outbox;
use super::query_stream;
use crate::aux_io::ReadJob;

/// How long to wait for the core to tell a log's trim point.
const TRIM_POINT_MS: u32 = 5_000;
/// A silent tail stream says that it is alive so often.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The most batches named in one frame: their list must fit its limit.
const BATCHES_MAX: usize = 1_500;
/// The most bytes of batches in one frame, unless one batch alone is more.
const FRAME_BYTES_MAX: usize = 512 << 10;

/// The two sorts of streams, in their own words.
trait Sort {
    type Event: Message;
    fn started(started: Started) -> Self::Event;
    fn records(batches: Vec<BatchMeta>) -> Self::Event;
    fn gap(to: u64) -> Self::Event;
    fn refused(error: WireError) -> Self::Event;
    fn caught_up(tail: u64) -> Self::Event;
    fn sealed(tail: u64) -> Self::Event;
    fn end(next: u64, tail: u64, reason: EndReason) -> Self::Event;
    /// What to say in silence.
    fn heartbeat(tail: u64) -> Option<Self::Event>;
    /// Whether what was written out counts as credit again.
    const CREDITS_ITSELF: bool;
}

struct ReadStream;

impl Sort for ReadStream {
    type Event = ReadEvent;
    fn started(started: Started) -> ReadEvent {
        ReadEvent::Started(started)
    }
    fn records(batches: Vec<BatchMeta>) -> ReadEvent {
        ReadEvent::Records(batches)
    }
    fn gap(to: u64) -> ReadEvent {
        ReadEvent::Gap { to }
    }
    fn refused(error: WireError) -> ReadEvent {
        ReadEvent::Refused(error)
    }
    fn caught_up(tail: u64) -> ReadEvent {
        ReadEvent::End {
            next: tail,
            tail,
            reason: EndReason::Tail,
        }
    }
    fn sealed(tail: u64) -> ReadEvent {
        ReadEvent::End {
            next: tail,
            tail,
            reason: EndReason::Sealed,
        }
    }
    fn end(next: u64, tail: u64, reason: EndReason) -> ReadEvent {
        ReadEvent::End { next, tail, reason }
    }
    fn heartbeat(_: u64) -> Option<ReadEvent> {
        None
    }
    const CREDITS_ITSELF: bool = true;
}

struct TailStream;

impl Sort for TailStream {
    type Event = TailEvent;
    fn started(started: Started) -> TailEvent {
        TailEvent::Started(started)
    }
    fn records(batches: Vec<BatchMeta>) -> TailEvent {
        TailEvent::Records(batches)
    }
    fn gap(to: u64) -> TailEvent {
        TailEvent::Gap { to }
    }
    fn refused(error: WireError) -> TailEvent {
        TailEvent::Refused(error)
    }
    fn caught_up(tail: u64) -> TailEvent {
        TailEvent::CaughtUp { tail }
    }
    fn sealed(tail: u64) -> TailEvent {
        TailEvent::Sealed { tail }
    }
    fn end(_: u64, tail: u64, _: EndReason) -> TailEvent {
        TailEvent::Sealed { tail }
    }
    fn heartbeat(tail: u64) -> Option<TailEvent> {
        Some(TailEvent::Heartbeat { tail })
    }
    const CREDITS_ITSELF: bool = false;
}

/// Serves a read stream.
pub(crate) async fn serve_read(
    desk: Rc<Desk>,
    first: &Frame,
    sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let request = match paxlog_wire::decode::<ReadRequest>(first) {
        Ok(request) => request,
        Err(error) => return refuse::<ReadStream>(sender, &error).await,
    };
    desk.event_room().await;
    let (id, outbox) = desk.open_reader();
    let strict = request.strict;
    desk.hand_in(Event::Read(id, request));
    tokio::select! {
        () = write::<ReadStream>(&desk, id, &outbox, strict, sender) => {}
        () = gone(&mut receiver) => {}
    }
    desk.close_reader(id);
}

/// Serves a tail stream.
pub(crate) async fn serve_tail(
    desk: Rc<Desk>,
    first: &Frame,
    sender: FrameSender,
    mut receiver: FrameReceiver,
) {
    let request = match paxlog_wire::decode::<TailRequest>(first) {
        Ok(request) => request,
        Err(error) => return refuse::<TailStream>(sender, &error).await,
    };
    desk.event_room().await;
    let (id, outbox) = desk.open_reader();
    desk.hand_in(Event::Tail(id, request));
    tokio::select! {
        () = write::<TailStream>(&desk, id, &outbox, false, sender) => {}
        () = credits(&desk, id, &mut receiver) => {}
    }
    desk.close_reader(id);
}

async fn refuse<S: Sort>(mut sender: FrameSender, error: &dyn std::fmt::Display) {
    let event = S::refused(WireError::new(Code::Invalid, error.to_string()));
    if sender.send(&event).await.is_ok() {
        sender.finish();
    }
}

/// Waits until the reader gives the stream up. That it says nothing more is no
/// reason to end it.
async fn gone(receiver: &mut FrameReceiver) {
    loop {
        match receiver.next().await {
            Ok(Some(_)) => {}
            Ok(None) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

async fn credits(desk: &Desk, id: ReaderId, receiver: &mut FrameReceiver) {
    loop {
        match receiver.next().await {
            Ok(Some(frame)) => match paxlog_wire::decode::<Credit>(&frame) {
                Ok(credit) => {
                    desk.hand_in(Event::Credit(id, credit.bytes));
                    desk.event_room().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a reader sent what is no credit");
                    receiver.stop(Code::Invalid);
                    return;
                }
            },
            Ok(None) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

async fn write<S: Sort>(
    desk: &Desk,
    id: ReaderId,
    outbox: &Outbox<ReaderEffect>,
    strict: bool,
    mut sender: FrameSender,
) {
    let mut reading = Reading { log: 0, strict };
    let mut effects = Vec::new();
    let mut tail = 0;
    loop {
        if S::heartbeat(tail).is_some() {
            while tokio::time::timeout(HEARTBEAT, outbox.take(&mut effects))
                .await
                .is_err()
            {
                let Some(event) = S::heartbeat(tail) else {
                    continue;
                };
                if sender.send(&event).await.is_err() {
                    return;
                }
            }
        } else {
            outbox.take(&mut effects).await;
        }
        for effect in effects.drain(..) {
            let (event, last) = match effect {
                ReaderEffect::Batches(batches) => {
                    tail = batches.last().map_or(tail, |batch| tail.max(batch.end().0));
                    let read = match fetch(desk, &batches).await {
                        Some(read) => Ok(read),
                        None => skip_trimmed::<S>(desk, id, &reading, batches, &mut sender).await,
                    };
                    let read = match read {
                        Ok(read) => read,
                        Err(error) => return end(&mut sender, S::refused(error)).await,
                    };
                    if send_batches::<S>(desk, id, &mut sender, read)
                        .await
                        .is_err()
                    {
                        return;
                    }
                    continue;
                }
                ReaderEffect::Cold {
                    log,
                    from,
                    until,
                    until_timestamp,
                    bytes_max,
                    segments,
                } => {
                    let range = ColdRange {
                        log,
                        from,
                        until,
                        until_timestamp,
                        bytes_max,
                        segments,
                    };
                    let (answer, answered) = oneshot::channel();
                    desk.aux.read(ReadJob::Cold(range, answer));
                    let Some(read) = answered.await.ok().flatten() else {
                        desk.hand_in(Event::ColdFailed(id));
                        continue;
                    };
                    let next = read.last().map_or(from, |(batch, _)| batch.end());
                    let bytes = read
                        .iter()
                        .map(|(batch, _)| u64::from(batch.place.len))
                        .sum();
                    // Reported first: what is sent now is credited back after.
                    desk.hand_in(Event::ColdRead {
                        reader: id,
                        next,
                        bytes,
                    });
                    if send_batches::<S>(desk, id, &mut sender, read)
                        .await
                        .is_err()
                    {
                        return;
                    }
                    continue;
                }
                ReaderEffect::FindTime(search) => {
                    desk.aux.read(ReadJob::Time(id, search));
                    continue;
                }
                ReaderEffect::Started(started) => {
                    tail = started.tail;
                    reading.log = started.log;
                    (S::started(started), false)
                }
                ReaderEffect::Gap(to) => (S::gap(to.0), false),
                ReaderEffect::CaughtUp(to) => {
                    tail = to.0;
                    (S::caught_up(to.0), false)
                }
                ReaderEffect::Sealed(tail) => (S::sealed(tail.0), true),
                ReaderEffect::End { next, tail, reason } => (S::end(next.0, tail.0, reason), true),
                ReaderEffect::Refused(error) => (S::refused(error), true),
            };
            if last {
                return end(&mut sender, event).await;
            }
            if sender.push(&event).is_err() {
                sender.reset(Code::Internal);
                return;
            }
        }
        if sender.flush().await.is_err() {
            return;
        }
    }
}

async fn end<E: Message>(sender: &mut FrameSender, event: E) {
    if sender.send(&event).await.is_ok() {
        sender.finish();
    }
}

/// What a stream reads.
struct Reading {
    /// Known once it is accepted.
    log: u64,
    /// Trimmed records are an error.
    strict: bool,
}

/// Batches that can't be read any more: those that were trimmed while they
/// waited for a slow reader, and their segment retired, are a gap.
///
/// What is left of them is read; the reader's credit for the others is given
/// back.
async fn skip_trimmed<S: Sort>(
    desk: &Desk,
    id: ReaderId,
    reading: &Reading,
    mut batches: Vec<Batch>,
    sender: &mut FrameSender,
) -> Result<Vec<ReadBatch>, WireError> {
    let question = QueryRequest {
        deadline_ms: TRIM_POINT_MS,
        query: Query::CheckTail {
            log: LogRef::Id(reading.log),
            linearizable: false,
        },
    };
    let Ok(Answer::Tail(now)) = query_stream::ask(desk, question).await.result else {
        return Err(corrupt());
    };
    let gone = batches.partition_point(|batch| batch.end().0 <= now.trim_point);
    let Some(last) = gone.checked_sub(1) else {
        return Err(corrupt());
    };
    if reading.strict {
        return Err(trimmed(Offset(now.trim_point)));
    }
    let to = batches[last].end();
    let bytes = batches.drain(..gone).map(|b| u64::from(b.place.len)).sum();
    desk.hand_in(Event::Credit(id, bytes));
    sender.push(&S::gap(to.0)).map_err(|error| {
        tracing::error!(%error, "a gap can't be encoded");
        WireError::new(Code::Internal, "a gap can't be encoded")
    })?;
    fetch(desk, &batches).await.ok_or_else(corrupt)
}

/// The bytes of batches: from the map if they are still in the hot window.
async fn fetch(desk: &Desk, batches: &[Batch]) -> Option<Vec<ReadBatch>> {
    let mut read = Vec::with_capacity(batches.len());
    let mut payload: Option<(u64, Bytes)> = None;
    for batch in batches {
        let lsn = batch.place.lsn;
        let bytes = match &payload {
            Some((at, bytes)) if *at == lsn => bytes.clone(),
            _ => match desk.wal.read(Lsn(lsn)) {
                Ok(bytes) => {
                    payload = Some((lsn, bytes.clone()));
                    bytes
                }
                Err(_) => {
                    // It has just left the hot window; another thread reads it.
                    let (answer, answered) = oneshot::channel();
                    desk.aux.read(ReadJob::Batches(batches.to_vec(), answer));
                    return answered.await.ok().flatten();
                }
            },
        };
        let at = batch.place.at as usize;
        read.push((*batch, bytes.slice(at..at + batch.place.len as usize)));
    }
    Some(read)
}

async fn send_batches<S: Sort>(
    desk: &Desk,
    id: ReaderId,
    sender: &mut FrameSender,
    read: Vec<ReadBatch>,
) -> Result<(), ()> {
    let mut rest = read.into_iter().peekable();
    let mut sent = 0u64;
    while rest.peek().is_some() {
        let mut metas = Vec::new();
        let mut body = Vec::new();
        let mut bytes = 0;
        while let Some((batch, part)) = rest.next_if(|(_, part)| {
            metas.is_empty() || (metas.len() < BATCHES_MAX && bytes + part.len() <= FRAME_BYTES_MAX)
        }) {
            bytes += part.len();
            metas.push(BatchMeta {
                start: batch.start.0,
                records: batch.records,
                bytes: batch.place.len,
                timestamp: batch.timestamp.0,
            });
            body.push(part);
        }
        sent += bytes as u64;
        if let Err(error) = sender.push_with(&S::records(metas), Flags::NONE, &body) {
            tracing::error!(%error, "records can't be encoded");
            sender.reset(Code::Internal);
            return Err(());
        }
        sender.flush().await.map_err(|_| ())?;
    }
    desk.read_bytes.set(desk.read_bytes.get() + sent);
    if S::CREDITS_ITSELF {
        desk.hand_in(Event::Credit(id, sent));
    }
    Ok(())
}
