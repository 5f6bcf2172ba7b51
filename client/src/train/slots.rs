//! What trainers of sequence and item models share: sums of rows and of tensors, shopper by shopper.
//!
//! The parameters of such a model are tables of rows of one width, then the tensors of a network. A shopper touches few rows,
//! so its contribution is some rows, in order, and one dense block behind them.

use candle_core::backprop::GradStore;
use candle_core::{Device, Error, Result, Tensor};
use guildhall_privacy::clip::{ShopperSum, SparseBlock};
use guildhall_shared::model_spec::ParameterSpec;

use crate::model::sequence::real::Real;
use crate::model::sequence::{Kernels, Layers, SlotGradients, with_values};

/// Most shoppers of a batch. A merchant with few pays for the places they leave empty, and a core is as fast with 4 as with 64;
/// other devices want much at once.
pub(super) fn slots_max(device: &Device) -> usize {
    if device.is_cpu() { 16 } else { 64 }
}

/// Where everything is in the flat vector of parameters.
#[derive(Clone, Debug)]
pub(super) struct ParameterLayout {
    /// Rows of all tables together.
    pub(super) rows: usize,
    /// Width of a row.
    pub(super) width: usize,
    /// The network's tensors.
    pub(super) tensors: Vec<ParameterSpec>,
}

impl ParameterLayout {
    /// The first `tables` parameters are tables.
    pub(super) fn new(mut parameters: Vec<ParameterSpec>, tables: usize, width: usize) -> Self {
        let tensors = parameters.split_off(tables);
        let values: usize = parameters.iter().map(ParameterSpec::len).sum();
        ParameterLayout { rows: values.checked_div(width).unwrap_or(0), width, tensors }
    }

    /// Values of the tables.
    pub(super) fn table_values(&self) -> usize {
        self.rows * self.width
    }

    /// Values of the network.
    pub(super) fn tensor_values(&self) -> usize {
        self.tensors.iter().map(ParameterSpec::len).sum()
    }
}

/// Where the gradients of rows go.
pub(super) trait RowTarget<T: Real> {
    /// Adds scale·gradient to what is known of a row.
    fn add(&mut self, row: u32, scale: f64, gradient: &[T]);
}

/// Some rows of the tables, each once, in order.
#[derive(Default)]
pub(super) struct RowSum {
    width: usize,
    rows: Vec<u32>,
    values: Vec<f64>,
}

impl RowSum {
    /// Starts at zero for exactly these rows, in any order and with repetitions. Keeps its memory.
    pub(super) fn start(&mut self, width: usize, rows: impl Iterator<Item = u32>) {
        self.width = width;
        self.rows.clear();
        self.rows.extend(rows);
        self.rows.sort_unstable();
        self.rows.dedup();
        self.values.clear();
        self.values.resize(self.rows.len() * width, 0.0);
    }

    pub(super) fn copy_from(&mut self, other: &RowSum) {
        self.width = other.width;
        self.rows.clone_from(&other.rows);
        self.values.clone_from(&other.values);
    }

    fn get(&self, row: u32) -> Option<&[f64]> {
        let place = self.rows.binary_search(&row).ok()?;
        Some(&self.values[place * self.width..(place + 1) * self.width])
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = SparseBlock<'_>> + Clone {
        let width = self.width.max(1);
        let rows = self.rows.iter().zip(self.values.chunks_exact(width));
        rows.map(move |(row, values)| SparseBlock { start: *row as usize * width, values })
    }
}

impl<T: Real> RowTarget<T> for RowSum {
    fn add(&mut self, row: u32, scale: f64, gradient: &[T]) {
        if let Ok(place) = self.rows.binary_search(&row) {
            let values = &mut self.values[place * self.width..(place + 1) * self.width];
            values.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += scale * g.to_f64());
        }
    }
}

/// All rows of the tables.
pub(super) struct AllRows<'a>(pub(super) &'a mut [f64]);

impl<T: Real> RowTarget<T> for AllRows<'_> {
    fn add(&mut self, row: u32, scale: f64, gradient: &[T]) {
        let start = row as usize * gradient.len();
        let values = &mut self.0[start..start + gradient.len()];
        values.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += scale * g.to_f64());
    }
}

/// The tables as one shopper sees them: as released, less what its own steps moved.
#[derive(Clone, Copy)]
pub(super) struct RowSource<'a, T> {
    pub(super) table: &'a [T],
    pub(super) width: usize,
    /// The gradients of the steps so far, and the learning rate.
    pub(super) moved: Option<(&'a RowSum, f64)>,
}

