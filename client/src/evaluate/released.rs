//! Figures that leave a merchant: bounded contributions of its shoppers, summed, clipped and noised like every other release, and read
//! from the noised sum with an error bar. [core]
//!
//! ```text
//! one shopper's result --RankingLayout | ScoreLayout::contribution--> a short vector --ShopperSum--> clip, noise, charge, masks
//! noised sum --NoisedSum--> RankingLayout | ScoreLayout::read --> figures and what the noise does to them
//! ```
//!
//! # Privacy
//! The layout is public. A contribution depends on one shopper's rows and a released model, and its length is at most that
//! of the clip. Never on a blend, a fine-tuned copy or a merchant's own model: other shoppers' rows are in those. What is read
//! from the sum is post-processing and costs nothing; the sum itself is charged for as a round of a job with this clip is. Of a masked
//! sum of several merchants the figures are those of all their shoppers together.

mod ranking;
mod report;
mod scores;

use guildhall_privacy::parameter::ClippingParameters;
use guildhall_shared::job::{ClippingSpec, JobSpec};
use guildhall_shared::model_state::ModelState;
use serde::Serialize;

pub use ranking::{RankingLayout, ReleasedRanking};
pub use report::{ReleasedFigures, ReleasedLayout};
pub use scores::{ReleasedBin, ReleasedScores, ScoreLayout};

/// A figure is read only where its denominator is at least so many standard deviations of its noise.
pub const DENOMINATOR_DEVIATIONS_MIN: f64 = 5.0;

/// A figure read from a noised sum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure. Not forced between 0 and 1, for that would bias it.
    pub value: f64,
    /// What the noise alone does to it: how far it may be from the merchants' own figure, not from that of other shoppers.
    pub standard_error: f64,
}

impl Estimate {
    /// `None` where the denominator drowns in its noise. Numerator and denominator have independent noise.
    fn ratio(numerator: Estimate, denominator: Estimate) -> Option<Self> {
        if !denominator.is_above_noise() {
            return None;
        }
        let value = numerator.value / denominator.value;
        let error = numerator.standard_error.hypot(value * denominator.standard_error);
        Some(Estimate { value, standard_error: error / denominator.value })
    }

    fn is_above_noise(&self) -> bool {
        self.value > 0.0 && self.value >= DENOMINATOR_DEVIATIONS_MIN * self.standard_error
    }

    fn sum(parts: impl IntoIterator<Item = Estimate>) -> Self {
        let mut sum = Estimate { value: 0.0, standard_error: 0.0 };
        for part in parts {
            sum.value += part.value;
            sum.standard_error = sum.standard_error.hypot(part.standard_error);
        }
        sum
    }
}

/// A noised sum in the units of contributions.
#[derive(Clone, Debug, PartialEq)]
pub struct NoisedSum {
    sums: Vec<f64>,
    deviation: f64,
}

impl NoisedSum {
    /// From the integers of a released sum.
    ///
    /// # Units
    /// `noise_standard_deviation` of all noise in the sum together, in integer steps: σ_local·√s of s survivors.
    ///
    /// # Shapes
    /// `integers` d words; with those of a clip that adapts, the last is ignored.
    pub fn new(integers: &[i64], clipping: &ClippingParameters, noise_standard_deviation: f64) -> Self {
        let grid = clipping.grid();
        let words = integers.iter().take(clipping.parameters());
        NoisedSum {
            sums: words.map(|word| *word as f64 * grid).collect(),
            deviation: noise_standard_deviation * grid,
        }
    }

    /// From the version that a metrics job released; `None` before its round is settled.
    ///
    /// # Units
    /// `noise_standard_deviation` of all noise in the sum together, in integer steps.
    pub fn released(job: &JobSpec, state: &ModelState, noise_standard_deviation: f64) -> Option<Self> {
        if state.step != 1 {
            return None;
        }
        // A step moved a weight down by rate·γ·z / W, and minus the contribution was summed.
        let shoppers = job.round.expected_shoppers as f64 / job.optimizer.learning_rate;
        let sums = state.weights.iter().map(|weight| weight * shoppers).collect();
        Some(NoisedSum { sums, deviation: noise_standard_deviation * job.clipping.grid() })
    }

    fn estimate(&self, word: usize) -> Option<Estimate> {
        let standard_error = self.deviation;
        self.sums.get(word).map(|value| Estimate { value: *value, standard_error })
    }
}

/// The clip at which contributions of length `norm_l2` are kept as they are: a little longer, to leave room for rounding.
fn clip_for(norm_l2: f64, parameters: usize, bound: u64) -> ClippingSpec {
    ClippingSpec::keeping(norm_l2, parameters, bound)
}

#[cfg(test)]
mod tests;
