//! What explains a prediction, where a model has something that does. [core]

use guildhall_shared::model_spec::ModelSpec;

use crate::explain::integrated_gradients::{Effort, attribute};
use crate::explain::mlp::Layers;

/// How much every input speaks for or against a prediction.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// How it was computed, for example "integrated gradients".
    pub method: &'static str,
    /// The logit that inputs are compared with: of what counts as "nothing known".
    pub baseline_logit: f64,
    /// What each input adds to the logit, compared with the baseline; one per input.
    pub attributions: Vec<f64>,
    /// How far the sum of the attributions may be from the difference of the logits.
    pub error: f64,
}

/// Explains predictions of one version.
pub trait Explain: Send + Sync {
    /// Explains the prediction for one observation; none where the model has no finite logit for it.
    ///
    /// # Shapes
    /// `inputs` as many as the model has.
    fn explain(&self, inputs: &[f32]) -> Option<Explanation>;
}

/// Integrated gradients of a logistic regression or an MLP, compared with an observation of which nothing is known: all inputs 0.
pub(super) struct LayerExplainer(Layers);

impl LayerExplainer {
    /// None for other models.
    pub fn of(spec: &ModelSpec, weights: &[f64]) -> Option<Self> {
        Layers::new(spec, weights).map(LayerExplainer)
    }
}

impl Explain for LayerExplainer {
    fn explain(&self, inputs: &[f32]) -> Option<Explanation> {
        let baseline = vec![0.0; inputs.len()];
        let (value, gradient) = (|x: &[f32]| self.0.logit(x), |x: &[f32]| self.0.gradient(x));
        let found = attribute(inputs, &baseline, Effort::default(), value, gradient).ok()?;
        Some(Explanation {
            method: "integrated gradients",
            baseline_logit: found.baseline_value,
            error: found.completeness_gap.abs().max(found.error),
            attributions: found.attributions,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_shared::model_spec::{Activation, Architecture};

    #[test]
    fn attributions_add_up_to_what_the_inputs_change() {
        let architecture = Architecture::Mlp { hidden: vec![3], activation: Activation::Tanh };
        let spec = ModelSpec { architecture, inputs: 2 };
        let weights: Vec<f64> = (0..spec.parameter_count()).map(|i| (i as f64 * 0.7).sin()).collect();
        let explainer = LayerExplainer::of(&spec, &weights).expect("an MLP");
        let found = explainer.explain(&[1.5, -0.5]).expect("finite");
        let sum: f64 = found.attributions.iter().sum();
        let gained = explainer.0.logit(&[1.5, -0.5]) - found.baseline_logit;
        assert!((sum - gained).abs() <= found.error + 1e-9 && found.error < 1e-2, "{found:?}");
        assert_eq!(explainer.explain(&[f32::NAN, 0.0]), None);
        let vector = ModelSpec { architecture: Architecture::Vector, inputs: 2 };
        assert!(LayerExplainer::of(&vector, &[0.0; 2]).is_none());
    }
}
