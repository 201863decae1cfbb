//! Making a replica's directory, once.

use std::path::PathBuf;

use paxlog_wal::{Identity, RealDisk};

use crate::config::{Config, SAMPLE_CLUSTER};
use crate::exit::StartError;
use crate::replica;

/// A directory that was made.
#[derive(Clone, Copy, Debug)]
pub struct Formatted {
    /// The random id of the directory, drawn just now.
    pub incarnation: u128,
}

/// Why a directory was not made; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It is formatted.
    #[error("{} is formatted already", dir.display())]
    AlreadyFormatted {
        /// The directory.
        dir: PathBuf,
    },
    /// `serve` would refuse the configuration, the certificate or its key too.
    #[error("{0}")]
    Refused(#[from] StartError),
    /// The configuration still has the cluster's id of the sample.
    #[error(
        "`cluster` is the id of the sample file, which is no cluster's: `paxlog certs init` draws this cluster's own and \
         prints it"
    )]
    SampleCluster,
    /// A process has it open.
    #[error("{} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// It could not be written.
    #[error("{}: {what}", dir.display())]
    Io {
        /// The directory.
        dir: PathBuf,
        /// What failed, with what the system said.
        what: String,
    },
}

/// Makes the data directory of a replica, with a new random incarnation.
/// `serve` refuses a directory that this did not make, so that a lost disk is
/// never taken for a new one. The configuration and its certificates are checked first as `serve` does,
/// so that no directory is made for a cluster or replica that was not meant.
///
/// # Errors
/// [`FormatError`]; an existing directory is left as it is, and none is made.
pub fn format(config: &Config) -> Result<Formatted, FormatError> {
    if config.cluster == SAMPLE_CLUSTER {
        return Err(FormatError::SampleCluster);
    }
    replica::credentials(config)?;
    let dir = config.data_dir.clone();
    let io = |what: String| FormatError::Io {
        dir: config.data_dir.clone(),
        what,
    };
    std::fs::create_dir_all(&dir).map_err(|error| io(error.to_string()))?;
    let disk = RealDisk::new(&dir).map_err(|error| io(error.to_string()))?;
    let incarnation = random_u128();
    let identity = Identity {
        cluster: config.cluster,
        replica: u64::from(config.replica),
        wal_id: incarnation,
    };
    paxlog_wal::format(&disk, identity).map_err(|error| match error {
        paxlog_wal::FormatError::AlreadyFormatted => {
            FormatError::AlreadyFormatted { dir: dir.clone() }
        }
        paxlog_wal::FormatError::InUse => FormatError::InUse { dir: dir.clone() },
        paxlog_wal::FormatError::Io { what, source } => io(format!("{what}: {source}")),
    })?;
    Ok(Formatted { incarnation })
}

/// Random bits from the operating system, by way of the standard library's
/// hash keys, which it draws there.
pub(crate) fn random_u64() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

fn random_u128() -> u128 {
    u128::from(random_u64()) << 64 | u128::from(random_u64())
}
