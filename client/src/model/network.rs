//! The forward pass, and the way back to every row's own δ in every layer, at one fixed batch shape.
//!
//! # Privacy
//! A shopper's contribution must not depend, not in one bit, on who else is in the batch. Kernels for matrix products
//! differ between batch sizes but treat every row alike at one size, so every batch has exactly [`BATCH_ROWS`] rows,
//! padded with zeros. `train/tests/invariance.rs` is the proof by test.

use candle_core::{Device, Result, Storage, Tensor};
use guildhall_shared::model_spec::{Activation, Architecture, ModelSpec};

/// Rows of every batch.
pub(crate) const BATCH_ROWS: usize = 256;

/// Widths of one linear layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// The linear layers of a model, first to last; empty for [`Architecture::Vector`].
pub(crate) fn layer_shapes(spec: &ModelSpec) -> Vec<LayerShape> {
    let mut inputs = spec.inputs;
    let shapes = spec.layer_widths().into_iter().map(|outputs| {
        let shape = LayerShape { inputs, outputs };
        inputs = outputs;
        shape
    });
    shapes.collect()
}

/// A model's weights, ready on the device.
pub(crate) struct Network {
    layers: Vec<Layer>,
    activation: Option<Activation>,
    inputs: usize,
    device: Device,
}

struct Layer {
    /// `[inputs, outputs]`, contiguous: in this layout every kernel seen adds over the inputs in the same order, so
    /// the fixed batch shape is a second safeguard and not the only one.
    weight: Tensor,
    /// `[BATCH_ROWS, outputs]`: repeated for every row.
    bias: Tensor,
}

/// What a forward pass leaves behind.
pub(crate) struct Forward {
    /// Input of every layer after the first, `[BATCH_ROWS, inputs]`.
    pub(crate) hidden: Vec<Tensor>,
    logits: Tensor,
}

impl Network {
    /// Puts `weights` (d values in the order of [`ModelSpec::parameters`]) on the device, rounded to f32.
    pub(crate) fn load(spec: &ModelSpec, weights: &[f64], device: &Device) -> Result<Self> {
        let shapes = layer_shapes(spec);
        let mut layers = Vec::with_capacity(shapes.len());
        let mut rest = weights;
        for shape in &shapes {
            let (weight, after) = rest.split_at(shape.inputs * shape.outputs);
            let (bias, after) = after.split_at(shape.outputs);
            rest = after;
            let bias = Tensor::from_vec(repeat_rows(bias), (BATCH_ROWS, shape.outputs), device)?;
            let weight = Tensor::from_vec(transpose(weight, *shape), (shape.inputs, shape.outputs), device)?;
            layers.push(Layer { weight, bias });
        }
        let activation = match &spec.architecture {
            Architecture::Mlp { activation, .. } => Some(*activation),
            _ => None,
        };
        Ok(Network { layers, activation, inputs: spec.inputs, device: device.clone() })
    }

    /// # Shapes
    /// `rows` [`BATCH_ROWS`] × inputs, row-major.
    pub(crate) fn forward(&self, rows: &[f32]) -> Result<Forward> {
        let mut x = Tensor::from_slice(rows, (BATCH_ROWS, self.inputs), &self.device)?;
        let mut hidden = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            x = x.matmul(&layer.weight)?.add(&layer.bias)?;
            if index + 1 < self.layers.len() {
                x = self.activate(&x)?;
                hidden.push(x.clone());
            }
        }
        Ok(Forward { hidden, logits: x })
    }

    fn activate(&self, x: &Tensor) -> Result<Tensor> {
        match self.activation {
            Some(Activation::Tanh) => x.tanh(),
            Some(Activation::Relu) => x.relu(),
            None => Ok(x.clone()),
        }
    }

    /// Every row's δ of every hidden layer, last to first, given every row's derivative of its loss by its logit.
    ///
    /// Written out rather than left to automatic differentiation: it is the same chain rule without the gradients of
    /// the whole batch by the weights, which nobody wants here, and a third of the work.
    ///
    /// # Shapes
    /// `logit_gradients` [`BATCH_ROWS`]; `take` gets the hidden layer's index and its δ, `[BATCH_ROWS, outputs]`.
    pub(crate) fn backward(
        &self,
        forward: &Forward,
        logit_gradients: &[f32],
        mut take: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        if forward.hidden.is_empty() {
            return Ok(());
        }
        let mut delta = Tensor::from_slice(logit_gradients, (BATCH_ROWS, 1), &self.device)?;
        for (index, hidden) in forward.hidden.iter().enumerate().rev() {
            let by_output = delta.matmul(&self.layers[index + 1].weight.t()?)?;
            delta = match self.activation {
                // tanh' = 1 − tanh²
                Some(Activation::Tanh) => by_output.sub(&by_output.mul(&hidden.sqr()?)?)?,
                // relu' = 1 above 0, else 0: the sign of what is never negative.
                Some(Activation::Relu) => by_output.mul(&hidden.sign()?)?,
                None => by_output,
            };
            take(index, &delta)?;
        }
        Ok(())
    }
}

impl Forward {
    /// # Shapes
    /// `out` [`BATCH_ROWS`].
    pub(crate) fn copy_logits(&self, out: &mut [f32]) -> Result<()> {
        copy_out(&self.logits, out)
    }
}

fn repeat_rows(bias: &[f64]) -> Vec<f32> {
    bias.iter().map(|b| *b as f32).collect::<Vec<f32>>().repeat(BATCH_ROWS)
}

fn transpose(weight: &[f64], shape: LayerShape) -> Vec<f32> {
    let column =
        |input: usize| (0..shape.outputs).map(move |output| weight[output * shape.inputs + input] as f32);
    (0..shape.inputs).flat_map(column).collect()
}

/// Copies a tensor's values, row-major, into a buffer of its size; on the CPU without a detour.
pub(crate) fn copy_out(tensor: &Tensor, out: &mut [f32]) -> Result<()> {
    if tensor.elem_count() != out.len() {
        let found = tensor.shape().clone();
        return Err(candle_core::Error::Msg(format!("expected {} values, found shape {found:?}", out.len())));
    }
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(cpu), Some((start, end))) = (&*storage, layout.contiguous_offsets()) {
        out.copy_from_slice(&cpu.as_slice::<f32>()?[start..end]);
        return Ok(());
    }
    drop(storage);
    out.copy_from_slice(&tensor.flatten_all()?.to_vec1::<f32>()?);
    Ok(())
}
