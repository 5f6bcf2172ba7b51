//! Ordinary training of a sequence classifier.

use candle_core::{Device, Result};

use super::layout::Layout;
use super::pass::Pass;
use super::worker::table_of;
use crate::data::observations::{Observations, ShopperRows};
use crate::model::sequence::real::Real;
use crate::model::sequence::{Layers, with_values};
use crate::train::ordinary::{Adam, AfterEpoch, OrdinaryTraining};
use crate::train::private_stream::PrivateStreams;
use crate::train::slots::{AllRows, RowSource, logit_slope};

/// New weights after some epochs, every row of a batch weighing the same.
pub(super) fn fit<T: Real>(
    layout: &Layout,
    weights: &[f64],
    observations: &Observations,
    (training, after_epoch): (&OrdinaryTraining, &mut AfterEpoch<'_>),
    device: &Device,
) -> Result<Vec<f64>> {
    let shoppers: Vec<&ShopperRows> =
        observations.shoppers.iter().filter(|shopper| shopper.end > shopper.start).collect();
    let mut weights = weights.to_vec();
    let mut adam = Adam::new(weights.len(), training.learning_rate);
    let mut gradient = vec![0.0; weights.len()];
    for epoch in 0..training.epochs {
        let streams = training.streams(epoch);
        for batch in training.order(epoch, shoppers.len()).chunks(training.batch.max(1)) {
            let batch: Vec<&ShopperRows> = batch.iter().map(|index| shoppers[*index]).collect();
            gradient.fill(0.0);
            batch_gradient::<T>(layout, &weights, observations, (&batch, &streams), device, &mut gradient)?;
            adam.step(&mut weights, &gradient);
        }
        if after_epoch(epoch + 1, &weights).is_break() {
            break;
        }
    }
    Ok(weights)
}

/// Adds the gradient of the mean loss over all rows of these shoppers.
fn batch_gradient<T: Real>(
    layout: &Layout,
    weights: &[f64],
    observations: &Observations,
    (shoppers, streams): (&[&ShopperRows], &PrivateStreams),
    device: &Device,
    gradient: &mut [f64],
) -> Result<()> {
    let rows: Vec<usize> = shoppers.iter().flat_map(|shopper| shopper.start..shopper.end).collect();
    let (by_table, by_tensors) = gradient.split_at_mut(layout.parameters.table_values());
    let tensors = &weights[layout.parameters.table_values()..];
    let layers = Layers::load::<T>(&layout.parameters.tensors, tensors, 1, device)?.variables()?;
    let table = table_of::<T>(layout, weights);
    let source = RowSource { table: &table, width: layout.model.embedding, moved: None };
    let mut pass = Pass::start(layout, rows.len());
    let mut embedded = vec![T::zero(); layout.embedded()];
    for (place, row) in rows.iter().enumerate() {
        layout.embed(observations.row(*row), &source, &mut embedded);
        pass.set(layout, place, &embedded);
    }
    if layout.model.dropout > 0.0 {
        let mut places = 0..rows.len();
        for shopper in shoppers {
            let mut stream = streams.of(shopper.key);
            for place in places.by_ref().take(shopper.end - shopper.start) {
                stream.hide(layout.model.dropout, pass.hiding(layout, place));
            }
        }
    }
    let forward = pass.forward(layout, &layers, device)?;
    let slopes = forward.logits(|logits: &[T]| {
        let slope = |(logit, row): (&T, &usize)| {
            let label = f64::from(observations.labels[*row]);
            T::from_f64(logit_slope(logit.to_f64(), label) / rows.len() as f64)
        };
        Ok(logits.iter().zip(&rows).map(slope).collect())
    })?;
    let mut gradients = pass.backward(&forward, slopes)?;
    if layout.model.embedding > 0 {
        for (place, row) in rows.iter().enumerate() {
            pass.gradient(layout, place, &mut embedded);
            layout.embed_back(observations.row(*row), &embedded, &mut AllRows(by_table));
        }
    }
    let mut rest = by_tensors;
    for tensor in layers.tensors() {
        let (own, after) = rest.split_at_mut(tensor.elem_count());
        rest = after;
        let Some(gradient) = gradients.remove(tensor) else {
            return Err(candle_core::Error::Msg("a tensor of the network got no gradient".into()));
        };
        with_values(&gradient, |values: &[T]| {
            own.iter_mut().zip(values).for_each(|(sum, g)| *sum += g.to_f64());
            Ok(())
        })?;
    }
    Ok(())
}
