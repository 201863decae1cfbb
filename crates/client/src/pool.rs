//! A warm connection to every replica: who is up, who leads, and streams on demand.
//!
//! One task a server keeps its connection: it connects, says hello on the control stream, publishes what the
//! replica pushes, and connects again when the connection ends. Streams are opened by whoever needs
//! them, on the connection that is there; while none is, they wait for the attempt under way.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use paxlog_quic::{
    Connection, Credentials, Endpoint, Expect, FrameReceiver, FrameSender, PeerError, Plane,
    ReceiveError, SendError, Tuning,
};
use paxlog_session::{LeaderTracker, Nanos, Server, account};
use paxlog_wire::client::{ClientHello, ControlEvent, Query, QueryRequest};
use paxlog_wire::{Code, FrameLimits, LeaderHint};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::{Error, Profile, random};

/// A stream that is being opened.
pub(crate) type Opening =
    Pin<Box<dyn Future<Output = Result<(FrameSender, FrameReceiver), Error>> + Send>>;

/// How long one attempt to connect may take, the hello included.
const CONNECT: Duration = Duration::from_secs(2);
/// The wait between attempts grows from here …
const AGAIN_FIRST: Duration = Duration::from_millis(20);
/// … to here, while nobody asks for the server; one who does cuts it to the first.
const AGAIN_LAST: Duration = Duration::from_secs(1);

/// What a server says that says nothing.
const NO_ANSWER: &str = "no answer";

/// How long a replica that lost its leadership may take to answer a small question.
const PROBE: Duration = Duration::from_millis(300);

/// What the task of a server knows.
#[derive(Clone)]
enum State {
    /// An attempt is under way; not the first one, if there is an error of the last.
    Connecting(Option<Error>),
    /// The replica said hello.
    Up(Connection),
    /// The last attempt failed, or the connection ended; the next attempt follows.
    Down(Error),
}

/// All servers.
pub(crate) struct Pool {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    cluster: u128,
    endpoint: Endpoint,
    begin: Instant,
    servers: Mutex<BTreeMap<Server, Line>>,
    /// The newest hint by its ballot.
    leader: watch::Sender<Option<LeaderHint>>,
    /// Counts changes of any server's state.
    changes: watch::Sender<u64>,
}

#[derive(Clone)]
struct Line {
    state: watch::Receiver<State>,
    /// Somebody wants this server now.
    wanted: Arc<Notify>,
}

impl Pool {
    /// Begins to connect to every server of the profile.
    pub(crate) fn start(profile: &Profile) -> Result<Arc<Pool>, Error> {
        let credentials = Credentials::load(&profile.ca, &profile.cert, &profile.key)
            .map_err(|error| Error::new(Code::Unauthenticated, error.to_string()))?;
        let endpoint =
            Endpoint::dial_only(Plane::Clients, &credentials, Tuning::of(Plane::Clients))
                .map_err(|error| Error::new(Code::Unavailable, error.to_string()))?;
        let pool = Pool {
            inner: Arc::new(Inner {
                cluster: profile.cluster,
                endpoint,
                begin: Instant::now(),
                servers: Mutex::new(BTreeMap::new()),
                leader: watch::Sender::new(None),
                changes: watch::Sender::new(0),
            }),
            tasks: Mutex::new(Vec::new()),
        };
        for server in &profile.servers {
            pool.line(&Server(server.as_str().into()));
        }
        Ok(Arc::new(pool))
    }

