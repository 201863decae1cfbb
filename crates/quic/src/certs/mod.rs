//! A private certificate authority, and the certificates it issues.
//!
//! One authority a cluster: it signs replicas, clients and administrators, and its certificate says which cluster it is for.
//! Private keys are written readable by their owner only, and refused when others can read them; they appear in no error and
//! no `Debug`.

mod authority;
mod credentials;
mod files;

use std::io;
use std::path::PathBuf;

pub use authority::{CertificateAuthority, Issued};
pub use credentials::Credentials;

use crate::identity::IdentityError;

/// What is wrong with a certificate, a key or their files.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is there already; nothing was overwritten.
    #[error("{} exists already: move it away first, or choose another directory", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner can read a private key.
    #[error("{} is a private key that others can read (mode {mode:o}): run `chmod 600` on it", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The text is not what it should be.
    #[error("{what} holds no usable {expected}")]
    Pem {
        /// The file, or what stands for it.
        what: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The key does not belong to the certificate.
    #[error("the private key does not belong to the certificate of {0}")]
    KeyMismatch(String),
    /// The certificate was not signed by the authority, is expired, or is unfit otherwise.
    #[error("the certificate of {whose} does not fit the certificate authority: {why}")]
    Unfit {
        /// Whom the certificate names.
        whose: String,
        /// Why, for people.
        why: String,
    },
    /// The name is no identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The library refused to generate or sign.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
}
