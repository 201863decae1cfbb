//! What one side of a connection needs to prove itself and to check the other.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, sign};

use super::{CertificateAuthority, CertsError, Issued, files};
use crate::identity::Identity;
use crate::tls;

/// A certificate with its key, and the authority to check others by. Cheap to clone.
#[derive(Clone)]
pub struct Credentials {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Identity,
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Credentials {
    /// Loads them from files, and checks that they fit each other, so that a mistake is told here and not by the other side.
    ///
    /// # Errors
    /// When a file is missing or malformed, others can read the key, or the three do not fit each other.
    pub fn load(ca: &Path, certificate: &Path, key: &Path) -> Result<Self, CertsError> {
        let ca_pem = files::read(ca)?;
        let certificate_pem = files::read(certificate)?;
        let key_pem = files::read_key(key)?;
        let name = |path: &Path| path.display().to_string();
        Self::assemble(
            (&ca_pem, name(ca)),
            (&certificate_pem, name(certificate)),
            (&key_pem, name(key)),
        )
    }

    /// The same from texts.
    ///
    /// # Errors
    /// When a text is malformed or the three do not fit each other.
    pub fn from_pem(ca: &str, certificate: &str, key: &str) -> Result<Self, CertsError> {
        let name = |what: &str| what.to_owned();
        Self::assemble(
            (ca, name("the CA")),
            (certificate, name("the certificate")),
            (key, name("the key")),
        )
    }

    /// Of something just issued.
    ///
    /// # Errors
    /// When the two do not fit each other.
    pub fn of(authority: &CertificateAuthority, issued: &Issued) -> Result<Self, CertsError> {
        Self::from_pem(
            authority.certificate_pem(),
            issued.certificate_pem(),
            issued.key_pem(),
        )
    }

    fn assemble(
        ca: (&str, String),
        certificate: (&str, String),
        key: (&str, String),
    ) -> Result<Self, CertsError> {
        let chain_of = |(pem, what): (&str, String)| {
            let chain =
                CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
            match chain {
                Ok(chain) if !chain.is_empty() => Ok(chain),
                _ => Err(CertsError::Pem {
                    what,
                    expected: "certificate",
                }),
            }
        };
        let mut roots = RootCertStore::empty();
        let (ca_pem, ca_name) = ca;
        for root in chain_of((ca_pem, ca_name.clone()))? {
            let unusable = |_| CertsError::Pem {
                what: ca_name.clone(),
                expected: "certificate",
            };
            roots.add(root).map_err(unusable)?;
        }
        let chain = chain_of(certificate)?;
        let (key_pem, key_name) = key;
        let malformed = CertsError::Pem {
            what: key_name,
            expected: "private key",
        };
        let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| malformed)?;
        let identity = Identity::of_certificate(&chain[0])?;
        let inner = Inner {
            identity,
            roots: Arc::new(roots),
            chain,
            key,
        };
        inner.check()?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        self.inner.roots.clone()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.inner.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.inner.key.clone_key()
    }

    pub(crate) fn client_verifier(&self) -> Arc<dyn ClientCertVerifier> {
        WebPkiClientVerifier::builder_with_provider(self.roots(), tls::provider())
            .build()
            .expect("the store has a root: it was checked when it was loaded")
    }

    pub(crate) fn server_verifier(&self) -> Arc<WebPkiServerVerifier> {
        WebPkiServerVerifier::builder_with_provider(self.roots(), tls::provider())
            .build()
            .expect("the store has a root: it was checked when it was loaded")
    }
}

impl Inner {
    fn check(&self) -> Result<(), CertsError> {
        let whose = self.identity.to_string();
        let key = tls::provider()
            .key_provider
            .load_private_key(self.key.clone_key())
            .map_err(|_| CertsError::KeyMismatch(whose.clone()))?;
        sign::CertifiedKey::new(self.chain.clone(), key)
            .keys_match()
            .map_err(|_| CertsError::KeyMismatch(whose.clone()))?;
        let unfit = |error: &dyn fmt::Display| CertsError::Unfit {
            whose: whose.clone(),
            why: error.to_string(),
        };
        WebPkiClientVerifier::builder_with_provider(self.roots.clone(), tls::provider())
            .build()
            .map_err(|error| unfit(&error))?
            .verify_client_cert(&self.chain[0], &self.chain[1..], UnixTime::now())
            .map(|_| ())
            .map_err(|error| unfit(&error))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("identity", self.identity())
            .finish_non_exhaustive()
    }
}
