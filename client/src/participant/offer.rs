//! From an offer to a place in the attempt: objections, the reservation, the answer. [core]

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::message::{Accept, Decline, DeclineReason, Offer};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{Facts, SecaggParameters};

use super::attempt::{Answer, Attempt, Origin, Stage};
use super::job::{FollowedJob, Opening};
use super::{Output, Participant, Pinned, Refused, Report, ReserveOrder, ReserveRefusal, send};

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
        let roster = self.pinned.as_ref().map(|pinned| pinned.digest);
        if let Some((reason, explanation)) = objection(job, &self.standing.federation, roster, &offer) {
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
        // Whatever was secret in the attempt before is wiped here.
        self.end_attempt("the server opened another attempt", out);
        if self.attempt.is_some() {
            self.held_offer = Some(offer);
            return;
        }
        let (Some(job), Some(pinned)) = (&mut self.job, &self.pinned) else { return };
        job.seen = Some(offer.round);
        let order = ReserveOrder {
            sid: offer.sid(),
            job: job.digest,
            spec: Arc::clone(&job.spec),
            round: offer.round,
            parameters: job.parameters.clone(),
            model: job.model,
            roster: pinned.digest,
        };
        let origin =
            Origin { sid: order.sid, round: offer.round, model: job.model, state: Arc::clone(&job.state) };
        self.attempt = Some(Attempt { origin, stage: Stage::Reserving });
        out.push(Output::Reserve(Box::new(order)));
    }

    fn decline(&mut self, offer: &Offer, reason: DeclineReason, explanation: String, out: &mut Vec<Output>) {
        if let Some(job) = self.job.as_mut().filter(|_| reason != DeclineReason::Stale) {
            job.seen = job.seen.max(Some(offer.round));
        }
        send(Decline { sid: offer.sid(), reason }, out);
        out.push(Output::Report(Report::Declined { round: offer.round, reason: explanation }));
    }

    pub(super) fn reserved(&mut self, now_ms: u64, sid: Digest, seed: SessionSeed, out: &mut Vec<Output>) {
        let reserving = |stage| match stage {
            Stage::Reserving => Ok(None),
            Stage::Cancelled { awaited: Answer::Reservation, reason, .. } => Ok(Some(reason)),
            other => Err(other),
        };
        let Ok((origin, cancelled)) = self.take(&sid, reserving) else { return };
        if let Some(reason) = cancelled {
            out.push(Output::Refund { sid });
            out.push(Output::Report(Report::AttemptEnded { round: origin.round, reason: reason.into() }));
            self.take_up_held_offer(now_ms, out);
            return;
        }
        let (Some(job), Some(pinned)) = (&self.job, &self.pinned) else { return };
        match &job.parameters.secagg {
            Some(secagg) => {
                let facts = facts(&origin, job, pinned, secagg);
                self.advertise(origin, facts, seed, out);
            }
            None => {
                send(Accept::sign(sid, origin.model, job.parameters_digest, &self.standing.identity), out);
                out.push(Output::Report(Report::Accepted(origin.round)));
                self.enter(origin, Stage::Accepted);
            }
        }
    }

    pub(super) fn reserve_refused(
        &mut self,
        now_ms: u64,
        sid: Digest,
        refusal: ReserveRefusal,
        out: &mut Vec<Output>,
    ) {
        let reserving = |stage| match stage {
            Stage::Reserving | Stage::Cancelled { awaited: Answer::Reservation, .. } => Ok(()),
            other => Err(other),
        };
        let Ok((origin, ())) = self.take(&sid, reserving) else { return };
        send(Decline { sid, reason: refusal.reason }, out);
        out.push(Output::Report(Report::Declined { round: origin.round, reason: refusal.explanation }));
        self.take_up_held_offer(now_ms, out);
    }
}

/// What this client knows about the attempt by itself: it holds everybody's messages against these facts.
fn facts(origin: &Origin, job: &FollowedJob, pinned: &Pinned, secagg: &SecaggParameters) -> Facts {
    Facts {
        sid: origin.sid,
        model: origin.model,
        parameters: job.parameters_digest,
        roster: Arc::clone(&pinned.roster),
        secagg: secagg.clone(),
        ring: job.parameters.ring,
        dimension: job.parameters.parameters as usize,
    }
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
