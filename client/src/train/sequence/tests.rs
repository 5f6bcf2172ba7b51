mod data;
mod gradients;
mod invariance;
mod scores;

use guildhall_privacy::clip::SparseBlock;
use guildhall_privacy::update::{DangerousPolicy, UnprotectedPermit};
use guildhall_shared::digest::Digest;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::{LocalTraining, SequenceClassifier, SequenceEncoder, SequenceShape};
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

const ROUND: RoundId = RoundId { round: 3, attempt: 0 };

fn trainer(spec: &ModelSpec) -> SequenceTrainer {
    SequenceTrainer::new(spec, &DeviceChoice::Cpu, [7; 32]).unwrap()
}

/// Everybody's contribution, in no particular order.
fn contributions<T: Real>(spec: &ModelSpec, weights: &[f64], observations: &Observations) -> Vec<Vec<f64>> {
    let parameters = spec.parameter_count();
    let recorder = || Recorder { parameters, contributions: vec![] };
    let all = trainer(spec).contributions::<T, _>(weights, observations, &|_| true, ROUND, &recorder);
    all.unwrap().into_iter().flat_map(|recorder| recorder.contributions).collect()
}

fn clipping(spec: &ModelSpec, norm_l2: f64) -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2, bound: 1 << 20 }, spec.parameter_count()).unwrap()
}

/// A sum, seen through the digest of its ring words.
fn hash(sum: ClippedSum) -> Digest {
    let permit = UnprotectedPermit::from_policy(DangerousPolicy { allow_privacy_none: true }).unwrap();
    sum.leave_unprotected(&permit).seal(RingWidth::Bits64).hash()
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let spec = model(SequenceEncoder::Gru, 4);
    let (weights, people, good) = (weights(&spec, 1), shoppers(&spec, 3, 3, 2), clipping(&spec, 1.0));
    let trainer = trainer(&spec);
    let sum = |weights: &[f64], people: &Observations, clipping: &ClippingParameters| {
        trainer.clipped_sum(weights, people, &|_| true, ROUND, clipping).map(|_| ()).unwrap_err()
    };
    assert!(matches!(sum(&weights[1..], &people, &good), TrainError::Weights { .. }));
    assert!(matches!(sum(&weights, &Observations::empty(3), &good), TrainError::Inputs { .. }));
    let other = clipping(&model(SequenceEncoder::Lstm, 4), 1.0);
    assert!(matches!(sum(&weights, &people, &other), TrainError::Clipping { .. }));
    let mut twice = people.clone();
    twice.shoppers[1].key = twice.shoppers[0].key;
    assert!(matches!(sum(&weights, &twice, &good), TrainError::Rows));
    let linear = ModelSpec { architecture: Architecture::LogisticRegression, inputs: 3 };
    let wrong = SequenceTrainer::new(&linear, &DeviceChoice::Cpu, [0; 32]).map(|_| ());
    assert!(matches!(wrong, Err(TrainError::Architecture)));
    let mut narrow = spec;
    narrow.inputs -= 1;
    let wrong = SequenceTrainer::new(&narrow, &DeviceChoice::Cpu, [0; 32]).map(|_| ());
    assert!(matches!(wrong, Err(TrainError::EmptyLayer)));
}

#[test]
fn the_sum_is_that_of_the_contributions_of_those_that_enter() {
    for spec in models() {
        let (weights, people, clipping) =
            (weights(&spec, 2), shoppers(&spec, 30, 5, 3), clipping(&spec, 0.5));
        let some = |key: ShopperKey| !key.0[15].is_multiple_of(3);
        let trainer = trainer(&spec);
        let (sum, tally) = trainer.clipped_sum(&weights, &people, &some, ROUND, &clipping).unwrap();
        let mut expected = ShopperSum::new(&clipping);
        for contribution in contributions::<f32>(&spec, &weights, &people.restricted_to(some)) {
            expected.add(&contribution);
        }
        let (expected, expected_tally) = expected.finish();
        assert_eq!((hash(sum), tally), (hash(expected), expected_tally), "{spec:?}");
        assert_eq!(tally.added, 20);
    }
}

#[test]
fn a_merchants_update_is_what_its_training_changed() {
    let spec = model(SequenceEncoder::Gru, 4);
    let (start, people) = (weights(&spec, 5), shoppers(&spec, 9, 3, 6));
    let (trainer, clipping) = (trainer(&spec), clipping(&spec, 1e4));
    let (sum, tally) = trainer.merchant_update(&start, &people, ROUND, &clipping).unwrap();
    assert_eq!(tally.added, 1);
    let Architecture::Sequence(model) = &spec.architecture else { panic!("a sequence classifier") };
    let training = merchant_training(&model.training, &[7; 32], ROUND);
    let trained = trainer.fit(&start, &people, &training, &mut go_on).unwrap();
    let change: Vec<f64> = start.iter().zip(&trained).map(|(start, end)| 9.0 * (start - end)).collect();
    assert!(change.iter().any(|x| x.abs() > 1e-3));
    let mut expected = ShopperSum::new(&clipping);
    expected.add(&change);
    assert_eq!(hash(sum), hash(expected.finish().0));
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    for spec in models() {
        let (start, people) = (weights(&spec, 5), shoppers(&spec, 9, 3, 6));
        let fit = |seed: u64| {
            let training = OrdinaryTraining { epochs: 2, learning_rate: 0.01, batch: 4, seed };
            trainer(&spec).fit(&start, &people, &training, &mut go_on).unwrap()
        };
        assert_eq!(bits(&fit(1)), bits(&fit(1)));
        assert_ne!(fit(1), fit(2));
    }
}