    /// Waits until a replica said hello.
    ///
    /// # Errors
    /// The best reason why none did, once every server failed for good or the deadline passed.
    pub(crate) async fn wait_up(&self, deadline: Duration) -> Result<(), Error> {
        let lines: Vec<(Server, Line)> = lock(&self.inner.servers)
            .iter()
            .map(|(server, line)| (server.clone(), line.clone()))
            .collect();
        let end = tokio::time::Instant::now() + deadline;
        let mut changes = self.inner.changes.subscribe();
        loop {
            let mut said: Vec<(&Server, String)> = Vec::new();
            let (mut open, mut refusal) = (false, None);
            for (server, line) in &lines {
                match &*line.state.borrow() {
                    State::Up(_) => return Ok(()),
                    State::Connecting(None) => {
                        open = true;
                        said.push((server, NO_ANSWER.to_owned()));
                    }
                    State::Down(error) | State::Connecting(Some(error)) => {
                        match error.retry {
                            paxlog_wire::Retry::Never => refusal = Some(error.clone()),
                            _ => open = true,
                        }
                        said.push((server, error.message.clone()));
                    }
                }
            }
            let all = || account(said.iter().map(|(server, words)| (*server, &**words)));
            let refused = |refusal: Error| Error {
                message: all(),
                ..refusal
            };
            if !open && let Some(refusal) = refusal {
                return Err(refused(refusal));
            }
            tokio::select! {
                // The sender lives in the pool, so this ends only with a change.
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(end) => return Err(match refusal {
                    Some(refusal) => refused(refusal),
                    None => Error::new(Code::Unavailable, format!("no replica answers: {}", all())),
                }),
            }
        }
    }

    /// Adds what is known of servers that an error does not speak of, where the cluster was not available: nobody
    /// asked them, but it may be they that are missing.
    pub(crate) fn explain(&self, error: Error) -> Error {
        if error.code.exit_code() != 3 {
            return error;
        }
        let mut missing = Vec::new();
        for (server, line) in &*lock(&self.inner.servers) {
            let why = match &*line.state.borrow() {
                State::Up(_) => continue,
                State::Down(why) | State::Connecting(Some(why)) => why.message.clone(),
                State::Connecting(None) => NO_ANSWER.to_owned(),
            };
            if !error.message.contains(&*server.0) {
                missing.push((server.clone(), why));
            }
        }
        match missing.is_empty() {
            true => error,
            false => Error {
                message: format!(
                    "{}; {}",
                    error.message,
                    account(missing.iter().map(|(server, words)| (server, &**words)))
                ),
                ..error
            },
        }
    }

    /// Opens a stream to a server. Waits for the first attempt to connect; once one has failed, or a connection
    /// was lost, it fails at once until there is a connection again: another replica may serve better.
    pub(crate) fn open(&self, server: &Server) -> Opening {
        let mut line = self.line(server);
        Box::pin(async move {
            let connection = loop {
                let state = line.state.borrow_and_update().clone();
                match state {
                    State::Up(connection) => break connection,
                    State::Down(error) | State::Connecting(Some(error)) => {
                        line.wanted.notify_one();
                        return Err(error);
                    }
                    State::Connecting(None) => {
                        if line.state.changed().await.is_err() {
                            return Err(Error::new(Code::Unavailable, "the client was closed"));
                        }
                    }
                }
            };
            connection
                .open_bi(FrameLimits::TO_CLIENT)
                .await
                .map_err(|error| lost(&error))
        })
    }

    /// What replicas said about the leader, from now on.
    pub(crate) fn hints(&self) -> Hints {
        Hints(changed(self.inner.leader.subscribe()))
    }

    /// For a new machine: every server, and the leader as far as it is known. Who may ask any replica begins with the
    /// leader: it knows first what was acknowledged.
    pub(crate) fn tracker(&self) -> LeaderTracker {
        let names: Vec<Server> = lock(&self.inner.servers).keys().cloned().collect();
        let mut tracker = LeaderTracker::new(names.iter().map(|server| &*server.0), random::seed());
        if let Some(hint) = &*self.inner.leader.borrow() {
            tracker.note(hint);
            for _ in 1..names.len() {
                if tracker.clone().next_in_turn().as_ref() == tracker.leader() {
                    break;
                }
                tracker.next_in_turn();
            }
        }
        tracker
    }

    pub(crate) fn now(&self) -> Nanos {
        self.inner.begin.elapsed().as_nanos() as Nanos
    }

    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        self.inner.begin + Duration::from_nanos(at)
    }

    /// Ends every connection, and says so to the replicas.
    pub(crate) async fn close(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        self.inner
            .endpoint
            .close(Code::Unavailable, "the client is done");
        self.inner
            .endpoint
            .drained(Duration::from_millis(100))
            .await;
    }

    /// The server's line; its task is started with the first question for it.
    fn line(&self, server: &Server) -> Line {
        let mut servers = lock(&self.inner.servers);
        if let Some(line) = servers.get(server) {
            return line.clone();
        }
        let (sender, receiver) = watch::channel(State::Connecting(None));
        let line = Line {
            state: receiver,
            wanted: Arc::new(Notify::new()),
        };
        servers.insert(server.clone(), line.clone());
        let keep = keep(
            self.inner.clone(),
            server.clone(),
            sender,
            line.wanted.clone(),
        );
        lock(&self.tasks).push(tokio::spawn(keep));
        line
    }
}

