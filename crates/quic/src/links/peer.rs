//! One peer: its outboxes, and the task that keeps its two connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use paxlog_paxos::Class;
use paxlog_wire::Code;
use paxlog_wire::replica::Purpose;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::LinkStatus;
use super::backoff::Backoff;
use super::events::{Current, EventSender, LinkEvent};
use super::greeting::{Established, Ourselves, introduce};
use super::outbox::Outbox;
use super::reader::Reader;
use super::writer::write;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::failure::PeerError;
use crate::tls::Expect;

/// A connection that lasted so long was a good one: the next attempt comes at once.
const LASTED: Duration = Duration::from_secs(1);
/// Connections that wait for the keeper.
const MAILBOX_MAX: usize = 4;

pub(super) fn mailbox() -> (mpsc::Sender<Established>, mpsc::Receiver<Established>) {
    mpsc::channel(MAILBOX_MAX)
}

/// What is shared between the owner and a peer's tasks.
#[derive(Debug)]
pub(super) struct Peer {
    id: u16,
    control: Outbox,
    accepts: Outbox,
    catch_up: Outbox,
    /// The link whose messages count, of each connection.
    control_link: Current,
    accepts_link: Current,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    control: Option<Connection>,
    /// Of the last control connection.
    incarnation: Option<u128>,
    accepts: Option<Connection>,
    last_failure: Option<String>,
}

impl Peer {
    pub(super) fn new(id: u16) -> Self {
        Self {
            id,
            control: Outbox::new(Class::Control),
            accepts: Outbox::new(Class::Accepts),
            catch_up: Outbox::new(Class::CatchUp),
            control_link: Arc::new(AtomicU64::new(0)),
            accepts_link: Arc::new(AtomicU64::new(0)),
            live: Mutex::default(),
        }
    }

    pub(super) fn outbox(&self, class: Class) -> &Outbox {
        match class {
            Class::Control => &self.control,
            Class::Accepts => &self.accepts,
            Class::CatchUp => &self.catch_up,
        }
    }

    pub(super) fn status(&self) -> LinkStatus {
        let live = self.live();
        let lost = |connection: &Option<Connection>| {
            connection.as_ref().map_or(0, Connection::lost_packets)
        };
        LinkStatus {
            peer: self.id,
            control: live.control.is_some(),
            incarnation: live.incarnation.filter(|_| live.control.is_some()),
            accepts: live.accepts.is_some(),
            round_trip: live.control.as_ref().map(Connection::round_trip),
            lost_packets: lost(&live.control) + lost(&live.accepts),
            last_failure: live.last_failure.clone(),
        }
    }

    /// Whether the control connection is there.
    pub(super) fn has_control(&self) -> bool {
        self.control_link.load(Ordering::Acquire) != 0
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the failure for the status, and logs it unless it is the same as before.
    fn failed(&self, why: &PeerError) {
        let text = why.to_string();
        let mut live = self.live();
        if live.last_failure.as_deref() != Some(&text) {
            tracing::warn!(peer = self.id, "{text}");
            live.last_failure = Some(text);
        }
    }

    /// Which streams a connection has, and the link that counts on it.
    pub(super) fn of(&self, purpose: Purpose) -> (&[Class], &Current) {
        match purpose {
            Purpose::Control => (&[Class::Control], &self.control_link),
            Purpose::Accepts => (&[Class::Accepts, Class::CatchUp], &self.accepts_link),
        }
    }

    /// From here on messages of this connection count, and its outboxes take messages.
    fn up(&self, established: &Established) {
        let (classes, current) = self.of(established.hello.purpose);
        current.store(established.hello.link, Ordering::Release);
        classes.iter().for_each(|class| self.outbox(*class).open());
        let mut live = self.live();
        match established.hello.purpose {
            Purpose::Control => {
                live.control = Some(established.connection.clone());
                live.incarnation = Some(established.hello.incarnation);
            }
            Purpose::Accepts => live.accepts = Some(established.connection.clone()),
        }
    }

    /// From here on what still comes on it is dropped, and so is what is sent.
    fn down(&self, purpose: Purpose, code: Code, why: &str) {
        let (classes, current) = self.of(purpose);
        current.store(0, Ordering::Release);
        classes.iter().for_each(|class| self.outbox(*class).close());
        let mut live = self.live();
        let connection = match purpose {
            Purpose::Control => live.control.take(),
            Purpose::Accepts => live.accepts.take(),
        };
        if let Some(connection) = connection {
            connection.close(code, why);
        }
    }
}

/// Keeps the connections to one peer.
pub(super) struct Keeper {
    pub(super) peer: Arc<Peer>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) us: Ourselves,
    pub(super) endpoint: Endpoint,
    pub(super) events: EventSender,
    pub(super) pause_max: Duration,
    /// Where connections arrive, dialled or accepted.
    pub(super) mailbox: mpsc::Sender<Established>,
}

