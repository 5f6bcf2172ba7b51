//! The live attempt: its stages in both modes, training and the upload, and how it ends. [core]

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::Aggregation;
use guildhall_shared::message::{Abort, Begin, Decline, DeclineReason, Receipt, UpdateHeader, Verdict};
use guildhall_shared::model_state::ModelState;
use guildhall_shared::secagg::SurvivorCertificate;
use guildhall_shared::secagg::client::{Advertised, Certified, Masked, Masking, Sharing, Uploaded};
use guildhall_shared::secagg::mask::MaskSet;
use guildhall_shared::tree_head::TreeHead;

use super::records::are_merchants;
use super::{AttemptStage, Outcome, Output, Participant, Refused, Report, TrainOrder, send};

/// What an attempt was opened with. It stays the same whatever else is heard: a roll-back in mid-attempt does not change
/// the model that is trained from, which everybody's keys and signatures name.
pub(super) struct Origin {
    pub sid: Digest,
    pub round: RoundId,
    /// Hash of the model to train from.
    pub model: Digest,
    /// That model.
    pub state: Arc<ModelState>,
}

/// The live attempt. There is at most one.
pub(super) struct Attempt {
    pub origin: Origin,
    pub stage: Stage,
}

/// Where an attempt stands. Each stage is entered once, in this order, and moves its secrets to the next.
pub(super) enum Stage {
    /// The debit is on its way to the disk.
    Reserving,
    /// Plain mode: accepted; waits for the start.
    Accepted,
    /// Masked: keys are advertised; waits for everybody's.
    Advertised(Box<Advertised>),
    /// Masked: shares are dealt; waits for the others'.
    Sharing(Box<Sharing>),
    /// Masked: shares are held; the ledger is compared with what the dealers saw of it.
    Comparing(Box<Masking>),
    /// Trains.
    Training { upload_at_ms: u64, cover: Cover },
    /// The commitment is on its way to the disk.
    Committing { upload_at_ms: u64, cover: Cover },
    /// Spent for ever; waits for its slot.
    Committed { upload_at_ms: u64, committed: (Digest, TreeHead), cover: Cover },
    /// Plain mode: sent, once.
    Sent,
    /// Masked: sent, once; waits for the survivors.
    Uploaded(Box<Uploaded>),
    /// Masked: signed one set of survivors; waits for their certificate.
    Certified(Box<Certified>),
    /// Masked: revealed its shares, once; waits for the result.
    Unmasked(Box<SurvivorCertificate>),
    /// Over and without secrets, but an answer from the disk is awaited before it can be dropped.
    Cancelled { awaited: Answer, outcome: Outcome, reason: &'static str },
}

/// What hides the update on its way.
pub(super) enum Cover {
    /// Nothing: its own full noise protects it.
    Plain,
    /// Masks, which training took along; here is what takes them off the sum again.
    Masked(Box<Masked>),
}

/// What the disk has yet to say.
pub(super) enum Answer {
    Reservation,
    Commitment,
}

impl Stage {
    /// What the attempt is doing, for a message that comes at the wrong time.
    fn describe(&self) -> &'static str {
        match self {
            Stage::Reserving => "this client is reserving its budget",
            Stage::Accepted => "this client waits for the start",
            Stage::Advertised(_) => "this client waits for everybody's keys",
            Stage::Sharing(_) => "this client waits for the others' shares",
            Stage::Comparing(_) => "this client compares its ledger with what others saw of it",
            Stage::Training { .. } => "this client trains",
            Stage::Committing { .. } => "this client commits its update",
            Stage::Committed { .. } => "this client waits for its upload slot",
            Stage::Sent | Stage::Unmasked(_) => "this client waits for the result",
            Stage::Uploaded(_) => "this client waits for the survivors",
            Stage::Certified(_) => "this client waits for the survivors' certificate",
            Stage::Cancelled { .. } => "the attempt is over",
        }
    }
}

impl Attempt {
    pub fn sid(&self) -> Digest {
        self.origin.sid
    }

    pub fn round(&self) -> RoundId {
        self.origin.round
    }

    pub fn is_uploaded(&self) -> bool {
        matches!(self.stage, Stage::Sent | Stage::Uploaded(_) | Stage::Certified(_) | Stage::Unmasked(_))
    }

    /// Who certified the survivors, once this client knows.
    pub fn certificate(self) -> Option<Box<SurvivorCertificate>> {
        match self.stage {
            Stage::Unmasked(certificate) => Some(certificate),
            _ => None,
        }
    }
}