impl Drop for Pool {
    /// Replicas need not find out by themselves, if the runtime runs on for a moment.
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        self.inner
            .endpoint
            .close(Code::Unavailable, "the client is done");
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// Keeps the connection to one server.
async fn keep(inner: Arc<Inner>, server: Server, state: watch::Sender<State>, wanted: Arc<Notify>) {
    let mut again = AGAIN_FIRST;
    let publish = |now: State| {
        state.send_replace(now);
        inner.changes.send_modify(|count| *count += 1);
    };
    loop {
        let attempt = tokio::time::timeout(CONNECT, connect(&inner, &server)).await;
        let why = match attempt {
            Err(_) => Error::new(Code::Unavailable, NO_ANSWER),
            Ok(Err(why)) => why,
            Ok(Ok((connection, mut control))) => {
                again = AGAIN_FIRST;
                publish(State::Up(connection.clone()));
                let why = tokio::select! {
                    why = follow(&inner, &mut control) => why,
                    why = watch_succession(&inner, &connection) => {
                        connection.close(Code::Unavailable, "you do not answer");
                        why
                    }
                };
                tracing::debug!(%server, %why, "connection ended");
                why
            }
        };
        publish(State::Down(why.clone()));
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            () = wanted.notified() => tokio::time::sleep(AGAIN_FIRST.min(again)).await,
        }
        again = (again * 2).min(AGAIN_LAST);
        publish(State::Connecting(Some(why)));
    }
}

struct Control {
    /// Kept open: its end would end the control stream.
    _sender: FrameSender,
    receiver: FrameReceiver,
}

async fn connect(inner: &Inner, server: &Server) -> Result<(Connection, Control), Error> {
    let address = resolve(server).await?;
    let connection = inner
        .endpoint
        .connect(address, Expect::AnyReplica)
        .await
        .map_err(|error| lost(&error))?;
    let (mut sender, receiver) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .map_err(|error| lost(&error))?;
    sender
        .send(&ClientHello::new(inner.cluster))
        .await
        .map_err(|error| sent(&error))?;
    let mut control = Control {
        _sender: sender,
        receiver,
    };
    match control.next().await? {
        ControlEvent::Hello(hello) => {
            if hello.cluster != inner.cluster {
                return Err(Error::new(
                    Code::WrongCluster,
                    format!(
                        "{server} belongs to cluster {:032x}, the profile to {:032x}",
                        hello.cluster, inner.cluster
                    ),
                ));
            }
            if let Some(hint) = hello.leader {
                inner.hint(hint);
            }
            Ok((connection, control))
        }
        ControlEvent::Refused(error) => Err(error.into()),
        other => Err(Error::new(
            Code::Unavailable,
            format!("{server} began with {other:?} instead of a hello"),
        )),
    }
}

async fn resolve(server: &Server) -> Result<SocketAddr, Error> {
    if let Ok(address) = server.0.parse() {
        return Ok(address);
    }
    let found = tokio::net::lookup_host(&*server.0)
        .await
        .map(|mut addresses| addresses.next());
    match found {
        Ok(Some(address)) => Ok(address),
        Ok(None) => Err(Error::new(
            Code::Unavailable,
            format!("{server} has no address"),
        )),
        Err(error) => Err(Error::new(Code::Unavailable, format!("{server}: {error}"))),
    }
}

/// Publishes what the replica pushes, until the connection ends.
async fn follow(inner: &Inner, control: &mut Control) -> Error {
    loop {
        match control.next().await {
            Ok(ControlEvent::Leader(hint)) => inner.hint(hint),
            // Who leads next will be said; streams of this connection end by themselves.
            Ok(ControlEvent::NoLeader | ControlEvent::GoingAway | ControlEvent::Hello(_)) => {}
            Ok(ControlEvent::Refused(error)) => return error.into(),
            Err(why) => return why,
        }
    }
}

