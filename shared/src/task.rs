//! What a model is asked, and how one observation becomes inputs: public constants only. [core]
//!
//! Everything here is part of the job and known to all; nothing is ever fitted to a merchant's rows.

use serde::{Deserialize, Serialize};

/// The task of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// One row is one observation: columns become inputs, the label column the target.
    Tabular {
        /// Inputs in order.
        features: Vec<FeatureSpec>,
    },
    /// One row is one basket. At the end of a week, for every shopper seen so far: will there be a basket within the horizon?
    Repurchase(RepurchaseSpec),
    /// No data: every update is zero. For measuring rounds.
    Dummy {
        /// d.
        parameters: usize,
    },
}

/// One column's way into the model. A feature gives one input, or for [`Transform::OneHot`] one per vocabulary entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSpec {
    /// Column of the merchant's data.
    pub column: String,
    /// How a value becomes a number.
    pub transform: Transform,
    /// Multiplies the transformed number.
    pub scale: f64,
}

/// How a value becomes a number (before scaling).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Transform {
    /// The value, clamped to public bounds.
    Identity {
        /// Lower bound.
        min: f64,
        /// Upper bound.
        max: f64,
    },
    /// ln(1 + value), the value clamped to [0, max].
    Log1p {
        /// Upper bound.
        max: f64,
    },
    /// 1 where the value is > 0, else 0.
    Positive,
    /// One input per entry of a public vocabulary: 1 where the value equals it. Others: all zero, counted.
    OneHot {
        /// Public values as written in the data, compared without regard to ASCII case.
        vocabulary: Vec<String>,
    },
}

impl FeatureSpec {
    /// How many inputs this feature gives.
    pub fn width(&self) -> usize {
        match &self.transform {
            Transform::OneHot { vocabulary } => vocabulary.len(),
            _ => 1,
        }
    }
}

/// Inputs of [`Task::Repurchase`]; fixed, see `docs/` and the client's feature builder.
pub const REPURCHASE_INPUTS: usize = 35;

/// The weeks of a repurchase task. Week w covers the seven days that end with it; weeks count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepurchaseSpec {
    /// A basket within this many weeks after the observation counts as "yes".
    pub horizon_weeks: u32,
    /// Observations to train on are made at the end of these weeks.
    pub train_weeks: Vec<u32>,
    /// Observations to tune local baselines on.
    pub validation_weeks: Vec<u32>,
    /// Observations to test on.
    pub test_weeks: Vec<u32>,
}

impl Task {
    /// Inputs per observation (for [`Task::Dummy`]: d).
    pub fn inputs(&self) -> usize {
        match self {
            Task::Tabular { features } => features.iter().map(FeatureSpec::width).sum(),
            Task::Repurchase(_) => REPURCHASE_INPUTS,
            Task::Dummy { parameters } => *parameters,
        }
    }
}
