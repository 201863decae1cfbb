//! What is wrong is refused with a sentence that names it and its exit code; nothing panics; and the cluster
//! serves on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use paxlog_quic::Plane;
use paxlog_wire::client::{ClientHello, CommandBody, CommandRequest, Origin};
use paxlog_wire::{Flags, FrameEncoder};

use crate::support::hostile::{dial, noise, say};
use crate::support::{Cluster, Options, Output, Rng, block_on, paxlog, seed};

/// An append goes through, whatever was done before.
fn serves(cluster: &mut Cluster) {
    cluster.alive();
    cluster
        .paxlog(&["append", "alive", "-m", "yes", "--deadline", "60s"])
        .run()
        .ok();
}

#[test]
fn records_over_the_limit_are_refused_with_their_line_and_earlier_ones_stand() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let large = "x".repeat((1 << 20) + 1);
    let refused = cluster
        .paxlog(&["append", "notes", "--output", "json"])
        .stdin(format!("one\ntwo\n{large}\nfour\n"))
        .run()
        .code(1);
    let error = refused.error_beside_results();
    assert_eq!(
        (&error["code"], &error["line"]),
        (&"TooLarge".into(), &3.into()),
        "{error}"
    );
    assert_eq!(error["records"], 2, "{error}");
    assert_eq!(
        (&error["retry"], &error["outcome"]),
        (&"never".into(), &"not_applied".into()),
        "{error}"
    );
    assert_eq!(refused.json()["records"], 2, "the summary says what stands");
    let file = cluster.dir().join("large");
    fs::write(&file, &large).expect("written");
    let whole = cluster
        .paxlog(&["append", "notes", "--as", "whole"])
        .arg(&file)
        .run()
        .code(1);
    whole.says(&["longer than a record may be", "1048576"]);
    let json = cluster
        .paxlog(&["append", "notes", "--as", "json"])
        .stdin("{\"payload\":\"three\"}\n{\"payload\":4}\n")
        .run()
        .code(1);
    json.says(&[
        "line 2 of stdin",
        "\"payload\" that is not text",
        "1 record before line 2 stands, it and what followed were not applied",
    ]);
    let headers = format!(
        "{{\"payload\":\"\",\"headers\":[[\"h\",\"{}\"]]}}",
        "h".repeat(33 << 10)
    );
    let headers = cluster
        .paxlog(&["append", "notes", "--as", "json", "--output", "json"])
        .stdin(headers)
        .run()
        .code(1);
    assert_eq!(headers.error_beside_results()["code"], "TooLarge");
    let read = cluster
        .paxlog(&["read", "notes", "--linearizable"])
        .run()
        .ok();
    assert_eq!(read.text(), "one\ntwo\nthree\n");
    serves(&mut cluster);
    cluster.finish();
}

#[test]
fn an_append_without_a_good_first_record_makes_no_log_and_says_that_nothing_was_applied() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let large = "x".repeat((1 << 20) + 1);
    let file = cluster.dir().join("large");
    fs::write(&file, &large).expect("written");
    let file = file.to_str().expect("text").to_owned();
    let dir = cluster.dir().to_str().expect("text").to_owned();
    let headers = format!(
        "{{\"payload\":\"\",\"headers\":[[\"h\",\"{}\"]]}}",
        "h".repeat(33 << 10)
    );
    for (arguments, stdin, exit, code) in [
        (&[][..], &*large, 1, "TooLarge"),
        (&["--as", "json"], "{\"payload\":4}\n", 1, "Invalid"),
        (&["--as", "json"], "no json at all", 1, "Invalid"),
        (&["--as", "json"], &headers, 1, "TooLarge"),
        (&[&file, "--as", "whole"], "", 1, "TooLarge"),
        (&["/nowhere/in.txt"], "", 2, "Invalid"),
        (&[&dir], "", 2, "Invalid"),
    ] {
        let append = || {
            cluster
                .paxlog(&["append", "unborn"])
                .args(arguments)
                .stdin(stdin)
        };
        let error = append().args(&["--output", "json"]).run().error(exit);
        assert_eq!(error["code"], code, "{error}");
        assert_eq!(error["retry"], "never", "{error}");
        assert_eq!(error["outcome"], "not_applied", "{error}");
        assert_eq!(error["records"], 0, "{error}");
        append()
            .run()
            .code(exit)
            .says(&["nothing of it was applied"]);
    }
    // A flag that is none is wrong before anything is looked at, and says so in the same words.
    let error = cluster
        .paxlog(&["append", "unborn", "--as", "pages", "--output", "json"])
        .run()
        .error(2);
    assert_eq!(
        (&error["code"], &error["retry"], &error["outcome"]),
        (&"Invalid".into(), &"never".into(), &"not_applied".into()),
        "{error}"
    );
    // Nothing to append is no error, and no reason to make a log.
    let empty = cluster
        .paxlog(&["append", "unborn", "--output", "json"])
        .run()
        .ok()
        .json();
    assert_eq!(
        (&empty["records"], &empty["start"]),
        (&0.into(), &serde_json::Value::Null),
        "{empty}"
    );
    assert_eq!(cluster.paxlog(&["log", "list"]).run().ok().text(), "");
    serves(&mut cluster);
    cluster.finish();
}

