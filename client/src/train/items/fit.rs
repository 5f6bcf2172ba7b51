//! Ordinary training of a model of the next item.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};

use super::geometry::Geometry;
use super::loss::{Sampled, catalogue_backward};
use super::shopper::{Slot, bucket_positions};
use super::worker::Round;
use crate::data::sequences::Sequences;
use crate::model::sequence::item_encoder::{encode, hiding_places};
use crate::model::sequence::real::Real;
use crate::model::sequence::{Layers, with_values};
use crate::train::ordinary::{Adam, AfterEpoch, OrdinaryTraining};
use crate::train::slots::{AllRows, way_back};

/// New weights after some epochs, every position of a batch weighing the same.
pub(super) fn fit<T: Real>(
    geometry: &Geometry,
    weights: &[f64],
    sequences: &Sequences,
    (training, after_epoch): (&OrdinaryTraining, &mut AfterEpoch<'_>),
    device: &Device,
) -> Result<Vec<f64>> {
    let shoppers: Vec<usize> = (0..sequences.len()).filter(|i| sequences.shopper(*i).1.len() >= 2).collect();
    let mut weights = weights.to_vec();
    let mut adam = Adam::new(weights.len(), training.learning_rate);
    let mut gradient = vec![0.0; weights.len()];
    let mut slots: Vec<Slot> = std::iter::repeat_with(Slot::default).take(training.batch.max(1)).collect();
    for epoch in 0..training.epochs {
        let streams = training.streams(epoch);
        for batch in training.order(epoch, shoppers.len()).chunks(training.batch.max(1)) {
            for (slot, index) in slots.iter_mut().zip(batch) {
                slot.fill(geometry, &streams, sequences.shopper(shoppers[*index]), 1);
            }
            gradient.fill(0.0);
            let round = Round::<T>::new(geometry, &weights, streams.clone(), device)?;
            batch_gradient(&round, &mut slots[..batch.len()], &mut gradient)?;
            adam.step(&mut weights, &gradient);
        }
        if after_epoch(epoch + 1, &weights).is_break() {
            break;
        }
    }
    Ok(weights)
}

/// Adds the gradient of the mean loss over all positions of these shoppers; that mean.
pub(super) fn batch_gradient<T: Real>(
    round: &Round<'_, T>,
    slots: &mut [Slot],
    gradient: &mut [f64],
) -> Result<f64> {
    let geometry = round.geometry;
    let positions: usize = slots.iter().map(Slot::positions).sum();
    let weight = 1.0 / positions.max(1) as f64;
    let (by_table, by_tensors) = gradient.split_at_mut(geometry.layout.table_values());
    let tensors = &round.weights[geometry.layout.table_values()..];
    let layers = Layers::load::<T>(&geometry.layout.tensors, tensors, 1, round.device)?.variables()?;
    let mut groups: BTreeMap<usize, Vec<&mut Slot>> = BTreeMap::new();
    for slot in slots {
        let positions = bucket_positions(slot.positions(), geometry.model.positions);
        groups.entry(positions).or_default().push(slot);
    }
    let mut loss = 0.0;
    for (positions, mut slots) in groups {
        let group = Group { round, positions, weight };
        loss += group.backward(&layers, &mut slots, &mut AllRows(by_table), by_tensors)?;
    }
    Ok(loss)
}

/// Histories that are padded to the same length.
struct Group<'a, T> {
    round: &'a Round<'a, T>,
    positions: usize,
    /// Of one position's loss.
    weight: f64,
}

