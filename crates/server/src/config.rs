//! What a replica is told: the TOML file of `paxlog serve`, checked before anything is opened.
//!
//! Every key can stand in the file or be overridden (the program maps flags and `PAXLOG_…`
//! variables to [`Overrides`]); what is missing in both is an error that names the key. A key that is
//! not known is an error too, with the nearest known one as a suggestion: a misspelt `segment_byts`
//! that silently means "the default" is the worse mistake. Paths in the file are relative to the
//! file's directory, paths in overrides to the working directory.
//!
//! After [`Config::load`] these hold: `replica` is one of `members`; member ids are unique and not 0;
//! there are 1, 3 or 5 members; no address that others are told (`advertise.clients`,
//! `members[].replicas`) is unspecified such as `0.0.0.0`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The configuration of one replica. Plain fields, so that an embedder can also build it in code;
/// then call [`Config::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster's id, 128 random bits from `certs init`; in text 32 hex digits.
    pub cluster: u128,
    /// This replica's id, 1..=65535, as in its certificate and in [`Config::members`].
    pub replica: u16,
    /// The directory that `format` made: write-ahead log and checkpoints.
    pub data_dir: PathBuf,
    /// The addresses to bind.
    pub listen: Listen,
    /// The addresses others are told.
    pub advertise: Advertise,
    /// All members of the group, this replica among them; the same list on every replica.
    pub members: Vec<MemberConfig>,
    /// Certificates.
    pub tls: Tls,
    /// The write-ahead log's tunables.
    pub wal: WalConfig,
    /// Timers.
    pub timing: Timing,
    /// Defaults for logs.
    pub logs: Logs,
}

/// `[listen]`: the addresses to bind. Port 0 lets the system choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// UDP, for clients.
    pub clients: SocketAddr,
    /// UDP, for the other replicas.
    pub replicas: SocketAddr,
    /// TCP, plain HTTP: `/metrics`, `/livez`, `/readyz`, `/status`.
    pub metrics: SocketAddr,
}

/// `[advertise]`: the addresses that clients are sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise {
    /// `host:port`, the first preferred. Empty only if `listen.clients` has port 0 on a specified
    /// address: then the bound address is advertised.
    pub clients: Vec<String>,
}

/// One of `[[members]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// The member's replica id.
    pub id: u16,
    /// Its replica-plane addresses, one a network path; not empty.
    pub replicas: Vec<SocketAddr>,
}

/// `[tls]`: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The cluster's own certificate authority.
    pub ca: PathBuf,
    /// This replica's certificate.
    pub cert: PathBuf,
    /// Its key, readable by its owner alone.
    pub key: PathBuf,
}

/// `[wal]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalConfig {
    /// Size of one segment file, fixed at its creation; a multiple of 4096 within
    /// [`SEGMENT_BYTES_MIN`]..=[`SEGMENT_BYTES_MAX`].
    pub segment_bytes: u64,
}

/// `[timing]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often a leader lets itself be heard; elections wait for a small multiple of it.
    pub heartbeat: Duration,
    /// A sync that takes longer makes this replica report a stalled disk and hand over.
    pub stall: Duration,
}

/// `[logs]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Whether an append to an unknown name creates the log.
    pub create_on_append: bool,
}

/// Smallest segment: room for the largest frame (8 MiB) and the state at the segment's head.
pub const SEGMENT_BYTES_MIN: u64 = 9 << 20;
/// Largest segment: positions within one are 32 bits.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 31;

/// Default of `wal.segment_bytes`.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Default of `timing.heartbeat`.
pub const HEARTBEAT: Duration = Duration::from_millis(20);
/// Default of `timing.stall`.
pub const STALL: Duration = Duration::from_secs(1);

impl Default for WalConfig {
    fn default() -> Self {
        WalConfig {
            segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            heartbeat: HEARTBEAT,
            stall: STALL,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Listen {
            clients: SocketAddr::new(any, 7400),
            replicas: SocketAddr::new(any, 7410),
            metrics: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9400),
        }
    }
}