#[test]
fn an_unknown_log_is_refused_where_appends_do_not_create() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: false,
    });
    let refused = cluster
        .paxlog(&["append", "nowhere", "-m", "x", "--output", "json"])
        .run();
    let error = refused.error(1);
    assert_eq!(error["code"], "NotFound", "{error}");
    assert_eq!(error["outcome"], "not_applied", "{error}");
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|h| h.contains("log create"))
    );
    for command in [
        &["read", "nowhere"][..],
        &["read", "nowhere", "--linearizable"],
        &["tail", "nowhere"],
        &["tail", "nowhere", "-f"],
        &["check-tail", "nowhere"],
        &["trim", "nowhere", "1"],
        &["seal", "nowhere"],
        &["log", "describe", "nowhere"],
    ] {
        let error = cluster
            .paxlog(command)
            .args(&["--output", "json"])
            .run()
            .error(1);
        assert_eq!(error["code"], "NotFound", "{command:?}: {error}");
    }
    for name in ["", "no spaces", "ž", &"n".repeat(256)] {
        let error = cluster
            .paxlog(&["log", "create", name, "--output", "json"])
            .run()
            .error(2);
        assert_eq!(error["exit"], 2, "{name:?}: {error}");
    }
    cluster.paxlog(&["log", "create", "alive"]).run().ok();
    serves(&mut cluster);
    cluster.finish();
}

/// Edits a replica's config and tries to serve with it.
fn serve_with(cluster: &Cluster, edit: impl FnOnce(String) -> String) -> Output {
    let text = fs::read_to_string(&cluster.place(1).config).expect("there");
    let edited = edit(text.clone());
    assert_ne!(edited, text, "the edit changes something");
    let file = cluster.dir().join("edited.toml");
    fs::write(&file, edited).expect("written");
    paxlog(["serve", "--config"]).arg(&file).run()
}

