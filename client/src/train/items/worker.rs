//! One thread's way through shoppers: batches of equal length in, every shopper's own contribution out.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use guildhall_privacy::clip::SparseBlock;

use super::geometry::Geometry;
use super::loss::{Sampled, catalogue_backward};
use super::shopper::{Slot, bucket_positions};
use crate::data::observations::ShopperKey;
use crate::model::sequence::item_encoder::{encode, hiding_places};
use crate::model::sequence::real::Real;
use crate::model::sequence::with_values;
use crate::train::private_stream::PrivateStreams;
use crate::train::slots::{RowSource, SlotLayers, SparseSink, slots_max, way_back};

/// Numbers of one activation of a whole batch that are worth computing together.
const BATCH_VALUES: usize = 1 << 15;
/// Numbers of all slots' weights together.
const WEIGHT_VALUES_MAX: usize = 1 << 26;

/// What all threads share in a round: released weights, and what follows from them.
pub(super) struct Round<'a, T> {
    pub(super) geometry: &'a Geometry,
    pub(super) weights: &'a [f64],
    pub(super) table: Vec<T>,
    /// All items' vectors, where they are scored together.
    pub(super) vectors: Option<Tensor>,
    pub(super) streams: PrivateStreams,
    pub(super) device: &'a Device,
}

impl<'a, T: Real> Round<'a, T> {
    pub(super) fn new(
        geometry: &'a Geometry,
        weights: &'a [f64],
        streams: PrivateStreams,
        device: &'a Device,
    ) -> Result<Self> {
        let table = weights[..geometry.layout.table_values()].iter().map(|w| T::from_f64(*w)).collect();
        let mut round = Round { geometry, weights, table, vectors: None, streams, device };
        if geometry.model.negatives == 0 {
            round.vectors = Some(all_vectors(geometry, &round.source(), device)?);
        }
        Ok(round)
    }

    pub(super) fn source(&self) -> RowSource<'_, T> {
        RowSource { table: &self.table, width: self.geometry.model.width, moved: None }
    }
}

/// The vectors of the whole catalogue, `[items, width]`.
pub(super) fn all_vectors<T: Real>(
    geometry: &Geometry,
    source: &RowSource<'_, T>,
    device: &Device,
) -> Result<Tensor> {
    let (items, width) = (geometry.model.items, geometry.model.width);
    let mut vectors = vec![T::zero(); items * width];
    for (item, vector) in vectors.chunks_exact_mut(width).enumerate() {
        geometry.vector(item as u32, source, vector);
    }
    Tensor::from_vec(vectors, (items, width), device)
}

/// Slots of histories of about the same length.
struct Bucket {
    positions: usize,
    slots: Vec<Slot>,
    filled: usize,
    layers: SlotLayers,
}

/// Buckets and buffers of one thread.
pub(super) struct Worker<'a, T: Real> {
    round: &'a Round<'a, T>,
    buckets: BTreeMap<usize, Bucket>,
    buffers: Buffers<T>,
}

#[derive(Default)]
struct Buffers<T> {
    inputs: Vec<T>,
    by_outputs: Vec<T>,
    scratch: Vec<T>,
    tensors: Vec<f64>,
}

impl<'a, T: Real> Worker<'a, T> {
    pub(super) fn new(round: &'a Round<'a, T>) -> Self {
        let buffers = Buffers { inputs: vec![], by_outputs: vec![], scratch: vec![], tensors: vec![] };
        Worker { round, buckets: BTreeMap::new(), buffers }
    }

