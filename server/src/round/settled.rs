//! Settled: the sum is complete. [core]
//!
//! Nothing is awaited any more; whatever still arrives for this attempt is refused.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::ring::RingVector;

use super::{Attempt, Blame, Fault, Input, Round, RoundError};

/// Done.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The attempt.
    pub attempt: Attempt,
    /// Whose updates are in the sum.
    pub contributors: BTreeSet<MerchantIndex>,
    /// Who took part, but has no update in the sum.
    pub dropped: BTreeSet<MerchantIndex>,
    /// The sum.
    pub sum: RingVector,
    /// Who should not take part in the next attempt.
    pub blame: Blame,
}

impl Settled {
    pub(super) fn handle(self, input: Input<'_>) -> (Round, Result<(), RoundError>) {
        let verdict = match input {
            Input::Message { from, message } => {
                let fault = Fault::Phase { expected: "nothing: the round is settled", found: message.name() };
                Err(self.attempt.error(from, fault))
            }
            Input::Left(_) | Input::Timeout => Ok(()),
        };
        (Round::Settled(self), verdict)
    }
}