#[test]
fn wrong_config_files_certificates_and_directories_are_refused_before_anything_is_opened() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let other = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });

    // Keys and values, with what was meant.
    let edit = |from: &'static str, to: &'static str| move |t: String| t.replacen(from, to, 1);
    serve_with(&cluster, edit("segment_bytes", "segment_byts"))
        .code(2)
        .says(&[
            "unknown key `wal.segment_byts`",
            "did you mean",
            "segment_bytes",
            "edited.toml:",
        ]);
    serve_with(&cluster, edit("\"16MiB\"", "\"many\""))
        .code(2)
        .says(&["wal.segment_bytes", "many"]);
    serve_with(&cluster, edit("replica = 1", "replica = 7"))
        .code(2)
        .says(&["member"]);
    serve_with(&cluster, edit("replica = 1", "replica = \"x\""))
        .code(2)
        .says(&["replica"]);
    serve_with(&cluster, edit("[tls]", "[tls"))
        .code(2)
        .says(&["edited.toml:"]);
    serve_with(&cluster, edit("127.0.0.1", "localhost"))
        .code(2)
        .says(&["listen.clients"]);
    serve_with(&cluster, edit("cluster = \"", "cluster = \"zz"))
        .code(2)
        .says(&["cluster"]);
    serve_with(&cluster, |text| text.replace("data_dir = \"r1\"\n", ""))
        .code(2)
        .says(&["`data_dir` is not set"]);
    paxlog(["serve", "--config", "/nowhere/r1.toml"])
        .run()
        .code(2)
        .says(&["/nowhere/r1.toml"]);
    paxlog(["serve"])
        .run()
        .code(2)
        .says(&["is not set", "--config"]);

    // Certificates: not there, another replica's, a client's, another cluster's, open to everybody.
    serve_with(&cluster, edit("certs/r1.pem", "certs/none.pem"))
        .code(2)
        .says(&["certs/none.pem"]);
    let certs = cluster.certs();
    let certs_flag = certs.to_str().expect("text");
    paxlog(["certs", "issue", "--replica", "2", "--dir", certs_flag])
        .run()
        .ok();
    serve_with(&cluster, |t| t.replace("certs/r1.", "certs/r2."))
        .code(2)
        .says(&["r2.pem", "replica 2"]);
    serve_with(&cluster, |t| t.replace("certs/r1.", "certs/tester."))
        .code(2)
        .says(&["tester"]);
    serve_with(&cluster, edit("certs/r1.key", "certs/r2.key"))
        .code(2)
        .says(&["the private key does not belong", "replica 1"]);
    let foreign = other.certs().display().to_string();
    serve_with(&cluster, |t| {
        t.replace("\"certs/", &format!("\"{foreign}/"))
    })
    .code(2)
    .says(&[&other.id]);
    let open = certs.join("open.key");
    fs::copy(certs.join("r1.key"), &open).expect("copied");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("changed");
    serve_with(&cluster, edit("certs/r1.key", "certs/open.key"))
        .code(2)
        .says(&["open.key"]);
    paxlog(["certs", "init", "--dir", certs_flag])
        .run()
        .code(2)
        .says(&["already"]);

    // The data directory: in use, formatted already, another cluster's.
    paxlog(["serve", "--config"])
        .arg(&cluster.place(1).config)
        .run()
        .code(3)
        .says(&["in use"]);
    paxlog(["format", "--config"])
        .arg(&other.place(1).config)
        .run()
        .code(2)
        .says(&["formatted already"]);
    let theirs = other.place(1).data.display().to_string();
    serve_with(&cluster, |t| t.replace("\"r1\"", &format!("\"{theirs}\"")))
        .code(2)
        .says(&[&theirs, "cluster"]);
    // A directory of its own, but the ports are taken, each in turn.
    let free = crate::support::Ports::take();
    let place = cluster.place(1).clone();
    for (busy, flags) in [
        (
            place.clients.to_string(),
            [
                ("--listen-replicas", free.replicas(1)),
                ("--listen-metrics", free.metrics(1)),
            ],
        ),
        (
            place.replicas.to_string(),
            [
                ("--listen-clients", free.clients(1)),
                ("--listen-metrics", free.metrics(1)),
            ],
        ),
        (
            place.metrics.to_string(),
            [
                ("--listen-clients", free.clients(1)),
                ("--listen-replicas", free.replicas(1)),
            ],
        ),
    ] {
        let data = tempfile::tempdir_in(cluster.dir()).expect("a directory");
        let mut serve = paxlog(["serve", "--config"])
            .arg(&place.config)
            .arg("--data-dir")
            .arg(data.path());
        paxlog(["format", "--config"])
            .arg(&place.config)
            .arg("--data-dir")
            .arg(data.path())
            .run()
            .ok();
        for (flag, address) in flags {
            serve = serve.arg(flag).arg(address.to_string());
        }
        serve.run().code(3).says(&[&busy]);
    }
    assert_eq!(
        fs::read_to_string(&place.config)
            .expect("there")
            .matches("16MiB")
            .count(),
        1
    );
    serves(&mut cluster);
    cluster.finish();
}

