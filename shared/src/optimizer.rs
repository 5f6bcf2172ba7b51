//! Server optimisers that every client runs too, so that all arrive at the same bits. [core]
//!
//! Scalar f64 formulas in a fixed order: no fused multiply-add, no powi/powf, no float reductions; `+ - * /` and
//! `sqrt` are correctly rounded by IEEE 754 and so equal on every machine. Powers of β are kept as state.

use serde::{Deserialize, Serialize};

/// Which optimiser turns mean gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSpec {
    /// The update rule.
    pub rule: UpdateRule,
    /// Step size.
    pub learning_rate: f64,
    /// The released model is the mean of the weights after each of this many last rounds; 0 releases the last weights.
    /// Averaging is post-processing of what was released already and costs no privacy.
    pub average_last_rounds: u32,
}

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum UpdateRule {
    /// v ← momentum·v + g; w ← w − rate·v (Sutskever et al. 2013, in the form without dampening).
    Sgd {
        /// In [0, 1).
        momentum: f64,
    },
    /// Kingma and Ba 2015, Algorithm 1.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root.
        epsilon: f64,
    },
}

/// What an optimiser remembers between rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerState {
    /// Velocity (SGD) or first moment (Adam), d values.
    pub first: Vec<f64>,
    /// Second moment, d values; empty for SGD.
    pub second: Vec<f64>,
    /// β1 to the power of the step.
    pub beta1_power: f64,
    /// β2 to the power of the step.
    pub beta2_power: f64,
}

impl OptimizerState {
    /// Before the first step.
    pub fn new(rule: &UpdateRule, parameters: usize) -> Self {
        let second = match rule {
            UpdateRule::Sgd { .. } => vec![],
            UpdateRule::Adam { .. } => vec![0.0; parameters],
        };
        OptimizerState { first: vec![0.0; parameters], second, beta1_power: 1.0, beta2_power: 1.0 }
    }

    /// One step on the weights, in place.
    ///
    /// # Shapes
    /// `gradient` and `weights` d values; a gradient, that is, a direction of *descent* is its negative.
    pub fn step(&mut self, spec: &OptimizerSpec, gradient: impl Iterator<Item = f64>, weights: &mut [f64]) {
        let rate = spec.learning_rate;
        match spec.rule {
            UpdateRule::Sgd { momentum } => {
                for ((w, v), g) in weights.iter_mut().zip(&mut self.first).zip(gradient) {
                    *v = momentum * *v + g;
                    *w -= rate * *v;
                }
            }
            UpdateRule::Adam { beta1, beta2, epsilon } => {
                self.beta1_power *= beta1;
                self.beta2_power *= beta2;
                let (correct1, correct2) = (1.0 - self.beta1_power, 1.0 - self.beta2_power);
                let moments = self.first.iter_mut().zip(&mut self.second);
                for ((w, (m, v)), g) in weights.iter_mut().zip(moments).zip(gradient) {
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * (g * g);
                    *w -= rate * (*m / correct1) / ((*v / correct2).sqrt() + epsilon);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rule: UpdateRule, gradients: &[f64]) -> Vec<f64> {
        let spec = OptimizerSpec { rule, learning_rate: 0.1, average_last_rounds: 0 };
        let mut state = OptimizerState::new(&rule, 1);
        let mut weights = vec![1.0];
        gradients
            .iter()
            .map(|g| {
                state.step(&spec, std::iter::once(*g), &mut weights);
                weights[0]
            })
            .collect()
    }

    #[test]
    fn momentum_by_hand() {
        // v: 1, 1.5, 0.75; w: 1 - .1, - .15, - .075
        let w = run(UpdateRule::Sgd { momentum: 0.5 }, &[1.0, 1.0, 0.0]);
        for (found, expected) in w.iter().zip([0.9, 0.75, 0.675]) {
            assert!((found - expected).abs() < 1e-15, "{found} {expected}");
        }
    }

    #[test]
    fn the_first_steps_of_adam_are_the_learning_rate() {
        // With a constant gradient both bias-corrected moments are exact, so every step is rate·g/(|g|+ε).
        let w = run(UpdateRule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 }, &[3.0, 3.0, 3.0]);
        for (found, expected) in w.iter().zip([0.9, 0.8, 0.7]) {
            assert!((found - expected).abs() < 1e-8, "{found} {expected}");
        }
    }
}
