//! Forward, loss and finite differences in f64, written by hand from the definition.

use guildhall_shared::model_spec::Activation;

use super::*;

pub(super) fn logit(spec: &ModelSpec, weights: &[f64], row: &[f32]) -> f64 {
    let widths = spec.layer_widths();
    let mut x: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
    let mut at = 0;
    for (layer, outputs) in widths.iter().enumerate() {
        let bias = at + outputs * x.len();
        let mut next = vec![];
        for output in 0..*outputs {
            let mut z = weights[bias + output];
            for (input, value) in x.iter().enumerate() {
                z += weights[at + output * x.len() + input] * value;
            }
            next.push(if layer + 1 == widths.len() { z } else { activate(spec, z) });
        }
        at = bias + outputs;
        x = next;
    }
    assert_eq!((at, x.len()), (weights.len(), 1));
    x[0]
}

fn activate(spec: &ModelSpec, z: f64) -> f64 {
    match &spec.architecture {
        Architecture::Mlp { activation: Activation::Tanh, .. } => z.tanh(),
        Architecture::Mlp { activation: Activation::Relu, .. } => z.max(0.0),
        _ => z,
    }
}

pub(super) fn mean_loss(spec: &ModelSpec, weights: &[f64], rows: &Rows) -> f64 {
    let loss = |(row, label): (&[f32], &f32)| {
        let (z, y) = (logit(spec, weights, row), f64::from(*label));
        z.max(0.0) - z * y + (-z.abs()).exp().ln_1p()
    };
    let losses = rows.features.chunks(spec.inputs).zip(&rows.labels).map(loss);
    losses.sum::<f64>() / rows.labels.len() as f64
}

/// Central differences of the mean loss; none where two step widths disagree because a ReLU bends between them.
pub(super) fn finite_differences(spec: &ModelSpec, weights: &[f64], rows: &Rows) -> Vec<Option<f64>> {
    let slope = |i: usize, step: f64| {
        let at = |shift: f64| {
            let mut moved = weights.to_vec();
            moved[i] += shift;
            mean_loss(spec, &moved, rows)
        };
        (at(step) - at(-step)) / (2.0 * step)
    };
    let both = |i: usize| (slope(i, 1e-5), slope(i, 3e-6));
    (0..weights.len()).map(|i| Some(both(i)).filter(|(a, b)| (a - b).abs() < 1e-8).map(|(a, _)| a)).collect()
}
