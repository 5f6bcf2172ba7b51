//! What a round releases about how good a model is that was released before. [core]

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::job::ClippingSpec;

use super::ParameterSpec;

/// How good one released model is on the rows that merchants held out: a sum over shoppers, released once.
///
/// A shopper contributes minus its vector, so that plain gradient descent adds the vectors up. The vectors are bounded, so
/// that the clip cuts nothing; see the client's `evaluate::released`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Digest of the job that the model came from.
    pub job: Digest,
    /// Hash of the version that is measured.
    pub model: Digest,
    /// What is measured of a shopper.
    pub figures: MeasuredFigures,
    /// Public activity groups of shoppers: the number of train items or rows that each begins with, ascending from 0.
    pub groups: Vec<u32>,
}

/// What is measured of one shopper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeasuredFigures {
    /// Whether the held-out item is among the first k of the whole catalogue, and how far in front.
    Ranking {
        /// k.
        k: u32,
    },
    /// In which of equal bins the chances lie that its held-out rows are given, by label.
    Predictions {
        /// Number of bins.
        bins: u32,
    },
}

impl MeasuredFigures {
    /// Words of one activity group.
    pub fn words(self) -> usize {
        match self {
            MeasuredFigures::Ranking { .. } => 3,
            MeasuredFigures::Predictions { bins } => 2 * bins as usize,
        }
    }

    /// The L2 norm of the longest contribution.
    pub fn norm_l2(self) -> f64 {
        match self {
            MeasuredFigures::Ranking { .. } => 3f64.sqrt(),
            MeasuredFigures::Predictions { .. } => 1.0,
        }
    }
}

impl Metrics {
    /// Number of words of the sum.
    pub fn words(&self) -> usize {
        self.figures.words() * self.groups.len()
    }

    /// The least clip with this B that cuts no contribution.
    pub fn clipping(&self, bound: u64) -> ClippingSpec {
        ClippingSpec::keeping(self.figures.norm_l2(), self.words(), bound)
    }

    /// `sums [words]`; it starts at zero.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        vec![ParameterSpec { name: "sums".into(), shape: vec![self.words()], fan_sum: 0 }]
    }
}
