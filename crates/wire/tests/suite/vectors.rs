//! The test vectors of the client plane, `docs/protocol-vectors.json`: for others who implement the protocol, and the
//! bytes of every message pinned. A change of any of them is a change of the protocol.
//!
//! `PAXLOG_GOLDEN=rewrite cargo test --release -p paxlog-wire --test suite` writes the file anew; the diff is to be
//! reviewed, and belongs into CHANGELOG.md. Without it, every vector of the file is held against the sample, encoded and
//! decoded.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use paxlog_wire::batch::{Batch, BatchError, BatchView};
use paxlog_wire::client::*;
use paxlog_wire::{
    DecodeError, Flags, FrameDecoder, FrameEncoder, FrameError, FrameLimits, Kind, Message, decode,
};
use serde_json::Value;

use crate::golden::{rewriting, unhex};
use crate::plain::{Json, Plain};
use crate::refused;
use crate::samples;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol-vectors.json")
}

/// The file as it is, and as it should be.
struct Vectors {
    /// None where it is written anew.
    file: Option<Value>,
    frames: Vec<Json>,
    batches: Vec<Json>,
    refused_frames: Vec<Json>,
    refused_batches: Vec<Json>,
}

impl Vectors {
    /// The element of that name in the file.
    fn of(&self, list: &str, name: &str) -> Option<&Value> {
        let found = self.file.as_ref()?[list]
            .as_array()
            .and_then(|list| list.iter().find(|element| element["name"] == name));
        Some(found.unwrap_or_else(|| panic!("{list} lacks {name}: see the top of this file")))
    }

    /// Holds what the file says against `json`; gives the bytes under `key`.
    fn held(&self, list: &str, name: &str, json: &Json, key: &str) -> Option<Vec<u8>> {
        let found = self.of(list, name)?;
        assert_eq!(*found, json.value(), "{name} changed");
        Some(unhex(found[key].as_str().expect("hexadecimal text")))
    }

    fn frame<M>(&mut self, name: &str, message: &M, flags: Flags, body: &[Batch])
    where
        M: Message + Plain + PartialEq + Debug,
    {
        let body: Vec<Bytes> = body
            .iter()
            .flat_map(|batch| batch.parts().to_vec())
            .collect();
        let mut encoder = FrameEncoder::new();
        encoder
            .push_with(message, flags, &body)
            .expect("within the limits");
        let frame = encoder.take().concat();
        let json = Json::Object(vec![
            ("name", Json::text(name)),
            ("message", Json::text(type_name::<M>())),
            ("kind", Json::Number(M::KIND.number().into())),
            ("flags", Json::Number(flags.0.into())),
            ("value", message.plain()),
            ("meta", Json::hex(&paxlog_wire::encode(message))),
            ("body", Json::hex(&body.concat())),
            ("frame", Json::hex(&frame)),
        ]);
        let bytes = self.held("frames", name, &json, "frame").unwrap_or(frame);
        let mut decoder = FrameDecoder::new(FrameLimits::TO_CLIENT);
        decoder.push(bytes.into());
        let decoded = decoder.next_frame().expect("good").expect("whole");
        assert!(decoder.at_boundary(), "{name}");
        assert_eq!((decoded.kind, decoded.flags), (M::KIND, flags), "{name}");
        assert_eq!(decoded.body.concat(), body.concat(), "{name}");
        assert_eq!(decode::<M>(&decoded).expect("good"), *message, "{name}");
        self.frames.push(json);
    }

