//! What a model is made of: its architecture and its ordered, named parameters. [core]

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::wire;

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

/// A model family and its sizes. The last layer always gives one logit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// A model: an architecture over a number of inputs (for [`Architecture::Vector`]: of words).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Output widths of the linear layers, first to last; the last is 1. Empty for [`Architecture::Vector`].
    pub fn layer_widths(&self) -> Vec<usize> {
        match &self.architecture {
            Architecture::LogisticRegression => vec![1],
            Architecture::Mlp { hidden, .. } => hidden.iter().copied().chain([1]).collect(),
            Architecture::Vector => vec![],
        }
    }

    /// The ordered parameters: for each layer its weight `[outputs, inputs]`, then its bias `[outputs]`.
    /// The flat parameter vector everywhere else is their concatenation in this order.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        if self.architecture == Architecture::Vector {
            return vec![ParameterSpec { name: "vector".into(), shape: vec![self.inputs], fan_sum: 0 }];
        }
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
