//! Certifying, masked rounds: the survivors are named, their signatures over that come in. [core]
//!
//! Waits for t signatures, not for everybody. Without them, or once too few survivors are still there to give them and to
//! unmask afterwards, the attempt ends and nobody has been asked for a share.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::secagg::{SecaggParameters, server};

use super::attendance::Attendance;
use super::phase::Phase;
use super::{Aborted, Attempt, Blame, Fault, Output, Round, RoundMessage, TimestampMs, Unmasking};

/// What stays the same from naming the survivors to the end.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ending {
    pub attempt: Attempt,
    pub secagg: SecaggParameters,
    /// U1.
    pub started: BTreeSet<MerchantIndex>,
    /// U3.
    pub survivors: BTreeSet<MerchantIndex>,
    pub blame: Blame,
}

impl Ending {
    /// Too few survivors of one kind or another.
    pub fn shortfall(&self, attendance: &Attendance, step: &str, expected: usize, found: usize) -> String {
        attendance.shortfall(&self.attempt, step, expected, found)
    }
}

/// Signatures over the survivors come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Certifying {
    ending: Ending,
    attendance: Attendance,
    signatures: server::Certifying,
    signed: BTreeSet<MerchantIndex>,
}

impl Certifying {
    pub(super) fn open(
        ending: Ending,
        attendance: Attendance,
        signatures: server::Certifying,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let deadline = now.saturating_add(ending.attempt.accept_deadline_ms);
        let attendance = attendance.next(&ending.survivors, deadline, out);
        Round::Certifying(Certifying { ending, attendance, signatures, signed: BTreeSet::new() })
    }

    /// U3.
    pub fn survivors(&self) -> &BTreeSet<MerchantIndex> {
        &self.ending.survivors
    }

    /// Why the attempt cannot succeed any more.
    fn shortfall(&self, now: TimestampMs) -> Option<String> {
        let Ending { secagg, survivors, .. } = &self.ending;
        let text = |step, expected, found| self.ending.shortfall(&self.attendance, step, expected, found);
        let (threshold, signed) = (secagg.threshold as usize, self.signed.len());
        if signed + self.attendance.hoped_for(now) < threshold {
            return Some(text("sign the survivors", threshold, signed));
        }
        let (needed, present) = (secagg.share_threshold(), self.attendance.present(survivors).len());
        (present < needed).then(|| text("be there to unmask the sum", needed, present))
    }
}

impl From<Certifying> for Round {
    fn from(phase: Certifying) -> Self {
        Round::Certifying(phase)
    }
}

impl Phase for Certifying {
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
            RoundMessage::Certify(certify) => {
                self.attendance.check(from, found)?;
                self.signatures.receive(from, &certify)?;
                self.attendance.answered(from);
                self.signed.insert(from);
                Ok(())
            }
            // Too late to count, and no fault: whoever complained took no part in the sum.
            RoundMessage::Complaint(_) if !self.ending.survivors.contains(&from) => Ok(()),
            other => {
                let expected = "a signature over the survivors";
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
        if let Some(reason) = self.shortfall(now) {
            return self.abandon(reason, out);
        }
        if !self.signatures.is_complete() {
            return self.into();
        }
        let Certifying { ending, attendance, signatures, .. } = self;
        match signatures.close() {
            Ok((shares, certificate)) => {
                let to = attendance.present(&ending.survivors);
                out.push(Output::Broadcast { to, message: certificate.into() });
                Unmasking::open(ending, attendance, shares, now, out)
            }
            Err(shortfall) => {
                let told = attendance.unaware(&ending.survivors);
                Aborted::abort(ending.attempt, told, shortfall.to_string(), ending.blame, out)
            }
        }
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        let Certifying { ending, attendance, .. } = self;
        Aborted::abort(ending.attempt, attendance.unaware(&ending.survivors), reason, ending.blame, out)
    }
}
