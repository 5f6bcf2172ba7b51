//! What explains a prediction, where a model has something that does. [core]

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
