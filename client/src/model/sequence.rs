//! Networks over sequences, written once: for weights that all rows share, and for weights of every slot's own.
//!
//! A *slot* is the place of one shopper in a batch. Where every slot has its own copy of the weights, candle's own way back
//! gives every shopper's own gradient of every layer.
//!
//! # Privacy
//! On the CPU a slot's numbers are computed by products of its own, of a shape that its own rows decide, and by loops over
//! its own rows: nothing of it depends, not in one bit, on the other slots. `train/*/tests` prove it by test.

pub(crate) mod classifier;
mod composed;
mod fused;
pub(crate) mod item_encoder;
pub(crate) mod real;

use candle_core::{Device, Result, Tensor, Var};
use guildhall_shared::model_spec::ParameterSpec;

pub(crate) use fused::{SlotGradients, with_values};

use fused::Place;
use real::Real;

/// Added to the variance in a layer norm.
const NORM_EPSILON: f64 = 1e-6;

/// What follows a linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Squash {
    Nothing,
    Relu,
    Tanh,
}

/// Which code computes a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// One step forward and one back, on the CPU.
    Fused,
    /// Composed of candle's operations, anywhere.
    Composed,
}

impl Kernels {
    pub(crate) fn of(device: &Device) -> Self {
        if device.is_cpu() { Kernels::Fused } else { Kernels::Composed }
    }
}

/// The tensors of a network, in the order of its parameters, each for one or several groups of rows: `[groups, ..]`.
#[derive(Clone)]
pub(crate) struct Layers {
    tensors: Vec<Tensor>,
    pub(crate) kernels: Kernels,
    /// Where fused layers leave the gradients of so many slots; for nothing they go the weights' way.
    slots: Option<(SlotGradients, usize)>,
}

impl Layers {
    /// Weights as they are, repeated for every group.
    ///
    /// # Shapes
    /// `weights` as many values as the parameters have together.
    pub(crate) fn load<T: Real>(
        parameters: &[ParameterSpec],
        weights: &[f64],
        groups: usize,
        device: &Device,
    ) -> Result<Self> {
        let mut rest = weights;
        let mut tensors = Vec::with_capacity(parameters.len());
        for parameter in parameters {
            let (own, after) = rest.split_at(parameter.len());
            rest = after;
            let own: Vec<T> = own.iter().map(|w| T::from_f64(*w)).collect();
            let shape: Vec<usize> = std::iter::once(groups).chain(parameter.shape.iter().copied()).collect();
            tensors.push(Tensor::from_vec(own.repeat(groups), shape, device)?);
        }
        Ok(Layers { tensors, kernels: Kernels::of(device), slots: None })
    }

    /// The same values as variables, by which gradients can be asked for.
    pub(crate) fn variables(&self) -> Result<Self> {
        let variable = |tensor: &Tensor| Ok(Var::from_tensor(tensor)?.into_inner());
        let tensors = self.tensors.iter().map(variable).collect::<Result<_>>()?;
        Ok(Layers { tensors, ..self.clone() })
    }

    /// Other values for the same network.
    pub(crate) fn with(&self, tensors: Vec<Tensor>) -> Self {
        Layers { tensors, ..self.clone() }
    }

    /// The same layers, leaving the gradients of so many slots.
    pub(crate) fn leaving(&self, gradients: SlotGradients, slots: usize) -> Self {
        Layers { slots: Some((gradients, slots)), ..self.clone() }
    }

    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    fn reader(&self) -> Reader<'_> {
        Reader { layers: self, next: 0 }
    }
}

/// Hands out layers in the order of the parameters.
struct Reader<'l> {
    layers: &'l Layers,
    next: usize,
}

impl<'l> Reader<'l> {
    /// Two tensors, and where their gradients go.
    fn pair(&mut self) -> Result<(&'l Tensor, &'l Tensor, Option<Place>)> {
        let index = self.next;
        self.next += 2;
        let place = self.layers.slots.as_ref().map(|(gradients, slots)| Place {
            gradients: gradients.clone(),
            index,
            slots: *slots,
        });
        match self.layers.tensors.get(index..index + 2) {
            Some([first, second]) => Ok((first, second, place)),
            _ => Err(candle_core::Error::Msg("a network has more layers than weights".into())),
        }
    }

    /// # Shapes
    /// `x [.., inputs]` → `[.., outputs]`.
    fn linear(&mut self, x: &Tensor, squash: Squash) -> Result<Tensor> {
        let (weight, bias, place) = self.pair()?;
        match self.layers.kernels {
            Kernels::Fused => x.contiguous()?.apply_op3(weight, bias, fused::Linear { squash, place }),
            Kernels::Composed => composed::linear(x, weight, bias, squash),
        }
    }

    fn norm(&mut self, x: &Tensor) -> Result<Tensor> {
        let (scale, offset, place) = self.pair()?;
        match self.layers.kernels {
            Kernels::Fused => x.contiguous()?.apply_op3(scale, offset, fused::LayerNorm { place }),
            Kernels::Composed => composed::norm(x, scale, offset),
        }
    }

    /// The state after every step.
    ///
    /// # Shapes
    /// `inputs [rows, steps, 3·width]` → `[rows, steps, width]`.
    fn gru(&mut self, inputs: &Tensor) -> Result<Tensor> {
        let (weight, bias, place) = self.pair()?;
        match self.layers.kernels {
            Kernels::Fused => inputs.contiguous()?.apply_op3(weight, bias, fused::GruSteps::new(place)),
            Kernels::Composed => composed::gru(inputs, weight, bias),
        }
    }

    /// The state after every step.
    ///
    /// # Shapes
    /// `inputs [rows, steps, 4·width]` → `[rows, steps, width]`.
    fn lstm(&mut self, inputs: &Tensor) -> Result<Tensor> {
        let (weight, bias, place) = self.pair()?;
        match self.layers.kernels {
            Kernels::Fused => inputs.contiguous()?.apply_op3(weight, bias, fused::LstmSteps::new(place)),
            Kernels::Composed => composed::lstm(inputs, weight, bias),
        }
    }
}

#[cfg(test)]
mod tests;
