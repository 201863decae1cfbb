//! Frames over streams.

use std::time::Duration;

use bytes::Bytes;
use paxlog_paxos::Envelope;
use paxlog_wire::{
    Code, EncodeError, Flags, Frame, FrameDecoder, FrameEncoder, FrameError, FrameLimits, Message,
};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

use crate::connection::Connection;
use crate::failure::{PeerError, var_int};

/// Chunks read from a stream at once.
const CHUNKS_MAX: usize = 32;

/// Why nothing can be sent on a stream any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The connection is closed or lost.
    #[error(transparent)]
    Lost(#[from] PeerError),
    /// The receiver wants no more.
    #[error("the receiver stopped the stream (code {0})")]
    Stopped(u64),
    /// The stream was finished or reset here.
    #[error("the stream was finished here")]
    Finished,
    /// The message is over its limit; nothing of it was sent, and the stream is good.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why nothing can be received from a stream any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The connection is closed or lost.
    #[error(transparent)]
    Lost(#[from] PeerError),
    /// What came is no frame within the limits.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The sender gave the stream up.
    #[error("the sender reset the stream (code {0})")]
    Reset(u64),
    /// The first frame did not come in time.
    #[error("nothing was said in time")]
    Late,
    /// The stream was stopped here.
    #[error("the stream was stopped here")]
    Stopped,
}

/// The sending end of a stream.
///
/// Frames are pushed and then flushed: what was pushed between two flushes leaves as one write.
#[derive(Debug)]
pub struct FrameSender {
    stream: SendStream,
    connection: Connection,
    encoder: FrameEncoder,
    /// Taken out of the encoder, and not handed to the stream yet; those before `written` are.
    chunks: Vec<Bytes>,
    written: usize,
}

impl FrameSender {
    pub(crate) fn new(stream: SendStream, connection: Connection) -> Self {
        Self {
            stream,
            connection,
            encoder: FrameEncoder::new(),
            chunks: Vec::new(),
            written: 0,
        }
    }

    /// The connection that the stream belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Adds a frame without a body to the next flush.
    ///
    /// # Errors
    /// When the message is over its limit.
    pub fn push<M: Message>(&mut self, message: &M) -> Result<(), EncodeError> {
        self.encoder.push(message)
    }

    /// Adds a frame to the next flush; large parts of its body are passed on as they are.
    ///
    /// # Errors
    /// When the message or body is over its limit.
    pub fn push_with<M: Message>(
        &mut self,
        message: &M,
        flags: Flags,
        body: &[Bytes],
    ) -> Result<(), EncodeError> {
        self.encoder.push_with(message, flags, body)
    }

    /// Adds an envelope to the next flush; large parts of its value are passed on as they are.
    ///
    /// # Errors
    /// When the envelope is over its limit.
    pub fn push_envelope(&mut self, envelope: &Envelope) -> Result<(), EncodeError> {
        self.encoder.push_envelope(envelope)
    }

    /// The bytes that were pushed since the last flush.
    pub fn pushed_bytes(&self) -> usize {
        self.encoder.bytes()
    }

    /// Hands everything pushed to the stream; waits while the stream's window or send buffer is full. Cancel-safe: what was not
    /// written is kept for the next flush.
    ///
    /// # Errors
    /// When the stream or connection is gone.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.encoder.take_into(&mut self.chunks);
        self.write_out().await
    }

    /// Hands chunks of whole frames to the stream, behind everything pushed. Cancel-safe.
    ///
    /// # Errors
    /// When the stream or connection is gone.
    pub(crate) async fn write_chunks(&mut self, chunks: &mut Vec<Bytes>) -> Result<(), SendError> {
        self.encoder.take_into(&mut self.chunks);
        self.chunks.append(chunks);
        self.write_out().await
    }

    async fn write_out(&mut self) -> Result<(), SendError> {
        while self.written < self.chunks.len() {
            match self
                .stream
                .write_chunks(&mut self.chunks[self.written..])
                .await
            {
                Ok(written) => self.written += written.chunks,
                Err(WriteError::Stopped(code)) => {
                    return Err(SendError::Stopped(code.into_inner()));
                }
                Err(WriteError::ConnectionLost(error)) => {
                    return Err(self.connection.error(&error).into());
                }
                Err(WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
                    return Err(SendError::Finished);
                }
            }
        }
        self.chunks.clear();
        self.written = 0;
        Ok(())
    }

    /// Pushes one frame without a body, and flushes.
    ///
    /// # Errors
    /// When the message is over its limit, or the stream or connection is gone.
    pub async fn send<M: Message>(&mut self, message: &M) -> Result<(), SendError> {
        self.push(message)?;
        self.flush().await
    }

    /// Pushes one frame, and flushes.
    ///
    /// # Errors
    /// When the message or body is over its limit, or the stream or connection is gone.
    pub async fn send_with<M: Message>(
        &mut self,
        message: &M,
        flags: Flags,
        body: &[Bytes],
    ) -> Result<(), SendError> {
        self.push_with(message, flags, body)?;
        self.flush().await
    }

    /// Says that nothing more will come. What was flushed is still delivered.
    pub fn finish(&mut self) {
        // It fails only if it was finished or reset before.
        let _ = self.stream.finish();
    }

    /// Waits until the receiver has acknowledged everything or stopped the stream, after [`finish`](Self::finish).
    pub async fn settled(&mut self) {
        let _ = self.stream.stopped().await;
    }

    /// Gives the stream up, with what was not delivered.
    pub fn reset(&mut self, code: Code) {
        let _ = self.stream.reset(var_int(code));
    }

    /// Streams of higher priority go first within their connection; 0 to begin with.
    pub fn set_priority(&mut self, priority: i32) {
        let _ = self.stream.set_priority(priority);
    }
}

