//! What a trained model says of a history: a query vector, and its product with every item's vector.

use candle_core::{DType, Device, Tensor};

use super::factorization::Factorization;
use super::geometry::Geometry;
use super::worker::all_vectors;
use crate::model::sequence::item_encoder::{attention_of_last, encode};
use crate::model::sequence::real::dot;
use crate::model::sequence::{Layers, with_values};
use crate::train::TrainError;
use crate::train::slots::RowSource;

/// Histories that are computed together.
const BATCH: usize = 64;

/// A model with its weights, ready for histories. Reads nothing but the history it is given.
pub struct ItemScorer {
    reader: Reader,
    items: usize,
    width: usize,
    /// `[items, width]`.
    vectors: Vec<f32>,
    device: Device,
}

enum Reader {
    Network { geometry: Geometry, table: Vec<f32>, layers: Layers },
    Factorization(Factorization),
}

impl ItemScorer {
    pub(super) fn network(geometry: &Geometry, weights: &[f64], device: &Device) -> Result<Self, TrainError> {
        let (table, tensors) = weights.split_at(geometry.layout.table_values());
        let table: Vec<f32> = table.iter().map(|w| *w as f32).collect();
        let source = RowSource { table: &table, width: geometry.model.width, moved: None };
        let made = || {
            let layers = Layers::load::<f32>(&geometry.layout.tensors, tensors, 1, device)?;
            let vectors = all_vectors(geometry, &source, &Device::Cpu)?.flatten_all()?.to_vec1()?;
            Ok((layers, vectors))
        };
        let (layers, vectors) = made().map_err(TrainError::Compute)?;
        let (items, width) = (geometry.model.items, geometry.model.width);
        let reader = Reader::Network { geometry: geometry.clone(), table, layers };
        Ok(ItemScorer { reader, items, width, vectors, device: device.clone() })
    }

    pub(super) fn factorization(model: Factorization, vectors: Vec<f32>) -> Self {
        let (items, width) = (model.items(), model.factors());
        ItemScorer { reader: Reader::Factorization(model), items, width, vectors, device: Device::Cpu }
    }

    /// N.
    pub fn items(&self) -> usize {
        self.items
    }

    /// Width of a query and of an item's vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Every item's vector, one after the other: what a query is multiplied with.
    ///
    /// # Shapes
    /// N × width.
    pub fn item_vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// The query of a history, the oldest item first. Items that are not in the catalogue are left out; without any left, the
    /// query is zero.
    ///
    /// # Shapes
    /// `width` values.
    ///
    /// # Errors
    /// [`TrainError::Compute`].
    pub fn query(&self, history: &[u32]) -> Result<Vec<f32>, TrainError> {
        self.queries(&[history])
    }

    /// The queries of several histories, one after the other.
    ///
    /// # Errors
    /// [`TrainError::Compute`].
    pub fn queries(&self, histories: &[&[u32]]) -> Result<Vec<f32>, TrainError> {
        match &self.reader {
            Reader::Factorization(model) => {
                let known = histories.iter().map(|history| self.known(history));
                Ok(known.flat_map(|history| model.query(&history, &self.vectors)).collect())
            }
            Reader::Network { geometry, table, layers } => {
                let mut queries = vec![0.0; histories.len() * self.width];
                let batches = histories.chunks(BATCH).zip(queries.chunks_mut(BATCH * self.width));
                for (histories, queries) in batches {
                    self.batch(geometry, table, layers, histories, queries).map_err(TrainError::Compute)?;
                }
                Ok(queries)
            }
        }
    }

    /// The score of every item for a history; see [`ItemScorer::query`].
    ///
    /// # Errors
    /// [`TrainError::Compute`].
    pub fn scores(&self, history: &[u32]) -> Result<Vec<f32>, TrainError> {
        let query = self.query(history)?;
        Ok(self.vectors.chunks_exact(self.width).map(|vector| dot(vector, &query)).collect())
    }

    /// How much each of the newest items counts for the query: the shares of attention of the last position, the mean over
    /// heads and blocks, which sum to one. One for every item read, the oldest first; empty for models without attention.
    ///
    /// # Errors
    /// [`TrainError::Compute`].
    pub fn attention(&self, history: &[u32]) -> Result<Vec<f64>, TrainError> {
        let Reader::Network { geometry, table, layers } = &self.reader else { return Ok(vec![]) };
        let history = self.read(geometry, history);
        if history.is_empty() {
            return Ok(vec![]);
        }
        let shares = || {
            let source = RowSource { table, width: self.width, moved: None };
            let mut inputs = vec![0.0; history.len() * self.width];
            geometry.assemble(&history, &source, &mut inputs);
            let inputs = Tensor::from_vec(inputs, (1, history.len(), self.width), &self.device)?;
            attention_of_last(&geometry.model.encoder, layers, &inputs)
        };
        let shares: Vec<Vec<f64>> = shares().map_err(TrainError::Compute)?;
        let mean =
            |place: usize| shares.iter().map(|block| block[place]).sum::<f64>() / shares.len().max(1) as f64;
        Ok(if shares.is_empty() { vec![] } else { (0..history.len()).map(mean).collect() })
    }

    fn known(&self, history: &[u32]) -> Vec<u32> {
        history.iter().copied().filter(|item| (*item as usize) < self.items).collect()
    }

    /// The newest items that the network reads.
    fn read(&self, geometry: &Geometry, history: &[u32]) -> Vec<u32> {
        let mut known = self.known(history);
        let first = known.len().saturating_sub(geometry.model.positions);
        known.drain(..first);
        known
    }

    fn batch(
        &self,
        geometry: &Geometry,
        table: &[f32],
        layers: &Layers,
        histories: &[&[u32]],
        queries: &mut [f32],
    ) -> candle_core::Result<()> {
        let read: Vec<Vec<u32>> = histories.iter().map(|history| self.read(geometry, history)).collect();
        let positions = read.iter().map(Vec::len).max().unwrap_or(0);
        if positions == 0 {
            return Ok(());
        }
        let per_slot = positions * self.width;
        let source = RowSource { table, width: self.width, moved: None };
        let mut inputs = vec![0.0; read.len() * per_slot];
        for (history, inputs) in read.iter().zip(inputs.chunks_exact_mut(per_slot)) {
            geometry.assemble(history, &source, inputs);
        }
        let inputs = Tensor::from_vec(inputs, (read.len(), positions, self.width), &self.device)?;
        let outputs = encode(&geometry.model.encoder, layers, &inputs, &[])?.to_dtype(DType::F32)?;
        with_values(&outputs, |outputs: &[f32]| {
            let slots = read.iter().zip(outputs.chunks_exact(per_slot));
            for ((history, outputs), query) in slots.zip(queries.chunks_exact_mut(self.width)) {
                if let Some(last) = history.len().checked_sub(1) {
                    query.copy_from_slice(&outputs[last * self.width..][..self.width]);
                }
            }
            Ok(())
        })
    }
}
