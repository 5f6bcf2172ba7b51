//! Selecting, plain mode: the offer is out, answers come in. [core]
//!
//! A merchant is awaited until it accepts, declines or leaves. Once nobody is awaited, or at the deadline, training starts
//! with those who accepted, if they are a quorum.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Accept, Begin, Decline, DeclineReason, Offer};

use super::phase::Phase;
use super::{Aborted, Attempt, Blame, Collecting, Fault, Output, Round, RoundMessage, TimestampMs};

/// Who takes part?
#[derive(Clone, Debug, PartialEq)]
pub struct Selecting {
    attempt: Attempt,
    awaited: BTreeSet<MerchantIndex>,
    accepted: BTreeSet<MerchantIndex>,
    declined: BTreeMap<MerchantIndex, DeclineReason>,
    deadline: TimestampMs,
}

impl Selecting {
    pub(super) fn open(attempt: Attempt, offer: &Offer, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        let awaited = attempt.offered.clone();
        out.extend(awaited.iter().map(|to| Output::Send { to: *to, message: offer.clone().into() }));
        let deadline = now.saturating_add(attempt.accept_deadline_ms);
        out.push(Output::WakeAt(deadline));
        Selecting { attempt, awaited, accepted: BTreeSet::new(), declined: BTreeMap::new(), deadline }
            .next(now, out)
    }

    fn check_accept(&self, accept: &Accept) -> Result<(), Fault> {
        let (expected, found) = (self.attempt.model, accept.model);
        if expected != found {
            return Err(Fault::Model { expected, found });
        }
        let (expected, found) = (self.attempt.parameters, accept.parameters);
        if expected != found {
            return Err(Fault::Parameters { expected, found });
        }
        Ok(())
    }

    fn shortfall(&self) -> String {
        let mut reason =
            format!("expected a quorum of {} to accept, found {}", self.attempt.quorum, self.accepted.len());
        for (merchant, why) in &self.declined {
            reason.push_str(&format!("; {} declined: {}", self.attempt.names([*merchant]), why.describe()));
        }
        if !self.awaited.is_empty() {
            reason
                .push_str(&format!("; no answer from {}", self.attempt.names(self.awaited.iter().copied())));
        }
        reason
    }
}

impl From<Selecting> for Round {
    fn from(phase: Selecting) -> Self {
        Round::Selecting(phase)
    }
}

impl Phase for Selecting {
    fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    fn message(
        &mut self,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        _: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let key = self.attempt.offered_identity(from)?;
        let found = message.name();
        let repeated = self.accepted.contains(&from) || self.declined.contains_key(&from);
        match message {
            RoundMessage::Accept(_) | RoundMessage::Decline(_) if repeated => {
                return Err(Fault::Repeated { found });
            }
            RoundMessage::Accept(accept) => {
                self.check_accept(&accept)?;
                accept.verify(&key)?;
                self.accepted.insert(from);
            }
            RoundMessage::Decline(Decline { reason, .. }) => {
                self.declined.insert(from, reason);
            }
            _ => return Err(Fault::Phase { expected: "an answer to the offer", found }),
        }
        self.awaited.remove(&from);
        Ok(())
    }

    fn left(&mut self, merchant: MerchantIndex) {
        self.awaited.remove(&merchant);
        self.accepted.remove(&merchant);
    }

    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        if !self.awaited.is_empty() && now < self.deadline {
            return Round::Selecting(self);
        }
        if self.accepted.is_empty() || self.accepted.len() < self.attempt.quorum {
            let reason = self.shortfall();
            return self.abandon(reason, out);
        }
        let participants: Vec<MerchantIndex> = self.accepted.iter().copied().collect();
        for to in &participants {
            let begin = Begin { sid: self.attempt.sid, participants: participants.clone() };
            out.push(Output::Send { to: *to, message: begin.into() });
        }
        Collecting::begin(self.attempt, self.accepted, now, out)
    }

    /// Whoever declined has nothing to undo; everybody else may have reserved budget and is told.
    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        let declined = &self.declined;
        let told = self.attempt.offered.iter().copied().filter(|m| !declined.contains_key(m)).collect();
        Aborted::abort(self.attempt, told, reason, Blame::default(), out)
    }
}
