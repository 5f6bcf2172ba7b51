//! A linear layer with what follows it.

use candle_core::backend::BackendStorage as _;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::super::Squash;
use super::super::real::Real;
use super::{Place, by_type, leave, on_cpu, slots_of, values, with_values};

/// `x [.., inputs]`, weight `[groups, outputs, inputs]`, bias `[groups, outputs]` → `[.., outputs]`: the rows of x are dealt to
/// the groups in order, each with a weight of its own.
pub(in super::super) struct Linear {
    pub(in super::super) squash: Squash,
    pub(in super::super) place: Option<Place>,
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        w: &CpuStorage,
        lw: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (groups, outputs, inputs) = lw.shape().dims3()?;
        let rows = lx.shape().elem_count() / (groups * inputs).max(1);
        let by_group = Layout::contiguous_with_offset((groups, rows, inputs), lx.start_offset());
        let product = x.matmul(w, (groups, rows, outputs, inputs), &by_group, &lw.transpose(1, 2)?)?;
        let mut dims = lx.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = outputs;
        }
        let finished = by_type!(b, finish(product, b, lb, (groups, rows), self.squash))?;
        Ok((finished, dims.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (groups, outputs, inputs) = weight.dims3()?;
        let delta = match self.squash {
            Squash::Nothing => gradient.contiguous()?,
            squash => by_type!(y, back(y, gradient, squash))?,
        };
        let grouped = delta.reshape((groups, (), outputs))?;
        let by_x = grouped.matmul(&weight.detach())?.reshape(x.shape())?;
        let slots = slots_of(&self.place, groups);
        let delta = delta.reshape((slots, (), outputs))?;
        let rows = x.detach().reshape((slots, (), inputs))?;
        let by_weight = delta.transpose(1, 2)?.matmul(&rows)?;
        let by_bias = by_type!(delta, sum_rows(&delta))?;
        let (by_weight, by_bias) = leave(&self.place, by_weight, by_bias);
        Ok((Some(by_x), by_weight, by_bias))
    }
}

fn finish<T: Real>(
    product: CpuStorage,
    bias: &CpuStorage,
    layout: &Layout,
    (groups, rows): (usize, usize),
    squash: Squash,
) -> Result<CpuStorage> {
    let bias = values::<T>(bias, layout)?;
    let mut out = T::cpu_storage_data(product)?;
    let outputs = bias.len() / groups.max(1);
    for (group, bias) in out.chunks_exact_mut((rows * outputs).max(1)).zip(bias.chunks_exact(outputs)) {
        for row in group.chunks_exact_mut(outputs) {
            let pairs = row.iter_mut().zip(bias);
            match squash {
                Squash::Nothing => pairs.for_each(|(y, b)| *y += *b),
                Squash::Relu => pairs.for_each(|(y, b)| {
                    let sum = *y + *b;
                    // NaN stays NaN, so that a contribution that is not a number is seen.
                    *y = if sum <= T::zero() { T::zero() } else { sum };
                }),
                Squash::Tanh => pairs.for_each(|(y, b)| *y = (*y + *b).tanh()),
            }
        }
    }
    Ok(T::to_cpu_storage_owned(out))
}

/// The derivative by what was squashed, from that by the result.
fn back<T: Real>(y: &Tensor, gradient: &Tensor, squash: Squash) -> Result<Tensor> {
    let delta = with_values(y, |y: &[T]| {
        with_values(gradient, |gradient: &[T]| {
            let pairs = y.iter().zip(gradient);
            Ok(match squash {
                Squash::Nothing => gradient.to_vec(),
                Squash::Relu => {
                    pairs.map(|(y, g)| if *y == T::zero() { T::zero() } else { *g }).collect::<Vec<T>>()
                }
                Squash::Tanh => pairs.map(|(y, g)| *g * (T::one() - *y * *y)).collect(),
            })
        })
    })?;
    on_cpu(delta, y.shape())
}

/// `[groups, rows, outputs]` → `[groups, outputs]`.
fn sum_rows<T: Real>(delta: &Tensor) -> Result<Tensor> {
    let (groups, rows, outputs) = delta.dims3()?;
    let mut sums = vec![T::zero(); groups * outputs];
    with_values(delta, |delta: &[T]| {
        let by_group = delta.chunks_exact((rows * outputs).max(1));
        for (sums, group) in sums.chunks_exact_mut(outputs).zip(by_group) {
            for row in group.chunks_exact(outputs) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
            }
        }
        Ok(())
    })?;
    on_cpu(sums, (groups, outputs))
}
