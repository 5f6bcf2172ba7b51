//! How far a job is. [core]

use std::collections::BTreeSet;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::round_parameters::RoundParameters;

use super::{Phase, TimestampMs};
use crate::round::Accusation;

/// What the history says about a job.
#[derive(Clone, Debug)]
pub struct Progress {
    /// The job.
    pub spec: JobSpec,
    /// The numbers of its rounds.
    pub parameters: RoundParameters,
    /// The newest version.
    pub version: u32,
    /// That version's model.
    pub state: ModelState,
    /// Rounds settled.
    pub settled: u32,
    /// The last attempt that was offered.
    pub last_attempt: Option<RoundId>,
}

/// A job and how far it is.
#[derive(Debug)]
pub struct RunningJob {
    progress: Progress,
    digest: Digest,
    parameters: Digest,
    model: Digest,
    /// Whether an attempt was offered since the server or the job started.
    pub(super) opened: bool,
    /// Aborts since the last settled round.
    pub(super) aborts_in_a_row: u32,
    /// Provably broke the protocol since the server or the job started: take no further part.
    pub(super) culprits: BTreeSet<MerchantIndex>,
    /// Who complained about whose shares since the server or the job started.
    pub(super) complaints: BTreeSet<Accusation>,
    /// Complained or were complained about in the last attempt: sit out the next.
    pub(super) sitting_out: BTreeSet<MerchantIndex>,
}

impl RunningJob {
    pub(super) fn new(progress: Progress, roster: &Digest) -> Self {
        let digest = progress.spec.digest();
        let parameters = progress.parameters.digest(&digest, roster);
        let model = progress.state.hash(&progress.spec.model());
        RunningJob {
            progress,
            digest,
            parameters,
            model,
            opened: false,
            aborts_in_a_row: 0,
            culprits: BTreeSet::new(),
            complaints: BTreeSet::new(),
            sitting_out: BTreeSet::new(),
        }
    }

    /// The job.
    pub fn spec(&self) -> &JobSpec {
        &self.progress.spec
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The numbers of its rounds.
    pub fn parameters(&self) -> &RoundParameters {
        &self.progress.parameters
    }

    /// Their digest.
    pub fn parameters_digest(&self) -> Digest {
        self.parameters
    }

    /// The newest version.
    pub fn version(&self) -> u32 {
        self.progress.version
    }

    /// Its model.
    pub fn state(&self) -> &ModelState {
        &self.progress.state
    }

    /// Its model's hash.
    pub fn model(&self) -> Digest {
        self.model
    }

    /// Rounds settled.
    pub fn settled(&self) -> u32 {
        self.progress.settled
    }

    /// Whether all rounds are settled.
    pub fn is_finished(&self) -> bool {
        self.progress.settled >= self.progress.spec.rounds
    }

    /// The last attempt that was offered.
    pub(super) fn last_attempt(&self) -> Option<RoundId> {
        self.progress.last_attempt
    }

    /// The next attempt's number: never one that was offered before.
    pub fn next_attempt(&self) -> RoundId {
        let round = self.progress.settled;
        let attempt = match self.progress.last_attempt {
            Some(last) if last.round == round => last.attempt.saturating_add(1),
            _ => 0,
        };
        RoundId { round, attempt }
    }

    pub(super) fn offered(&mut self, attempt: RoundId) {
        self.progress.last_attempt = Some(attempt);
        self.opened = true;
    }

    /// Takes the next version; only a round counts as settled.
    pub(super) fn advance(&mut self, state: ModelState, model: Digest, settled_rounds: u32) {
        self.progress.version += 1;
        self.progress.settled += settled_rounds;
        self.progress.state = state;
        self.model = model;
    }

    /// Where the job stands while no attempt runs.
    pub(super) fn phase_between_attempts(&self, not_before: TimestampMs) -> Phase {
        if self.is_finished() { Phase::Idle } else { Phase::Waiting { not_before, quorum_since: None } }
    }
}
