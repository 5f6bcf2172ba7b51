//! Training: what one merchant's shoppers contribute to a round, and the baselines it is compared with.
//!
//! A shopper's contribution is the gradient of its *mean* loss over its own rows (binary cross entropy on the logit),
//! computed from released weights and its own rows alone, bit for bit the same whoever else trains beside it.

pub mod baseline;
mod batch;
mod contribution;
pub mod fine_tune;
mod fit;
pub mod items;
mod job;
mod lane;
pub mod metrics;
pub mod ordinary;
pub mod participation;
mod private_stream;
pub mod sequence;
mod slots;
pub mod statistics;
mod sum;

use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use guildhall_privacy::clip::{ClipTally, ShopperSum};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::model_spec::{Architecture, ModelSpec};
use rayon::prelude::*;

use crate::data::observations::{Observations, ShopperKey, ShopperRows};
use crate::model::network::{BATCH_ROWS, Network, layer_shapes};
use crate::model::{DeviceChoice, DeviceError};
use batch::{Batch, copy_rows};
use contribution::ContributionSink;
pub use job::{JobTrainer, TrainingData};
use lane::Lane;
use sum::{check_clipping, check_weights, sum_of};

/// Fewest rows that another thread is started for.
const ROWS_PER_THREAD_MIN: usize = 4 * BATCH_ROWS;

/// Computes contributions and logits of one model family. Cheap to keep over rounds: it reuses its buffers.
pub struct Trainer {
    spec: ModelSpec,
    parameters: usize,
    device: Device,
    lane: Lane,
    idle: Mutex<Vec<Batch>>,
}

/// Why training gave nothing.
///
/// # Privacy
/// An error that depends on rows must not be seen outside: the caller sends [`ClippedSum::zero`] with its noise
/// instead. [`TrainError::depends_on_rows`] tells which these are.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The device cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Weights of another model.
    #[error("expected {expected} weights, found {found}")]
    Weights {
        /// d.
        expected: usize,
        /// Weights found.
        found: usize,
    },
    /// Clipping parameters of another model.
    #[error("expected clipping parameters for {expected} weights, found them for {found}")]
    Clipping {
        /// d.
        expected: usize,
        /// The d they were made for.
        found: usize,
    },
    /// Observations with other inputs than the model's.
    #[error("expected observations of {expected} inputs, found {found}")]
    Inputs {
        /// Inputs of the model.
        expected: usize,
        /// Inputs of the observations.
        found: usize,
    },
    /// A model without inputs or with a layer of no width.
    #[error("expected a model whose layers have inputs and outputs, found a layer of width 0")]
    EmptyLayer,
    /// A model that another trainer is for.
    #[error("expected a model of the family that this trainer is for")]
    Architecture,
    /// Observations for a model of items, or items for another.
    #[error("expected the kind of rows that the job's task is about")]
    Data,
    /// Statistics are counted, not trained.
    #[error(
        "expected a model that is trained by gradients, found released statistics: a blend with the merchant's own statistics is \
         what makes them its own, and there is nothing to fine-tune"
    )]
    Statistics,
    /// A bare vector gives no logits.
    #[error("expected a model that gives logits, found a bare vector")]
    NoLogits,
    /// The observations break their own rules. Depends on rows.
    #[error("expected every row to belong to one shopper, and every shopper once, in order of key")]
    Rows,
    /// The device failed in the middle of the computation. Depends on rows.
    #[error("the computation failed")]
    Compute(#[source] candle_core::Error),
}

impl TrainError {
    /// Whether the error might not have happened with another shopper's rows: then nothing outside may see it.
    pub fn depends_on_rows(&self) -> bool {
        matches!(self, TrainError::Rows | TrainError::Compute(_))
    }
}

