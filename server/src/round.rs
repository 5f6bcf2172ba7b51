//! One attempt at a round: a pure state machine. [core]
//!
//! ```text
//! plain mode
//!            all answered, or accept deadline        nobody awaited, or update deadline
//! Selecting ───────────────┬─▶ Collecting ───────────────────┬─▶ Settled { sum, contributors }
//!                          │ fewer than                      │ fewer than
//!                          │ quorum accepted                 │ quorum contributed
//!                          └─▶ Aborted { reason } ◀──────────┘
//!
//! masked (the default): from every phase to Aborted as soon as the next one is out of reach
//!
//! Advertising ──▶ Sharing ──▶ CollectingMasked ──▶ Certifying ──▶ Unmasking ──▶ Settled { sum, contributors }
//!    keys U1       shares U2      updates U3       t signatures    good shares
//! ```
//!
//! Time and bytes are arguments, what to do comes back as [`Output`]s. Every input is answered by the next state *and* a
//! verdict: a message that is refused leaves the state exactly as it was, whoever sent it.
//!
//! - [`Selecting`]: the offer is out. Each merchant accepts, by a signature over session, model and parameters, or
//!   declines. Ends when everybody offered has answered or left, or at the accept deadline.
//! - [`Collecting`]: participants train. Each update is checked (participant, session, length, hash, signature), added to
//!   the running sum and forgotten. Ends when no participant is awaited any more, or at the update deadline.
//! - [`Advertising`], [`Sharing`], [`CollectingMasked`], [`Certifying`], [`Unmasking`]: the stages of secure aggregation, each
//!   around its counterpart in [`guildhall_shared::secagg::server`], with who is awaited and until when. The last two go on
//!   as soon as there is enough.
//! - [`Settled`]: the sum and whose updates are in it.
//! - [`Aborted`]: no result, and why.
//!
//! A merchant that falls behind is told so when the others go on. What it says later about this attempt does no harm and is
//! no fault of its; only what no good merchant would say is refused.

mod aborted;
mod advertising;
mod attempt;
mod attendance;
mod certifying;
mod collecting;
mod collecting_masked;
mod fault;
mod message;
mod phase;
mod selecting;
mod settled;
mod sharing;
mod unmasking;

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Offer, ServerMessage};
use guildhall_shared::secagg::transcript::SignedUpdate;

pub use aborted::Aborted;
pub use advertising::Advertising;
pub use attempt::Attempt;
pub use certifying::Certifying;
pub use collecting::Collecting;
pub use collecting_masked::CollectingMasked;
pub use fault::{Accusation, Blame, Culprit, Fault, Misdeed, RoundError};
pub use message::RoundMessage;
use phase::Phase as _;
pub use selecting::Selecting;
pub use settled::Settled;
pub use sharing::Sharing;
pub use unmasking::Unmasking;

/// Milliseconds on the server's monotonic clock.
pub type TimestampMs = u64;

/// What happens to a round.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives at a time, and briefly")]
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
    /// Send one message to many: with a thousand merchants it is large, and copies would be larger.
    Broadcast {
        /// To whom.
        to: BTreeSet<MerchantIndex>,
        /// What.
        message: ServerMessage,
    },
    /// Keep durably which updates came, with the heads of their merchants' ledgers, before anything that follows.
    Witness(Vec<SignedUpdate>),
    /// Hand in [`Input::Timeout`] at this time; replaces an earlier wish.
    WakeAt(TimestampMs),
}

impl Output {
    /// Has updates kept, if there are any.
    fn witness(updates: impl Iterator<Item = SignedUpdate>) -> Option<Output> {
        let updates: Vec<SignedUpdate> = updates.collect();
        (!updates.is_empty()).then_some(Output::Witness(updates))
    }
}

/// A round in one of its phases.
#[derive(Clone, Debug, PartialEq)]
pub enum Round {
    /// Plain mode: who takes part?
    Selecting(Selecting),
    /// Plain mode: updates come in.
    Collecting(Collecting),
    /// Masked: keys come in.
    Advertising(Advertising),
    /// Masked: shares come in.
    Sharing(Sharing),
    /// Masked: updates come in.
    CollectingMasked(CollectingMasked),
    /// Masked: signatures over the survivors come in.
    Certifying(Certifying),
    /// Masked: shares that take the masks off the sum come in.
    Unmasking(Unmasking),
    /// Done.
    Settled(Settled),
    /// Given up.
    Aborted(Aborted),
}

