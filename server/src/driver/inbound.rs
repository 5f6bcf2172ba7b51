//! Reading frames from a peer that may be slow, broken or hostile: lengths before memory, and a deadline for everything.

use std::time::Duration;

use guildhall_shared::frame::{FrameError, FrameHeader, HEADER_BYTES, LengthRule};
use guildhall_shared::message::MessageError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Limits;
use crate::transport::{Reader, TransportError};

/// A message that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// The frame or its body is refused.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The stream broke or ended too early.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Too slow.
    #[error("expected {expected} bytes in time, found {found} after {waited_ms} ms")]
    Slow {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
        /// Milliseconds waited.
        waited_ms: u64,
    },
}

impl From<FrameError> for InboundError {
    fn from(error: FrameError) -> Self {
        InboundError::Message(error.into())
    }
}

/// How slow a peer may be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    stall: Duration,
    rate_min_bytes_per_second: u64,
}

impl Pace {
    /// From the configured limits.
    pub fn of(limits: &Limits) -> Self {
        Pace {
            stall: Duration::from_millis(limits.stall_ms),
            rate_min_bytes_per_second: limits.upload_rate_min_bytes_per_second,
        }
    }

    /// Time for this many bytes at the minimum rate, and a stall.
    pub fn allowance(&self, bytes: usize) -> Duration {
        self.stall
            + Duration::from_millis((bytes as u64).saturating_mul(1_000) / self.rate_min_bytes_per_second)
    }
}

/// Fills the buffer, or says how far it came.
pub async fn fill(reader: &mut Reader, buffer: &mut [u8], pace: &Pace) -> Result<(), InboundError> {
    let (began, expected) = (Instant::now(), buffer.len());
    let deadline = began + pace.allowance(expected);
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        let until = deadline.min(Instant::now() + pace.stall);
        match timeout_at(until, reader.read_some(rest)).await {
            Ok(Ok(Some(bytes))) => found += bytes,
            Ok(Ok(None)) => return Err(TransportError::Truncated { expected, found }.into()),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let waited_ms = began.elapsed().as_millis() as u64;
                return Err(InboundError::Slow { expected, found, waited_ms });
            }
        }
    }
    Ok(())
}

/// Waits, as long as it takes, for the next frame's header; `None` when the stream ended before one began.
pub async fn next_header(reader: &mut Reader, pace: &Pace) -> Result<Option<FrameHeader>, InboundError> {
    let mut bytes = [0; HEADER_BYTES];
    let (first, rest) = bytes.split_at_mut(1);
    if reader.read_some(first).await?.is_none() {
        return Ok(None);
    }
    fill(reader, rest, pace).await?;
    Ok(Some(FrameHeader::parse(&bytes)?))
}

/// The next control message's header and body; its type's limit is checked before the body has memory.
pub async fn next_message(
    reader: &mut Reader,
    pace: &Pace,
    limit: fn(u16) -> Result<LengthRule, FrameError>,
) -> Result<Option<(FrameHeader, Vec<u8>)>, InboundError> {
    let Some(header) = next_header(reader, pace).await? else { return Ok(None) };
    header.check_length(limit(header.kind)?)?;
    let mut body = vec![0; header.length as usize];
    fill(reader, &mut body, pace).await?;
    header.check_body(&body)?;
    Ok(Some((header, body)))
}

/// Refuses anything after the last expected byte.
pub async fn expect_end(reader: &mut Reader, pace: &Pace, kind: u16) -> Result<(), InboundError> {
    match timeout(pace.stall, reader.read_some(&mut [0])).await {
        Ok(Ok(None)) => Ok(()),
        Ok(Ok(Some(_))) => {
            let expected = LengthRule::Exactly(0);
            Err(FrameError::Length { kind, expected, found: 1 }.into())
        }
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(InboundError::Slow { expected: 0, found: 0, waited_ms: pace.stall.as_millis() as u64 }),
    }
}
