//! Aborted: the attempt ended without a result. [core]
//!
//! Everybody who may have reserved budget for it is told, once, and why.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::Abort;

use super::{Attempt, Fault, Input, Output, Round, RoundError};

/// Given up.
#[derive(Clone, Debug, PartialEq)]
pub struct Aborted {
    /// The attempt.
    pub attempt: Attempt,
    /// Why.
    pub reason: String,
}

impl Aborted {
    pub(super) fn abort(
        attempt: Attempt,
        told: BTreeSet<MerchantIndex>,
        reason: String,
        out: &mut Vec<Output>,
    ) -> Round {
        // A message has its limit; with a thousand merchants the list of names could pass it.
        let short: String = reason.chars().take(REASON_CHARACTERS_MAX).collect();
        for to in told {
            let abort = Abort { sid: attempt.sid, reason: short.clone() };
            out.push(Output::Send { to, message: abort.into() });
        }
        Round::Aborted(Aborted { attempt, reason })
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

/// Keeps an abort message within its limit of 1,024 bytes; every character of a reason is ASCII.
const REASON_CHARACTERS_MAX: usize = 700;
