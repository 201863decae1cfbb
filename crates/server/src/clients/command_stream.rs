//! A command stream: requests in, replies out in the order of completion.

use std::cell::Cell;
use std::rc::Rc;

use paxlog_node::{ClientId, Event, StreamId};
use paxlog_quic::{FrameReceiver, FrameSender};
use paxlog_wire::client::{CommandReply, CommandRequest};
use paxlog_wire::{Code, Flags, Frame, limits};

use super::desk::Desk;
use super::outbox::Outbox;

/// Serves the stream whose first frame is `first`.
pub(crate) async fn serve(
    desk: Rc<Desk>,
    client: ClientId,
    first: Frame,
    sender: FrameSender,
    receiver: FrameReceiver,
) {
    let (id, outbox) = desk.open_commands();
    let owed = Rc::new(Owed::default());
    tokio::select! {
        // Both ends: the one that ends first ends the stream.
        () = read(&desk, (client, id), first, receiver, &owed) => {}
        () = write(&outbox, sender, &owed) => {}
    }
    desk.close_commands(id);
}

/// Replies that are due.
#[derive(Default)]
struct Owed {
    count: Cell<u64>,
    settled: tokio::sync::Notify,
}

async fn read(
    desk: &Desk,
    (client, id): (ClientId, StreamId),
    first: Frame,
    mut receiver: FrameReceiver,
    owed: &Owed,
) {
    let mut next = Some(first);
    loop {
        // Everything that one wake-up brought, then one ring.
        while let Some(frame) = next {
            let resume = frame.flags.contains(Flags::RESUME);
            match paxlog_wire::decode::<CommandRequest>(&frame) {
                Ok(request) => {
                    owed.count.set(owed.count.get() + 1);
                    desk.hand_in_quietly(Event::Command {
                        client,
                        stream: id,
                        resume,
                        request,
                        batch: frame.body,
                    });
                }
                Err(error) => return broken(&mut receiver, &error),
            }
            next = match receiver.next_ready() {
                Ok(next) => next,
                Err(error) => return broken(&mut receiver, &error),
            };
        }
        desk.ring();
        desk.room().await;
        // A client that does not read its replies gets no further.
        while owed.count.get() > u64::from(limits::REPLIES_OWED_MAX) {
            owed.settled.notified().await;
        }
        match receiver.next().await {
            Ok(Some(frame)) => next = Some(frame),
            Ok(None) => {
                // The client wants nothing more, but its replies.
                while owed.count.get() > 0 {
                    owed.settled.notified().await;
                }
                return;
            }
            Err(paxlog_quic::ReceiveError::Frame(error)) => return broken(&mut receiver, &error),
            Err(_) => return,
        }
    }
}

fn broken(receiver: &mut FrameReceiver, error: &dyn std::fmt::Display) {
    tracing::warn!(%error, peer = %receiver.connection().peer(), "a client sent what is no command");
    receiver.stop(Code::Invalid);
    receiver
        .connection()
        .close(Code::Invalid, &error.to_string());
}

async fn write(outbox: &Outbox<CommandReply>, mut sender: FrameSender, owed: &Owed) {
    let mut replies = Vec::new();
    loop {
        outbox.take(&mut replies).await;
        let count = replies.len() as u64;
        for reply in replies.drain(..) {
            if let Err(error) = sender.push(&reply) {
                // Only an error's sentence can be too long, and ours are not.
                tracing::error!(%error, "a reply can't be encoded");
                sender.reset(Code::Internal);
                return;
            }
        }
        if sender.flush().await.is_err() {
            return;
        }
        owed.count.set(owed.count.get() - count);
        owed.settled.notify_one();
    }
}
