//! Networks that read an observation's steps and its fixed inputs and give one logit.

use candle_core::{D, Result, Tensor};
use guildhall_shared::model_spec::{SequenceClassifier, SequenceEncoder};

use super::{Kernels, Layers, Squash, composed, fused};

/// Numbers of one step as the network takes them: a convolution takes all that one output sees side by side.
pub(crate) fn step_width(model: &SequenceClassifier) -> usize {
    match model.encoder {
        SequenceEncoder::Convolution { kernel } => kernel * model.encoder_inputs(),
        SequenceEncoder::Gru | SequenceEncoder::Lstm => model.encoder_inputs(),
    }
}

/// The logit of every row.
///
/// # Shapes
/// `steps [rows, steps, step_width]`, `fixed [rows, fixed]` or none, `hiding [rows, summary]` → `[rows]`.
pub(crate) fn logits(
    model: &SequenceClassifier,
    layers: &Layers,
    steps: &Tensor,
    fixed: Option<&Tensor>,
    hiding: Option<&Tensor>,
) -> Result<Tensor> {
    let mut reader = layers.reader();
    let summary = match model.encoder {
        SequenceEncoder::Convolution { .. } => {
            let seen = reader.linear(steps, Squash::Relu)?;
            match layers.kernels {
                Kernels::Fused => seen.apply_op1(fused::MeanAndMaximum)?,
                Kernels::Composed => composed::mean_and_maximum(&seen)?,
            }
        }
        SequenceEncoder::Gru => {
            let inputs = reader.linear(steps, Squash::Nothing)?;
            last(&reader.gru(&inputs)?)?
        }
        SequenceEncoder::Lstm => {
            let inputs = reader.linear(steps, Squash::Nothing)?;
            last(&reader.lstm(&inputs)?)?
        }
    };
    let summary = hiding.map_or(Ok(summary.clone()), |hiding| summary.mul(hiding))?;
    let mut x = match fixed {
        Some(fixed) => Tensor::cat(&[&summary, fixed], 1)?,
        None => summary,
    };
    if model.hidden > 0 {
        x = reader.linear(&x, Squash::Tanh)?;
    }
    reader.linear(&x, Squash::Nothing)?.squeeze(D::Minus1)
}

/// `[rows, steps, width]` → the last step's `[rows, width]`.
fn last(states: &Tensor) -> Result<Tensor> {
    states.narrow(1, states.dim(1)? - 1, 1)?.squeeze(1)
}
