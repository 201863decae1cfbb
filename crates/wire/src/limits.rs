//! Every bound of both planes, in one place.
//!
//! A receiver checks a length against these before it allocates for it; a sender checks so that it is told in its own terms
//! and not by a broken stream.

/// The largest record: key, headers and payload together, in bytes.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// The largest batch, its header included, in bytes.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// The largest header section of one record, lengths included, in bytes.
pub const HEADERS_BYTES_MAX: usize = 32 << 10;

/// The longest name of a log or a producer, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The largest first frame of a stream whose sender has not said hello yet, meta only: such a frame has no body.
pub const FIRST_FRAME_BYTES_MAX: usize = 4 << 10;

/// The largest meta of an ordinary message, in bytes.
pub const META_BYTES_MAX: usize = 64 << 10;

/// The largest meta of a message that carries a list (a Promise, an answer to a listing), in bytes.
pub const LIST_META_BYTES_MAX: usize = 1 << 20;

/// The largest body of any frame, in bytes.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// The most logs that one answer to a listing names. With names of full length they fit [`LIST_META_BYTES_MAX`].
pub const LIST_LOGS_MAX: u32 = 1_000;

/// The most numbered commands that a producer may have without an answer and still be able to send each of them again:
/// as many receipts as the cluster keeps. A client keeps to it for its own sake.
pub const APPENDS_IN_FLIGHT_MAX: u32 = 4_096;

/// Replies that a replica may owe on a command stream before it reads no more from it: what bounds a client that does not
/// keep to [`APPENDS_IN_FLIGHT_MAX`], or reads none of its replies.
pub const REPLIES_OWED_MAX: u32 = 2 * APPENDS_IN_FLIGHT_MAX;

/// Streams that a client may have open on one connection; the transport lets it open no more.
pub const CLIENT_STREAMS_MAX: u32 = 256;
