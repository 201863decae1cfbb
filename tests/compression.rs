//! Batches compressed by their producer: shorter on the log, and the same to whoever reads.

use bytes::{Bytes, BytesMut};
use paxlog_quic::{Credentials, Endpoint, Expect, FrameReceiver, FrameSender, Plane, Tuning};
use paxlog_wire::client::{
    ClientHello, CommandBody, CommandOutcome, CommandReply, CommandRequest, ControlEvent, Origin,
};
use paxlog_wire::{Flags, FrameLimits};

use crate::support::{Cluster, block_on};

/// Lines as services log them: alike, and each another one.
fn lines(count: usize) -> String {
    (0..count)
        .map(|i| {
            format!(
                "{{\"time\":\"2026-11-27T03:{:02}:{:02}Z\",\"level\":\"info\",\"request\":{i},\"path\":\"/v1/logs/{}\",\
                 \"status\":200,\"agent\":\"Mozilla/5.0 (X11; Linux x86_64)\"}}\n",
                i / 60 % 60,
                i % 60,
                i * 7919 % 1000,
            )
        })
        .collect()
}

#[test]
fn compressed_appends_are_shorter_on_the_log_and_read_back_the_same() {
    let mut cluster = Cluster::started();
    let text = lines(20_000);
    let file = cluster.dir().join("lines");
    std::fs::write(&file, &text).expect("written");
    let append = |log: &str, how: &str| {
        let append = ["append", log, "--compression", how, "--deadline", "60s"];
        cluster.paxlog(&append).arg(&file).run().ok();
    };
    let read = |log: &str, more: &[&str]| {
        let read = ["read", log, "--linearizable", "--deadline", "60s"];
        cluster
            .paxlog(&[&read[..], more].concat())
            .run()
            .ok()
            .text()
    };
    let bytes = |log: &str| {
        let describe = ["log", "describe", log, "--output", "json"];
        let log = cluster.paxlog(&describe).run().ok().json();
        assert_eq!(log["tail"], 20_000);
        log["bytes_appended"].as_u64().expect("a number")
    };
    append("none", "none");
    assert!(bytes("none") > text.len() as u64);
    for (log, how, at_most) in [
        ("lz4", "lz4", 4),
        ("zstd", "zstd", 8),
        ("small", "zstd:19", 8),
    ] {
        append(log, how);
        assert!(read(log, &[]) == text, "{how}: the same bytes");
        let (long, short) = (bytes("none"), bytes(log));
        println!("{how}: {short} of {long} bytes");
        assert!(short < long / at_most, "{how}: {short} of {long} bytes");
        // From within a batch, some records.
        let some: String = text.split_inclusive('\n').skip(777).take(5).collect();
        assert_eq!(read(log, &["--from", "777", "-n", "5"]), some);
    }
    // A log may have batches of all sorts; `tail` gives them, too.
    for how in ["none", "lz4", "zstd:1"] {
        let append = ["append", "mixed", "--compression", how];
        cluster.paxlog(&append).stdin(lines(50)).run().ok();
    }
    let mut tail = cluster
        .paxlog(&["tail", "mixed", "-f", "--from", "first"])
        .start();
    for line in lines(50).repeat(3).lines() {
        assert_eq!(tail.line().1, line);
    }
    drop(tail);
    for wrong in ["gzip", "lz4:1", "zstd:0", "zstd:99"] {
        let append = ["append", "mixed", "--compression", wrong, "-m", "x"];
        cluster.paxlog(&append).run().code(2);
    }
    cluster.finish();
}

