//! Unmasking, masked rounds: the certificate is out, shares that take the masks off the sum come in. [core]
//!
//! Waits until there are enough good shares of everything, not for everybody. A share that is not the one its dealer published
//! is left out and blames its sender; the sum is either right or does not come about.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::server;

use super::attendance::Attendance;
use super::certifying::Ending;
use super::phase::Phase;
use super::{Aborted, Attempt, Blame, Fault, Output, Round, RoundMessage, Settled, TimestampMs};

/// Shares that take the masks off the sum come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmasking {
    ending: Ending,
    attendance: Attendance,
    shares: server::Unmasking,
}

impl Unmasking {
    pub(super) fn open(
        ending: Ending,
        attendance: Attendance,
        shares: server::Unmasking,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let deadline = now.saturating_add(ending.attempt.accept_deadline_ms);
        let attendance = attendance.next(&ending.survivors, deadline, out);
        Round::Unmasking(Unmasking { ending, attendance, shares })
    }

    /// U3.
    pub fn survivors(&self) -> &BTreeSet<MerchantIndex> {
        &self.ending.survivors
    }

    fn blame(&self) -> Blame {
        Blame { culprits: self.shares.culprits().clone(), ..self.ending.blame.clone() }
    }

    /// Takes the masks off; without enough good shares, or with bad ones, says what is missing and who is to blame.
    fn finish(mut self, out: &mut Vec<Output>) -> Round {
        match self.shares.finish() {
            Ok(unmasked) => Round::Settled(Settled {
                blame: self.blame(),
                dropped: self.ending.started.difference(&unmasked.survivors).copied().collect(),
                contributors: unmasked.survivors,
                sum: unmasked.sum,
                attempt: self.ending.attempt,
            }),
            Err(error) => {
                let needed = self.ending.secagg.share_threshold();
                let answered = self.shares.answered().len();
                let answers = self.ending.shortfall(&self.attendance, "unmask the sum", needed, answered);
                self.abandon(format!("{error}; {answers}"), out)
            }
        }
    }
}

impl From<Unmasking> for Round {
    fn from(phase: Unmasking) -> Self {
        Round::Unmasking(phase)
    }
}

impl Phase for Unmasking {
    fn attempt(&self) -> &Attempt {
        &self.ending.attempt
    }

    fn message(
        &mut self,
        from: MerchantIndex,
        message: RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), Fault> {
        let found = message.name();
        match message {
            RoundMessage::Unmask(unmask) => {
                self.attendance.check(from, found)?;
                self.shares.receive(from, &unmask)?;
                self.attendance.answered(from);
                Ok(())
            }
            // The certificate went out with the first t signatures; the others are on their way.
            RoundMessage::Certify(_) if self.ending.survivors.contains(&from) => Ok(()),
            RoundMessage::Complaint(_) if !self.ending.survivors.contains(&from) => Ok(()),
            other => {
                let expected = "shares to unmask with";
                self.attendance.aside(
                    &self.ending.attempt,
                    from,
                    &other,
                    &self.ending.survivors,
                    expected,
                    out,
                )
            }
        }
    }

    fn left(&mut self, merchant: MerchantIndex) {
        self.attendance.left(merchant);
    }

    fn next(self, now: TimestampMs, out: &mut Vec<Output>) -> Round {
        // One that answered with a wrong share leaves fewer good ones than answers: then waiting ends with the last answer.
        let within_reach = self.shares.answered().len() + self.attendance.hoped_for(now);
        let hopeless = within_reach < self.ending.secagg.share_threshold();
        if self.shares.is_complete() || hopeless || self.attendance.is_over(now) {
            return self.finish(out);
        }
        self.into()
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        let (told, blame) = (self.attendance.unaware(&self.ending.survivors), self.blame());
        Aborted::abort(self.ending.attempt, told, reason, blame, out)
    }
}
