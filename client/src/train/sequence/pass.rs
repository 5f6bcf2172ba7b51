//! Rows through the network and back, whoever they belong to.

use candle_core::backprop::GradStore;
use candle_core::{Device, Error, Result, Tensor, Var};

use super::layout::Layout;
use crate::model::sequence::classifier::{logits, step_width};
use crate::model::sequence::real::Real;
use crate::model::sequence::{Layers, with_values};
use crate::train::slots::way_back;

/// Buffers for a number of rows.
pub(super) struct Pass<T> {
    rows: usize,
    fixed: Vec<T>,
    steps: Vec<T>,
    /// What is hidden of each row's summary; empty for nothing.
    hiding: Vec<T>,
}

/// What a way forward leaves behind.
pub(super) struct Forward {
    fixed: Option<Var>,
    steps: Var,
    logits: Tensor,
}

impl<T: Real> Pass<T> {
    /// All rows zero, nothing hidden.
    pub(super) fn start(layout: &Layout, rows: usize) -> Self {
        Pass {
            rows,
            fixed: vec![T::zero(); rows * layout.model.shape.fixed],
            steps: vec![T::zero(); rows * layout.steps()],
            hiding: vec![],
        }
    }

    /// Takes an embedded row in.
    pub(super) fn set(&mut self, layout: &Layout, row: usize, embedded: &[T]) {
        let (fixed, steps) = (layout.model.shape.fixed, layout.steps());
        layout.unfold(
            embedded,
            &mut self.fixed[row * fixed..(row + 1) * fixed],
            &mut self.steps[row * steps..(row + 1) * steps],
        );
    }

    /// What training hides of a row's summary, to be written.
    pub(super) fn hiding(&mut self, layout: &Layout, row: usize) -> &mut [T] {
        let summary = layout.model.summary();
        self.hiding.resize(self.rows * summary, T::zero());
        &mut self.hiding[row * summary..(row + 1) * summary]
    }

    pub(super) fn forward(&self, layout: &Layout, layers: &Layers, device: &Device) -> Result<Forward> {
        let model = &layout.model;
        let shape = (self.rows, model.shape.steps, step_width(model));
        let steps = Var::from_slice(&self.steps, shape, device)?;
        let fixed = match model.shape.fixed {
            0 => None,
            fixed => Some(Var::from_slice(&self.fixed, (self.rows, fixed), device)?),
        };
        let hiding = match self.hiding.is_empty() {
            true => None,
            false => Some(Tensor::from_slice(&self.hiding, (self.rows, model.summary()), device)?),
        };
        let given = fixed.as_ref().map(Var::as_tensor);
        let logits = logits(model, layers, steps.as_tensor(), given, hiding.as_ref())?;
        Ok(Forward { fixed, steps, logits })
    }

    /// Goes back from the derivatives by the logits. Afterwards [`Pass::gradient`] tells those by the rows.
    pub(super) fn backward(&mut self, forward: &Forward, slopes: Vec<T>) -> Result<GradStore> {
        let slopes = Tensor::from_vec(slopes, self.rows, forward.logits.device())?;
        let mut gradients = way_back(&forward.logits, slopes)?;
        let mut take = |variable: &Var, out: &mut [T]| match gradients.remove(variable.as_tensor()) {
            None => Err(Error::Msg("the inputs of the network got no gradient".into())),
            Some(gradient) => with_values(&gradient, |values: &[T]| {
                out.copy_from_slice(values);
                Ok(())
            }),
        };
        take(&forward.steps, &mut self.steps)?;
        if let Some(fixed) = &forward.fixed {
            take(fixed, &mut self.fixed)?;
        }
        Ok(gradients)
    }

    /// The gradient by an embedded row, after the way back.
    pub(super) fn gradient(&self, layout: &Layout, row: usize, embedded: &mut [T]) {
        let (fixed, steps) = (layout.model.shape.fixed, layout.steps());
        let fixed = &self.fixed[row * fixed..(row + 1) * fixed];
        layout.fold(fixed, &self.steps[row * steps..(row + 1) * steps], embedded);
    }
}

impl Forward {
    pub(super) fn logits<T: Real, R>(&self, with: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
        with_values(&self.logits, with)
    }
}
