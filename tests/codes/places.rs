//! Doors, disks and outages.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use paxlog_client::Profile;
use paxlog_quic::Plane;
use paxlog_wire::client::{ClientHello, CommandBody, ControlEvent, LogConfig, ReadFrom};
use paxlog_wire::{Code, Flags, WireError};

use super::{By, Seen, append_to, promise, tail};
use crate::support::hostile::dial;
use crate::support::raw::{Commands, Raw, appended, batch_of};
use crate::support::{
    Cluster, LIVENESS, Options, Plumbed, Signal, block_on, get, paxlog, read_at, skipped, until,
};

pub(super) async fn doors(cluster: &Cluster, leader: u16) {
    let mut seen = Seen::new(By::Door);
    let profile = cluster.profile();
    let place = cluster.place(leader);
    for (hello, code) in [
        (ClientHello::new(!profile.cluster), Code::WrongCluster),
        (
            ClientHello {
                version_min: 99,
                version_max: 100,
                cluster: profile.cluster,
            },
            Code::VersionMismatch,
        ),
    ] {
        let (raw, event) = Raw::greet(&profile, place.clients, &hello).await;
        let ControlEvent::Refused(error) = event else {
            panic!("{event:?}");
        };
        seen.refused(code, &error);
        assert_eq!(raw.closed().await.code(), code);
    }
    // A client's certificate where only replicas may be.
    let name = format!("r{leader}.{}.replica.paxlog", cluster.id);
    let certs = cluster.certs();
    let dialled = dial(Plane::Replicas, &certs, "tester", &name, place.replicas);
    let (_endpoint, connection) = dialled.await.expect("the handshake is good");
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            let code = u16::try_from(close.error_code.into_inner()).ok();
            let code = code.and_then(Code::from_number).expect("a code");
            let said = String::from_utf8_lossy(&close.reason).into_owned();
            seen.refused(Code::Forbidden, &WireError::new(code, said));
        }
        other => panic!("{other}"),
    }
    // A client of another authority, which names this cluster.
    let strange = cluster.dir().join("strange");
    fs::create_dir(&strange).expect("made");
    let flag = strange.to_str().expect("text");
    let init = ["certs", "init", "--cluster", &cluster.id, "--dir", flag];
    paxlog(init).run().ok();
    paxlog(["certs", "issue", "--client", "tester", "--dir", flag])
        .args(&["--servers", &place.clients.to_string()])
        .run()
        .ok();
    let error = paxlog(["append", "one", "-m", "x", "--output", "json"])
        .profile(&strange.join("tester.toml"))
        .run()
        .error(promise(Code::Unauthenticated).exit);
    assert_eq!(error["code"], "Unauthenticated", "{error}");
    let facts = (&error["retry"], &error["outcome"]);
    assert_eq!(facts, (&"never".into(), &"not_applied".into()), "{error}");
    let said = error["message"].as_str().expect("text");
    let said = WireError::new(Code::Unauthenticated, said);
    seen.refused(Code::Unauthenticated, &said);
    // One that takes the cluster's authority for its own: so it is the replica that refuses.
    fs::copy(certs.join("ca.pem"), strange.join("ca.pem")).expect("copied");
    let dialled = dial(Plane::Clients, &strange, "tester", &name, place.clients).await;
    let said = match dialled {
        Err(why) => why,
        Ok((_endpoint, connection)) => connection.closed().await.to_string(),
    };
    assert!(said.contains("cryptographic handshake"), "{said}");
    seen.all();
}

/// A leader that both others left: of what it has taken in nobody knows, and it takes in nothing more.
pub(super) async fn lost_majority(cluster: &mut Cluster, seen: &mut Seen) {
    let profile = cluster.profile();
    let mut log = 0;
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < LIVENESS, "it always knew before");
        let leader = cluster.leader();
        let others: Vec<u16> = (1..=3).filter(|id| *id != leader).collect();
        let address = cluster.place(leader).clients;
        let raw = Raw::connect(&profile, address).await;
        let mut one = raw.producer().await;
        if log == 0 {
            log = one.create("out", LogConfig::default()).await.expect("made");
        }
        let before = tail(&raw, log).await;
        for id in &others {
            cluster.signal(*id, Signal::STOP);
        }
        let late = match one.append(log, b"late").await {
            Err(late) => late,
            // One of them was not quite still yet.
            Ok(_) => {
                for id in &others {
                    cluster.signal(*id, Signal::CONT);
                }
                continue;
            }
        };
        // The machine may have been so busy that the leader knew first, or that it is none any more.
        let unknown = late.code == Code::OutcomeUnknown;
        if unknown {
            seen.refused(Code::OutcomeUnknown, &late);
        }
        let mut two = raw.commands().await;
        let refused = two.open(None).await.expect_err("no majority");
        for id in &others {
            cluster.signal(*id, Signal::CONT);
        }
        let unavailable = refused.code == Code::Unavailable;
        if unavailable {
            let hint = refused.leader.as_ref().expect("it names itself");
            assert_eq!(hint.addresses, [address.to_string()]);
            seen.refused(Code::Unavailable, &refused);
        }
        // The same sequence at whoever leads now: once, whether it was applied already or not.
        let start = settled(cluster, &profile, &mut one, log).await;
        assert_eq!(start, before.offset, "once, and nothing before it");
        let leader = cluster.leader();
        let raw = Raw::connect(&profile, cluster.place(leader).clients).await;
        assert_eq!(tail(&raw, log).await.offset, before.offset + 1);
        if unknown && unavailable {
            return;
        }
    }
}

