//! The handle that everything begins with.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use paxlog_session::{Change, Command, Consistency as Whom, Queries, QueriesConfig, Server, Token};
use paxlog_wire::Code;
use paxlog_wire::batch::Record;
use paxlog_wire::client::{
    Answer, CommandOutcome, ConfigChange, Cursor, Expected, LogDescription, LogRef, Query,
    ReadFrom, Receipt, Status, TailInfo,
};

use crate::commands::Commands;
use crate::driver::Driver;
use crate::pool::Pool;
use crate::types::{
    AppendOptions, AppenderOptions, Changed, Consistency, CreateOptions, Created, CursorPage,
    Fenced, LogPage, ReadOptions, Sealed, TailOptions, Trimmed,
};
use crate::{Appender, Error, Profile, Reader, Tail, random};

/// The deadline of a call where the caller named none.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// A cluster, as a client sees it: a warm connection to every replica. Clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Arc<Pool>,
    commands: Arc<Commands>,
    servers: Arc<[String]>,
    deadline: Duration,
}

impl Client {
    /// Connects; returns once one replica has answered. Connections to the others follow.
    ///
    /// # Errors
    /// `Unavailable` if none answers within [`DEADLINE`]; `Unauthenticated`, `WrongCluster` or
    /// `VersionMismatch` if every one refuses.
    pub async fn connect(profile: Profile) -> Result<Client, Error> {
        Client::connect_within(profile, DEADLINE).await
    }

