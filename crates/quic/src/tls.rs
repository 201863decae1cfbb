//! TLS configurations: 1.3 only, both sides authenticated, nothing resumed, no early data.
//!
//! They are built here and not by quinn's shortcuts, which turn client authentication off and early data on.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    version,
};

use crate::certs::Credentials;
use crate::identity::{Identity, Who};
use crate::plane::Plane;

/// Whom a dialler means to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// This replica of our cluster.
    Replica(u16),
    /// Any replica of our cluster; the connection tells which it is.
    AnyReplica,
}

/// Why the dialler did not accept a certificate; kept beside rustls' error, whose text is not for users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Objection {
    UnknownAuthority,
    Unfit(String),
    NotAReplica(String),
    WrongCluster(u128),
    WrongReplica(String),
}

/// The one cryptography provider, passed explicitly to every builder.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// What an acceptor offers and asks for.
pub(crate) fn server_config(plane: Plane, credentials: &Credentials) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring speaks TLS 1.3")
        .with_client_cert_verifier(credentials.client_verifier())
        .with_single_cert(credentials.chain(), credentials.key())
        .expect("certificate and key were checked when they were loaded");
    config.alpn_protocols = vec![plane.alpn().to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config
}

/// What a dialler offers and asks for; where its objection to the other's certificate is left.
pub(crate) fn client_config(
    plane: Plane,
    credentials: &Credentials,
    expect: Expect,
) -> (ClientConfig, Verdict) {
    let verdict = Verdict::default();
    let verifier = ReplicaVerifier {
        chain: credentials.server_verifier(),
        cluster: credentials.identity().cluster,
        expect,
        verdict: verdict.clone(),
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(credentials.chain(), credentials.key())
        .expect("certificate and key were checked when they were loaded");
    config.alpn_protocols = vec![plane.alpn().to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    (config, verdict)
}

pub(crate) fn quic_server(config: ServerConfig) -> QuicServerConfig {
    QuicServerConfig::try_from(config).expect("ring has the suite that QUIC begins with")
}

pub(crate) fn quic_client(config: ClientConfig) -> QuicClientConfig {
    QuicClientConfig::try_from(config).expect("ring has the suite that QUIC begins with")
}

/// HMAC-SHA256 with the provider's means; for tokens that must be the same after a restart.
pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256
        .tls13()
        .expect("it is a suite of TLS 1.3");
    let key = rustls::crypto::tls13::OkmBlock::new(key);
    let tag = suite.hkdf_provider.hmac_sign(&key, message);
    tag.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Where a verifier leaves its objection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(Arc<Mutex<Option<Objection>>>);

impl Verdict {
    pub(crate) fn take(&self) -> Option<Objection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, objection: Objection) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(objection);
    }
}

/// Accepts the certificate of a replica of our cluster: chain, dates and use by webpki, under the name that the certificate
/// itself states; then the name is held against whom we expect.
#[derive(Debug)]
struct ReplicaVerifier {
    chain: Arc<WebPkiServerVerifier>,
    cluster: u128,
    expect: Expect,
    verdict: Verdict,
}

impl ReplicaVerifier {
    fn judge(&self, end_entity: &CertificateDer<'_>) -> Result<(), Objection> {
        let identity = Identity::of_certificate(end_entity)
            .map_err(|error| Objection::NotAReplica(error.to_string()))?;
        if identity.cluster != self.cluster {
            return Err(Objection::WrongCluster(identity.cluster));
        }
        match (&identity.who, self.expect) {
            (Who::Replica(_), Expect::AnyReplica) => Ok(()),
            (Who::Replica(id), Expect::Replica(expected)) if *id == expected => Ok(()),
            (Who::Replica(id), Expect::Replica(_)) => {
                Err(Objection::WrongReplica(format!("replica {id}")))
            }
            (Who::Client(_) | Who::Admin(_), _) => {
                Err(Objection::NotAReplica(identity.to_string()))
            }
        }
    }
}

impl ServerCertVerifier for ReplicaVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let stated = Identity::of_certificate(end_entity)
            .ok()
            .and_then(|identity| identity.dns_name().ok());
        let stated = stated.unwrap_or_else(|| "nobody.paxlog".to_owned());
        let name = ServerName::try_from(stated).expect("identities are DNS names");
        let chain =
            self.chain
                .verify_server_cert(end_entity, intermediates, &name, ocsp_response, now);
        let objection = match &chain {
            Err(Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => Some(Objection::UnknownAuthority),
            // A certificate that names nobody of ours comes here too: who it is is the better answer. A client's is not for
            // servers, which webpki says in less helpful words.
            _ => self.judge(end_entity).err(),
        };
        match (objection, chain) {
            (None, Ok(verified)) => Ok(verified),
            (None, Err(error)) => {
                self.verdict.set(Objection::Unfit(error.to_string()));
                Err(error)
            }
            (Some(objection), chain) => {
                self.verdict.set(objection);
                Err(chain
                    .err()
                    .unwrap_or(Error::InvalidCertificate(CertificateError::NotValidForName)))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::CertificateAuthority;

    #[test]
    fn nothing_is_resumed_and_no_data_is_early_on_either_side() {
        let authority = CertificateAuthority::make(7).unwrap();
        let credentials =
            Credentials::of(&authority, &authority.issue_replica(1).unwrap()).unwrap();
        for plane in [Plane::Clients, Plane::Replicas] {
            let server = server_config(plane, &credentials);
            assert_eq!(server.send_tls13_tickets, 0);
            assert_eq!(server.max_early_data_size, 0);
            assert!(!server.ticketer.enabled());
            assert!(!server.session_storage.can_cache());
            assert_eq!(server.alpn_protocols, [plane.alpn()]);
            let (client, _) = client_config(plane, &credentials, Expect::Replica(1));
            assert!(!client.enable_early_data);
            assert_eq!(client.alpn_protocols, [plane.alpn()]);
            // It has no getter; its text is all there is.
            assert!(format!("{:?}", client.resumption).contains("NoClientSessionStorage"));
        }
    }

    #[test]
    fn clients_must_authenticate() {
        let authority = CertificateAuthority::make(7).unwrap();
        let credentials =
            Credentials::of(&authority, &authority.issue_replica(1).unwrap()).unwrap();
        assert!(credentials.client_verifier().client_auth_mandatory());
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let tag = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(tag[..4], [0x5b, 0xdc, 0xc1, 0x46]);
    }
}
