//! Gated recurrent units and long short-term memories over all steps, and back through time.

mod gates;

use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp3, Error, Layout, Result, Shape, Tensor};

use super::super::real::Real;
use super::{Place, Product, by_type, leave, on_cpu, slots_of, values, with_values};
use gates::{Cell, Gru, Lstm};

/// Inputs through their weight `[rows, steps, gates·width]`, weight `[groups, gates·width, width]` and bias
/// `[groups, gates·width]` of the state → the state after every step, `[rows, steps, width]`.
pub(in super::super) struct Steps<C> {
    cell: PhantomData<C>,
    /// What the way back needs again, f32 or f64 as storages. One way forward per operation, so it is that one's.
    kept: Mutex<Option<[CpuStorage; 2]>>,
    place: Option<Place>,
}

/// See [`Steps`].
pub(in super::super) type GruSteps = Steps<Gru>;

/// See [`Steps`].
pub(in super::super) type LstmSteps = Steps<Lstm>;

impl<C> Steps<C> {
    pub(in super::super) fn new(place: Option<Place>) -> Self {
        Steps { cell: PhantomData, kept: Mutex::default(), place }
    }
}

#[derive(Clone, Copy)]
struct Sizes {
    /// Groups of rows with a weight of their own.
    groups: usize,
    /// Groups of rows with a gradient of their own.
    slots: usize,
    /// Rows of one slot.
    rows: usize,
    steps: usize,
    gates: usize,
    width: usize,
}

impl Sizes {
    fn of<C: Cell>(inputs: &Shape, weight: &Shape, place: &Option<Place>) -> Result<Self> {
        let ((all, steps, _), (groups, _, width)) = (inputs.dims3()?, weight.dims3()?);
        let slots = slots_of(place, groups).max(1);
        Ok(Sizes { groups, slots, rows: all / slots, steps, gates: C::GATES * width, width })
    }

    /// Where the state after `step` of a row is, among `[slots, steps + 1, rows, ..]`; step 0 is the start.
    fn state(&self, slot: usize, step: usize, row: usize) -> usize {
        (slot * (self.steps + 1) + step) * self.rows + row
    }
}

impl<C: Cell> Steps<C> {
    /// Keeps the states `[slots, steps + 1, rows, STATE·width]` and what the gates were `[slots, steps, rows, KEPT·width]`.
    fn forward<T: Real>(
        &self,
        sizes: Sizes,
        inputs: &[T],
        weight: &CpuStorage,
        lw: &Layout,
        bias: &[T],
    ) -> Result<CpuStorage> {
        let Sizes { groups, slots, rows, steps, gates, width } = sizes;
        let (all, state, saved) = (slots * rows, C::STATE * width, C::KEPT * width);
        let mut states = vec![T::zero(); all * (steps + 1) * state];
        let mut kept = vec![T::zero(); all * steps * saved];
        let mut out = vec![T::zero(); all * steps * width];
        let product = Product { batch: groups, m: all / groups, n: gates, k: width };
        let weight_by_width = lw.transpose(1, 2)?;
        let mut hidden = vec![T::zero(); all * width];
        for step in 0..steps {
            let before = T::to_cpu_storage_owned(hidden);
            let mut by_state: Vec<T> = product.of(
                &before,
                &Layout::contiguous((groups, all / groups, width)),
                weight,
                &weight_by_width,
            )?;
            hidden = T::cpu_storage_data(before)?;
            for index in 0..all {
                let (slot, row) = (index / rows, index % rows);
                let own = &mut by_state[index * gates..(index + 1) * gates];
                let bias = &bias[index * groups / all * gates..];
                own.iter_mut().zip(bias).for_each(|(sum, b)| *sum += *b);
                let start = sizes.state(slot, step, row) * state;
                let end = sizes.state(slot, step + 1, row) * state;
                let (old, new) = states.split_at_mut(end);
                let place = ((slot * steps + step) * rows + row) * saved;
                C::forward(
                    &inputs[(index * steps + step) * gates..][..gates],
                    own,
                    &old[start..start + state],
                    &mut new[..state],
                    &mut kept[place..place + saved],
                );
                hidden[index * width..(index + 1) * width].copy_from_slice(&new[..width]);
                out[(index * steps + step) * width..][..width].copy_from_slice(&new[..width]);
            }
        }
        let both = [T::to_cpu_storage_owned(states), T::to_cpu_storage_owned(kept)];
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(both);
        Ok(T::to_cpu_storage_owned(out))
    }

