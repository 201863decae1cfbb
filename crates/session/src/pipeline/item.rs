//! One command on its way.

use std::sync::Arc;

use bytes::Bytes;
use paxlog_wire::client::{CommandBody, CommandOutcome, Origin};

use crate::commands::Command;
use crate::{Error, Nanos};

/// What to do, but for the number and the log's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Append {
        log: Arc<str>,
        if_tail: Option<u64>,
        fence: Option<Arc<str>>,
    },
    Command(Command),
}

impl Work {
    /// The log whose id is needed first.
    pub(crate) fn log(&self) -> Option<&str> {
        match self {
            Work::Append { log, .. } => Some(log),
            Work::Command(Command::On { log, .. }) => Some(log),
            Work::Command(Command::Create { .. }) => None,
        }
    }

    /// The command; `log` is the id of [`Work::log`].
    pub(crate) fn command(&self, origin: Origin, log: u64) -> CommandBody {
        match self {
            Work::Append { if_tail, fence, .. } => CommandBody::Append {
                origin,
                log,
                if_tail: *if_tail,
                fence: fence.as_deref().map(str::to_owned),
            },
            Work::Command(command) => command.body(Some(origin), log),
        }
    }
}

/// A command from when it was taken until it is settled.
///
/// It is *numbered* when it is first sent; from then on it keeps its sequence. It is *open* while an
/// attempt may have been applied, or may yet be. It is *reported* when its owner was told its end,
/// which a deadline may bring before it is settled; then it goes on without an owner, since what
/// follows it can only be applied after it.
#[derive(Debug)]
pub(crate) struct Item<P> {
    /// Rises from item to item.
    pub(crate) serial: u64,
    pub(crate) work: Work,
    pub(crate) body: Vec<Bytes>,
    pub(crate) deadline: Nanos,
    /// For whoever is told; none once they were.
    pub(crate) owner: Option<P>,
    pub(crate) sequence: Option<u64>,
    /// The newest request that carries it.
    pub(crate) request: u64,
    /// Requests on the current stream that were not answered yet.
    pub(crate) pending: u32,
    /// An attempt ended without a definite answer.
    pub(crate) doubt: bool,
    /// The last definite refusal of an attempt that is worth trying again.
    pub(crate) refusal: Option<Error>,
    /// How it ended, for good.
    pub(crate) result: Option<Result<CommandOutcome, Error>>,
}

impl<P> Item<P> {
    pub(crate) fn open(&self) -> bool {
        self.result.is_none() && (self.pending > 0 || self.doubt)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}
