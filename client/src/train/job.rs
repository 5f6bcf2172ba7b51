//! One trainer for every kind of job: what a merchant's shoppers contribute to a round.

use guildhall_privacy::clip::ClipTally;
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, ItemStatistics};

use crate::data::observations::{Observations, ShopperKey};
use crate::data::sequences::Sequences;
use crate::model::DeviceChoice;

use super::{TrainError, Trainer, statistics};

/// A merchant's rows as a job's models see them.
pub enum TrainingData {
    /// Of tabular and repurchase tasks.
    Observations(Observations),
    /// Of item tasks.
    Items(Sequences),
}

impl TrainingData {
    /// How many shoppers there are.
    pub fn shoppers(&self) -> usize {
        match self {
            TrainingData::Observations(observations) => observations.shoppers.len(),
            TrainingData::Items(sequences) => sequences.len(),
        }
    }
}

/// Computes the contributions of one job. Holds no rows: one serves several merchants.
pub struct JobTrainer {
    engine: Engine,
}

enum Engine {
    Linear(Trainer),
    Statistics { model: ItemStatistics, history_max: usize },
}

impl JobTrainer {
    /// The trainer of a job on this device.
    ///
    /// # Errors
    /// [`TrainError`]; nothing depends on rows.
    pub fn new(job: &JobSpec, device: &DeviceChoice) -> Result<Self, TrainError> {
        let engine = match (&job.architecture, job.task.items()) {
            (Architecture::ItemStatistics(model), Some(items)) => {
                Engine::Statistics { model: model.clone(), history_max: items.history_max }
            }
            _ => Engine::Linear(Trainer::new(&job.model(), device)?),
        };
        Ok(JobTrainer { engine })
    }

    /// The clipped, quantised sum of the contributions of all shoppers that enter.
    ///
    /// # Privacy
    /// Emptying one shopper changes the sum by its own integer vector, of norm at most B, and by nothing else.
    ///
    /// # Errors
    /// See [`TrainError::depends_on_rows`].
    pub fn clipped_sum(
        &self,
        weights: &[f64],
        data: &TrainingData,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        match (&self.engine, data) {
            (Engine::Linear(trainer), TrainingData::Observations(observations)) => {
                trainer.clipped_sum(weights, observations, enters, clipping)
            }
            (Engine::Statistics { model, history_max }, TrainingData::Items(sequences)) => {
                statistics::clipped_sum(model, *history_max, weights, sequences, enters, clipping)
            }
            _ => Err(TrainError::Data),
        }
    }
}