impl<T: Real> Group<'_, T> {
    fn backward(
        &self,
        layers: &Layers,
        slots: &mut [&mut Slot],
        by_table: &mut AllRows<'_>,
        by_tensors: &mut [f64],
    ) -> Result<f64> {
        let (geometry, source) = (self.round.geometry, self.round.source());
        let per_slot = self.positions * geometry.model.width;
        let shape = (slots.len(), self.positions, geometry.model.width);
        let mut inputs = vec![T::zero(); slots.len() * per_slot];
        for (slot, inputs) in slots.iter().zip(inputs.chunks_exact_mut(per_slot)) {
            geometry.assemble(slot.history(), &source, inputs);
        }
        let variable = Var::from_slice(&inputs, shape, self.round.device)?;
        let hidings = self.hidings(slots)?;
        let outputs = encode(&geometry.model.encoder, layers, variable.as_tensor(), &hidings)?;
        let (by_outputs, loss) = with_values(&outputs, |outputs: &[T]| self.loss(slots, outputs, by_table))?;
        let by_outputs = Tensor::from_vec(by_outputs, shape, self.round.device)?;
        let mut gradients = way_back(&outputs, by_outputs)?;
        let missing = || candle_core::Error::Msg("a tensor of the network got no gradient".into());
        let by_inputs = gradients.remove(variable.as_tensor()).ok_or_else(missing)?;
        with_values(&by_inputs, |by_inputs: &[T]| {
            inputs.copy_from_slice(by_inputs);
            Ok(())
        })?;
        for (slot, by_inputs) in slots.iter().zip(inputs.chunks_exact_mut(per_slot)) {
            geometry.assemble_back(slot.history(), by_inputs, by_table);
        }
        let mut rest = by_tensors;
        for tensor in layers.tensors() {
            let (own, after) = rest.split_at_mut(tensor.elem_count());
            rest = after;
            with_values(&gradients.remove(tensor).ok_or_else(missing)?, |values: &[T]| {
                own.iter_mut().zip(values).for_each(|(sum, g)| *sum += g.to_f64());
                Ok(())
            })?;
        }
        Ok(loss)
    }

    /// Gradients by the outputs, and the loss.
    fn loss(&self, slots: &[&mut Slot], outputs: &[T], by_table: &mut AllRows<'_>) -> Result<(Vec<T>, f64)> {
        let (geometry, source) = (self.round.geometry, self.round.source());
        let width = geometry.model.width;
        let per_slot = self.positions * width;
        let mut by_outputs = vec![T::zero(); outputs.len()];
        let Some(vectors) = &self.round.vectors else {
            let (mut scratch, mut loss) = (vec![T::zero(); width], 0.0);
            let rows = outputs.chunks_exact(per_slot).zip(by_outputs.chunks_exact_mut(per_slot));
            for (slot, (outputs, by_outputs)) in slots.iter().zip(rows) {
                let filled = slot.positions() * width;
                let negatives = slot.negatives(0, 1);
                let sampled = Sampled { targets: slot.targets(), negatives, weight: self.weight };
                let (outputs, by_outputs) = (&outputs[..filled], &mut by_outputs[..filled]);
                loss += sampled.backward(geometry, &source, outputs, by_outputs, by_table, &mut scratch);
            }
            return Ok((by_outputs, loss));
        };
        // Padding is left out of the product with the catalogue, which is most of the work.
        let filled = |values: &[T], slot: &Slot| values[..slot.positions() * width].to_vec();
        let pairs = slots.iter().zip(outputs.chunks_exact(per_slot));
        let packed: Vec<T> = pairs.flat_map(|(slot, outputs)| filled(outputs, slot)).collect();
        let targets: Vec<u32> = slots.iter().flat_map(|slot| slot.targets().iter().copied()).collect();
        let (by_packed, by_vectors, loss) = catalogue_backward(&packed, &targets, vectors, self.weight)?;
        let mut rest = &by_packed[..];
        for (slot, by_outputs) in slots.iter().zip(by_outputs.chunks_exact_mut(per_slot)) {
            let (own, after) = rest.split_at(slot.positions() * width);
            by_outputs[..own.len()].copy_from_slice(own);
            rest = after;
        }
        if let Some(by_vectors) = by_vectors {
            with_values(&by_vectors, |values: &[T]| {
                for (item, gradient) in values.chunks_exact(width).enumerate() {
                    geometry.vector_back(item as u32, 1.0, gradient, by_table);
                }
                Ok(())
            })?;
        }
        Ok((by_outputs, loss))
    }

    fn hidings(&self, slots: &mut [&mut Slot]) -> Result<Vec<Tensor>> {
        let model = &self.round.geometry.model;
        if model.dropout == 0.0 {
            return Ok(vec![]);
        }
        let (per_slot, shape) = (self.positions * model.width, (slots.len(), self.positions, model.width));
        let mut tensors = Vec::with_capacity(hiding_places(&model.encoder));
        for _ in 0..hiding_places(&model.encoder) {
            let mut values = vec![T::zero(); slots.len() * per_slot];
            for (slot, values) in slots.iter_mut().zip(values.chunks_exact_mut(per_slot)) {
                let drawn = slot.positions() * model.width;
                slot.hide(model.dropout, &mut values[..drawn]);
            }
            tensors.push(Tensor::from_vec(values, shape, self.round.device)?);
        }
        Ok(tensors)
    }
}