/// Why a stage was not taken.
pub(super) enum NotTaken {
    /// No attempt of this session id is live.
    NotLive,
    /// It is, in another stage.
    Elsewhere(&'static str),
}

impl NotTaken {
    pub fn refused(self, message: &'static str, found: Digest) -> Refused {
        match self {
            NotTaken::NotLive => Refused::OtherAttempt { message, found },
            NotTaken::Elsewhere(stage) => Refused::OutOfOrder { message, stage },
        }
    }
}

impl Participant {
    /// Takes the live attempt out if it has this session id and a stage that `open` wants; otherwise it stays as it is.
    pub(super) fn take<T>(
        &mut self,
        sid: &Digest,
        open: impl FnOnce(Stage) -> Result<T, Stage>,
    ) -> Result<(Origin, T), NotTaken> {
        let Some(Attempt { origin, stage }) = self.attempt.take_if(|attempt| attempt.origin.sid == *sid)
        else {
            return Err(NotTaken::NotLive);
        };
        match open(stage) {
            Ok(opened) => Ok((origin, opened)),
            Err(stage) => {
                let elsewhere = NotTaken::Elsewhere(stage.describe());
                self.enter(origin, stage);
                Err(elsewhere)
            }
        }
    }

    pub(super) fn enter(&mut self, origin: Origin, stage: Stage) {
        self.attempt = Some(Attempt { origin, stage });
    }

    /// Whether a message names the live attempt and belongs to its mode.
    pub(super) fn expect(
        &self,
        message: &'static str,
        found: Digest,
        aggregation: Aggregation,
    ) -> Result<(), Refused> {
        let live = self.attempt.as_ref().is_some_and(|attempt| attempt.origin.sid == found);
        match self.job.as_ref().filter(|_| live) {
            None => Err(Refused::OtherAttempt { message, found }),
            Some(job) if job.spec.round.aggregation == aggregation => Ok(()),
            Some(job) => Err(Refused::OtherMode { message, mode: job.parameters.mode.label() }),
        }
    }

    pub(super) fn begin(&mut self, now_ms: u64, begin: &Begin, out: &mut Vec<Output>) -> Result<(), Refused> {
        const MESSAGE: &str = "Begin";
        self.expect(MESSAGE, begin.sid, Aggregation::Plain)?;
        let (Some(job), Some(pinned), Some(attempt)) = (&self.job, &self.pinned, &self.attempt) else {
            return Err(NotTaken::NotLive.refused(MESSAGE, begin.sid));
        };
        let Stage::Accepted = attempt.stage else {
            return Err(NotTaken::Elsewhere(attempt.stage.describe()).refused(MESSAGE, begin.sid));
        };
        let (quorum, merchants) = (job.parameters.quorum, job.parameters.merchants);
        if !are_merchants(&begin.participants, quorum, merchants) {
            return Err(Refused::Participants { quorum, merchants });
        }
        if !begin.participants.contains(&pinned.own) {
            self.end_attempt("the round started without this merchant", out);
            return Ok(());
        }
        if let Some(Attempt { origin, .. }) = self.attempt.take() {
            self.train(now_ms, origin, Cover::Plain, None, out);
        }
        Ok(())
    }

    /// Training starts. From here on nothing that depends on rows decides what is sent and when.
    pub(super) fn train(
        &mut self,
        now_ms: u64,
        origin: Origin,
        cover: Cover,
        masks: Option<MaskSet>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = &self.job else { return };
        out.push(Output::Train(Box::new(TrainOrder {
            sid: origin.sid,
            job: job.digest,
            round: origin.round,
            state: Arc::clone(&origin.state),
            parameters: job.parameters.clone(),
            masks,
        })));
        let upload_at_ms = now_ms + job.spec.round.upload_slot_ms;
        self.enter(origin, Stage::Training { upload_at_ms, cover });
    }

    pub(super) fn trained(&mut self, sid: Digest, out: &mut Vec<Output>) {
        let training = |stage| match stage {
            Stage::Training { upload_at_ms, cover } => Ok((upload_at_ms, cover)),
            other => Err(other),
        };
        let Ok((origin, (upload_at_ms, cover))) = self.take(&sid, training) else { return };
        self.enter(origin, Stage::Committing { upload_at_ms, cover });
        out.push(Output::Commit { sid });
    }

    /// There is no randomness, so there can be no keys or no noise.
    pub(super) fn impossible(&mut self, now_ms: u64, sid: Digest, reason: String, out: &mut Vec<Output>) {
        let unspent = |stage| match stage {
            Stage::Reserving | Stage::Training { .. } => Ok(None),
            Stage::Cancelled { awaited: Answer::Reservation, reason, .. } => Ok(Some(reason)),
            other => Err(other),
        };
        let Ok((origin, cancelled)) = self.take(&sid, unspent) else { return };
        out.push(Output::Refund { sid });
        if cancelled.is_none() {
            // The server need not wait for this merchant.
            send(Decline { sid, reason: DeclineReason::Storage }, out);
        }
        let awaited = cancelled.is_some();
        let reason = cancelled.map_or(reason, str::to_owned);
        out.push(Output::Report(Report::AttemptEnded { round: origin.round, reason }));
        if awaited {
            self.take_up_held_offer(now_ms, out);
        }
    }

