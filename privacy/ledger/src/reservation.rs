//! What a RESERVE records of an attempt, in one place for everybody who reserves. [core]

use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::RoundParameters;

use crate::{Protection, Reservation, Travel};

/// One attempt at one round of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The digest of the job's canonical encoding.
    pub job: Digest,
    /// The session.
    pub sid: Digest,
    /// Which round, which attempt.
    pub round: RoundId,
    /// The digest of the pinned roster; zeros where there is none.
    pub roster: Digest,
    /// Hash of the model that is trained from.
    pub model: Digest,
}

impl Reservation {
    /// Charge and record of one attempt, from the job and the numbers of its rounds. The program is not known yet.
    pub fn new(spec: &JobSpec, attempt: Attempt, parameters: &RoundParameters) -> Self {
        Reservation {
            job: spec.name.clone(),
            job_digest: attempt.job,
            sid: attempt.sid,
            round: attempt.round,
            unit: spec.privacy.unit(),
            protection: Protection::None,
            travel: Travel::of(parameters),
            survivors_min: parameters.survivors_min(),
            parameters: parameters.digest(&attempt.job, &attempt.roster),
            model: attempt.model,
            charge: Protection::None.charge(),
            purpose: spec.purpose.clone(),
            label: spec.privacy.label(),
            program: None,
        }
        .protected_by(Protection::of(parameters, &spec.privacy))
    }

    /// The same with another protection, and its charge.
    #[must_use]
    pub fn protected_by(self, protection: Protection) -> Self {
        Reservation { protection, charge: protection.charge(), ..self }
    }
}
