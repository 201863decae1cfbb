//! A cluster inside this program: one replica, or three, through `paxlog-server`, and a client beside them.
//!
//! It is the real thing: certificates, QUIC on loopback, files that are synced before anything is acknowledged. One
//! replica survives a crash of the program; three in one program are good for tests only, where one is to be stopped.
//!
//! ```sh
//! cargo run --release -p paxlog-client --example embedded                  # a temporary directory
//! cargo run --release -p paxlog-client --example embedded -- --replicas 3 --listen 127.0.0.1:7500 --dir data
//! ```
//!
//! Started again with the same `--dir` it finds its records again.

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use paxlog_client::{Client, From, Profile, ReadOptions, Record};
use paxlog_quic::CertificateAuthority;
use paxlog_server::config::{
    Advertise, Config, CreateOnAppend, Limits, Listen, Logs, MemberConfig, Timing, Tls, WalConfig,
};
use paxlog_server::{FormatError, Replica};

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    match embedded() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

const LOG: &str = "embedded";
/// How long a replica may hand over and end what is under way when it is stopped.
const PATIENCE: Duration = Duration::from_secs(5);

fn embedded() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| {
        let at = args.iter().position(|arg| arg == flag)?;
        args.get(at + 1).map(String::as_str)
    };
    let count: u16 = value("--replicas").map_or(Ok(1), str::parse)?;
    // Clients at this port and those after it, replicas ten above, metrics on the same ports by TCP.
    let listen: SocketAddr = value("--listen").unwrap_or("127.0.0.1:7500").parse()?;
    let temporary = std::env::temp_dir().join(format!("paxlog-embedded-{}", std::process::id()));
    let dir = value("--dir").map_or(temporary.clone(), PathBuf::from);

    let configs = configs(&dir, count, listen)?;
    let mut replicas = Vec::new();
    for config in &configs {
        // A directory is made once, on purpose: one that is lost must never be taken for a new one.
        match paxlog_server::format(config) {
            Ok(_) | Err(FormatError::AlreadyFormatted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Each replica has threads of its own; dropping the handle stops it.
        replicas.push(Replica::start(config.clone())?);
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(append_and_read(profile(&dir, &configs)));

    // All at once, else those that are left would elect a leader in between.
    let stopping: Vec<_> = replicas
        .into_iter()
        .map(|replica| std::thread::spawn(move || replica.shutdown(PATIENCE)))
        .collect();
    for replica in stopping {
        let reason = replica.join().map_err(|_| "a replica panicked")?;
        println!("a replica ended: {reason}");
    }
    if dir == temporary {
        std::fs::remove_dir_all(&dir)?;
    }
    result
}

/// A client as anywhere else. It waits by itself until the replicas have formed their group and elected a leader.
async fn append_and_read(profile: Profile) -> Result<(), Failure> {
    let client = Client::connect(profile).await?;
    let receipt = client.append(LOG, vec![Record::new("hello")]).await?;
    println!("appended at {}", receipt.start);
    let mut reader = client
        .read(LOG, From::First, ReadOptions::default())
        .await?;
    while let Some(batch) = reader.next_batch().await? {
        for stored in batch.records() {
            let payload = String::from_utf8_lossy(&stored.record.payload);
            println!("{}: {payload}", stored.offset);
        }
    }
    client.close().await;
    Ok(())
}

/// What `paxlog serve` reads from a file, made here in code, with certificates of an authority of our own.
fn configs(dir: &Path, count: u16, listen: SocketAddr) -> Result<Vec<Config>, Failure> {
    let certs = dir.join("certs");
    let authority = if certs.join("ca.key").exists() {
        CertificateAuthority::load(&certs)?
    } else {
        std::fs::create_dir_all(&certs)?;
        // The cluster's id is 128 random bits: two clusters must never take each other for their own.
        let id = u128::from(random()) << 64 | u128::from(random());
        let authority = CertificateAuthority::make(id)?;
        authority.save(&certs)?;
        let client = authority.issue_client("me")?;
        client.save(&certs.join("me.pem"), &certs.join("me.key"))?;
        for id in 1..=count {
            let [cert, key] = files(&certs, id);
            authority.issue_replica(id)?.save(&cert, &key)?;
        }
        authority
    };
    let port = |above: u16| SocketAddr::new(listen.ip(), listen.port() + above);
    let members: Vec<MemberConfig> = (1..=count)
        .map(|id| MemberConfig {
            id,
            replicas: vec![port(10 + id - 1)],
        })
        .collect();
    let config = |id: u16| {
        let [cert, key] = files(&certs, id);
        Config {
            cluster: authority.cluster(),
            replica: id,
            data_dir: dir.join(format!("r{id}")),
            listen: Listen {
                clients: port(id - 1),
                replicas: port(10 + id - 1),
                metrics: port(id - 1),
            },
            advertise: Advertise {
                clients: vec![port(id - 1).to_string()],
            },
            members: members.clone(),
            tls: Tls {
                ca: certs.join("ca.pem"),
                cert,
                key,
            },
            wal: WalConfig {
                segment_bytes: 16 << 20,
            },
            timing: Timing::default(),
            limits: Limits::default(),
            logs: Logs {
                create_on_append: CreateOnAppend::Always,
            },
        }
    };
    Ok((1..=count).map(config).collect())
}

fn files(certs: &Path, id: u16) -> [PathBuf; 2] {
    ["pem", "key"].map(|what| certs.join(format!("r{id}.{what}")))
}

fn profile(dir: &Path, configs: &[Config]) -> Profile {
    let certs = dir.join("certs");
    Profile {
        cluster: configs[0].cluster,
        servers: configs
            .iter()
            .flat_map(|config| config.advertise.clients.clone())
            .collect(),
        ca: certs.join("ca.pem"),
        cert: certs.join("me.pem"),
        key: certs.join("me.key"),
    }
}

/// From the operating system, by way of the keys of the standard library's hash tables.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
