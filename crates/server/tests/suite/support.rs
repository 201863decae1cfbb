//! Replicas in this process, over real QUIC on loopback and real files.

use std::ffi::OsString;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use paxlog_quic::{CertificateAuthority, Credentials};
use paxlog_server::config::{
    Advertise, Config, CreateOnAppend, Limits, Listen, Logs, MemberConfig, Timing, Tls, WalConfig,
};
use paxlog_server::{ExitReason, Replica};

pub(crate) const CLUSTER: u128 = 0x5f0c_0001;
/// Everything here happens within this, on any machine, or is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Group {
    pub(crate) dir: tempfile::TempDir,
    authority: CertificateAuthority,
    pub(crate) configs: Vec<Config>,
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

pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl Group {
    pub(crate) fn new(n: u16) -> Group {
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
                    limits: Limits::default(),
                    logs: Logs {
                        create_on_append: CreateOnAppend::Always,
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

    pub(crate) fn start(&self) -> Vec<Replica> {
        self.configs
            .iter()
            .map(|config| Replica::start(config.clone()).expect("it starts"))
            .collect()
    }

    pub(crate) fn format(&self) {
        for config in &self.configs {
            paxlog_server::format(config).expect("formatted");
        }
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::of(
            &self.authority,
            &self.authority.issue_client("tester").expect("issued"),
        )
        .expect("fit")
    }
}

/// Names and contents of a directory's files.
pub(crate) fn files(dir: &Path) -> Vec<(OsString, Vec<u8>)> {
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

pub(crate) fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
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

pub(crate) fn leader(replicas: &[Replica]) -> usize {
    until("a leader that serves", || {
        replicas.iter().position(|replica| {
            let status = replica.status();
            status.ready && status.role == "leader"
        })
    })
}

pub(crate) fn stop(replicas: Vec<Replica>) {
    for replica in replicas {
        assert_eq!(
            replica.shutdown(Duration::from_secs(5)),
            ExitReason::Stopped
        );
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}