    fn backward<T: Real>(&self, sizes: Sizes, weight: &Tensor, gradient: &Tensor) -> Result<[Tensor; 3]> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some([states, kept]) = kept else {
            return Err(Error::Msg("a recurrence goes back once after it went forward".into()));
        };
        let Sizes { groups, slots, rows, steps, gates, width } = sizes;
        let (states, kept) = (states.as_slice::<T>()?, kept.as_slice::<T>()?);
        let (all, state, saved) = (slots * rows, C::STATE * width, C::KEPT * width);
        let mut by_inputs = vec![T::zero(); all * steps * gates];
        // [slots, steps, rows, gates], and the hidden state before each: one product in the end gives the weight's gradient.
        let mut by_state = vec![T::zero(); all * steps * gates];
        let mut hidden = vec![T::zero(); all * steps * width];
        let mut carry = vec![T::zero(); all * state];
        with_values(weight, |weight: &[T]| {
            let weight = T::to_cpu_storage(weight);
            with_values(gradient, |gradient: &[T]| {
                let mut last = vec![T::zero(); all * gates];
                for step in (0..steps).rev() {
                    for index in 0..all {
                        let (slot, row) = (index / rows, index % rows);
                        let carry = &mut carry[index * state..(index + 1) * state];
                        let own = &gradient[(index * steps + step) * width..][..width];
                        carry.iter_mut().zip(own).for_each(|(carry, g)| *carry += *g);
                        let place = (slot * steps + step) * rows + row;
                        let old = &states[sizes.state(slot, step, row) * state..][..state];
                        let new = &states[sizes.state(slot, step + 1, row) * state..][..state];
                        let delta = &mut last[index * gates..(index + 1) * gates];
                        C::backward(
                            &kept[place * saved..(place + 1) * saved],
                            old,
                            new,
                            carry,
                            &mut by_inputs[(index * steps + step) * gates..][..gates],
                            delta,
                        );
                        by_state[place * gates..(place + 1) * gates].copy_from_slice(delta);
                        hidden[place * width..(place + 1) * width].copy_from_slice(&old[..width]);
                    }
                    let deltas = T::to_cpu_storage_owned(last);
                    let back: Vec<T> = Product { batch: groups, m: all / groups, n: width, k: gates }
                        .plain(&deltas, &weight)?;
                    last = T::cpu_storage_data(deltas)?;
                    for (carry, back) in carry.chunks_exact_mut(state).zip(back.chunks_exact(width)) {
                        carry.iter_mut().zip(back).for_each(|(carry, back)| *carry += *back);
                    }
                }
                Ok(())
            })
        })?;
        let mut by_bias = vec![T::zero(); slots * gates];
        for (sums, deltas) in by_bias.chunks_exact_mut(gates).zip(by_state.chunks_exact(steps * rows * gates))
        {
            for delta in deltas.chunks_exact(gates) {
                sums.iter_mut().zip(delta).for_each(|(sum, delta)| *sum += *delta);
            }
        }
        let by_weight: Vec<T> = Product { batch: slots, m: gates, n: width, k: steps * rows }
            .transposed_by(&T::to_cpu_storage_owned(by_state), &T::to_cpu_storage_owned(hidden))?;
        Ok([
            on_cpu(by_inputs, (all, steps, gates))?,
            on_cpu(by_weight, (slots, gates, width))?,
            on_cpu(by_bias, (slots, gates))?,
        ])
    }
}

impl<C: Cell> CustomOp3 for Steps<C> {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        inputs: &CpuStorage,
        li: &Layout,
        weight: &CpuStorage,
        lw: &Layout,
        bias: &CpuStorage,
        lb: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sizes = Sizes::of::<C>(li.shape(), lw.shape(), &self.place)?;
        let out = by_type!(inputs, forward_of(self, sizes, inputs, li, weight, lw, bias, lb))?;
        Ok((out, (sizes.slots * sizes.rows, sizes.steps, sizes.width).into()))
    }

    fn bwd(
        &self,
        inputs: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let sizes = Sizes::of::<C>(inputs.shape(), weight.shape(), &self.place)?;
        let [by_inputs, by_weight, by_bias] = by_type!(inputs, backward_of(self, sizes, weight, gradient))?;
        let (by_weight, by_bias) = leave(&self.place, by_weight, by_bias);
        Ok((Some(by_inputs), by_weight, by_bias))
    }
}

#[expect(clippy::too_many_arguments, reason = "three storages with their layouts, as candle hands them over")]
fn forward_of<T: Real>(
    steps: &Steps<impl Cell>,
    sizes: Sizes,
    inputs: &CpuStorage,
    li: &Layout,
    weight: &CpuStorage,
    lw: &Layout,
    bias: &CpuStorage,
    lb: &Layout,
) -> Result<CpuStorage> {
    steps.forward(sizes, values::<T>(inputs, li)?, weight, lw, values::<T>(bias, lb)?)
}

fn backward_of<T: Real>(
    steps: &Steps<impl Cell>,
    sizes: Sizes,
    weight: &Tensor,
    gradient: &Tensor,
) -> Result<[Tensor; 3]> {
    steps.backward::<T>(sizes, weight, gradient)
}
