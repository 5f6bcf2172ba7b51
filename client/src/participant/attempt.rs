//! One attempt at a round: from the offer to the upload. [core]

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::message::{
    Abort, Accept, Begin, Decline, DeclineReason, Offer, Receipt, UpdateHeader, Verdict,
};

use super::job::{FollowedJob, Opening};
use super::records::are_merchants;
use super::{Outcome, Output, Participant, Refused, Report, ReserveOrder, ReserveRefusal, TrainOrder, send};

/// Where an attempt stands. Each stage is entered once, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The debit is on its way to the disk.
    Reserving,
    /// Accepted; waits for the start.
    Reserved,
    /// Trains.
    Training { upload_at_ms: u64 },
    /// The commitment is on its way to the disk.
    Committing { upload_at_ms: u64 },
    /// Spent for ever; waits for its slot.
    Committed { upload_at_ms: u64, hash: Digest },
    /// Sent, once.
    Uploaded,
}

/// The live attempt. There is at most one.
pub(super) struct Attempt {
    sid: Digest,
    round: RoundId,
    stage: Stage,
    /// Why it is over, where an answer from the disk must be awaited before it can be dropped.
    cancelled: Option<(Outcome, &'static str)>,
}

impl Attempt {
    pub fn sid(&self) -> Digest {
        self.sid
    }

    pub fn round(&self) -> RoundId {
        self.round
    }

    pub fn is_uploaded(&self) -> bool {
        self.stage == Stage::Uploaded
    }
}

impl Participant {
    pub(super) fn offer(&mut self, now_ms: u64, offer: Offer, out: &mut Vec<Output>) -> Result<(), Refused> {
        offer.verify(&self.standing.federation_key)?;
        FollowedJob::find(&mut self.job, "Offer", &offer.job)?;
        self.consider(now_ms, offer, out);
        Ok(())
    }

    /// An offer that had to wait is decided once nothing else is under way.
    pub(super) fn take_up_held_offer(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        if let Some(offer) = self.held_offer.take() {
            self.consider(now_ms, offer, out);
        }
    }

    fn consider(&mut self, now_ms: u64, offer: Offer, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        if let Some((reason, explanation)) =
            objection(job, &self.standing.federation, self.pinned.map(|p| p.digest), &offer)
        {
            return self.decline(&offer, reason, explanation, out);
        }
        // The sum that makes the offered version may still be on its way, and end the live attempt as it should.
        if offer.version > job.version || job.opening == Opening::Awaited || job.loading.is_some() {
            let unknown = offer.version > job.newest;
            job.newest = job.newest.max(offer.version);
            let waits = job.waiting_since_ms.is_some();
            self.held_offer = Some(offer);
            if unknown || !waits {
                self.wait_for_records(now_ms, out);
            }
            return;
        }
        self.end_attempt("the server opened another attempt", out);
        if self.attempt.is_some() {
            self.held_offer = Some(offer);
            return;
        }
        let Some(job) = &mut self.job else { return };
        job.seen = Some(offer.round);
        let order = ReserveOrder {
            sid: offer.sid(),
            job: job.digest,
            spec: Arc::clone(&job.spec),
            round: offer.round,
            parameters: job.parameters.clone(),
            model: job.model,
        };
        self.attempt =
            Some(Attempt { sid: order.sid, round: offer.round, stage: Stage::Reserving, cancelled: None });
        out.push(Output::Reserve(Box::new(order)));
    }

    fn decline(&mut self, offer: &Offer, reason: DeclineReason, explanation: String, out: &mut Vec<Output>) {
        if let Some(job) = self.job.as_mut().filter(|_| reason != DeclineReason::Stale) {
            job.seen = job.seen.max(Some(offer.round));
        }
        send(Decline { sid: offer.sid(), reason }, out);
        out.push(Output::Report(Report::Declined { round: offer.round, reason: explanation }));
    }