    /// Messages that have no body.
    fn frames<M>(&mut self, samples: Vec<(&'static str, M)>)
    where
        M: Message + Plain + PartialEq + Debug,
    {
        for (name, sample) in samples {
            self.frame(name, &sample, Flags::NONE, &[]);
        }
    }

    fn batch(&mut self, name: &str, batch: &Batch) {
        let whole = batch.parts().concat();
        let view = BatchView::parse_parts(batch.parts()).expect("good");
        let records: Vec<_> = view.records().collect();
        let json = Json::Object(vec![
            ("name", Json::text(name)),
            ("records", records.plain()),
            ("batch", Json::hex(&whole)),
        ]);
        let bytes = self.held("batches", name, &json, "batch").unwrap_or(whole);
        let parts = [Bytes::from(bytes)];
        let view = BatchView::parse_parts(&parts).expect("good");
        assert_eq!(view.records().collect::<Vec<_>>(), records, "{name}");
        self.batches.push(json);
    }

    fn refused_frame(&mut self, refused: &refused::Frame) {
        let bytes = &refused.bytes;
        let limits = match refused.limits {
            "first" => FrameLimits::FIRST,
            "from_client" => FrameLimits::FROM_CLIENT,
            _ => FrameLimits::TO_CLIENT,
        };
        let (message, reason) = match refused.due {
            Kind::ClientHello => due::<ClientHello>(bytes, limits),
            Kind::CommandRequest => due::<CommandRequest>(bytes, limits),
            Kind::CommandReply => due::<CommandReply>(bytes, limits),
            Kind::ReadRequest => due::<ReadRequest>(bytes, limits),
            due => panic!("add {due:?} here"),
        };
        assert_eq!(reason, refused.reason, "{}", refused.name);
        let json = Json::Object(vec![
            ("name", Json::text(refused.name)),
            ("limits", Json::text(refused.limits)),
            ("message", Json::text(message)),
            ("reason", Json::text(reason)),
            ("why", Json::text(refused.why)),
            ("bytes", Json::hex(bytes)),
        ]);
        self.held("refused_frames", refused.name, &json, "bytes");
        self.refused_frames.push(json);
    }

    fn refused_batch(&mut self, refused: &refused::Batch) {
        let parts = [Bytes::from(refused.bytes.clone())];
        let error = BatchView::parse_parts(&parts).expect_err("refused");
        let reason = match error {
            BatchError::RecordTooLarge { .. } => "record_too_large",
            BatchError::HeadersTooLarge { .. } => "headers_too_large",
            BatchError::BatchTooLarge { .. } => "batch_too_large",
            BatchError::Empty => "empty",
            BatchError::Checksum => "checksum",
            BatchError::Malformed(_) => "malformed",
            BatchError::Compression(_) => "compression",
            other => panic!("{}: {other}", refused.name),
        };
        assert_eq!(reason, refused.reason, "{}", refused.name);
        let json = Json::Object(vec![
            ("name", Json::text(refused.name)),
            ("reason", Json::text(reason)),
            ("why", Json::text(refused.why)),
            ("batch", Json::hex(&refused.bytes)),
        ]);
        self.held("refused_batches", refused.name, &json, "batch");
        self.refused_batches.push(json);
    }

    fn all(self) -> Json {
        Json::Object(vec![
            ("protocol", Json::Number(PROTOCOL_MAX.into())),
            ("read", Json::text("docs/protocol.md, Test vectors")),
            ("frames", Json::List(self.frames)),
            ("batches", Json::List(self.batches)),
            ("refused_frames", Json::List(self.refused_frames)),
            ("refused_batches", Json::List(self.refused_batches)),
        ])
    }
}

fn type_name<M>() -> &'static str {
    let whole = std::any::type_name::<M>();
    whole.rsplit("::").next().unwrap_or(whole)
}

/// Why bytes are not the message that is due.
fn due<M: Message + Debug>(bytes: &[u8], limits: FrameLimits) -> (&'static str, &'static str) {
    let mut decoder = FrameDecoder::new(limits);
    decoder.push(Bytes::copy_from_slice(bytes));
    let frame = match decoder.next_frame() {
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err(decoder.finish().expect_err("not whole")),
        Err(error) => Err(error),
    };
    let reason = match frame {
        Err(FrameError::Version(_)) => "version",
        Err(FrameError::Kind(_)) => "kind",
        Err(FrameError::MetaTooLarge { .. }) => "meta_too_large",
        Err(FrameError::BodyTooLarge { .. }) => "body_too_large",
        Err(FrameError::Checksum { .. }) => "checksum",
        Err(FrameError::Truncated) => "truncated",
        Ok(frame) => match decode::<M>(&frame).expect_err("refused") {
            DecodeError::Kind { .. } => "kind",
            DecodeError::Malformed { .. } => "malformed",
            DecodeError::TooLarge { .. } => "meta_too_large",
            DecodeError::BodyLength | DecodeError::Checksum => "malformed",
        },
    };
    (type_name::<M>(), reason)
}

/// The batches in a frame's body, if it has any.
fn command_body(request: &CommandRequest) -> Vec<Batch> {
    match request.command {
        CommandBody::Append { .. } => vec![samples::batch()],
        _ => Vec::new(),
    }
}

fn body(records: bool) -> Vec<Batch> {
    match records {
        true => samples::batches(),
        false => Vec::new(),
    }
}

#[test]
fn the_vectors_are_those_of_the_samples_in_both_directions() {
    let file = (!rewriting()).then(|| {
        let text = std::fs::read_to_string(path()).expect("docs/protocol-vectors.json");
        serde_json::from_str(&text).expect("JSON")
    });
    let mut vectors = Vectors {
        file,
        frames: Vec::new(),
        batches: Vec::new(),
        refused_frames: Vec::new(),
        refused_batches: Vec::new(),
    };
    vectors.frames(samples::client_hellos());
    vectors.frames(samples::control_events());
    for (name, sample) in samples::command_requests() {
        vectors.frame(name, &sample, Flags::NONE, &command_body(&sample));
        if matches!(sample.command, CommandBody::Append { .. }) {
            let batches = command_body(&sample);
            vectors.frame("command.append_resumed", &sample, Flags::RESUME, &batches);
        }
    }
    vectors.frames(samples::command_replies());
    vectors.frames(samples::query_requests());
    vectors.frames(samples::query_replies());
    vectors.frames(samples::read_requests());
    for (name, sample) in samples::read_events() {
        let body = body(matches!(sample, ReadEvent::Records(_)));
        vectors.frame(name, &sample, Flags::NONE, &body);
    }
    vectors.frames(samples::tail_requests());
    vectors.frame("credit", &samples::credit(), Flags::NONE, &[]);
    for (name, sample) in samples::tail_events() {
        let body = body(matches!(sample, TailEvent::Records(_)));
        vectors.frame(name, &sample, Flags::NONE, &body);
    }
    vectors.batch("batch.keys_and_headers", &samples::batch());
    vectors.batch("batch.one_record", &samples::lone_batch());
    for refused in refused::frames() {
        vectors.refused_frame(&refused);
    }
    for refused in refused::batches() {
        vectors.refused_batch(&refused);
    }

    let before = vectors.file.take();
    let mut text = String::new();
    let all = vectors.all();
    all.write(0, &mut text);
    text.push('\n');
    match before {
        None => std::fs::write(path(), text).expect("written"),
        Some(before) => assert_eq!(before, all.value(), "the file has more, or another order"),
    }
}

#[test]
fn every_kind_of_the_client_plane_has_a_vector() {
    if rewriting() {
        return;
    }
    let text = std::fs::read_to_string(path()).expect("docs/protocol-vectors.json");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let frames = file["frames"].as_array().expect("a list");
    let found: BTreeSet<u64> = frames
        .iter()
        .filter_map(|frame| frame["kind"].as_u64())
        .collect();
    let clients = Kind::ALL.iter().map(|kind| u64::from(kind.number()));
    let due: BTreeSet<u64> = clients.filter(|number| *number < 64).collect();
    assert_eq!(found, due);
}