#[test]
fn format_checks_what_serve_checks_and_makes_nothing_where_it_refuses() {
    let cluster = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let other = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let certs = cluster.certs();
    let certs_flag = certs.to_str().expect("text");
    for whom in [&["--replica", "2"][..], &["--client", "somebody"]] {
        paxlog(["certs", "issue", "--dir", certs_flag])
            .args(whom)
            .run()
            .ok();
    }
    let open = certs.join("open.key");
    fs::copy(certs.join("r1.key"), &open).expect("copied");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("changed");
    let fresh = cluster.dir().join("fresh");
    let good = fs::read_to_string(&cluster.place(1).config)
        .expect("there")
        .replace("\"r1\"", "\"fresh\"");
    let file = cluster.dir().join("edited.toml");
    let format = |text: &str, json: bool| {
        fs::write(&file, text).expect("written");
        let format = paxlog(["format", "--config"]).arg(&file);
        match json {
            true => format.args(&["--output", "json"]).run(),
            false => format.run(),
        }
    };
    let foreign = format!("\"{}/", other.certs().display());
    let sample = paxlog(["serve", "--print-sample"])
        .run()
        .ok()
        .text()
        .replace("/var/lib/paxlog", "fresh");
    let wrong: [(String, &[&str]); 8] = [
        (sample, &["sample", "paxlog certs init"]),
        (
            good.replace("r1.pem", "none.pem"),
            &["none.pem", "certs issue"],
        ),
        (
            good.replace("r1.key", "none.key"),
            &["none.key", "certs issue"],
        ),
        (good.replace("ca.pem", "none.ca"), &["none.ca"]),
        (good.replace("certs/r1.", "certs/r2."), &["replica 2"]),
        (good.replace("certs/r1.", "certs/somebody."), &["somebody"]),
        (good.replace("r1.key", "open.key"), &["open.key", "chmod"]),
        (good.replace("\"certs/", &foreign), &[&other.id]),
    ];
    for (text, says) in wrong {
        assert_ne!(text, good);
        format(&text, false).code(2).says(says);
        format(&text, true).error(2);
        assert!(!fresh.exists(), "nothing was made: {says:?}");
    }
    format(&good, false).ok();
    assert!(fresh.exists());
    // What is there stays as it is.
    let before = fs::read_dir(&fresh).expect("a directory").count();
    format(&good, false).code(2).says(&["formatted already"]);
    assert_eq!(fs::read_dir(&fresh).expect("a directory").count(), before);
}

#[test]
fn wrong_profiles_are_refused() {
    let mut cluster = Cluster::started_with(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let other = Cluster::made(&Options {
        replicas: 1,
        create_on_append: true,
    });
    let empty = tempfile::tempdir().expect("a directory");
    // None anywhere.
    let error = paxlog(["read", "notes", "--output", "json"])
        .dir(empty.path())
        .run()
        .error(2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains(".paxlog/client.toml")),
        "{error}"
    );
    assert!(
        error["hint"]
            .as_str()
            .is_some_and(|h| h.contains("paxlog dev")),
        "{error}"
    );
    let read = |profile: &Path| {
        paxlog([
            "read",
            "notes",
            "--deadline",
            "5s",
            "--output",
            "json",
            "--profile",
        ])
        .arg(profile)
        .run()
    };
    let error = read(Path::new("/nowhere/client.toml")).error(2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("/nowhere")),
        "{error}"
    );
    let good = fs::read_to_string(cluster.profile_path()).expect("there");
    let file = cluster.certs().join("edited.toml");
    let edited = |text: String| {
        assert_ne!(text, good);
        fs::write(&file, text).expect("written");
        &file
    };
    let error = read(edited(good.replace("servers", "server"))).error(2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("`servers`")),
        "{error}"
    );
    let error = read(edited(good.replace("tester.pem", "none.pem"))).error(2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains("none.pem")),
        "{error}"
    );

    // Another cluster's client, complete with its authority: neither side takes the other.
    let foreign = fs::read_to_string(other.profile_path()).expect("there");
    let ours = cluster.place(1).clients.to_string();
    let theirs = other.place(1).clients.to_string();
    let file = other.certs().join("edited.toml");
    fs::write(&file, foreign.replace(&theirs, &ours)).expect("written");
    let error = read(&file).error(1);
    assert_eq!(error["code"], "Unauthenticated", "{error}");
    // The right authority, but a certificate that another one signed.
    for ending in ["pem", "key"] {
        let from = other.certs().join(format!("tester.{ending}"));
        fs::copy(&from, cluster.certs().join(format!("stranger.{ending}"))).expect("copied");
    }
    let mixed = good.replace("tester.", "stranger.");
    let error = read(edited(mixed)).error(2);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|m| m.contains(&other.id)),
        "{error}"
    );
    // Nobody there.
    let nobody = crate::support::Ports::take();
    let error = read(edited(good.replace(&ours, &nobody.clients(1).to_string()))).error(3);
    assert_eq!(error["code"], "Unavailable", "{error}");
    // The replicas' port: another protocol is spoken there.
    let replicas = cluster.place(1).replicas.to_string();
    let error = read(edited(good.replace(&ours, &replicas))).error(1);
    assert_eq!(error["code"], "VersionMismatch", "{error}");
    let says =
        |key: &str, words: &str| error[key].as_str().is_some_and(|text| text.contains(words));
    assert!(
        says("message", &replicas) && says("message", "looks like a replica port"),
        "{error}"
    );
    assert!(says("hint", "`servers`"), "{error}");
    // A file that is missing hints at -m; nothing was sent.
    cluster
        .paxlog(&["append", "notes", "hello"])
        .dir(empty.path())
        .run()
        .code(2)
        .says(&["cannot read hello", "-m 'hello'"]);
    serves(&mut cluster);
    let logs = cluster.paxlog(&["log", "list"]).run().ok().text();
    assert_eq!(logs, "alive\n");
    cluster.finish();
}