    pub(super) fn reserved(&mut self, now_ms: u64, sid: Digest, out: &mut Vec<Output>) {
        let Some(attempt) = live(&mut self.attempt, &sid, |stage| stage == Stage::Reserving) else { return };
        attempt.stage = Stage::Reserved;
        let round = attempt.round;
        if let Some((outcome, reason)) = attempt.cancelled {
            self.end_attempt_as(outcome, reason, out);
            self.take_up_held_offer(now_ms, out);
            return;
        }
        let Some(job) = &self.job else { return };
        send(Accept::sign(sid, job.model, job.parameters_digest, &self.standing.identity), out);
        out.push(Output::Report(Report::Accepted(round)));
    }

    pub(super) fn reserve_refused(
        &mut self,
        now_ms: u64,
        sid: Digest,
        refusal: ReserveRefusal,
        out: &mut Vec<Output>,
    ) {
        let Some(attempt) = live(&mut self.attempt, &sid, |stage| stage == Stage::Reserving) else { return };
        let round = attempt.round;
        self.attempt = None;
        send(Decline { sid, reason: refusal.reason }, out);
        out.push(Output::Report(Report::Declined { round, reason: refusal.explanation }));
        self.take_up_held_offer(now_ms, out);
    }

    pub(super) fn begin(&mut self, now_ms: u64, begin: &Begin, out: &mut Vec<Output>) -> Result<(), Refused> {
        let found = begin.sid;
        let unknown = Refused::OtherAttempt { message: "Begin", found };
        let (Some(job), Some(pinned)) = (&self.job, self.pinned) else { return Err(unknown) };
        let Some(attempt) = live(&mut self.attempt, &found, |stage| stage == Stage::Reserved) else {
            return Err(unknown);
        };
        let (quorum, merchants) = (job.parameters.quorum, job.parameters.merchants);
        if !are_merchants(&begin.participants, quorum, merchants) {
            return Err(Refused::Participants { quorum, merchants });
        }
        if !begin.participants.contains(&pinned.own) {
            self.end_attempt("the round started without this merchant", out);
            return Ok(());
        }
        attempt.stage = Stage::Training { upload_at_ms: now_ms + job.spec.round.upload_slot_ms };
        out.push(Output::Train(Box::new(TrainOrder {
            sid: attempt.sid,
            job: job.digest,
            round: attempt.round,
            state: Arc::clone(&job.state),
            parameters: job.parameters.clone(),
        })));
        Ok(())
    }

    pub(super) fn trained(&mut self, sid: Digest, out: &mut Vec<Output>) {
        let training = |stage| matches!(stage, Stage::Training { .. });
        let Some(attempt) = live(&mut self.attempt, &sid, training) else { return };
        if let Stage::Training { upload_at_ms } = attempt.stage {
            attempt.stage = Stage::Committing { upload_at_ms };
            out.push(Output::Commit { sid });
        }
    }

    pub(super) fn training_impossible(&mut self, sid: Digest, reason: String, out: &mut Vec<Output>) {
        let training = |stage| matches!(stage, Stage::Training { .. });
        let Some(attempt) = live(&mut self.attempt, &sid, training) else { return };
        let round = attempt.round;
        self.attempt = None;
        out.push(Output::Refund { sid });
        // The server need not wait for this merchant's update.
        send(Decline { sid, reason: DeclineReason::Storage }, out);
        out.push(Output::Report(Report::AttemptEnded { round, reason }));
    }

    pub(super) fn committed(&mut self, now_ms: u64, sid: Digest, hash: Digest, out: &mut Vec<Output>) {
        let committing = |stage| matches!(stage, Stage::Committing { .. });
        let Some(attempt) = live(&mut self.attempt, &sid, committing) else { return };
        let Stage::Committing { upload_at_ms } = attempt.stage else { return };
        attempt.stage = Stage::Committed { upload_at_ms, hash };
        out.push(Output::Report(Report::Committed(attempt.round)));
        if let Some((outcome, reason)) = attempt.cancelled {
            self.end_attempt_as(outcome, reason, out);
            self.take_up_held_offer(now_ms, out);
        } else {
            self.upload_when_due(now_ms, out);
        }
    }

