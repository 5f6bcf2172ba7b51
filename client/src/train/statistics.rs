//! What a shopper contributes to the statistics that item-item models are made of. [core]
//!
//! In the first round minus the vector of its items, in every later round minus the upper triangle of that vector times
//! itself over the items kept, the diagonal included. Minus, because the released sum is a gradient that is descended.
//!
//! # Privacy
//! A contribution depends on the shopper's own items, the public job and the released popularity.

use guildhall_privacy::clip::{ClipTally, ShopperSum, SparseBlock};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::model_spec::ItemStatistics;

use crate::data::observations::ShopperKey;
use crate::data::sequences::Sequences;
use crate::recommend::statistics::Stage;

use super::TrainError;

/// The clipped sum of the statistics of all shoppers that enter.
///
/// # Shapes
/// `weights` as [`ItemStatistics::parameters`]: the released statistics so far. A shopper's newest `history_max` different items
/// count.
///
/// # Privacy
/// Emptying one shopper changes the sum by its own integer vector, of norm at most B, and by nothing else.
///
/// # Errors
/// [`TrainError::Weights`], [`TrainError::Clipping`].
pub fn clipped_sum(
    model: &ItemStatistics,
    history_max: usize,
    weights: &[f64],
    sequences: &Sequences,
    enters: &(dyn Fn(ShopperKey) -> bool + Sync),
    clipping: &ClippingParameters,
) -> Result<(ClippedSum, ClipTally), TrainError> {
    let parameters = model.items + model.pairs();
    if weights.len() != parameters {
        return Err(TrainError::Weights { expected: parameters, found: weights.len() });
    }
    if clipping.parameters() != parameters {
        return Err(TrainError::Clipping { expected: parameters, found: clipping.parameters() });
    }
    let stage = Stage::next(model, weights);
    let value = -clipping.norm_l2() / stage.full_norm(model);
    let mut sum = ShopperSum::new(clipping);
    let value = [value];
    let (mut items, mut indices) = (Vec::new(), Vec::new());
    for (_, sequence) in sequences.iter().filter(|(key, sequence)| !sequence.is_empty() && enters(*key)) {
        items.clear();
        items.extend_from_slice(&sequence[sequence.len().saturating_sub(history_max)..]);
        stage.indices(model, &mut items, &mut indices);
        sum.add_sparse(indices.iter().map(|index| SparseBlock { start: *index as usize, values: &value }));
    }
    Ok(sum.finish())
}

#[cfg(test)]
mod tests;
