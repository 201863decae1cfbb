//! A replica that refuses everything about a log with the error code that the log is named after: for what no healthy
//! cluster says, and to see how the program ends with each code there is. What is to be done to the log `silent` it takes,
//! and says no more.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;

use paxlog_quic::{Acceptor, Connection, Credentials, Endpoint, Plane, Tuning};
use paxlog_wire::client::{
    CommandBody, CommandOutcome, CommandReply, CommandRequest, ControlEvent, LogRef, PROTOCOL_MAX,
    Query, QueryReply, QueryRequest, ReadEvent, ReadRequest, ServerHello, ServerLimits,
};
use paxlog_wire::{Code, FrameLimits, Kind, LeaderHint, WireError};
use tokio::sync::oneshot;

use super::{Cluster, LIVENESS, block_on};

/// It serves until it is dropped.
pub(crate) struct Stub {
    stop: Option<oneshot::Sender<()>>,
    taken: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

impl Stub {
    /// Takes the place of a replica that does not run, with its certificate and at its address; it says that it leads.
    pub(crate) fn in_place_of(cluster: &Cluster, id: u16) -> Stub {
        let certs = cluster.certs();
        let credentials = Credentials::load(
            &certs.join("ca.pem"),
            &certs.join(format!("r{id}.pem")),
            &certs.join(format!("r{id}.key")),
        );
        let credentials = credentials.expect("good credentials");
        let address = cluster.place(id).clients;
        let hello = ServerHello {
            version: PROTOCOL_MAX,
            cluster: cluster.profile().cluster,
            replica: id,
            limits: ServerLimits::default(),
            leader: Some(leader(id, address)),
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, serves) = mpsc::channel();
        let (take, taken) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            block_on(async {
                let tuning = Tuning::of(Plane::Clients);
                let served = Endpoint::serve(Plane::Clients, address, &credentials, tuning);
                let (_endpoint, acceptor) = served.expect("a free port");
                ready.send(()).expect("it is waited for");
                tokio::select! {
                    () = accept(acceptor, hello, take) => {}
                    // However it ends.
                    _ = stopped => {}
                }
            });
        });
        serves.recv().expect("it serves");
        Stub {
            stop: Some(stop),
            taken,
            thread: Some(thread),
        }
    }
}

impl Stub {
    /// Waits until it has taken something and keeps silent about it.
    pub(crate) fn taken(&self) {
        self.taken.recv_timeout(LIVENESS).expect("a command comes");
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop = None;
        let ended = self.thread.take().expect("once").join();
        assert!(
            ended.is_ok() || std::thread::panicking(),
            "the stub panicked"
        );
    }
}

fn leader(replica: u16, address: SocketAddr) -> LeaderHint {
    LeaderHint {
        ballot: 1,
        replica,
        addresses: vec![address.to_string()],
    }
}

async fn accept(mut acceptor: Acceptor, hello: ServerHello, take: mpsc::Sender<()>) {
    while let Some(connection) = acceptor.next().await {
        tokio::spawn(serve(connection, hello.clone(), take.clone()));
    }
}

/// One connection, as far as the client keeps to the protocol.
async fn serve(connection: Connection, hello: ServerHello, take: mpsc::Sender<()>) -> Option<()> {
    let (mut control, mut said) = connection.accept_bi(FrameLimits::FIRST).await.ok()?;
    said.next().await.ok()??;
    control.send(&ControlEvent::Hello(hello)).await.ok()?;
    loop {
        let (mut sender, mut receiver) =
            connection.accept_bi(FrameLimits::FROM_CLIENT).await.ok()?;
        let take = take.clone();
        tokio::spawn(async move {
            while let Ok(Some(frame)) = receiver.next().await {
                let sent = match frame.kind {
                    Kind::CommandRequest => {
                        let asked: CommandRequest = paxlog_wire::decode(&frame).ok()?;
                        let request = asked.request;
                        let Some(result) = command(asked.command) else {
                            take.send(()).ok()?;
                            continue;
                        };
                        sender.send(&CommandReply { request, result }).await
                    }
                    Kind::QueryRequest => {
                        let asked: QueryRequest = paxlog_wire::decode(&frame).ok()?;
                        let result = Err(refusal(query(&asked.query)));
                        sender.send(&QueryReply { result }).await
                    }
                    Kind::ReadRequest => {
                        let asked: ReadRequest = paxlog_wire::decode(&frame).ok()?;
                        let error = refusal(named(&asked.log));
                        sender.send(&ReadEvent::Refused(error)).await
                    }
                    _ => return None,
                };
                sent.ok()?;
                if frame.kind != Kind::CommandRequest {
                    sender.finish();
                    sender.settled().await;
                }
            }
            Some(())
        });
    }
}

/// The log of whose changes nothing is said, and its id.
const SILENT: (&str, u64) = ("silent", 0);

/// Producers and logs are found; what is to be done to a log is refused, or never answered.
fn command(body: CommandBody) -> Option<Result<CommandOutcome, WireError>> {
    let log = match body {
        CommandBody::OpenProducer { .. } => {
            return Some(Ok(CommandOutcome::ProducerOpened {
                producer: 1,
                epoch: 1,
                last: None,
            }));
        }
        CommandBody::OpenLog { name, .. } => {
            return Some(Ok(CommandOutcome::LogOpened {
                log: id_of(&name),
                version: 1,
                existed: true,
                tail: 0,
                sealed: false,
            }));
        }
        CommandBody::CreateLog { name, .. } => id_of(&name),
        CommandBody::Append { log, .. }
        | CommandBody::Trim { log, .. }
        | CommandBody::Seal { log, .. }
        | CommandBody::AlterLog { log, .. }
        | CommandBody::DeleteLog { log, .. }
        | CommandBody::Fence { log, .. }
        | CommandBody::SetCursor { log, .. }
        | CommandBody::DeleteCursor { log, .. } => log,
    };
    (log != SILENT.1).then(|| Err(refusal(numbered(log))))
}

fn query(query: &Query) -> Code {
    match query {
        Query::CheckTail { log, .. }
        | Query::Describe { log, .. }
        | Query::Cursor { log, .. }
        | Query::Cursors { log, .. } => named(log),
        Query::List { .. } | Query::Status => Code::Internal,
    }
}

fn named(log: &LogRef) -> Code {
    match log {
        LogRef::Name(name) => numbered(id_of(name)),
        LogRef::Id(id) => numbered(*id),
    }
}

fn id_of(name: &str) -> u64 {
    if name == SILENT.0 {
        return SILENT.1;
    }
    let code = Code::ALL.iter().find(|code| code.name() == name);
    code.expect("logs are named after codes").number().into()
}

fn numbered(id: u64) -> Code {
    let code = u16::try_from(id).ok().and_then(Code::from_number);
    code.expect("ids are those of codes")
}

/// With what has to come with the code: a sequence that is due is the first one there is.
fn refusal(code: Code) -> WireError {
    let mut error = WireError::new(code, format!("a stub says {code}"));
    if code == Code::SequenceGap {
        error.found = Some(0);
    }
    error
}
