//! A replica's end of its clients' streams: frames in, events for the core; effects of the core, frames out.
//! What a server's stream tasks do, without tasks.

use std::collections::BTreeMap;

use bytes::Bytes;
use paxlog_log::{LogId, Offset};
use paxlog_node::{
    Batch, ClientId, Event, QueryId, ReaderEffect, ReaderId, StreamId, corrupt, trimmed,
};
use paxlog_store::{ColdRange, ReadBatch, batches_at, cold, find_time};
use paxlog_wal::{Lsn, Wal};
use paxlog_wire::client::{
    BatchMeta, CommandReply, CommandRequest, Credit, EndReason, QueryReply, QueryRequest,
    ReadEvent, ReadRequest, TailEvent, TailRequest,
};
use paxlog_wire::{Code, Flags, Frame, FrameDecoder, FrameEncoder, FrameLimits, Kind, Message};

/// The most batches named in one frame.
const BATCHES_MAX: usize = 32;

/// The streams that are open at one replica, by their number in the run.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    streams: BTreeMap<u64, Sort>,
}

#[derive(Clone, Copy, Debug)]
enum Sort {
    Commands,
    Query,
    Read { log: u64, strict: bool },
    Tail { log: u64 },
}

/// What comes of the core's effects.
#[derive(Debug, Default)]
pub(crate) struct Out {
    /// Frames for clients, by stream.
    pub(crate) frames: Vec<(u64, Frame)>,
    /// What the stream's task tells the core.
    pub(crate) events: Vec<Event>,
    /// It was said that what is to be read can't be had undamaged.
    pub(crate) corrupt: bool,
}

impl Desk {
    /// A frame came from a client. None if the stream is broken by it.
    pub(crate) fn frame(&mut self, stream: u64, frame: Frame) -> Option<Event> {
        match (self.streams.get(&stream).copied(), frame.kind) {
            (None | Some(Sort::Commands), Kind::CommandRequest) => {
                self.streams.insert(stream, Sort::Commands);
                let resume = frame.flags.contains(Flags::RESUME);
                let request: CommandRequest = paxlog_wire::decode(&frame).ok()?;
                Some(Event::Command {
                    client: ClientId(stream),
                    stream: StreamId(stream),
                    resume,
                    request,
                    batch: frame.body,
                })
            }
            (None, Kind::QueryRequest) => {
                self.streams.insert(stream, Sort::Query);
                let request: QueryRequest = paxlog_wire::decode(&frame).ok()?;
                Some(Event::Query {
                    query: QueryId(stream),
                    deadline_ms: request.deadline_ms,
                    ask: request.query,
                })
            }
            (None, Kind::ReadRequest) => {
                let request: ReadRequest = paxlog_wire::decode(&frame).ok()?;
                let strict = request.strict;
                self.streams.insert(stream, Sort::Read { log: 0, strict });
                Some(Event::Read(ReaderId(stream), request))
            }
            (None, Kind::TailRequest) => {
                self.streams.insert(stream, Sort::Tail { log: 0 });
                let request: TailRequest = paxlog_wire::decode(&frame).ok()?;
                Some(Event::Tail(ReaderId(stream), request))
            }
            (Some(Sort::Tail { .. }), Kind::Credit) => {
                let credit: Credit = paxlog_wire::decode(&frame).ok()?;
                Some(Event::Credit(ReaderId(stream), credit.bytes))
            }
            _ => None,
        }
    }

    /// The stream is gone.
    pub(crate) fn close(&mut self, stream: u64) -> Option<Event> {
        Some(match self.streams.remove(&stream)? {
            Sort::Commands => Event::StreamClosed(StreamId(stream)),
            Sort::Query => return None,
            Sort::Read { .. } | Sort::Tail { .. } => Event::ReaderClosed(ReaderId(stream)),
        })
    }

    pub(crate) fn reply(&self, stream: StreamId, reply: &CommandReply) -> Option<(u64, Frame)> {
        self.streams.get(&stream.0)?;
        Some((stream.0, framed(reply, &[])))
    }

    pub(crate) fn answer(&self, query: QueryId, reply: &QueryReply) -> Option<(u64, Frame)> {
        self.streams.get(&query.0)?;
        Some((query.0, framed(reply, &[])))
    }

