//! A record's payload, as a history names it.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A record's payload: its bytes, or a 64-bit number that stands for them, which keeps a history small. The two forms
/// of one payload are equal to each other.
///
/// In the file: text, `{"base64": …}` or `{"id": sixteen hexadecimal digits, "len": bytes}`.
#[derive(Clone)]
pub enum Payload {
    /// The bytes.
    Bytes(Arc<[u8]>),
    /// What stands for them.
    Id {
        /// See [`Payload::id_of`].
        id: u64,
        /// How many bytes.
        len: u32,
    },
}

impl Payload {
    /// What stands for these bytes.
    pub fn id_of(bytes: &[u8]) -> Payload {
        let (id, len) = key_of(bytes);
        Payload::Id { id, len }
    }

    /// By what payloads are told apart: number and length.
    pub fn key(&self) -> (u64, u32) {
        match self {
            Payload::Bytes(bytes) => key_of(bytes),
            Payload::Id { id, len } => (*id, *len),
        }
    }
}

/// A hash of 64 bits, eight bytes at a step, mixed so that every bit counts: over a million payloads two alike by
/// chance come once in thirty million histories.
fn key_of(bytes: &[u8]) -> (u64, u32) {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let hash = (hash ^ word).wrapping_mul(ODD);
        hash ^ (hash >> 29)
    };
    let mut chunks = bytes.chunks_exact(8);
    let mut hash = mix(ODD, bytes.len() as u64);
    for chunk in &mut chunks {
        let word = chunk.first_chunk::<8>().expect("chunks of eight");
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    for byte in chunks.remainder() {
        hash = mix(hash, u64::from(*byte) + 1);
    }
    (mix(mix(hash, 0), 0), bytes.len() as u32)
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        match (self, other) {
            (Payload::Bytes(one), Payload::Bytes(two)) => one == two,
            _ => self.key() == other.key(),
        }
    }
}

impl Eq for Payload {}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload::Bytes(bytes.into())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::Bytes(bytes.into())
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Payload {
        text.as_bytes().into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        text.into_bytes().into()
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// As much of it as helps to find it.
        const SHOWN: usize = 40;
        match self {
            Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.chars().count() <= SHOWN => write!(f, "{text:?}"),
                Ok(text) => {
                    let begin: String = text.chars().take(SHOWN).collect();
                    write!(f, "{begin:?}… ({} bytes)", bytes.len())
                }
                Err(_) => {
                    let (id, len) = self.key();
                    write!(f, "{id:016x} ({len} bytes)")
                }
            },
            Payload::Id { id, len } => write!(f, "{id:016x} ({len} bytes)"),
        }
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The forms in the file.
#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Form {
    Text(String),
    Base64 { base64: String },
    Id { id: String, len: u32 },
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => Form::Base64 {
                    base64: STANDARD.encode(bytes),
                }
                .serialize(serializer),
            },
            Payload::Id { id, len } => Form::Id {
                id: format!("{id:016x}"),
                len: *len,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(text.into()),
            Form::Base64 { base64 } => {
                let bytes = STANDARD
                    .decode(&base64)
                    .map_err(|error| D::Error::custom(format!("not base64: {error}")))?;
                Ok(bytes.into())
            }
            Form::Id { id, len } => {
                let digits = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                let number = u64::from_str_radix(&id, 16).ok().filter(|_| digits);
                let id = number.ok_or_else(|| {
                    D::Error::custom(format!("{id:?} is not sixteen hexadecimal digits"))
                })?;
                Ok(Payload::Id { id, len })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_payload_are_equal_and_different_payloads_are_not() {
        let mut seen = std::collections::BTreeSet::new();
        for len in 0..40_usize {
            for change in 0..=len {
                let mut bytes = vec![0_u8; len];
                if let Some(byte) = change.checked_sub(1).and_then(|at| bytes.get_mut(at)) {
                    *byte = 1;
                }
                let whole = Payload::from(bytes.clone());
                assert_eq!(whole, Payload::id_of(&bytes));
                assert!(seen.insert(whole.key()), "{bytes:?}");
            }
        }
    }

    #[test]
    fn every_form_comes_back_from_json() {
        for payload in [
            Payload::from("žluť \"\n"),
            Payload::from(""),
            Payload::from(&b"\xff\x00"[..]),
            Payload::id_of(b"x"),
        ] {
            let text = serde_json::to_string(&payload).unwrap();
            let back: Payload = serde_json::from_str(&text).unwrap();
            assert_eq!(back, payload);
            assert_eq!(serde_json::to_string(&back).unwrap(), text, "the same form");
        }
        for wrong in [
            r#"{"id":"xyz","len":1}"#,
            r#"{"id":"+000000000000001","len":1}"#,
            r#"{"id":"1","len":1}"#,
            r#"{"id":"0000000000000001","len":1,"what":1}"#,
            r#"{"base64":"%"}"#,
            r#"{"base64":"eA==","what":1}"#,
            "1",
        ] {
            assert!(serde_json::from_str::<Payload>(wrong).is_err(), "{wrong}");
        }
    }
}
