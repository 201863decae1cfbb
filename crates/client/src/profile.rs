//! The client profile: how to find a cluster and who to be there.

use std::path::{Path, PathBuf};

use paxlog_quic::Credentials;
use toml::de::{DeTable, DeValue};

/// A client profile, as in `.paxlog/client.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The cluster's id; in the file 32 hex digits.
    pub cluster: u128,
    /// The client addresses (`host:port`) of some or, better, all replicas; not empty.
    pub servers: Vec<String>,
    /// PEM file of the cluster's certificate authority.
    pub ca: PathBuf,
    /// PEM file of the client's certificate.
    pub cert: PathBuf,
    /// PEM file of its private key, readable by its owner alone.
    pub key: PathBuf,
}

/// Why a profile was refused. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No profile stands in any of the usual places.
    #[error("found no client profile: neither {} exists", tried.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" nor "))]
    NotFound {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },
    /// The profile could not be read.
    #[error("cannot read the client profile {}: {source}", path.display())]
    Unreadable {
        /// The profile.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{at}: {message}")]
    Syntax {
        /// `file:line`.
        at: String,
        /// The parser's words.
        message: String,
    },
    /// A key that does not exist.
    #[error("{at}: unknown key `{key}`{}", suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default())]
    UnknownKey {
        /// `file:line`.
        at: String,
        /// As written.
        key: String,
        /// The nearest known key, if one is near.
        suggestion: Option<&'static str>,
    },
    /// A key is missing.
    #[error("{}: `{key}` is not set", path.display())]
    Missing {
        /// The profile.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A value that does not fit its key.
    #[error("{at}: `{key}` {problem}")]
    Invalid {
        /// `file:line`.
        at: String,
        /// The key.
        key: &'static str,
        /// Reads after the key: "must be …".
        problem: String,
    },
    /// The certificates do not fit each other, or the cluster.
    #[error("{}: {why}", path.display())]
    Unfit {
        /// The profile.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// A certificate or key that the profile names could not be read.
    #[error("cannot read {}, named as `{key}` in {}: {source}", file.display(), path.display())]
    Certificate {
        /// The profile.
        path: PathBuf,
        /// The key that names the file.
        key: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

const KEYS: [&str; 5] = ["cluster", "servers", "ca", "cert", "key"];

impl Profile {
    /// Reads a profile, and checks that the files it names can be read.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn load(path: &Path) -> Result<Profile, ProfileError> {
        let text = std::fs::read_to_string(path).map_err(|source| ProfileError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let profile = Profile::parse(&text, path)?;
        for (key, file) in [
            ("ca", &profile.ca),
            ("cert", &profile.cert),
            ("key", &profile.key),
        ] {
            std::fs::File::open(file).map_err(|source| ProfileError::Certificate {
                path: path.to_owned(),
                key,
                file: file.clone(),
                source,
            })?;
        }
        let unfit = |why| ProfileError::Unfit {
            path: path.to_owned(),
            why,
        };
        let credentials = Credentials::load(&profile.ca, &profile.cert, &profile.key)
            .map_err(|error| unfit(error.to_string()))?;
        let cluster = credentials.identity().cluster;
        if cluster != profile.cluster {
            return Err(unfit(format!(
                "`cert` is of cluster {cluster:032x}, not of the profile's"
            )));
        }
        Ok(profile)
    }

    /// Loads the first of `./.paxlog/client.toml` and `~/.config/paxlog/client.toml` that exists.
    ///
    /// # Errors
    /// [`ProfileError::NotFound`], or what [`Profile::load`] says about the one that exists.
    pub fn find() -> Result<Profile, ProfileError> {
        let mut tried = vec![PathBuf::from(".paxlog/client.toml")];
        if let Some(home) = std::env::var_os("HOME") {
            tried.push(Path::new(&home).join(".config/paxlog/client.toml"));
        }
        match tried.iter().find(|path| path.exists()) {
            Some(path) => Profile::load(path),
            None => Err(ProfileError::NotFound { tried }),
        }
    }

    /// The profile as the text of a file; paths as they stand.
    pub fn to_toml(&self) -> String {
        let text = |t: &str| toml::Value::String(t.to_owned()).to_string();
        let servers: Vec<String> = self.servers.iter().map(|s| text(s)).collect();
        format!(
            "# Paxlog client profile. Paths are relative to this file.\n\
             cluster = \"{:032x}\"\nservers = [{}]\nca = {}\ncert = {}\nkey = {}\n",
            self.cluster,
            servers.join(", "),
            text(&self.ca.to_string_lossy()),
            text(&self.cert.to_string_lossy()),
            text(&self.key.to_string_lossy()),
        )
    }

    /// Parses the text of the profile `path`, which the paths in it are relative to. Opens no file.
    ///
    /// # Errors
    /// See [`ProfileError`].
    pub fn parse(text: &str, path: &Path) -> Result<Profile, ProfileError> {
        let base = path.parent().unwrap_or(Path::new(""));
        let at = |byte: usize| {
            let lines = text.as_bytes()[..byte.min(text.len())]
                .iter()
                .filter(|b| **b == b'\n');
            format!("{}:{}", path.display(), 1 + lines.count())
        };
        let table = DeTable::parse(text).map_err(|error| ProfileError::Syntax {
            at: at(error.span().map_or(0, |s| s.start)),
            message: error.message().replace('\n', ", "),
        })?;
        let table = table.get_ref();
        for key in table.keys() {
            if !KEYS.contains(&key.get_ref().as_ref()) {
                return Err(ProfileError::UnknownKey {
                    at: at(key.span().start),
                    key: key.get_ref().to_string(),
                    suggestion: nearest(key.get_ref()),
                });
            }
        }
        let get = |key: &'static str| {
            table.get(key).ok_or_else(|| ProfileError::Missing {
                path: path.to_owned(),
                key,
            })
        };
        let invalid =
            |key, value: &toml::Spanned<DeValue<'_>>, problem: String| ProfileError::Invalid {
                at: at(value.span().start),
                key,
                problem,
            };
        let string = |key: &'static str| {
            let value = get(key)?;
            match value.get_ref().as_str() {
                Some(text) => Ok(text),
                None => Err(invalid(key, value, "must be text in quotes".into())),
            }
        };
        let cluster = string("cluster")?;
        let servers = get("servers")?;
        let list = servers
            .get_ref()
            .as_array()
            .and_then(|list| {
                list.iter()
                    .map(|s| s.get_ref().as_str().map(str::to_owned))
                    .collect::<Option<Vec<_>>>()
            })
            .filter(|list| !list.is_empty())
            .ok_or_else(|| {
                invalid(
                    "servers",
                    servers,
                    "must be a list of addresses such as [\"127.0.0.1:7400\"]".into(),
                )
            })?;
        for server in &list {
            let port = server.rsplit_once(':').and_then(|(host, port)| {
                port.parse::<u16>()
                    .ok()
                    .filter(|port| *port != 0 && !host.is_empty())
            });
            if port.is_none() {
                return Err(invalid(
                    "servers",
                    servers,
                    format!("must hold host:port, not `{server}`"),
                ));
            }
        }
        Ok(Profile {
            cluster: Some(cluster)
                .filter(|c| c.len() == 32 && c.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|c| u128::from_str_radix(c, 16).ok())
                .ok_or_else(|| ProfileError::Invalid {
                    at: at(table.get("cluster").map_or(0, |v| v.span().start)),
                    key: "cluster",
                    problem: format!("must be 32 hex digits, not `{cluster}`"),
                })?,
            servers: list,
            ca: base.join(string("ca")?),
            cert: base.join(string("cert")?),
            key: base.join(string("key")?),
        })
    }
}

/// The known key nearest to `word`, if it is near enough to have been meant: it shares all but a
/// third of its letters in order.
fn nearest(word: &str) -> Option<&'static str> {
    KEYS.into_iter()
        .map(|key| (edit_distance(word, key), key))
        .min()
        .filter(|(distance, key)| *distance <= 1.max(key.len().min(word.len()) / 3))
        .map(|(_, key)| key)
}