/// Ends when a replica that another one succeeded as leader does not answer: it was probably killed, and QUIC would
/// notice only after its idle time; readers of that replica would wait as long.
async fn watch_succession(inner: &Inner, connection: &Connection) -> Error {
    let mut leader = inner.leader.subscribe();
    let mut led = false;
    loop {
        let leads = leader
            .borrow_and_update()
            .as_ref()
            .is_some_and(|hint| Some(hint.replica) == connection.peer_replica());
        if led && !leads && !answers(connection).await {
            return Error::new(
                Code::Unavailable,
                "the replica fell silent when another became leader",
            );
        }
        led = leads;
        if leader.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether a replica answers a small question soon.
async fn answers(connection: &Connection) -> bool {
    let ask = async {
        let (mut sender, mut receiver) = connection.open_bi(FrameLimits::TO_CLIENT).await.ok()?;
        let question = QueryRequest {
            deadline_ms: PROBE.as_millis() as u32,
            query: Query::Status,
        };
        sender.send(&question).await.ok()?;
        receiver.next().await.ok()?
    };
    matches!(tokio::time::timeout(PROBE, ask).await, Ok(Some(_)))
}

impl Control {
    async fn next(&mut self) -> Result<ControlEvent, Error> {
        match self.receiver.next().await {
            Ok(Some(frame)) => paxlog_wire::decode(&frame).map_err(|error| {
                Error::new(
                    Code::Unavailable,
                    format!("the replica sent no sense: {error}"),
                )
            }),
            Ok(None) => Err(Error::new(
                Code::Unavailable,
                "the replica ended the connection",
            )),
            Err(error) => Err(received(&error)),
        }
    }
}

pub(crate) fn lost(error: &PeerError) -> Error {
    let message = match error {
        PeerError::Unreachable { .. } => NO_ANSWER.to_owned(),
        PeerError::WrongPort { .. } => {
            "this looks like a replica port: clients use another one (`listen.clients`, 7400 by default, not 7410)"
                .to_owned()
        }
        _ => error.to_string(),
    };
    Error::new(error.code(), message)
}

pub(crate) fn sent(error: &SendError) -> Error {
    match error {
        SendError::Lost(error) => lost(error),
        SendError::Stopped(_) | SendError::Finished | SendError::Encode(_) => {
            Error::new(Code::Unavailable, error.to_string())
        }
    }
}

pub(crate) fn received(error: &ReceiveError) -> Error {
    match error {
        ReceiveError::Lost(error) => lost(error),
        ReceiveError::Frame(_)
        | ReceiveError::Reset(_)
        | ReceiveError::Late
        | ReceiveError::Stopped => Error::new(Code::Unavailable, error.to_string()),
    }
}

impl Inner {
    fn hint(&self, hint: LeaderHint) {
        self.leader.send_if_modified(|known| {
            let newer = known.as_ref().is_none_or(|known| {
                (hint.ballot, &hint.addresses) > (known.ballot, &known.addresses)
            });
            if newer {
                *known = Some(hint);
            }
            newer
        });
    }
}

/// A subscription to the leader that can be polled.
pub(crate) struct Hints(Pin<Box<dyn Future<Output = watch::Receiver<Option<LeaderHint>>> + Send>>);

impl Hints {
    /// The newest hint, if it is newer than the last one given; else a wake-up is arranged.
    pub(crate) fn poll_change(&mut self, context: &mut Context<'_>) -> Option<LeaderHint> {
        let Poll::Ready(mut receiver) = self.0.as_mut().poll(context) else {
            return None;
        };
        let hint = receiver.borrow_and_update().clone();
        self.0 = changed(receiver);
        // The new future must hear of the next change.
        context.waker().wake_by_ref();
        hint
    }
}

fn changed(
    mut receiver: watch::Receiver<Option<LeaderHint>>,
) -> Pin<Box<dyn Future<Output = watch::Receiver<Option<LeaderHint>>> + Send>> {
    Box::pin(async move {
        if receiver.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        receiver
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing in here panics while it holds a lock; and a half-done insertion would still be a map.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