/// Values that take precedence over the file's. Text is parsed exactly like the file's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the key of the same name")]
pub struct Overrides {
    pub cluster: Option<String>,
    pub replica: Option<u16>,
    pub data_dir: Option<PathBuf>,
    pub listen_clients: Option<String>,
    pub listen_replicas: Option<String>,
    pub listen_metrics: Option<String>,
    pub advertise_clients: Option<Vec<String>>,
    /// `ID=ADDRESS[,ADDRESS…]`, one a member; replaces the whole list.
    pub members: Option<Vec<String>>,
    pub tls_ca: Option<PathBuf>,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub wal_segment_bytes: Option<String>,
    pub timing_heartbeat: Option<String>,
    pub timing_stall: Option<String>,
    pub logs_create_on_append: Option<bool>,
}

/// Why a configuration was refused. Always found before anything was opened or sent.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the config file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// `file:line`.
        at: String,
        /// The parser's words.
        message: String,
    },
    /// A key that does not exist.
    #[error("{at}: unknown key `{key}`{}", suggestion.as_ref().map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownKey {
        /// `file:line`.
        at: String,
        /// As written, with its section.
        key: String,
        /// The nearest known key, if one is near.
        suggestion: Option<String>,
    },
    /// A required key stands neither in the file nor among the overrides.
    #[error("`{key}` is not set: {hint}")]
    Missing {
        /// The key, with its section.
        key: &'static str,
        /// What it is.
        hint: &'static str,
    },
    /// A value that does not fit its key.
    #[error("{at}: `{key}` {problem}")]
    Invalid {
        /// `file:line`, or how it was overridden.
        at: String,
        /// The key, with its section.
        key: String,
        /// Reads after the key: "must be …".
        problem: String,
    },
}

impl Config {
    /// Reads a file and checks it.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing was changed.
    pub fn from_toml_file(path: &Path, overrides: &Overrides) -> Result<Config, ConfigError> {
        Config::load(Some(path), overrides)
    }