    /// Uploads at the slot, never before it, and once.
    pub(super) fn upload_when_due(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(attempt) = &mut self.attempt else { return };
        let Stage::Committed { upload_at_ms, hash } = attempt.stage else { return };
        if now_ms < upload_at_ms {
            out.push(Output::WakeAt { at_ms: upload_at_ms });
            return;
        }
        attempt.stage = Stage::Uploaded;
        out.push(Output::Upload { header: UpdateHeader::sign(attempt.sid, hash, &self.standing.identity) });
    }

    pub(super) fn receipt(&self, receipt: &Receipt) -> Result<(), Refused> {
        // A result may overtake the receipt; then the attempt is over already.
        match &receipt.verdict {
            Verdict::Added => Ok(()),
            Verdict::Refused(reason) => Err(Refused::Update(reason.clone())),
        }
    }

    pub(super) fn abort(&mut self, abort: &Abort, out: &mut Vec<Output>) {
        if self.held_offer.as_ref().is_some_and(|offer| offer.sid() == abort.sid) {
            self.held_offer = None;
        }
        // One that is over already may have crossed the server's message.
        if live(&mut self.attempt, &abort.sid, |_| true).is_some() {
            self.end_attempt("the server aborted the attempt", out);
        }
    }

    pub(super) fn end_attempt(&mut self, reason: &'static str, out: &mut Vec<Output>) {
        self.end_attempt_as(Outcome::Aborted, reason, out);
    }

    /// Ends the live attempt, if any: what was not committed is given back, what was is spent.
    pub(super) fn end_attempt_as(&mut self, outcome: Outcome, reason: &'static str, out: &mut Vec<Output>) {
        let Some(mut attempt) = self.attempt.take() else { return };
        let sid = attempt.sid;
        match attempt.stage {
            // The disk has yet to answer; it is dropped then.
            Stage::Reserving | Stage::Committing { .. } => {
                attempt.cancelled = Some((outcome, reason));
                self.attempt = Some(attempt);
                return;
            }
            Stage::Reserved | Stage::Training { .. } => out.push(Output::Refund { sid }),
            Stage::Committed { .. } | Stage::Uploaded => out.push(Output::Settle { sid, outcome }),
        }
        out.push(Output::Report(Report::AttemptEnded { round: attempt.round, reason: reason.into() }));
    }
}

fn live<'a>(
    attempt: &'a mut Option<Attempt>,
    sid: &Digest,
    in_stage: impl Fn(Stage) -> bool,
) -> Option<&'a mut Attempt> {
    attempt.as_mut().filter(|attempt| attempt.sid == *sid && in_stage(attempt.stage))
}

/// Why an offer is declined, if it is. Everything is compared with what this client derived itself.
fn objection(
    job: &FollowedJob,
    federation: &Digest,
    roster: Option<Digest>,
    offer: &Offer,
) -> Option<(DeclineReason, String)> {
    let mismatch = |what: &str, expected: &dyn std::fmt::Debug, found: &dyn std::fmt::Debug| {
        Some((DeclineReason::Mismatch, format!("the offer's {what}: expected {expected:?}, found {found:?}")))
    };
    if let Some(reason) = &job.stopped {
        return Some((DeclineReason::Mismatch, format!("stopped: {reason}")));
    }
    if let Some(reason) = &job.objection {
        return Some((DeclineReason::Policy, reason.clone()));
    }
    if offer.federation != *federation {
        return mismatch("federation", federation, &offer.federation);
    }
    if Some(offer.roster) != roster {
        return mismatch("roster", &roster, &offer.roster);
    }
    if offer.parameters != job.parameters {
        return mismatch("numbers", &job.parameters, &offer.parameters);
    }
    if let Some(seen) = job.seen.filter(|seen| offer.round <= *seen) {
        return Some((
            DeclineReason::Stale,
            format!("expected an attempt after {seen}, found {}", offer.round),
        ));
    }
    if offer.version < job.version {
        return mismatch("version", &job.version, &offer.version);
    }
    if offer.version == job.version && offer.model != job.model {
        return mismatch("model", &job.model, &offer.model);
    }
    None
}
