//! Contributions are the gradients they claim to be.

use super::super::fit::batch_gradient;
use super::super::shopper::Slot;
use super::*;

fn network(spec: &ModelSpec) -> Geometry {
    let Architecture::NextItem(model) = &spec.architecture else { panic!("a network") };
    Geometry::new(model, spec, &catalogue())
}

/// One shopper's mean loss with what it draws in round 0, and its gradient, with weights that all share.
fn alone(spec: &ModelSpec, weights: &[f64], shopper: (ShopperKey, &[u32])) -> (f64, Vec<f64>) {
    let geometry = network(spec);
    let streams = PrivateStreams::new(&[7; 32], RoundId { round: 0, attempt: 0 });
    let round = Round::<f64>::new(&geometry, weights, streams.clone(), &Device::Cpu).unwrap();
    let mut slot = Slot::default();
    slot.fill(&geometry, &streams, shopper, 1);
    let mut gradient = vec![0.0; weights.len()];
    let loss = batch_gradient(&round, &mut [slot], &mut gradient).unwrap();
    (loss, gradient)
}

/// The slope of a shopper's loss along a direction.
fn slope(spec: &ModelSpec, weights: &[f64], direction: &[f64], shopper: (ShopperKey, &[u32])) -> f64 {
    let at = |shift: f64| {
        let moved: Vec<f64> = weights.iter().zip(direction).map(|(w, d)| w + shift * d).collect();
        alone(spec, &moved, shopper).0
    };
    (at(1e-5) - at(-1e-5)) / 2e-5
}

/// For every tensor its place, one direction through all of it, and some through single values.
fn directions(spec: &ModelSpec) -> Vec<(std::ops::Range<usize>, Vec<f64>)> {
    let (mut numbers, mut start, mut all) = (Numbers(77), 0, vec![]);
    for parameter in spec.parameters() {
        let own = start..start + parameter.len();
        start = own.end;
        let mut through = vec![0.0; spec.parameter_count()];
        through[own.clone()].iter_mut().for_each(|x| *x = numbers.signed());
        all.push((own.clone(), through));
        for _ in 0..3 {
            let mut single = vec![0.0; spec.parameter_count()];
            single[own.start + numbers.below(parameter.len())] = 1.0;
            all.push((own.clone(), single));
        }
    }
    all
}

/// Names of parameters that have no gradient anywhere, by nature: a key's bias adds the same to all scores of a row.
fn has_gradient(name: &str) -> bool {
    !name.ends_with("key.bias")
}

#[test]
fn every_tensor_gets_a_gradient_equal_to_finite_differences() {
    let mut specs = networks();
    specs.extend([TRANSFORMER, ItemEncoder::Gru].map(|encoder| model(encoder, 1).with_dropout(0.3)));
    for spec in specs {
        let weights = weights(&spec, 5);
        let people = shoppers(3, 6);
        let mut largest = vec![0.0f64; weights.len()];
        for shopper in people.iter() {
            let one = people.restricted_to(|key| key == shopper.0);
            let found = &contributions::<f64>(&spec, &weights, &one, 0)[0];
            found.iter().zip(&mut largest).for_each(|(g, most)| *most = most.max(g.abs()));
            // A ReLU that bends within a step is rare, and seen as a difference along few directions.
            let mut bends = 0;
            for (own, direction) in directions(&spec) {
                let expected = slope(&spec, &weights, &direction, shopper);
                let along = |i: usize| found[i] * direction[i];
                let found: f64 = own.clone().map(along).sum();
                let close = (found - expected).abs() < 1e-6 * (1.0 + expected.abs());
                bends += usize::from(!close);
                assert!(close || bends < 3, "{spec:?} parameters {own:?}: {found} {expected}");
            }
        }
        let mut rest = &largest[..];
        for parameter in spec.parameters() {
            let (own, after) = rest.split_at(parameter.len());
            let reached = own.iter().any(|g| *g > 1e-4);
            assert_eq!(reached, has_gradient(&parameter.name), "{spec:?}: {}", parameter.name);
            rest = after;
        }
    }
}

#[test]
fn shoppers_together_equal_shoppers_one_by_one() {
    for spec in networks().into_iter().chain([model(TRANSFORMER, 2).with_dropout(0.4)]) {
        let weights = weights(&spec, 8);
        let people = shoppers(60, 9);
        let mut found = contributions::<f64>(&spec, &weights, &people, 0);
        let mut expected: Vec<Vec<f64>> =
            people.iter().map(|shopper| alone(&spec, &weights, shopper).1).collect();
        // Those of different shoppers differ by far more than rounding.
        let order = |a: &Vec<f64>, b: &Vec<f64>| a[..WIDTH * ITEMS].partial_cmp(&b[..WIDTH * ITEMS]).unwrap();
        let round = |all: &mut Vec<Vec<f64>>| {
            all.iter_mut().flatten().for_each(|x| *x = (*x * 1e9).round() / 1e9 + 0.0);
            all.sort_by(order);
        };
        round(&mut found);
        round(&mut expected);
        assert_eq!(found.len(), 60);
        for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((found - expected).abs() < 1e-8, "{spec:?}: {found} {expected}");
        }
    }
}

#[test]
fn steps_add_up_the_gradients_along_the_shoppers_own_way() {
    for encoder in [TRANSFORMER, ItemEncoder::Gru, TWO_TOWER] {
        let spec = model(encoder, 0).with_steps(3);
        let start = weights(&spec, 10);
        let people = shoppers(5, 11);
        for shopper in people.iter() {
            let one = people.restricted_to(|key| key == shopper.0);
            let found = contributions::<f64>(&spec, &start, &one, 0);
            let mut weights = start.clone();
            for _ in 0..3 {
                let (_, gradient) = alone(&spec, &weights, shopper);
                weights.iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.3 * g);
            }
            for ((found, start), end) in found[0].iter().zip(&start).zip(&weights) {
                let expected = (start - end) / 0.3;
                assert!((found - expected).abs() < 1e-9, "{spec:?}: {found} {expected}");
            }
        }
    }
}

#[test]
fn single_precision_is_close_to_double() {
    for spec in models() {
        let weights = weights(&spec, 12);
        let one = shoppers(1, 13);
        let (single, double) =
            (contributions::<f32>(&spec, &weights, &one, 0), contributions::<f64>(&spec, &weights, &one, 0));
        for (single, double) in single[0].iter().zip(&double[0]) {
            assert!((single - double).abs() < 2e-5 * (1.0 + double.abs()), "{spec:?}: {single} {double}");
        }
    }
}
