//! The handle that everything begins with.

use std::time::Duration;

use paxlog_wire::Code;
use paxlog_wire::batch::Record;
use paxlog_wire::client::{LogDescription, ReadFrom, Receipt, Status, TailInfo};

use crate::types::{
    AppenderOptions, Consistency, Created, LogPage, ReadOptions, Sealed, TailOptions, Trimmed,
};
use crate::{Appender, Error, Profile, Reader, Tail};

/// The deadline of a call where the caller named none.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A cluster, as a client sees it: a warm connection to every replica. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    deadline: Duration,
}

fn unfinished() -> Error {
    Error::new(Code::Unavailable, "this client cannot connect yet")
}

impl Client {
    /// Connects; returns once one replica has answered. Connections to the others follow.
    ///
    /// # Errors
    /// `Unavailable` if none answers within [`DEADLINE`]; `Unauthenticated`, `WrongCluster` or
    /// `VersionMismatch` if those that answer refuse.
    pub async fn connect(profile: Profile) -> Result<Client, Error> {
        Client::connect_within(profile, DEADLINE).await
    }

    /// The same with another deadline, which holds for the calls on it too.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_within(_profile: Profile, _deadline: Duration) -> Result<Client, Error> {
        Err(unfinished())
    }

    /// The same client with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Client {
        self.deadline = deadline;
        self
    }

    /// The addresses of the profile.
    pub fn servers(&self) -> &[String] {
        &[]
    }

    /// Opens a producer and a log for appending.
    ///
    /// # Errors
    /// `NotFound` if the log does not exist and may not be made; whatever kept the cluster from answering.
    pub async fn appender(&self, _log: &str, _options: AppenderOptions) -> Result<Appender, Error> {
        Err(unfinished())
    }

    /// Appends once, through an appender of its own.
    ///
    /// # Errors
    /// As [`Appender::append`] and its receipt.
    pub async fn append(&self, _log: &str, _records: Vec<Record>) -> Result<Receipt, Error> {
        Err(unfinished())
    }

    /// Reads from a place on.
    ///
    /// # Errors
    /// `NotFound`, `OffsetOutOfRange`, `Trimmed` (strict), or whatever kept the cluster from answering.
    pub async fn read(
        &self,
        _log: &str,
        _from: ReadFrom,
        _options: ReadOptions,
    ) -> Result<Reader, Error> {
        Err(unfinished())
    }

    /// Follows a log.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub async fn tail(
        &self,
        _log: &str,
        _from: ReadFrom,
        _options: TailOptions,
    ) -> Result<Tail, Error> {
        Err(unfinished())
    }

    /// Where a log ends.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn check_tail(
        &self,
        _log: &str,
        _consistency: Consistency,
    ) -> Result<TailInfo, Error> {
        Err(unfinished())
    }

    /// Gives up everything below `to`, which is kept.
    ///
    /// # Errors
    /// `NotFound`, `OffsetOutOfRange`, or whatever kept the cluster from answering.
    pub async fn trim(&self, _log: &str, _to: u64) -> Result<Trimmed, Error> {
        Err(unfinished())
    }

    /// Allows no more appends, for good.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn seal(&self, _log: &str) -> Result<Sealed, Error> {
        Err(unfinished())
    }

    /// Makes a log.
    ///
    /// # Errors
    /// `AlreadyExists` unless `if_absent`; `Invalid` for a bad name.
    pub async fn create_log(&self, _log: &str, _if_absent: bool) -> Result<Created, Error> {
        Err(unfinished())
    }

    /// Everything about a log.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn describe_log(
        &self,
        _log: &str,
        _consistency: Consistency,
    ) -> Result<LogDescription, Error> {
        Err(unfinished())
    }

    /// Logs whose names begin with `prefix` and stand behind `after`, at most `limit`.
    ///
    /// # Errors
    /// Whatever kept the cluster from answering.
    pub async fn list_logs(
        &self,
        _prefix: &str,
        _after: Option<&str>,
        _limit: u32,
    ) -> Result<LogPage, Error> {
        Err(unfinished())
    }

    /// How one replica is, by its address in the profile.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer.
    pub async fn status(&self, _server: &str) -> Result<Status, Error> {
        Err(unfinished())
    }
}
