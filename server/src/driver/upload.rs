//! Receiving one update: everything that can be checked from the first 188 bytes is checked before any memory is used.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{FrameError, HEADER_BYTES, LengthRule};
use guildhall_shared::id::Name;
use guildhall_shared::message::{MessageError, UPDATE_KIND, UpdateHeader};
use guildhall_shared::wire::{self, WireError};

use super::Shared;
use super::buffers::Loan;
use super::inbound::{self, InboundError, Pace};
use crate::coordinator::ExpectedUpdate;
use crate::transport::Reader;

/// Bytes before the words: length of the control part and the control part.
pub const CONTROL_BYTES: usize = 4 + UpdateHeader::BYTES;

/// An update that was received whole; the core judges it next.
#[derive(Debug)]
pub struct Upload {
    /// Its control part.
    pub header: UpdateHeader,
    body: Loan,
}

impl Upload {
    /// Its words.
    pub fn words(&self) -> &[u8] {
        self.body.get(CONTROL_BYTES..).unwrap_or_default()
    }
}

/// An upload that is refused on its way in.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// Nobody waits for updates.
    #[error("expected no update, for none is awaited; found one")]
    NotAwaited,
    /// The attempt ended while the update was on its way.
    #[error("expected an update of a running attempt; {0} ended while this one was on its way")]
    Ended(String),
    /// Of another attempt.
    #[error("{round}: expected session {expected}, found {found}")]
    Session {
        /// The running attempt.
        round: String,
        /// Its session id.
        expected: Digest,
        /// The update's.
        found: Digest,
    },
    /// From a merchant that does not take part.
    #[error("{round}: expected an update of a participant, found one of {found}")]
    Stranger {
        /// The running attempt.
        round: String,
        /// Who.
        found: Name,
    },
    /// The frame is refused, broken or too slow.
    #[error("{round}: {source}")]
    Inbound {
        /// The running attempt.
        round: String,
        /// What is wrong.
        source: InboundError,
    },
}

/// Receives one update of a merchant. When it fails the buffer, if there was one, is free again.
pub async fn receive(shared: &Shared, merchant: &Name, reader: &mut Reader) -> Result<Upload, UploadError> {
    let mut watched = shared.expected.clone();
    let expected = watched.borrow_and_update().clone().ok_or(UploadError::NotAwaited)?;
    let ended = watched.wait_for(|now| now.as_ref().is_none_or(|now| now.sid != expected.sid));
    tokio::select! {
        received = receive_expected(shared, merchant, reader, &expected) => received,
        _ = ended => Err(UploadError::Ended(expected.round.to_string())),
    }
}

async fn receive_expected(
    shared: &Shared,
    merchant: &Name,
    reader: &mut Reader,
    expected: &Arc<ExpectedUpdate>,
) -> Result<Upload, UploadError> {
    let round = || expected.round.to_string();
    let inbound = |source: InboundError| UploadError::Inbound { round: round(), source };
    let frame = |error: FrameError| inbound(error.into());
    let pace = Pace::of(&shared.limits);
    let header =
        inbound::next_header(reader, &pace).await.map_err(inbound)?.ok_or(UploadError::NotAwaited)?;
    if header.kind != UPDATE_KIND {
        return Err(frame(FrameError::Type(header.kind)));
    }
    let body_bytes = CONTROL_BYTES + expected.vector_bytes;
    header.check_length(LengthRule::Exactly(body_bytes as u32)).map_err(frame)?;
    let mut control = [0; CONTROL_BYTES];
    inbound::fill(reader, &mut control, &pace).await.map_err(inbound)?;
    let update = parse_control(&control).map_err(|error| inbound(error.into()))?;
    if update.sid != expected.sid {
        return Err(UploadError::Session { round: round(), expected: expected.sid, found: update.sid });
    }
    if !expected.participants.contains(merchant) {
        return Err(UploadError::Stranger { round: round(), found: merchant.clone() });
    }
    let mut body = shared.buffers.borrow(body_bytes).await.ok_or(UploadError::NotAwaited)?;
    let (head, words) = body.split_at_mut(CONTROL_BYTES);
    head.copy_from_slice(&control);
    inbound::fill(reader, words, &pace).await.map_err(inbound)?;
    inbound::expect_end(reader, &pace, UPDATE_KIND).await.map_err(inbound)?;
    header.check_body(&body).map_err(frame)?;
    shared.traffic.add_up(HEADER_BYTES + body_bytes);
    Ok(Upload { header: update, body })
}

fn parse_control(control: &[u8; CONTROL_BYTES]) -> Result<UpdateHeader, MessageError> {
    let (length, rest) = control.split_at(4);
    if length != (UpdateHeader::BYTES as u32).to_le_bytes() {
        return Err(MessageError::Vector(control.len()));
    }
    wire::decode(rest, UpdateHeader::BYTES).map_err(|error: WireError| error.into())
}
