//! Matrix factorisation: a shopper's own factors are solved for, used and forgotten; what it contributes is the gradient by the
//! item factors. Loops over f32 and f64, one shopper at a time. [core]

use guildhall_privacy::clip::SparseBlock;
use guildhall_shared::model_spec::MatrixFactorization;

use super::shopper::draw;
use crate::data::observations::ShopperKey;
use crate::model::sequence::real::{add_scaled, dot};
use crate::train::private_stream::PrivateStreams;

mod solve;

use solve::Ridge;

/// The model: sizes, no weights, and for queries the sum over all items of vector ⊗ vector.
pub(super) struct Factorization {
    model: MatrixFactorization,
    gram: Vec<f32>,
}

/// One shopper's items and counterexamples, and its gradient. Keeps its memory.
pub(super) struct Shopper {
    own: Vec<u32>,
    negatives: Vec<u32>,
    /// Every item once, in order: how often it is a counterexample, and 1 where it is the shopper's own.
    items: Vec<Rated>,
    ridge: Ridge,
    factors: Vec<f32>,
    /// The gradient's rows, in the order of `items`.
    values: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Rated {
    item: u32,
    label: f32,
    weight: f32,
}

impl Shopper {
    pub(super) fn new(model: &MatrixFactorization) -> Self {
        Shopper {
            own: vec![],
            negatives: vec![],
            items: vec![],
            ridge: Ridge::new(model.factors),
            factors: vec![0.0; model.factors],
            values: vec![],
        }
    }

    /// The gradient of the mean squared error over the shopper's items (1) and its counterexamples (0) by the item factors, its
    /// own factors solved for and held.
    pub(super) fn backward(
        &mut self,
        model: &MatrixFactorization,
        vectors: &[f32],
        streams: &PrivateStreams,
        (key, items): (ShopperKey, &[u32]),
    ) {
        self.rate(model, streams, key, items);
        let width = model.factors;
        let vector = |rated: &Rated| &vectors[rated.item as usize * width..][..width];
        self.ridge.start(model.ridge);
        let case = |rated: &Rated| (vector(rated), rated.weight, rated.label);
        let (fours, rest) = self.items.as_chunks::<4>();
        fours.iter().for_each(|four| self.ridge.add_four(four.each_ref().map(case)));
        rest.iter().map(case).for_each(|(vector, weight, label)| self.ridge.add(vector, weight, label));
        self.ridge.solve(&mut self.factors);
        let cases: f32 = self.items.iter().map(|rated| rated.weight).sum();
        self.values.clear();
        for rated in &self.items {
            let error = dot(vector(rated), &self.factors) - rated.label;
            let slope = f64::from(2.0 * rated.weight * error) / f64::from(cases);
            self.values.extend(self.factors.iter().map(|factor| slope * f64::from(*factor)));
        }
    }

    /// Fills `items`.
    fn rate(
        &mut self,
        model: &MatrixFactorization,
        streams: &PrivateStreams,
        key: ShopperKey,
        items: &[u32],
    ) {
        self.own.clear();
        self.own.extend_from_slice(items);
        self.own.sort_unstable();
        self.own.dedup();
        let mut stream = streams.of(key);
        let count = self.own.len() * model.negatives;
        self.negatives.clear();
        self.negatives.extend((0..count).map(|_| draw(&mut stream, model.items as u32, &self.own)));
        self.negatives.sort_unstable();
        self.items.clear();
        let own = self.own.iter().map(|item| Rated { item: *item, label: 1.0, weight: 1.0 });
        self.items.extend(own);
        for same in self.negatives.chunk_by(|a, b| a == b) {
            // Only where nearly the whole catalogue is the shopper's own may one of its own be drawn.
            if self.own.binary_search(&same[0]).is_err() {
                self.items.push(Rated { item: same[0], label: 0.0, weight: same.len() as f32 });
            }
        }
        self.items.sort_unstable_by_key(|rated| rated.item);
    }

    /// The gradient's rows, in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = SparseBlock<'_>> + Clone {
        let width = self.factors.len().max(1);
        let rows = self.items.iter().zip(self.values.chunks_exact(width));
        rows.map(move |(rated, values)| SparseBlock { start: rated.item as usize * width, values })
    }

    /// Adds the gradient to d sums.
    pub(super) fn add_to(&self, sums: &mut [f64]) {
        for SparseBlock { start, values } in self.blocks() {
            sums[start..start + values.len()].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
    }
}

#[cfg(test)]
impl Shopper {
    /// (item, label, weight) of every case, and the factors solved for.
    pub(super) fn solved(&self) -> (Vec<(u32, f64, f64)>, Vec<f64>) {
        let case = |rated: &Rated| (rated.item, f64::from(rated.label), f64::from(rated.weight));
        (self.items.iter().map(case).collect(), self.factors.iter().map(|x| f64::from(*x)).collect())
    }
}

impl Factorization {
    pub(super) fn new(model: &MatrixFactorization, vectors: &[f32]) -> Self {
        let width = model.factors;
        let mut gram = vec![0.0; width * width];
        for vector in vectors.chunks_exact(width) {
            for (row, factor) in gram.chunks_exact_mut(width).zip(vector) {
                add_scaled(row, *factor, vector);
            }
        }
        Factorization { model: model.clone(), gram }
    }

    pub(super) fn items(&self) -> usize {
        self.model.items
    }

    pub(super) fn factors(&self) -> usize {
        self.model.factors
    }

    /// The factors of a history. In the place of drawn counterexamples stands their mean over all draws, so that the same history
    /// always gives the same query.
    pub(super) fn query(&self, history: &[u32], vectors: &[f32]) -> Vec<f32> {
        let width = self.model.factors;
        let mut factors = vec![0.0; width];
        let mut own = history.to_vec();
        own.sort_unstable();
        own.dedup();
        let others = self.model.items - own.len();
        if own.is_empty() || others == 0 {
            return factors;
        }
        // Less than 1, so that an item is never less than nothing: only a shopper with much of the catalogue comes near.
        let share = ((own.len() * self.model.negatives) as f32 / others as f32).min(0.5);
        let mut ridge = Ridge::new(width);
        ridge.start(self.model.ridge);
        ridge.add_gram(&self.gram, share);
        for item in own {
            let vector = &vectors[item as usize * width..][..width];
            // Once as an item, and once off the mean of the counterexamples, which it is not one of.
            ridge.add(vector, 1.0 - share, 1.0 / (1.0 - share));
        }
        ridge.solve(&mut factors);
        factors
    }
}
