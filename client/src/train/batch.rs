//! One padded batch: rows go in shopper by shopper, each row's own gradients come out. [core]

use guildhall_shared::model_spec::ModelSpec;

use crate::data::observations::{Observations, ShopperKey, ShopperRows};
use crate::model::network::{BATCH_ROWS, Network, copy_out, layer_shapes};
use crate::train::contribution::{ContributionSink, LayerRows, RowGradient};

/// The buffers of a batch and of the shopper that is being summed. Kept over rounds.
pub(super) struct Batch {
    inputs: usize,
    /// The rows waiting for the next pass; at most [`BATCH_ROWS`].
    slots: Vec<Slot>,
    labels: Vec<f32>,
    logits: Vec<f32>,
    /// `layers[0].activations` holds the rows themselves.
    layers: Vec<LayerRows>,
    /// Gradient sum of the shopper whose rows are being walked; d values.
    contribution: Vec<f64>,
}

/// A row's place among the rows of its shopper.
#[derive(Clone, Copy)]
struct Slot {
    index: usize,
    of: usize,
}

impl Batch {
    pub(super) fn new(spec: &ModelSpec) -> Self {
        Batch {
            inputs: spec.inputs,
            slots: Vec::with_capacity(BATCH_ROWS),
            labels: vec![0.0; BATCH_ROWS],
            logits: vec![0.0; BATCH_ROWS],
            layers: layer_shapes(spec).into_iter().map(LayerRows::new).collect(),
            contribution: vec![0.0; spec.parameter_count()],
        }
    }

    /// Hands the contribution of every shopper that enters to the sink, in order.
    pub(super) fn run<S: ContributionSink>(
        &mut self,
        network: &Network,
        observations: &Observations,
        shoppers: &[ShopperRows],
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        sink: &mut S,
    ) -> candle_core::Result<()> {
        self.slots.clear();
        for shopper in shoppers.iter().filter(|shopper| shopper.end > shopper.start && enters(shopper.key)) {
            for row in shopper.start..shopper.end {
                self.push(
                    observations,
                    row,
                    Slot { index: row - shopper.start, of: shopper.end - shopper.start },
                );
                if self.slots.len() == BATCH_ROWS {
                    self.pass(network, sink)?;
                }
            }
        }
        if self.slots.is_empty() { Ok(()) } else { self.pass(network, sink) }
    }

    fn push(&mut self, observations: &Observations, row: usize, slot: Slot) {
        let start = self.slots.len() * self.inputs;
        self.layers[0].activations[start..start + self.inputs].copy_from_slice(observations.row(row));
        self.labels[self.slots.len()] = observations.labels[row];
        self.slots.push(slot);
    }

    fn pass<S: ContributionSink>(&mut self, network: &Network, sink: &mut S) -> candle_core::Result<()> {
        self.pad();
        self.gradients(network)?;
        for row in 0..self.slots.len() {
            self.hand_over(row, sink);
        }
        self.slots.clear();
        Ok(())
    }

    fn pad(&mut self) {
        let filled = self.slots.len();
        self.layers[0].activations[filled * self.inputs..].fill(0.0);
        self.labels[filled..].fill(0.0);
    }

    fn gradients(&mut self, network: &Network) -> candle_core::Result<()> {
        let forward = network.forward(&self.layers[0].activations)?;
        for (hidden, layer) in forward.hidden.iter().zip(&mut self.layers[1..]) {
            copy_out(hidden, &mut layer.activations)?;
        }
        forward.copy_logits(&mut self.logits)?;
        let Some((last, hidden)) = self.layers.split_last_mut() else { return Ok(()) };
        for ((delta, logit), label) in last.deltas.iter_mut().zip(&self.logits).zip(&self.labels) {
            *delta = logit_gradient(*logit, *label);
        }
        network.backward(&forward, &last.deltas, |index, delta| copy_out(delta, &mut hidden[index].deltas))
    }

    fn hand_over<S: ContributionSink>(&mut self, row: usize, sink: &mut S) {
        let slot = self.slots[row];
        let gradient = RowGradient { layers: &self.layers, row };
        if slot.of == 1 {
            return sink.add_row(&gradient, &mut self.contribution);
        }
        if slot.index == 0 {
            self.contribution.fill(0.0);
        }
        gradient.add_to(&mut self.contribution);
        if slot.index + 1 == slot.of {
            let rows = slot.of as f64;
            self.contribution.iter_mut().for_each(|g| *g /= rows);
            sink.add(&self.contribution);
        }
    }
}

/// Copies rows to the front of a batch and fills the rest with zeros.
pub(super) fn copy_rows(rows: &[f32], batch: &mut [f32]) {
    let (front, rest) = batch.split_at_mut(rows.len());
    front.copy_from_slice(rows);
    rest.fill(0.0);
}

/// d/dz of the binary cross entropy −y·ln σ(z) − (1−y)·ln(1−σ(z)): σ(z) − y, without cancellation or overflow.
fn logit_gradient(logit: f32, label: f32) -> f32 {
    let (z, y) = (f64::from(logit), f64::from(label));
    let e = (-z.abs()).exp();
    let gradient = if z >= 0.0 {
        // 1/(1+e) − y
        ((1.0 - y) - y * e) / (1.0 + e)
    } else {
        // e/(1+e) − y
        (e * (1.0 - y) - y) / (1.0 + e)
    };
    gradient as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logit_gradient_is_finite_and_right_where_floats_saturate() {
        for (z, y, expected) in [
            (0.0, 1.0, -0.5),
            (0.0, 0.0, 0.5),
            (2.0, 0.0, 0.880_797_1),
            (-2.0, 1.0, -0.880_797_1),
            (1e30, 1.0, 0.0),
            (1e30, 0.0, 1.0),
            (-1e30, 1.0, -1.0),
            (f32::INFINITY, 0.0, 1.0),
            (f32::NEG_INFINITY, 0.0, 0.0),
            // e^-40: the naive 1/(1+e^-z) − 1 is 0 here.
            (40.0, 1.0, -4.248_354e-18),
            (-40.0, 0.0, 4.248_354e-18),
        ] {
            let found = logit_gradient(z, y);
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "z={z} y={y}: {found} {expected}");
        }
        assert!(logit_gradient(f32::NAN, 1.0).is_nan());
    }
}
