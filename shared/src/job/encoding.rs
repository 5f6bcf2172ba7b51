//! A job on the wire. [core]
//!
//! A job whose clip is constant has the encoding it had before clips could adapt, so that its digest is the same. The rule
//! of a clip that adapts stands before what it is about: as a further variant of the privacy field, followed by the others.

use serde::{Deserialize, Serialize};

use super::{AdaptiveClip, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use crate::id::Name;
use crate::model_spec::Architecture;
use crate::optimizer::OptimizerSpec;
use crate::task::Task;

/// The fields of a job, in their order.
#[derive(Serialize, Deserialize)]
#[serde(rename = "JobSpec")]
pub(super) struct EncodedJob {
    name: Name,
    purpose: String,
    task: Task,
    architecture: Architecture,
    seed: u64,
    rounds: u32,
    optimizer: OptimizerSpec,
    clipping: ClippingSpec,
    privacy: EncodedPrivacy,
    round: RoundSpec,
}

/// What protects a job, and before it, where there is one, the rule of its clip.
#[derive(Serialize, Deserialize)]
enum EncodedPrivacy {
    Gaussian { unit: Unit, epsilon: f64, delta: f64, noise_standard_deviation: u64 },
    None { unit: Unit },
    AdaptiveClip { rule: AdaptiveClip, privacy: PrivacySpec },
}

impl From<JobSpec> for EncodedJob {
    fn from(job: JobSpec) -> Self {
        let JobSpec { name, purpose, task, architecture, seed, rounds, optimizer, clipping, .. } = job;
        let privacy = match (job.adaptive_clip, job.privacy) {
            (Some(rule), privacy) => EncodedPrivacy::AdaptiveClip { rule, privacy },
            (None, PrivacySpec::Gaussian { unit, epsilon, delta, noise_standard_deviation }) => {
                EncodedPrivacy::Gaussian { unit, epsilon, delta, noise_standard_deviation }
            }
            (None, PrivacySpec::None { unit }) => EncodedPrivacy::None { unit },
        };
        let round = job.round;
        EncodedJob { name, purpose, task, architecture, seed, rounds, optimizer, clipping, privacy, round }
    }
}

impl From<EncodedJob> for JobSpec {
    fn from(encoded: EncodedJob) -> Self {
        let EncodedJob { name, purpose, task, architecture, seed, rounds, optimizer, clipping, .. } = encoded;
        let (adaptive_clip, privacy) = match encoded.privacy {
            EncodedPrivacy::AdaptiveClip { rule, privacy } => (Some(rule), privacy),
            EncodedPrivacy::Gaussian { unit, epsilon, delta, noise_standard_deviation } => {
                (None, PrivacySpec::Gaussian { unit, epsilon, delta, noise_standard_deviation })
            }
            EncodedPrivacy::None { unit } => (None, PrivacySpec::None { unit }),
        };
        let round = encoded.round;
        JobSpec {
            name,
            purpose,
            task,
            architecture,
            seed,
            rounds,
            optimizer,
            clipping,
            adaptive_clip,
            privacy,
            round,
        }
    }
}

#[cfg(test)]
mod tests;