impl Keeper {
    pub(super) async fn run(self, mut established: mpsc::Receiver<Established>) {
        let keeper = Arc::new(self);
        let mut backoff = Backoff::new(keeper.pause_max);
        let mut replacement = None;
        let mut pause = Duration::ZERO;
        loop {
            let control = match replacement.take() {
                Some(control) => control,
                None => {
                    let _dialling = keeper.dial(Purpose::Control, pause);
                    loop {
                        match established.recv().await {
                            Some(first) if first.hello.purpose == Purpose::Control => break first,
                            // Accepts without control: the dialler gave up the control it belonged to.
                            Some(early) => early
                                .connection
                                .close(Code::Unavailable, "control comes first"),
                            None => return,
                        }
                    }
                }
            };
            let began = Instant::now();
            let (why, newer) = keeper.session(control, &mut established).await;
            keeper
                .peer
                .down(Purpose::Accepts, Code::Unavailable, "control is down");
            keeper
                .peer
                .down(Purpose::Control, why.code(), &why.to_string());
            keeper.peer.failed(&why);
            keeper
                .events
                .tell(LinkEvent::Down {
                    peer: keeper.peer.id,
                    why,
                })
                .await;
            if began.elapsed() >= LASTED {
                backoff.reset();
            }
            pause = backoff.pause();
            replacement = newer;
        }
    }

    /// Both connections, until control is lost or replaced by a newer one.
    async fn session(
        self: &Arc<Self>,
        control: Established,
        established: &mut mpsc::Receiver<Established>,
    ) -> (PeerError, Option<Established>) {
        let peer = &self.peer;
        let link = control.hello.link;
        peer.up(&control);
        self.events
            .tell(LinkEvent::ControlUp {
                peer: peer.id,
                hello: control.hello.clone(),
            })
            .await;
        let mut control_tasks = self.attend(&control);
        let mut accepts_tasks = JoinSet::new();
        let mut accepts_link = 0;
        let mut began = Instant::now();
        let mut backoff = Backoff::new(self.pause_max);
        let mut dialling = self.dial(Purpose::Accepts, Duration::ZERO);
        loop {
            tokio::select! {
                Some(ended) = control_tasks.join_next() => return (of_task(ended, &control.connection), None),
                Some(ended) = accepts_tasks.join_next(), if !accepts_tasks.is_empty() => {
                    accepts_tasks = JoinSet::new();
                    let why = of_task(ended, &control.connection);
                    peer.down(Purpose::Accepts, why.code(), &why.to_string());
                    peer.failed(&why);
                    if began.elapsed() >= LASTED {
                        backoff.reset();
                    }
                    dialling = self.dial(Purpose::Accepts, backoff.pause());
                }
                Some(newer) = established.recv() => match newer.hello.purpose {
                    Purpose::Control if newer.hello.link > link => {
                        let why = "a newer connection took its place".to_owned();
                        return (PeerError::Lost { address: newer.connection.address(), why }, Some(newer));
                    }
                    Purpose::Accepts if newer.hello.link > accepts_link => {
                        dialling = JoinSet::new();
                        accepts_tasks.abort_all();
                        peer.down(Purpose::Accepts, Code::Unavailable, "a newer connection took its place");
                        accepts_link = newer.hello.link;
                        began = Instant::now();
                        peer.up(&newer);
                        self.events.tell(LinkEvent::AcceptsUp { peer: peer.id }).await;
                        accepts_tasks = self.attend(&newer);
                    }
                    Purpose::Control | Purpose::Accepts => {
                        newer.connection.close(Code::Unavailable, "a newer connection is there");
                    }
                },
            }
            // Held so that it is not aborted before it is done.
            let _ = &dialling;
        }
    }

    /// Dials until it succeeds, if dialling is ours; the connection arrives in the mailbox. Stops when dropped.
    fn dial(self: &Arc<Self>, purpose: Purpose, pause: Duration) -> JoinSet<()> {
        let mut task = JoinSet::new();
        if self.us.replica < self.peer.id && !self.addresses.is_empty() {
            let keeper = self.clone();
            task.spawn(async move {
                let mut backoff = Backoff::new(keeper.pause_max);
                tokio::time::sleep(pause).await;
                for address in keeper.addresses.iter().cycle() {
                    match keeper.dial_once(*address, purpose).await {
                        Ok(established) => {
                            // Gone only when the links are.
                            let _ = keeper.mailbox.send(established).await;
                            return;
                        }
                        Err(error) => keeper.peer.failed(&error),
                    }
                    tokio::time::sleep(backoff.pause()).await;
                }
            });
        }
        task
    }

    async fn dial_once(
        &self,
        address: SocketAddr,
        purpose: Purpose,
    ) -> Result<Established, PeerError> {
        let connection = self
            .endpoint
            .connect(address, Expect::Replica(self.peer.id))
            .await?;
        introduce(&self.us, connection, purpose, link_number()).await
    }

    /// The tasks of one connection; when one ends, the connection is of no more use.
    fn attend(&self, established: &Established) -> JoinSet<PeerError> {
        let Established { connection, hello } = established;
        let mut tasks = JoinSet::new();
        for class in self.peer.of(hello.purpose).0 {
            tasks.spawn(write(
                self.peer.clone(),
                connection.clone(),
                hello.link,
                *class,
            ));
        }
        let reader = Reader::new(
            self.peer.clone(),
            connection.clone(),
            hello.clone(),
            self.events.clone(),
        );
        tasks.spawn(reader.run());
        tasks
    }
}

/// Why a connection's task ended; a panic of ours counts as the end of the connection.
fn of_task(ended: Result<PeerError, tokio::task::JoinError>, connection: &Connection) -> PeerError {
    ended.unwrap_or_else(|error| PeerError::Lost {
        address: connection.address(),
        why: error.to_string(),
    })
}

/// Rises over restarts too, as far as the clock does; where it does not, the older link must time out first.
fn link_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |since| since.as_nanos() as u64);
    let next = |last: u64| Some(now.max(last + 1));
    LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .map_or(now, |last| now.max(last + 1))
}
