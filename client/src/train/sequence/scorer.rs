//! What a trained sequence classifier says of rows, and what it says it because of.

use candle_core::Device;

use super::layout::Layout;
use super::pass::Pass;
use super::worker::table_of;
use crate::data::observations::Observations;
use crate::model::sequence::Layers;
use crate::train::TrainError;
use crate::train::slots::RowSource;

/// Rows of every batch, padded with zeros: a row's logit does not depend on the others.
const BATCH_ROWS: usize = 64;

/// A sequence classifier with its weights, ready for rows.
pub struct SequenceScorer {
    layout: Layout,
    table: Vec<f32>,
    layers: Layers,
    device: Device,
}

/// Rows whose tokens were replaced by their vectors: numbers that can be scaled and mixed.
///
/// # Shapes
/// `values` rows × `inputs`: of each row the fixed inputs, then for every step the token's vector and the channels.
#[derive(Clone)]
pub struct EmbeddedRows {
    /// Numbers of one row.
    pub inputs: usize,
    /// Row-major.
    pub values: Vec<f32>,
}

impl SequenceScorer {
    pub(super) fn new(layout: &Layout, weights: &[f64], device: &Device) -> candle_core::Result<Self> {
        let tensors = &weights[layout.parameters.table_values()..];
        Ok(SequenceScorer {
            layout: layout.clone(),
            table: table_of(layout, weights),
            layers: Layers::load::<f32>(&layout.parameters.tensors, tensors, 1, device)?,
            device: device.clone(),
        })
    }

    /// The logit of every row.
    ///
    /// # Errors
    /// [`TrainError::Inputs`], [`TrainError::Rows`], [`TrainError::Compute`].
    pub fn logits(&self, observations: &Observations) -> Result<Vec<f32>, TrainError> {
        self.logits_of(&self.embed(observations)?)
    }

    /// Rows with their tokens' vectors.
    ///
    /// # Errors
    /// [`TrainError::Inputs`], [`TrainError::Rows`].
    pub fn embed(&self, observations: &Observations) -> Result<EmbeddedRows, TrainError> {
        check_inputs(&self.layout, observations)?;
        let source = RowSource { table: &self.table, width: self.layout.model.embedding, moved: None };
        let inputs = self.layout.embedded();
        let mut values = vec![0.0; observations.rows() * inputs];
        for (row, embedded) in values.chunks_exact_mut(inputs).enumerate() {
            self.layout.embed(observations.row(row), &source, embedded);
        }
        Ok(EmbeddedRows { inputs, values })
    }

    /// The logit of every embedded row.
    ///
    /// # Errors
    /// [`TrainError::Inputs`], [`TrainError::Compute`].
    pub fn logits_of(&self, rows: &EmbeddedRows) -> Result<Vec<f32>, TrainError> {
        let mut logits = Vec::with_capacity(rows.values.len() / rows.inputs.max(1));
        self.batches(rows, |pass, _, count| {
            let forward = pass.forward(&self.layout, &self.layers, &self.device)?;
            forward.logits(|values: &[f32]| {
                logits.extend_from_slice(&values[..count]);
                Ok(())
            })
        })?;
        Ok(logits)
    }

    /// The gradient of every embedded row's logit by its numbers.
    ///
    /// # Shapes
    /// As the rows' values.
    ///
    /// # Errors
    /// [`TrainError::Inputs`], [`TrainError::Compute`].
    pub fn input_gradients(&self, rows: &EmbeddedRows) -> Result<Vec<f32>, TrainError> {
        let mut gradients = vec![0.0; rows.values.len()];
        self.batches(rows, |pass, first, count| {
            let forward = pass.forward(&self.layout, &self.layers, &self.device)?;
            pass.backward(&forward, vec![1.0; BATCH_ROWS])?;
            for row in 0..count {
                let start = (first + row) * rows.inputs;
                pass.gradient(&self.layout, row, &mut gradients[start..start + rows.inputs]);
            }
            Ok(())
        })?;
        Ok(gradients)
    }

    /// Hands batch after batch to `with`, with its first row and how many rows it has.
    fn batches(
        &self,
        rows: &EmbeddedRows,
        mut with: impl FnMut(&mut Pass<f32>, usize, usize) -> candle_core::Result<()>,
    ) -> Result<(), TrainError> {
        let expected = self.layout.embedded();
        if rows.inputs != expected || !rows.values.len().is_multiple_of(expected.max(1)) {
            return Err(TrainError::Inputs { expected, found: rows.inputs });
        }
        for (batch, values) in rows.values.chunks(BATCH_ROWS * expected).enumerate() {
            let mut pass = Pass::start(&self.layout, BATCH_ROWS);
            let count = values.len() / expected;
            for (row, embedded) in values.chunks_exact(expected).enumerate() {
                pass.set(&self.layout, row, embedded);
            }
            with(&mut pass, batch * BATCH_ROWS, count).map_err(TrainError::Compute)?;
        }
        Ok(())
    }
}

/// Whether rows have the model's inputs.
pub(super) fn check_inputs(layout: &Layout, observations: &Observations) -> Result<(), TrainError> {
    let expected = layout.model.shape.inputs();
    if observations.inputs != expected {
        return Err(TrainError::Inputs { expected, found: observations.inputs });
    }
    if observations.features.len() != observations.rows() * expected {
        return Err(TrainError::Rows);
    }
    Ok(())
}