/// Levenshtein's distance over bytes.
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

/// A profile with every key explained, as `paxlog certs issue --print-sample` prints it.
pub const PROFILE_SAMPLE: &str = include_str!("../../../docs/client.sample.toml");

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        Profile::parse(text, Path::new("dir/client.toml"))
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn the_sample_is_a_profile_and_what_is_written_is_read_back() {
        let profile = Profile::parse(PROFILE_SAMPLE, Path::new("dir/client.toml")).unwrap();
        assert_eq!(profile.servers.len(), 3);
        assert_eq!(profile.ca, Path::new("dir/ca.pem"), "relative to the file");
        let again = Profile::parse(&profile.to_toml(), Path::new("client.toml")).unwrap();
        assert_eq!(again, profile);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, says) in [
            (
                "servers =",
                "server =",
                "dir/client.toml:7: unknown key `server`; did you mean `servers`?",
            ),
            ("\"5f0c", "\"x5f0c", "`cluster` must be 32 hex digits"),
            (
                "cluster = \"5f0c2b8e9d4a47d6a1b3c5d7e9f00112\"",
                "",
                "`cluster` is not set",
            ),
            (
                "\"127.0.0.1:7401\"",
                "\"127.0.0.1\"",
                "must hold host:port, not `127.0.0.1`",
            ),
            (
                "key = \"client.key\"",
                "key = 5",
                "`key` must be text in quotes",
            ),
            ("key = \"client.key\"", "key = ", "dir/client.toml:12: "),
        ] {
            let said = problem(&PROFILE_SAMPLE.replacen(from, to, 1));
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn missing_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.toml");
        let said = Profile::load(&path).unwrap_err().to_string();
        assert!(said.contains("client.toml"), "{said}");
        std::fs::write(&path, PROFILE_SAMPLE).unwrap();
        let said = Profile::load(&path).unwrap_err().to_string();
        assert!(said.contains("ca.pem, named as `ca` in"), "{said}");
    }
}
