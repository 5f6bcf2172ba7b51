mod data;
mod factorization;
mod gradients;
mod invariance;
mod learning;

use candle_core::DType;
use guildhall_privacy::clip::SparseBlock;
use guildhall_privacy::update::{DangerousPolicy, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::{ItemEncoder, LocalTraining, NextItemModel};
use guildhall_shared::ring::RingWidth;

use data::*;

use super::*;

/// Keeps every contribution, written out.
struct Recorder {
    parameters: usize,
    contributions: Vec<Vec<f64>>,
}

impl SparseSink for Recorder {
    fn add_blocks<'a>(&mut self, blocks: impl Iterator<Item = SparseBlock<'a>> + Clone) {
        let mut all = vec![0.0; self.parameters];
        let mut next = 0;
        for SparseBlock { start, values } in blocks {
            assert!(start >= next, "blocks ascend");
            next = start + values.len();
            all[start..next].copy_from_slice(values);
        }
        self.contributions.push(all);
    }
}

fn trainer(spec: &ModelSpec) -> ItemTrainer {
    ItemTrainer::new(spec, &catalogue(), &DeviceChoice::Cpu, [7; 32]).unwrap()
}

/// Everybody's contribution, in no particular order.
fn contributions<T: Real>(
    spec: &ModelSpec,
    weights: &[f64],
    sequences: &Sequences,
    round: u32,
) -> Vec<Vec<f64>> {
    let parameters = spec.parameter_count();
    let round = RoundId { round, attempt: 0 };
    let recorder = || Recorder { parameters, contributions: vec![] };
    let all = trainer(spec).contributions::<T, _>(weights, sequences, &|_| true, round, &recorder).unwrap();
    all.into_iter().flat_map(|recorder| recorder.contributions).collect()
}

/// A sum, seen through the digest of its ring words.
fn hash(sum: ClippedSum) -> Digest {
    let permit = UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).unwrap();
    sum.leave_unprotected(&permit).seal(RingWidth::Bits64).hash()
}

fn clipping(spec: &ModelSpec, norm_l2: f64) -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2, bound: 1 << 20 }, spec.parameter_count()).unwrap()
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let spec = model(ItemEncoder::Gru, 2);
    let weights = weights(&spec, 1);
    let trainer = trainer(&spec);
    let mut unknown = Sequences::default();
    unknown.push(key(1), &[0, ITEMS as u32]);
    let round = RoundId { round: 0, attempt: 0 };
    let sum = |weights: &[f64], sequences: &Sequences, clipping: &ClippingParameters| {
        trainer.clipped_sum(weights, sequences, &|_| true, round, clipping).map(|_| ())
    };
    let (good, people) = (clipping(&spec, 1.0), shoppers(3, 1));
    let error = sum(&weights, &unknown, &good).unwrap_err();
    assert!(matches!(error, TrainError::Rows) && error.depends_on_rows());
    let error = sum(&weights[1..], &people, &good).unwrap_err();
    assert!(matches!(error, TrainError::Weights { .. }) && !error.depends_on_rows());
    let other = clipping(&model(ItemEncoder::Gru, 2).with_width(6), 1.0);
    assert!(matches!(sum(&weights, &people, &other), Err(TrainError::Clipping { .. })));
    let linear = ModelSpec { architecture: Architecture::LogisticRegression, inputs: 3 };
    let wrong = ItemTrainer::new(&linear, &catalogue(), &DeviceChoice::Cpu, [0; 32]);
    assert!(matches!(wrong.map(|_| ()), Err(TrainError::Architecture)));
}

#[test]
fn shoppers_with_nothing_to_learn_from_contribute_nothing() {
    for spec in models() {
        let mut sequences = Sequences::default();
        sequences.push(key(1), &[]);
        if !matches!(spec.architecture, Architecture::MatrixFactorization(_)) {
            sequences.push(key(2), &[3]);
        }
        assert!(contributions::<f32>(&spec, &weights(&spec, 1), &sequences, 0).is_empty());
    }
}

#[test]
fn the_sum_is_that_of_the_contributions() {
    for spec in models() {
        let (weights, people, clipping) = (weights(&spec, 2), shoppers(40, 3), clipping(&spec, 0.5));
        let round = RoundId { round: 1, attempt: 0 };
        let (sum, tally) =
            trainer(&spec).clipped_sum(&weights, &people, &|_| true, round, &clipping).unwrap();
        let mut expected = ShopperSum::new(&clipping);
        for contribution in contributions::<f32>(&spec, &weights, &people, 1) {
            expected.add(&contribution);
        }
        let (expected, expected_tally) = expected.finish();
        assert_eq!(hash(sum), hash(expected));
        assert_eq!((tally, tally.added > 10), (expected_tally, true));
    }
}

#[test]
fn only_those_that_enter_are_summed() {
    let spec = model(ItemEncoder::Gru, 1);
    let (weights, people, clipping) = (weights(&spec, 2), shoppers(20, 3), clipping(&spec, 0.5));
    let round = RoundId { round: 1, attempt: 0 };
    let some = |key: ShopperKey| key.0[15].is_multiple_of(2);
    let trainer = trainer(&spec);
    let (sum, _) = trainer.clipped_sum(&weights, &people, &some, round, &clipping).unwrap();
    let fewer = people.restricted_to(some);
    let (expected, _) = trainer.clipped_sum(&weights, &fewer, &|_| true, round, &clipping).unwrap();
    assert_eq!(hash(sum), hash(expected));
}
