//! Causal self-attention over several heads.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};

use super::super::real::{Real, dot, greatest, sum};
use super::{Product, by_type, copied, on_cpu, values};

/// Queries, keys and values `[slots, positions, width]` → `[slots, positions, width]`; a position sees itself and those before.
pub(in super::super) struct Attention {
    heads: usize,
    /// What the way back needs again. One way forward per operation, so it is that one's.
    kept: Mutex<Option<Kept>>,
}

/// Queries, keys and values by head `[slots·heads, positions, width/heads]`, and the shares of attention.
struct Kept {
    packed: [CpuStorage; 3],
    shares: CpuStorage,
}

#[derive(Clone, Copy)]
struct Sizes {
    slots: usize,
    positions: usize,
    heads: usize,
    /// Width of one head.
    head: usize,
}

impl Sizes {
    fn of(shape: &Shape, heads: usize) -> Result<Self> {
        let (slots, positions, width) = shape.dims3()?;
        Ok(Sizes { slots, positions, heads, head: width / heads })
    }

    /// The products of `[positions, k]` by `[k, n]` of all heads.
    fn product(&self, n: usize, k: usize) -> Product {
        Product { batch: self.slots * self.heads, m: self.positions, n, k }
    }

    /// `[slots, positions, heads, head]` → `[slots, heads, positions, head]`.
    fn pack<T: Real>(&self, x: &[T]) -> Vec<T> {
        let Sizes { slots, positions, heads, head } = *self;
        let mut packed = Vec::with_capacity(x.len());
        for slot in 0..slots {
            for part in 0..heads {
                for position in 0..positions {
                    let start = ((slot * positions + position) * heads + part) * head;
                    packed.extend_from_slice(&x[start..start + head]);
                }
            }
        }
        packed
    }

    /// The way back of [`Sizes::pack`].
    fn unpack<T: Real>(&self, x: &[T]) -> Vec<T> {
        let Sizes { slots, positions, heads, head } = *self;
        let mut unpacked = Vec::with_capacity(x.len());
        for slot in 0..slots {
            for position in 0..positions {
                for part in 0..heads {
                    let start = ((slot * heads + part) * positions + position) * head;
                    unpacked.extend_from_slice(&x[start..start + head]);
                }
            }
        }
        unpacked
    }

    fn root<T: Real>(&self) -> T {
        T::from_f64(1.0 / (self.head as f64).sqrt())
    }
}

impl Attention {
    pub(in super::super) fn new(heads: usize) -> Self {
        Attention { heads, kept: Mutex::default() }
    }

    fn forward<T: Real>(&self, sizes: Sizes, parts: [(&CpuStorage, &Layout); 3]) -> Result<CpuStorage> {
        let pack = |(storage, layout)| Ok(T::to_cpu_storage_owned(sizes.pack(values::<T>(storage, layout)?)));
        let packed: Result<Vec<CpuStorage>> = parts.into_iter().map(pack).collect();
        let Ok([q, k, v]) = <[CpuStorage; 3]>::try_from(packed?) else {
            return Err(Error::Msg("attention takes queries, keys and values".into()));
        };
        let mut shares: Vec<T> = sizes.product(sizes.positions, sizes.head).by_transposed(&q, &k)?;
        for matrix in shares.chunks_exact_mut(sizes.positions * sizes.positions) {
            for (last, row) in matrix.chunks_exact_mut(sizes.positions).enumerate() {
                causal_softmax(row, last, sizes.root());
            }
        }
        let shares = T::to_cpu_storage_owned(shares);
        let mixed: Vec<T> = sizes.product(sizes.head, sizes.positions).plain(&shares, &v)?;
        let kept = Kept { packed: [q, k, v], shares };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(T::to_cpu_storage_owned(sizes.unpack(&mixed)))
    }

    fn backward<T: Real>(&self, sizes: Sizes, gradient: &Tensor) -> Result<[Tensor; 3]> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Kept { packed: [q, k, v], shares }) = kept else {
            return Err(Error::Msg("attention goes back once after it went forward".into()));
        };
        let shape = (sizes.slots, sizes.positions, sizes.heads * sizes.head);
        let delta = T::to_cpu_storage_owned(sizes.pack(&copied::<T>(gradient)?));
        let (over_heads, over_positions) =
            (sizes.product(sizes.head, sizes.positions), sizes.product(sizes.positions, sizes.head));
        let by_v: Vec<T> = over_heads.transposed_by(&shares, &delta)?;
        let mut by_scores: Vec<T> = over_positions.by_transposed(&delta, &v)?;
        let shares = shares.as_slice::<T>()?.chunks_exact(sizes.positions);
        for (row, (by_row, shares)) in by_scores.chunks_exact_mut(sizes.positions).zip(shares).enumerate() {
            let seen = row % sizes.positions + 1;
            let mean = dot(&by_row[..seen], &shares[..seen]);
            for (by_score, share) in by_row.iter_mut().zip(shares) {
                *by_score = *share * (*by_score - mean) * sizes.root();
            }
        }
        let by_scores = T::to_cpu_storage_owned(by_scores);
        let by_q: Vec<T> = over_heads.plain(&by_scores, &k)?;
        let by_k: Vec<T> = over_heads.transposed_by(&by_scores, &q)?;
        let tensor = |values: &[T]| on_cpu(sizes.unpack(values), shape);
        Ok([tensor(&by_q)?, tensor(&by_k)?, tensor(&by_v)?])
    }
}

/// Softmax of `root` times the scores up to `last`; 0 beyond.
fn causal_softmax<T: Real>(row: &mut [T], last: usize, root: T) {
    let (seen, hidden) = row.split_at_mut(last + 1);
    hidden.fill(T::zero());
    let greatest = greatest(seen);
    seen.iter_mut().for_each(|x| *x = ((*x - greatest) * root).exp());
    let total = sum(seen);
    seen.iter_mut().for_each(|x| *x /= total);
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of(lq.shape(), self.heads)?;
        let parts = [(q, lq), (k, lk), (v, lv)];
        let out = match lq.shape().elem_count() {
            0 => Err(Error::Msg("attention over nothing".into())),
            _ => by_type_of(self, q, sizes, parts),
        }?;
        Ok((out, lq.shape().clone()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::of(q.shape(), self.heads)?;
        let [by_q, by_k, by_v] = by_type!(q, backward_of(self, sizes, gradient))?;
        Ok((Some(by_q), Some(by_k), Some(by_v)))
    }
}

fn by_type_of(
    attention: &Attention,
    q: &CpuStorage,
    sizes: Sizes,
    parts: [(&CpuStorage, &Layout); 3],
) -> Result<CpuStorage> {
    by_type!(q, forward_of(attention, sizes, parts))
}

fn forward_of<T: Real>(
    attention: &Attention,
    sizes: Sizes,
    parts: [(&CpuStorage, &Layout); 3],
) -> Result<CpuStorage> {
    attention.forward::<T>(sizes, parts)
}

fn backward_of<T: Real>(attention: &Attention, sizes: Sizes, gradient: &Tensor) -> Result<[Tensor; 3]> {
    attention.backward::<T>(sizes, gradient)
}
