//! One attempt at a round, plain mode: a pure state machine. [core]
//!
//! ```text
//!            all answered, or accept deadline        nobody awaited, or update deadline
//! Selecting ───────────────┬─▶ Collecting ───────────────────┬─▶ Settled { sum, contributors }
//!                          │ fewer than                      │ fewer than
//!                          │ quorum accepted                 │ quorum contributed
//!                          └─▶ Aborted { reason } ◀──────────┘
//! ```
//!
//! Time and bytes are arguments, what to do comes back as [`Output`]s. Every input is answered by the next state *and* a
//! verdict: a message that is refused leaves the state exactly as it was, whoever sent it.
//!
//! - [`Selecting`]: the offer is out. Each merchant accepts, by a signature over session, model and parameters, or
//!   declines. Ends when everybody offered has answered or left, or at the accept deadline.
//! - [`Collecting`]: participants train. Each update is checked (participant, session, length, hash, signature), added to
//!   the running sum and forgotten. Ends when no participant is awaited any more, or at the update deadline.
//! - [`Settled`]: the sum and whose updates are in it.
//! - [`Aborted`]: no result, and why.

mod aborted;
mod attempt;
mod collecting;
mod selecting;
mod settled;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::identity::SignatureError;
use guildhall_shared::message::{Accept, Decline, Offer, ServerMessage, UpdateHeader};

pub use aborted::Aborted;
pub use attempt::Attempt;
pub use collecting::Collecting;
pub use selecting::Selecting;
pub use settled::Settled;

/// Milliseconds on the server's monotonic clock.
pub type TimestampMs = u64;

/// What a merchant says in a round.
#[derive(Clone, Debug)]
pub enum RoundMessage<'a> {
    /// It takes part.
    Accept(Accept),
    /// It does not.
    Decline(Decline),
    /// Its update.
    Update {
        /// Session, hash, signature.
        header: UpdateHeader,
        /// Ring words, little endian.
        words: &'a [u8],
    },
}

impl RoundMessage<'_> {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            RoundMessage::Accept(_) => "an acceptance",
            RoundMessage::Decline(_) => "a refusal to take part",
            RoundMessage::Update { .. } => "an update",
        }
    }

    /// The attempt it claims to belong to.
    pub fn sid(&self) -> Digest {
        match self {
            RoundMessage::Accept(accept) => accept.sid,
            RoundMessage::Decline(decline) => decline.sid,
            RoundMessage::Update { header, .. } => header.sid,
        }
    }
}

/// What happens to a round.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A merchant, known by its certificate, says something.
    Message {
        /// Who.
        from: MerchantIndex,
        /// What.
        message: RoundMessage<'a>,
    },
    /// A merchant's session ended.
    Left(MerchantIndex),
    /// Time passed.
    Timeout,
}

/// What a round wants done.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "a few live at once, and briefly")]
pub enum Output {
    /// Send a message.
    Send {
        /// To whom.
        to: MerchantIndex,
        /// What.
        message: ServerMessage,
    },
    /// Hand in [`Input::Timeout`] at this time; replaces an earlier wish.
    WakeAt(TimestampMs),
}

/// An input that is refused: who, when, and what is wrong. The state is unchanged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{round}, merchant {merchant}: {fault}")]
pub struct RoundError {
    /// The attempt.
    pub round: RoundId,
    /// The sender's name, or its number where the roster has none.
    pub merchant: String,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// Not one of the attempt's merchants.
    #[error("expected a message from {expected}, found one from somebody else")]
    Stranger {
        /// Whose messages count.
        expected: &'static str,
    },
    /// Of another attempt.
    #[error("expected session {expected}, found {found}")]
    Session {
        /// The running attempt's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// The client derived another model.
    #[error("expected model {expected}, found {found}")]
    Model {
        /// The offer's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// The client derived other parameters.
    #[error("expected parameters {expected}, found {found}")]
    Parameters {
        /// The offer's.
        expected: Digest,
        /// The message's.
        found: Digest,
    },
    /// Not signed by the merchant.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Said before.
    #[error("expected one answer, found a second: {found}")]
    Repeated {
        /// The message.
        found: &'static str,
    },
    /// Not now.
    #[error("expected {expected}, found {found}")]
    Phase {
        /// What this phase waits for.
        expected: &'static str,
        /// The message.
        found: &'static str,
    },
    /// An update of another shape.
    #[error("expected {expected} bytes of ring words, found {found}")]
    Length {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// Words that are not those that were signed for.
    #[error("expected words with SHA-256 {expected}, found {found}")]
    Hash {
        /// The header's.
        expected: Digest,
        /// The words'.
        found: Digest,
    },
}

/// A round in one of its phases.
#[derive(Clone, Debug, PartialEq)]
pub enum Round {
    /// Who takes part?
    Selecting(Selecting),
    /// Updates come in.
    Collecting(Collecting),
    /// Done.
    Settled(Settled),
    /// Given up.
    Aborted(Aborted),
}

impl Round {
    /// Opens an attempt: sends the offer to everybody in `attempt.offered`.
    pub fn open(attempt: Attempt, offer: &Offer, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        Selecting::open(attempt, offer, now, out)
    }

    /// Takes one input. The verdict says whether the input was good; the round goes on in any case.
    pub fn handle(
        self,
        now: TimestampMs,
        input: Input<'_>,
        out: &mut Vec<Output>,
    ) -> (Round, Result<(), RoundError>) {
        match self {
            Round::Selecting(phase) => phase.handle(now, input, out),
            Round::Collecting(phase) => phase.handle(now, input, out),
            Round::Settled(phase) => phase.handle(input),
            Round::Aborted(phase) => phase.handle(input),
        }
    }

    /// Gives the attempt up, for a reason outside of it: a roll-back, the server's shutdown.
    pub fn abandon(self, reason: &str, out: &mut Vec<Output>) -> Round {
        match self {
            Round::Selecting(phase) => phase.abandon(reason.to_owned(), out),
            Round::Collecting(phase) => phase.abandon(reason.to_owned(), out),
            ended => ended,
        }
    }
}

#[cfg(test)]
mod tests;