    /// The same with another deadline, which holds for the calls on it too.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_within(profile: Profile, deadline: Duration) -> Result<Client, Error> {
        let pool = Pool::start(&profile)?;
        pool.wait_up(deadline).await?;
        Ok(Client {
            commands: Arc::new(Commands::new(pool.clone())),
            pool,
            servers: profile.servers.into(),
            deadline,
        })
    }

    /// The same client with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Client {
        self.deadline = deadline;
        self
    }

    /// The addresses of the profile.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Ends every connection, of all clones, and tells the replicas, so that they need not find out.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Ends every trim, seal, fence and other change that is under way, of all clones, at once and with what is known: an
    /// unknown outcome if it was sent and not answered, else not applied. Appends and reads are not touched. For a program
    /// that is told to stop and wants to say what became of its last command.
    pub fn give_up_changes(&self) {
        self.commands.give_up();
    }

    /// Opens a producer and a log for appending.
    ///
    /// # Errors
    /// `NotFound` if the log does not exist and may not be made; `Invalid` for a compression that there is not; whatever
    /// kept the cluster from answering.
    pub async fn appender(&self, log: &str, options: AppenderOptions) -> Result<Appender, Error> {
        Appender::open(self.pool.clone(), log, options).await
    }

    /// Appends once, all records or none, through an appender of its own.
    ///
    /// # Errors
    /// As [`Appender::append`] and its receipt.
    pub async fn append(&self, log: &str, records: Vec<Record>) -> Result<Receipt, Error> {
        self.append_with(log, records, AppendOptions::default())
            .await
    }

    /// Appends once, on conditions.
    ///
    /// # Errors
    /// `TailMismatch` with the real tail in [`Error::tail`], or `Fenced`: nothing was appended. Otherwise as
    /// [`Appender::append`] and its receipt.
    pub async fn append_with(
        &self,
        log: &str,
        records: Vec<Record>,
        on: AppendOptions,
    ) -> Result<Receipt, Error> {
        let options = AppenderOptions {
            deadline: self.deadline,
            fence: on.fence,
            ..AppenderOptions::default()
        };
        let appender = self.appender(log, options).await?;
        match on.if_tail {
            Some(tail) => appender.append_at(records, tail).await?.await,
            None => appender.append(records).await?.await,
        }
    }

    /// Reads from a place on. Errors of the log and the place come with the first batch.
    ///
    /// # Errors
    /// None at present.
    pub async fn read(
        &self,
        log: &str,
        from: ReadFrom,
        options: ReadOptions,
    ) -> Result<Reader, Error> {
        Ok(Reader::start(
            self.pool.clone(),
            log,
            from,
            &options,
            self.deadline,
        ))
    }

    /// Follows a log. Errors of the log and the place come with the first event.
    ///
    /// # Errors
    /// None at present.
    pub async fn tail(
        &self,
        log: &str,
        from: ReadFrom,
        options: TailOptions,
    ) -> Result<Tail, Error> {
        Ok(Tail::start(
            self.pool.clone(),
            log,
            from,
            &options,
            self.deadline,
        ))
    }

    /// Where a log ends.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn check_tail(&self, log: &str, consistency: Consistency) -> Result<TailInfo, Error> {
        let (log, linearizable, whom) = (
            LogRef::Name(log.into()),
            consistency == Consistency::Linearizable,
            whom(consistency),
        );
        match self
            .ask(Query::CheckTail { log, linearizable }, whom)
            .await?
        {
            Answer::Tail(tail) => Ok(tail),
            other => Err(unexpected(&other)),
        }
    }

    /// Gives up everything below `to`, which is kept.
    ///
    /// # Errors
    /// `NotFound`, `OffsetOutOfRange`, or whatever kept the cluster from answering.
    pub async fn trim(&self, log: &str, to: u64) -> Result<Trimmed, Error> {
        match self.change(log, Change::Trim { to }).await? {
            CommandOutcome::Trimmed {
                trim_point,
                tail,
                version,
                duplicate: _,
            } => Ok(Trimmed {
                trim_point,
                tail,
                version,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Allows no more appends, for good.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn seal(&self, log: &str) -> Result<Sealed, Error> {
        match self.change(log, Change::Seal).await? {
            CommandOutcome::Sealed {
                tail,
                version,
                duplicate: _,
            } => Ok(Sealed { tail, version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets what appends to the log must carry: from the tail that is returned on, everything in the log was appended
    /// under this token (none: without one), until the fence is set again. `expect` says what the fence must be for
    /// this to be done.
    ///
    /// # Errors
    /// `Fenced` if the fence is not as expected; `NotFound`; whatever kept the cluster from answering.
    pub async fn fence(
        &self,
        log: &str,
        token: Option<&str>,
        expect: Expected<String>,
    ) -> Result<Fenced, Error> {
        let token = token.map(str::to_owned);
        match self.change(log, Change::Fence { token, expect }).await? {
            CommandOutcome::FenceSet {
                tail,
                version,
                duplicate: _,
            } => Ok(Fenced { tail, version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes a log.
    ///
    /// # Errors
    /// `AlreadyExists` unless [`CreateOptions::if_absent`]; `Invalid` for a bad name.
    pub async fn create_log(&self, log: &str, options: CreateOptions) -> Result<Created, Error> {
        let command = Command::Create {
            log: log.into(),
            if_absent: options.if_absent,
            config: options.config,
        };
        match self.command(command).await? {
            CommandOutcome::LogOpened {
                log,
                version,
                existed,
                tail: _,
                sealed: _,
            } => Ok(Created {
                log,
                version,
                existed,
            }),
            other => Err(unexpected(&other)),
        }
    }

    /// Changes a log's settings; what is none in `change` stays as it is.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn alter_log(&self, log: &str, change: ConfigChange) -> Result<Changed, Error> {
        match self.change(log, Change::Alter(change)).await? {
            CommandOutcome::LogAltered {
                version,
                duplicate: _,
            } => Ok(Changed { version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a log with all its records and cursors. A log made again under the name starts afresh; whoever still
    /// appends to the old one, or reads it, gets `LogDeleted`.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn delete_log(&self, log: &str) -> Result<Changed, Error> {
        match self.change(log, Change::Delete).await? {
            CommandOutcome::LogDeleted {
                version,
                duplicate: _,
            } => Ok(Changed { version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Where a cursor of a log stands; none: there is no cursor of that name.
    ///
    /// # Errors
    /// `NotFound` if there is no such log; whatever kept the cluster from answering.
    pub async fn cursor(
        &self,
        log: &str,
        name: &str,
        consistency: Consistency,
    ) -> Result<Option<Cursor>, Error> {
        let query = Query::Cursor {
            log: LogRef::Name(log.into()),
            name: name.into(),
            linearizable: consistency == Consistency::Linearizable,
        };
        match self.ask(query, whom(consistency)).await? {
            Answer::Cursor { cursor, version: _ } => Ok(cursor),
            other => Err(unexpected(&other)),
        }
    }

    /// Sets a cursor of a log, and makes it if it is new. `expect` says where it must stand for this to be done.
    ///
    /// # Errors
    /// `CursorMismatch` with where it stands in [`Error::found`]; `OffsetOutOfRange` beyond the tail; `NotFound` if
    /// there is no such log; whatever kept the cluster from answering.
    pub async fn set_cursor(
        &self,
        log: &str,
        name: &str,
        at: u64,
        expect: Expected<u64>,
    ) -> Result<Changed, Error> {
        let name = name.to_owned();
        match self
            .change(log, Change::SetCursor { name, at, expect })
            .await?
        {
            CommandOutcome::CursorSet {
                at: _,
                version,
                duplicate: _,
            } => Ok(Changed { version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Deletes a cursor of a log.
    ///
    /// # Errors
    /// `NotFound` if there is no such log or cursor; whatever kept the cluster from answering.
    pub async fn delete_cursor(&self, log: &str, name: &str) -> Result<Changed, Error> {
        let name = name.to_owned();
        match self.change(log, Change::DeleteCursor { name }).await? {
            CommandOutcome::CursorDeleted {
                version,
                duplicate: _,
            } => Ok(Changed { version }),
            other => Err(unexpected(&other)),
        }
    }

    /// Cursors of a log whose names begin with `prefix` and stand behind `after`, at most `limit`.
    ///
    /// # Errors
    /// `NotFound` if there is no such log; whatever kept the cluster from answering.
    pub async fn list_cursors(
        &self,
        log: &str,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
        consistency: Consistency,
    ) -> Result<CursorPage, Error> {
        let query = Query::Cursors {
            log: LogRef::Name(log.into()),
            prefix: prefix.into(),
            after: after.map(Into::into),
            limit,
            linearizable: consistency == Consistency::Linearizable,
        };
        match self.ask(query, whom(consistency)).await? {
            Answer::Cursors {
                cursors,
                more,
                version: _,
            } => Ok(CursorPage { cursors, more }),
            other => Err(unexpected(&other)),
        }
    }

    /// Everything about a log.
    ///
    /// # Errors
    /// `NotFound`, or whatever kept the cluster from answering.
    pub async fn describe_log(
        &self,
        log: &str,
        consistency: Consistency,
    ) -> Result<LogDescription, Error> {
        let (log, linearizable, whom) = (
            LogRef::Name(log.into()),
            consistency == Consistency::Linearizable,
            whom(consistency),
        );
        match self
            .ask(Query::Describe { log, linearizable }, whom)
            .await?
        {
            Answer::Description(description) => Ok(description),
            other => Err(unexpected(&other)),
        }
    }

    /// Logs whose names begin with `prefix` and stand behind `after`, at most `limit`; as one replica, the leader if
    /// it is known, knows them.
    ///
    /// # Errors
    /// Whatever kept the cluster from answering.
    pub async fn list_logs(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<LogPage, Error> {
        let query = Query::List {
            prefix: prefix.into(),
            after: after.map(Into::into),
            limit,
        };
        match self.ask(query, Whom::Leader).await? {
            Answer::Logs { logs, more } => Ok(LogPage { logs, more }),
            other => Err(unexpected(&other)),
        }
    }

    /// How one replica is, by its address in the profile.
    ///
    /// # Errors
    /// `Unavailable` if it does not answer.
    pub async fn status(&self, server: &str) -> Result<Status, Error> {
        match self
            .ask(Query::Status, Whom::Only(Server(server.into())))
            .await?
        {
            Answer::Status(status) => Ok(*status),
            other => Err(unexpected(&other)),
        }
    }

    async fn change(&self, log: &str, what: Change) -> Result<CommandOutcome, Error> {
        self.command(Command::on(log, what)).await
    }

    async fn command(&self, command: Command) -> Result<CommandOutcome, Error> {
        self.commands.run(command, self.deadline).await
    }

    async fn ask(&self, query: Query, whom: Whom) -> Result<Answer, Error> {
        let machine = Queries::new(QueriesConfig::new(random::seed()), self.pool.tracker());
        let mut driver = Driver::new(self.pool.clone(), machine);
        let now = driver.now();
        // What is about one server is not about the others.
        let one = matches!(whom, Whom::Only(_));
        driver.machine.ask(
            now,
            Token(0),
            query,
            whom,
            now + self.deadline.as_nanos() as u64,
        );
        let result = poll_fn(|context| {
            loop {
                if let Some(done) = driver.machine.poll_done() {
                    return Poll::Ready(done.result);
                }
                if driver.poll_turn(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        result.map_err(|error| if one { error } else { driver.explain(error) })
    }
}

fn whom(consistency: Consistency) -> Whom {
    match consistency {
        Consistency::Linearizable => Whom::Leader,
        Consistency::Local => Whom::Any,
    }
}

fn unexpected(other: &impl std::fmt::Debug) -> Error {
    Error::new(
        Code::Internal,
        format!("the replica answered another question: {other:?}"),
    )
}
