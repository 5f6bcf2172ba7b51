//! Collecting, plain mode: participants train, their updates are summed. [core]
//!
//! An update counts once its sender, session, length, hash and signature are right; then it is added to the running sum and
//! forgotten, so memory is one sum however many merchants there are. A participant that leaves is no longer awaited, but if
//! it comes back in time its update still counts. A merchant whose acceptance came too late is told that the attempt goes on
//! without it.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Abort, Receipt, UpdateHeader, Verdict};
use guildhall_shared::ring::RingVector;
use guildhall_shared::secagg::transcript::SignedUpdate;

use super::phase::Phase;
use super::{Aborted, Attempt, Blame, Fault, Output, Round, RoundMessage, Settled, TimestampMs};

/// Updates come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Collecting {
    attempt: Attempt,
    participants: BTreeSet<MerchantIndex>,
    awaited: BTreeSet<MerchantIndex>,
    updates: BTreeMap<MerchantIndex, SignedUpdate>,
    sum: RingVector,
    deadline: TimestampMs,
}

impl Collecting {
    pub(super) fn begin(
        attempt: Attempt,
        participants: BTreeSet<MerchantIndex>,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let deadline = now.saturating_add(attempt.update_deadline_ms);
        out.push(Output::WakeAt(deadline));
        let sum = RingVector::zero(attempt.ring, attempt.dimension);
        let awaited = participants.clone();
        let updates = BTreeMap::new();
        Round::Collecting(Collecting { attempt, participants, awaited, updates, sum, deadline })
    }

    /// Who takes part.
    pub fn participants(&self) -> &BTreeSet<MerchantIndex> {
        &self.participants
    }

    fn add(&mut self, header: &UpdateHeader, words: &[u8]) -> Result<(), Fault> {
        let expected = self.attempt.dimension * self.attempt.ring.bytes();
        let length = |found| Fault::Length { expected, found };
        if words.len() != expected {
            return Err(length(words.len()));
        }
        let found = Digest::of_bytes(words);
        if found != header.hash {
            return Err(Fault::Hash { expected: header.hash, found });
        }
        self.sum.add_bytes(words).map_err(|error| length(error.found))
    }

    fn shortfall(&self) -> String {
        let missing = self.participants.iter().filter(|one| !self.updates.contains_key(one)).copied();
        format!(
            "expected updates of a quorum of {}, found {}; none from {}",
            self.attempt.quorum,
            self.updates.len(),
            self.attempt.names(missing)
        )
    }
}

impl From<Collecting> for Round {
    fn from(phase: Collecting) -> Self {
        Round::Collecting(phase)
    }
}

impl Phase for Collecting {
    fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    fn message(
        &mut self,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let key = self.attempt.offered_identity(from)?;
        let found = message.name();
        let expected = "an update";
        match message {
            RoundMessage::Accept(accept) => {
                if !self.participants.contains(&from) && accept.verify(&key).is_ok() {
                    let reason =
                        "the acceptance came after the deadline: the attempt goes on without it".into();
                    out.push(Output::Send {
                        to: from,
                        message: Abort { sid: self.attempt.sid, reason }.into(),
                    });
                }
                Err(Fault::Phase { expected, found })
            }
            // A participant that cannot go on says so, and is no longer awaited.
            RoundMessage::Decline(_) if self.awaited.remove(&from) => Ok(()),
            RoundMessage::Update { .. } if !self.participants.contains(&from) => {
                Err(Fault::Stranger { expected: "a merchant that accepted in time" })
            }
            RoundMessage::Update { .. } if self.updates.contains_key(&from) => Err(Fault::Repeated { found }),
            RoundMessage::Update { header, words } => {
                header.verify(&key)?;
                self.add(&header, words)?;
                self.awaited.remove(&from);
                let UpdateHeader { hash, head, .. } = header;
                self.updates.insert(from, SignedUpdate { merchant: from, hash, head });
                let receipt = Receipt { sid: self.attempt.sid, verdict: Verdict::Added };
                out.push(Output::Send { to: from, message: receipt.into() });
                Ok(())
            }
            _ => Err(Fault::Phase { expected, found }),
        }
    }

    fn left(&mut self, merchant: MerchantIndex) {
        self.awaited.remove(&merchant);
    }

    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        if !self.awaited.is_empty() && now < self.deadline {
            return Round::Collecting(self);
        }
        if self.updates.is_empty() || self.updates.len() < self.attempt.quorum {
            let reason = self.shortfall();
            return self.abandon(reason, out);
        }
        out.extend(Output::witness(self.updates.values().copied()));
        let contributors: BTreeSet<MerchantIndex> = self.updates.keys().copied().collect();
        Round::Settled(Settled {
            attempt: self.attempt,
            dropped: self.participants.difference(&contributors).copied().collect(),
            contributors,
            sum: self.sum,
            blame: Blame::default(),
        })
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        out.extend(Output::witness(self.updates.values().copied()));
        Aborted::abort(self.attempt, self.participants, reason, Blame::default(), out)
    }
}
