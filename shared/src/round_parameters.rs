//! The numbers of a round, recomputed by every party from the job and the roster's length. [core]
//!
//! A client never believes a number of the server's: it derives its own and refuses an offer that differs.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::job::{Aggregation, JobSpec, PrivacySpec};
use crate::ring::{RingOverflow, RingWidth, SumBound};
use crate::secagg::{SecaggParameters, SecaggParametersError};
use crate::wire;

/// How updates are protected on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoundMode {
    /// Secure aggregation with distributed noise: every merchant adds a share of the noise, sized for h honest shares; the
    /// server reads the noised sum and nothing else.
    Masked,
    /// Secure aggregation of a job with `privacy = "none"`: the server reads only the sum, but the sum is not noised, and
    /// the model protects nobody.
    MaskedUnprotected,
    /// Plain mode: no masks, every merchant adds its full noise (h = 1). The server reads each noised update.
    LocalNoise,
    /// `privacy = "none"` in plain mode: no masks, no noise. The server reads each update, the model protects nobody.
    Unprotected,
}

impl RoundMode {
    /// The label every offer, output and log line carries.
    pub fn label(self) -> &'static str {
        match self {
            RoundMode::Masked => "masked: secure aggregation, distributed noise",
            RoundMode::MaskedUnprotected => "NO PRIVACY: masked sum without noise",
            RoundMode::LocalNoise => "plain mode: local noise, no masks",
            RoundMode::Unprotected => "NO PRIVACY: no noise, no masks",
        }
    }

    /// The mode of a job's rounds.
    pub fn of(job: &JobSpec) -> Self {
        match (job.round.aggregation, &job.privacy) {
            (Aggregation::Masked, PrivacySpec::Gaussian { .. }) => RoundMode::Masked,
            (Aggregation::Masked, PrivacySpec::None { .. }) => RoundMode::MaskedUnprotected,
            (Aggregation::Plain, PrivacySpec::Gaussian { .. }) => RoundMode::LocalNoise,
            (Aggregation::Plain, PrivacySpec::None { .. }) => RoundMode::Unprotected,
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
    /// Thresholds and graph of secure aggregation; none in plain mode.
    pub secagg: Option<SecaggParameters>,
    /// h, noise shares surely in what anybody sees: 1 in plain mode, 0 without noise.
    pub honest_noise_shares: u32,
    /// Words of a round's vector: d, and one more where the clip adapts ([`JobSpec::words`]).
    pub parameters: u64,
    /// B.
    pub clipping_bound: u64,
    /// σ_local in integer units; 0 without noise.
    pub noise_standard_deviation_local: u64,
    /// Width of a ring word.
    pub ring: RingWidth,
    /// Fewest merchants with which the round starts and settles: the job's, and in masked rounds at least m_min.
    pub quorum: u32,
}

/// A job that has no rounds with so many merchants.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RoundParametersError {
    /// The sum might wrap.
    #[error(transparent)]
    Ring(#[from] RingOverflow),
    /// No thresholds for secure aggregation.
    #[error(transparent)]
    Secagg(#[from] SecaggParametersError),
    /// A quorum that no roster of this length can reach.
    #[error("round.quorum: expected at most the roster's {merchants} merchants, found {found}")]
    Quorum {
        /// n.
        merchants: u32,
        /// The job's.
        found: u32,
    },
    /// The shares of the noise are too small to be discrete Gaussians that add up like one.
    #[error(
        "privacy: expected a noise share of at least 2^10 integer steps, found {found}; raise clipping.bound"
    )]
    NoiseShare {
        /// σ_local.
        found: u64,
    },
}

/// The smallest noise share: above it the sum of h shares is a discrete Gaussian to within 1e-37 (Kairouz, Liu, Steinke
/// 2021, section 3).
pub const NOISE_SHARE_MIN: u64 = 1 << 10;

fn survivors_min(secagg: Option<&SecaggParameters>) -> u32 {
    secagg.map_or(0, |secagg| secagg.survivors_min)
}

impl RoundParameters {
    /// m_min; 0 in plain mode.
    pub fn survivors_min(&self) -> u32 {
        survivors_min(self.secagg.as_ref())
    }

    /// Derives the numbers of a job's rounds for a roster of n merchants.
    ///
    /// # Errors
    /// [`RoundParametersError`].
    pub fn derive(job: &JobSpec, merchants: u32) -> Result<Self, RoundParametersError> {
        let mode = RoundMode::of(job);
        let (RoundMode::Masked | RoundMode::MaskedUnprotected) = mode else {
            return Self::with_secagg(job, merchants, mode, None);
        };
        let secagg = SecaggParameters::derive(merchants, job.round.colluders_min, job.round.mask_generator)?;
        if job.round.quorum > merchants {
            return Err(RoundParametersError::Quorum { merchants, found: job.round.quorum });
        }
        Self::with_secagg(job, merchants, mode, Some(secagg))
    }

    fn with_secagg(
        job: &JobSpec,
        merchants: u32,
        mode: RoundMode,
        secagg: Option<SecaggParameters>,
    ) -> Result<Self, RoundParametersError> {
        let (honest_noise_shares, noise) = match job.privacy {
            PrivacySpec::Gaussian { noise_standard_deviation, .. } => {
                let shares = secagg.as_ref().map_or(1, SecaggParameters::noise_shares);
                (shares, noise_share(noise_standard_deviation, shares))
            }
            PrivacySpec::None { .. } => (0, 0),
        };
        if honest_noise_shares > 0 && noise < NOISE_SHARE_MIN {
            return Err(RoundParametersError::NoiseShare { found: noise });
        }
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
            parameters: job.words() as u64,
            clipping_bound: job.clipping.bound,
            noise_standard_deviation_local: noise,
            ring: RingWidth::narrowest_for(&bound)?,
            quorum: job.round.quorum.max(survivors_min(secagg.as_ref())),
            secagg,
        })
    }

    /// The digest of these numbers, the whole job and the roster.
    pub fn digest(&self, job: &Digest, roster: &Digest) -> Digest {
        Digest::of(
            "guildhall round parameters v1",
            &[&job.0, &roster.0, &wire::encode(self).unwrap_or_default()],
        )
    }

    /// √n·σ_local: the standard deviation of the noise on the sum of all n merchants' updates, in integer units; 0 without noise.
    pub fn noise_standard_deviation_sum(&self) -> f64 {
        // n shares of the noise, whatever h they were sized for.
        f64::from(self.merchants).sqrt() * self.noise_standard_deviation_local as f64
    }

    /// Bytes of one vector of ring words.
    pub fn vector_bytes(&self) -> usize {
        self.parameters as usize * self.ring.bytes()
    }
}

/// ⌈σ/√h⌉ in whole steps: the smallest share of which h together are no narrower than σ.
fn noise_share(noise_standard_deviation: u64, honest_shares: u32) -> u64 {
    let variance = u128::from(noise_standard_deviation).pow(2);
    let share = variance.div_ceil(u128::from(honest_shares)).isqrt() as u64;
    let enough = |share: u64| u128::from(share).pow(2) * u128::from(honest_shares) >= variance;
    if enough(share) { share } else { share + 1 }
}

#[cfg(test)]
mod tests;
