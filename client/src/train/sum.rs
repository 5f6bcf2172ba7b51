//! What the engines share: checks of public shapes, one sum over all threads, and a whole merchant's change as one contribution.
//! [core]

use guildhall_privacy::clip::{ClipTally, ShopperSum};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;

use super::TrainError;

/// Whether the weights are those of a model of so many parameters.
pub(super) fn check_weights(parameters: usize, weights: &[f64]) -> Result<(), TrainError> {
    match weights.len() {
        found if found == parameters => Ok(()),
        found => Err(TrainError::Weights { expected: parameters, found }),
    }
}

/// Whether the clip is that of a model of so many parameters.
pub(super) fn check_clipping(parameters: usize, clipping: &ClippingParameters) -> Result<(), TrainError> {
    match clipping.parameters() {
        found if found == parameters => Ok(()),
        found => Err(TrainError::Clipping { expected: parameters, found }),
    }
}

/// The sum of the sums of all threads: of integers, so that their order is of no account. Zero where there are none.
pub(super) fn sum_of(sums: Vec<ShopperSum>, clipping: &ClippingParameters) -> (ClippedSum, ClipTally) {
    let total = sums.into_iter().reduce(|mut total, sum| {
        total.merge(sum);
        total
    });
    total.unwrap_or_else(|| ShopperSum::new(clipping)).finish()
}

/// What a whole merchant's ordinary training changed, reversed, times its number of shoppers: one contribution, clipped and
/// quantised as one.
///
/// # Privacy
/// One shopper moves all of it: the clip bounds the merchant, not the shopper.
pub(super) fn merchant_contribution(
    start: &[f64],
    trained: &[f64],
    shoppers: usize,
    clipping: &ClippingParameters,
) -> (ClippedSum, ClipTally) {
    let mut sum = ShopperSum::new(clipping);
    if shoppers > 0 {
        let pairs = start.iter().zip(trained);
        let change: Vec<f64> = pairs.map(|(start, end)| (start - end) * shoppers as f64).collect();
        sum.add(&change);
    }
    sum.finish()
}
