//! Training of models that rank the items of a catalogue: contributions shopper by shopper, ordinary training, and scorers.
//!
//! A shopper's contribution is the gradient of the *mean* loss over the positions of its own history, or what several steps
//! of its own change, computed from released weights, its own items and randomness of its own: bit for bit the same whoever
//! else trains beside it.

mod factorization;
mod fit;
mod geometry;
mod loss;
mod scorer;
mod shopper;
mod worker;

use candle_core::Device;
use guildhall_privacy::clip::{ClipTally, ShopperSum};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::id::RoundId;
use guildhall_shared::model_spec::{Architecture, MatrixFactorization, ModelSpec};
use rayon::prelude::*;

use crate::data::observations::ShopperKey;
use crate::data::sequences::Sequences;
use crate::model::DeviceChoice;
use crate::model::sequence::real::Real;
use crate::train::TrainError;
use crate::train::lane::Lane;
use crate::train::ordinary::{Adam, AfterEpoch, OrdinaryTraining, go_on, merchant_training};
use crate::train::private_stream::PrivateStreams;
use crate::train::slots::SparseSink;
use crate::train::sum::{check_clipping, check_weights, merchant_contribution, sum_of};
use factorization::{Factorization, Shopper};
use geometry::Geometry;
use worker::{Round, Worker};

pub use scorer::ItemScorer;

/// Fewest shoppers that another thread is started for.
const SHOPPERS_PER_THREAD_MIN: usize = 64;

/// Computes contributions, trains and makes scorers of one model of items.
pub struct ItemTrainer {
    model: Model,
    parameters: usize,
    device: Device,
    secret: zeroize::Zeroizing<[u8; 32]>,
    lane: Lane,
}

enum Model {
    Network(Geometry),
    Factorization(MatrixFactorization),
}

impl ItemTrainer {
    /// A trainer for this model over this catalogue. What shoppers draw follows from `secret`, which never leaves the merchant.
    ///
    /// # Errors
    /// [`TrainError::Device`], [`TrainError::Architecture`], [`TrainError::EmptyLayer`].
    pub fn new(
        spec: &ModelSpec,
        catalogue: &Catalogue,
        device: &DeviceChoice,
        secret: [u8; 32],
    ) -> Result<Self, TrainError> {
        let model = match &spec.architecture {
            Architecture::NextItem(model) => Model::Network(Geometry::new(model, spec, catalogue)),
            Architecture::MatrixFactorization(model) => Model::Factorization(model.clone()),
            _ => return Err(TrainError::Architecture),
        };
        if spec.parameters().iter().any(|parameter| parameter.is_empty()) {
            return Err(TrainError::EmptyLayer);
        }
        Ok(ItemTrainer {
            model,
            parameters: spec.parameter_count(),
            device: device.open()?,
            secret: zeroize::Zeroizing::new(secret),
            lane: Lane::new(),
        })
    }

    fn items(&self) -> usize {
        match &self.model {
            Model::Network(geometry) => geometry.model.items,
            Model::Factorization(model) => model.items,
        }
    }

    /// Fewest items of a shopper that there is something to learn from.
    fn items_min(&self) -> usize {
        match &self.model {
            Model::Network(_) => 2,
            Model::Factorization(_) => 1,
        }
    }

