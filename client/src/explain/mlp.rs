//! The logit of a model of linear layers and its gradient by the inputs, in plain f64. [core]

use guildhall_shared::model_spec::{Activation, Architecture, ModelSpec};

struct Layer {
    inputs: usize,
    /// `[outputs, inputs]`, row-major.
    weight: Vec<f64>,
    bias: Vec<f64>,
}

/// A logistic regression or an MLP, ready to be explained. The weights are rounded as training and serving round them.
pub struct Layers {
    layers: Vec<Layer>,
    activation: Option<Activation>,
    inputs: usize,
}

impl Layers {
    /// `None` where the model is of another family, or has other than d weights.
    ///
    /// # Shapes
    /// `weights` d values in the order of [`ModelSpec::parameters`].
    pub fn new(spec: &ModelSpec, weights: &[f64]) -> Option<Self> {
        let activation = match &spec.architecture {
            Architecture::LogisticRegression => None,
            Architecture::Mlp { activation, .. } => Some(*activation),
            _ => return None,
        };
        if weights.len() != spec.parameter_count() {
            return None;
        }
        let mut rest = weights.iter().map(|w| f64::from(*w as f32));
        let mut inputs = spec.inputs;
        let mut layers = Vec::new();
        for outputs in spec.layer_widths() {
            let weight = rest.by_ref().take(inputs * outputs).collect();
            let bias = rest.by_ref().take(outputs).collect();
            layers.push(Layer { inputs, weight, bias });
            inputs = outputs;
        }
        Some(Layers { layers, activation, inputs: spec.inputs })
    }

    /// Inputs of one observation.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The logit of one observation.
    ///
    /// # Panics
    /// Where `inputs` are not as many as [`Self::inputs`].
    pub fn logit(&self, inputs: &[f32]) -> f64 {
        self.forward(inputs).1
    }

