//! One thread's way through shoppers: batches of equal numbers of rows in, every shopper's own contribution out.

use std::collections::BTreeMap;

use candle_core::{Device, Result};
use guildhall_privacy::clip::SparseBlock;

use super::layout::Layout;
use super::pass::Pass;
use crate::data::observations::{Observations, ShopperRows};
use crate::model::sequence::real::Real;
use crate::train::private_stream::{PrivateStreams, ShopperStream};
use crate::train::slots::{RowSource, RowSum, SlotLayers, SparseSink, logit_slope, slots_max};

/// Numbers of one activation of a whole batch that are worth computing together.
const BATCH_VALUES: usize = 1 << 16;
/// Numbers of all slots' weights together.
const WEIGHT_VALUES_MAX: usize = 1 << 26;

/// What all threads share in a round.
pub(super) struct Round<'a, T> {
    pub(super) layout: &'a Layout,
    pub(super) weights: &'a [f64],
    pub(super) table: Vec<T>,
    pub(super) streams: PrivateStreams,
    pub(super) observations: &'a Observations,
    pub(super) device: &'a Device,
}

impl<T: Real> Round<'_, T> {
    pub(super) fn source(&self) -> RowSource<'_, T> {
        RowSource { table: &self.table, width: self.layout.model.embedding, moved: None }
    }
}

/// The tables as numbers of a kind.
pub(super) fn table_of<T: Real>(layout: &Layout, weights: &[f64]) -> Vec<T> {
    weights[..layout.parameters.table_values()].iter().map(|w| T::from_f64(*w)).collect()
}

/// A shopper's place in a batch. Keeps its memory.
#[derive(Default)]
struct Slot {
    start: usize,
    end: usize,
    stream: Option<ShopperStream>,
    /// Gradients of all steps so far, and of those before this one.
    rows: RowSum,
    moved: RowSum,
}

/// Slots of shoppers with about as many rows.
struct Bucket<T> {
    rows: usize,
    slots: Vec<Slot>,
    filled: usize,
    layers: SlotLayers,
    pass: Pass<T>,
}

/// Buckets and buffers of one thread.
pub(super) struct Worker<'a, T> {
    round: &'a Round<'a, T>,
    buckets: BTreeMap<usize, Bucket<T>>,
    tensors: Vec<f64>,
}

impl<'a, T: Real> Worker<'a, T> {
    pub(super) fn new(round: &'a Round<'a, T>) -> Self {
        Worker { round, buckets: BTreeMap::new(), tensors: vec![] }
    }

    /// Hands the contribution of every shopper to the sink, in no particular order.
    pub(super) fn run<'s, S: SparseSink>(
        &mut self,
        shoppers: impl Iterator<Item = &'s ShopperRows>,
        sink: &mut S,
    ) -> Result<()> {
        for shopper in shoppers.filter(|shopper| shopper.end > shopper.start) {
            // A function of the shopper's own rows: its numbers do not depend on who else is in the batch.
            let rows = (shopper.end - shopper.start).next_power_of_two();
            if !self.buckets.contains_key(&rows) {
                self.buckets.insert(rows, Bucket::new(self.round, rows)?);
            }
            let Some(bucket) = self.buckets.get_mut(&rows) else { continue };
            bucket.push(self.round, shopper);
            if bucket.filled == bucket.slots.len() {
                bucket.flush(self.round, &mut self.tensors, sink)?;
            }
        }
        let mut open = self.buckets.values_mut().filter(|bucket| bucket.filled > 0);
        open.try_for_each(|bucket| bucket.flush(self.round, &mut self.tensors, sink))
    }
}

impl<T: Real> Bucket<T> {
    fn new(round: &Round<'_, T>, rows: usize) -> Result<Self> {
        let layout = round.layout;
        let by_batch = BATCH_VALUES / (rows * (layout.steps() + layout.model.shape.fixed)).max(1);
        let by_weights = WEIGHT_VALUES_MAX / layout.parameters.tensor_values().max(1);
        let slots = by_batch.min(by_weights).clamp(1, slots_max(round.device));
        Ok(Bucket {
            rows,
            slots: std::iter::repeat_with(Slot::default).take(slots).collect(),
            filled: 0,
            layers: SlotLayers::load::<T>(&layout.parameters, round.weights, slots, round.device)?,
            pass: Pass::start(layout, slots * rows),
        })
    }

