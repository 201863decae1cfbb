//! Endpoints over loopback, and a deadline on every wait.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use paxlog_quic::{
    Acceptor, CertificateAuthority, Connection, Credentials, Endpoint, Plane, Tuning,
};

pub(crate) const CLUSTER: u128 = 0x5f0c_0000_0000_0000_0000_0000_0000_0001;

/// Runs a test on a current-thread runtime, as a replica does, and not for ever.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            tokio::time::timeout(Duration::from_secs(30), test)
                .await
                .expect("the test hangs")
        });
}

pub(crate) fn authority() -> CertificateAuthority {
    CertificateAuthority::make(CLUSTER).unwrap()
}

pub(crate) fn replica(authority: &CertificateAuthority, id: u16) -> Credentials {
    Credentials::of(authority, &authority.issue_replica(id).unwrap()).unwrap()
}

pub(crate) fn client(authority: &CertificateAuthority) -> Credentials {
    Credentials::of(authority, &authority.issue_client("tester").unwrap()).unwrap()
}

pub(crate) fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

pub(crate) fn serve(plane: Plane, credentials: &Credentials) -> (Endpoint, Acceptor) {
    Endpoint::serve(plane, any_port(), credentials, Tuning::of(plane)).unwrap()
}

pub(crate) fn dialler(plane: Plane, credentials: &Credentials) -> Endpoint {
    let tuning = Tuning {
        dial: Duration::from_secs(10),
        ..Tuning::of(plane)
    };
    Endpoint::dial_only(plane, credentials, tuning).unwrap()
}

/// A connected pair on the clients' plane: the client's side and the replica's.
pub(crate) async fn pair() -> (Endpoint, Endpoint, Connection, Connection) {
    let authority = authority();
    let (server, mut acceptor) = serve(Plane::Clients, &replica(&authority, 1));
    let endpoint = dialler(Plane::Clients, &client(&authority));
    let expect = paxlog_quic::Expect::AnyReplica;
    let (ours, theirs) = tokio::join!(
        endpoint.connect(server.local_address(), expect),
        acceptor.next()
    );
    // The acceptor may be dropped: connections live on.
    (endpoint, server, ours.unwrap(), theirs.unwrap())
}
