//! Models and shoppers to test with, the same everywhere.

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

    /// In [−1, 1).
    pub(super) fn signed(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

pub(super) const CNN: SequenceEncoder = SequenceEncoder::Convolution { kernel: 3 };

/// Two fixed inputs, five steps of three channels and one of four tokens.
pub(super) fn model(encoder: SequenceEncoder, hidden: usize) -> ModelSpec {
    let shape = SequenceShape { fixed: 2, steps: 5, channels: 3, tokens: 4 };
    let training = LocalTraining { steps: 1, learning_rate: 0.3, merchant_epochs: 3, batch: 4 };
    let model = SequenceClassifier { encoder, shape, embedding: 2, width: 4, hidden, dropout: 0.0, training };
    ModelSpec { architecture: Architecture::Sequence(model), inputs: shape.inputs() }
}

pub(super) fn changed(mut spec: ModelSpec, change: impl FnOnce(&mut SequenceClassifier)) -> ModelSpec {
    if let Architecture::Sequence(model) = &mut spec.architecture {
        change(model);
        spec.inputs = model.shape.inputs();
    }
    spec
}

/// Every encoder, with one gradient per shopper.
pub(super) fn networks() -> Vec<ModelSpec> {
    let encoders = [SequenceEncoder::Gru, SequenceEncoder::Lstm, CNN];
    let mut all: Vec<ModelSpec> = encoders.map(|encoder| model(encoder, 3)).to_vec();
    all.push(changed(model(SequenceEncoder::Gru, 0), |model| model.embedding = 0));
    all.push(changed(model(CNN, 0), |model| (model.shape.fixed, model.shape.channels) = (0, 0)));
    all.push(changed(model(SequenceEncoder::Lstm, 2), |model| {
        (model.shape.tokens, model.embedding) = (0, 0)
    }));
    all
}

/// Every kind of model that trains, with dropout and with several steps too.
pub(super) fn models() -> Vec<ModelSpec> {
    let mut all = networks();
    for encoder in [SequenceEncoder::Gru, SequenceEncoder::Lstm, CNN] {
        all.push(changed(model(encoder, 3), |model| model.dropout = 0.4));
        all.push(changed(model(encoder, 3), |model| (model.training.steps, model.dropout) = (3, 0.2)));
    }
    all
}

/// Weights that are exact in f32.
pub(super) fn weights(spec: &ModelSpec, seed: u64) -> Vec<f64> {
    let mut numbers = Numbers(seed);
    (0..spec.parameter_count()).map(|_| f64::from(0.6 * numbers.signed())).collect()
}

pub(super) fn key(number: u8) -> ShopperKey {
    let mut key = [0; 16];
    key[15] = number;
    ShopperKey(key)
}

/// Shoppers of 1 to `rows_max` rows each; some steps have a token that nobody knows.
pub(super) fn shoppers(spec: &ModelSpec, count: u8, rows_max: usize, seed: u64) -> Observations {
    let Architecture::Sequence(model) = &spec.architecture else { panic!("a sequence classifier") };
    let mut numbers = Numbers(seed);
    let mut all = Observations::empty(spec.inputs);
    for shopper in 0..count {
        for _ in 0..1 + numbers.below(rows_max) {
            let mut row: Vec<f32> = (0..spec.inputs).map(|_| 2.0 * numbers.signed()).collect();
            if model.shape.tokens > 0 {
                let steps = row[model.shape.fixed..].chunks_exact_mut(model.shape.step_inputs());
                steps.for_each(|step| step[0] = numbers.below(model.shape.tokens + 1) as f32);
            }
            all.push(key(shopper), &row, numbers.below(2) as f32);
        }
    }
    all
}

pub(super) fn bits(contribution: &[f64]) -> Vec<u64> {
    contribution.iter().map(|x| x.to_bits()).collect()
}

/// Contributions in an order of their own.
pub(super) fn sorted(contributions: &[Vec<f64>]) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = contributions.iter().map(|c| bits(c)).collect();
    all.sort();
    all
}
