//! Models learn what there is to learn, and say why.

use super::*;

/// Rows whose label says whether the second step's first channel is positive: only the sequence tells.
fn told_by_a_step(spec: &ModelSpec) -> Observations {
    let mut people = shoppers(spec, 40, 2, 8);
    for row in 0..people.rows() {
        let channel = people.row(row)[2 + 4 + 1];
        people.labels[row] = f32::from(channel > 0.0);
    }
    people
}

#[test]
fn every_classifier_overfits_a_tiny_set() {
    for encoder in [SequenceEncoder::Gru, SequenceEncoder::Lstm, CNN] {
        let spec = changed(model(encoder, 8), |model| model.width = 12);
        let people = told_by_a_step(&spec);
        let training = OrdinaryTraining { epochs: 120, learning_rate: 0.02, batch: 8, seed: 1 };
        let trained = trainer(&spec).fit(&weights(&spec, 1), &people, &training, &mut go_on).unwrap();
        let logits = trainer(&spec).logits(&trained, &people).unwrap();
        let right = logits.iter().zip(&people.labels).filter(|(z, y)| (**z > 0.0) == (**y > 0.5)).count();
        assert!(right >= people.rows() - 1, "{spec:?}: {right} of {}", people.rows());
    }
}

#[test]
fn rounds_of_contributions_learn_too() {
    let spec = model(SequenceEncoder::Gru, 4);
    let (mut weights, people) = (weights(&spec, 2), told_by_a_step(&spec));
    let loss = |weights: &[f64]| -> f64 {
        let logits = trainer(&spec).logits(weights, &people).unwrap();
        let each = logits.iter().zip(&people.labels);
        each.map(|(z, y)| crate::train::slots::logit_loss(f64::from(*z), f64::from(*y))).sum()
    };
    let before = loss(&weights);
    for _ in 0..150 {
        for contribution in contributions::<f32>(&spec, &weights.clone(), &people) {
            weights.iter_mut().zip(contribution).for_each(|(w, g)| *w -= 2.0 * g / 40.0);
        }
    }
    assert!(loss(&weights) < 0.7 * before, "{before} {}", loss(&weights));
}

#[test]
fn a_rows_logit_does_not_depend_on_the_others() {
    for spec in networks() {
        let (weights, people) = (weights(&spec, 3), shoppers(&spec, 100, 2, 4));
        let together = trainer(&spec).logits(&weights, &people).unwrap();
        assert_eq!(together.len(), people.rows());
        for shopper in people.shoppers.iter().step_by(9) {
            let alone = people.restricted_to(|key| key == shopper.key);
            let alone = trainer(&spec).logits(&weights, &alone).unwrap();
            let bits = |logits: &[f32]| logits.iter().map(|z| z.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&alone), bits(&together[shopper.start..shopper.end]), "{spec:?}");
        }
    }
}

#[test]
fn gradients_by_the_inputs_equal_finite_differences() {
    for spec in networks() {
        let scorer = trainer(&spec).scorer(&weights(&spec, 5)).unwrap();
        let people = shoppers(&spec, 3, 2, 6);
        let rows = scorer.embed(&people).unwrap();
        let gradients = scorer.input_gradients(&rows).unwrap();
        assert_eq!(gradients.len(), rows.values.len());
        let slope = |i: usize, step: f32| {
            let at = |shift: f32| {
                let mut moved = rows.clone();
                moved.values[i] += shift;
                f64::from(scorer.logits_of(&moved).unwrap()[i / rows.inputs])
            };
            (at(step) - at(-step)) / f64::from(2.0 * step)
        };
        let mut bends = 0;
        for (i, gradient) in gradients.iter().enumerate() {
            let (wide, narrow) = (slope(i, 1e-2), slope(i, 3e-3));
            // Two step widths disagree where a ReLU or a maximum bends between them.
            if (wide - narrow).abs() > 5e-4 {
                bends += 1;
                continue;
            }
            assert!((f64::from(*gradient) - narrow).abs() < 2e-3, "{spec:?}: {gradient} {narrow}");
        }
        assert!(gradients.iter().any(|g| g.abs() > 1e-2));
        assert!(5 * bends < gradients.len(), "{spec:?}: {bends} of {}", gradients.len());
    }
}

#[test]
fn tokens_that_nobody_knows_are_no_token() {
    let spec = model(SequenceEncoder::Gru, 3);
    let weights = weights(&spec, 7);
    let with = |token: f32| {
        let mut people = shoppers(&spec, 1, 1, 8);
        people.features[2..].iter_mut().step_by(4).for_each(|x| *x = token);
        let all = contributions::<f32>(&spec, &weights, &people);
        (all, trainer(&spec).logits(&weights, &people).unwrap())
    };
    let none = with(4.0);
    for token in [-1.0, 0.5, 1e9, f32::NAN, f32::INFINITY] {
        assert_eq!(with(token), none);
    }
    assert_ne!(with(0.0), none);
    assert!(none.0[0][..8].iter().all(|g| *g == 0.0), "no token's vector has a gradient");
}
