//! Aborted: the attempt ended without a result. [core]
//!
//! Everybody who may have reserved budget for it is told, once, and why.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;

use super::attendance::tell;
use super::{Attempt, Blame, Fault, Input, Output, Round, RoundError};

/// Given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Aborted {
    /// The attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: String,
    /// Who should not take part in the next one.
    pub blame: Blame,
}

impl Aborted {
    pub(super) fn abort(
        attempt: Attempt,
        told: BTreeSet<MerchantIndex>,
        reason: String,
        blame: Blame,
        out: &mut Vec<Output>,
    ) -> Round {
        tell(&attempt, told, &reason, out);
        Round::Aborted(Aborted { attempt, reason, blame })
    }

    pub(super) fn handle(self, input: Input<'_>) -> (Round, Result<(), RoundError>) {
        let verdict = match input {
            Input::Message { from, message } => {
                let fault =
                    Fault::Phase { expected: "nothing: the attempt was aborted", found: message.name() };
                Err(self.attempt.error(from, fault))
            }
            Input::Left(_) | Input::Timeout => Ok(()),
        };
        (Round::Aborted(self), verdict)
    }
}
