//! The model card: what a model is, whom it protects how far, how good it is, what it is for and what it is not. [core]
//!
//! Made of the job and of figures that the caller has. A card for everybody leaves out what was computed on a merchant's own rows and
//! not released with a charge: [`ModelCard::for_everybody`].
//!
//! # Source
//! The form follows Mitchell et al. 2019 (arXiv 1810.03993); the privacy section the questions of NIST SP 800-226.

mod markdown;
mod words;

use guildhall_privacy::plan::{ModePlan, PlanReport};
use guildhall_shared::job::{Aggregation, JobSpec, PrivacySpec};
use guildhall_shared::round_parameters::{RoundMode, RoundParametersError};
use serde::Serialize;

use crate::explain::{names, players};

/// What is known beside the job.
#[derive(Clone, Debug, Default)]
pub struct CardFacts {
    /// n, the length of the roster; without it nothing is said of colluding merchants.
    pub merchants: Option<u32>,
    /// The version the card is of: its number and its hash in hex.
    pub version: Option<(u32, String)>,
    /// What the merchants' data are, in plain words; public.
    pub data: Option<String>,
    /// ε that the merchant's ledger says was spent on the job, all attempts counted.
    pub epsilon_spent: Option<f64>,
    /// How good the model is.
    pub figures: Vec<CardFigures>,
    /// What the model leans on.
    pub importance: Option<CardImportance>,
    /// Where the card is of a merchant's fine-tuned copy of the version.
    pub fine_tuned: Option<CardCopy>,
}

/// A merchant's fine-tuned copy: outside the privacy claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CardCopy {
    /// Epochs on the merchant's own rows.
    pub epochs: u32,
    /// Its hash in hex.
    pub hash: String,
}

/// Where a number comes from, and so who may see it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// From a merchant's own rows: for that merchant alone.
    OwnRows,
    /// From a noised sum that was charged for.
    Released {
        /// ε of that release.
        epsilon: f64,
        /// δ.
        delta: f64,
    },
    /// From a sum that was released without noise: known to the federation, and protected from nobody in it.
    ReleasedWithoutNoise,
    /// From public data, or from the released model alone.
    Public,
}

impl Origin {
    /// Whether everybody may see it: it costs no shopper anything, or was charged for.
    fn is_for_everybody(self) -> bool {
        !matches!(self, Origin::OwnRows | Origin::ReleasedWithoutNoise)
    }
}

/// Figures of one set of rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardFigures {
    /// Whose rows: a merchant, or all together.
    pub of: String,
    /// How they came about, for example [`PROTOCOL`](crate::evaluate::ranking::PROTOCOL).
    pub protocol: String,
    /// Who may see them.
    pub origin: Origin,
    /// In the order they are shown in.
    pub figures: Vec<CardFigure>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardFigure {
    /// For example `NDCG@10`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Ends of its 95 % interval, or of the error bar of its noise.
    pub interval: Option<(f64, f64)>,
}

/// What the model leans on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardImportance {
    /// What the numbers are, for example `rise of the log loss when permuted`.
    pub measure: String,
    /// Who may see them.
    pub origin: Origin,
    /// Players and their importance, in the order they are shown in.
    pub players: Vec<(String, f64)>,
}

/// What the model is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardModel {
    /// The job's name.
    pub job: String,
    /// The job's digest, in hex.
    pub job_digest: String,
    /// In words.
    pub family: String,
    /// d.
    pub parameters: usize,
    /// T.
    pub rounds: u32,
    /// Number and hash of the version.
    pub version: Option<(u32, String)>,
    /// What it is asked.
    pub question: String,
    /// From what it answers.
    pub inputs: Vec<String>,
}

/// Whom the model protects how far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardPrivacy {
    /// The label every output of the job carries.
    pub label: String,
    /// What one ε covers.
    pub unit: String,
    /// What is compared.
    pub adjacency: &'static str,
    /// ε of the whole job, one attempt a round; none without noise.
    pub epsilon: Option<f64>,
    /// δ.
    pub delta: Option<f64>,
    /// ε by the merchant's ledger.
    pub epsilon_spent: Option<f64>,
    /// Against whom ε holds.
    pub adversary: String,
    /// ε if all other merchants collude with the server; none where the number of merchants is not known.
    pub epsilon_if_all_others_collude: Option<f64>,
    /// h, the honest merchants whose noise ε counts on.
    pub honest_shares: Option<u64>,
    /// ε of a shopper known to so many merchants.
    pub epsilon_by_merchants: Vec<(u32, f64)>,
}

