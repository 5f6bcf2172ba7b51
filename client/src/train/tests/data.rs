//! Models, weights and shoppers to test with, the same everywhere.

use guildhall_shared::model_spec::Activation;

use super::*;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.word() % end as u64) as usize
    }

    /// In [−1, 1), an f32.
    pub(super) fn signed(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

pub(super) fn logistic(inputs: usize) -> ModelSpec {
    ModelSpec { architecture: Architecture::LogisticRegression, inputs }
}

pub(super) fn mlp(inputs: usize, hidden: &[usize], activation: Activation) -> ModelSpec {
    ModelSpec { architecture: Architecture::Mlp { hidden: hidden.to_vec(), activation }, inputs }
}

/// Every kind of model that trains.
pub(super) fn small_models() -> Vec<ModelSpec> {
    let mut models = vec![logistic(9)];
    for activation in [Activation::Tanh, Activation::Relu] {
        models.extend([&[7][..], &[6, 5], &[5, 4, 3]].map(|hidden| mlp(9, hidden, activation)));
    }
    models
}

/// Weights that are exact in f32, of a size that keeps tanh out of saturation.
pub(super) fn weights(spec: &ModelSpec, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    (0..spec.parameter_count()).map(|_| f64::from(0.5 * numbers.signed())).collect()
}

/// One shopper's rows.
#[derive(Clone, Default)]
pub(super) struct Rows {
    pub(super) features: Vec<f32>,
    pub(super) labels: Vec<f32>,
}

/// Shoppers of 1 to `rows_max` rows each.
pub(super) fn shoppers(count: usize, rows_max: usize, inputs: usize, seed: u64) -> Vec<Rows> {
    let mut numbers = Numbers(seed);
    let mut shopper = || {
        let rows = 1 + numbers.below(rows_max);
        Rows {
            features: (0..rows * inputs).map(|_| 2.0 * numbers.signed()).collect(),
            labels: (0..rows).map(|_| numbers.below(2) as f32).collect(),
        }
    };
    (0..count).map(|_| shopper()).collect()
}

/// Observations of shoppers in this order.
pub(super) fn observations<'a>(inputs: usize, shoppers: impl IntoIterator<Item = &'a Rows>) -> Observations {
    let mut all = Observations { inputs, ..Observations::default() };
    for (index, rows) in shoppers.into_iter().enumerate() {
        let start = all.labels.len();
        all.features.extend(&rows.features);
        all.labels.extend(&rows.labels);
        let key = ShopperKey((index as u128).to_be_bytes());
        all.shoppers.push(ShopperRows { key, start, end: all.labels.len() });
    }
    all
}