impl<T: Real> RowSource<'_, T> {
    /// out += scale·row.
    pub(super) fn add_to(&self, row: u32, scale: T, out: &mut [T]) {
        let start = row as usize * self.width;
        let own = &self.table[start..start + self.width];
        match self.moved.and_then(|(sum, rate)| Some((sum.get(row)?, rate))) {
            None => out.iter_mut().zip(own).for_each(|(out, x)| *out += scale * *x),
            Some((sum, rate)) => {
                for ((out, x), sum) in out.iter_mut().zip(own).zip(sum) {
                    *out += scale * (*x - T::from_f64(rate * *sum));
                }
            }
        }
    }
}

/// Weights that the slots share until their own steps move them, and the sum of every slot's gradients by them.
pub(super) struct SlotLayers {
    start: Layers,
    /// After the first step: weights of every slot's own.
    moved: Option<Layers>,
    gradients: SlotGradients,
    sum: Vec<Tensor>,
}

impl SlotLayers {
    pub(super) fn load<T: Real>(
        layout: &ParameterLayout,
        weights: &[f64],
        slots: usize,
        device: &candle_core::Device,
    ) -> Result<Self> {
        let weights = &weights[layout.table_values()..];
        let gradients = SlotGradients::default();
        let start = match Kernels::of(device) {
            Kernels::Fused => {
                let shared = Layers::load::<T>(&layout.tensors, weights, 1, device)?;
                shared.leaving(gradients.clone(), slots)
            }
            // What candle takes back by itself is by every slot's own copy.
            Kernels::Composed => Layers::load::<T>(&layout.tensors, weights, slots, device)?.variables()?,
        };
        Ok(SlotLayers { start, moved: None, gradients, sum: vec![] })
    }

    /// Back to the released weights.
    pub(super) fn restart(&mut self) {
        self.moved = None;
        self.sum.clear();
    }

    pub(super) fn current(&self) -> &Layers {
        self.moved.as_ref().unwrap_or(&self.start)
    }

    /// Adds the gradients by the current weights.
    pub(super) fn take(&mut self, store: &mut GradStore) -> Result<()> {
        let tensors = self.current().tensors();
        let own: Option<Vec<Tensor>> = match self.start.kernels {
            Kernels::Fused => self.gradients.take(tensors.len()),
            Kernels::Composed => tensors.iter().map(|variable| store.remove(variable)).collect(),
        };
        let own = own.ok_or_else(|| Error::Msg("a tensor of the network got no gradient".into()))?;
        self.sum = match self.sum.is_empty() {
            true => own,
            false => self.sum.iter().zip(&own).map(|(sum, own)| sum + own).collect::<Result<_>>()?,
        };
        Ok(())
    }

    /// Moves every slot's weights against its gradients.
    pub(super) fn step(&mut self, learning_rate: f64) -> Result<()> {
        let pairs = self.start.tensors().iter().zip(&self.sum);
        let moved = pairs.map(|(start, sum)| start.broadcast_sub(&(sum * learning_rate)?));
        let moved = self.start.with(moved.collect::<Result<_>>()?);
        self.moved = Some(match self.start.kernels {
            Kernels::Fused => moved,
            Kernels::Composed => moved.variables()?,
        });
        Ok(())
    }

    /// Writes the sum of one of `slots` slots' gradients.
    pub(super) fn write<T: Real>(&self, slot: usize, slots: usize, out: &mut Vec<f64>) -> Result<()> {
        out.clear();
        for sum in &self.sum {
            let own = sum.elem_count() / slots.max(1);
            with_values(sum, |values: &[T]| {
                out.extend(values[slot * own..(slot + 1) * own].iter().map(|value| value.to_f64()));
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Takes one contribution after the other.
pub(super) trait SparseSink: Send {
    fn add_blocks<'a>(&mut self, blocks: impl Iterator<Item = SparseBlock<'a>> + Clone);
}

impl SparseSink for ShopperSum {
    fn add_blocks<'a>(&mut self, blocks: impl Iterator<Item = SparseBlock<'a>> + Clone) {
        self.add_sparse(blocks);
    }
}

/// Σ y·gradient, whose way back starts with `gradient`.
pub(super) fn way_back(y: &Tensor, gradient: Tensor) -> Result<GradStore> {
    (y * gradient)?.sum_all()?.backward()
}

/// d/dz of the binary cross entropy −y·ln σ(z) − (1−y)·ln(1−σ(z)): σ(z) − y, without cancellation or overflow.
pub(super) fn logit_slope(z: f64, y: f64) -> f64 {
    let e = (-z.abs()).exp();
    if z >= 0.0 { ((1.0 - y) - y * e) / (1.0 + e) } else { (e * (1.0 - y) - y) / (1.0 + e) }
}

/// The binary cross entropy itself: max(z, 0) − z·y + ln(1 + e^−|z|).
pub(super) fn logit_loss(z: f64, y: f64) -> f64 {
    z.max(0.0) - z * y + (-z.abs()).exp().ln_1p()
}
