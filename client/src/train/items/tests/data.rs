//! Models, catalogues and shoppers to test with, the same everywhere.

use super::*;

pub(super) const ITEMS: usize = 12;
pub(super) const POSITIONS: usize = 6;
pub(super) const WIDTH: usize = 4;

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
    pub(super) fn signed(&mut self) -> f64 {
        f64::from((self.word() >> 40) as f32 / (1u64 << 23) as f32 - 1.0)
    }
}

pub(super) fn key(number: u8) -> ShopperKey {
    let mut key = [0; 16];
    key[15] = number;
    ShopperKey(key)
}

/// Twelve items with up to two of three tags each.
pub(super) fn catalogue() -> Catalogue {
    let items = (0..ITEMS).map(|item| item.to_string()).collect();
    let tags = ["red", "green", "blue"].map(String::from).to_vec();
    let of = |item: usize| match item % 4 {
        0 => vec![],
        1 => vec![0],
        2 => vec![1, 2],
        _ => vec![0, 2],
    };
    Catalogue::with_tags(items, tags, (0..ITEMS).map(of).collect())
}

pub(super) fn model(encoder: ItemEncoder, negatives: usize) -> ModelSpec {
    let training = LocalTraining { steps: 1, learning_rate: 0.3, merchant_epochs: 3, batch: 4 };
    let model = NextItemModel {
        encoder,
        items: ITEMS,
        positions: POSITIONS,
        width: WIDTH,
        dropout: 0.0,
        negatives,
        training,
        start: None,
    };
    ModelSpec { architecture: Architecture::NextItem(model), inputs: ITEMS }
}

/// The model with something changed.
pub(super) trait Changed {
    fn changed(self, change: impl FnOnce(&mut NextItemModel)) -> ModelSpec;

    fn with_width(self, width: usize) -> ModelSpec
    where
        Self: Sized,
    {
        self.changed(|model| model.width = width)
    }

    fn with_dropout(self, dropout: f64) -> ModelSpec
    where
        Self: Sized,
    {
        self.changed(|model| model.dropout = dropout)
    }

    fn with_steps(self, steps: u32) -> ModelSpec
    where
        Self: Sized,
    {
        self.changed(|model| model.training.steps = steps)
    }
}

impl Changed for ModelSpec {
    fn changed(mut self, change: impl FnOnce(&mut NextItemModel)) -> ModelSpec {
        if let Architecture::NextItem(model) = &mut self.architecture {
            change(model);
        }
        self
    }
}

pub(super) const TRANSFORMER: ItemEncoder = ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 5 };
pub(super) const TWO_TOWER: ItemEncoder = ItemEncoder::TwoTower { tags: 3, hidden: 5 };

pub(super) fn factorization() -> ModelSpec {
    let model = MatrixFactorization { items: ITEMS, factors: WIDTH, ridge: 0.5, negatives: 2 };
    ModelSpec { architecture: Architecture::MatrixFactorization(model), inputs: ITEMS }
}

/// Every network, with counterexamples and against the whole catalogue.
pub(super) fn networks() -> Vec<ModelSpec> {
    let encoders = [TRANSFORMER, ItemEncoder::Gru, TWO_TOWER, ItemEncoder::TwoTower { tags: 0, hidden: 3 }];
    encoders.into_iter().flat_map(|encoder| [model(encoder, 2), model(encoder, 0)]).collect()
}

/// Every kind of model that trains, some with dropout, some with several steps.
pub(super) fn models() -> Vec<ModelSpec> {
    let mut models = networks();
    models.extend([
        model(TRANSFORMER, 1).with_dropout(0.3),
        model(ItemEncoder::Gru, 2).with_dropout(0.3),
        model(TRANSFORMER, 2).with_steps(3),
        model(TWO_TOWER, 0).with_steps(2).with_dropout(0.2),
        factorization(),
    ]);
    models
}

/// Weights that are exact in f32.
pub(super) fn weights(spec: &ModelSpec, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    (0..spec.parameter_count()).map(|_| 0.6 * numbers.signed()).map(|w| f64::from(w as f32)).collect()
}

/// Shoppers of 2 to 9 items, some with items twice.
pub(super) fn shoppers(count: u8, seed: u64) -> Sequences {
    let mut numbers = Numbers(seed);
    let mut all = Sequences::default();
    for shopper in 0..count {
        let items: Vec<u32> = (0..2 + numbers.below(8)).map(|_| numbers.below(ITEMS) as u32).collect();
        all.push(key(shopper), &items);
    }
    all
}

pub(super) fn bits(contribution: &[f64]) -> Vec<u64> {
    contribution.iter().map(|x| x.to_bits()).collect()
}

/// Contributions in an order of their own.
pub(super) fn sorted(contributions: Vec<Vec<f64>>) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = contributions.iter().map(|c| bits(c)).collect();
    all.sort();
    all
}
