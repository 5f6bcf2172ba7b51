//! Training of models that read a sequence and give one logit: contributions shopper by shopper, ordinary training, scorers.
//!
//! A shopper's contribution is the gradient of the *mean* loss over its own rows (binary cross entropy on the logit), or what
//! several steps of its own change, computed from released weights, its own rows and randomness of its own: bit for bit the
//! same whoever else trains beside it.

mod fit;
mod layout;
mod pass;
mod scorer;
mod worker;

use candle_core::Device;
use guildhall_privacy::clip::{ClipTally, ShopperSum};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::id::RoundId;
use guildhall_shared::model_spec::{Architecture, ModelSpec};
use rayon::prelude::*;

use crate::data::observations::{Observations, ShopperKey, ShopperRows};
use crate::model::DeviceChoice;
use crate::model::sequence::real::Real;
use crate::train::lane::Lane;
use crate::train::ordinary::{AfterEpoch, OrdinaryTraining, go_on, merchant_training};
use crate::train::private_stream::PrivateStreams;
use crate::train::slots::SparseSink;
use crate::train::sum::{check_clipping, check_weights, merchant_contribution, sum_of};
use crate::train::{TrainError, check_rows};
use layout::Layout;
use scorer::check_inputs;
use worker::{Round, Worker, table_of};

pub use scorer::{EmbeddedRows, SequenceScorer};

/// Fewest rows that another thread is started for.
const ROWS_PER_THREAD_MIN: usize = 256;

/// Computes contributions, trains and makes scorers of one sequence classifier.
pub struct SequenceTrainer {
    layout: Layout,
    parameters: usize,
    device: Device,
    secret: zeroize::Zeroizing<[u8; 32]>,
    lane: Lane,
}

impl SequenceTrainer {
    /// A trainer for this model. What is hidden from shoppers follows from `secret`, which never leaves the merchant.
    ///
    /// # Errors
    /// [`TrainError::Device`], [`TrainError::Architecture`], [`TrainError::EmptyLayer`].
    pub fn new(spec: &ModelSpec, device: &DeviceChoice, secret: [u8; 32]) -> Result<Self, TrainError> {
        let Architecture::Sequence(model) = &spec.architecture else { return Err(TrainError::Architecture) };
        let empty = spec.parameters().iter().any(|parameter| parameter.is_empty());
        if empty || model.shape.steps == 0 || spec.inputs != model.shape.inputs() {
            return Err(TrainError::EmptyLayer);
        }
        Ok(SequenceTrainer {
            layout: Layout::new(model, spec),
            parameters: spec.parameter_count(),
            device: device.open()?,
            secret: zeroize::Zeroizing::new(secret),
            lane: Lane::new(),
        })
    }

    /// The clipped, quantised sum of the contributions of all shoppers that enter, and behind it the sum of what each says
    /// about the clip, where that adapts.
    ///
    /// A shopper without rows contributes nothing. A contribution that is not finite counts as zero.
    ///
    /// # Shapes
    /// `weights` d values in the order of [`ModelSpec::parameters`]; they are rounded to f32.
    ///
    /// # Privacy
    /// Emptying one shopper changes the sum by its own integer vector, of norm at most B, and by nothing else.
    ///
    /// # Errors
    /// See [`TrainError::depends_on_rows`].
    pub fn clipped_sum(
        &self,
        weights: &[f64],
        observations: &Observations,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        round: RoundId,
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.parameters, clipping)?;
        let new_sink = || ShopperSum::new(clipping);
        let sums = self.contributions::<f32, _>(weights, observations, enters, round, &new_sink)?;
        Ok(sum_of(sums, clipping))
    }

    /// What a whole merchant's ordinary training changes, reversed, times its number of shoppers: one contribution, clipped and
    /// quantised as one. For jobs without privacy, whose models ask for it.
    ///
    /// # Privacy
    /// One shopper moves all of it: the clip bounds the merchant, not the shopper.
    ///
    /// # Errors
    /// See [`TrainError::depends_on_rows`].
    pub fn merchant_update(
        &self,
        weights: &[f64],
        observations: &Observations,
        round: RoundId,
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.parameters, clipping)?;
        let training = merchant_training(&self.layout.model.training, &self.secret, round);
        let trained = self.fit(weights, observations, &training, &mut go_on)?;
        let shoppers = observations.shoppers.iter().filter(|shopper| shopper.end > shopper.start).count();
        Ok(merchant_contribution(weights, &trained, shoppers, clipping))
    }

    /// New weights after ordinary training on all shoppers together, on one thread: the same on every machine of a kind.
    /// Watched after every epoch.
    ///
    /// # Errors
    /// As [`SequenceTrainer::clipped_sum`].
    pub fn fit(
        &self,
        weights: &[f64],
        observations: &Observations,
        training: &OrdinaryTraining,
        after_epoch: &mut AfterEpoch<'_>,
    ) -> Result<Vec<f64>, TrainError> {
        self.check(weights, observations)?;
        let training = (training, after_epoch);
        let work = || fit::fit::<f32>(&self.layout, weights, observations, training, &self.device);
        self.lane.run(work).map_err(TrainError::Compute)
    }

    /// The model with these weights, ready for rows.
    ///
    /// # Errors
    /// [`TrainError::Weights`], [`TrainError::Compute`].
    pub fn scorer(&self, weights: &[f64]) -> Result<SequenceScorer, TrainError> {
        check_weights(self.parameters, weights)?;
        SequenceScorer::new(&self.layout, weights, &self.device).map_err(TrainError::Compute)
    }

    /// The logit of every row, each alone.
    ///
    /// # Errors
    /// As [`SequenceTrainer::scorer`] and [`SequenceScorer::logits`].
    pub fn logits(&self, weights: &[f64], observations: &Observations) -> Result<Vec<f32>, TrainError> {
        let scorer = self.scorer(weights)?;
        self.lane.run(|| scorer.logits(observations))
    }

    fn check(&self, weights: &[f64], observations: &Observations) -> Result<(), TrainError> {
        check_weights(self.parameters, weights)?;
        check_inputs(&self.layout, observations)?;
        check_rows(observations)
    }

    /// What every way of summing shares: one sink for each chunk of shoppers, in any order.
    fn contributions<T: Real, S: SparseSink>(
        &self,
        weights: &[f64],
        observations: &Observations,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        round: RoundId,
        new_sink: &(dyn Fn() -> S + Sync),
    ) -> Result<Vec<S>, TrainError> {
        self.check(weights, observations)?;
        let round = Round::<T> {
            layout: &self.layout,
            weights,
            table: table_of(&self.layout, weights),
            streams: PrivateStreams::new(&self.secret, round),
            observations,
            device: &self.device,
        };
        let chunk = |shoppers: &[ShopperRows]| {
            let mut sink = new_sink();
            let entering = shoppers.iter().filter(|shopper| enters(shopper.key));
            Worker::new(&round).run(entering, &mut sink).map(|()| sink).map_err(TrainError::Compute)
        };
        let shoppers = &observations.shoppers;
        match self.threads_for(observations.rows()) {
            1 => Ok(vec![self.lane.run(|| chunk(shoppers))?]),
            threads => shoppers.par_chunks(shoppers.len().div_ceil(threads).max(1)).map(chunk).collect(),
        }
    }

    fn threads_for(&self, rows: usize) -> usize {
        if !self.device.is_cpu() {
            return 1;
        }
        rayon::current_num_threads().min(rows / ROWS_PER_THREAD_MIN).max(1)
    }
}

#[cfg(test)]
mod tests;
