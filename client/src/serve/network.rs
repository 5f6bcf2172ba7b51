//! The forward pass of a small model on one observation: a plain loop in f64 over weights rounded to f32. [core]
//!
//! The weights are rounded as training rounds them, so that serving and evaluation see the same model.

use guildhall_shared::model_spec::{Activation, Architecture, ModelSpec};

use crate::data::observations::{Observations, ShopperKey};
use crate::model::DeviceChoice;
use crate::train::sequence::{SequenceScorer, SequenceTrainer};

struct Layer {
    inputs: usize,
    /// `[outputs, inputs]`, row-major.
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// A model ready to answer one observation at a time.
pub(super) struct Network {
    layers: Vec<Layer>,
    activation: Option<Activation>,
    inputs: usize,
    /// Of a model that reads a sequence.
    sequence: Option<SequenceScorer>,
}

impl Network {
    /// # Shapes
    /// `weights` d values in the order of [`ModelSpec::parameters`].
    pub fn new(spec: &ModelSpec, weights: &[f64]) -> Self {
        let mut rest = weights.iter().map(|w| f64::from(*w as f32));
        let mut inputs = spec.inputs;
        let mut layers = Vec::new();
        for outputs in spec.layer_widths() {
            let weight = rest.by_ref().take(inputs * outputs).collect();
            let bias = rest.by_ref().take(outputs).collect();
            layers.push(Layer { inputs, weight, bias });
            inputs = outputs;
        }
        let activation = match &spec.architecture {
            Architecture::Mlp { activation, .. } => Some(*activation),
            _ => None,
        };
        let sequence = match &spec.architecture {
            Architecture::Sequence(_) => SequenceTrainer::new(spec, &DeviceChoice::Cpu, [0; 32])
                .and_then(|trainer| trainer.scorer(weights))
                .ok(),
            _ => None,
        };
        Network { layers, activation, inputs: spec.inputs, sequence }
    }

    /// Inputs of one observation.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The logit of one observation; `None` for a bare vector, which has none.
    ///
    /// # Shapes
    /// `inputs` as many as [`Self::inputs`].
    pub fn logit(&self, inputs: &[f32]) -> Option<f64> {
        if let Some(scorer) = &self.sequence {
            let mut row = Observations::empty(self.inputs);
            row.push(ShopperKey([0; 16]), inputs, 0.0);
            return scorer.logits(&row).ok()?.first().map(|logit| f64::from(*logit));
        }
        let mut x: Vec<f64> = inputs.iter().map(|v| f64::from(*v)).collect();
        let last = self.layers.len().checked_sub(1)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let rows = layer.weight.chunks_exact(layer.inputs).zip(&layer.bias);
            let outputs = rows.map(|(row, bias)| row.iter().zip(&x).map(|(w, v)| w * v).sum::<f64>() + bias);
            x = match self.activation.filter(|_| index < last) {
                Some(Activation::Tanh) => outputs.map(f64::tanh).collect(),
                Some(Activation::Relu) => outputs.map(|v| v.max(0.0)).collect(),
                None => outputs.collect(),
            };
        }
        x.first().copied()
    }
}

/// 1 / (1 + e^−logit), without overflow.
pub(super) fn probability(logit: f64) -> f64 {
    if logit >= 0.0 {
        1.0 / (1.0 + (-logit).exp())
    } else {
        let power = logit.exp();
        power / (1.0 + power)
    }
}