/// Frames that are none, and frames that say what nobody may say.
fn hostile_frames(rng: &mut Rng, cluster: u128) -> Vec<Vec<u8>> {
    let encoded = |push: &dyn Fn(&mut FrameEncoder)| {
        let mut encoder = FrameEncoder::new();
        push(&mut encoder);
        encoder.take().concat()
    };
    let hello = encoded(&|e| e.push(&ClientHello::new(cluster)).expect("small"));
    let request = |command| CommandRequest {
        request: 1,
        deadline_ms: 1_000,
        command,
    };
    let append = request(CommandBody::Append {
        origin: Origin {
            producer: 1,
            epoch: 0,
            sequence: 0,
        },
        log: 1,
        if_tail: None,
        fence: None,
    });
    let junk = [Bytes::from(rng.bytes(1_000))];
    let append = encoded(&|e| e.push_with(&append, Flags::NONE, &junk).expect("small"));
    let no_producer = encoded(&|e| {
        let command = CommandBody::Seal {
            origin: Some(Origin {
                producer: u64::MAX,
                epoch: u32::MAX,
                sequence: u64::MAX,
            }),
            log: u64::MAX,
        };
        e.push(&request(command)).expect("small");
    });
    let wrong_cluster = encoded(&|e| e.push(&ClientHello::new(!cluster)).expect("small"));
    let mut flipped = hello.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    let mut frames = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\nhost: example.org\r\n\r\n".to_vec(),
        // A giant meta, a giant body, a kind that nobody knows.
        [&[1, 3, 0, 0][..], &[0xff; 12]].concat(),
        [&[1, 3, 0, 0, 4, 0, 0, 0][..], &[0xff; 8]].concat(),
        [&[1, 200, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0][..], &[0; 8]].concat(),
        hello[..hello.len() - 1].to_vec(),
        hello[..7].to_vec(),
        flipped,
        wrong_cluster,
        append.clone(),
        append[..append.len() - 500].to_vec(),
        [append, rng.bytes(500)].concat(),
        no_producer.clone(),
        [hello.clone(), hello].concat(),
        [no_producer, rng.bytes(64)].concat(),
    ];
    // A good first frame of each kind with any bytes for its message.
    for kind in (1..=11).chain(64..=67) {
        let meta = rng.bytes(40);
        let mut head = vec![1, kind, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0];
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head), &meta);
        head.extend_from_slice(&crc.to_le_bytes());
        frames.push([head, meta].concat());
    }
    frames
}

