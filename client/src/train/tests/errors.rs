//! Mistakes are refused, and those that depend on rows say so.

use guildhall_shared::model_spec::Activation;

use super::integers::clipping;
use super::*;

fn error(spec: &ModelSpec, weights: &[f64], observations: &Observations) -> TrainError {
    let trainer = Trainer::new(spec, &DeviceChoice::Cpu).unwrap();
    trainer.clipped_sum(weights, observations, &everybody, &clipping(spec)).map(|_| ()).unwrap_err()
}

#[test]
fn public_mistakes_name_expected_and_found() {
    let spec = logistic(2);
    let all = observations(2, &shoppers(3, 2, 2, 1));
    let wrong = error(&spec, &[0.0; 4], &all);
    assert!(matches!(wrong, TrainError::Weights { expected: 3, found: 4 }) && !wrong.depends_on_rows());
    let wrong = error(&spec, &[0.0; 3], &observations(5, &shoppers(3, 2, 5, 1)));
    assert!(matches!(wrong, TrainError::Inputs { expected: 2, found: 5 }) && !wrong.depends_on_rows());
    let trainer = Trainer::new(&spec, &DeviceChoice::Cpu).unwrap();
    let wrong =
        trainer.clipped_sum(&[0.0; 3], &all, &everybody, &clipping(&logistic(3))).map(|_| ()).unwrap_err();
    assert!(matches!(wrong, TrainError::Clipping { expected: 3, found: 4 }) && !wrong.depends_on_rows());
}

#[test]
fn models_of_no_width_are_refused() {
    for spec in [logistic(0), mlp(3, &[0], Activation::Tanh)] {
        let wrong = Trainer::new(&spec, &DeviceChoice::Cpu).map(|_| ()).unwrap_err();
        assert!(matches!(wrong, TrainError::EmptyLayer) && !wrong.depends_on_rows());
    }
}

#[test]
fn a_bare_vector_has_no_logits() {
    let spec = ModelSpec { architecture: Architecture::Vector, inputs: 4 };
    let trainer = Trainer::new(&spec, &DeviceChoice::Cpu).unwrap();
    assert!(matches!(trainer.logits(&[0.0; 4], &Observations::default()), Err(TrainError::NoLogits)));
}

#[test]
fn a_shopper_that_would_count_twice_is_refused() {
    let good = observations(2, &shoppers(5, 3, 2, 1));
    let breaks: [fn(&mut Observations); 7] = [
        |o| o.shoppers[3].key = o.shoppers[2].key,
        |o| o.shoppers.swap(1, 2),
        |o| o.shoppers[2].start -= 1,
        |o| o.shoppers[4].end += 1,
        |o| o.shoppers.truncate(4),
        |o| o.features.truncate(3),
        |o| o.labels.push(1.0),
    ];
    for broken in breaks {
        let mut all = good.clone();
        broken(&mut all);
        let wrong = error(&logistic(2), &[0.0; 3], &all);
        assert!(matches!(wrong, TrainError::Rows) && wrong.depends_on_rows(), "{wrong:?}");
    }
}
