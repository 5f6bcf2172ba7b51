//! Ordinary training of logistic regression and of multi-layer perceptrons.

use super::contribution::{ContributionSink, RowGradient};
use super::ordinary::{Adam, AfterEpoch, OrdinaryTraining};
use super::{TrainError, Trainer, check_rows};
use crate::data::observations::{Observations, ShopperRows};
use crate::model::network::Network;
use guildhall_shared::model_spec::Architecture;

/// The plain sum of contributions: nothing is clipped.
struct GradientSum<'a>(&'a mut [f64]);

impl ContributionSink for GradientSum<'_> {
    fn add(&mut self, contribution: &[f64]) {
        self.0.iter_mut().zip(contribution).for_each(|(sum, g)| *sum += g);
    }

    fn add_row(&mut self, gradient: &RowGradient<'_>, _: &mut [f64]) {
        gradient.add_to(self.0);
    }
}

impl Trainer {
    /// New weights after ordinary training on all shoppers together, on one thread, watched after every epoch. Every shopper of
    /// a batch weighs the same, as in a round.
    ///
    /// # Errors
    /// [`TrainError::NoLogits`] for a bare vector, else as [`Trainer::clipped_sum`].
    pub fn fit(
        &self,
        weights: &[f64],
        observations: &Observations,
        training: &OrdinaryTraining,
        after_epoch: &mut AfterEpoch<'_>,
    ) -> Result<Vec<f64>, TrainError> {
        if self.spec.architecture == Architecture::Vector {
            return Err(TrainError::NoLogits);
        }
        self.check_public(weights, observations)?;
        check_rows(observations)?;
        self.on_one_thread(|| self.fit_epochs(weights, observations, training, after_epoch))
            .map_err(TrainError::Compute)
    }

    fn fit_epochs(
        &self,
        weights: &[f64],
        observations: &Observations,
        training: &OrdinaryTraining,
        after_epoch: &mut AfterEpoch<'_>,
    ) -> candle_core::Result<Vec<f64>> {
        let filled = |shopper: &&ShopperRows| shopper.end > shopper.start;
        let shoppers: Vec<ShopperRows> = observations.shoppers.iter().filter(filled).copied().collect();
        let mut weights = weights.to_vec();
        let mut adam = Adam::new(weights.len(), training.learning_rate);
        let mut gradient = vec![0.0; weights.len()];
        for epoch in 0..training.epochs {
            for drawn in training.order(epoch, shoppers.len()).chunks(training.batch.max(1)) {
                let drawn: Vec<ShopperRows> = drawn.iter().map(|index| shoppers[*index]).collect();
                gradient.fill(0.0);
                let network = Network::load(&self.spec, &weights, &self.device)?;
                let mut batch = self.take_batch();
                batch.run(&network, observations, &drawn, &|_| true, &mut GradientSum(&mut gradient))?;
                self.put_back(batch);
                gradient.iter_mut().for_each(|g| *g /= drawn.len() as f64);
                adam.step(&mut weights, &gradient);
            }
            if after_epoch(epoch + 1, &weights).is_break() {
                break;
            }
        }
        Ok(weights)
    }
}
