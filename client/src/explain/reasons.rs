//! Which items of a history an answer rests on. [core]
//!
//! Attention says where a model looked, not why it answered: the reasons it gives name items the shopper really had, and no more than
//! that is claimed for them. Leaving an item out and asking again ([`shapley`](super::shapley)) says more and costs more.

use std::collections::BTreeMap;

/// How far from one a row of attention weights may add up to.
pub const ROW_SUM_TOLERANCE: f64 = 1e-3;

/// Attention weights of one layer for one history.
///
/// # Shapes
/// `weights` heads × positions × positions, row-major: row the position that looks, column the one looked at. No padding.
#[derive(Clone, Debug)]
pub struct AttentionLayer {
    /// Heads.
    pub heads: usize,
    /// The weights.
    pub weights: Vec<f32>,
}

/// Attention folded into one weight per position; each list adds up to one.
#[derive(Clone, Debug, PartialEq)]
pub struct PositionWeights {
    /// Where the last position looks in the last layer, mean over heads.
    pub last_layer: Vec<f64>,
    /// Attention rollout: looks of all layers multiplied through, each mixed half and half with staying where one is, as the residual
    /// connection does.
    ///
    /// # Source
    /// Abnar and Zuidema 2020 (arXiv 2005.00928).
    pub rollout: Vec<f64>,
}

/// Weights that are no attention.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum AttentionError {
    /// No layer, head or position.
    #[error("expected at least one layer, head and position")]
    Empty,
    /// Of another size.
    #[error("layer {layer}: expected {expected} weights, found {found}")]
    Shape {
        /// Counted from 0.
        layer: usize,
        /// heads · positions².
        expected: usize,
        /// Weights.
        found: usize,
    },
    /// A weight below zero or not a number.
    #[error("layer {layer}: expected weights from 0 to 1, found another")]
    Weight {
        /// Counted from 0.
        layer: usize,
    },
    /// A row that does not add up to one.
    #[error(
        "layer {layer}: expected rows that add up to one within {ROW_SUM_TOLERANCE}, found a sum of {found}"
    )]
    RowSum {
        /// Counted from 0.
        layer: usize,
        /// The sum.
        found: f64,
    },
}

/// Checks attention weights, first layer first, and folds them into one weight per position.
///
/// # Errors
/// [`AttentionError`].
pub fn position_weights(
    layers: &[AttentionLayer],
    positions: usize,
) -> Result<PositionWeights, AttentionError> {
    if layers.is_empty() || positions == 0 {
        return Err(AttentionError::Empty);
    }
    // Where the last position looks through the layers above; from the last layer down, so vectors suffice.
    let mut rollout = vec![0.0; positions];
    rollout[positions - 1] = 1.0;
    let mut last_layer = Vec::new();
    for (index, layer) in layers.iter().enumerate().rev() {
        let mean = mean_over_heads(index, layer, positions)?;
        if index + 1 == layers.len() {
            last_layer = mean[(positions - 1) * positions..].to_vec();
        }
        let mut below: Vec<f64> = rollout.iter().map(|weight| weight / 2.0).collect();
        for (weight, row) in rollout.iter().zip(mean.chunks_exact(positions)) {
            below.iter_mut().zip(row).for_each(|(sum, look)| *sum += weight * look / 2.0);
        }
        rollout = below;
    }
    Ok(PositionWeights { last_layer, rollout })
}

/// The mean over heads, every row brought to a sum of exactly one but for rounding.
fn mean_over_heads(
    index: usize,
    layer: &AttentionLayer,
    positions: usize,
) -> Result<Vec<f64>, AttentionError> {
    let (expected, found) = (layer.heads * positions * positions, layer.weights.len());
    if layer.heads == 0 {
        return Err(AttentionError::Empty);
    }
    if expected != found {
        return Err(AttentionError::Shape { layer: index, expected, found });
    }
    // Written so that NaN fails too.
    if !layer.weights.iter().all(|weight| *weight >= 0.0) {
        return Err(AttentionError::Weight { layer: index });
    }
    let mut mean = vec![0.0; positions * positions];
    for (row, weights) in layer.weights.chunks_exact(positions).enumerate() {
        let sum: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        if (sum - 1.0).abs() > ROW_SUM_TOLERANCE {
            return Err(AttentionError::RowSum { layer: index, found: sum });
        }
        let into = &mut mean[row % positions * positions..][..positions];
        for (mean, weight) in into.iter_mut().zip(weights) {
            *mean += f64::from(*weight) / sum / layer.heads as f64;
        }
    }
    Ok(mean)
}

