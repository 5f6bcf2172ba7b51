//! What a model is made of: its architecture and its ordered, named parameters. [core]

mod items;
mod metrics;
mod sequence;
mod start;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::wire;

pub use items::{Diagonal, ItemEncoder, ItemRanking, ItemStatistics, MatrixFactorization, NextItemModel};
pub use metrics::{MeasuredFigures, Metrics};
pub use sequence::{SequenceClassifier, SequenceEncoder, SequenceShape};
pub use start::{ItemVectors, START_BYTES_MAX};

/// The largest model a job may declare, in parameters.
pub const PARAMETERS_MAX: usize = 1 << 28;

/// The non-linearity of a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// Hyperbolic tangent.
    Tanh,
    /// max(x, 0).
    Relu,
}

/// A model family and its sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Architecture {
    /// One linear layer: inputs → 1 logit.
    LogisticRegression,
    /// Linear layers with an activation between: inputs → hidden… → 1 logit.
    Mlp {
        /// Width of every hidden layer.
        hidden: Vec<usize>,
        /// After every hidden layer.
        activation: Activation,
    },
    /// A bare vector that nothing trains: for measuring rounds only.
    Vector,
    /// A sequence → 1 logit.
    Sequence(SequenceClassifier),
    /// Statistics of a catalogue's items → item-item models.
    ItemStatistics(ItemStatistics),
    /// Item vectors, with shoppers' factors that never leave.
    MatrixFactorization(MatrixFactorization),
    /// A history → a score for every item of a catalogue.
    NextItem(NextItemModel),
    /// How good a model is that another job released.
    Metrics(Metrics),
}

impl Architecture {
    /// Whether a job with it releases a model of its own. Metrics are figures of one that another job released.
    pub fn releases_model(&self) -> bool {
        !matches!(self, Architecture::Metrics(_))
    }
}

/// How contributions come from rows, where that is more than one gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LocalTraining {
    /// Steps of gradient descent on the shopper's own rows; its contribution is what they changed, reversed and over the
    /// learning rate: of one step the gradient.
    pub steps: u32,
    /// Step size of the shopper's own steps, or of the merchant's.
    pub learning_rate: f64,
    /// Epochs of ordinary training (Adam) over all of a merchant's shoppers together; its contribution is what they changed,
    /// reversed, times its number of shoppers. Only without privacy: one shopper moves all of it. 0 for contributions shopper
    /// by shopper.
    pub merchant_epochs: u32,
    /// Shoppers of one step of the merchant's ordinary training.
    pub batch: u32,
}

fn weight(name: &str, outputs: usize, inputs: usize, fan_sum: usize) -> ParameterSpec {
    ParameterSpec { name: format!("{name}.weight"), shape: vec![outputs, inputs], fan_sum }
}

fn bias(name: &str, outputs: usize) -> ParameterSpec {
    ParameterSpec { name: format!("{name}.bias"), shape: vec![outputs], fan_sum: 0 }
}

/// A model: an architecture over a number of inputs (for [`Architecture::Vector`]: of words).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    /// Family and sizes.
    pub architecture: Architecture,
    /// Inputs per observation.
    pub inputs: usize,
}

/// One named tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// For example `layer0.weight`.
    pub name: String,
    /// Row-major shape: `[outputs, inputs]` of a weight, `[outputs]` of a bias.
    pub shape: Vec<usize>,
    /// Glorot fan-in plus fan-out of a weight; 0 means "start at zero".
    pub fan_sum: usize,
}

impl ParameterSpec {
    /// Number of scalars.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the tensor holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl ModelSpec {
    /// Output widths of the linear layers of a logistic regression or an MLP, first to last; the last is 1. Empty for others.
    pub fn layer_widths(&self) -> Vec<usize> {
        match &self.architecture {
            Architecture::LogisticRegression => vec![1],
            Architecture::Mlp { hidden, .. } => hidden.iter().copied().chain([1]).collect(),
            _ => vec![],
        }
    }

    /// The ordered parameters: of linear layers for each its weight `[outputs, inputs]`, then its bias `[outputs]`.
    /// The flat parameter vector everywhere else is their concatenation in this order.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        match &self.architecture {
            Architecture::LogisticRegression | Architecture::Mlp { .. } => self.layers(),
            Architecture::Vector => {
                vec![ParameterSpec { name: "vector".into(), shape: vec![self.inputs], fan_sum: 0 }]
            }
            Architecture::Sequence(model) => model.parameters(),
            Architecture::ItemStatistics(model) => model.parameters(),
            Architecture::MatrixFactorization(model) => model.parameters(),
            Architecture::NextItem(model) => model.parameters(),
            Architecture::Metrics(model) => model.parameters(),
        }
    }

    fn layers(&self) -> Vec<ParameterSpec> {
        let mut inputs = self.inputs;
        let mut parameters = Vec::new();
        for (layer, outputs) in self.layer_widths().into_iter().enumerate() {
            // A lone linear layer starts at zero: its loss is convex and zero is the neutral guess.
            let fan_sum =
                if self.architecture == Architecture::LogisticRegression { 0 } else { inputs + outputs };
            parameters.push(ParameterSpec {
                name: format!("layer{layer}.weight"),
                shape: vec![outputs, inputs],
                fan_sum,
            });
            parameters.push(ParameterSpec {
                name: format!("layer{layer}.bias"),
                shape: vec![outputs],
                fan_sum: 0,
            });
            inputs = outputs;
        }
        parameters
    }

    /// d, the number of scalars.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(ParameterSpec::len).sum()
    }

    /// Which of the d values a round that trains from version `step` measures; the noise on all others is thrown away. All but
    /// for item statistics.
    pub fn measured(&self, step: u32) -> Range<usize> {
        match (&self.architecture, step) {
            (Architecture::ItemStatistics(model), 0) => 0..model.items,
            (Architecture::ItemStatistics(model), _) => model.items..self.parameter_count(),
            _ => 0..self.parameter_count(),
        }
    }

    /// The values that the first parameters start with; none where all are drawn from the seed.
    pub fn start(&self) -> Option<&ItemVectors> {
        match &self.architecture {
            Architecture::NextItem(model) => model.start.as_ref(),
            _ => None,
        }
    }

    /// The digest of the canonical encoding.
    pub fn digest(&self) -> Digest {
        Digest::of("guildhall model spec v1", &[&wire::encode(self).unwrap_or_default()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mlp_of_35_16_1_has_593_parameters() {
        let spec = ModelSpec {
            architecture: Architecture::Mlp { hidden: vec![16], activation: Activation::Tanh },
            inputs: 35,
        };
        assert_eq!(spec.parameter_count(), 35 * 16 + 16 + 16 + 1);
        let names: Vec<String> = spec.parameters().into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["layer0.weight", "layer0.bias", "layer1.weight", "layer1.bias"]);
    }

    #[test]
    fn a_logistic_regression_starts_at_zero() {
        let spec = ModelSpec { architecture: Architecture::LogisticRegression, inputs: 3 };
        assert_eq!(spec.parameter_count(), 4);
        assert!(spec.parameters().iter().all(|p| p.fan_sum == 0));
    }
}
