//! Who holds a certificate.
//!
//! A certificate has one DNS name, and the name is the whole identity:
//!
//! ```text
//! r<id>.<cluster>.replica.paxlog      a replica; <cluster> is the cluster's id, 32 lower-case hexadecimal digits
//! <name>.<cluster>.client.paxlog      a client
//! <name>.<cluster>.admin.paxlog       an administrator
//! ```

use std::fmt;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest name of a client or administrator: one label of a DNS name.
pub const NAME_BYTES_MAX: usize = 63;

/// Who holds a certificate, and in which cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// The cluster that it was issued for.
    pub cluster: u128,
    /// Whom it names.
    pub who: Who,
}

/// Whom a certificate names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The replica with this id.
    Replica(u16),
    /// A client by this name.
    Client(String),
    /// An administrator by this name.
    Admin(String),
}

/// Why a name is no identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The name does not follow the pattern.
    #[error("`{0}` is not a name of this system (r<id>.<cluster>.replica.paxlog or the like)")]
    Pattern(String),
    /// A replica's id is out of range.
    #[error("a replica's id is a number from 1 to 65535")]
    ReplicaId,
    /// A client's or administrator's name is no DNS label.
    #[error(
        "`{0}` is no name for a client: 1 to 63 of a-z, 0-9 and -, not beginning or ending with -"
    )]
    Name(String),
    /// The certificate cannot be read, or does not have exactly one name.
    #[error("the certificate does not have exactly one DNS name")]
    Certificate,
}

impl Identity {
    /// A replica's identity.
    pub fn replica(cluster: u128, id: u16) -> Self {
        Self {
            cluster,
            who: Who::Replica(id),
        }
    }

    /// The DNS name.
    ///
    /// # Errors
    /// When the id or name cannot stand in one.
    pub fn dns_name(&self) -> Result<String, IdentityError> {
        let cluster = cluster_label(self.cluster);
        match &self.who {
            Who::Replica(0) => Err(IdentityError::ReplicaId),
            Who::Replica(id) => Ok(format!("r{id}.{cluster}.replica.paxlog")),
            Who::Client(name) => Ok(format!("{}.{cluster}.client.paxlog", label(name)?)),
            Who::Admin(name) => Ok(format!("{}.{cluster}.admin.paxlog", label(name)?)),
        }
    }

    /// The identity that a DNS name states.
    ///
    /// # Errors
    /// When it is not exactly a name that [`dns_name`](Self::dns_name) gives.
    pub fn parse(name: &str) -> Result<Self, IdentityError> {
        let refused = || IdentityError::Pattern(name.chars().take(300).collect());
        let labels: Vec<&str> = name.split('.').collect();
        let &[first, cluster, plane, "paxlog"] = labels.as_slice() else {
            return Err(refused());
        };
        let cluster_id = u128::from_str_radix(cluster, 16).map_err(|_| refused())?;
        let who = match plane {
            "replica" => {
                let id = first
                    .strip_prefix('r')
                    .and_then(|id| id.parse().ok())
                    .ok_or_else(refused)?;
                Who::Replica(id)
            }
            "client" => Who::Client(first.to_owned()),
            "admin" => Who::Admin(first.to_owned()),
            _ => return Err(refused()),
        };
        let identity = Self {
            cluster: cluster_id,
            who,
        };
        // One spelling only: no signs, leading zeros or capitals.
        if identity.dns_name()? == name {
            Ok(identity)
        } else {
            Err(refused())
        }
    }

    /// The identity in a certificate's only DNS name.
    ///
    /// # Errors
    /// When there is not exactly one subject alternative name, or it is not one of ours.
    pub fn of_certificate(der: &[u8]) -> Result<Self, IdentityError> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|_| IdentityError::Certificate)?;
        let names = certificate
            .subject_alternative_name()
            .map_err(|_| IdentityError::Certificate)?;
        let names = names.ok_or(IdentityError::Certificate)?;
        match names.value.general_names.as_slice() {
            [GeneralName::DNSName(name)] => Self::parse(name),
            _ => Err(IdentityError::Certificate),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Replica(id) => write!(f, "replica {id}")?,
            Who::Client(name) => write!(f, "client {name}")?,
            Who::Admin(name) => write!(f, "administrator {name}")?,
        }
        write!(f, " of cluster {}", cluster_label(self.cluster))
    }
}

/// A cluster's id as it stands in names, files and messages: 32 hexadecimal digits.
pub fn cluster_label(cluster: u128) -> String {
    format!("{cluster:032x}")
}

fn label(name: &str) -> Result<&str, IdentityError> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        Ok(name)
    } else {
        Err(IdentityError::Name(name.chars().take(100).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for who in [
            Who::Replica(1),
            Who::Replica(65_535),
            Who::Client("a-1".into()),
            Who::Admin("root".into()),
        ] {
            let identity = Identity {
                cluster: 0x5f0c,
                who,
            };
            assert_eq!(Identity::parse(&identity.dns_name().unwrap()), Ok(identity));
        }
        let name = Identity::replica(0x5f0c, 3).dns_name().unwrap();
        assert_eq!(name, "r3.00000000000000000000000000005f0c.replica.paxlog");
    }

    #[test]
    fn only_one_spelling_is_a_name() {
        let cluster = cluster_label(0xabc);
        let refused = [
            format!("r0.{cluster}.replica.paxlog"),
            format!("r01.{cluster}.replica.paxlog"),
            format!("r+1.{cluster}.replica.paxlog"),
            format!("r65536.{cluster}.replica.paxlog"),
            format!("1.{cluster}.replica.paxlog"),
            format!("R1.{cluster}.replica.paxlog"),
            format!("r1.{}.replica.paxlog", cluster.to_uppercase()),
            "r1.abc.replica.paxlog".to_owned(),
            format!("r1.{cluster}.replica.paxlog."),
            format!("x.r1.{cluster}.replica.paxlog"),
            format!("*.{cluster}.replica.paxlog"),
            format!("r1.{cluster}.server.paxlog"),
            format!(".{cluster}.client.paxlog"),
            format!("-a.{cluster}.client.paxlog"),
            format!("A.{cluster}.client.paxlog"),
            format!("{}.{cluster}.client.paxlog", "a".repeat(64)),
            String::new(),
        ];
        for name in refused {
            assert!(Identity::parse(&name).is_err(), "{name}");
        }
    }
}
