//! What is the same in every phase that waits for merchants: who may speak, about what, and what a refusal leaves. [core]

use guildhall_shared::id::MerchantIndex;

use super::{Attempt, Fault, Input, Output, Round, RoundError, RoundMessage, TimestampMs};

/// A phase that waits for merchants.
pub(super) trait Phase: Into<Round> {
    /// The attempt.
    fn attempt(&self) -> &Attempt;

    /// Takes a message about this attempt from a merchant the offer went to. When it is refused, nothing has changed.
    fn message(
        &mut self,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault>;

    /// A merchant's session ended.
    fn left(&mut self, merchant: MerchantIndex);

    /// What follows now: this phase again, the next one, or an end.
    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round;

    /// Ends the attempt and tells whoever may still work or pay for it.
    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round;
}

/// Takes one input. A refused message leaves the phase exactly as it was.
pub(super) fn handle<P: Phase>(
    mut phase: P,
    now: TimestampMs,
    input: Input<'_>,
    out: &mut Vec<Output>,
) -> (Round, Result<(), RoundError>) {
    match input {
        Input::Message { from, message } => {
            if let Err(fault) = take(&mut phase, from, message, out) {
                let error = phase.attempt().error(from, fault);
                return (phase.into(), Err(error));
            }
        }
        Input::Left(merchant) if phase.attempt().offered.contains(&merchant) => phase.left(merchant),
        Input::Left(_) | Input::Timeout => (),
    }
    (phase.next(now, out), Ok(()))
}

fn take<P: Phase>(
    phase: &mut P,
    from: MerchantIndex,
    message: RoundMessage<'_>,
    out: &mut Vec<Output>,
) -> Result<(), Fault> {
    phase.attempt().offered_identity(from)?;
    phase.attempt().check_sid(&message)?;
    phase.message(from, message, out)
}
