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
        adaptive_clip: None,
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

const RULE: AdaptiveClip =
    AdaptiveClip { indicator: 1 << 17, quantile: 0.5, rate: 0.2, norm_min: 0.01, norm_max: 100.0 };

fn adaptive_job(rule: UpdateRule) -> JobSpec {
    JobSpec { adaptive_clip: Some(RULE), ..job(rule, 2) }
}

/// The layout is that from before clips could adapt, to the byte.
#[test]
fn a_constant_clip_is_no_part_of_the_state() {
    let job = job(UpdateRule::Sgd { momentum: 0.0 }, 0);
    let state = ModelState::initial(&job);
    assert_eq!(state.clip, None);
    assert_eq!(state.to_bytes().len(), 24 + 8 * (4 + 11 + 11));
    let next = state.next(&job, &[3; 11]).expect("the right shape");
    assert_eq!((next.clip, next.to_bytes().len()), (None, state.to_bytes().len()));
    assert_eq!(next.clipping(&job), job.clipping);
}

#[test]
fn a_clip_that_adapts_is_state_and_part_of_the_hash() {
    let job = adaptive_job(ADAM);
    let mut state = ModelState::initial(&job);
    assert_eq!((state.clip, state.clipping(&job)), (Some(1.0), job.clipping));
    for step in 0..4i64 {
        let bytes = state.to_bytes();
        assert_eq!(ModelState::from_bytes(&bytes, &job), Ok(state.clone()));
        let other = ModelState { clip: state.clip.map(f64::next_up), ..state.clone() };
        assert_ne!(state.hash(&job.model()), other.hash(&job.model()));
        let sum: Vec<i64> = (0..12).map(|i| (i - 5) * 100_000 * (step + 1)).collect();
        state = state.next(&job, &sum).expect("the right shape");
    }
    assert!(state.clip.is_some_and(|clip| clip < 0.9), "{:?}", state.clip);
}

/// The step is as long as the clip that the round trained with, and the next clip comes from the last word alone.
#[test]
fn a_sum_is_applied_on_the_grid_it_was_made_on() {
    let sgd = UpdateRule::Sgd { momentum: 0.0 };
    let job = adaptive_job(sgd);
    let mut state = ModelState { clip: Some(4.0), ..ModelState::initial(&job) };
    let mut sum = vec![1 << 20; 12];
    // Everybody was within: 10 expected shoppers, each with β.
    sum[11] = 10 << 17;
    let before = state.weights.clone();
    let next = state.next(&job, &sum).expect("the right shape");
    for (before, after) in before.iter().zip(&next.weights) {
        // rate · γ · z / W = 0.1 · 4 / 10
        assert!((before - after - 0.04).abs() < 1e-15, "{before} {after}");
    }
    let expected = f64::from((4.0 * (-0.1f64).exp()) as f32);
    assert_eq!(next.clip, Some(expected));
    assert_eq!(next.clipping(&job).grid(), expected / f64::from(1 << 20));
    // The rest of the sum has no say in the clip, nor the last word in the weights.
    sum[..11].fill(-77);
    assert_eq!(state.next(&job, &sum).expect("the right shape").clip, next.clip);
    sum[11] = -sum[11];
    sum[..11].fill(1 << 20);
    let up = state.next(&job, &sum).expect("the right shape");
    assert_eq!((up.weights, up.clip > next.clip), (next.weights, true));
    state.clip = Some(RULE.norm_max);
    assert_eq!(state.next(&job, &sum).expect("the right shape").clip, Some(RULE.norm_max));
}

