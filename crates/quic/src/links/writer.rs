//! Writing one stream of envelopes.

use std::sync::Arc;

use paxlog_paxos::Class;
use paxlog_wire::replica::LinkOpen;

use super::peer::Peer;
use crate::connection::Connection;
use crate::failure::PeerError;
use crate::framed::SendError;

/// Priority of the accepts stream over catch-up, which has 0.
const ACCEPTS_PRIORITY: i32 = 1;

/// Writes what the class's outbox gets: everything that was flushed since the last write goes in one. Says why it ended.
pub(super) async fn write(
    peer: Arc<Peer>,
    connection: Connection,
    link: u64,
    class: Class,
) -> PeerError {
    let address = connection.address();
    let lost = |why: String| PeerError::Lost { address, why };
    let outbox = peer.outbox(class);
    let writing = async {
        let mut sender = connection.open_uni().await?;
        if class == Class::Accepts {
            sender.set_priority(ACCEPTS_PRIORITY);
        }
        sender
            .send(&LinkOpen {
                link,
                class: class.into(),
            })
            .await?;
        let mut chunks = Vec::new();
        loop {
            outbox.take(&mut chunks).await;
            sender.write_chunks(&mut chunks).await?;
        }
    };
    let ended: Result<(), SendError> = tokio::select! {
        ended = writing => ended,
        () = outbox.overflow() => return lost("it does not take what we send".to_owned()),
    };
    match ended {
        Err(SendError::Lost(error)) => error,
        Err(error @ (SendError::Stopped(_) | SendError::Finished | SendError::Encode(_))) => {
            lost(error.to_string())
        }
        Ok(()) => lost("the stream ended".to_owned()),
    }
}
