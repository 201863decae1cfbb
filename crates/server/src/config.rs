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

mod section;
mod values;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeTable;

use section::{Place, Section, pick};
use values::{
    check_advertised, parse_address, parse_duration, parse_member, parse_size, replica_id,
};

pub use values::{format_cluster_id, parse_cluster_id};

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
    /// `[limits]`.
    pub limits: Limits,
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
    /// Which logs an append creates, if they are not there.
    pub create_on_append: CreateOnAppend,
}

/// `[limits]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of batches a second that one client's connection may append; 0: no bound. What is over is refused with
    /// `Throttled`, and when to try again.
    pub client_append_rate: u64,
}

/// Which logs an append to an unknown name creates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CreateOnAppend {
    /// None.
    #[default]
    Never,
    /// Any.
    Always,
    /// Those whose names begin with one of these.
    Prefixes(Vec<String>),
}

impl CreateOnAppend {
    /// The names' beginnings: an empty one is that of every name.
    pub fn prefixes(&self) -> Vec<String> {
        match self {
            CreateOnAppend::Never => Vec::new(),
            CreateOnAppend::Always => vec![String::new()],
            CreateOnAppend::Prefixes(prefixes) => prefixes.clone(),
        }
    }

    /// From a flag: `true`, `false`, or beginnings with commas between them.
    fn parse(text: &str) -> CreateOnAppend {
        match text {
            "true" => CreateOnAppend::Always,
            "false" | "" => CreateOnAppend::Never,
            list => CreateOnAppend::Prefixes(list.split(',').map(str::to_owned).collect()),
        }
    }
}

/// As the configuration file has it.
impl std::fmt::Display for CreateOnAppend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CreateOnAppend::Never => f.write_str("false"),
            CreateOnAppend::Always => f.write_str("true"),
            CreateOnAppend::Prefixes(prefixes) => {
                let quoted: Vec<String> = prefixes.iter().map(|p| format!("\"{p}\"")).collect();
                write!(f, "[{}]", quoted.join(", "))
            }
        }
    }
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
    pub limits_client_append_rate: Option<String>,
    /// `true`, `false`, or beginnings of names with commas between them.
    pub logs_create_on_append: Option<String>,
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
                "limits",
            ],
        )?;
        let listen = root.section("listen", &["clients", "replicas", "metrics"])?;
        let advertise = root.section("advertise", &["clients"])?;
        let tls = root.section("tls", &["ca", "cert", "key"])?;
        let wal = root.section("wal", &["segment_bytes"])?;
        let timing = root.section("timing", &["heartbeat", "stall"])?;
        let logs = root.section("logs", &["create_on_append"])?;
        let limits = root.section("limits", &["client_append_rate"])?;

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
            limits: Limits {
                client_append_rate: pick(
                    over.limits_client_append_rate.as_deref(),
                    "limits.client_append_rate",
                    limits.text_or_integer("client_append_rate")?,
                )
                .map(|v| v.parse(parse_size))
                .transpose()?
                .unwrap_or(0),
            },
            logs: Logs {
                create_on_append: match &over.logs_create_on_append {
                    Some(value) => CreateOnAppend::parse(value),
                    None => logs.create_on_append("create_on_append")?,
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

fn required<T>(value: Option<T>, key: &'static str, hint: &'static str) -> Result<T, ConfigError> {
    value.ok_or(ConfigError::Missing { key, hint })
}

/// A config file with every key, as `paxlog serve --print-sample` prints it.
pub const SAMPLE: &str = include_str!("../../../docs/serve.sample.toml");

/// The cluster's id in [`SAMPLE`]: nobody's.
pub(crate) const SAMPLE_CLUSTER: u128 = 0x5f0c_2b8e_9d4a_47d6_a1b3_c5d7_e9f0_0112;

#[cfg(test)]
mod tests;
