//! Ordinary training of models without a sequence.

use std::ops::ControlFlow;

use super::*;
use crate::train::ordinary::{OrdinaryTraining, go_on};

fn training(epochs: u32, batch: usize, learning_rate: f64) -> OrdinaryTraining {
    OrdinaryTraining { epochs, learning_rate, batch, seed: 3 }
}

fn fit(spec: &ModelSpec, start: &[f64], people: &Observations, training: &OrdinaryTraining) -> Vec<f64> {
    let trainer = Trainer::new(spec, &DeviceChoice::Cpu).unwrap();
    trainer.fit(start, people, training, &mut go_on).unwrap()
}

/// Adam's first step has the size of the learning rate, against the sign of the mean gradient.
#[test]
fn the_first_step_goes_against_the_mean_of_all_contributions() {
    for spec in small_models() {
        let (start, people) =
            (weights(&spec, 1), observations(spec.inputs, &shoppers(40, 5, spec.inputs, 2)));
        let mut mean = vec![0.0; start.len()];
        for contribution in contributions(&spec, &start, &people, &everybody) {
            mean.iter_mut().zip(contribution).for_each(|(sum, g)| *sum += g / 40.0);
        }
        let after = fit(&spec, &start, &people, &training(1, 1_000, 0.01));
        for ((before, after), gradient) in start.iter().zip(&after).zip(&mean) {
            let expected = -0.01 * gradient / (gradient.abs() + 1e-8);
            assert!(
                (after - before - expected).abs() < 1e-6,
                "{spec:?}: {} and not {expected}",
                after - before
            );
        }
    }
}

#[test]
fn no_epochs_change_nothing_and_whoever_watches_may_end_it() {
    let spec = logistic(9);
    let (start, people) = (weights(&spec, 1), observations(9, &shoppers(40, 5, 9, 2)));
    assert_eq!(bits(&fit(&spec, &start, &people, &training(0, 4, 0.1))), bits(&start));
    let (trainer, mut seen) = (Trainer::new(&spec, &DeviceChoice::Cpu).unwrap(), vec![]);
    let watch = &mut |epoch: u32, weights: &[f64]| {
        seen.push((epoch, bits(weights)));
        if epoch == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let ended = trainer.fit(&start, &people, &training(9, 4, 0.1), watch).unwrap();
    let after = |epochs| bits(&fit(&spec, &start, &people, &training(epochs, 4, 0.1)));
    assert_eq!(seen, [(1, after(1)), (2, after(2))]);
    assert_eq!(bits(&ended), after(2));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let vector = ModelSpec { architecture: Architecture::Vector, inputs: 3 };
    let people = observations(3, &shoppers(4, 2, 3, 2));
    let refused = |spec: &ModelSpec, weights: &[f64]| {
        let trainer = Trainer::new(spec, &DeviceChoice::Cpu).unwrap();
        trainer.fit(weights, &people, &training(1, 4, 0.1), &mut go_on).unwrap_err()
    };
    assert!(matches!(refused(&vector, &[0.0; 3]), TrainError::NoLogits));
    assert!(matches!(refused(&logistic(3), &[0.0; 3]), TrainError::Weights { expected: 4, found: 3 }));
    assert!(matches!(refused(&logistic(5), &[0.0; 6]), TrainError::Inputs { expected: 5, found: 3 }));
}
