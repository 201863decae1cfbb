//! Three replicas in one process, over real QUIC on loopback and real files:
//! they form, elect, hand over, and find their data again.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use paxlog_quic::{CertificateAuthority, Credentials, Endpoint, Expect, Identity, Plane, Tuning};
use paxlog_server::config::{
    Advertise, Config, Listen, Logs, MemberConfig, Timing, Tls, WalConfig,
};
use paxlog_server::{ExitReason, Replica, StartError};
use paxlog_wire::client::{
    ClientHello, CommandBody, CommandOutcome, CommandReply, CommandRequest, ControlEvent, LogRef,
    Origin, ReadEvent, ReadFrom, ReadRequest,
};
use paxlog_wire::{Flags, FrameLimits, batch};

const CLUSTER: u128 = 0x5f0c_0001;
/// Everything here happens within this, on any machine, or is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

struct Group {
    dir: tempfile::TempDir,
    authority: CertificateAuthority,
    configs: Vec<Config>,
}

fn free_ports(n: usize) -> Vec<u16> {
    let sockets: Vec<UdpSocket> = (0..n)
        .map(|_| UdpSocket::bind("127.0.0.1:0").expect("a free port"))
        .collect();
    sockets
        .iter()
        .map(|socket| socket.local_addr().expect("bound").port())
        .collect()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Group {
    fn new(n: u16) -> Group {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let authority = CertificateAuthority::make(CLUSTER).expect("a new authority");
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, authority.certificate_pem()).expect("written");
        let ports = free_ports(usize::from(n));
        let members: Vec<MemberConfig> = (1..=n)
            .map(|id| MemberConfig {
                id,
                replicas: vec![local(ports[usize::from(id) - 1])],
            })
            .collect();
        let configs = (1..=n)
            .map(|id| {
                let issued = authority.issue_replica(id).expect("issued");
                let (cert, key) = (
                    dir.path().join(format!("r{id}.pem")),
                    dir.path().join(format!("r{id}.key")),
                );
                issued.save(&cert, &key).expect("written");
                Config {
                    cluster: CLUSTER,
                    replica: id,
                    data_dir: dir.path().join(format!("r{id}")),
                    listen: Listen {
                        clients: local(0),
                        replicas: local(ports[usize::from(id) - 1]),
                        metrics: local(0),
                    },
                    advertise: Advertise { clients: vec![] },
                    members: members.clone(),
                    tls: Tls {
                        ca: ca.clone(),
                        cert,
                        key,
                    },
                    wal: WalConfig {
                        segment_bytes: 16 << 20,
                    },
                    timing: Timing {
                        heartbeat: Duration::from_millis(20),
                        stall: Duration::from_secs(1),
                    },
                    logs: Logs {
                        create_on_append: true,
                    },
                }
            })
            .collect();
        Group {
            dir,
            authority,
            configs,
        }
    }

    fn start(&self) -> Vec<Replica> {
        self.configs
            .iter()
            .map(|config| Replica::start(config.clone()).expect("it starts"))
            .collect()
    }

    fn format(&self) {
        for config in &self.configs {
            paxlog_server::format(config).expect("formatted");
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials::of(
            &self.authority,
            &self.authority.issue_client("tester").expect("issued"),
        )
        .expect("fit")
    }
}

/// Names and contents of a directory's files.
fn files(dir: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = std::fs::read_dir(dir).expect("there");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("there");
            (
                entry.file_name(),
                std::fs::read(entry.path()).expect("readable"),
            )
        })
        .collect();
    files.sort();
    files
}

fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn leader(replicas: &[Replica]) -> usize {
    until("a leader that serves", || {
        replicas.iter().position(|replica| {
            let status = replica.status();
            status.ready && status.role == "leader"
        })
    })
}

#[test]
fn a_directory_that_was_not_formatted_is_refused() {
    let group = Group::new(1);
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is not formatted");
    assert!(
        matches!(refused, StartError::NotFormatted { .. }),
        "{refused}"
    );
    assert!(
        !Path::new(&group.configs[0].data_dir).exists(),
        "nothing was made"
    );
    std::fs::create_dir(&group.configs[0].data_dir).expect("made");
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is empty");
    assert!(
        matches!(refused, StartError::NotFormatted { .. }),
        "{refused}"
    );
    assert_eq!(refused.exit_code(), 2);
    assert_eq!(
        std::fs::read_dir(&group.configs[0].data_dir)
            .expect("there")
            .count(),
        0,
        "nothing was made"
    );
    drop(group.dir);
}

