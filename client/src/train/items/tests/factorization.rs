//! Factors that never leave, and the gradient they leave behind.

use super::super::factorization::Shopper;
use super::*;

fn spec_of(spec: &ModelSpec) -> &MatrixFactorization {
    let Architecture::MatrixFactorization(model) = &spec.architecture else { panic!("a factorisation") };
    model
}

#[test]
fn the_gradient_is_that_of_the_mean_squared_error_with_the_factors_held() {
    let spec = factorization();
    let weights = weights(&spec, 1);
    let people = shoppers(20, 2);
    let streams = PrivateStreams::new(&[7; 32], RoundId { round: 0, attempt: 0 });
    let vectors: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
    for (key, items) in people.iter() {
        let mut shopper = Shopper::new(spec_of(&spec));
        shopper.backward(spec_of(&spec), &vectors, &streams, (key, items));
        let (cases, factors) = shopper.solved();
        let total: f64 = cases.iter().map(|(_, _, weight)| weight).sum();
        let positives = cases.iter().filter(|(_, label, _)| *label == 1.0).count();
        assert!(
            total >= positives as f64
                && cases.iter().all(|(item, label, _)| { items.contains(item) == (*label == 1.0) })
        );
        let loss = |weights: &[f64]| -> f64 {
            let of = |(item, label, weight): &(u32, f64, f64)| {
                let vector = &weights[*item as usize * WIDTH..][..WIDTH];
                let error = vector.iter().zip(&factors).map(|(a, b)| a * b).sum::<f64>() - label;
                weight * error * error
            };
            cases.iter().map(of).sum::<f64>() / total
        };
        let mut found = vec![0.0; weights.len()];
        shopper.add_to(&mut found);
        for (i, found) in found.iter().enumerate() {
            let at = |shift: f64| {
                let mut moved = weights.clone();
                moved[i] += shift;
                loss(&moved)
            };
            let expected = (at(1e-4) - at(-1e-4)) / 2e-4;
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}

#[test]
fn own_factors_are_the_best_for_the_shoppers_cases() {
    let spec = factorization();
    let model = spec_of(&spec);
    let vectors: Vec<f32> = weights(&spec, 3).iter().map(|w| *w as f32).collect();
    let streams = PrivateStreams::new(&[7; 32], RoundId { round: 0, attempt: 0 });
    for (key, items) in shoppers(20, 4).iter() {
        let mut shopper = Shopper::new(model);
        shopper.backward(model, &vectors, &streams, (key, items));
        let (cases, factors) = shopper.solved();
        for place in 0..WIDTH {
            let slope = cases.iter().fold(model.ridge * factors[place], |sum, (item, label, weight)| {
                let vector = &vectors[*item as usize * WIDTH..][..WIDTH];
                let error: f64 = vector.iter().zip(&factors).map(|(a, b)| f64::from(*a) * b).sum();
                sum + weight * (error - label) * f64::from(vector[place])
            });
            assert!(slope.abs() < 1e-5, "{slope}");
        }
    }
}

#[test]
fn a_factorisation_learns_who_belongs_together() {
    // Even items are had together, and odd ones.
    let mut people = Sequences::default();
    let mut numbers = Numbers(5);
    for shopper in 0..60 {
        let items: Vec<u32> =
            (0..4).map(|_| (2 * numbers.below(6)) as u32 + u32::from(shopper) % 2).collect();
        people.push(key(shopper), &items);
    }
    let spec = factorization();
    let training = OrdinaryTraining { epochs: 60, learning_rate: 0.02, batch: 8, seed: 1 };
    let trained = trainer(&spec).fit(&weights(&spec, 6), &people, &training, &mut go_on).unwrap();
    let scorer = trainer(&spec).scorer(&trained).unwrap();
    for item in 0..ITEMS as u32 {
        let scores = scorer.scores(&[item]).unwrap();
        let mean = |parity: usize| scores.iter().skip(parity).step_by(2).sum::<f32>() / 6.0;
        assert!(mean(item as usize % 2) > mean(1 - item as usize % 2) + 0.1, "{item}: {scores:?}");
    }
}

#[test]
fn somebody_who_has_everything_is_served_too() {
    let spec = factorization();
    let mut all = Sequences::default();
    all.push(key(1), &(0..ITEMS as u32).collect::<Vec<_>>());
    let found = contributions::<f32>(&spec, &weights(&spec, 7), &all, 0);
    assert!(found.len() == 1 && found[0].iter().all(|x| x.is_finite()));
    let scorer = trainer(&spec).scorer(&weights(&spec, 7)).unwrap();
    assert!(scorer.query(&(0..ITEMS as u32).collect::<Vec<_>>()).unwrap().iter().all(|x| x.is_finite()));
}
