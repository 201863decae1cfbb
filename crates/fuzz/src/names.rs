//! Names in certificates.
//!
//! Input: whether it is a certificate (u8, odd: yes, in DER), and it or the name.

use paxlog_quic::{Identity, Who};

use crate::input::Input;

pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.u8() & 1 == 1 {
        if let Ok(identity) = Identity::of_certificate(input.rest()) {
            identity.dns_name().expect("an identity has a name");
        }
    } else if let Ok(name) = std::str::from_utf8(input.rest())
        && let Ok(identity) = Identity::parse(name)
    {
        let again = identity.dns_name();
        assert_eq!(again.as_deref(), Ok(name), "an identity in two ways");
    }
}

/// Certificates to begin with are in the corpus: making one takes a key drawn at random.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let who = [
        Who::Replica(3),
        Who::Client("app-1".into()),
        Who::Admin("ops".into()),
    ];
    let name = |who| {
        Identity { cluster: 0xc1, who }
            .dns_name()
            .expect("a valid identity")
    };
    let seed = |who| [vec![0], name(who).into_bytes()].concat();
    who.map(seed).into()
}
