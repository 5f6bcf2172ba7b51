//! Advertising, masked rounds: the offer is out, fresh keys come in. [core]
//!
//! The counterpart of plain mode's selecting. A merchant is awaited until it advertises, declines or leaves; whoever leaves
//! before the keys go out is not among them. Once nobody is awaited, or at the deadline, everybody's keys go to everybody;
//! whoever was too late is told. As soon as a quorum is out of reach the attempt ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::Offer;
use guildhall_shared::secagg::{Facts, SecaggParameters, server};

use super::attendance::{Attendance, TOO_LATE, tell};
use super::phase::Phase;
use super::{Aborted, Attempt, Blame, Fault, Output, Round, RoundMessage, Sharing, TimestampMs};

/// Who takes part, with which keys?
#[derive(Clone, Debug, PartialEq)]
pub struct Advertising {
    attempt: Attempt,
    attendance: Attendance,
    keys: server::Advertising,
}

impl Advertising {
    pub(super) fn open(
        attempt: Attempt,
        secagg: &SecaggParameters,
        offer: &Offer,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let facts = Arc::new(Facts {
            sid: attempt.sid,
            model: attempt.model,
            parameters: attempt.parameters,
            roster: Arc::clone(&attempt.roster),
            secagg: secagg.clone(),
            ring: attempt.ring,
            dimension: attempt.dimension,
        });
        out.extend(attempt.offered.iter().map(|to| Output::Send { to: *to, message: offer.clone().into() }));
        let deadline = now.saturating_add(attempt.accept_deadline_ms);
        let attendance = Attendance::of(attempt.offered.clone(), deadline, out);
        Advertising { attempt, attendance, keys: server::Advertising::new(facts) }.next(now, out)
    }
}

impl From<Advertising> for Round {
    fn from(phase: Advertising) -> Self {
        Round::Advertising(phase)
    }
}

impl Phase for Advertising {
    fn attempt(&self) -> &Attempt {
        &self.attempt
    }

    fn message(
        &mut self,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let found = message.name();
        match message {
            RoundMessage::Advertise(advertise) => {
                self.attendance.check(from, found)?;
                self.keys.receive(from, &advertise)?;
                self.attendance.answered(from);
                Ok(())
            }
            other => {
                let insiders = &self.attempt.offered;
                self.attendance.aside(
                    &self.attempt,
                    from,
                    &other,
                    insiders,
                    "an answer to the offer",
                    out,
                )?;
                self.keys.remove(from);
                Ok(())
            }
        }
    }

    fn left(&mut self, merchant: MerchantIndex) {
        self.attendance.left(merchant);
        self.keys.remove(merchant);
    }

    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        let (quorum, advertised) = (self.attempt.quorum, self.keys.len());
        if advertised + self.attendance.hoped_for(now) < quorum {
            let reason = self.attendance.shortfall(&self.attempt, "advertise keys", quorum, advertised);
            return self.abandon(reason, out);
        }
        if !self.attendance.is_over(now) {
            return self.into();
        }
        let Advertising { attempt, attendance, keys } = self;
        let members: BTreeSet<MerchantIndex> = keys.members().collect();
        match keys.close() {
            Ok((shares, roster)) => {
                let late = attempt.offered.difference(&members).copied().collect();
                tell(&attempt, attendance.unaware(&late), TOO_LATE, out);
                out.push(Output::Broadcast { to: members.clone(), message: roster.into() });
                Sharing::open(attempt, attendance, shares, members, now, out)
            }
            Err(shortfall) => {
                let told = attendance.unaware(&attempt.offered);
                Aborted::abort(attempt, told, shortfall.to_string(), Blame::default(), out)
            }
        }
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        let told = self.attendance.unaware(&self.attempt.offered);
        Aborted::abort(self.attempt, told, reason, Blame::default(), out)
    }
}
