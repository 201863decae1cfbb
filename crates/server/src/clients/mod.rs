//! The client plane: connections, and the streams on them.
//!
//! Everything here runs on the core's thread, as tasks; what it tells the core
//! goes through [`Desk`], and so does what the core answers. A stream is read
//! and written by two tasks, so that no two ends wait for each other.

mod command_stream;
mod control_stream;
mod desk;
mod outbox;
mod query_stream;
mod record_stream;

use std::rc::Rc;
use std::time::Duration;

use paxlog_node::ClientId;
use paxlog_quic::{Acceptor, Connection};
use paxlog_wire::{Code, FrameLimits, Kind};

pub(crate) use desk::Desk;

/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(3);

/// Accepts clients until the endpoint closes.
pub(crate) async fn accept(desk: Rc<Desk>, mut acceptor: Acceptor) {
    while let Some(connection) = acceptor.next().await {
        let desk = Rc::clone(&desk);
        tokio::task::spawn_local(async move {
            desk.connections.set(desk.connections.get() + 1);
            let peer = connection.peer().to_string();
            tracing::debug!(%peer, address = %connection.address(), "client connected");
            serve(&desk, &connection).await;
            tracing::debug!(%peer, "client gone");
            desk.connections.set(desk.connections.get() - 1);
        });
    }
}

/// One connection: the control stream first, then whatever the client opens.
async fn serve(desk: &Rc<Desk>, connection: &Connection) {
    let first = tokio::time::timeout(HELLO, connection.accept_bi(FrameLimits::FIRST)).await;
    let Ok(Ok((sender, receiver))) = first else {
        connection.close(Code::Invalid, "no hello came in time");
        return;
    };
    let Some(control) = control_stream::greet(desk, sender, receiver).await else {
        return;
    };
    let control = tokio::task::spawn_local(control_stream::push(Rc::clone(desk), control));
    let client = desk.client();
    // How many at once is the transport's to bound: a stream ends with its task.
    while let Ok((sender, receiver)) = connection.accept_bi(FrameLimits::FROM_CLIENT).await {
        tokio::task::spawn_local(stream(Rc::clone(desk), client, sender, receiver));
    }
    control.abort();
}

/// One stream, by the kind of its first frame.
async fn stream(
    desk: Rc<Desk>,
    client: ClientId,
    mut sender: paxlog_quic::FrameSender,
    mut receiver: paxlog_quic::FrameReceiver,
) {
    let first = match receiver.next().await {
        Ok(Some(first)) => first,
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(%error, "a stream began with no frame");
            sender.reset(Code::Invalid);
            return;
        }
    };
    match first.kind {
        Kind::CommandRequest => command_stream::serve(desk, client, first, sender, receiver).await,
        Kind::QueryRequest => query_stream::serve(&desk, &first, sender).await,
        Kind::ReadRequest => record_stream::serve_read(desk, &first, sender, receiver).await,
        Kind::TailRequest => record_stream::serve_tail(desk, &first, sender, receiver).await,
        kind => {
            tracing::debug!(?kind, "a stream began with a frame of the wrong kind");
            sender.reset(Code::Invalid);
            receiver.stop(Code::Invalid);
        }
    }
}
