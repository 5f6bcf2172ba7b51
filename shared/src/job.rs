//! The job: everything public about one model to be learnt together. [core]
//!
//! A job file is TOML; it becomes a validated [`JobSpec`] that reports *all* mistakes at once.
//! Every hash and signature covers the canonical encoding of the [`JobSpec`], never the TOML.

mod adaptive_clip;
mod check;
mod encoding;
mod raw;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::Name;
use crate::model_spec::{Architecture, ModelSpec};
use crate::optimizer::OptimizerSpec;
use crate::secagg::MaskGenerator;
use crate::task::Task;
use crate::wire;

pub use adaptive_clip::{ADAPTIVE_NORM_MAX, ADAPTIVE_NORM_MIN, AdaptiveClip};
pub use check::JobError;
pub use raw::{NoiseCalibration, SimulationSpec};

/// A validated job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "encoding::EncodedJob", into = "encoding::EncodedJob")]
pub struct JobSpec {
    /// The job's name within its federation.
    pub name: Name,
    /// Why the model is made, in plain words; shown to every merchant and recorded.
    pub purpose: String,
    /// What the model is asked and from which inputs.
    pub task: Task,
    /// The model's family and sizes.
    pub architecture: Architecture,
    /// Public seed that model 0 expands.
    pub seed: u64,
    /// T, rounds.
    pub rounds: u32,
    /// How the noised sum becomes the next model.
    pub optimizer: OptimizerSpec,
    /// The clip and the grid; those of the first round where the clip adapts.
    pub clipping: ClippingSpec,
    /// How the clip follows the contributions; none where it is constant.
    pub adaptive_clip: Option<AdaptiveClip>,
    /// What protects each release.
    pub privacy: PrivacySpec,
    /// Sizes and times of a round.
    pub round: RoundSpec,
}

/// The clip of one contribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClippingSpec {
    /// C_f, float L2 clip of one shopper's contribution.
    pub norm_l2: f64,
    /// B, exact integer L2 bound of one shopper's quantised contribution.
    pub bound: u64,
}

impl ClippingSpec {
    /// γ = C_f / B, the value of one integer step.
    pub fn grid(&self) -> f64 {
        self.norm_l2 / self.bound as f64
    }

    /// The least clip with this B that keeps contributions of length `norm_l2` as they are: a little longer, to leave room for
    /// the rounding of so many parameters.
    pub fn keeping(norm_l2: f64, parameters: usize, bound: u64) -> Self {
        let room = (parameters as f64).sqrt() / 2.0 / bound.max(1) as f64;
        ClippingSpec { norm_l2: norm_l2 / (1.0 - room), bound }
    }
}

/// The unit of privacy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// One shopper's whole history at one merchant.
    Shopper,
    /// One row, where rows cannot be linked to shoppers.
    Row,
}

impl Unit {
    /// In words, for reports.
    pub fn describe(self) -> &'static str {
        match self {
            Unit::Shopper => "one shopper's whole history at one merchant",
            Unit::Row => "one row at one merchant",
        }
    }
}

/// What protects the shoppers of a job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum PrivacySpec {
    /// Discrete Gaussian noise, zero-concentrated differential privacy.
    Gaussian {
        /// What one unit of privacy covers.
        unit: Unit,
        /// ε the whole job was calibrated to.
        epsilon: f64,
        /// δ.
        delta: f64,
        /// σ, standard deviation of the noise on the sum in integer units (a whole number below 2^53).
        noise_standard_deviation: u64,
    },
    /// No noise: no formal protection from whoever reads the model. Labelled everywhere.
    None {
        /// What a contribution is.
        unit: Unit,
    },
}

impl PrivacySpec {
    /// What a contribution is.
    pub fn unit(&self) -> Unit {
        match self {
            PrivacySpec::Gaussian { unit, .. } | PrivacySpec::None { unit } => *unit,
        }
    }

    /// The label every offer, output, model and log line carries.
    pub fn label(&self) -> String {
        match self {
            PrivacySpec::Gaussian { unit, epsilon, delta, .. } => {
                format!("epsilon {epsilon} at delta {delta:e}, unit: {}", unit.describe())
            }
            PrivacySpec::None { .. } => "NO PRIVACY (privacy = \"none\")".into(),
        }
    }
}

/// How updates travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Secure aggregation: the server reads nothing but the sum.
    #[default]
    Masked,
    /// No masks: the server reads each update. For fewer than three merchants and for debugging.
    Plain,
}

/// Sizes and times of a round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundSpec {
    /// How updates travel.
    pub aggregation: Aggregation,
    /// Merchants that may collude with the server, where that is more than the rule's (n − 1)/3; masked rounds only.
    pub colluders_min: u32,
    /// What expands mask keys; masked rounds only.
    pub mask_generator: MaskGenerator,
    /// Fewest merchants with which a round starts and settles; masked rounds need at least m_min, whatever is said here.
    pub quorum: u32,
    /// Milliseconds from the offer until answers are no longer awaited; the same for every later message but the update.
    pub accept_deadline_ms: u64,
    /// Milliseconds from the start of training until updates are no longer awaited.
    pub update_deadline_ms: u64,
    /// Milliseconds after the start of training at which every update is sent, so that its time says nothing; 0 sends at once.
    pub upload_slot_ms: u64,
    /// W, expected contributions of all merchants together: the public denominator.
    pub expected_shoppers: u64,
    /// M, shoppers per merchant and round that the ring is sized for.
    pub shoppers_per_merchant_max: u64,
    /// Public rate at which each shopper enters a round by an independent keyed coin, in (0, 1].
    pub participation_rate: f64,
}

impl JobSpec {
    /// Parses a job file.
    ///
    /// # Errors
    /// [`JobError`] lists every mistake with its key, what was expected and what was found.
    pub fn parse(
        text: &str,
        calibration: &dyn NoiseCalibration,
    ) -> Result<(Self, Option<SimulationSpec>), JobError> {
        raw::parse(text, calibration)
    }

    /// The model that is trained.
    pub fn model(&self) -> ModelSpec {
        ModelSpec { architecture: self.architecture.clone(), inputs: self.task.inputs() }
    }

    /// Words of a round's vector: d, and behind them one more where the clip adapts.
    pub fn words(&self) -> usize {
        self.model().parameter_count() + usize::from(self.adaptive_clip.is_some())
    }

    /// The digest of the canonical encoding.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall job v1", &[&wire::encode(self).unwrap_or_default()])
    }

    /// Checks a spec that came over the wire with the rules of a job file.
    ///
    /// # Errors
    /// [`JobError`] lists every mistake.
    pub fn check(&self) -> Result<(), JobError> {
        check::check(self)
    }
}