/// Sends the append of a producer's next sequence to whoever leads, until it is answered for good; gives its offset.
async fn settled(cluster: &mut Cluster, profile: &Profile, of: &mut Commands, log: u64) -> u64 {
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < LIVENESS, "it is not settled");
        let leader = cluster.leader();
        let raw = Raw::connect(profile, cluster.place(leader).clients).await;
        let mut again = raw.commands().await;
        (again.producer, again.epoch) = (of.producer, of.epoch);
        let command = append_to(log, of.at(of.sequence));
        match appended(again.send(command, &batch_of(b"late"), Flags::NONE).await) {
            Ok(receipt) => return receipt.start,
            Err(error) => assert_ne!(error.retry(), paxlog_wire::Retry::Never, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One of three is left: there is no leader, and it says so once it knows.
pub(super) async fn no_leader(cluster: &mut Cluster, left: u16, seen: &mut Seen) {
    let profile = cluster.profile();
    let others: Vec<u16> = (1..=3).filter(|id| *id != left).collect();
    // One that led would go on saying so, and that it has no majority.
    while cluster.leader() == left {
        cluster.signal(left, Signal::STOP);
        std::thread::sleep(Duration::from_secs(2));
        cluster.signal(left, Signal::CONT);
        // Not before it has heard of its successor.
        until("it follows", || {
            (cluster.status(left)?["role"] == "follower").then_some(())
        });
    }
    cluster.kill_all(&others);
    let raw = Raw::connect(&profile, cluster.place(left).clients).await;
    let begin = Instant::now();
    loop {
        assert!(
            begin.elapsed() < LIVENESS,
            "it waits for a leader that is gone"
        );
        let mut one = raw.commands().await;
        let refused = one.open(None).await.expect_err("nobody leads");
        if refused.code == Code::Electing {
            return seen.refused(Code::Electing, &refused);
        }
        // It does not know yet; or it led.
        let before = [Code::NotLeader, Code::Unavailable, Code::OutcomeUnknown];
        assert!(before.contains(&refused.code), "{refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Logs whose records are damaged at one replica: by one bit, and by what stands before them too.
const DAMAGED: [&str; 2] = ["flipped", "lost"];

/// A replica's copy changes under it: whoever reads there is told, and reads elsewhere.
pub(super) async fn damage(cluster: &Cluster, at: u16) {
    let mut seen = Seen::new(By::Damage);
    let (place, profile) = (cluster.place(at), cluster.profile());
    let words = b"these words stand in one place only".repeat(3_000);
    let whole = String::from_utf8(words.clone()).expect("text");
    let file = cluster.dir().join("words");
    fs::write(&file, &words).expect("written");
    for log in DAMAGED {
        let append = cluster.paxlog(&["append", log, "--as", "whole"]);
        append.arg(&file).run().ok();
        let begin = Instant::now();
        while read_at(&profile, place.clients, log).await.is_empty() {
            assert!(begin.elapsed() < LIVENESS, "replica {at} lags");
        }
    }
    let found = find(&place.data, &words);
    assert_eq!(found.len(), 2, "each stands once: {found:?}");
    // One bit of the first; of the second, what stands around its beginning.
    let write = |(file, offset): &(PathBuf, u64), bytes: &[u8]| {
        let file = fs::OpenOptions::new().write(true).open(file);
        file.expect("there")
            .write_all_at(bytes, *offset)
            .expect("written");
    };
    write(&found[0], &[words[0] ^ 1]);
    let (file, offset) = &found[1];
    write(&(file.clone(), offset - 4_000), &[0xa5; 5_000]);

    let refused = raw_refusal(&profile, place.clients, "lost").await;
    seen.refused(Code::Corrupt, &refused);
    for log in DAMAGED {
        let read = cluster.paxlog(&["read", log]).run().ok();
        assert!(read.text().trim_end() == whole, "{log} is not whole");
    }
    seen.all();
}

/// A damaged replica is all that is left to ask.
pub(super) fn nothing_but_damage(cluster: &Cluster) {
    // Long enough to find that the others are gone, each in a second or so.
    let read = |log: &&str| {
        let read = ["read", *log, "--deadline", "6s", "--output", "json"];
        cluster.paxlog(&read).start()
    };
    let reads: Vec<_> = DAMAGED.iter().map(read).collect();
    for read in reads {
        let error = read.end().error(promise(Code::Corrupt).exit);
        assert_eq!(error["code"], "Corrupt", "{error}");
        assert_eq!(error["retry"], promise(Code::Corrupt).retry, "{error}");
        assert_eq!(error["outcome"], "not_applied", "{error}");
    }
}

async fn raw_refusal(profile: &Profile, address: SocketAddr, log: &str) -> WireError {
    let raw = Raw::connect(profile, address).await;
    raw.read_refused(log, ReadFrom::First).await
}

/// Where bytes stand in a replica's segments.
fn find(data: &Path, bytes: &[u8]) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(data).expect("there") {
        let path = entry.expect("readable").path();
        if path.extension().is_none_or(|ending| ending != "seg") {
            continue;
        }
        let text = fs::read(&path).expect("readable");
        let mut at = 0;
        while at + bytes.len() <= text.len() {
            match text[at..].starts_with(bytes) {
                true => {
                    found.push((path.clone(), at as u64));
                    at += bytes.len();
                }
                false => at += 1,
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_full_disk_refuses_appends_takes_trims_and_heals() {
    let cluster = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let place = cluster.place(1).clone();
    // Of some segments: the newest two stay whatever is trimmed.
    let config = fs::read_to_string(&place.config).expect("there");
    fs::write(&place.config, config.replace("16MiB", "9MiB")).expect("written");
    // A small disk of its own, which only this process sees, and which goes with it.
    let script = "mount -t tmpfs -o size=56m none \"$1\" && \"$2\" format --config \"$3\" >&2 && \
                  exec \"$2\" serve --until-stdin-ends --config \"$3\"";
    let log = fs::File::create(&place.log).expect("a log file");
    let child = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(&place.data)
        .arg(env!("CARGO_BIN_EXE_paxlog"))
        .arg(&place.config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let Ok(child) = child else {
        return skipped("there is no unshare(1) here to have a small disk with");
    };
    let mut run = Plumbed::of(child, "serve on a small disk");
    let ready = until("it is ready, or may not have a disk of its own", || {
        if run.child.try_wait().expect("a child of ours").is_some() {
            return Some(false);
        }
        matches!(get(place.metrics, "/readyz"), Ok((200, _))).then_some(true)
    });
    if !ready {
        let said = cluster.log(1);
        assert!(said.contains("unshare") || said.contains("mount"), "{said}");
        return skipped("this process may not mount a disk of its own");
    }
    let mut seen = Seen::new(By::FullDisk);
    block_on(async {
        let raw = Raw::connect(&cluster.profile(), place.clients).await;
        let mut one = raw.producer().await;
        let log = one.create("big", LogConfig::default()).await.expect("made");
        let payload = vec![b'x'; 512 << 10];
        let mut count = 0;
        let refused = loop {
            match one.append(log, &payload).await {
                Ok(_) => count += 1,
                Err(error) => break error,
            }
            assert!(count < 200, "100 MB on a disk of 56");
        };
        seen.refused(Code::DiskFull, &refused);
        assert_eq!(tail(&raw, log).await.offset, count);
        // From outside.
        let append = [
            "append",
            "big",
            "-m",
            "no",
            "--deadline",
            "1s",
            "--output",
            "json",
        ];
        let output = cluster
            .paxlog(&append)
            .run()
            .code(promise(Code::DiskFull).exit);
        let error = output.error_beside_results();
        assert_eq!(error["code"], "DiskFull", "{error}");
        let facts = (&error["retry"], &error["outcome"]);
        assert_eq!(facts, (&"after".into(), &"not_applied".into()), "{error}");
        assert_eq!(tail(&raw, log).await.offset, count);
        let read = cluster.paxlog(&["read", "big", "-n", "1"]).run().ok();
        assert_eq!(read.stdout.len(), payload.len() + 1);
        let origin = Some(one.next());
        let to = count - 1;
        let trim = CommandBody::Trim { origin, log, to };
        one.call(trim).await.expect("trims still work");
        let begin = Instant::now();
        let receipt = loop {
            match one.append(log, &payload).await {
                Ok(receipt) => break receipt,
                Err(error) => assert_eq!(error.code, Code::DiskFull, "{error}"),
            }
            assert!(begin.elapsed() < LIVENESS, "it does not heal");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(receipt.start, count, "nothing that was refused was applied");
    });
    seen.all();
    drop(run);
    cluster.no_panics();
}