    /// Reads the file, if there is one, lets the overrides take precedence, and checks the whole.
    ///
    /// # Errors
    /// See [`ConfigError`]; nothing was changed.
    pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Config, ConfigError> {
        match path {
            None => Config::parse("", "the command line", Path::new(""), overrides),
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                        path: path.to_owned(),
                        source,
                    })?;
                let base = path.parent().unwrap_or(Path::new(""));
                Config::parse(&text, &path.display().to_string(), base, overrides)
            }
        }
    }

    /// Parses text that came from `name` (for messages), its paths relative to `base`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        text: &str,
        name: &str,
        base: &Path,
        over: &Overrides,
    ) -> Result<Config, ConfigError> {
        let place = Place { text, name };
        let root = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            at: place.at(error.span().map_or(0, |s| s.start)),
            message: error.message().replace('\n', ", "),
        })?;
        let root = Section::new(
            place,
            "",
            Some(root.get_ref()),
            &[
                "cluster",
                "replica",
                "data_dir",
                "listen",
                "advertise",
                "members",
                "tls",
                "wal",
                "timing",
                "logs",
            ],
        )?;
        let listen = root.section("listen", &["clients", "replicas", "metrics"])?;
        let advertise = root.section("advertise", &["clients"])?;
        let tls = root.section("tls", &["ca", "cert", "key"])?;
        let wal = root.section("wal", &["segment_bytes"])?;
        let timing = root.section("timing", &["heartbeat", "stall"])?;
        let logs = root.section("logs", &["create_on_append"])?;

        let cluster = required(
            pick(over.cluster.as_deref(), "cluster", root.text("cluster")?)
                .map(|v| v.parse(parse_cluster_id))
                .transpose()?,
            "cluster",
            "the cluster's id, 32 hex digits, as `paxlog certs init` printed it",
        )?;
        let replica = match over.replica {
            Some(id) => Some(id),
            None => root
                .integer("replica")?
                .map(|v| v.parse(replica_id))
                .transpose()?,
        };
        let replica = required(
            replica,
            "replica",
            "this replica's id, a number from 1, as in [[members]]",
        )?;
        let path = |over: &Option<PathBuf>, section: &Section<'_>, key: &'static str| match over {
            Some(path) => Ok(Some(path.clone())),
            None => Ok(section.text(key)?.map(|v| base.join(v.value))),
        };
        let data_dir = required(
            path(&over.data_dir, &root, "data_dir")?,
            "data_dir",
            "the directory that `paxlog format` made",
        )?;

        let default = Listen::default();
        let address = |over: &Option<String>, key: &'static str, default: SocketAddr| {
            let full: &'static str = match key {
                "clients" => "listen.clients",
                "replicas" => "listen.replicas",
                _ => "listen.metrics",
            };
            pick(over.as_deref(), full, listen.text(key)?)
                .map(|v| v.parse(parse_address))
                .transpose()
                .map(|a| a.unwrap_or(default))
        };
        let listen = Listen {
            clients: address(&over.listen_clients, "clients", default.clients)?,
            replicas: address(&over.listen_replicas, "replicas", default.replicas)?,
            metrics: address(&over.listen_metrics, "metrics", default.metrics)?,
        };

        let mut clients = match &over.advertise_clients {
            Some(list) => list.clone(),
            None => advertise
                .texts("clients")?
                .into_iter()
                .map(|v| v.value.to_owned())
                .collect(),
        };
        if clients.is_empty() && !listen.clients.ip().is_unspecified() && listen.clients.port() != 0
        {
            clients.push(listen.clients.to_string());
        }
        let members = match &over.members {
            Some(list) => list
                .iter()
                .map(|m| {
                    parse_member(m).map_err(|problem| ConfigError::Invalid {
                        at: "the command line".into(),
                        key: "members".into(),
                        problem,
                    })
                })
                .collect::<Result<Vec<_>, _>>()?,
            None => root.members()?,
        };
        let config = Config {
            cluster,
            replica,
            data_dir,
            listen,
            advertise: Advertise { clients },
            members,
            tls: Tls {
                ca: required(
                    path(&over.tls_ca, &tls, "ca")?,
                    "tls.ca",
                    "the certificate authority's PEM file",
                )?,
                cert: required(
                    path(&over.tls_cert, &tls, "cert")?,
                    "tls.cert",
                    "this replica's certificate, PEM",
                )?,
                key: required(
                    path(&over.tls_key, &tls, "key")?,
                    "tls.key",
                    "this replica's private key, PEM",
                )?,
            },
            wal: WalConfig {
                segment_bytes: pick(
                    over.wal_segment_bytes.as_deref(),
                    "wal.segment_bytes",
                    wal.text_or_integer("segment_bytes")?,
                )
                .map(|v| v.parse(parse_size))
                .transpose()?
                .unwrap_or(SEGMENT_BYTES),
            },
            timing: Timing {
                heartbeat: pick(
                    over.timing_heartbeat.as_deref(),
                    "timing.heartbeat",
                    timing.text("heartbeat")?,
                )
                .map(|v| v.parse(parse_duration))
                .transpose()?
                .unwrap_or(HEARTBEAT),
                stall: pick(
                    over.timing_stall.as_deref(),
                    "timing.stall",
                    timing.text("stall")?,
                )
                .map(|v| v.parse(parse_duration))
                .transpose()?
                .unwrap_or(STALL),
            },
            logs: Logs {
                create_on_append: match over.logs_create_on_append {
                    Some(value) => value,
                    None => logs.boolean("create_on_append")?.unwrap_or(false),
                },
            },
        };
        config.check_named(name)?;
        Ok(config)
    }

    /// Checks what the types do not say (see the module's header). [`Config::load`] did it already.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] or [`ConfigError::Invalid`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_named("config")
    }

    fn check_named(&self, name: &str) -> Result<(), ConfigError> {
        let invalid = |key: &str, problem: String| {
            Err(ConfigError::Invalid {
                at: name.to_owned(),
                key: key.to_owned(),
                problem,
            })
        };
        if self.replica == 0 {
            return invalid("replica", "must be from 1 to 65535".into());
        }
        if self.members.is_empty() {
            return Err(ConfigError::Missing {
                key: "members",
                hint: "the list of all members, the same on every replica, one [[members]] with `id` and `replicas` each",
            });
        }
        let mut ids = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        for member in &self.members {
            if member.id == 0 {
                return invalid("members", "has the id 0; ids are from 1 to 65535".into());
            }
            if !ids.insert(member.id) {
                return invalid("members", format!("lists the id {} twice", member.id));
            }
            if member.replicas.is_empty() {
                return invalid(
                    "members",
                    format!("gives no address for member {}", member.id),
                );
            }
            for address in &member.replicas {
                if address.ip().is_unspecified() {
                    return invalid(
                        "members",
                        format!(
                            "gives {address} for member {}: write the address others reach it at",
                            member.id
                        ),
                    );
                }
                if address.port() == 0 {
                    return invalid("members", format!("gives port 0 for member {}", member.id));
                }
                if !addresses.insert(*address) {
                    return invalid("members", format!("lists the address {address} twice"));
                }
            }
        }
        if !matches!(self.members.len(), 1 | 3 | 5) {
            return invalid(
                "members",
                format!(
                    "lists {} members; a group has 1, 3 or 5",
                    self.members.len()
                ),
            );
        }
        if !ids.contains(&self.replica) {
            let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
            return invalid(
                "members",
                format!(
                    "does not list this replica, {}; it lists {}",
                    self.replica,
                    ids.join(", ")
                ),
            );
        }
        if self.advertise.clients.is_empty() && self.listen.clients.ip().is_unspecified() {
            return Err(ConfigError::Missing {
                key: "advertise.clients",
                hint: "listen.clients is an unspecified address, so write the addresses clients reach this replica at",
            });
        }
        for address in &self.advertise.clients {
            if let Err(problem) = check_advertised(address) {
                return invalid("advertise.clients", problem);
            }
        }
        let bytes = self.wal.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(4096)
        {
            return invalid(
                "wal.segment_bytes",
                format!("must be a multiple of 4096 from 9MiB to 2GiB, not {bytes} bytes"),
            );
        }
        let Timing { heartbeat, stall } = self.timing;
        if !(Duration::from_millis(1)..=Duration::from_secs(10)).contains(&heartbeat) {
            return invalid(
                "timing.heartbeat",
                format!("must be from 1ms to 10s, not {heartbeat:?}"),
            );
        }
        if !(heartbeat..=Duration::from_secs(60)).contains(&stall) {
            return invalid(
                "timing.stall",
                format!("must be from the heartbeat to 60s, not {stall:?}"),
            );
        }
        Ok(())
    }
}

