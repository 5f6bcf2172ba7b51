use super::*;
use crate::id::Name;
use crate::job::{Aggregation, ClippingSpec, PrivacySpec, RoundSpec, Unit};
use crate::model_spec::{Activation, Architecture};
use crate::optimizer::{OptimizerSpec, UpdateRule};
use crate::secagg::MaskGenerator;
use crate::task::{FeatureSpec, Task, Transform};

fn job(rule: UpdateRule, average_last_rounds: u32) -> JobSpec {
    let feature =
        |i: usize| FeatureSpec { column: format!("c{i}"), transform: Transform::Positive, scale: 1.0 };
    JobSpec {
        name: Name::new("test").expect("legal"),
        purpose: "test".into(),
        task: Task::Tabular { features: (0..3).map(feature).collect() },
        architecture: Architecture::Mlp { hidden: vec![2], activation: Activation::Tanh },
        seed: 7,
        rounds: 4,
        optimizer: OptimizerSpec { rule, learning_rate: 0.1, average_last_rounds },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 20 },
        privacy: PrivacySpec::None { unit: Unit::Row },
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum: 2,
            accept_deadline_ms: 1,
            update_deadline_ms: 1,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

const ADAM: UpdateRule = UpdateRule::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8 };

#[test]
fn model_0_is_pinned_bit_for_bit() {
    let job = job(ADAM, 2);
    let state = ModelState::initial(&job);
    assert_eq!(state.weights.len(), 11);
    let limit = (6.0f64 / 5.0).sqrt();
    assert!(state.weights[..6].iter().all(|w| w.abs() <= limit && *w != 0.0));
    assert!(state.weights[6..8].iter().all(|w| *w == 0.0), "biases start at zero");
    assert_eq!(state.hash(&job.model()), ModelState::initial(&job).hash(&job.model()));
    let other = JobSpec { seed: 8, ..job.clone() };
    assert_ne!(state.hash(&job.model()), ModelState::initial(&other).hash(&job.model()));
}

#[test]
fn bytes_round_trip_at_every_step() {
    let job = job(ADAM, 2);
    let mut state = ModelState::initial(&job);
    for step in 0..4i64 {
        assert_eq!(ModelState::from_bytes(&state.to_bytes(), &job), Ok(state.clone()));
        let sum: Vec<i64> = (0..11).map(|i| (i - 5) * 1000 * (step + 1)).collect();
        state = state.next(&job, &sum).expect("the right shape");
    }
    assert_eq!(state.average_count, 2);
    assert_eq!(ModelState::from_bytes(&state.to_bytes(), &job), Ok(state));
}

#[test]
fn the_released_model_is_the_mean_of_the_last_rounds() {
    let job = job(UpdateRule::Sgd { momentum: 0.0 }, 2);
    let mut states = vec![ModelState::initial(&job)];
    for _ in 0..4 {
        let last = &states[states.len() - 1];
        states.push(last.next(&job, &[1 << 20; 11]).expect("the right shape"));
    }
    let expected: Vec<f64> =
        states[3].weights.iter().zip(&states[4].weights).map(|(a, b)| (0.0 + a + b) / 2.0).collect();
    assert_eq!(states[4].released(), expected);
    assert_eq!(states[2].released(), states[2].weights);
}

#[test]
fn bad_bytes_are_refused() {
    let job = job(ADAM, 0);
    let good = ModelState::initial(&job).to_bytes();
    assert_eq!(ModelState::from_bytes(&good[..good.len() - 1], &job), Err(ModelBytesError::Truncated));
    let mut long = good.clone();
    long.push(0);
    assert_eq!(ModelState::from_bytes(&long, &job), Err(ModelBytesError::TrailingBytes(1)));
    let mut nan = good.clone();
    nan[32..40].copy_from_slice(&f64::NAN.to_bits().to_le_bytes());
    assert_eq!(ModelState::from_bytes(&nan, &job), Err(ModelBytesError::NotFinite));
    let mut forged = good;
    forged[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(ModelState::from_bytes(&forged, &job), Err(ModelBytesError::Shape { .. })));
}

#[test]
fn a_sum_of_another_shape_is_refused() {
    let job = job(ADAM, 0);
    assert_eq!(ModelState::initial(&job).next(&job, &[0; 10]), Err(ShapeError { expected: 11, found: 10 }));
}