    /// Hands the contribution of every shopper with something to learn from to the sink, in no particular order.
    pub(super) fn run<'s, S: SparseSink>(
        &mut self,
        shoppers: impl Iterator<Item = (ShopperKey, &'s [u32])>,
        sink: &mut S,
    ) -> Result<()> {
        let Round { geometry, streams, .. } = self.round;
        let steps = geometry.model.training.steps as usize;
        for (key, items) in shoppers.filter(|(_, items)| items.len() >= 2) {
            let length = (items.len() - 1).min(geometry.model.positions);
            let positions = bucket_positions(length, geometry.model.positions);
            if !self.buckets.contains_key(&positions) {
                self.buckets.insert(positions, Bucket::new(self.round, positions)?);
            }
            let Some(bucket) = self.buckets.get_mut(&positions) else { continue };
            let slot = &mut bucket.slots[bucket.filled];
            slot.fill(geometry, streams, (key, items), steps);
            slot.start_rows(geometry);
            bucket.filled += 1;
            if bucket.filled == bucket.slots.len() {
                bucket.flush(self.round, &mut self.buffers, sink)?;
            }
        }
        let open = self.buckets.values_mut().filter(|bucket| bucket.filled > 0);
        open.into_iter().try_for_each(|bucket| bucket.flush(self.round, &mut self.buffers, sink))
    }
}

impl Bucket {
    fn new<T: Real>(round: &Round<'_, T>, positions: usize) -> Result<Self> {
        let layout = &round.geometry.layout;
        let by_batch = BATCH_VALUES / (positions * layout.width).max(1);
        let by_weights = WEIGHT_VALUES_MAX / layout.tensor_values().max(1);
        let slots = by_batch.min(by_weights).clamp(1, slots_max(round.device));
        Ok(Bucket {
            positions,
            slots: std::iter::repeat_with(Slot::default).take(slots).collect(),
            filled: 0,
            layers: SlotLayers::load::<T>(layout, round.weights, slots, round.device)?,
        })
    }

    /// Computes the batch, always of the same shape, and empties it.
    fn flush<T: Real, S: SparseSink>(
        &mut self,
        round: &Round<'_, T>,
        buffers: &mut Buffers<T>,
        sink: &mut S,
    ) -> Result<()> {
        self.slots[self.filled..].iter_mut().for_each(Slot::clear);
        self.layers.restart();
        let training = &round.geometry.model.training;
        let steps = training.steps as usize;
        for step in 0..steps {
            self.step(round, buffers, step)?;
            if step + 1 < steps {
                self.layers.step(training.learning_rate)?;
                self.slots[..self.filled].iter_mut().for_each(|slot| slot.moved.copy_from(&slot.rows));
            }
        }
        let start = round.geometry.layout.table_values();
        for (index, slot) in self.slots[..self.filled].iter().enumerate() {
            self.layers.write::<T>(index, self.slots.len(), &mut buffers.tensors)?;
            sink.add_blocks(slot.rows.blocks().chain([SparseBlock { start, values: &buffers.tensors }]));
        }
        self.filled = 0;
        Ok(())
    }

    /// One step of all slots: forward, loss, back.
    fn step<T: Real>(&mut self, round: &Round<'_, T>, buffers: &mut Buffers<T>, step: usize) -> Result<()> {
        let geometry = round.geometry;
        let (width, steps) = (geometry.model.width, geometry.model.training.steps as usize);
        let shape = (self.slots.len(), self.positions, width);
        let per_slot = self.positions * width;
        buffers.inputs.clear();
        buffers.inputs.resize(self.slots.len() * per_slot, T::zero());
        let table = round.source();
        for (slot, inputs) in self.slots[..self.filled].iter().zip(buffers.inputs.chunks_exact_mut(per_slot))
        {
            geometry.assemble(slot.history(), &seen_by(slot, &table, step, geometry), inputs);
        }
        let inputs = Var::from_slice(&buffers.inputs, shape, round.device)?;
        let hidings = self.hidings::<T>(round)?;
        let outputs = encode(&geometry.model.encoder, self.layers.current(), inputs.as_tensor(), &hidings)?;
        buffers.by_outputs.clear();
        buffers.by_outputs.resize(self.slots.len() * per_slot, T::zero());
        buffers.scratch.resize(width, T::zero());
        let filled = &mut self.slots[..self.filled];
        with_values(&outputs, |outputs: &[T]| {
            let rows = outputs.chunks_exact(per_slot).zip(buffers.by_outputs.chunks_exact_mut(per_slot));
            for (slot, (outputs, by_outputs)) in filled.iter_mut().zip(rows) {
                let (outputs, by_outputs) =
                    (&outputs[..slot.positions() * width], &mut by_outputs[..slot.positions() * width]);
                slot_loss(round, slot, (step, steps), outputs, by_outputs, &mut buffers.scratch)?;
            }
            Ok(())
        })?;
        let by_outputs = Tensor::from_slice(&buffers.by_outputs, shape, round.device)?;
        let mut gradients = way_back(&outputs, by_outputs)?;
        let Some(by_inputs) = gradients.remove(inputs.as_tensor()) else {
            return Err(candle_core::Error::Msg("the inputs of the network got no gradient".into()));
        };
        with_values(&by_inputs, |by_inputs: &[T]| {
            buffers.inputs.copy_from_slice(by_inputs);
            Ok(())
        })?;
        for (slot, by_inputs) in filled.iter_mut().zip(buffers.inputs.chunks_exact_mut(per_slot)) {
            let mut rows = std::mem::take(&mut slot.rows);
            geometry.assemble_back(slot.history(), by_inputs, &mut rows);
            slot.rows = rows;
        }
        self.layers.take(&mut gradients)
    }

