//! Collecting, masked rounds: dealers train, their masked updates are summed. [core]
//!
//! As in plain mode an update is checked, added to the running sum and forgotten, and the same deadline holds. A dealer is
//! awaited until its update is in the sum, or until it declines, complains or leaves. Once nobody is awaited, or at the
//! deadline, the survivors are named to each other. The attempt ends as soon as too few updates are within reach, or too few
//! survivors are still there to certify them: budget that is not committed yet is saved, and nobody signs in vain.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Complaint, Receipt, SurvivingUpdate, UpdateHeader, Verdict};
use guildhall_shared::secagg::server;

use super::attendance::{Attendance, TOO_LATE, tell};
use super::certifying::Ending;
use super::phase::Phase;
use super::{
    Aborted, Accusation, Attempt, Blame, Certifying, Fault, Output, Round, RoundMessage, TimestampMs,
};

/// Masked updates come in.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectingMasked {
    attempt: Attempt,
    attendance: Attendance,
    updates: server::Collecting,
    /// U1.
    started: BTreeSet<MerchantIndex>,
    /// U2.
    members: BTreeSet<MerchantIndex>,
    complaints: BTreeSet<Accusation>,
}

impl CollectingMasked {
    pub(super) fn open(
        attempt: Attempt,
        attendance: Attendance,
        updates: server::Collecting,
        started: BTreeSet<MerchantIndex>,
        now: TimestampMs,
        out: &mut Vec<Output>,
    ) -> Round {
        let deadline = now.saturating_add(attempt.update_deadline_ms);
        let members = updates.members().collect();
        let attendance = attendance.next(&members, deadline, out);
        let complaints = BTreeSet::new();
        Round::CollectingMasked(CollectingMasked {
            attempt,
            attendance,
            updates,
            started,
            members,
            complaints,
        })
    }

    /// U2: who may send an update.
    pub fn members(&self) -> &BTreeSet<MerchantIndex> {
        &self.members
    }

    fn add(&mut self, from: MerchantIndex, header: &UpdateHeader, words: &[u8]) -> Result<Receipt, Fault> {
        self.updates.receive(from, header, words)?;
        self.attendance.answered(from);
        Ok(Receipt { sid: self.attempt.sid, verdict: Verdict::Added })
    }

    fn complain(&mut self, from: MerchantIndex, complaint: &Complaint) -> Result<(), Fault> {
        self.updates.complain(from, complaint)?;
        self.complaints.insert(Accusation { about: complaint.about, by: from });
        self.attendance.withdraw(from, "it complained that another merchant's shares are unusable");
        Ok(())
    }

    fn blame(&self) -> Blame {
        let (sitting_out, complaints) = (self.updates.sitting_out(), self.complaints.clone());
        Blame { culprits: BTreeSet::new(), sitting_out, complaints }
    }

    /// Why the attempt cannot succeed any more.
    fn shortfall(&self, now: TimestampMs) -> Option<String> {
        let contributors: BTreeSet<MerchantIndex> = self.updates.contributors().collect();
        let hoped_for = self.attendance.hoped_for(now);
        let text = |step, expected, found| self.attendance.shortfall(&self.attempt, step, expected, found);
        let quorum = self.attempt.quorum;
        if contributors.len() + hoped_for < quorum {
            return Some(text("send updates", quorum, contributors.len()));
        }
        let threshold = self.updates.facts().secagg.threshold as usize;
        let present = self.attendance.present(&contributors).len();
        (present + hoped_for < threshold).then(|| text("be there to sign the survivors", threshold, present))
    }
}

impl From<CollectingMasked> for Round {
    fn from(phase: CollectingMasked) -> Self {
        Round::CollectingMasked(phase)
    }
}

impl Phase for CollectingMasked {
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
            RoundMessage::Update { header, words } => {
                self.attendance.check(from, found)?;
                let receipt = self.add(from, &header, words)?;
                out.push(Output::Send { to: from, message: receipt.into() });
                Ok(())
            }
            RoundMessage::Complaint(complaint) => {
                self.attendance.check(from, found)?;
                self.complain(from, &complaint)
            }
            other => {
                self.attendance.aside(&self.attempt, from, &other, &self.members, "a masked update", out)
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
        if !self.attendance.is_over(now) {
            return self.into();
        }
        let blame = self.blame();
        let CollectingMasked { attempt, attendance, updates, started, members, .. } = self;
        let (survivors, secagg) = (updates.contributors().collect(), updates.facts().secagg.clone());
        match updates.close() {
            Ok((signatures, message)) => {
                let late = members.difference(&survivors).copied().collect();
                tell(&attempt, attendance.unaware(&late), TOO_LATE, out);
                out.extend(Output::witness(message.updates.iter().map(SurvivingUpdate::statement)));
                let to = attendance.present(&survivors);
                out.push(Output::Broadcast { to, message: message.into() });
                let ending = Ending { attempt, secagg, started, survivors, blame };
                Certifying::open(ending, attendance, signatures, now, out)
            }
            Err(shortfall) => {
                let told = attendance.unaware(&members);
                Aborted::abort(attempt, told, shortfall.to_string(), blame, out)
            }
        }
    }

    fn abandon(self, reason: String, out: &mut Vec<Output>) -> Round {
        out.extend(Output::witness(self.updates.updates().map(SurvivingUpdate::statement)));
        let (told, blame) = (self.attendance.unaware(&self.members), self.blame());
        Aborted::abort(self.attempt, told, reason, blame, out)
    }
}