impl Trainer {
    /// A trainer for this model on this device.
    ///
    /// # Errors
    /// [`TrainError::Device`], [`TrainError::Architecture`], [`TrainError::EmptyLayer`].
    pub fn new(spec: &ModelSpec, device: &DeviceChoice) -> Result<Self, TrainError> {
        let linear = matches!(
            spec.architecture,
            Architecture::LogisticRegression | Architecture::Mlp { .. } | Architecture::Vector
        );
        if !linear {
            return Err(TrainError::Architecture);
        }
        if layer_shapes(spec).iter().any(|shape| shape.inputs == 0 || shape.outputs == 0) {
            return Err(TrainError::EmptyLayer);
        }
        Ok(Trainer {
            spec: spec.clone(),
            parameters: spec.parameter_count(),
            device: device.open()?,
            lane: Lane::new(),
            idle: Mutex::default(),
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
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.parameters, clipping)?;
        let sums = self.contributions(weights, observations, enters, &|| ShopperSum::new(clipping))?;
        Ok(sum_of(sums, clipping))
    }

    /// The logit of every row, computed in batches of the training shape: a row's logit does not depend on the others.
    ///
    /// # Errors
    /// [`TrainError::NoLogits`] for a bare vector, else as [`Trainer::clipped_sum`].
    pub fn logits(&self, weights: &[f64], observations: &Observations) -> Result<Vec<f32>, TrainError> {
        if self.spec.architecture == Architecture::Vector {
            return Err(TrainError::NoLogits);
        }
        self.check_public(weights, observations)?;
        if observations.features.len() != observations.rows() * observations.inputs {
            return Err(TrainError::Rows);
        }
        self.on_one_thread(|| self.logits_of_rows(weights, observations)).map_err(TrainError::Compute)
    }

    fn logits_of_rows(&self, weights: &[f64], observations: &Observations) -> candle_core::Result<Vec<f32>> {
        let network = Network::load(&self.spec, weights, &self.device)?;
        let mut rows = vec![0.0; BATCH_ROWS * self.spec.inputs];
        let mut padded = [0.0; BATCH_ROWS];
        let mut logits = Vec::with_capacity(observations.rows());
        for features in observations.features.chunks(BATCH_ROWS * self.spec.inputs) {
            copy_rows(features, &mut rows);
            network.forward(&rows)?.copy_logits(&mut padded)?;
            logits.extend_from_slice(&padded[..features.len() / self.spec.inputs]);
        }
        Ok(logits)
    }

    /// What every way of summing shares: one sink for each chunk of shoppers, in any order.
    fn contributions<S: ContributionSink>(
        &self,
        weights: &[f64],
        observations: &Observations,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        new_sink: &(dyn Fn() -> S + Sync),
    ) -> Result<Vec<S>, TrainError> {
        if self.spec.architecture == Architecture::Vector {
            return Ok(vec![]);
        }
        self.check_public(weights, observations)?;
        check_rows(observations)?;
        let network = Network::load(&self.spec, weights, &self.device).map_err(TrainError::Compute)?;
        let chunk = |shoppers: &[ShopperRows]| {
            let mut sink = new_sink();
            let mut batch = self.take_batch();
            let result = batch.run(&network, observations, shoppers, enters, &mut sink);
            self.put_back(batch);
            result.map(|()| sink).map_err(TrainError::Compute)
        };
        let shoppers = &observations.shoppers;
        match self.threads_for(observations.rows()) {
            1 => Ok(vec![self.on_one_thread(|| chunk(shoppers))?]),
            threads => shoppers.par_chunks(shoppers.len().div_ceil(threads).max(1)).map(chunk).collect(),
        }
    }

    fn check_public(&self, weights: &[f64], observations: &Observations) -> Result<(), TrainError> {
        check_weights(self.parameters, weights)?;
        if observations.inputs != self.spec.inputs {
            return Err(TrainError::Inputs { expected: self.spec.inputs, found: observations.inputs });
        }
        Ok(())
    }

    fn threads_for(&self, rows: usize) -> usize {
        if !self.device.is_cpu() {
            return 1;
        }
        rayon::current_num_threads().min(rows / ROWS_PER_THREAD_MIN).max(1)
    }

    fn on_one_thread<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match self.device.is_cpu() {
            true => self.lane.run(work),
            false => work(),
        }
    }

    fn take_batch(&self) -> Batch {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Batch::new(&self.spec))
    }

    fn put_back(&self, batch: Batch) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }
}

/// One contribution per shopper is what the sensitivity rests on, so it is checked and not believed.
fn check_rows(observations: &Observations) -> Result<(), TrainError> {
    let rows = observations.rows();
    let mut next_row = 0;
    let contiguous = observations.shoppers.iter().all(|shopper| {
        let fits = shopper.start == next_row && shopper.end >= shopper.start;
        next_row = shopper.end;
        fits
    });
    let once = observations.shoppers.windows(2).all(|pair| pair[0].key < pair[1].key);
    let covered = next_row == rows && observations.features.len() == rows * observations.inputs;
    if contiguous && once && covered { Ok(()) } else { Err(TrainError::Rows) }
}

#[cfg(test)]
mod tests;
