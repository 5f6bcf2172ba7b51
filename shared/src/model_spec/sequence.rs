//! Models that read a sequence and give one logit. [core]

use serde::{Deserialize, Serialize};

use super::{LocalTraining, ParameterSpec, bias, weight};

/// What reads the steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum SequenceEncoder {
    /// Gated recurrent unit (Cho et al. 2014, in the form of PyTorch: the reset gate is applied after the product).
    Gru,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gate).
    Lstm,
    /// 1-D convolution over time, ReLU; the mean and the maximum over time go on.
    Convolution {
        /// Steps that one output sees; odd.
        kernel: usize,
    },
}

/// How an observation's inputs are laid out: `fixed` numbers, then `steps` times a token (where there are any) and `channels`
/// numbers, the oldest step first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceShape {
    /// Numbers that do not belong to a step.
    pub fixed: usize,
    /// Steps.
    pub steps: usize,
    /// Numbers of every step.
    pub channels: usize,
    /// Size of the public vocabulary of tokens; 0 where steps have none.
    pub tokens: usize,
}

impl SequenceShape {
    /// Inputs of one step.
    pub fn step_inputs(&self) -> usize {
        self.channels + usize::from(self.tokens > 0)
    }

    /// Inputs per observation.
    pub fn inputs(&self) -> usize {
        self.fixed + self.steps * self.step_inputs()
    }
}

/// A sequence classifier: embedding of the tokens beside the channels → encoder → its summary beside the fixed inputs → a
/// hidden layer (tanh) → one logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SequenceClassifier {
    /// What reads the steps.
    pub encoder: SequenceEncoder,
    /// How inputs are laid out.
    pub shape: SequenceShape,
    /// Width of a token's vector; 0 ignores the tokens.
    pub embedding: usize,
    /// Width of the encoder's state, or channels of the convolution.
    pub width: usize,
    /// Width of the hidden layer; 0 for none.
    pub hidden: usize,
    /// Share of the summary's values that training hides; 0 for none.
    pub dropout: f64,
    /// Local training.
    pub training: LocalTraining,
}

impl SequenceClassifier {
    /// Numbers of one step as the encoder sees it.
    pub fn encoder_inputs(&self) -> usize {
        self.shape.channels + self.embedding
    }

    /// Values of the encoder's summary.
    pub fn summary(&self) -> usize {
        match self.encoder {
            SequenceEncoder::Gru | SequenceEncoder::Lstm => self.width,
            SequenceEncoder::Convolution { .. } => 2 * self.width,
        }
    }

    /// The ordered parameters.
    ///
    /// `embedding.weight [tokens, embedding]`; of a GRU or LSTM `encoder.input.{weight,bias}` and `encoder.hidden.{weight,bias}`
    /// with the gates stacked (reset, update, new; or input, forget, cell, output); of a convolution
    /// `encoder.{weight [width, kernel·inputs], bias}`; `hidden.{weight,bias}`; `output.{weight,bias}`.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let (width, inputs) = (self.width, self.encoder_inputs());
        let mut parameters = Vec::new();
        if self.embedding > 0 {
            let shape = vec![self.shape.tokens, self.embedding];
            parameters.push(ParameterSpec {
                name: "embedding.weight".into(),
                shape,
                fan_sum: 2 * self.embedding,
            });
        }
        let recurrent = |gates: usize| {
            vec![
                weight("encoder.input", gates * width, inputs, inputs + width),
                bias("encoder.input", gates * width),
                weight("encoder.hidden", gates * width, width, 2 * width),
                bias("encoder.hidden", gates * width),
            ]
        };
        parameters.extend(match self.encoder {
            SequenceEncoder::Gru => recurrent(3),
            SequenceEncoder::Lstm => recurrent(4),
            SequenceEncoder::Convolution { kernel } => {
                let seen = kernel * inputs;
                vec![weight("encoder", width, seen, seen + width), bias("encoder", width)]
            }
        });
        let mut last = self.summary() + self.shape.fixed;
        if self.hidden > 0 {
            parameters.push(weight("hidden", self.hidden, last, last + self.hidden));
            parameters.push(bias("hidden", self.hidden));
            last = self.hidden;
        }
        parameters.extend([weight("output", 1, last, last + 1), bias("output", 1)]);
        parameters
    }
}
