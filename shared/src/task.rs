//! What a model is asked, and how one observation becomes inputs: public constants only. [core]
//!
//! Everything here is part of the job and known to all; nothing is ever fitted to a merchant's rows.

use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::model_spec::SequenceShape;

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
    /// As [`Task::Repurchase`], with the last weeks one by one behind the fixed inputs.
    RepurchaseSequence {
        /// When observations are made.
        weeks: RepurchaseSpec,
        /// How many weeks are shown, the last being the observation's.
        steps: usize,
    },
    /// One row is one item a shopper chose. Of the whole catalogue: what will the shopper choose next?
    NextItem(NextItemSpec),
}

/// Which items there are, and how much of a history counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextItemSpec {
    /// The public list of items.
    pub catalogue: Catalogue,
    /// Newest items of a shopper that count; older ones are as if they had not been. A public cap.
    pub history_max: usize,
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

/// Numbers of one week of [`Task::RepurchaseSequence`]; see the client's feature builder.
pub const WEEK_CHANNELS: usize = 8;

/// Tokens of one week of [`Task::RepurchaseSequence`]: no basket, or a class of baskets by number and spend.
pub const WEEK_TOKENS: usize = 17;

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
    /// Inputs per observation (for [`Task::Dummy`]: d; for [`Task::NextItem`]: items of the catalogue).
    pub fn inputs(&self) -> usize {
        match self {
            Task::Tabular { features } => features.iter().map(FeatureSpec::width).sum(),
            Task::Repurchase(_) => REPURCHASE_INPUTS,
            Task::Dummy { parameters } => *parameters,
            Task::RepurchaseSequence { steps, .. } => Self::weeks(*steps).inputs(),
            Task::NextItem(items) => items.catalogue.len(),
        }
    }

    /// How the inputs of a sequence task are laid out; none for other tasks.
    pub fn sequence(&self) -> Option<SequenceShape> {
        match self {
            Task::RepurchaseSequence { steps, .. } => Some(Self::weeks(*steps)),
            _ => None,
        }
    }

    /// The weeks of a repurchase task, with or without a sequence.
    pub fn repurchase(&self) -> Option<&RepurchaseSpec> {
        match self {
            Task::Repurchase(weeks) | Task::RepurchaseSequence { weeks, .. } => Some(weeks),
            _ => None,
        }
    }

    /// The catalogue and the cap of an item task; none for other tasks.
    pub fn items(&self) -> Option<&NextItemSpec> {
        match self {
            Task::NextItem(items) => Some(items),
            _ => None,
        }
    }

    fn weeks(steps: usize) -> SequenceShape {
        SequenceShape { fixed: REPURCHASE_INPUTS, steps, channels: WEEK_CHANNELS, tokens: WEEK_TOKENS }
    }
}
