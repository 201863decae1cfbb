//! The control stream: hello, then what a client should know unasked.

use std::rc::Rc;

use paxlog_quic::{FrameReceiver, FrameSender};
use paxlog_wire::client::{
    ClientHello, ControlEvent, PROTOCOL_MAX, PROTOCOL_MIN, ServerHello, ServerLimits,
};
use paxlog_wire::{Code, WireError};

use super::HELLO;
use super::desk::Desk;

/// Answers the hello; none if the client can't be served (it was told why).
pub(crate) async fn greet(
    desk: &Desk,
    mut sender: FrameSender,
    mut receiver: FrameReceiver,
) -> Option<FrameSender> {
    let hello = match receiver.next_within(HELLO).await {
        Ok(Some(frame)) => {
            paxlog_wire::decode::<ClientHello>(&frame).map_err(|error| error.to_string())
        }
        Ok(None) => Err("the stream ended".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    let hello = match hello {
        Ok(hello) => hello,
        Err(why) => {
            tracing::debug!(%why, address = %sender.connection().address(), "no hello");
            sender
                .connection()
                .close(Code::Invalid, "the first frame must be a hello");
            return None;
        }
    };
    let refusal = if hello.cluster != desk.cluster {
        Some(WireError::new(
            Code::WrongCluster,
            format!(
                "this is cluster {:032x}, and you want {:032x}",
                desk.cluster, hello.cluster
            ),
        ))
    } else if hello.agreed_version().is_none() {
        Some(WireError::new(
            Code::VersionMismatch,
            format!(
                "this replica speaks versions {PROTOCOL_MIN} to {PROTOCOL_MAX} of the protocol, you {} to {}",
                hello.version_min, hello.version_max
            ),
        ))
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let (code, message) = (refusal.code, refusal.message.clone());
        if sender.send(&ControlEvent::Refused(refusal)).await.is_ok() {
            sender.finish();
            sender.settled().await;
        }
        sender.connection().close(code, &message);
        return None;
    }
    let hello = ServerHello {
        version: hello.agreed_version().unwrap_or(PROTOCOL_MAX),
        cluster: desk.cluster,
        replica: desk.replica,
        limits: ServerLimits::default(),
        leader: desk.leader.borrow().clone(),
    };
    sender.send(&ControlEvent::Hello(hello)).await.ok()?;
    Some(sender)
}

/// Tells the client of each change of leader, and that the replica stops.
pub(crate) async fn push(desk: Rc<Desk>, mut sender: FrameSender) {
    let mut leader = desk.leader.subscribe();
    let mut going_away = desk.going_away.subscribe();
    // What changed since the hello was written counts as a change.
    leader.mark_changed();
    loop {
        let event = tokio::select! {
            changed = leader.changed() => {
                if changed.is_err() {
                    return;
                }
                match leader.borrow_and_update().clone() {
                    Some(hint) => ControlEvent::Leader(hint),
                    None => ControlEvent::NoLeader,
                }
            }
            changed = going_away.changed() => {
                if changed.is_err() {
                    return;
                }
                ControlEvent::GoingAway
            }
        };
        if sender.send(&event).await.is_err() {
            return;
        }
    }
}