    /// The clipped, quantised sum of the contributions of all shoppers that enter, and behind it the sum of what each says
    /// about the clip, where that adapts.
    ///
    /// A shopper without anything to learn from (for networks: with fewer than two items) contributes nothing. A contribution
    /// that is not finite counts as zero.
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
        sequences: &Sequences,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        round: RoundId,
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.parameters, clipping)?;
        let new_sink = || ShopperSum::new(clipping);
        let sums = self.contributions::<f32, _>(weights, sequences, enters, round, &new_sink)?;
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
        sequences: &Sequences,
        round: RoundId,
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.parameters, clipping)?;
        let training = match &self.model {
            Model::Network(geometry) => geometry.model.training,
            Model::Factorization(_) => return Err(TrainError::Architecture),
        };
        let training = merchant_training(&training, &self.secret, round);
        let trained = self.fit(weights, sequences, &training, &mut go_on)?;
        let shoppers = sequences.iter().filter(|(_, items)| items.len() >= self.items_min()).count();
        Ok(merchant_contribution(weights, &trained, shoppers, clipping))
    }

    /// New weights after ordinary training on all shoppers together, on one thread: the same on every machine of a kind.
    /// Watched after every epoch.
    ///
    /// # Errors
    /// As [`ItemTrainer::clipped_sum`].
    pub fn fit(
        &self,
        weights: &[f64],
        sequences: &Sequences,
        training: &OrdinaryTraining,
        after_epoch: &mut AfterEpoch<'_>,
    ) -> Result<Vec<f64>, TrainError> {
        self.check(weights, sequences)?;
        let training = (training, after_epoch);
        match &self.model {
            Model::Network(geometry) => {
                let work = || fit::fit::<f32>(geometry, weights, sequences, training, &self.device);
                self.lane.run(work).map_err(TrainError::Compute)
            }
            Model::Factorization(model) => Ok(fit_factorization(model, weights, sequences, training)),
        }
    }

    /// The model with these weights, ready for histories.
    ///
    /// # Errors
    /// [`TrainError::Weights`], [`TrainError::Compute`].
    pub fn scorer(&self, weights: &[f64]) -> Result<ItemScorer, TrainError> {
        self.check(weights, &Sequences::default())?;
        match &self.model {
            Model::Network(geometry) => ItemScorer::network(geometry, weights, &self.device),
            Model::Factorization(model) => {
                let vectors: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
                Ok(ItemScorer::factorization(Factorization::new(model, &vectors), vectors))
            }
        }
    }

    fn check(&self, weights: &[f64], sequences: &Sequences) -> Result<(), TrainError> {
        check_weights(self.parameters, weights)?;
        let known = |items: &[u32]| items.iter().all(|item| (*item as usize) < self.items());
        if !sequences.iter().all(|(_, items)| known(items)) {
            return Err(TrainError::Rows);
        }
        Ok(())
    }

    /// What every way of summing shares: one sink for each chunk of shoppers, in any order.
    fn contributions<T: Real, S: SparseSink>(
        &self,
        weights: &[f64],
        sequences: &Sequences,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        round: RoundId,
        new_sink: &(dyn Fn() -> S + Sync),
    ) -> Result<Vec<S>, TrainError> {
        self.check(weights, sequences)?;
        let streams = PrivateStreams::new(&self.secret, round);
        match &self.model {
            Model::Network(geometry) => {
                let round =
                    Round::<T>::new(geometry, weights, streams, &self.device).map_err(TrainError::Compute)?;
                self.in_chunks(sequences, &|range| {
                    let mut sink = new_sink();
                    let shoppers = range.map(|index| sequences.shopper(index));
                    Worker::new(&round).run(shoppers.filter(|(key, _)| enters(*key)), &mut sink)?;
                    Ok(sink)
                })
            }
            Model::Factorization(model) => {
                let vectors: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
                self.in_chunks(sequences, &|range| {
                    let (mut sink, mut shopper) = (new_sink(), Shopper::new(model));
                    let shoppers = range.map(|index| sequences.shopper(index));
                    for (key, items) in shoppers.filter(|(key, items)| !items.is_empty() && enters(*key)) {
                        shopper.backward(model, &vectors, &streams, (key, items));
                        sink.add_blocks(shopper.blocks());
                    }
                    Ok(sink)
                })
            }
        }
    }

    fn in_chunks<S: Send>(
        &self,
        sequences: &Sequences,
        chunk: &(dyn Fn(std::ops::Range<usize>) -> candle_core::Result<S> + Sync),
    ) -> Result<Vec<S>, TrainError> {
        let shoppers = sequences.len();
        let threads = match self.device.is_cpu() {
            true => rayon::current_num_threads().min(shoppers / SHOPPERS_PER_THREAD_MIN).max(1),
            false => 1,
        };
        let sums: candle_core::Result<Vec<S>> = match threads {
            1 => self.lane.run(|| chunk(0..shoppers)).map(|sum| vec![sum]),
            _ => {
                let size = shoppers.div_ceil(threads);
                let range = |i: usize| (i * size).min(shoppers)..((i + 1) * size).min(shoppers);
                (0..threads).into_par_iter().map(|i| chunk(range(i))).collect()
            }
        };
        sums.map_err(TrainError::Compute)
    }
}

fn fit_factorization(
    model: &MatrixFactorization,
    weights: &[f64],
    sequences: &Sequences,
    (training, after_epoch): (&OrdinaryTraining, &mut AfterEpoch<'_>),
) -> Vec<f64> {
    let shoppers: Vec<usize> = (0..sequences.len()).filter(|i| !sequences.shopper(*i).1.is_empty()).collect();
    let mut weights = weights.to_vec();
    let mut adam = Adam::new(weights.len(), training.learning_rate);
    let mut gradient = vec![0.0; weights.len()];
    let mut shopper = Shopper::new(model);
    for epoch in 0..training.epochs {
        let streams = training.streams(epoch);
        for batch in training.order(epoch, shoppers.len()).chunks(training.batch.max(1)) {
            let vectors: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
            gradient.fill(0.0);
            for index in batch {
                shopper.backward(model, &vectors, &streams, sequences.shopper(shoppers[*index]));
                shopper.add_to(&mut gradient);
            }
            gradient.iter_mut().for_each(|g| *g /= batch.len() as f64);
            adam.step(&mut weights, &gradient);
        }
        if after_epoch(epoch + 1, &weights).is_break() {
            break;
        }
    }
    weights
}

#[cfg(test)]
mod tests;
