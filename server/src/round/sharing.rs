//! Sharing, masked rounds: everybody's keys are out, encrypted shares come in. [core]
//!
//! Whoever advertised is awaited until it deals, declines or leaves. Once nobody is awaited, or at the deadline, every dealer
//! gets what the others dealt to it, and trains. Whoever dealt nothing is told that the attempt goes on without it.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::server;

use super::attendance::{Attendance, TOO_LATE, tell};
use super::phase::Phase;
use super::{Aborted, Attempt, Blame, CollectingMasked, Fault, Output, Round, RoundMessage, TimestampMs};

/// Shares come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    attempt: Attempt,
    attendance: Attendance,
    shares: server::Sharing,
    /// U1.
    members: BTreeSet<MerchantIndex>,
}

impl Sharing {
    pub(super) fn open(
        attempt: Attempt,
        attendance: Attendance,
        shares: server::Sharing,
        members: BTreeSet<MerchantIndex>,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let deadline = now.saturating_add(attempt.accept_deadline_ms);
        let attendance = attendance.next(&members, deadline, out);
        Round::Sharing(Sharing { attempt, attendance, shares, members })
    }

    /// U1.
    pub fn members(&self) -> &BTreeSet<MerchantIndex> {
        &self.members
    }
}

impl From<Sharing> for Round {
    fn from(phase: Sharing) -> Self {
        Round::Sharing(phase)
    }
}

impl Phase for Sharing {
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
            RoundMessage::Shares(shares) if self.members.contains(&from) => {
                self.attendance.check(from, found)?;
                self.shares.receive(from, *shares)?;
                self.attendance.answered(from);
                Ok(())
            }
            // Without keys in the roster of the round, no shares: it was told so.
            RoundMessage::Shares(_) => {
                Err(Fault::Stranger { expected: "a merchant that advertised in time" })
            }
            other => {
                let expected = "dealt shares";
                self.attendance.aside(&self.attempt, from, &other, &self.members, expected, out)
            }
        }
    }

    fn left(&mut self, merchant: MerchantIndex) {
        self.attendance.left(merchant);
    }

    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        let dealers: BTreeSet<MerchantIndex> = self.shares.dealers().collect();
        // A dealer that is gone will send no update, so it is of no use to the quorum.
        let (quorum, present) = (self.attempt.quorum, self.attendance.present(&dealers).len());
        if present + self.attendance.hoped_for(now) < quorum {
            let reason = self.attendance.shortfall(&self.attempt, "deal shares", quorum, present);
            return self.abandon(reason, out);
        }
        if !self.attendance.is_over(now) {
            return self.into();
        }
        let Sharing { attempt, attendance, shares, members } = self;
        match shares.close() {
            Ok((updates, forwarded)) => {
                let late = members.difference(&dealers).copied().collect();
                tell(&attempt, attendance.unaware(&late), TOO_LATE, out);
                let forward = |(to, message): (_, guildhall_shared::message::ForwardedShares)| Output::Send {
                    to,
                    message: message.into(),
                };
                out.extend(forwarded.into_iter().map(forward));
                CollectingMasked::open(attempt, attendance, updates, members, now, out)
            }
            Err(shortfall) => {
                let told = attendance.unaware(&members);
                Aborted::abort(attempt, told, shortfall.to_string(), Blame::default(), out)
            }
        }
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        let told = self.attendance.unaware(&self.members);
        Aborted::abort(self.attempt, told, reason, Blame::default(), out)
    }
}
