//! What it costs that a clip adapts, and how well it can see. [core]

use std::fmt;

use guildhall_shared::job::{AdaptiveClip, JobSpec};
use guildhall_shared::round_parameters::RoundParameters;
use serde::Serialize;

/// Noise on the share of shoppers within the clip from which on it is mostly noise: the share itself is between 0 and 1.
pub const SHARE_NOISE_MAX: f64 = 0.25;

/// The figures of a clip that adapts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AdaptiveClipPlan {
    /// The first clip.
    pub norm_first: f64,
    /// Its ends.
    pub norm_ends: [f64; 2],
    /// κ, the share of shoppers it aims to leave whole.
    pub quantile: f64,
    /// η, the most its logarithm moves in a round.
    pub rate: f64,
    /// β, the extra coordinate, in integer steps.
    pub indicator: u64,
    /// 1 − √(1 − (β/B)²), what the extra coordinate takes of every contribution's greatest length.
    pub length_lost: f64,
    /// Standard deviation of b̄, the share of shoppers within the clip as each round sees it: √n·σ_local/(2βW).
    pub share_standard_deviation: f64,
}

impl AdaptiveClipPlan {
    pub(super) fn new(job: &JobSpec, rule: AdaptiveClip, parameters: &RoundParameters) -> Self {
        let AdaptiveClip { indicator, quantile, rate, norm_min, norm_max } = rule;
        let noise = parameters.noise_standard_deviation_sum();
        let share = indicator as f64 / job.clipping.bound as f64;
        AdaptiveClipPlan {
            norm_first: job.clipping.norm_l2,
            norm_ends: [norm_min, norm_max],
            quantile,
            rate,
            indicator,
            length_lost: 1.0 - (1.0 - share * share).sqrt(),
            share_standard_deviation: noise / (2.0 * indicator as f64 * job.round.expected_shoppers as f64),
        }
    }

    /// Whether the clip would follow noise more than contributions.
    pub fn is_mostly_noise(&self) -> bool {
        self.share_standard_deviation > SHARE_NOISE_MAX
    }
}

impl fmt::Display for AdaptiveClipPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AdaptiveClipPlan { norm_first, norm_ends: [least, most], quantile, rate, .. } = self;
        writeln!(
            f,
            "  the clip adapts: it starts at {norm_first} and follows the {quantile} quantile of the contributions' lengths, within {least} to {most}, by a factor of e^{rate} a round at most"
        )?;
        writeln!(f, "    length that it costs         {:.2} %", 100.0 * self.length_lost)?;
        writeln!(
            f,
            "    noise on the share within    {:.3} (standard deviation; the share is between 0 and 1)",
            self.share_standard_deviation
        )?;
        if self.is_mostly_noise() {
            writeln!(
                f,
                "    WARNING: that is mostly noise, and the clip will wander: more expected contributions, a larger clipping.adaptive.indicator_share or fewer rounds would help; else keep the clip constant"
            )?;
        }
        Ok(())
    }
}