/// Writes a cluster id as 32 hex digits.
pub fn format_cluster_id(cluster: u128) -> String {
    format!("{cluster:032x}")
}

/// Reads a cluster id: exactly 32 hex digits, either case.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub fn parse_cluster_id(text: &str) -> Result<u128, String> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("must be 32 hex digits, not `{text}`"));
    }
    u128::from_str_radix(text, 16).map_err(|error| format!("must be 32 hex digits: {error}"))
}

/// Reads a size: a whole number of bytes, or one with `KiB`, `MiB`, `GiB`, `KB`, `MB`, `GB`, `B`.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("must be a size such as \"64MiB\", not `{text}`");
    let text_trimmed = text.trim();
    let digits = text_trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| bad())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" | "k" => 1 << 10,
        "mib" | "m" => 1 << 20,
        "gib" | "g" => 1 << 30,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => return Err(bad()),
    };
    number.checked_mul(unit).ok_or_else(bad)
}

/// Reads a duration: a number, perhaps with a fraction, and `ns`, `us`, `ms`, `s`, `m` or `h`.
///
/// # Errors
/// A sentence that reads after the key: "must be …".
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("must be a duration such as \"20ms\" or \"1s\", not `{text}`");
    let text_trimmed = text.trim();
    let digits = text_trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text_trimmed.len());
    let (number, unit) = text_trimmed.split_at(digits);
    let number: f64 = number.parse().map_err(|_| bad())?;
    let unit = match unit.trim() {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(bad()),
    };
    // Whole nanoseconds, so that "20ms" is exactly 20 ms.
    let ns = (number * unit * 1e9).round();
    if !(0.0..=1e18).contains(&ns) {
        return Err(bad());
    }
    Ok(Duration::from_nanos(ns as u64))
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("must be an address and port such as \"127.0.0.1:7400\", not `{text}`")
    })
}

