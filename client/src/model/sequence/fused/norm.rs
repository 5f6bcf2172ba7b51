//! Layer norm.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::super::NORM_EPSILON;
use super::super::real::{Real, dot, sum};
use super::{Place, by_type, leave, on_cpu, slots_of, values, with_values};

/// `x [.., width]`, scale less one and offset `[groups, width]` → (x − mean)/deviation·(1 + scale) + offset.
pub(in super::super) struct LayerNorm {
    pub(in super::super) place: Option<Place>,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        scale: &CpuStorage,
        ls: &Layout,
        offset: &CpuStorage,
        lo: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (groups, width) = ls.shape().dims2()?;
        let out = by_type!(x, forward(x, lx, scale, ls, offset, lo, groups, width))?;
        Ok((out, lx.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        scale: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let slots = slots_of(&self.place, scale.dim(0)?);
        let [by_x, by_scale, by_offset] = by_type!(x, backward(x, scale, gradient, slots))?;
        let (by_scale, by_offset) = leave(&self.place, by_scale, by_offset);
        Ok((Some(by_x), by_scale, by_offset))
    }
}

/// Mean, and one over the deviation.
fn moments<T: Real>(row: &[T]) -> (T, T) {
    let count = T::from_f64(row.len() as f64);
    let mean = sum(row) / count;
    let mut squares = T::zero();
    let (chunks, rest) = row.as_chunks::<8>();
    let mut lanes = [T::zero(); 8];
    for chunk in chunks {
        for i in 0..8 {
            lanes[i] += (chunk[i] - mean) * (chunk[i] - mean);
        }
    }
    rest.iter().for_each(|x| squares += (*x - mean) * (*x - mean));
    lanes.iter().for_each(|lane| squares += *lane);
    (mean, T::one() / (squares / count + T::from_f64(NORM_EPSILON)).sqrt())
}

#[expect(clippy::too_many_arguments, reason = "three storages with their layouts, as candle hands them over")]
fn forward<T: Real>(
    x: &CpuStorage,
    lx: &Layout,
    scale: &CpuStorage,
    ls: &Layout,
    offset: &CpuStorage,
    lo: &Layout,
    groups: usize,
    width: usize,
) -> Result<CpuStorage> {
    let (x, scale, offset) = (values::<T>(x, lx)?, values::<T>(scale, ls)?, values::<T>(offset, lo)?);
    let mut out = Vec::with_capacity(x.len());
    let parameters = scale.chunks_exact(width).zip(offset.chunks_exact(width));
    for (group, (scale, offset)) in x.chunks_exact((x.len() / groups).max(1)).zip(parameters) {
        for row in group.chunks_exact(width) {
            let (mean, inverse) = moments(row);
            let values = row.iter().zip(scale).zip(offset);
            out.extend(values.map(|((x, s), o)| (*x - mean) * inverse * (T::one() + *s) + *o));
        }
    }
    Ok(T::to_cpu_storage_owned(out))
}

fn backward<T: Real>(x: &Tensor, scale: &Tensor, gradient: &Tensor, slots: usize) -> Result<[Tensor; 3]> {
    let (groups, width) = scale.dims2()?;
    let per_slot = x.elem_count() / slots;
    let mut by_x = vec![T::zero(); x.elem_count()];
    let mut by_scale = vec![T::zero(); slots * width];
    let mut by_offset = vec![T::zero(); slots * width];
    let (mut normal, mut scaled) = (vec![T::zero(); width], vec![T::zero(); width]);
    let count = T::from_f64(width as f64);
    with_values(x, |x: &[T]| {
        with_values(scale, |scale: &[T]| {
            with_values(gradient, |gradient: &[T]| {
                for slot in 0..slots {
                    let own = slot * width..(slot + 1) * width;
                    let scale = &scale[slot * groups / slots * width..][..width];
                    let (by_scale, by_offset) = (&mut by_scale[own.clone()], &mut by_offset[own]);
                    let rows = slot * per_slot..(slot + 1) * per_slot;
                    let rows = x[rows.clone()]
                        .chunks_exact(width)
                        .zip(gradient[rows.clone()].chunks_exact(width))
                        .zip(by_x[rows].chunks_exact_mut(width));
                    for ((x, gradient), by_x) in rows {
                        let (mean, inverse) = moments(x);
                        normal.iter_mut().zip(x).for_each(|(normal, x)| *normal = (*x - mean) * inverse);
                        let scales = scaled.iter_mut().zip(gradient).zip(scale);
                        scales.for_each(|((scaled, g), s)| *scaled = *g * (T::one() + *s));
                        let pairs = by_scale.iter_mut().zip(gradient).zip(&normal);
                        pairs.for_each(|((sum, g), normal)| *sum += *g * *normal);
                        by_offset.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += *g);
                        let (mean, along) = (sum(&scaled) / count, dot(&scaled, &normal) / count);
                        let pairs = by_x.iter_mut().zip(&scaled).zip(&normal);
                        pairs.for_each(|((by_x, scaled), normal)| {
                            *by_x = (*scaled - mean - *normal * along) * inverse;
                        });
                    }
                }
                Ok(())
            })
        })
    })?;
    Ok([on_cpu(by_x, x.shape())?, on_cpu(by_scale, (slots, width))?, on_cpu(by_offset, (slots, width))?])
}