/// Servers take what they need not understand; readers are told who is to blame, and where to go on.
#[test]
fn a_batch_that_nobody_can_decompress_ends_reads_with_where_to_go_on() {
    let mut cluster = Cluster::started();
    cluster
        .paxlog(&["append", "notes", "-m", "first"])
        .run()
        .ok();
    let leader = cluster.leader();
    block_on(append_by_hand(&cluster, leader, &no_block()));
    cluster
        .paxlog(&["append", "notes", "-m", "last"])
        .run()
        .ok();

    let read = ["read", "notes", "--linearizable", "--output", "json"];
    let output = cluster.paxlog(&read).run();
    assert_eq!(output.json_lines().len(), 1, "what came before it");
    let error = output.error_beside_results();
    assert_eq!(error["code"], "Invalid", "{error}");
    assert_eq!(error["skip_to"], 3, "{error}");
    assert_eq!(error["retry"], "never", "{error}");
    assert_eq!(error["exit"], 1, "{error}");
    let message = error["message"].as_str().expect("text");
    assert!(message.contains("offsets 1..3"), "{message}");
    let rest = cluster
        .paxlog(&["read", "notes", "--from", "3", "--linearizable"])
        .run()
        .ok();
    assert_eq!(rest.text(), "last\n");
    cluster
        .paxlog(&["tail", "notes", "-f", "--from", "first"])
        .run()
        .code(1)
        .says(&["offsets 1..3", "from 3"]);
    cluster.finish();
}

/// A batch of two records, as its header says, of a section that is no LZ4 block.
fn no_block() -> Bytes {
    let stored = [0xff; 40];
    let mut whole = BytesMut::zeroed(32);
    whole[0..4].copy_from_slice(b"PXB1");
    (whole[8], whole[9], whole[12]) = (1, 1, 2);
    (whole[16], whole[20]) = (stored.len() as u8, 99);
    whole.extend_from_slice(&stored);
    let crc = crc32c::crc32c(&whole[8..]);
    whole[4..8].copy_from_slice(&crc.to_le_bytes());
    whole.freeze()
}

/// Appends a batch as it is to `notes`: the client library makes none but good ones.
async fn append_by_hand(cluster: &Cluster, leader: u16, batch: &Bytes) {
    let profile = cluster.profile();
    let credentials =
        Credentials::load(&profile.ca, &profile.cert, &profile.key).expect("good credentials");
    let endpoint = Endpoint::dial_only(Plane::Clients, &credentials, Tuning::of(Plane::Clients))
        .expect("a socket");
    let connection = endpoint
        .connect(cluster.place(leader).clients, Expect::AnyReplica)
        .await
        .expect("the replica answers");
    let (mut control, mut events) = connection
        .open_bi(FrameLimits::TO_CLIENT)
        .await
        .expect("a stream");
    control
        .send(&ClientHello::new(profile.cluster))
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
    let open = CommandBody::OpenProducer {
        nonce: 1,
        name: None,
    };
    let opened = ask(&mut sender, &mut receiver, open, &[]).await;
    let CommandOutcome::ProducerOpened {
        producer, epoch, ..
    } = opened
    else {
        panic!("{opened:?}")
    };
    let find = CommandBody::OpenLog {
        origin: None,
        name: "notes".into(),
        create: false,
    };
    let found = ask(&mut sender, &mut receiver, find, &[]).await;
    let CommandOutcome::LogOpened { log, .. } = found else {
        panic!("{found:?}")
    };
    let origin = Origin {
        producer,
        epoch,
        sequence: 0,
    };
    let append = CommandBody::Append {
        origin,
        log,
        if_tail: None,
        fence: None,
    };
    let appended = ask(
        &mut sender,
        &mut receiver,
        append,
        std::slice::from_ref(batch),
    )
    .await;
    let CommandOutcome::Appended(receipt) = appended else {
        panic!("{appended:?}")
    };
    assert_eq!((receipt.start, receipt.end), (1, 3));
}

async fn ask(
    sender: &mut FrameSender,
    receiver: &mut FrameReceiver,
    command: CommandBody,
    body: &[Bytes],
) -> CommandOutcome {
    let request = CommandRequest {
        request: 1,
        deadline_ms: 10_000,
        command,
    };
    sender
        .send_with(&request, Flags::NONE, body)
        .await
        .expect("sent");
    let frame = receiver.next().await.expect("received").expect("a frame");
    let reply: CommandReply = paxlog_wire::decode(&frame).expect("a reply");
    reply.result.expect("nothing is wrong with it")
}
