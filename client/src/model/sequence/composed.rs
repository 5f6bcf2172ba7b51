//! Layers composed of candle's operations, whose way back is candle's own: for devices other than the CPU, and the reference
//! for [`super::fused`].

use candle_core::{D, DType, Result, Tensor};

use super::{NORM_EPSILON, Squash};

/// `x [.., n]` as `[groups, rows, n]`.
fn by_group(x: &Tensor, groups: usize) -> Result<Tensor> {
    x.contiguous()?.reshape((groups, (), x.dim(D::Minus1)?))
}

pub(super) fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, squash: Squash) -> Result<Tensor> {
    let (groups, outputs, _) = weight.dims3()?;
    let product = by_group(x, groups)?.matmul(&weight.transpose(1, 2)?)?;
    let y = product.broadcast_add(&bias.unsqueeze(1)?)?;
    let y = match squash {
        Squash::Nothing => y,
        Squash::Relu => y.relu()?,
        Squash::Tanh => y.tanh()?,
    };
    let mut dims = x.dims().to_vec();
    if let Some(last) = dims.last_mut() {
        *last = outputs;
    }
    y.reshape(dims)
}

pub(super) fn norm(x: &Tensor, scale: &Tensor, offset: &Tensor) -> Result<Tensor> {
    let grouped = by_group(x, scale.dim(0)?)?;
    let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + NORM_EPSILON)?.sqrt()?;
    let normal = centred.broadcast_div(&deviation)?;
    let scaled = normal.broadcast_mul(&(scale.unsqueeze(1)? + 1.0)?)?;
    scaled.broadcast_add(&offset.unsqueeze(1)?)?.reshape(x.shape())
}

/// The shares of attention of every head, `[slots, heads, positions, positions]`, from queries and keys
/// `[slots, positions, width]`.
pub(super) fn attention_shares(q: &Tensor, k: &Tensor, heads: usize) -> Result<Tensor> {
    let (_, positions, width) = q.dims3()?;
    let (q, k) = (by_head(q, heads)?, by_head(k, heads)?);
    let scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)? * (1.0 / ((width / heads) as f64).sqrt()))?;
    let hidden = |i: usize| (0..positions).map(move |j| if j > i { f32::NEG_INFINITY } else { 0.0 });
    let mask: Vec<f32> = (0..positions).flat_map(hidden).collect();
    let mask = Tensor::from_vec(mask, (positions, positions), q.device())?.to_dtype(q.dtype())?;
    let scores = scores.broadcast_add(&mask)?;
    let greatest = scores.max_keepdim(D::Minus1)?.detach();
    let e = scores.broadcast_sub(&greatest)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

fn by_head(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (slots, positions, width) = x.dims3()?;
    x.reshape((slots, positions, heads, width / heads))?.transpose(1, 2)?.contiguous()
}

pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize) -> Result<Tensor> {
    let mixed = attention_shares(q, k, heads)?.matmul(&by_head(v, heads)?)?;
    mixed.transpose(1, 2)?.contiguous()?.reshape(q.shape())
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// What the hidden state `[rows, width]` makes of the gates, `[rows, gates]`.
fn by_state(hidden: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    linear(hidden, weight, bias, Squash::Nothing)
}

fn step_of(inputs: &Tensor, step: usize) -> Result<Tensor> {
    inputs.narrow(1, step, 1)?.squeeze(1)
}

fn zeros(rows: usize, width: usize, like: &Tensor, dtype: DType) -> Result<Tensor> {
    Tensor::zeros((rows, width), dtype, like.device())
}

pub(super) fn gru(inputs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ((rows, steps, _), width) = (inputs.dims3()?, weight.dim(2)?);
    let mut hidden = zeros(rows, width, inputs, inputs.dtype())?;
    let mut states = Vec::with_capacity(steps);
    for step in 0..steps {
        let (own, state) = (step_of(inputs, step)?, by_state(&hidden, weight, bias)?);
        let part = |gates: &Tensor, which: usize| gates.narrow(1, which * width, width);
        let reset = sigmoid(&(part(&own, 0)? + part(&state, 0)?)?)?;
        let update = sigmoid(&(part(&own, 1)? + part(&state, 1)?)?)?;
        let new = (part(&own, 2)? + (reset * part(&state, 2)?)?)?.tanh()?;
        hidden = (&new + (update * (hidden - &new)?)?)?;
        states.push(hidden.clone());
    }
    Tensor::stack(&states, 1)
}

pub(super) fn lstm(inputs: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let ((rows, steps, _), width) = (inputs.dims3()?, weight.dim(2)?);
    let mut hidden = zeros(rows, width, inputs, inputs.dtype())?;
    let mut cell = hidden.clone();
    let mut states = Vec::with_capacity(steps);
    for step in 0..steps {
        let gates = (step_of(inputs, step)? + by_state(&hidden, weight, bias)?)?;
        let part = |which: usize| gates.narrow(1, which * width, width);
        let (input, forget, output) = (sigmoid(&part(0)?)?, sigmoid(&part(1)?)?, sigmoid(&part(3)?)?);
        cell = ((forget * cell)? + (input * part(2)?.tanh()?)?)?;
        hidden = (output * cell.tanh()?)?;
        states.push(hidden.clone());
    }
    Tensor::stack(&states, 1)
}

pub(super) fn mean_and_maximum(x: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[&x.mean(1)?, &x.max(1)?], 1)
}
