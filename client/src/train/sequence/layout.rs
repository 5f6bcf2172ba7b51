//! How an observation's row becomes what the network reads, and the way back. [core]

use guildhall_shared::model_spec::{ModelSpec, SequenceClassifier, SequenceEncoder};

use crate::model::sequence::classifier::step_width;
use crate::model::sequence::real::Real;
use crate::train::slots::{ParameterLayout, RowSource, RowTarget};

/// A sequence classifier: sizes, no weights.
///
/// A row is *embedded* as its fixed inputs, then for every step the vector of its token and its channels.
#[derive(Clone)]
pub(super) struct Layout {
    pub(super) model: SequenceClassifier,
    pub(super) parameters: ParameterLayout,
}

impl Layout {
    pub(super) fn new(model: &SequenceClassifier, spec: &ModelSpec) -> Self {
        let tables = usize::from(model.embedding > 0);
        let parameters = ParameterLayout::new(spec.parameters(), tables, model.embedding);
        Layout { model: model.clone(), parameters }
    }

    /// Values of an embedded row.
    pub(super) fn embedded(&self) -> usize {
        self.model.shape.fixed + self.model.shape.steps * self.model.encoder_inputs()
    }

    /// Values that the encoder reads of a row.
    pub(super) fn steps(&self) -> usize {
        self.model.shape.steps * step_width(&self.model)
    }

    /// The token of every step; none where the value is not one of the vocabulary, or where tokens are ignored.
    pub(super) fn tokens<'r>(&'r self, row: &'r [f32]) -> impl Iterator<Item = Option<u32>> + 'r {
        let shape = self.model.shape;
        (0..shape.steps).map(move |step| {
            let value = row[shape.fixed + step * shape.step_inputs()];
            let known = self.model.embedding > 0 && value >= 0.0 && value < shape.tokens as f32;
            (known && value.fract() == 0.0).then_some(value as u32)
        })
    }

    /// # Shapes
    /// `row` as in observations; `out` an embedded row.
    pub(super) fn embed<T: Real>(&self, row: &[f32], source: &RowSource<'_, T>, out: &mut [T]) {
        let (shape, embedding) = (self.model.shape, self.model.embedding);
        let (fixed, steps) = out.split_at_mut(shape.fixed);
        let real = |x: &f32| T::from_f64(f64::from(*x));
        fixed.iter_mut().zip(row).for_each(|(out, x)| *out = real(x));
        let inputs = row[shape.fixed..].chunks_exact(shape.step_inputs().max(1));
        let steps = steps.chunks_exact_mut(self.model.encoder_inputs().max(1));
        for ((out, input), token) in steps.zip(inputs).zip(self.tokens(row)) {
            let (vector, channels) = out.split_at_mut(embedding);
            vector.fill(T::zero());
            if let Some(token) = token {
                source.add_to(token, T::one(), vector);
            }
            let given = &input[shape.step_inputs() - shape.channels..];
            channels.iter_mut().zip(given).for_each(|(out, x)| *out = real(x));
        }
    }

    /// Hands the gradient by an embedded row to the tokens' vectors.
    pub(super) fn embed_back<T: Real>(&self, row: &[f32], gradient: &[T], target: &mut impl RowTarget<T>) {
        let steps = gradient[self.model.shape.fixed..].chunks_exact(self.model.encoder_inputs().max(1));
        for (gradient, token) in steps.zip(self.tokens(row)) {
            if let Some(token) = token {
                target.add(token, 1.0, &gradient[..self.model.embedding]);
            }
        }
    }

    /// Where the values of every step of an embedded row go among those that the encoder reads: (from, to, how many).
    fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
        let (width, steps) = (self.model.encoder_inputs(), self.model.shape.steps);
        let kernel = match self.model.encoder {
            SequenceEncoder::Convolution { kernel } => kernel,
            SequenceEncoder::Gru | SequenceEncoder::Lstm => 1,
        };
        let start = self.model.shape.fixed;
        (0..steps).flat_map(move |step| {
            (0..kernel).filter_map(move |tap| {
                // Before the first step and after the last are zeros.
                let seen = (step + tap).checked_sub(kernel / 2).filter(|seen| *seen < steps)?;
                Some((start + seen * width, (step * kernel + tap) * width, width))
            })
        })
    }

    /// An embedded row as the encoder reads it.
    pub(super) fn unfold<T: Real>(&self, embedded: &[T], fixed: &mut [T], steps: &mut [T]) {
        fixed.copy_from_slice(&embedded[..self.model.shape.fixed]);
        for (from, to, count) in self.places() {
            steps[to..to + count].copy_from_slice(&embedded[from..from + count]);
        }
    }

    /// The gradient by an embedded row, from those by what the encoder reads.
    pub(super) fn fold<T: Real>(&self, fixed: &[T], steps: &[T], embedded: &mut [T]) {
        embedded.fill(T::zero());
        embedded[..fixed.len()].copy_from_slice(fixed);
        for (from, to, count) in self.places() {
            let pairs = embedded[from..from + count].iter_mut().zip(&steps[to..to + count]);
            pairs.for_each(|(sum, g)| *sum += *g);
        }
    }
}