fn replica_id(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(id) if id != 0 => Ok(id),
        _ => Err(format!("must be a number from 1 to 65535, not {text}")),
    }
}

fn parse_member(text: &str) -> Result<MemberConfig, String> {
    let (id, addresses) = text
        .split_once('=')
        .ok_or_else(|| format!("must be given as ID=ADDRESS[,ADDRESS…], not `{text}`"))?;
    Ok(MemberConfig {
        id: replica_id(id)?,
        replicas: addresses
            .split(',')
            .map(parse_address)
            .collect::<Result<_, _>>()?,
    })
}

fn check_advertised(address: &str) -> Result<(), String> {
    let (host, port) = address
        .rsplit_once(':')
        .ok_or_else(|| format!("must be host:port such as \"10.0.0.1:7400\", not `{address}`"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || !matches!(port.parse::<u16>(), Ok(port) if port != 0) {
        return Err(format!(
            "must be host:port such as \"10.0.0.1:7400\", not `{address}`"
        ));
    }
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => Err(format!(
            "must not be {address}: write the address that clients reach this replica at"
        )),
        _ => Ok(()),
    }
}

fn required<T>(value: Option<T>, key: &'static str, hint: &'static str) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { key, hint })
}

/// Where the text came from, to say `file:line`.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn at(&self, byte: usize) -> String {
        let before = &self.text.as_bytes()[..byte.min(self.text.len())];
        format!(
            "{}:{}",
            self.name,
            1 + before.iter().filter(|b| **b == b'\n').count()
        )
    }
}

/// A value with what an error about it must say.
struct Found<'a> {
    value: &'a str,
    key: String,
    at: String,
}

impl Found<'_> {
    fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        parse(self.value).map_err(|problem| ConfigError::Invalid {
            at: self.at.clone(),
            key: self.key.clone(),
            problem,
        })
    }
}

fn pick<'a>(
    over: Option<&'a str>,
    key: &'static str,
    file: Option<Found<'a>>,
) -> Option<Found<'a>> {
    match over {
        Some(value) => Some(Found {
            value,
            key: key.to_owned(),
            at: "the command line".to_owned(),
        }),
        None => file,
    }
}

/// A table of the file whose keys are all known.
struct Section<'a> {
    place: Place<'a>,
    name: &'a str,
    table: Option<&'a DeTable<'a>>,
}

impl<'a> Section<'a> {
    fn new(
        place: Place<'a>,
        name: &'a str,
        table: Option<&'a DeTable<'a>>,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let section = Section { place, name, table };
        for (key, _) in table.into_iter().flat_map(|t| t.iter()) {
            if !known.contains(&key.get_ref().as_ref()) {
                return Err(ConfigError::UnknownKey {
                    at: place.at(key.span().start),
                    key: section.full(key.get_ref()),
                    suggestion: nearest(key.get_ref(), known).map(|k| section.full(k)),
                });
            }
        }
        Ok(section)
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.and_then(|t| t.get(key))
    }

