use std::path::Path;
use std::time::Duration;

use super::values::{parse_duration, parse_size};
use super::*;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(
        text,
        "paxlog.toml",
        Path::new("/etc/paxlog"),
        &Overrides::default(),
    )
}

fn problem(text: &str) -> String {
    parse(text).expect_err("must be refused").to_string()
}

#[test]
fn the_sample_is_a_whole_config() {
    let config = parse(SAMPLE).unwrap();
    assert_eq!(config.cluster, SAMPLE_CLUSTER);
    assert_eq!(config.replica, 1);
    assert_eq!(config.data_dir, Path::new("/var/lib/paxlog"));
    assert_eq!(
        config.tls.ca,
        Path::new("/etc/paxlog/ca.pem"),
        "relative to the file"
    );
    assert_eq!(config.members.len(), 3);
    assert_eq!(
        config.members[2].replicas,
        ["10.0.0.3:7410".parse().unwrap()]
    );
    assert_eq!(config.wal, WalConfig::default());
    assert_eq!(config.timing, Timing::default());
    assert_eq!(config.listen, Listen::default());
    assert_eq!(config.logs.create_on_append, CreateOnAppend::Never);
    assert_eq!(config.limits.client_append_rate, 0);
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_key() {
    let text = SAMPLE.replace("segment_bytes =", "segment_byts =");
    let line = 1 + text
        .lines()
        .position(|l| l.starts_with("segment_byts"))
        .unwrap();
    assert_eq!(
        problem(&text),
        format!(
            "paxlog.toml:{line}: unknown key `wal.segment_byts`; did you mean `wal.segment_bytes`?"
        )
    );
    let text = SAMPLE.replace("data_dir =", "datadir =");
    assert!(problem(&text).contains("did you mean `data_dir`?"));
    let text = SAMPLE.replace("data_dir =", "zebra =");
    assert!(problem(&text).ends_with("unknown key `zebra`"));
    let text = SAMPLE.replace("id = 2", "idd = 2");
    assert!(problem(&text).contains("`members.idd`; did you mean `members.id`?"));
}

#[test]
fn a_bad_value_names_its_line_key_and_what_would_do() {
    for (from, to, says) in [
        (
            "\"64MiB\"",
            "\"64 flocks\"",
            "`wal.segment_bytes` must be a size such as \"64MiB\"",
        ),
        ("\"64MiB\"", "\"1MiB\"", "from 9MiB to 2GiB"),
        ("\"64MiB\"", "true", "must be text in quotes, not a boolean"),
        (
            "\"20ms\"",
            "\"20\"",
            "`timing.heartbeat` must be a duration",
        ),
        ("\"20ms\"", "20", "must be text in quotes"),
        (
            "\"1s\"",
            "\"1ms\"",
            "`timing.stall` must be from the heartbeat",
        ),
        ("replica = 1", "replica = 0", "from 1 to 65535"),
        ("replica = 1", "replica = \"1\"", "must be a number"),
        (
            "replica = 1",
            "replica = 4",
            "does not list this replica, 4; it lists 1, 2, 3",
        ),
        ("id = 2", "id = 1", "lists the id 1 twice"),
        (
            "10.0.0.2:7410",
            "10.0.0.1:7410",
            "lists the address 10.0.0.1:7410 twice",
        ),
        (
            "10.0.0.2:7410",
            "0.0.0.0:7410",
            "write the address others reach it at",
        ),
        (
            "[\"10.0.0.1:7400\"]",
            "[\"0.0.0.0:7400\"]",
            "must not be 0.0.0.0:7400",
        ),
        (
            "[\"10.0.0.1:7400\"]",
            "[\"[::]:7400\"]",
            "must not be [::]:7400",
        ),
        (
            "[\"10.0.0.1:7400\"]",
            "[\"somewhere\"]",
            "must be host:port",
        ),
        (
            "[\"10.0.0.1:7400\"]",
            "[]",
            "`advertise.clients` is not set",
        ),
        (
            "\"0.0.0.0:7400\"",
            "\"localhost\"",
            "must be an address and port",
        ),
        ("5f0c2b8e", "5f0c", "`cluster` must be 32 hex digits"),
        ("replica = 1", "", "`replica` is not set"),
        (
            "= false",
            "= \"no\"",
            "must be true, false, or a list of beginnings",
        ),
        ("[tls]", "[tls", "paxlog.toml:"),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        let said = problem(&SAMPLE.replacen(from, to, 1));
        assert!(said.contains(says), "{to}: {said}");
        assert!(!said.contains('\n'), "one sentence: {said}");
    }
    let two = SAMPLE.replace("[[members]]\nid = 3\nreplicas = [\"10.0.0.3:7410\"]\n", "");
    assert!(problem(&two).contains("lists 2 members; a group has 1, 3 or 5"));
}

#[test]
fn overrides_take_precedence_and_suffice_alone() {
    let over = Overrides {
        cluster: Some("0000000000000000000000000000002a".into()),
        replica: Some(7),
        data_dir: Some("data".into()),
        listen_clients: Some("127.0.0.1:0".into()),
        members: Some(vec!["7=127.0.0.1:1,[::1]:2".into()]),
        tls_ca: Some("ca.pem".into()),
        tls_cert: Some("c.pem".into()),
        tls_key: Some("c.key".into()),
        wal_segment_bytes: Some("16MiB".into()),
        timing_stall: Some("2.5s".into()),
        limits_client_append_rate: Some("10MiB".into()),
        logs_create_on_append: Some("tmp/,events/".into()),
        ..Overrides::default()
    };
    let config = Config::load(None, &over).unwrap();
    assert_eq!(config.cluster, 42);
    assert_eq!(config.members[0].replicas.len(), 2);
    assert_eq!(config.wal.segment_bytes, 16 << 20);
    assert_eq!(config.timing.stall, Duration::from_millis(2500));
    assert_eq!(config.limits.client_append_rate, 10 << 20);
    assert!(
        config.advertise.clients.is_empty(),
        "the bound port is not known yet"
    );
    let prefixes = CreateOnAppend::Prefixes(vec!["tmp/".into(), "events/".into()]);
    assert_eq!(config.logs.create_on_append, prefixes);

    let config = Config::parse(
        SAMPLE,
        "f",
        Path::new(""),
        &Overrides {
            timing_heartbeat: Some("5ms".into()),
            ..Overrides::default()
        },
    )
    .unwrap();
    assert_eq!(config.timing.heartbeat, Duration::from_millis(5));
    let said = Config::parse(
        SAMPLE,
        "f",
        Path::new(""),
        &Overrides {
            timing_heartbeat: Some("5 parsecs".into()),
            ..Overrides::default()
        },
    )
    .unwrap_err()
    .to_string();
    assert!(
        said.starts_with("the command line: `timing.heartbeat` must be"),
        "{said}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let said = Config::from_toml_file(Path::new("/nowhere/p.toml"), &Overrides::default())
        .unwrap_err()
        .to_string();
    assert!(said.contains("/nowhere/p.toml"), "{said}");
}

#[test]
fn sizes_durations_and_ids_are_read_exactly() {
    assert_eq!(parse_size("64MiB"), Ok(64 << 20));
    assert_eq!(parse_size("64 MiB"), Ok(64 << 20));
    assert_eq!(parse_size("5MB"), Ok(5_000_000));
    assert_eq!(parse_size("4096"), Ok(4096));
    assert!(parse_size("MiB").is_err());
    assert!(parse_size("99999999999GiB").is_err());
    assert!(parse_size("-1").is_err());
    assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
    assert_eq!(parse_duration("0.5s"), Ok(Duration::from_millis(500)));
    assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    assert!(parse_duration("s").is_err());
    assert!(parse_duration("-1s").is_err());
    assert_eq!(
        parse_cluster_id(&format_cluster_id(u128::MAX / 3)),
        Ok(u128::MAX / 3)
    );
    assert!(parse_cluster_id("+f0c2b8e9d4a47d6a1b3c5d7e9f00112").is_err());
}
