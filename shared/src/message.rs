//! Every message of the protocol, its type code and its limit. [core]
//!
//! ```text
//! enrolment (server-authenticated connection)    join ──EnrolRequest──▶ server ──EnrolReply──▶
//! session (mutual TLS), on one bidirectional control stream:
//!   client ──Hello──▶ ◀──Welcome── ◀──Job──   client ──CatchUp──▶ ◀──[Result]…──   client ──Ready──▶
//! round (masked):
//!   ◀──Offer──   Advertise | Decline ──▶   ◀──RoundRoster──   Shares ──▶   ◀──ForwardedShares──   [Update] ──▶
//!   ◀──Receipt──   ◀──Survivors──   Certify ──▶   ◀──Certificate──   Unmask ──▶   ◀──[Result]── | ◀──Abort──
//! round (plain mode):
//!   ◀──Offer──   Accept | Decline ──▶   ◀──Begin──   [Update] ──▶   ◀──Receipt──   ◀──[Result]── | ◀──Abort──
//! ```
//! Messages in brackets carry a vector and travel on a stream of their own, so that flow control holds back vectors
//! and never control messages.

mod enrolment;
mod round;
mod secagg;
mod session;

use crate::frame::{self, FrameError, FrameHeader, LengthRule};
use crate::wire::{self, WireError};

pub use enrolment::{ENROLMENT_TOKEN_BYTES, EnrolReply, EnrolRequest, Enrolled, Invitation, InvitationError};
pub use round::{
    Abort, Accept, Begin, Decline, DeclineReason, Offer, Receipt, ResultHeader, RollBack, UpdateHeader,
    Verdict, join_vector, split_vector,
};
pub use secagg::{
    Advertise, Certificate, CertificateSignature, Certify, Complaint, DealtShare, ForwardedShares,
    MemberKeys, RevealedShare, RoundRoster, SealedShares, ShareHashes, Shares, SurvivingUpdate, Survivors,
    Unmask,
};
pub use session::{CatchUp, Finished, Hello, Job, Ready, Refusal, Welcome, WitnessAnswer, WitnessedHead};

/// A message that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// The frame is refused.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The body is refused.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A vector message whose parts do not fit.
    #[error("a vector message of {0} bytes is cut wrongly into control part and words")]
    Vector(usize),
}

/// Declares a set of messages: an enum over their payloads with type codes, limits, encoding and decoding.
macro_rules! message_set {
    ($(#[$doc:meta])* $set:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, at most $limit:expr;)+ }) => {
        $(#[$doc])*
        // A message is made once, encoded or acted upon, and dropped: a job may be large.
        #[allow(clippy::large_enum_variant)]
        #[derive(Clone, Debug, PartialEq)]
        pub enum $set { $($(#[$vdoc])* $variant($variant),)+ }

        impl $set {
            /// The type code in the frame header.
            pub fn kind(&self) -> u16 {
                match self { $($set::$variant(_) => $code,)+ }
            }

            /// The message's name, for logs.
            pub fn name(&self) -> &'static str {
                match self { $($set::$variant(_) => stringify!($variant),)+ }
            }

            /// The longest body a type may have; unknown types are refused.
            ///
            /// # Errors
            /// [`FrameError::Type`].
            pub fn limit(kind: u16) -> Result<LengthRule, FrameError> {
                match kind { $($code => Ok(LengthRule::AtMost($limit)),)+ other => Err(FrameError::Type(other)) }
            }

            /// The whole frame.
            ///
            /// # Errors
            /// [`WireError`] when the message is larger than anything may be.
            pub fn to_frame(&self) -> Result<Vec<u8>, WireError> {
                let body = match self { $($set::$variant(payload) => wire::encode(payload)?,)+ };
                Ok(frame::frame(self.kind(), &body))
            }

            /// Reads a body whose header passed [`Self::limit`].
            ///
            /// # Errors
            /// [`MessageError`].
            pub fn from_body(header: &FrameHeader, body: &[u8]) -> Result<Self, MessageError> {
                header.check_length(Self::limit(header.kind)?)?;
                header.check_body(body)?;
                match header.kind {
                    $($code => Ok($set::$variant(wire::decode(body, $limit as usize)?)),)+
                    other => Err(FrameError::Type(other).into()),
                }
            }
        }

        $(impl From<$variant> for $set {
            fn from(payload: $variant) -> Self { $set::$variant(payload) }
        })+
    };
}

message_set! {
    /// What a client says on the control stream.
    ClientMessage {
        /// First message of a session.
        Hello = 0x0101, at most 256;
        /// Asks for the results it lacks.
        CatchUp = 0x0102, at most 256;
        /// Holds the newest model.
        Ready = 0x0103, at most 256;
        /// Takes part in an attempt.
        Accept = 0x0104, at most 512;
        /// Does not.
        Decline = 0x0105, at most 512;
        /// M1.
        Advertise = 0x0106, at most 512;
        /// M3: at most 254 holders.
        Shares = 0x0107, at most 96 << 10;
        /// A dealer's share is unusable.
        Complaint = 0x0108, at most 256;
        /// M7.
        Certify = 0x0109, at most 256;
        /// M9: at most one share of every other merchant.
        Unmask = 0x010A, at most 40 << 10;
    }
}

message_set! {
    /// What the server says on the control stream.
    ServerMessage {
        /// First message of a session, with the roster once it is closed.
        Welcome = 0x0201, at most 1 << 20;
        /// The job to take part in.
        Job = 0x0202, at most 4 << 20;
        /// M0.
        Offer = 0x0203, at most 1024;
        /// The attempt's participants: training starts.
        Begin = 0x0204, at most 8192;
        /// What became of an update.
        Receipt = 0x0205, at most 512;
        /// The attempt ended without a result.
        Abort = 0x0206, at most 1024;
        /// The model went back to an earlier version.
        RollBack = 0x0207, at most 512;
        /// The job is complete.
        Finished = 0x0208, at most 256;
        /// The session is refused or ended, and why.
        Refusal = 0x0209, at most 1024;
        /// M2.
        RoundRoster = 0x020A, at most 256 << 10;
        /// M4: at most one share of every other merchant.
        ForwardedShares = 0x020B, at most 384 << 10;
        /// M6.
        Survivors = 0x020C, at most 192 << 10;
        /// M8.
        Certificate = 0x020D, at most 128 << 10;
        /// The server cosigned where the receiver's ledger stood.
        WitnessedHead = 0x020E, at most 256;
    }
}

message_set! {
    /// What is said before a merchant has a certificate.
    EnrolmentMessage {
        /// Signing request in.
        EnrolRequest = 0x0301, at most 8192;
        /// Certificate out.
        EnrolReply = 0x0302, at most 16384;
    }
}

/// Type code of an update's frame (client to server, on its own stream).
pub const UPDATE_KIND: u16 = 0x0401;
/// Type code of a result's frame (server to client, on its own stream).
pub const RESULT_KIND: u16 = 0x0402;

#[cfg(test)]
mod tests;