    fn wrong<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
    ) -> Result<T, ConfigError> {
        Err(ConfigError::Invalid {
            at: self.place.at(value.span().start),
            key: self.full(key),
            problem: format!("must be {wanted}, not a {}", value.get_ref().type_str()),
        })
    }

    fn section(
        &self,
        name: &'static str,
        known: &[&'static str],
    ) -> Result<Section<'a>, ConfigError> {
        let table = match self.get(name) {
            None => None,
            Some(value) => match value.get_ref().as_table() {
                Some(table) => Some(table),
                None => return self.wrong(name, value, "a section"),
            },
        };
        Section::new(self.place, name, table, known)
    }

    fn found(&self, key: &str, value: &'a str, span: std::ops::Range<usize>) -> Found<'a> {
        Found {
            value,
            key: self.full(key),
            at: self.place.at(span.start),
        }
    }

    fn text(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(self.found(key, text, value.span()))),
            None => self.wrong(key, value, "text in quotes"),
        }
    }

    fn integer(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_integer() {
            Some(number) => Ok(Some(self.found(key, number.as_str(), value.span()))),
            None => self.wrong(key, value, "a number"),
        }
    }

    fn text_or_integer(&self, key: &str) -> Result<Option<Found<'a>>, ConfigError> {
        match self.get(key) {
            Some(value) if value.get_ref().is_integer() => self.integer(key),
            _ => self.text(key),
        }
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref().as_bool() {
            Some(value) => Ok(Some(value)),
            None => self.wrong(key, value, "true or false"),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<Found<'a>>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong(key, value, "a list of texts");
        };
        list.iter()
            .map(|item| match item.get_ref().as_str() {
                Some(text) => Ok(self.found(key, text, item.span())),
                None => self.wrong(key, item, "a list of texts"),
            })
            .collect()
    }

    fn members(&self) -> Result<Vec<MemberConfig>, ConfigError> {
        let Some(value) = self.get("members") else {
            return Ok(Vec::new());
        };
        let Some(list) = value.get_ref().as_array() else {
            return self.wrong("members", value, "written as [[members]]");
        };
        let mut members = Vec::new();
        for item in list.iter() {
            let Some(table) = item.get_ref().as_table() else {
                return self.wrong("members", item, "written as [[members]]");
            };
            let member = Section::new(self.place, "members", Some(table), &["id", "replicas"])?;
            let id = member
                .integer("id")?
                .map(|v| v.parse(replica_id))
                .transpose()?;
            members.push(MemberConfig {
                id: required(
                    id,
                    "members.id",
                    "each member's replica id, a number from 1",
                )?,
                replicas: member
                    .texts("replicas")?
                    .iter()
                    .map(|v| v.parse(parse_address))
                    .collect::<Result<_, _>>()?,
            });
        }
        Ok(members)
    }
}

/// The known word nearest to `word`, if it is near enough to have been meant.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    known
        .iter()
        .map(|k| (edit_distance(word, k), *k))
        .min()
        .filter(|(distance, k)| *distance <= 1.max(k.len().min(word.len()) / 3))
        .map(|(_, k)| k)
}

/// Levenshtein's distance, over bytes: keys are ASCII, and a suggestion need not be exact.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, cb) in b.bytes().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (corner + usize::from(ca != cb))
                .min(above + 1)
                .min(row[j] + 1);
            corner = above;
        }
    }
    row[b.len()]
}

/// A config file with every key, as `paxlog serve --print-sample` prints it.
pub const SAMPLE: &str = include_str!("../../../docs/serve.sample.toml");

#[cfg(test)]
mod tests {
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
        assert_eq!(
            format_cluster_id(config.cluster),
            "5f0c2b8e9d4a47d6a1b3c5d7e9f00112"
        );
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
        assert!(!config.logs.create_on_append);
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
            ("= false", "= \"no\"", "must be true or false"),
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
            logs_create_on_append: Some(true),
            ..Overrides::default()
        };
        let config = Config::load(None, &over).unwrap();
        assert_eq!(config.cluster, 42);
        assert_eq!(config.members[0].replicas.len(), 2);
        assert_eq!(config.wal.segment_bytes, 16 << 20);
        assert_eq!(config.timing.stall, Duration::from_millis(2500));
        assert!(
            config.advertise.clients.is_empty(),
            "the bound port is not known yet"
        );
        assert!(config.logs.create_on_append);

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
}
