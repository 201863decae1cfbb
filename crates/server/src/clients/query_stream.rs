//! A query stream: one question, one answer.

use std::time::Duration;

use paxlog_node::Event;
use paxlog_quic::FrameSender;
use paxlog_wire::client::{Answer, Query, QueryReply, QueryRequest};
use paxlog_wire::{Code, Frame, WireError};

use super::desk::Desk;
use crate::http::LOOK;

/// Answers the question in the frame.
pub(crate) async fn serve(desk: &Desk, frame: &Frame, mut sender: FrameSender) {
    let reply = match paxlog_wire::decode::<QueryRequest>(frame) {
        Ok(QueryRequest {
            query: Query::Status,
            deadline_ms,
        }) => status(desk, Duration::from_millis(u64::from(deadline_ms))).await,
        Ok(request) => ask(desk, request).await,
        Err(error) => QueryReply {
            result: Err(WireError::new(Code::Invalid, error.to_string())),
        },
    };
    match sender.push(&reply) {
        Ok(()) => {
            if sender.flush().await.is_ok() {
                sender.finish();
            }
        }
        Err(error) => {
            tracing::error!(%error, "an answer can't be encoded");
            sender.reset(Code::Internal);
        }
    }
}

/// How the replica is now.
async fn status(desk: &Desk, deadline: Duration) -> QueryReply {
    desk.published.refresh(deadline.min(LOOK)).await;
    let status = desk.status.borrow().clone();
    QueryReply {
        result: status
            .map(|status| Answer::Status(Box::new(status)))
            .ok_or_else(|| WireError::new(Code::Electing, "the replica is starting")),
    }
}

/// Asks the core.
pub(super) async fn ask(desk: &Desk, request: QueryRequest) -> QueryReply {
    let patience = Duration::from_millis(u64::from(request.deadline_ms));
    let (id, answered) = desk.open_query();
    let answered = async {
        desk.event_room().await;
        desk.hand_in(Event::Query {
            query: id,
            deadline_ms: request.deadline_ms,
            ask: request.query,
        });
        answered.await
    };
    let late = || QueryReply {
        result: Err(WireError::new(
            Code::DeadlineExceeded,
            "no answer came before the deadline",
        )),
    };
    let reply = tokio::time::timeout(patience, answered)
        .await
        .map_or_else(|_| late(), |r| r.unwrap_or_else(|_| late()));
    desk.close_query(id);
    reply
}