/// A model card.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelCard {
    /// What the model is.
    pub model: CardModel,
    /// Why it was made, in the job's words.
    pub purpose: String,
    /// What it was trained on.
    pub data: String,
    /// Whom it protects how far.
    pub privacy: CardPrivacy,
    /// How good it is.
    pub figures: Vec<CardFigures>,
    /// What it leans on.
    pub importance: Option<CardImportance>,
    /// Where this is the card of a merchant's fine-tuned copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fine_tuned: Option<CardCopy>,
    /// What it is for.
    pub intended_use: Vec<String>,
    /// What it is not for, and what is not claimed.
    pub limits: Vec<String>,
    /// Where its methods come from.
    pub sources: Vec<String>,
}

impl ModelCard {
    /// The card of a job's model.
    ///
    /// # Errors
    /// [`RoundParametersError`] where the job has no rounds with so many merchants.
    pub fn new(job: &JobSpec, facts: CardFacts) -> Result<Self, RoundParametersError> {
        let plan = facts.merchants.map(|merchants| PlanReport::new(job, merchants)).transpose()?;
        let data = facts.data.unwrap_or_else(|| "Not described.".into());
        Ok(ModelCard {
            model: CardModel::new(job, facts.version),
            purpose: job.purpose.clone(),
            data,
            privacy: CardPrivacy::new(job, plan.as_ref(), facts.epsilon_spent),
            figures: facts.figures,
            importance: facts.importance,
            fine_tuned: facts.fine_tuned,
            intended_use: words::intended_use(job),
            limits: words::limits(job),
            sources: words::sources(job),
        })
    }

    /// The card without what was computed on a merchant's own rows: the only one that leaves a merchant. ε by the ledger stays
    /// with the merchant too: how many attempts it was in is its own. Of a fine-tuned copy the released version's card is left.
    pub fn for_everybody(mut self) -> Self {
        self.privacy.epsilon_spent = None;
        self.fine_tuned = None;
        self.figures.retain(|figures| figures.origin.is_for_everybody());
        self.importance = self.importance.filter(|importance| importance.origin.is_for_everybody());
        self
    }

    /// For a reader.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// For a program. A figure that is not finite becomes null.
    pub fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl CardModel {
    fn new(job: &JobSpec, version: Option<(u32, String)>) -> Self {
        CardModel {
            job: job.name.to_string(),
            job_digest: job.digest().to_string(),
            family: words::family(&job.architecture),
            parameters: job.model().parameter_count(),
            rounds: job.rounds,
            version,
            question: words::question(&job.task),
            inputs: match job.task.items() {
                Some(items) => words::item_inputs(items),
                None => players(&names(&job.task)).into_iter().map(|player| player.name).collect(),
            },
        }
    }
}

impl CardPrivacy {
    fn new(job: &JobSpec, plan: Option<&PlanReport>, epsilon_spent: Option<f64>) -> Self {
        let mode = plan.and_then(|plan| mode_of(job, plan));
        let (epsilon, delta) = match job.privacy {
            PrivacySpec::Gaussian { epsilon, delta, .. } => (Some(epsilon), Some(delta)),
            PrivacySpec::None { .. } => (None, None),
        };
        CardPrivacy {
            label: format!("{}; {}", RoundMode::of(job).label(), job.privacy.label()),
            unit: job.privacy.unit().describe().into(),
            adjacency: "the unit is there, or it is empty",
            epsilon,
            delta,
            epsilon_spent,
            adversary: words::adversary(RoundMode::of(job), mode),
            epsilon_if_all_others_collude: mode.map(|mode| mode.epsilon_local),
            honest_shares: mode.map(|mode| mode.honest_shares),
            epsilon_by_merchants: mode.map(|mode| mode.epsilon_by_merchants.to_vec()).unwrap_or_default(),
        }
    }
}

/// The plan of the mode the job's updates travel in.
fn mode_of<'p>(job: &JobSpec, plan: &'p PlanReport) -> Option<&'p ModePlan> {
    let noise = plan.noise.as_ref()?;
    match job.round.aggregation {
        Aggregation::Masked => noise.masked.as_ref(),
        Aggregation::Plain => noise.plain.as_ref(),
    }
}

#[cfg(test)]
mod tests;
