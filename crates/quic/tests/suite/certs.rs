//! Certificates and keys as files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use paxlog_quic::{CertificateAuthority, CertsError, Credentials, Identity, Who};

use crate::support::{CLUSTER, authority};

const DAY: Duration = Duration::from_secs(86_400);

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_is_saved_loaded_and_issues_more() {
    let dir = tempfile::tempdir().unwrap();
    authority().save(dir.path()).unwrap();
    assert_eq!(mode(&dir.path().join("ca.key")), 0o600);
    assert_eq!(mode(&dir.path().join("ca.pem")), 0o644);

    let loaded = CertificateAuthority::load(dir.path()).unwrap();
    assert_eq!(loaded.cluster(), CLUSTER);
    for (name, who) in [
        ("r1", Who::Replica(1)),
        ("client", Who::Client("client".into())),
        ("root", Who::Admin("root".into())),
    ] {
        let (pem, key) = (
            dir.path().join(format!("{name}.pem")),
            dir.path().join(format!("{name}.key")),
        );
        loaded.issue(who.clone()).unwrap().save(&pem, &key).unwrap();
        assert_eq!(mode(&key), 0o600);
        let credentials = Credentials::load(&dir.path().join("ca.pem"), &pem, &key).unwrap();
        assert_eq!(
            credentials.identity(),
            &Identity {
                cluster: CLUSTER,
                who
            }
        );
    }
}

#[test]
fn nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let first = authority();
    first.save(dir.path()).unwrap();
    assert!(matches!(
        authority().save(dir.path()),
        Err(CertsError::Exists { .. })
    ));
    assert_eq!(
        CertificateAuthority::load(dir.path())
            .unwrap()
            .certificate_pem(),
        first.certificate_pem()
    );
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority();
    authority.save(dir.path()).unwrap();
    let (pem, key) = (dir.path().join("r1.pem"), dir.path().join("r1.key"));
    authority
        .issue_replica(1)
        .unwrap()
        .save(&pem, &key)
        .unwrap();
    for exposed in [0o640, 0o604, 0o660] {
        fs::set_permissions(&key, fs::Permissions::from_mode(exposed)).unwrap();
        let error = Credentials::load(&dir.path().join("ca.pem"), &pem, &key).unwrap_err();
        assert!(matches!(error, CertsError::KeyExposed { mode, .. } if mode == exposed));
        assert!(
            error.to_string().contains("r1.key") && error.to_string().contains("chmod 600"),
            "{error}"
        );
    }
    fs::set_permissions(dir.path().join("ca.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(
        CertificateAuthority::load(dir.path()),
        Err(CertsError::KeyExposed { .. })
    ));
}

#[test]
fn what_does_not_fit_together_is_told_before_anything_is_sent() {
    let (ours, other) = (authority(), authority());
    let (one, two) = (
        ours.issue_replica(1).unwrap(),
        ours.issue_replica(2).unwrap(),
    );
    let load = |ca: &CertificateAuthority, pem: &str, key: &str| {
        Credentials::from_pem(ca.certificate_pem(), pem, key)
    };
    assert!(load(&ours, one.certificate_pem(), one.key_pem()).is_ok());
    let mixed = load(&ours, one.certificate_pem(), two.key_pem()).unwrap_err();
    assert!(matches!(mixed, CertsError::KeyMismatch(_)), "{mixed}");
    let foreign = load(&other, one.certificate_pem(), one.key_pem()).unwrap_err();
    assert!(matches!(foreign, CertsError::Unfit { .. }), "{foreign}");
    let garbage = load(&ours, "-----BEGIN", one.key_pem()).unwrap_err();
    assert!(matches!(garbage, CertsError::Pem { .. }), "{garbage}");
    let swapped = load(&ours, one.key_pem(), one.certificate_pem()).unwrap_err();
    assert!(matches!(swapped, CertsError::Pem { .. }), "{swapped}");
    // An authority's certificate names nobody.
    assert!(load(&ours, ours.certificate_pem(), one.key_pem()).is_err());
}

#[test]
fn an_expired_certificate_is_refused_at_loading() {
    let authority = authority();
    let old = SystemTime::now() - 100 * DAY;
    let expired = authority.issue_at(Who::Replica(1), old, 10 * DAY).unwrap();
    let error = Credentials::of(&authority, &expired).unwrap_err();
    assert!(
        matches!(&error, CertsError::Unfit { why, .. } if why.contains("expired")),
        "{error}"
    );
    let future = authority
        .issue_at(Who::Replica(1), SystemTime::now() + 10 * DAY, 10 * DAY)
        .unwrap();
    assert!(matches!(
        Credentials::of(&authority, &future),
        Err(CertsError::Unfit { .. })
    ));
}

#[test]
fn names_that_cannot_stand_in_a_certificate_are_refused() {
    let authority = authority();
    assert!(authority.issue_replica(0).is_err());
    for name in ["", "A", "a.b", "-a", "a b", &"a".repeat(64)] {
        assert!(authority.issue_client(name).is_err(), "{name}");
        assert!(authority.issue_admin(name).is_err(), "{name}");
    }
}

#[test]
fn debug_tells_no_secret() {
    let authority = authority();
    let issued = authority.issue_replica(1).unwrap();
    let credentials = Credentials::of(&authority, &issued).unwrap();
    let secret = issued.key_pem().lines().nth(1).unwrap();
    for text in [
        format!("{authority:?}"),
        format!("{issued:?}"),
        format!("{credentials:?}"),
    ] {
        assert!(
            !text.contains(secret) && !text.contains("PRIVATE"),
            "{text}"
        );
    }
}