impl Round {
    /// Opens an attempt, masked where the offer has numbers of secure aggregation: sends the offer to everybody in
    /// `attempt.offered`.
    pub fn open(attempt: Attempt, offer: &Offer, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        match &offer.parameters.secagg {
            None => Selecting::open(attempt, offer, now, out),
            Some(secagg) => Advertising::open(attempt, secagg, offer, now, out),
        }
    }

    /// Takes one input. The verdict says whether the input was good; the round goes on in any case.
    pub fn handle(
        self,
        now: TimestampMs,
        input: Input<'_>,
        out: &mut Vec<Output>,
    ) -> (Round, Result<(), RoundError>) {
        match self {
            Round::Selecting(phase) => phase::handle(phase, now, input, out),
            Round::Collecting(phase) => phase::handle(phase, now, input, out),
            Round::Advertising(phase) => phase::handle(phase, now, input, out),
            Round::Sharing(phase) => phase::handle(phase, now, input, out),
            Round::CollectingMasked(phase) => phase::handle(phase, now, input, out),
            Round::Certifying(phase) => phase::handle(phase, now, input, out),
            Round::Unmasking(phase) => phase::handle(phase, now, input, out),
            Round::Settled(phase) => phase.handle(input),
            Round::Aborted(phase) => phase.handle(input),
        }
    }

    /// Gives the attempt up, for a reason outside of it: a roll-back, the server's shutdown.
    pub fn abandon(self, reason: &str, out: &mut Vec<Output>) -> Round {
        let reason = reason.to_owned();
        match self {
            Round::Selecting(phase) => phase.abandon(reason, out),
            Round::Collecting(phase) => phase.abandon(reason, out),
            Round::Advertising(phase) => phase.abandon(reason, out),
            Round::Sharing(phase) => phase.abandon(reason, out),
            Round::CollectingMasked(phase) => phase.abandon(reason, out),
            Round::Certifying(phase) => phase.abandon(reason, out),
            Round::Unmasking(phase) => phase.abandon(reason, out),
            ended => ended,
        }
    }

    /// The attempt.
    pub fn attempt(&self) -> &Attempt {
        match self {
            Round::Selecting(phase) => phase.attempt(),
            Round::Collecting(phase) => phase.attempt(),
            Round::Advertising(phase) => phase.attempt(),
            Round::Sharing(phase) => phase.attempt(),
            Round::CollectingMasked(phase) => phase.attempt(),
            Round::Certifying(phase) => phase.attempt(),
            Round::Unmasking(phase) => phase.attempt(),
            Round::Settled(phase) => &phase.attempt,
            Round::Aborted(phase) => &phase.attempt,
        }
    }

    /// The stage of a masked attempt and who is in it: everybody offered, U1, U2, U3, U3.
    pub fn masked_stage(&self) -> Option<(&'static str, &BTreeSet<MerchantIndex>)> {
        match self {
            Round::Advertising(phase) => Some(("advertising", &phase.attempt().offered)),
            Round::Sharing(phase) => Some(("sharing", phase.members())),
            Round::CollectingMasked(phase) => Some(("collecting", phase.members())),
            Round::Certifying(phase) => Some(("certifying", phase.survivors())),
            Round::Unmasking(phase) => Some(("unmasking", phase.survivors())),
            _ => None,
        }
    }

    /// Who takes part, in the phase that begins with knowing it.
    pub fn started(&self) -> Option<&BTreeSet<MerchantIndex>> {
        match self {
            Round::Collecting(phase) => Some(phase.participants()),
            Round::Sharing(phase) => Some(phase.members()),
            _ => None,
        }
    }

    /// Whose updates are awaited, in the phase that takes them.
    pub fn uploaders(&self) -> Option<&BTreeSet<MerchantIndex>> {
        match self {
            Round::Collecting(phase) => Some(phase.participants()),
            Round::CollectingMasked(phase) => Some(phase.members()),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