/// The receiving end of a stream.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: RecvStream,
    connection: Connection,
    decoder: FrameDecoder,
    ended: bool,
}

impl FrameReceiver {
    pub(crate) fn new(stream: RecvStream, connection: Connection, limits: FrameLimits) -> Self {
        Self {
            stream,
            connection,
            decoder: FrameDecoder::new(limits),
            ended: false,
        }
    }

    /// The connection that the stream belongs to.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Changes what is taken from the next frame on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.decoder.set_limits(limits);
    }

    /// The next frame; none once the sender finished. Cancel-safe.
    ///
    /// # Errors
    /// When what comes is no frame within the limits, ends within one, or the stream or connection is gone.
    pub async fn next(&mut self) -> Result<Option<Frame>, ReceiveError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame));
            }
            if self.ended {
                self.decoder.finish()?;
                return Ok(None);
            }
            let mut chunks: [Bytes; CHUNKS_MAX] = Default::default();
            match self.stream.read_chunks(&mut chunks).await {
                Ok(Some(read)) => chunks
                    .into_iter()
                    .take(read)
                    .for_each(|chunk| self.decoder.push(chunk)),
                Ok(None) => self.ended = true,
                Err(ReadError::Reset(code)) => return Err(ReceiveError::Reset(code.into_inner())),
                Err(ReadError::ConnectionLost(error)) => {
                    return Err(self.connection.error(&error).into());
                }
                Err(
                    ReadError::ClosedStream
                    | ReadError::IllegalOrderedRead
                    | ReadError::ZeroRttRejected,
                ) => {
                    return Err(ReceiveError::Stopped);
                }
            }
        }
    }

    /// The next frame of those that were read already; none if a read would be needed. So one wake-up's frames are taken
    /// together.
    ///
    /// # Errors
    /// When what came is no frame within the limits.
    pub fn next_ready(&mut self) -> Result<Option<Frame>, ReceiveError> {
        Ok(self.decoder.next_frame()?)
    }

    /// The next frame, if it comes in time.
    ///
    /// # Errors
    /// As [`next`](Self::next), and `Late`.
    pub async fn next_within(&mut self, patience: Duration) -> Result<Option<Frame>, ReceiveError> {
        tokio::time::timeout(patience, self.next())
            .await
            .unwrap_or(Err(ReceiveError::Late))
    }

    /// Wants no more: the sender is told, and what comes is thrown away.
    pub fn stop(&mut self, code: Code) {
        let _ = self.stream.stop(var_int(code));
    }
}
