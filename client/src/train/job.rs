//! One trainer for every kind of job: what a merchant's shoppers contribute to a round, and the logits of what came of it.

use guildhall_privacy::clip::ClipTally;
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, ItemStatistics};

use crate::data::observations::{Observations, ShopperKey};
use crate::data::sequences::Sequences;
use crate::model::DeviceChoice;

use super::items::{ItemScorer, ItemTrainer};
use super::metrics::{HeldOut, MetricsTrainer};
use super::ordinary::{AfterEpoch, OrdinaryTraining};
use super::sequence::SequenceTrainer;
use super::{TrainError, Trainer, statistics};

/// A merchant's rows as a job's models see them.
pub enum TrainingData {
    /// Of tabular and repurchase tasks.
    Observations(Observations),
    /// Of item tasks.
    Items(Sequences),
    /// Of metrics jobs: what is held out of training.
    HeldOut(HeldOut),
}

impl TrainingData {
    /// How many shoppers there are.
    pub fn shoppers(&self) -> usize {
        match self {
            TrainingData::Observations(observations) => observations.shoppers.len(),
            TrainingData::Items(sequences) => sequences.len(),
            TrainingData::HeldOut(held_out) => held_out.shoppers(),
        }
    }
}

/// Computes the contributions of one job. Holds no rows: one serves several merchants.
pub struct JobTrainer {
    engine: Engine,
    /// Whether a contribution is what a whole merchant's ordinary training changed. Only in jobs without privacy.
    merchant_epochs: bool,
}

enum Engine {
    Linear(Trainer),
    Sequence(Box<SequenceTrainer>),
    Items(Box<ItemTrainer>),
    Statistics { model: ItemStatistics, history_max: usize },
    Metrics(Box<MetricsTrainer>),
}

impl JobTrainer {
    /// The trainer of a job on this device. What shoppers draw (dropout, counterexamples) follows from `secret`, which never
    /// leaves the merchant.
    ///
    /// # Errors
    /// [`TrainError`], [`TrainError::Architecture`] for a metrics job (see [`JobTrainer::measuring`]); nothing depends on rows.
    pub fn new(job: &JobSpec, device: &DeviceChoice, secret: [u8; 32]) -> Result<Self, TrainError> {
        let training = match &job.architecture {
            Architecture::Sequence(model) => Some(model.training),
            Architecture::NextItem(model) => Some(model.training),
            _ => None,
        };
        let engine = match (&job.architecture, job.task.items()) {
            (Architecture::ItemStatistics(model), Some(items)) => {
                Engine::Statistics { model: model.clone(), history_max: items.history_max }
            }
            (Architecture::NextItem(_) | Architecture::MatrixFactorization(_), Some(items)) => {
                Engine::Items(Box::new(ItemTrainer::new(&job.model(), &items.catalogue, device, secret)?))
            }
            (Architecture::Sequence(_), _) => {
                Engine::Sequence(Box::new(SequenceTrainer::new(&job.model(), device, secret)?))
            }
            // Refuses what is not of its family: metrics, and models of items for a task without any.
            _ => Engine::Linear(Trainer::new(&job.model(), device)?),
        };
        Ok(JobTrainer {
            engine,
            merchant_epochs: training.is_some_and(|training| training.merchant_epochs > 0),
        })
    }

    /// The trainer of a metrics job, which knows the model that is measured.
    pub fn measuring(trainer: MetricsTrainer) -> Self {
        JobTrainer { engine: Engine::Metrics(Box::new(trainer)), merchant_epochs: false }
    }

    /// The clipped, quantised sum of the contributions of all shoppers that enter.
    ///
    /// # Privacy
    /// Emptying one shopper changes the sum by its own integer vector, of norm at most B, and by nothing else. Where the job
    /// declares `privacy = "none"` and asks for epochs of the merchant's own, the whole sum is one contribution instead.
    ///
    /// # Errors
    /// See [`TrainError::depends_on_rows`].
    pub fn clipped_sum(
        &self,
        weights: &[f64],
        data: &TrainingData,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        round: RoundId,
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        match (&self.engine, data) {
            (Engine::Linear(trainer), TrainingData::Observations(rows)) => {
                trainer.clipped_sum(weights, rows, enters, clipping)
            }
            (Engine::Sequence(trainer), TrainingData::Observations(rows)) if self.merchant_epochs => {
                trainer.merchant_update(weights, rows, round, clipping)
            }
            (Engine::Sequence(trainer), TrainingData::Observations(rows)) => {
                trainer.clipped_sum(weights, rows, enters, round, clipping)
            }
            (Engine::Items(trainer), TrainingData::Items(items)) if self.merchant_epochs => {
                trainer.merchant_update(weights, items, round, clipping)
            }
            (Engine::Items(trainer), TrainingData::Items(items)) => {
                trainer.clipped_sum(weights, items, enters, round, clipping)
            }
            (Engine::Statistics { model, history_max }, TrainingData::Items(items)) => {
                statistics::clipped_sum(model, *history_max, weights, items, enters, clipping)
            }
            (Engine::Metrics(trainer), TrainingData::HeldOut(held_out)) => {
                trainer.clipped_sum(held_out, enters, clipping)
            }
            _ => Err(TrainError::Data),
        }
    }

    /// The logit of every row, each alone.
    ///
    /// # Errors
    /// [`TrainError::Data`] for models of items, else as [`JobTrainer::clipped_sum`].
    pub fn logits(&self, weights: &[f64], observations: &Observations) -> Result<Vec<f32>, TrainError> {
        match &self.engine {
            Engine::Linear(trainer) => trainer.logits(weights, observations),
            Engine::Sequence(trainer) => trainer.logits(weights, observations),
            Engine::Items(_) | Engine::Statistics { .. } | Engine::Metrics(_) => Err(TrainError::Data),
        }
    }

    /// New weights after ordinary training on all of a merchant's rows together, watched after every epoch.
    ///
    /// # Privacy
    /// Never a contribution: every shopper moves everything that comes out. For what stays with the merchant.
    ///
    /// # Errors
    /// [`TrainError::Statistics`] for models that are released statistics, else as [`JobTrainer::clipped_sum`].
    pub fn fit(
        &self,
        weights: &[f64],
        data: &TrainingData,
        training: &OrdinaryTraining,
        after_epoch: &mut AfterEpoch<'_>,
    ) -> Result<Vec<f64>, TrainError> {
        match (&self.engine, data) {
            (Engine::Linear(trainer), TrainingData::Observations(rows)) => {
                trainer.fit(weights, rows, training, after_epoch)
            }
            (Engine::Sequence(trainer), TrainingData::Observations(rows)) => {
                trainer.fit(weights, rows, training, after_epoch)
            }
            (Engine::Items(trainer), TrainingData::Items(items)) => {
                trainer.fit(weights, items, training, after_epoch)
            }
            (Engine::Statistics { .. }, _) => Err(TrainError::Statistics),
            _ => Err(TrainError::Data),
        }
    }

    /// A model of items with these weights, ready for histories.
    ///
    /// # Errors
    /// [`TrainError::Statistics`] for models that are released statistics, [`TrainError::Data`] for models of other tasks, else
    /// as [`ItemTrainer::scorer`].
    pub fn item_scorer(&self, weights: &[f64]) -> Result<ItemScorer, TrainError> {
        match &self.engine {
            Engine::Items(trainer) => trainer.scorer(weights),
            Engine::Statistics { .. } => Err(TrainError::Statistics),
            Engine::Linear(_) | Engine::Sequence(_) | Engine::Metrics(_) => Err(TrainError::Data),
        }
    }
}
