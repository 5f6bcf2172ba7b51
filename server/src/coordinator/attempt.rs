//! What the running attempt does, and what becomes of its end. [core]

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::identity::Signature;
use guildhall_shared::message::{ResultHeader, RollBack};
use guildhall_shared::model_state::ModelState;

use super::{Coordinator, CoordinatorError, Output, Phase, Release};
use crate::event::Event;
use crate::round::{self, Aborted, Round, RoundMessage, Settled, TimestampMs};

/// The pause after aborts grows up to 2^6 times the configured one.
const BACK_OFF_DOUBLINGS_MAX: u32 = 6;
/// Attempts of one round that merchants' plans count on.
const ATTEMPTS_PLANNED: u32 = 3;
/// Ended attempts that late words of good merchants are known by.
const ENDED_KEPT: usize = 8;

impl Coordinator {
    /// Hands an input to the running attempt, if there is one, and acts on what becomes of it.
    pub(super) fn step_round(
        &mut self,
        now: TimestampMs,
        input: round::Input<'_>,
        out: &mut Vec<Output>,
    ) -> Result<(), CoordinatorError> {
        let (round, offered_at, wake_at) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Running { round, offered_at, wake_at } => (round, offered_at, wake_at),
            between => {
                self.phase = between;
                return Ok(());
            }
        };
        let sender = match &input {
            round::Input::Message { from, message: RoundMessage::Update { .. } } => Some(*from),
            _ => None,
        };
        let phase_before = std::mem::discriminant(&*round);
        // Kept unless the round wishes otherwise.
        let mut wishes = vec![round::Output::WakeAt(wake_at)];
        let (next, verdict) = round.handle(now, input, &mut wishes);
        if std::mem::discriminant(&next) != phase_before {
            self.tell_phase(&next, out);
        }
        if let (Some(from), true, Some(job)) = (sender, verdict.is_ok(), &self.job) {
            let round = job.settled();
            let merchant = self.name(from);
            out.extend(merchant.map(|merchant| Output::Event(Event::UpdateAdded { merchant, round })));
        }
        self.after_round_step(now, next, offered_at, wishes, out);
        Ok(verdict?)
    }

    /// Tells the operator which phase an attempt has reached.
    pub(super) fn tell_phase(&self, reached: &Round, out: &mut Vec<Output>) {
        let RoundId { round, attempt } = reached.attempt().round;
        if let Some(participants) = reached.started() {
            let participants = self.names(participants);
            out.push(Output::Event(Event::RoundStarted { round, attempt, participants }));
        }
        if let Some((stage, merchants)) = reached.masked_stage() {
            let merchants = merchants.len() as u32;
            out.push(Output::Event(Event::RoundStage { round, attempt, stage, merchants }));
        }
    }

    /// Passes on what the round wants and acts on its end.
    pub(super) fn after_round_step(
        &mut self,
        now: TimestampMs,
        round: Round,
        offered_at: TimestampMs,
        wishes: Vec<round::Output>,
        out: &mut Vec<Output>,
    ) {
        let wake_at = grant(round.attempt().sid, wishes, out).unwrap_or(now);
        match round {
            Round::Settled(settled) => self.settle(now, settled, offered_at, out),
            Round::Aborted(Aborted { attempt, reason, blame }) => {
                self.remember_end(attempt.sid);
                self.blame(attempt.round, &blame, out);
                self.aborted(now, attempt.round, reason, out);
            }
            running => self.phase = Phase::Running { round: Box::new(running), offered_at, wake_at },
        }
    }

    fn remember_end(&mut self, sid: Digest) {
        if self.ended.len() >= ENDED_KEPT {
            self.ended.pop_front();
        }
        self.ended.push_back(sid);
    }

    fn settle(&mut self, now: TimestampMs, settled: Settled, offered_at: TimestampMs, out: &mut Vec<Output>) {
        let Settled { attempt, contributors, dropped, sum, blame } = settled;
        self.remember_end(attempt.sid);
        self.blame(attempt.round, &blame, out);
        let Some(job) = &mut self.job else { return };
        let integers = sum.centred();
        drop(sum);
        let state = match job.state().next(job.spec(), &integers) {
            Ok(state) => state,
            Err(error) => return self.aborted(now, attempt.round, error.to_string(), out),
        };
        let mut words = Vec::new();
        attempt.ring.write(&integers, &mut words);
        drop(integers);
        let model = state.hash(&job.spec().model());
        let unsigned = ResultHeader {
            job: job.digest(),
            sid: attempt.sid,
            round: attempt.round,
            version: job.version() + 1,
            model,
            contributors: contributors.into_iter().collect(),
            sum: Digest::of_bytes(&words),
            signature: Signature([[0; 32]; 2]),
        };
        let header = unsigned.sign(&self.setup.key);
        job.advance(state, model, 1);
        job.aborts_in_a_row = 0;
        let privacy = format!("{}; {}", job.parameters().mode.label(), job.spec().privacy.label());
        self.phase = job.phase_between_attempts(now);
        let (merchants, dropped) = (self.names(&header.contributors), self.names(&dropped));
        out.push(Output::Release(Box::new(Release {
            header,
            words,
            merchants,
            dropped,
            offered_at,
            privacy,
        })));
        self.finish_if_done(out);
    }

    fn finish_if_done(&mut self, out: &mut Vec<Output>) {
        let Some(job) = self.job.as_ref().filter(|job| job.is_finished()) else { return };
        let (name, model) = (job.spec().name.clone(), job.model().to_string());
        out.push(Output::Event(Event::JobFinished { job: name, version: job.version(), model }));
        let able: Vec<MerchantIndex> = self
            .members
            .iter()
            .filter(|(_, member)| member.derived.is_some())
            .map(|(index, _)| *index)
            .collect();
        for to in able {
            self.tell_finished(to, out);
        }
    }

    fn aborted(&mut self, now: TimestampMs, round: RoundId, reason: String, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        let attempts = round.attempt.saturating_add(1);
        let reason = if job.parameters().secagg.is_some() && attempts >= ATTEMPTS_PLANNED {
            format!(
                "{reason}; attempts of this round so far: {attempts}. Every one in which a merchant committed an update is \
                 charged to it, and plans count on at most {ATTEMPTS_PLANNED}. The server tries again, more and more \
                 slowly: stop it if the cause will not go away"
            )
        } else {
            reason
        };
        let doublings = job.aborts_in_a_row.min(BACK_OFF_DOUBLINGS_MAX);
        job.aborts_in_a_row = job.aborts_in_a_row.saturating_add(1);
        let pause = self.setup.back_off_ms.saturating_mul(1 << doublings);
        self.phase = job.phase_between_attempts(now.saturating_add(pause));
        out.push(Output::Event(Event::RoundAborted { round: round.round, attempt: round.attempt, reason }));
    }

    /// Gives up the running attempt, if there is one, without a pause before the next.
    pub(super) fn abandon(&mut self, reason: &str, out: &mut Vec<Output>) {
        let Phase::Running { round, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else { return };
        let (mut wishes, mut ended) = (Vec::new(), None);
        if let Round::Aborted(Aborted { attempt, reason, blame }) = round.abandon(reason, &mut wishes) {
            ended = Some(attempt.sid);
            self.remember_end(attempt.sid);
            self.blame(attempt.round, &blame, out);
            let RoundId { round, attempt } = attempt.round;
            out.push(Output::Event(Event::RoundAborted { round, attempt, reason }));
        }
        if let Some(sid) = ended {
            grant(sid, wishes, out);
        }
    }

    pub(super) fn rolled_back(
        &mut self,
        now: TimestampMs,
        roll_back: &RollBack,
        state: ModelState,
        out: &mut Vec<Output>,
    ) {
        self.abandon("the operator rolled the model back", out);
        let Some(job) = &mut self.job else { return };
        job.advance(state, roll_back.model, 0);
        self.phase = job.phase_between_attempts(now);
        out.push(Output::PublishVersion(roll_back.version));
        let (version, to, model) = (roll_back.version, roll_back.to, roll_back.model.to_string());
        out.push(Output::Event(Event::RolledBack { version, to, model }));
        if job.is_finished() {
            for member in self.members.values_mut() {
                member.told_finished = false;
            }
            self.finish_if_done(out);
        }
    }
}

/// Passes on what a round wants. Returns when it wants to be woken, if it says so.
fn grant(sid: Digest, wishes: Vec<round::Output>, out: &mut Vec<Output>) -> Option<TimestampMs> {
    let mut wake_at = None;
    for wish in wishes {
        match wish {
            round::Output::Send { to, message } => out.push(Output::Send { to, message }),
            round::Output::Broadcast { to, message } => out.push(Output::Broadcast { to, message }),
            round::Output::Witness(updates) => out.push(Output::Witness { sid, updates }),
            round::Output::WakeAt(at) => wake_at = Some(at),
        }
    }
    wake_at
}
