//! Contributions are the gradients they claim to be.

use super::super::pass::Pass;
use super::*;
use crate::model::sequence::Layers;
use crate::train::slots::{RowSource, logit_loss};

/// A shopper's mean loss in f64 with what it draws in the round, by weights that all rows share.
fn loss(spec: &ModelSpec, weights: &[f64], one: &Observations) -> f64 {
    let Architecture::Sequence(model) = &spec.architecture else { panic!("a sequence classifier") };
    let layout = Layout::new(model, spec);
    let table = table_of::<f64>(&layout, weights);
    let source = RowSource { table: &table, width: model.embedding, moved: None };
    let mut pass = Pass::<f64>::start(&layout, one.rows());
    let mut stream = PrivateStreams::new(&[7; 32], ROUND).of(one.shoppers[0].key);
    let mut embedded = vec![0.0; layout.embedded()];
    for row in 0..one.rows() {
        layout.embed(one.row(row), &source, &mut embedded);
        pass.set(&layout, row, &embedded);
        if model.dropout > 0.0 {
            stream.hide(model.dropout, pass.hiding(&layout, row));
        }
    }
    let tensors = &weights[layout.parameters.table_values()..];
    let layers = Layers::load::<f64>(&layout.parameters.tensors, tensors, 1, &Device::Cpu).unwrap();
    let forward = pass.forward(&layout, &layers, &Device::Cpu).unwrap();
    let of = |logits: &[f64]| {
        Ok(logits.iter().zip(&one.labels).map(|(z, y)| logit_loss(*z, f64::from(*y))).sum::<f64>())
    };
    forward.logits(of).unwrap() / one.rows() as f64
}

/// Central differences along each parameter; none where two step widths disagree because a ReLU or a maximum bends between.
fn finite_differences(spec: &ModelSpec, weights: &[f64], one: &Observations) -> Vec<Option<f64>> {
    let slope = |i: usize, step: f64| {
        let at = |shift: f64| {
            let mut moved = weights.to_vec();
            moved[i] += shift;
            loss(spec, &moved, one)
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    let both = |i: usize| (slope(i, 1e-5), slope(i, 3e-6));
    (0..weights.len()).map(|i| Some(both(i)).filter(|(a, b)| (a - b).abs() < 1e-8).map(|(a, _)| a)).collect()
}

fn each(people: &Observations) -> impl Iterator<Item = Observations> + '_ {
    people.shoppers.iter().map(|shopper| people.restricted_to(|key| key == shopper.key))
}

#[test]
fn every_tensor_gets_a_gradient_equal_to_finite_differences() {
    let dropped = [SequenceEncoder::Gru, CNN].map(|e| changed(model(e, 3), |model| model.dropout = 0.4));
    for spec in networks().into_iter().chain(dropped) {
        let weights = weights(&spec, 5);
        let mut largest = vec![0.0f64; weights.len()];
        let mut bends = 0;
        for one in each(&shoppers(&spec, 3, 5, 6)) {
            let found = &contributions::<f64>(&spec, &weights, &one)[0];
            for (i, expected) in finite_differences(&spec, &weights, &one).into_iter().enumerate() {
                let Some(expected) = expected else {
                    bends += 1;
                    continue;
                };
                assert!((found[i] - expected).abs() < 1e-7, "{spec:?} {i}: {} {expected}", found[i]);
                largest[i] = largest[i].max(found[i].abs());
            }
        }
        assert!(50 * bends < 3 * weights.len(), "{spec:?}: {bends} bends");
        let mut rest = &largest[..];
        for parameter in spec.parameters() {
            let (own, after) = rest.split_at(parameter.len());
            assert!(own.iter().any(|g| *g > 1e-4), "{spec:?}: {} receives no gradient", parameter.name);
            rest = after;
        }
    }
}

#[test]
fn steps_add_up_the_gradients_along_the_shoppers_own_way() {
    for encoder in [SequenceEncoder::Gru, SequenceEncoder::Lstm, CNN] {
        let one_step = model(encoder, 3);
        let spec = changed(one_step.clone(), |model| model.training.steps = 3);
        let start = weights(&spec, 10);
        for one in each(&shoppers(&spec, 5, 4, 11)) {
            let found = &contributions::<f64>(&spec, &start, &one)[0];
            let mut weights = start.clone();
            for _ in 0..3 {
                let gradient = &contributions::<f64>(&one_step, &weights, &one)[0];
                weights.iter_mut().zip(gradient).for_each(|(w, g)| *w -= 0.3 * g);
            }
            for ((found, start), end) in found.iter().zip(&start).zip(&weights) {
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
        for one in each(&shoppers(&spec, 4, 5, 13)) {
            let (single, double) =
                (contributions::<f32>(&spec, &weights, &one), contributions::<f64>(&spec, &weights, &one));
            for (single, double) in single[0].iter().zip(&double[0]) {
                assert!((single - double).abs() < 2e-5 * (1.0 + double.abs()), "{spec:?}: {single} {double}");
            }
        }
    }
}
