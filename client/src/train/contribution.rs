//! A row's gradient in factors, and where contributions go. [core]

use guildhall_privacy::clip::{OuterGradient, ShopperSum};

use crate::model::network::{BATCH_ROWS, LayerShape};

/// What one linear layer's weight gradients are made of, for all rows of a batch.
pub(super) struct LayerRows {
    shape: LayerShape,
    /// The layer's input, [`BATCH_ROWS`] × inputs.
    pub(super) activations: Vec<f32>,
    /// δ, the derivative of the row's loss by the layer's pre-activation, [`BATCH_ROWS`] × outputs.
    pub(super) deltas: Vec<f32>,
}

impl LayerRows {
    pub(super) fn new(shape: LayerShape) -> Self {
        LayerRows {
            shape,
            activations: vec![0.0; BATCH_ROWS * shape.inputs],
            deltas: vec![0.0; BATCH_ROWS * shape.outputs],
        }
    }
}

/// The gradient of one row's loss: for each layer δ ⊗ activation (weight), then δ (bias).
pub(super) struct RowGradient<'a> {
    pub(super) layers: &'a [LayerRows],
    pub(super) row: usize,
}

impl<'a> RowGradient<'a> {
    /// δ and activation of each layer.
    fn factors(&self) -> impl Iterator<Item = OuterGradient<'a>> + Clone + use<'a> {
        let (layers, row) = (self.layers, self.row);
        layers.iter().map(move |layer| {
            let LayerShape { inputs, outputs } = layer.shape;
            let delta = &layer.deltas[row * outputs..(row + 1) * outputs];
            OuterGradient { delta, activation: &layer.activations[row * inputs..(row + 1) * inputs] }
        })
    }

    /// Adds the gradient to d sums. The products are exact: two f32 have 48 significant bits together, f64 holds 53.
    pub(super) fn add_to(&self, sums: &mut [f64]) {
        let mut rest = sums;
        for OuterGradient { delta, activation } in self.factors() {
            let (weight, after) = rest.split_at_mut(delta.len() * activation.len());
            let (bias, after) = after.split_at_mut(delta.len());
            rest = after;
            for (row, delta) in weight.chunks_exact_mut(activation.len()).zip(delta) {
                let delta = f64::from(*delta);
                row.iter_mut().zip(activation).for_each(|(sum, a)| *sum += delta * f64::from(*a));
            }
            bias.iter_mut().zip(delta).for_each(|(sum, delta)| *sum += f64::from(*delta));
        }
    }
}

/// Takes one contribution after the other.
pub(super) trait ContributionSink: Send {
    /// The contribution of a shopper of several rows; d values.
    fn add(&mut self, contribution: &[f64]);

    /// The contribution of a shopper of one row. `scratch` has d values of no meaning.
    fn add_row(&mut self, gradient: &RowGradient<'_>, scratch: &mut [f64]) {
        scratch.fill(0.0);
        gradient.add_to(scratch);
        self.add(scratch);
    }
}

impl ContributionSink for ShopperSum {
    fn add(&mut self, contribution: &[f64]) {
        ShopperSum::add(self, contribution);
    }

    fn add_row(&mut self, gradient: &RowGradient<'_>, _: &mut [f64]) {
        self.add_outer(gradient.factors());
    }
}