    /// What dropout hides, drawn slot by slot.
    fn hidings<T: Real>(&mut self, round: &Round<'_, T>) -> Result<Vec<Tensor>> {
        let model = &round.geometry.model;
        if model.dropout == 0.0 {
            return Ok(vec![]);
        }
        let (per_slot, places) = (self.positions * model.width, hiding_places(&model.encoder));
        let mut values = vec![vec![T::zero(); self.slots.len() * per_slot]; places];
        for (index, slot) in self.slots[..self.filled].iter_mut().enumerate() {
            let drawn = slot.positions() * model.width;
            for values in &mut values {
                slot.hide(model.dropout, &mut values[index * per_slot..index * per_slot + drawn]);
            }
        }
        let shape = (self.slots.len(), self.positions, model.width);
        values.into_iter().map(|values| Tensor::from_vec(values, shape, round.device)).collect()
    }
}

/// The tables as a slot sees them at a step.
fn seen_by<'a, T: Real>(
    slot: &'a Slot,
    table: &RowSource<'a, T>,
    step: usize,
    geometry: &Geometry,
) -> RowSource<'a, T> {
    let moved = (step > 0).then_some((&slot.moved, geometry.model.training.learning_rate));
    RowSource { moved, ..*table }
}

/// The mean loss over a slot's positions, back to its outputs and item vectors.
fn slot_loss<T: Real>(
    round: &Round<'_, T>,
    slot: &mut Slot,
    (step, steps): (usize, usize),
    outputs: &[T],
    by_outputs: &mut [T],
    scratch: &mut [T],
) -> Result<()> {
    let geometry = round.geometry;
    let weight = 1.0 / slot.positions() as f64;
    let mut rows = std::mem::take(&mut slot.rows);
    let source = seen_by(slot, &round.source(), step, geometry);
    match &round.vectors {
        None => {
            let negatives = slot.negatives(step, steps);
            let sampled = Sampled { targets: slot.targets(), negatives, weight };
            sampled.backward(geometry, &source, outputs, by_outputs, &mut rows, scratch);
        }
        Some(vectors) => {
            let own = match step {
                0 => vectors.clone(),
                _ => all_vectors(geometry, &source, round.device)?,
            };
            let (by_own, by_vectors, _) = catalogue_backward(outputs, slot.targets(), &own, weight)?;
            by_outputs.copy_from_slice(&by_own);
            if let Some(by_vectors) = by_vectors {
                with_values(&by_vectors, |values: &[T]| {
                    for (item, gradient) in values.chunks_exact(geometry.model.width).enumerate() {
                        geometry.vector_back(item as u32, 1.0, gradient, &mut rows);
                    }
                    Ok(())
                })?;
            }
        }
    }
    slot.rows = rows;
    Ok(())
}
