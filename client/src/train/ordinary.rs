//! Ordinary training: shuffled mini-batches and Adam, for what a merchant does alone or all do without privacy.

use std::ops::ControlFlow;

use guildhall_shared::id::RoundId;
use guildhall_shared::model_spec::LocalTraining;

use crate::data::observations::ShopperKey;
use crate::train::private_stream::PrivateStreams;

/// How a model is trained on all shoppers of a merchant together.
///
/// # Privacy
/// Never a contribution of a shopper's own: every shopper moves everything that comes out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrdinaryTraining {
    /// Times that every shopper is seen.
    pub epochs: u32,
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Shoppers of one step.
    pub batch: usize,
    /// Order, dropout and counterexamples follow from it: the same seed gives the same weights.
    pub seed: u64,
}

/// Is shown the number of epochs done and the weights after each epoch, and says whether to go on.
pub type AfterEpoch<'a> = dyn FnMut(u32, &[f64]) -> ControlFlow<()> + Send + 'a;

/// An [`AfterEpoch`] that goes on to the last epoch.
pub fn go_on(_: u32, _: &[f64]) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl OrdinaryTraining {
    /// The streams of one epoch.
    pub(super) fn streams(&self, epoch: u32) -> PrivateStreams {
        let mut secret = [0; 32];
        secret[..8].copy_from_slice(&self.seed.to_le_bytes());
        PrivateStreams::new(&secret, RoundId { round: epoch, attempt: u32::MAX })
    }

    /// `count` numbers in the order of an epoch (Fisher and Yates).
    pub(super) fn order(&self, epoch: u32, count: usize) -> Vec<usize> {
        let mut stream = self.streams(epoch).of(ShopperKey([0xff; 16]));
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, stream.below(last as u32 + 1) as usize);
        }
        order
    }
}

/// The ordinary training that a model asks of a merchant, with a seed of the merchant's and the round's.
pub(super) fn merchant_training(
    training: &LocalTraining,
    secret: &[u8; 32],
    round: RoundId,
) -> OrdinaryTraining {
    OrdinaryTraining {
        epochs: training.merchant_epochs,
        learning_rate: training.learning_rate,
        batch: training.batch as usize,
        seed: u64::from(PrivateStreams::new(secret, round).of(ShopperKey([0; 16])).word()),
    }
}

/// Adam (Kingma and Ba 2015), in f64.
pub(super) struct Adam {
    learning_rate: f64,
    step: i32,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Adam {
    const MEAN_KEPT: f64 = 0.9;
    const SQUARE_KEPT: f64 = 0.98;
    const EPSILON: f64 = 1e-8;

    pub(super) fn new(parameters: usize, learning_rate: f64) -> Self {
        Adam { learning_rate, step: 0, mean: vec![0.0; parameters], square: vec![0.0; parameters] }
    }

    pub(super) fn step(&mut self, weights: &mut [f64], gradient: &[f64]) {
        self.step += 1;
        let rate = self.learning_rate / (1.0 - Self::MEAN_KEPT.powi(self.step));
        let square_scale = 1.0 / (1.0 - Self::SQUARE_KEPT.powi(self.step));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((weight, gradient), (mean, square)) in weights.iter_mut().zip(gradient).zip(moments) {
            *mean += (1.0 - Self::MEAN_KEPT) * (gradient - *mean);
            *square += (1.0 - Self::SQUARE_KEPT) * (gradient * gradient - *square);
            *weight -= rate * *mean / ((*square * square_scale).sqrt() + Self::EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_finds_the_bottom_of_a_bowl() {
        let mut weights = [3.0, -2.0];
        let mut adam = Adam::new(2, 0.05);
        for _ in 0..600 {
            let gradient = [2.0 * (weights[0] - 1.0), 20.0 * (weights[1] - 0.5)];
            adam.step(&mut weights, &gradient);
        }
        assert!((weights[0] - 1.0).abs() < 1e-3 && (weights[1] - 0.5).abs() < 1e-3, "{weights:?}");
    }

    #[test]
    fn an_epoch_sees_everybody_once_and_epochs_differ() {
        let training = OrdinaryTraining { epochs: 2, learning_rate: 0.1, batch: 4, seed: 7 };
        let (first, second) = (training.order(0, 50), training.order(1, 50));
        assert_eq!(first, training.order(0, 50));
        assert_ne!(first, second);
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..50));
    }
}
