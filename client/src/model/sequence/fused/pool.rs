//! Mean and maximum over time.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::super::real::Real;
use super::{by_type, on_cpu, values, with_values};

/// `[rows, steps, width]` → `[rows, 2·width]`: the mean over the steps, then their maximum.
pub(in super::super) struct MeanAndMaximum;

impl CustomOp1 for MeanAndMaximum {
    fn name(&self) -> &'static str {
        "mean-and-maximum"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, steps, width) = layout.shape().dims3()?;
        let out = by_type!(x, forward(x, layout, steps, width))?;
        Ok((out, (rows, 2 * width).into()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let (_, steps, width) = x.dims3()?;
        by_type!(x, backward(x, gradient, steps, width)).map(Some)
    }
}

fn forward<T: Real>(x: &CpuStorage, layout: &Layout, steps: usize, width: usize) -> Result<CpuStorage> {
    let x = values::<T>(x, layout)?;
    let mut out = Vec::with_capacity(2 * x.len() / steps);
    let count = T::from_f64(steps as f64);
    for row in x.chunks_exact(steps * width) {
        let start = out.len();
        out.extend_from_slice(&row[..width]);
        out.extend_from_slice(&row[..width]);
        let (mean, most) = out[start..].split_at_mut(width);
        for step in row.chunks_exact(width).skip(1) {
            mean.iter_mut().zip(step).for_each(|(mean, x)| *mean += *x);
            most.iter_mut().zip(step).for_each(|(most, x)| *most = if *x > *most { *x } else { *most });
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
    }
    Ok(T::to_cpu_storage_owned(out))
}

/// The maximum's gradient goes to the first step that has it.
fn backward<T: Real>(x: &Tensor, gradient: &Tensor, steps: usize, width: usize) -> Result<Tensor> {
    let mut by_x = vec![T::zero(); x.elem_count()];
    let count = T::from_f64(steps as f64);
    with_values(x, |x: &[T]| {
        with_values(gradient, |gradient: &[T]| {
            let rows = x.chunks_exact(steps * width).zip(gradient.chunks_exact(2 * width));
            for (by_x, (x, gradient)) in by_x.chunks_exact_mut(steps * width).zip(rows) {
                for (i, mean) in gradient[..width].iter().enumerate() {
                    let share = *mean / count;
                    let column = |step: usize| step * width + i;
                    let most = (1..steps)
                        .fold(0, |most, step| if x[column(step)] > x[column(most)] { step } else { most });
                    (0..steps).for_each(|step| by_x[column(step)] = share);
                    by_x[column(most)] += gradient[width + i];
                }
            }
            Ok(())
        })
    })?;
    on_cpu(by_x, x.shape())
}