#[test]
fn a_directory_in_use_and_a_busy_port_are_refused() {
    let group = Group::new(1);
    group.format();
    let first = group.start();
    let refused = Replica::start(group.configs[0].clone()).expect_err("it is in use");
    assert!(matches!(refused, StartError::InUse { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    let mut other = group.configs[0].clone();
    other.data_dir = group.dir.path().join("other");
    paxlog_server::format(&other).expect("formatted");
    let before = files(&other.data_dir);
    let refused = Replica::start(other.clone()).expect_err("the replica port is busy");
    assert!(matches!(refused, StartError::Endpoint(_)), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    other.listen.replicas = local(0);
    other.listen.metrics = first[0].metrics_addr();
    let refused = Replica::start(other.clone()).expect_err("the metrics port is busy");
    assert!(matches!(refused, StartError::Http { .. }), "{refused}");
    assert_eq!(refused.exit_code(), 3);
    assert_eq!(files(&other.data_dir), before, "nothing was changed");
    assert_eq!(first[0].exited(), None, "it runs on");
    assert_eq!(leader(&first), 0, "alone it is its own majority");
    for replica in first {
        assert_eq!(
            replica.shutdown(Duration::from_secs(5)),
            ExitReason::Stopped
        );
    }
}

#[test]
fn three_replicas_append_and_read_back_also_after_a_restart() {
    let group = Group::new(3);
    group.format();
    let replicas = group.start();
    let leading = leader(&replicas);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let payloads: Vec<String> = (0..200).map(|i| format!("record {i}")).collect();
    let address = replicas[leading].client_addr();
    let log = runtime.block_on(async { append_all(&group, address, &payloads).await });
    let read = runtime.block_on(async { read_all(&group, address, log).await });
    assert_eq!(read, payloads);
    for replica in replicas {
        assert_eq!(
            replica.shutdown(Duration::from_secs(5)),
            ExitReason::Stopped
        );
    }

    let replicas = group.start();
    leader(&replicas);
    for replica in &replicas {
        let address = replica.client_addr();
        until("all is applied", || {
            let read = runtime.block_on(async { read_all(&group, address, log).await });
            (read == payloads).then_some(())
        });
    }
    for replica in replicas {
        assert_eq!(
            replica.shutdown(Duration::from_secs(5)),
            ExitReason::Stopped
        );
    }
}

#[test]
fn another_leads_soon_after_the_leader_is_stopped() {
    let group = Group::new(3);
    group.format();
    let mut replicas = group.start();
    let first = leader(&replicas);
    let stopped = replicas.remove(first);
    let id = stopped.status().replica;
    assert_eq!(
        stopped.shutdown(Duration::from_secs(5)),
        ExitReason::Stopped
    );
    let second = leader(&replicas);
    assert_ne!(replicas[second].status().replica, id);
    for replica in replicas {
        replica.shutdown(Duration::from_secs(5));
    }
}

/// A client by hand: hello, a producer, a log, and one append a payload, all in
/// flight at once.
async fn append_all(group: &Group, address: SocketAddr, payloads: &[String]) -> u64 {
    let endpoint = Endpoint::dial_only(
        Plane::Clients,
        &group.credentials(),
        Tuning::of(Plane::Clients),
    )
    .expect("a socket");
    let connection = endpoint
        .connect(address, Expect::AnyReplica)
        .await
        .expect("connected");
    assert!(matches!(
        connection.peer(),
        Identity {
            cluster: CLUSTER,
            ..
        }
    ));
    let (mut control, mut events) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .expect("a stream");
    control
        .send(&ClientHello::new(CLUSTER))
        .await
        .expect("sent");
    let hello = events.next().await.expect("received").expect("a frame");
    assert!(matches!(
        paxlog_wire::decode(&hello),
        Ok(ControlEvent::Hello(_))
    ));

    let (mut sender, mut receiver) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .expect("a stream");
    let mut next = 0;
    let mut request = |command| {
        next += 1;
        CommandRequest {
            request: next,
            deadline_ms: 10_000,
            command,
        }
    };
    let opened = request(CommandBody::OpenProducer {
        nonce: 7,
        name: None,
    });
    sender.send(&opened).await.expect("sent");
    let producer = match reply(&mut receiver).await {
        CommandOutcome::ProducerOpened {
            producer, epoch, ..
        } => (producer, epoch),
        other => panic!("{other:?}"),
    };
    let (producer, epoch) = producer;
    let mut sequence = 0;
    let mut origin = || {
        sequence += 1;
        Origin {
            producer,
            epoch,
            sequence: sequence - 1,
        }
    };
    let open = request(CommandBody::OpenLog {
        origin: Some(origin()),
        name: "t".into(),
        create: true,
    });
    sender.send(&open).await.expect("sent");
    let log = match reply(&mut receiver).await {
        CommandOutcome::LogOpened {
            log,
            existed: false,
            ..
        } => log,
        other => panic!("{other:?}"),
    };
    for payload in payloads {
        let mut builder = batch::BatchBuilder::new();
        builder
            .push(&batch::Record::new(payload.clone()))
            .expect("small");
        let parts = builder.finish().expect("one record").into_parts();
        let append = request(CommandBody::Append {
            origin: origin(),
            log,
        });
        sender
            .push_with(&append, Flags::NONE, &parts)
            .expect("small");
    }
    sender.flush().await.expect("sent");
    for i in 0..payloads.len() as u64 {
        match reply(&mut receiver).await {
            CommandOutcome::Appended(receipt) => {
                assert_eq!((receipt.start, receipt.end), (i, i + 1))
            }
            other => panic!("{other:?}"),
        }
    }
    log
}

async fn reply(receiver: &mut paxlog_quic::FrameReceiver) -> CommandOutcome {
    let frame = tokio::time::timeout(PATIENCE, receiver.next())
        .await
        .expect("in time")
        .expect("received");
    let reply: CommandReply = paxlog_wire::decode(&frame.expect("a frame")).expect("a reply");
    reply.result.expect("no refusal")
}

async fn read_all(group: &Group, address: SocketAddr, log: u64) -> Vec<String> {
    let endpoint = Endpoint::dial_only(
        Plane::Clients,
        &group.credentials(),
        Tuning::of(Plane::Clients),
    )
    .expect("a socket");
    let connection = endpoint
        .connect(address, Expect::AnyReplica)
        .await
        .expect("connected");
    let (mut control, mut events) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .expect("a stream");
    control
        .send(&ClientHello::new(CLUSTER))
        .await
        .expect("sent");
    events.next().await.expect("received");
    let (mut sender, mut receiver) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .expect("a stream");
    let request = ReadRequest {
        deadline_ms: 10_000,
        log: LogRef::Id(log),
        from: ReadFrom::First,
        records_max: 0,
        bytes_max: 0,
        until_tail: true,
        until_timestamp: 0,
        wait_ms: 0,
        strict: false,
        linearizable: false,
    };
    sender.send(&request).await.expect("sent");
    let mut payloads = Vec::new();
    loop {
        let frame = tokio::time::timeout(PATIENCE, receiver.next())
            .await
            .expect("in time")
            .expect("received");
        let frame = frame.expect("a read ends with a last event");
        match paxlog_wire::decode::<ReadEvent>(&frame).expect("an event") {
            ReadEvent::Records(metas) => {
                for parts in
                    paxlog_wire::client::split_batches(&metas, &frame.body).expect("lengths add up")
                {
                    for record in batch::BatchView::parse_parts(&parts)
                        .expect("a whole batch")
                        .records()
                    {
                        payloads.push(String::from_utf8(record.payload.to_vec()).expect("text"));
                    }
                }
            }
            ReadEvent::End { .. } => return payloads,
            ReadEvent::Refused(_) => return Vec::new(),
            ReadEvent::Started(_) | ReadEvent::Gap { .. } => {}
        }
    }
}