#[test]
fn garbage_on_both_ports_is_survived_and_said() {
    let mut rng = Rng::new(seed());
    let mut cluster = Cluster::started();
    let id = u128::from_str_radix(&cluster.id, 16).expect("hex");
    serves(&mut cluster);
    let (certs, places) = (cluster.certs(), cluster.places.clone());
    let name = |id: u16| format!("r{id}.{}.replica.paxlog", cluster.id);
    // A good certificate that no replica here uses: what it sends is its own fault.
    block_on(async {
        for place in &places {
            let (_endpoint, connection) = dial(
                Plane::Clients,
                &certs,
                "tester",
                &name(place.id),
                place.clients,
            )
            .await
            .expect("a good certificate is let in");
            let mut connection = connection;
            let mut held = Vec::new();
            for frame in hostile_frames(&mut rng, id) {
                if connection.close_reason().is_some() {
                    let again = dial(
                        Plane::Clients,
                        &certs,
                        "tester",
                        &name(place.id),
                        place.clients,
                    )
                    .await
                    .expect("let in again");
                    held.push(again.0);
                    connection = again.1;
                }
                for finish in [true, false] {
                    say(&connection, &frame, finish).await;
                }
            }
            connection.close(0_u8.into(), b"");

            // The same as a replica whose certificate is good, on the other plane: a bug in a peer.
            let peer = 1 + place.id % 3;
            for frame in hostile_frames(&mut rng, id) {
                let (_endpoint, connection) = dial(
                    Plane::Replicas,
                    &certs,
                    &format!("r{peer}"),
                    &name(place.id),
                    place.replicas,
                )
                .await
                .expect("a replica's certificate is let in");
                say(&connection, &frame, true).await;
            }

            // A client where only replicas may be, and a client that speaks the replicas' protocol there.
            let named = name(place.id);
            let dialled = dial(Plane::Replicas, &certs, "tester", &named, place.replicas);
            let refused = match dialled.await {
                Err(why) => why,
                Ok((_endpoint, connection)) => connection.closed().await.to_string(),
            };
            assert!(
                refused.contains("this port is for replicas"),
                "replica {}: {refused}",
                place.id
            );
            // The wrong protocol on either port does not get through the handshake.
            for (plane, address) in [
                (Plane::Replicas, place.clients),
                (Plane::Clients, place.replicas),
            ] {
                let refused = dial(plane, &certs, "tester", &name(place.id), address).await;
                assert!(refused.is_err(), "{plane:?} at {address}");
            }
        }
    });
    for place in &places {
        noise(&mut rng, place.clients, 1_000);
        noise(&mut rng, place.replicas, 1_000);
    }
    serves(&mut cluster);
    cluster.wait_all_ready();
    cluster.wait_caught_up();
    for place in &places {
        let log = cluster.log(place.id);
        assert!(
            log.contains("WARN"),
            "replica {} says nothing of it",
            place.id
        );
    }
    let read = cluster
        .paxlog(&["read", "alive", "--linearizable"])
        .run()
        .ok();
    assert_eq!(read.text(), "yes\nyes\n", "nothing of it came into a log");
    cluster.finish();
}

#[test]
fn a_replica_with_another_ones_place_is_not_let_in() {
    // Replica 3 holds a good certificate, of its own, but of another authority.
    let mut cluster = Cluster::made(&Options::default());
    let config = cluster.place(3).config.clone();
    let text = fs::read_to_string(&config).expect("there");
    let certs = cluster.dir().join("strange");
    fs::create_dir(&certs).expect("made");
    let flag = certs.to_str().expect("text");
    // The same cluster id: only the signature is wrong.
    paxlog(["certs", "init", "--cluster", &cluster.id, "--dir", flag])
        .run()
        .ok();
    paxlog(["certs", "issue", "--replica", "3", "--dir", flag])
        .run()
        .ok();
    fs::write(&config, text.replace("certs/", "strange/")).expect("written");
    cluster.start_all();
    // The group forms only when all members answer: it must not form with this one.
    std::thread::sleep(std::time::Duration::from_secs(2));
    cluster.alive();
    for id in 1..=3 {
        let status = cluster.status(id).expect("it answers");
        assert_eq!(status["ready"], false, "{status}");
    }
    let log = cluster.log(1);
    assert!(log.contains("authority"), "replica 1 says why: {log}");
    // With its own certificate back it is let in.
    cluster.stop(3);
    fs::write(&config, text).expect("written");
    cluster.start(3);
    cluster.wait_all_ready();
    serves(&mut cluster);
    cluster.finish();
}