#[test]
fn hostile_words_move_the_clip_one_step_and_never_out_of_its_range() {
    let job = adaptive_job(UpdateRule::Sgd { momentum: 0.0 });
    for word in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX] {
        let mut state = ModelState::initial(&job);
        for _ in 0..80 {
            let (clip, next) = (state.clip, state.next(&job, &[word; 12]).expect("the right shape"));
            let moved = (next.clip.expect("adapts") / clip.expect("adapts")).ln().abs();
            assert!(moved <= RULE.rate, "{word}: {clip:?} to {:?}", next.clip);
            assert!(next.clip.is_some_and(|clip| (RULE.norm_min..=RULE.norm_max).contains(&clip)));
            state = ModelState { clip: next.clip, ..ModelState::initial(&job) };
        }
    }
}

#[test]
fn a_clip_out_of_its_range_and_a_sum_without_its_last_word_are_refused() {
    let job = adaptive_job(ADAM);
    let state = ModelState::initial(&job);
    assert_eq!(state.next(&job, &[0; 11]), Err(ShapeError { expected: 12, found: 11 }));
    assert_eq!(state.next(&job, &[0; 13]), Err(ShapeError { expected: 12, found: 13 }));
    let with = |clip| ModelState { clip, ..state.clone() }.to_bytes();
    for clip in [0.0, -1.0, 0.009, 100.1] {
        let refused = ModelState::from_bytes(&with(Some(clip)), &job);
        assert_eq!(refused, Err(ModelBytesError::Clip { expected: [0.01, 100.0], found: clip }));
    }
    assert_eq!(ModelState::from_bytes(&with(Some(f64::NAN)), &job), Err(ModelBytesError::NotFinite));
    assert_eq!(ModelState::from_bytes(&with(None), &job), Err(ModelBytesError::Truncated));
    let constant = JobSpec { adaptive_clip: None, ..job };
    let left_over = ModelState::from_bytes(&with(Some(1.0)), &constant);
    assert_eq!(left_over, Err(ModelBytesError::TrailingBytes(8)));
}

#[test]
fn item_vectors_of_the_job_take_the_place_of_the_first_weights() {
    use crate::model_spec::{ItemEncoder, ItemVectors, LocalTraining, NextItemModel};
    let training = LocalTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 1 };
    let model = NextItemModel {
        encoder: ItemEncoder::Gru,
        items: 2,
        positions: 3,
        width: 2,
        dropout: 0.0,
        negatives: 0,
        training,
        start: None,
    };
    let of = |start| {
        let architecture = Architecture::NextItem(NextItemModel { start, ..model.clone() });
        ModelState::initial(&JobSpec { architecture, ..job(UpdateRule::Sgd { momentum: 0.0 }, 0) })
    };
    let started = of(Some(ItemVectors::nearest(&[1.0, 0.0, -1.0, 0.5])));
    assert_eq!((started.weights[0], started.weights[2]), (1.0, -1.0));
    let random = of(None);
    assert_eq!(started.weights.len(), random.weights.len());
    assert_ne!(started.weights[..4], random.weights[..4]);
}

/// Or else noise would add up where nothing is measured, and the items kept would change from round to round.
#[test]
fn a_round_of_statistics_moves_only_what_it_measures() {
    use crate::model_spec::{Diagonal, ItemRanking, ItemStatistics};
    let model = ItemStatistics {
        items: 3,
        items_kept: 2,
        popularity_items: 1,
        cooccurrence_pairs: 1,
        diagonal: Diagonal::Popularity,
        ranking: ItemRanking::Popularity,
    };
    let job = JobSpec {
        architecture: Architecture::ItemStatistics(model),
        ..job(UpdateRule::Sgd { momentum: 0.0 }, 0)
    };
    let state = ModelState::initial(&job);
    assert_eq!(state.weights, [0.0; 6]);
    let first = state.next(&job, &[5; 6]).expect("as long");
    assert!(first.weights[..3].iter().all(|w| *w != 0.0) && first.weights[3..] == [0.0; 3]);
    let second = first.next(&job, &[5; 6]).expect("as long");
    assert_eq!(second.weights[..3], first.weights[..3]);
    assert!(second.weights[3..].iter().all(|w| *w != 0.0));
}