    /// The derivative of the logit by every input. At a kink of ReLU the derivative from below.
    ///
    /// # Panics
    /// Where `inputs` are not as many as [`Self::inputs`].
    pub fn gradient(&self, inputs: &[f32]) -> Vec<f32> {
        let (hidden, _) = self.forward(inputs);
        let mut delta = vec![1.0];
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let mut by_input = vec![0.0; layer.inputs];
            for (row, delta) in layer.weight.chunks_exact(layer.inputs.max(1)).zip(&delta) {
                by_input.iter_mut().zip(row).for_each(|(sum, w)| *sum += w * delta);
            }
            if let Some(values) = index.checked_sub(1).and_then(|below| hidden.get(below)) {
                by_input.iter_mut().zip(values).for_each(|(d, h)| *d *= self.slope(*h));
            }
            delta = by_input;
        }
        delta.into_iter().map(|d| d as f32).collect()
    }

    /// The derivative of the activation, given its value.
    fn slope(&self, value: f64) -> f64 {
        match self.activation {
            Some(Activation::Tanh) => 1.0 - value * value,
            Some(Activation::Relu) => f64::from(u8::from(value > 0.0)),
            None => 1.0,
        }
    }

    /// The values of every hidden layer, and the logit.
    fn forward(&self, inputs: &[f32]) -> (Vec<Vec<f64>>, f64) {
        assert_eq!(inputs.len(), self.inputs, "an observation has as many inputs as the model");
        let mut x: Vec<f64> = inputs.iter().map(|v| f64::from(*v)).collect();
        let mut hidden = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let rows = layer.weight.chunks_exact(layer.inputs.max(1)).zip(&layer.bias);
            let mut outputs =
                rows.map(|(row, bias)| row.iter().zip(&x).map(|(w, v)| w * v).sum::<f64>() + bias);
            if index + 1 == self.layers.len() {
                return (hidden, outputs.next_back().unwrap_or(0.0));
            }
            x = match self.activation {
                Some(Activation::Tanh) => outputs.map(f64::tanh).collect(),
                // Written so that NaN stays NaN.
                Some(Activation::Relu) => outputs.map(|v| if v <= 0.0 { 0.0 } else { v }).collect(),
                None => outputs.collect(),
            };
            hidden.push(x.clone());
        }
        (hidden, 0.0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::draws::Draws;

    pub(in crate::explain) fn uniform(draws: &mut Draws) -> f64 {
        (draws.word() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub(in crate::explain) fn random(architecture: Architecture, inputs: usize, seed: u64) -> Layers {
        let spec = ModelSpec { architecture, inputs };
        let mut draws = Draws::new(seed);
        let weights: Vec<f64> = (0..spec.parameter_count()).map(|_| uniform(&mut draws)).collect();
        Layers::new(&spec, &weights).expect("linear layers")
    }

    pub(in crate::explain) fn mlp(activation: Activation) -> Architecture {
        Architecture::Mlp { hidden: vec![7, 5], activation }
    }

    /// Central differences of step 1e-3: exact for linear pieces but for rounding, off by its square for tanh. Points whose
    /// one-sided slopes differ have a kink of ReLU between them and are no test.
    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut tested = 0;
        for architecture in [Architecture::LogisticRegression, mlp(Activation::Tanh), mlp(Activation::Relu)] {
            for seed in 0..20 {
                let layers = random(architecture.clone(), 6, seed);
                let mut draws = Draws::new(seed + 100);
                let x: Vec<f32> = (0..6).map(|_| uniform(&mut draws) as f32).collect();
                for (input, found) in layers.gradient(&x).into_iter().enumerate() {
                    let slope = |from: f32, to: f32| {
                        let (mut a, mut b) = (x.clone(), x.clone());
                        (a[input], b[input]) = (x[input] + from, x[input] + to);
                        (layers.logit(&b) - layers.logit(&a)) / (f64::from(b[input]) - f64::from(a[input]))
                    };
                    let kink = (slope(0.0, 1e-3) - slope(-1e-3, 0.0)).abs();
                    let smooth = architecture == mlp(Activation::Tanh);
                    if smooth || kink < 1e-6 {
                        let expected = slope(-1e-3, 1e-3);
                        assert!((f64::from(found) - expected).abs() < 2e-5, "{found} {expected}");
                        tested += 1;
                    }
                }
            }
        }
        assert!(tested > 350, "{tested}");
    }

    #[test]
    fn a_logit_by_hand() {
        let spec = ModelSpec {
            architecture: Architecture::Mlp { hidden: vec![2], activation: Activation::Relu },
            inputs: 2,
        };
        // Hidden: relu(1·1 + 2·2 + 0.5) = 5.5 and relu(−1·1 + 0·2 + 0) = 0; logit 3·5.5 + 4·0 − 1.
        let layers =
            Layers::new(&spec, &[1.0, 2.0, -1.0, 0.0, 0.5, 0.0, 3.0, 4.0, -1.0]).expect("nine weights");
        assert_eq!(layers.logit(&[1.0, 2.0]), 15.5);
        assert_eq!(layers.gradient(&[1.0, 2.0]), [3.0, 6.0]);
        assert!(layers.logit(&[f32::NAN, 2.0]).is_nan(), "ReLU must not make a number of it");
        assert!(Layers::new(&spec, &[1.0; 8]).is_none());
        assert!(
            Layers::new(&ModelSpec { architecture: Architecture::Vector, inputs: 2 }, &[1.0; 2]).is_none()
        );
    }

    /// What is explained is what is trained and served: the same logit as the batched network gives.
    #[test]
    fn the_logit_is_the_trainer_s() {
        use crate::data::observations::{Observations, ShopperKey};
        use crate::model::DeviceChoice;
        use crate::train::Trainer;
        for architecture in [Architecture::LogisticRegression, mlp(Activation::Tanh), mlp(Activation::Relu)] {
            let spec = ModelSpec { architecture, inputs: 6 };
            let mut draws = Draws::new(5);
            let weights: Vec<f64> = (0..spec.parameter_count()).map(|_| uniform(&mut draws)).collect();
            let mut rows = Observations::empty(6);
            for key in 0..9 {
                let row: Vec<f32> = (0..6).map(|_| uniform(&mut draws) as f32).collect();
                rows.push(ShopperKey([key; 16]), &row, 1.0);
            }
            let trained = Trainer::new(&spec, &DeviceChoice::Cpu).and_then(|t| t.logits(&weights, &rows));
            let layers = Layers::new(&spec, &weights).expect("linear layers");
            for (row, expected) in trained.expect("logits").into_iter().enumerate() {
                assert!((layers.logit(rows.row(row)) - f64::from(expected)).abs() < 1e-5);
            }
        }
    }
}
