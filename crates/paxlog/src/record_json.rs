//! Records as JSON, in and out.
//!
//! `{"offset","timestamp","key","headers","payload"}`: payload and key are text; what is not UTF-8
//! is base64 under `payload_base64` and `key_base64`. Headers are `[["k","v"]]`, a binary one
//! `{"base64":"…"}` in place of its text; input takes an object too. What `read` prints, `append --as
//! json` takes: offset and timestamp are ignored there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use paxlog_client::Record;
use serde_json::{Map, Value, json};

use crate::time;

/// Writes one record, with its place, as one line without its end.
pub(crate) fn to_json(offset: u64, timestamp: u64, record: &Record) -> String {
    let mut out = String::with_capacity(128 + record.payload.len());
    out.push_str(&format!(
        "{{\"offset\":{offset},\"timestamp\":\"{}\"",
        time::format_ns(timestamp)
    ));
    match &record.key {
        None => out.push_str(",\"key\":null"),
        Some(key) => field(&mut out, "key", key),
    }
    let headers: Vec<[Value; 2]> = record
        .headers
        .iter()
        .map(|(k, v)| [text_or_base64(k), text_or_base64(v)])
        .collect();
    out.push_str(",\"headers\":");
    out.push_str(&json!(headers).to_string());
    field(&mut out, "payload", &record.payload);
    out.push('}');
    out
}

fn field(out: &mut String, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => out.push_str(&format!(",\"{name}\":{}", Value::from(text))),
        Err(_) => out.push_str(&format!(
            ",\"{name}_base64\":\"{}\"",
            STANDARD.encode(bytes)
        )),
    }
}

fn text_or_base64(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Reads one record. The error is a sentence that says what is wrong.
pub(crate) fn from_json(line: &[u8]) -> Result<Record, String> {
    let value: Value =
        serde_json::from_slice(line).map_err(|error| format!("is not JSON: {error}"))?;
    let Value::Object(mut object) = value else {
        return Err("is not a JSON object".into());
    };
    // Printed by `read`; here only the cluster assigns them.
    object.remove("offset");
    object.remove("timestamp");
    let key = bytes_of(&mut object, "key", "key_base64")?;
    let payload = bytes_of(&mut object, "payload", "payload_base64")?
        .ok_or("has neither \"payload\" nor \"payload_base64\"")?;
    let headers = match object.remove("headers") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|pair| match pair {
                Value::Array(pair) => match <[Value; 2]>::try_from(pair) {
                    Ok([name, value]) => Ok((header_bytes(name)?, header_bytes(value)?)),
                    Err(_) => {
                        Err("has a header that is not a [\"name\", \"value\"] pair".to_owned())
                    }
                },
                _ => Err("has a header that is not a [\"name\", \"value\"] pair".to_owned()),
            })
            .collect::<Result<_, _>>()?,
        Some(Value::Object(map)) => map
            .into_iter()
            .map(|(name, value)| Ok((Bytes::from(name), header_bytes(value)?)))
            .collect::<Result<_, String>>()?,
        Some(_) => {
            return Err("has \"headers\" that are neither a list of pairs nor an object".into());
        }
    };
    if let Some(unknown) = object.keys().next() {
        return Err(format!(
            "has an unknown key \"{unknown}\"; known are key, key_base64, headers, payload and payload_base64"
        ));
    }
    Ok(Record {
        key,
        headers,
        payload,
    })
}

fn bytes_of(
    object: &mut Map<String, Value>,
    text: &str,
    base64: &str,
) -> Result<Option<Bytes>, String> {
    let plain = match object.remove(text) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(Bytes::from(text)),
        Some(_) => return Err(format!("has a \"{text}\" that is not text")),
    };
    let encoded = match object.remove(base64) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => {
            Some(Bytes::from(STANDARD.decode(text).map_err(|_| {
                format!("has a \"{base64}\" that is not base64")
            })?))
        }
        Some(_) => return Err(format!("has a \"{base64}\" that is not text")),
    };
    match (plain, encoded) {
        (Some(_), Some(_)) => Err(format!("has both \"{text}\" and \"{base64}\"")),
        (plain, encoded) => Ok(plain.or(encoded)),
    }
}

fn header_bytes(value: Value) -> Result<Bytes, String> {
    match value {
        Value::String(text) => Ok(text.into()),
        Value::Object(map) if map.len() == 1 => match map.get("base64") {
            Some(Value::String(text)) => {
                Ok(Bytes::from(STANDARD.decode(text).map_err(
                    |_| "has a header whose \"base64\" is not base64",
                )?))
            }
            _ => Err("has a header that is neither text nor {\"base64\": …}".into()),
        },
        _ => Err("has a header that is neither text nor {\"base64\": …}".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_read_prints_append_takes() {
        for record in [
            Record {
                key: None,
                headers: vec![],
                payload: Bytes::new(),
            },
            Record {
                key: Some(Bytes::from_static(b"k\"\n")),
                headers: vec![
                    (Bytes::from_static(b"a"), Bytes::from_static(b"1")),
                    (Bytes::from_static(b"a"), Bytes::from_static(b"\xff")),
                ],
                payload: Bytes::from_static("žluťoučký kůň \u{1F40E}".as_bytes()),
            },
            Record {
                key: Some(Bytes::from_static(b"\x80")),
                headers: vec![(Bytes::from_static(b"\xfe"), Bytes::new())],
                payload: Bytes::from_static(b"\x00\xff\n"),
            },
        ] {
            let line = to_json(7, 1, &record);
            assert!(!line.contains('\n'));
            assert_eq!(from_json(line.as_bytes()).unwrap(), record, "{line}");
        }
    }

    #[test]
    fn the_printed_form_is_as_promised() {
        let record = Record {
            key: Some(Bytes::from_static(b"k")),
            headers: vec![(Bytes::from_static(b"h"), Bytes::from_static(b"\xff"))],
            payload: Bytes::from_static(b"\xff"),
        };
        assert_eq!(
            to_json(3, 1, &record),
            r#"{"offset":3,"timestamp":"1970-01-01T00:00:00.000000001Z","key":"k","headers":[["h",{"base64":"/w=="}]],"payload_base64":"/w=="}"#
        );
    }

    #[test]
    fn headers_may_be_an_object() {
        let record =
            from_json(br#"{"payload":"p","headers":{"b":"2","a":{"base64":"/w=="}}}"#).unwrap();
        assert_eq!(record.headers.len(), 2);
        assert!(
            record
                .headers
                .contains(&(Bytes::from_static(b"a"), Bytes::from_static(b"\xff")))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (line, says) in [
            ("{", "is not JSON"),
            ("[]", "is not a JSON object"),
            ("{}", "neither"),
            (r#"{"payload":1}"#, "\"payload\" that is not text"),
            (r#"{"payload":"a","payload_base64":"YQ=="}"#, "has both"),
            (r#"{"payload_base64":"?"}"#, "not base64"),
            (r#"{"payload":"a","kee":"b"}"#, "unknown key \"kee\""),
            (r#"{"payload":"a","headers":[["x"]]}"#, "pair"),
            (r#"{"payload":"a","headers":[["x",1]]}"#, "neither text nor"),
            (r#"{"payload":"a","headers":3}"#, "neither a list"),
        ] {
            let said = from_json(line.as_bytes()).unwrap_err();
            assert!(said.contains(says), "{line}: {said}");
        }
    }
}
