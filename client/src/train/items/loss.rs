//! Losses of a model of the next item, with their gradients by the network's outputs and by the items' vectors.
//!
//! They are written out: the last layer is a product with item vectors, and what a shopper needs of it is a few rows.

use candle_core::{Device, Result, Tensor};

use super::geometry::Geometry;
use crate::model::sequence::real::{Real, add_scaled, dot, greatest, sum};
use crate::model::sequence::with_values;
use crate::train::slots::{RowSource, RowTarget, logit_loss, logit_slope};

/// Positions whose scores of the whole catalogue are held at a time.
const CATALOGUE_ROWS: usize = 128;

/// One history's outputs, what came next at each, and the counterexamples.
pub(super) struct Sampled<'a> {
    pub(super) targets: &'a [u32],
    /// The same number for each target.
    pub(super) negatives: &'a [u32],
    /// Of one position's loss.
    pub(super) weight: f64,
}

impl Sampled<'_> {
    /// Binary cross entropy of the item that came, and the mean of that of the counterexamples, over all positions. Writes the
    /// gradient by the outputs.
    ///
    /// # Shapes
    /// `outputs` and `by_outputs` positions × width; `scratch` width.
    pub(super) fn backward<T: Real>(
        &self,
        geometry: &Geometry,
        source: &RowSource<'_, T>,
        outputs: &[T],
        by_outputs: &mut [T],
        target: &mut impl RowTarget<T>,
        scratch: &mut [T],
    ) -> f64 {
        let width = source.width;
        let negatives = self.negatives.len() / self.targets.len().max(1);
        let share = self.weight / negatives.max(1) as f64;
        let mut loss = 0.0;
        let rows = outputs.chunks_exact(width).zip(by_outputs.chunks_exact_mut(width));
        for (place, (item, (output, by_output))) in self.targets.iter().zip(rows).enumerate() {
            by_output.fill(T::zero());
            let others = &self.negatives[place * negatives..(place + 1) * negatives];
            let cases = std::iter::once((*item, 1.0, self.weight));
            for (item, label, weight) in cases.chain(others.iter().map(|item| (*item, 0.0, share))) {
                geometry.vector(item, source, scratch);
                let logit = dot(output, scratch).to_f64();
                loss += weight * logit_loss(logit, label);
                let slope = weight * logit_slope(logit, label);
                add_scaled(by_output, T::from_f64(slope), scratch);
                geometry.vector_back(item, slope, output, target);
            }
        }
        loss
    }
}

/// Softmax cross entropy against the whole catalogue: the gradients by the outputs and by all item vectors, and the loss.
///
/// # Shapes
/// `outputs` positions × width; `vectors [items, width]`.
pub(super) fn catalogue_backward<T: Real>(
    outputs: &[T],
    targets: &[u32],
    vectors: &Tensor,
    weight: f64,
) -> Result<(Vec<T>, Option<Tensor>, f64)> {
    let (_, width) = vectors.dims2()?;
    let (mut by_outputs, mut by_vectors, mut loss) = (Vec::with_capacity(outputs.len()), None, 0.0);
    let transposed = vectors.t()?;
    for (outputs, targets) in outputs.chunks(CATALOGUE_ROWS * width).zip(targets.chunks(CATALOGUE_ROWS)) {
        let outputs = Tensor::from_slice(outputs, (targets.len(), width), vectors.device())?;
        let scores = outputs.matmul(&transposed)?;
        let slopes = slopes_of::<T>(&scores, targets, weight, &mut loss)?;
        with_values(&slopes.matmul(vectors)?, |values: &[T]| {
            by_outputs.extend_from_slice(values);
            Ok(())
        })?;
        let own = slopes.t()?.matmul(&outputs)?;
        by_vectors = Some(match by_vectors {
            None => own,
            Some(sum) => (sum + own)?,
        });
    }
    Ok((by_outputs, by_vectors, loss))
}

/// weight·(softmax − 1 where the target is).
fn slopes_of<T: Real>(scores: &Tensor, targets: &[u32], weight: f64, loss: &mut f64) -> Result<Tensor> {
    let items = scores.dim(1)?;
    let mut slopes: Vec<T> = Vec::with_capacity(scores.elem_count());
    with_values(scores, |scores: &[T]| {
        for (row, target) in scores.chunks_exact(items).zip(targets) {
            let start = slopes.len();
            let greatest = greatest(row);
            slopes.extend(row.iter().map(|x| (*x - greatest).exp()));
            let own = &mut slopes[start..];
            let total = sum(own);
            let target = *target as usize;
            *loss += weight * (total.to_f64().ln() + (greatest - row[target]).to_f64());
            let scale = T::from_f64(weight) / total;
            own.iter_mut().for_each(|x| *x *= scale);
            own[target] -= T::from_f64(weight);
        }
        Ok(())
    })?;
    Tensor::from_vec(slopes, scores.shape(), &Device::Cpu)?.to_device(scores.device())
}
