//! Layers whose way forward and back is one step each on the CPU. Elsewhere, and as their own reference in tests, they are
//! composed of candle's operations ([`super::composed`]).

mod attention;
mod linear;
mod norm;
mod pool;
mod recurrent;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, Device, Error, Layout, Result, Shape, Storage, Tensor};

use super::real::Real;

pub(super) use attention::Attention;
pub(super) use linear::Linear;
pub(super) use norm::LayerNorm;
pub(super) use pool::MeanAndMaximum;
pub(super) use recurrent::{GruSteps, LstmSteps};

/// Where fused layers leave their weights' gradients, those of every slot by itself: the slots may share the weights.
#[derive(Clone, Default)]
pub(crate) struct SlotGradients(Arc<Mutex<Vec<Option<Tensor>>>>);

impl SlotGradients {
    /// Takes the gradients by the first `count` tensors out; nothing unless all are there.
    pub(crate) fn take(&self, count: usize) -> Option<Vec<Tensor>> {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let all: Option<Vec<Tensor>> = all.into_iter().collect();
        all.filter(|all| all.len() == count)
    }

    fn put(&self, index: usize, gradient: Tensor) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() <= index {
            all.resize(index + 1, None);
        }
        all[index] = Some(gradient);
    }
}

/// A layer's place among the gradients of a number of slots.
pub(super) struct Place {
    pub(super) gradients: SlotGradients,
    /// Of the weight; the bias is the next.
    pub(super) index: usize,
    pub(super) slots: usize,
}

/// How many slots have gradients of their own: those of the place, else the groups of the weights.
fn slots_of(place: &Option<Place>, groups: usize) -> usize {
    place.as_ref().map_or(groups, |place| place.slots)
}

/// Leaves the gradients at their place, or hands them on as those of the weights.
fn leave(place: &Option<Place>, by_weight: Tensor, by_bias: Tensor) -> (Option<Tensor>, Option<Tensor>) {
    let Some(Place { gradients, index, .. }) = place else { return (Some(by_weight), Some(by_bias)) };
    gradients.put(*index, by_weight);
    gradients.put(index + 1, by_bias);
    (None, None)
}

/// Calls a function generic over [`Real`] with the type that a storage holds.
macro_rules! by_type {
    ($storage:expr, $function:ident($($argument:expr),*)) => {
        match {
            #[allow(unused_imports, reason = "for storages; tensors have the method without")]
            use candle_core::backend::BackendStorage as _;
            $storage.dtype()
        } {
            candle_core::DType::F32 => $function::<f32>($($argument),*),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, "fused layer")),
        }
    };
}
use by_type;

/// The values of a contiguous storage.
fn values<'s, T: Real>(storage: &'s CpuStorage, layout: &Layout) -> Result<&'s [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(Error::RequiresContiguous { op: "fused layer" });
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// Hands the values of a tensor on the CPU to `with`.
pub(crate) fn with_values<T: Real, R>(tensor: &Tensor, with: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(cpu) => with(values::<T>(cpu, layout)?),
        _ => {
            drop(storage);
            with(&tensor.flatten_all()?.to_vec1::<T>()?)
        }
    }
}

/// The values of a tensor on the CPU.
fn copied<T: Real>(tensor: &Tensor) -> Result<Vec<T>> {
    with_values(tensor, |values: &[T]| Ok(values.to_vec()))
}

fn on_cpu<T: Real>(values: Vec<T>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}

/// A product of `batch` matrices, `[m, k]·[k, n]`, given by their values and their strides `[matrix, row, column]`.
struct Product {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

impl Product {
    /// `a [batch, m, k]` times `b [batch, k, n]`.
    fn plain<T: Real>(&self, a: &CpuStorage, b: &CpuStorage) -> Result<Vec<T>> {
        let Product { batch, m, n, k } = *self;
        self.of(a, &Layout::contiguous((batch, m, k)), b, &Layout::contiguous((batch, k, n)))
    }

    /// `a [batch, m, k]` times the transpose of `b [batch, n, k]`.
    fn by_transposed<T: Real>(&self, a: &CpuStorage, b: &CpuStorage) -> Result<Vec<T>> {
        let Product { batch, m, n, k } = *self;
        self.of(a, &Layout::contiguous((batch, m, k)), b, &Layout::contiguous((batch, n, k)).transpose(1, 2)?)
    }

    /// The transpose of `a [batch, k, m]` times `b [batch, k, n]`.
    fn transposed_by<T: Real>(&self, a: &CpuStorage, b: &CpuStorage) -> Result<Vec<T>> {
        let Product { batch, m, n, k } = *self;
        self.of(a, &Layout::contiguous((batch, k, m)).transpose(1, 2)?, b, &Layout::contiguous((batch, k, n)))
    }

    fn of<T: Real>(&self, a: &CpuStorage, la: &Layout, b: &CpuStorage, lb: &Layout) -> Result<Vec<T>> {
        use candle_core::backend::BackendStorage as _;
        T::cpu_storage_data(a.matmul(b, (self.batch, self.m, self.n, self.k), la, lb)?)
    }
}