    pub(super) fn committed(
        &mut self,
        now_ms: u64,
        sid: Digest,
        committed: (Digest, TreeHead),
        out: &mut Vec<Output>,
    ) {
        let committing = |stage| match stage {
            Stage::Committing { upload_at_ms, cover } => Ok(Ok((upload_at_ms, cover))),
            Stage::Cancelled { awaited: Answer::Commitment, outcome, reason } => Ok(Err((outcome, reason))),
            other => Err(other),
        };
        let Ok((origin, committing)) = self.take(&sid, committing) else { return };
        let round = origin.round;
        out.push(Output::Report(Report::Committed(round)));
        match committing {
            Ok((upload_at_ms, cover)) => {
                if let Cover::Masked(_) = cover {
                    out.push(Output::Report(Report::Stage { round, stage: AttemptStage::Committed }));
                }
                self.enter(origin, Stage::Committed { upload_at_ms, committed, cover });
                self.upload_when_due(now_ms, out);
            }
            Err((outcome, reason)) => {
                out.push(Output::Settle { sid, outcome, certificate: None });
                out.push(Output::Report(Report::AttemptEnded { round, reason: reason.into() }));
                self.take_up_held_offer(now_ms, out);
            }
        }
    }

    /// Uploads at the slot, never before it, and once.
    pub(super) fn upload_when_due(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let Some(attempt) = self.attempt.take() else { return };
        let Attempt { origin, stage } = attempt;
        match stage {
            Stage::Committed { upload_at_ms, committed, cover } if now_ms >= upload_at_ms => {
                self.upload(origin, committed, cover, out);
            }
            stage => {
                if let Stage::Committed { upload_at_ms, .. } = stage {
                    out.push(Output::WakeAt { at_ms: upload_at_ms });
                }
                self.enter(origin, stage);
            }
        }
    }

    fn upload(
        &mut self,
        origin: Origin,
        (hash, head): (Digest, TreeHead),
        cover: Cover,
        out: &mut Vec<Output>,
    ) {
        let identity = &self.standing.identity;
        match cover {
            Cover::Plain => {
                let header = UpdateHeader::sign(origin.sid, hash, head, identity);
                out.push(Output::Upload { header });
                self.enter(origin, Stage::Sent);
            }
            Cover::Masked(masked) => {
                let (uploaded, header) = masked.sign(hash, head, identity);
                out.push(Output::Upload { header });
                let stage = AttemptStage::Uploaded;
                out.push(Output::Report(Report::Stage { round: origin.round, stage }));
                self.enter(origin, Stage::Uploaded(Box::new(uploaded)));
            }
        }
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
        if self.attempt.as_ref().is_some_and(|attempt| attempt.origin.sid == abort.sid) {
            self.end_attempt("the server aborted the attempt", out);
        }
    }

    pub(super) fn end_attempt(&mut self, reason: &'static str, out: &mut Vec<Output>) {
        self.end_attempt_as(Outcome::Aborted, reason, out);
    }

    /// Ends the live attempt, if any: its secrets are wiped, what was not committed is given back, what was is spent.
    pub(super) fn end_attempt_as(&mut self, outcome: Outcome, reason: &'static str, out: &mut Vec<Output>) {
        let Some(Attempt { origin, stage }) = self.attempt.take() else { return };
        let sid = origin.sid;
        match stage {
            // The disk has yet to answer; it is dropped then.
            Stage::Reserving => {
                let awaited = Answer::Reservation;
                return self.enter(origin, Stage::Cancelled { awaited, outcome, reason });
            }
            Stage::Committing { .. } => {
                let awaited = Answer::Commitment;
                return self.enter(origin, Stage::Cancelled { awaited, outcome, reason });
            }
            Stage::Cancelled { awaited, .. } => {
                return self.enter(origin, Stage::Cancelled { awaited, outcome, reason });
            }
            Stage::Accepted
            | Stage::Advertised(_)
            | Stage::Sharing(_)
            | Stage::Comparing(_)
            | Stage::Training { .. } => {
                out.push(Output::Refund { sid });
            }
            Stage::Committed { .. }
            | Stage::Sent
            | Stage::Uploaded(_)
            | Stage::Certified(_)
            | Stage::Unmasked(_) => out.push(Output::Settle { sid, outcome, certificate: None }),
        }
        out.push(Output::Report(Report::AttemptEnded { round: origin.round, reason: reason.into() }));
    }
}