/// The `count` items of a history with the greatest weights, an item at several positions added up; ties in the order of item numbers.
/// Only items of the history, and only those with a weight above zero.
///
/// # Shapes
/// As many `weights` as items in `history`; what is left over on either side is ignored.
pub fn reasons(history: &[u32], weights: &[f64], count: usize) -> Vec<(u32, f64)> {
    let mut by_item: BTreeMap<u32, f64> = BTreeMap::new();
    for (item, weight) in history.iter().zip(weights) {
        *by_item.entry(*item).or_default() += weight;
    }
    let mut reasons: Vec<(u32, f64)> = by_item.into_iter().filter(|(_, weight)| *weight > 0.0).collect();
    reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    reasons.truncate(count);
    reasons
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layer(heads: usize, weights: &[f32]) -> AttentionLayer {
        AttentionLayer { heads, weights: weights.to_vec() }
    }

    #[test]
    fn one_layer_by_hand() {
        let attention = [layer(2, &[1.0, 0.0, 0.25, 0.75, 1.0, 0.0, 0.75, 0.25])];
        let found = position_weights(&attention, 2).expect("sound");
        assert_eq!(found.last_layer, [0.5, 0.5]);
        assert_eq!(found.rollout, [0.25, 0.75], "half of it stays where it is");
    }

    /// (A₂ + I)/2 · (A₁ + I)/2 with A₁ = [[1, 0], [1, 0]], A₂ = [[1, 0], [0, 1]]: the last row is (½, ½) · …
    #[test]
    fn two_layers_are_multiplied_through() {
        let attention = [layer(1, &[1.0, 0.0, 1.0, 0.0]), layer(1, &[1.0, 0.0, 0.0, 1.0])];
        let found = position_weights(&attention, 2).expect("sound");
        assert_eq!(found.last_layer, [0.0, 1.0]);
        assert_eq!(found.rollout, [0.5, 0.5], "what was mixed below is seen from above");
        let reversed = [attention[1].clone(), attention[0].clone()];
        assert_eq!(position_weights(&reversed, 2).expect("sound").last_layer, [1.0, 0.0]);
    }

    #[test]
    fn what_is_no_attention_is_refused() {
        let of = |weights: &[f32]| position_weights(&[layer(1, weights)], 2).expect_err("refused");
        assert_eq!(of(&[1.0; 3]), AttentionError::Shape { layer: 0, expected: 4, found: 3 });
        assert_eq!(of(&[1.0, 0.0, 0.5, 0.4]), AttentionError::RowSum { layer: 0, found: 0.9000000059604645 });
        assert_eq!(of(&[1.0, 0.0, 1.5, -0.5]), AttentionError::Weight { layer: 0 });
        assert_eq!(of(&[1.0, 0.0, f32::NAN, 1.0]), AttentionError::Weight { layer: 0 });
        assert!(matches!(of(&[1.0, 0.0, f32::INFINITY, 1.0]), AttentionError::RowSum { .. }));
        assert_eq!(position_weights(&[], 2), Err(AttentionError::Empty));
        assert_eq!(position_weights(&[layer(0, &[])], 2), Err(AttentionError::Empty));
    }

    #[test]
    fn reasons_are_items_of_the_history_the_weightiest_first() {
        let history = [7, 3, 7, 9, 4];
        assert_eq!(reasons(&history, &[0.2, 0.4, 0.3, 0.0, 0.1], 3), [(7, 0.5), (3, 0.4), (4, 0.1)]);
        assert_eq!(reasons(&history, &[0.5, 0.5, 0.0, 0.0, 0.0], 1), [(3, 0.5)]);
        assert_eq!(reasons(&history, &[0.2; 9], 9).len(), 4);
        assert_eq!(reasons(&[], &[1.0], 3), []);
    }

    proptest! {
        #[test]
        fn folded_weights_add_up_to_one_and_are_causal(
            raw in prop::collection::vec(0.001f32..1.0, 2 * 3 * 25), looked in 0usize..5,
        ) {
            // Causal rows, normalised as a softmax is; position `looked` and those after it see nothing of later ones.
            let mut layers = Vec::new();
            for layer in raw.chunks(3 * 25) {
                let mut weights = layer.to_vec();
                for (row, values) in weights.chunks_mut(5).enumerate() {
                    values[row % 5 + 1..].fill(0.0);
                    let sum: f32 = values.iter().sum();
                    values.iter_mut().for_each(|w| *w /= sum);
                }
                layers.push(AttentionLayer { heads: 3, weights });
            }
            let found = position_weights(&layers, 5).unwrap();
            for list in [&found.last_layer, &found.rollout] {
                prop_assert!((list.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                prop_assert!(list.iter().all(|weight| *weight >= 0.0));
            }
            let items: Vec<u32> = (0..5).map(|i| i % (looked as u32 + 1)).collect();
            let sum: f64 = reasons(&items, &found.rollout, 5).iter().map(|(_, w)| w).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9);
        }
    }
}
