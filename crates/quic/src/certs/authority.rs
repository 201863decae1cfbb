//! The authority: made once a cluster, loaded again to issue more.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CertsError, files};
use crate::identity::{Identity, Who, cluster_label};

/// The file of the authority's certificate, in its directory.
const CA_CERTIFICATE: &str = "ca.pem";
/// The file of the authority's key, in its directory.
const CA_KEY: &str = "ca.key";
/// What the authority's common name begins with; the cluster's id follows.
const CA_NAME: &str = "Paxlog CA ";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of a cluster may differ by this much when certificates are fresh.
const BACKDATED: Duration = DAY;
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
const ISSUED_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A private certificate authority for one cluster.
pub struct CertificateAuthority {
    cluster: u128,
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    key_pem: String,
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Issued {
    identity: Identity,
    certificate_pem: String,
    key_pem: String,
}

impl CertificateAuthority {
    /// Makes an authority for a cluster.
    ///
    /// # Errors
    /// When no key can be generated.
    pub fn make(cluster: u128) -> Result<Self, CertsError> {
        let key = KeyPair::generate().map_err(refused)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("{CA_NAME}{}", cluster_label(cluster)),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, SystemTime::now(), AUTHORITY_LIFETIME);
        let certificate = params.self_signed(&key).map_err(refused)?;
        let key_pem = key.serialize_pem();
        Ok(Self {
            cluster,
            issuer: Issuer::new(params, key),
            certificate_pem: certificate.pem(),
            key_pem,
        })
    }

    /// Loads an authority from its directory, to issue more.
    ///
    /// # Errors
    /// When a file is missing or malformed, or others can read the key.
    pub fn load(directory: &Path) -> Result<Self, CertsError> {
        let path = directory.join(CA_CERTIFICATE);
        let certificate_pem = files::read(&path)?;
        let key_pem = files::read_key(&directory.join(CA_KEY))?;
        let malformed = |expected| CertsError::Pem {
            what: path.display().to_string(),
            expected,
        };
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| malformed("certificate"))?;
        let cluster =
            cluster_of(&der).ok_or_else(|| malformed("certificate authority of a cluster"))?;
        let key = KeyPair::from_pem(&key_pem).map_err(|_| CertsError::Pem {
            what: directory.join(CA_KEY).display().to_string(),
            expected: "private key",
        })?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(refused)?;
        Ok(Self {
            cluster,
            issuer,
            certificate_pem,
            key_pem,
        })
    }

    /// Writes `ca.pem` and `ca.key` into a directory that exists. Never overwrites.
    ///
    /// # Errors
    /// When a file is there already or cannot be written.
    pub fn save(&self, directory: &Path) -> Result<(), CertsError> {
        files::write_key(&directory.join(CA_KEY), &self.key_pem)?;
        files::write(&directory.join(CA_CERTIFICATE), &self.certificate_pem)
    }

    /// The cluster that it is for.
    pub fn cluster(&self) -> u128 {
        self.cluster
    }

    /// Its certificate, by which others check what it issued.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// A certificate for a replica, good on both planes and both ends.
    ///
    /// # Errors
    /// When the id is 0 or no key can be generated.
    pub fn issue_replica(&self, id: u16) -> Result<Issued, CertsError> {
        self.issue(Who::Replica(id))
    }

    /// A certificate for a client.
    ///
    /// # Errors
    /// When the name is no DNS label or no key can be generated.
    pub fn issue_client(&self, name: &str) -> Result<Issued, CertsError> {
        self.issue(Who::Client(name.to_owned()))
    }

    /// A certificate for an administrator.
    ///
    /// # Errors
    /// When the name is no DNS label or no key can be generated.
    pub fn issue_admin(&self, name: &str) -> Result<Issued, CertsError> {
        self.issue(Who::Admin(name.to_owned()))
    }

    /// A certificate for whomever.
    ///
    /// # Errors
    /// When the id or name cannot stand in a certificate or no key can be generated.
    pub fn issue(&self, who: Who) -> Result<Issued, CertsError> {
        self.issue_at(who, SystemTime::now(), ISSUED_LIFETIME)
    }

    /// As [`issue`](Self::issue), as if it were `now`, for a lifetime.
    ///
    /// # Errors
    /// As `issue`.
    pub fn issue_at(
        &self,
        who: Who,
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Issued, CertsError> {
        let identity = Identity {
            cluster: self.cluster,
            who,
        };
        let name = identity.dns_name()?;
        let key = KeyPair::generate().map_err(refused)?;
        let mut params = CertificateParams::new(vec![name.clone()]).map_err(refused)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if matches!(identity.who, Who::Replica(_)) {
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        set_validity(&mut params, now, lifetime);
        let certificate = params.signed_by(&key, &self.issuer).map_err(refused)?;
        Ok(Issued {
            identity,
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl Issued {
    /// Whom the certificate names.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key: a secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Writes certificate and key. Never overwrites.
    ///
    /// # Errors
    /// When a file is there already or cannot be written.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), CertsError> {
        files::write_key(key, &self.key_pem)?;
        files::write(certificate, &self.certificate_pem)
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("cluster", &cluster_label(self.cluster))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

fn refused(error: rcgen::Error) -> CertsError {
    CertsError::Generate(error.to_string())
}

/// The cluster in an authority's common name.
pub(super) fn cluster_of(der: &CertificateDer<'_>) -> Option<u128> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate
        .subject()
        .iter_common_name()
        .next()?
        .as_str()
        .ok()?;
    u128::from_str_radix(name.strip_prefix(CA_NAME)?, 16).ok()
}

/// Valid from a day before `now`, in whole days.
fn set_validity(params: &mut CertificateParams, now: SystemTime, lifetime: Duration) {
    let date = |time: SystemTime| {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (year, month, day) = civil((since.as_secs() / DAY.as_secs()) as i64);
        date_time_ymd(year, month, day)
    };
    params.not_before = date(now - BACKDATED);
    params.not_after = date(now + lifetime);
}

/// Year, month and day of a day since 1970-01-01 (Hinnant, *chrono-compatible low-level date algorithms*, `civil_from_days`).
fn civil(days: i64) -> (i32, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u8, day as u8)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(20_781), (2026, 11, 24));
    }
}