    /// What the core has for a reader. `trim_point` tells how far a log is trimmed, as applied here.
    pub(crate) fn reader(
        &mut self,
        wal: &Wal,
        id: ReaderId,
        effect: ReaderEffect,
        trim_point: impl Fn(LogId) -> Option<Offset>,
    ) -> Out {
        let mut out = Out::default();
        let stream = id.0;
        let Some(sort) = self.streams.get_mut(&stream) else {
            return out;
        };
        let is_read = matches!(sort, Sort::Read { .. });
        let mut say = |read: ReadEvent, tail: TailEvent, body: &[Bytes]| {
            let frame = if is_read {
                framed(&read, body)
            } else {
                framed(&tail, body)
            };
            out.frames.push((stream, frame));
        };
        let (mut ended, mut is_corrupt) = (false, false);
        let mut events = Vec::new();
        let records = |read: Vec<ReadBatch>,
                       say: &mut dyn FnMut(ReadEvent, TailEvent, &[Bytes]),
                       events: &mut Vec<Event>| {
            let mut sent = 0;
            for together in read.chunks(BATCHES_MAX) {
                let meta = |(batch, _): &ReadBatch| BatchMeta {
                    start: batch.start.0,
                    records: batch.records,
                    bytes: batch.place.len,
                    timestamp: batch.timestamp.0,
                };
                let metas: Vec<BatchMeta> = together.iter().map(meta).collect();
                let parts: Vec<Bytes> = together.iter().map(|(_, part)| part.clone()).collect();
                sent += parts.iter().map(|part| part.len() as u64).sum::<u64>();
                say(
                    ReadEvent::Records(metas.clone()),
                    TailEvent::Records(metas),
                    &parts,
                );
            }
            if is_read {
                events.push(Event::Credit(id, sent));
            }
        };
        match effect {
            ReaderEffect::Started(started) => {
                match sort {
                    Sort::Read { log, .. } | Sort::Tail { log } => *log = started.log,
                    Sort::Commands | Sort::Query => {}
                }
                say(
                    ReadEvent::Started(started),
                    TailEvent::Started(started),
                    &[],
                );
            }
            ReaderEffect::Batches(mut batches) => {
                let (log, strict) = match *sort {
                    Sort::Read { log, strict } => (log, strict),
                    Sort::Tail { log } => (log, false),
                    Sort::Commands | Sort::Query => return out,
                };
                let mut read = fetch(wal, &batches);
                if read.is_none() {
                    // Trimmed and retired while they waited: a gap.
                    let trim = trim_point(LogId(log)).unwrap_or(Offset(0));
                    let gone = batches.partition_point(|batch| batch.end() <= trim);
                    if gone > 0 && strict {
                        let error = trimmed(trim);
                        say(
                            ReadEvent::Refused(error.clone()),
                            TailEvent::Refused(error),
                            &[],
                        );
                        ended = true;
                        read = Some(Vec::new());
                    } else if gone > 0 {
                        let to = batches[gone - 1].end().0;
                        let bytes = batches.drain(..gone).map(|b| u64::from(b.place.len)).sum();
                        events.push(Event::Credit(id, bytes));
                        say(ReadEvent::Gap { to }, TailEvent::Gap { to }, &[]);
                        read = fetch(wal, &batches);
                    }
                }
                match read {
                    Some(read) => records(read, &mut say, &mut events),
                    None => {
                        let error = corrupt();
                        is_corrupt = true;
                        say(
                            ReadEvent::Refused(error.clone()),
                            TailEvent::Refused(error),
                            &[],
                        );
                        ended = true;
                    }
                }
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
                match cold(wal, &range) {
                    Some(read) => {
                        events.push(Event::ColdRead {
                            reader: id,
                            next: read.last().map_or(from, |(batch, _)| batch.end()),
                            bytes: read.iter().map(|(b, _)| u64::from(b.place.len)).sum(),
                        });
                        records(read, &mut say, &mut events);
                    }
                    None => events.push(Event::ColdFailed(id)),
                }
            }
            ReaderEffect::FindTime(search) => {
                events.push(Event::TimeFound(id, find_time(wal, &search)));
            }
            ReaderEffect::Gap(to) => say(
                ReadEvent::Gap { to: to.0 },
                TailEvent::Gap { to: to.0 },
                &[],
            ),
            ReaderEffect::CaughtUp(tail) => {
                let tail = tail.0;
                let end = ReadEvent::End {
                    next: tail,
                    tail,
                    reason: EndReason::Tail,
                };
                say(end, TailEvent::CaughtUp { tail }, &[]);
            }
            ReaderEffect::Sealed(tail) => {
                let tail = tail.0;
                let end = ReadEvent::End {
                    next: tail,
                    tail,
                    reason: EndReason::Sealed,
                };
                say(end, TailEvent::Sealed { tail }, &[]);
                ended = true;
            }
            ReaderEffect::End { next, tail, reason } => {
                let (next, tail) = (next.0, tail.0);
                say(
                    ReadEvent::End { next, tail, reason },
                    TailEvent::Sealed { tail },
                    &[],
                );
                ended = true;
            }
            ReaderEffect::Refused(error) => {
                is_corrupt = error.code == Code::Corrupt;
                say(
                    ReadEvent::Refused(error.clone()),
                    TailEvent::Refused(error),
                    &[],
                );
                ended = true;
            }
        }
        out.events = events;
        out.corrupt = is_corrupt;
        if ended {
            out.events.extend(self.close(stream));
        }
        out
    }
}

fn fetch(wal: &Wal, batches: &[Batch]) -> Option<Vec<ReadBatch>> {
    let hot = |batch: &Batch| {
        let payload = wal.read(Lsn(batch.place.lsn)).ok()?;
        let at = batch.place.at as usize;
        Some((*batch, payload.slice(at..at + batch.place.len as usize)))
    };
    let read: Option<Vec<ReadBatch>> = batches.iter().map(hot).collect();
    read.or_else(|| batches_at(wal, batches.to_vec()))
}

/// A message as the other end reads it from its bytes.
pub(crate) fn framed<M: Message>(message: &M, body: &[Bytes]) -> Frame {
    let mut encoder = FrameEncoder::new();
    encoder
        .push_with(message, Flags::NONE, body)
        .expect("a replica sends what clients take");
    reread(encoder, FrameLimits::TO_CLIENT)
}

pub(crate) fn reread(mut encoder: FrameEncoder, limits: FrameLimits) -> Frame {
    let mut decoder = FrameDecoder::new(limits);
    for chunk in encoder.take() {
        decoder.push(chunk);
    }
    let frame = decoder.next_frame().expect("a good frame");
    frame.expect("a whole frame")
}
