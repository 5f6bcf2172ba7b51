//! The numbers of a round, recomputed by every party from the job and the roster's length. [core]
//!
//! A client never believes a number of the server's: it derives its own and refuses an offer that differs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::job::{JobSpec, PrivacySpec};
use crate::ring::{RingOverflow, RingWidth, SumBound};
use crate::wire;

/// How updates are protected on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoundMode {
    /// Plain mode: no masks, every merchant adds its full noise (h = 1). The server reads each noised update.
    LocalNoise,
    /// `privacy = "none"`: no masks, no noise. The server reads each update, the model protects nobody.
    Unprotected,
}

impl RoundMode {
    /// The label every offer, output and log line carries.
    pub fn label(self) -> &'static str {
        match self {
            RoundMode::LocalNoise => "plain mode: local noise, no masks",
            RoundMode::Unprotected => "NO PRIVACY: no noise, no masks",
        }
    }
}

/// The numbers of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundParameters {
    /// How updates are protected.
    pub mode: RoundMode,
    /// n, the length of the pinned roster.
    pub merchants: u32,
    /// h, noise shares surely in what anybody sees: 1 in plain mode, 0 without noise.
    pub honest_noise_shares: u32,
    /// d.
    pub parameters: u64,
    /// B.
    pub clipping_bound: u64,
    /// σ_local in integer units; 0 without noise.
    pub noise_standard_deviation_local: u64,
    /// Width of a ring word.
    pub ring: RingWidth,
    /// Fewest merchants with which the round starts and settles.
    pub quorum: u32,
}

impl RoundParameters {
    /// Derives the numbers of a job's plain rounds for a roster of n merchants.
    ///
    /// # Errors
    /// [`RingOverflow`] when the sum might wrap.
    pub fn derive(job: &JobSpec, merchants: u32) -> Result<Self, RingOverflow> {
        let (mode, honest_noise_shares, noise) = match job.privacy {
            PrivacySpec::Gaussian { noise_standard_deviation, .. } => {
                (RoundMode::LocalNoise, 1, noise_standard_deviation)
            }
            PrivacySpec::None { .. } => (RoundMode::Unprotected, 0, 0),
        };
        let bound = SumBound {
            merchants: u64::from(merchants),
            shoppers_per_merchant_max: job.round.shoppers_per_merchant_max,
            clipping_bound: job.clipping.bound,
            noise_standard_deviation_local: noise,
        };
        Ok(RoundParameters {
            mode,
            merchants,
            honest_noise_shares,
            parameters: job.model().parameter_count() as u64,
            clipping_bound: job.clipping.bound,
            noise_standard_deviation_local: noise,
            ring: RingWidth::narrowest_for(&bound)?,
            quorum: job.round.quorum,
        })
    }

    /// The digest of these numbers, the whole job and the roster.
    pub fn digest(&self, job: &Digest, roster: &Digest) -> Digest {
        Digest::of(
            "guildhall round parameters v1",
            &[&job.0, &roster.0, &wire::encode(self).unwrap_or_default()],
        )
    }

    /// Bytes of one vector of ring words.
    pub fn vector_bytes(&self) -> usize {
        self.parameters as usize * self.ring.bytes()
    }
}
