//! Values that are not numbers, infinite, huge or saturating.

use guildhall_shared::model_spec::Activation;

use super::integers::{clipping, sum_hash};
use super::*;

fn models() -> [ModelSpec; 3] {
    [logistic(5), mlp(5, &[8], Activation::Tanh), mlp(5, &[8, 4], Activation::Relu)]
}

#[test]
fn a_value_that_is_no_number_silences_its_shopper_alone() {
    for spec in models() {
        let weights = weights(&spec, 21);
        let people = shoppers(40, 3, spec.inputs, 22);
        for broken in [0, 17, 39] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for place in 0..spec.inputs {
                    let mut changed = people.clone();
                    changed[broken].features[place] = value;
                    let all = observations(spec.inputs, &changed);
                    let key = all.shoppers[broken].key;
                    let (hash, tally) = sum_hash(&spec, &weights, &all, &everybody);
                    assert_eq!(
                        (tally.added, tally.non_finite, tally.over_bound),
                        (39, 1, 0),
                        "{spec:?} {value}"
                    );
                    let (others, _) = sum_hash(&spec, &weights, &all, &|k| k != key);
                    assert_eq!(hash, others, "{spec:?}: the shopper with {value} is still in the sum");
                }
            }
        }
    }
}

#[test]
fn a_label_that_is_no_number_silences_its_shopper_alone() {
    for spec in models() {
        let mut people = shoppers(10, 3, spec.inputs, 23);
        people[4].labels[0] = f32::NAN;
        let all = observations(spec.inputs, &people);
        let (_, tally) = sum_hash(&spec, &weights(&spec, 24), &all, &everybody);
        assert_eq!((tally.added, tally.non_finite), (9, 1), "{spec:?}");
    }
}

#[test]
fn dead_units_do_not_hide_a_value_that_is_no_number() {
    // All hidden units are off, so every δ of the first layer is 0, and 0·NaN must not pass for 0.
    let spec = mlp(2, &[3], Activation::Relu);
    let mut weights = vec![0.0; spec.parameter_count()];
    weights[6..9].fill(-5.0);
    for rows in [1, 2] {
        let broken = Rows { features: [f32::NAN, 1.0].repeat(rows), labels: vec![1.0; rows] };
        let (_, tally) = sum_hash(&spec, &weights, &observations(2, [&broken]), &everybody);
        assert_eq!((tally.added, tally.non_finite), (0, 1), "{rows} rows");
    }
}

#[test]
fn huge_but_finite_values_stay_within_the_clip() {
    for spec in models() {
        let weights = weights(&spec, 25);
        for value in [1e10, 1e19, 1e30, f32::MAX] {
            for sign in [1.0, -1.0] {
                for label in [0.0, 1.0] {
                    let row = Rows { features: vec![sign * value; spec.inputs], labels: vec![label] };
                    let all = observations(spec.inputs, [&row]);
                    let (_, tally) = sum_hash(&spec, &weights, &all, &everybody);
                    // f32 overflow inside the model may give NaN, which is silenced; nothing may pass the bound.
                    assert_eq!(
                        (tally.added + tally.non_finite, tally.over_bound),
                        (1, 0),
                        "{spec:?} {value}"
                    );
                }
            }
        }
    }
}

#[test]
fn saturated_logits_give_finite_gradients_of_the_right_sign() {
    let spec = logistic(1);
    for scale in [50.0, 1e3, 1e6, 1e30] {
        for (x, label, expected) in [(1.0, 1.0, 0.0), (1.0, 0.0, 1.0), (-1.0, 0.0, 0.0), (-1.0, 1.0, 1.0)] {
            let row = Rows { features: vec![x], labels: vec![label] };
            let found = contributions(&spec, &[scale, 0.0], &observations(1, [&row]), &everybody);
            assert!((found[0][0] - expected).abs() < 1e-20, "{scale} {x} {label}: {found:?}");
        }
    }
}

#[test]
fn weights_beyond_f32_silence_everybody_without_panic() {
    let spec = mlp(5, &[8], Activation::Tanh);
    let weights = vec![1e300; spec.parameter_count()];
    let all = observations(5, &shoppers(10, 3, 5, 26));
    let (_, tally) = sum_hash(&spec, &weights, &all, &everybody);
    assert_eq!(tally.added + tally.non_finite, 10);
    assert_eq!(clipping(&spec).parameters(), weights.len());
}