    fn push(&mut self, round: &Round<'_, T>, shopper: &ShopperRows) {
        let slot = &mut self.slots[self.filled];
        (slot.start, slot.end) = (shopper.start, shopper.end);
        slot.stream = Some(round.streams.of(shopper.key));
        let rows = (slot.start..slot.end).map(|row| round.observations.row(row));
        let embedding = round.layout.model.embedding;
        let tokens = rows.filter(|_| embedding > 0).flat_map(|row| round.layout.tokens(row).flatten());
        slot.rows.start(embedding, tokens);
        self.filled += 1;
    }

    /// Computes the batch, always of the same shape, and empties it.
    fn flush<S: SparseSink>(
        &mut self,
        round: &Round<'_, T>,
        tensors: &mut Vec<f64>,
        sink: &mut S,
    ) -> Result<()> {
        self.layers.restart();
        let training = &round.layout.model.training;
        for step in 0..training.steps {
            self.step(round, step)?;
            if step + 1 < training.steps {
                self.layers.step(training.learning_rate)?;
                self.slots[..self.filled].iter_mut().for_each(|slot| slot.moved.copy_from(&slot.rows));
            }
        }
        let start = round.layout.parameters.table_values();
        for (index, slot) in self.slots[..self.filled].iter().enumerate() {
            self.layers.write::<T>(index, self.slots.len(), tensors)?;
            sink.add_blocks(slot.rows.blocks().chain([SparseBlock { start, values: tensors }]));
        }
        self.filled = 0;
        Ok(())
    }

    /// One step of all slots: forward, loss, back.
    fn step(&mut self, round: &Round<'_, T>, step: u32) -> Result<()> {
        let layout = round.layout;
        self.fill(round, step);
        let forward = self.pass.forward(layout, self.layers.current(), round.device)?;
        let slopes = forward.logits(|logits: &[T]| Ok(self.slopes(round, logits)))?;
        let mut gradients = self.pass.backward(&forward, slopes)?;
        let mut embedded = vec![T::zero(); layout.embedded()];
        for (index, slot) in self.slots[..self.filled].iter_mut().enumerate() {
            if layout.model.embedding == 0 {
                break;
            }
            for row in slot.start..slot.end {
                self.pass.gradient(layout, index * self.rows + row - slot.start, &mut embedded);
                layout.embed_back(round.observations.row(row), &embedded, &mut slot.rows);
            }
        }
        self.layers.take(&mut gradients)
    }

    fn fill(&mut self, round: &Round<'_, T>, step: u32) {
        let layout = round.layout;
        let (dropout, table) = (layout.model.dropout, round.source());
        let mut embedded = vec![T::zero(); layout.embedded()];
        self.pass = Pass::start(layout, self.slots.len() * self.rows);
        for (index, slot) in self.slots[..self.filled].iter_mut().enumerate() {
            let moved = (step > 0).then_some((&slot.moved, layout.model.training.learning_rate));
            let source = RowSource { moved, ..table };
            for row in slot.start..slot.end {
                let place = index * self.rows + row - slot.start;
                layout.embed(round.observations.row(row), &source, &mut embedded);
                self.pass.set(layout, place, &embedded);
                if let (Some(stream), true) = (&mut slot.stream, dropout > 0.0) {
                    stream.hide(dropout, self.pass.hiding(layout, place));
                }
            }
        }
    }

    /// The derivatives of every shopper's mean loss by its rows' logits; 0 for padding.
    fn slopes(&self, round: &Round<'_, T>, logits: &[T]) -> Vec<T> {
        let mut slopes = vec![T::zero(); logits.len()];
        for (index, slot) in self.slots[..self.filled].iter().enumerate() {
            let count = (slot.end - slot.start) as f64;
            for row in slot.start..slot.end {
                let place = index * self.rows + row - slot.start;
                let label = f64::from(round.observations.labels[row]);
                slopes[place] = T::from_f64(logit_slope(logits[place].to_f64(), label) / count);
            }
        }
        slopes
    }
}
