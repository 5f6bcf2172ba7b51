//! Contributions are the gradients they claim to be.

use candle_core::{Tensor, Var};
use guildhall_shared::model_spec::Activation;

use super::*;

#[test]
fn every_tensor_gets_a_gradient_equal_to_finite_differences() {
    for (seed, spec) in small_models().into_iter().enumerate() {
        let weights = weights(&spec, 100 + seed as u64);
        let people = shoppers(12, 7, spec.inputs, seed as u64);
        let found = contributions(&spec, &weights, &observations(spec.inputs, &people), &everybody);
        let mut largest = vec![0.0f64; weights.len()];
        let mut bends = 0;
        for (rows, found) in people.iter().zip(&found) {
            for (i, expected) in reference::finite_differences(&spec, &weights, rows).into_iter().enumerate()
            {
                let Some(expected) = expected else {
                    bends += 1;
                    continue;
                };
                assert!(
                    (found[i] - expected).abs() < 1e-6,
                    "{spec:?} parameter {i}: {} {expected}",
                    found[i]
                );
                largest[i] = largest[i].max(found[i].abs());
            }
        }
        assert!(100 * bends < weights.len() * people.len(), "{spec:?}: {bends} bends");
        let mut rest = &largest[..];
        for parameter in spec.parameters() {
            let (own, after) = rest.split_at(parameter.len());
            assert!(own.iter().any(|g| *g > 1e-3), "{spec:?}: {} receives no gradient", parameter.name);
            rest = after;
        }
    }
}

/// One shopper alone, by candle's own automatic differentiation of the weights.
fn one_by_one(spec: &ModelSpec, weights: &[f64], rows: &Rows) -> Vec<f64> {
    let device = Device::Cpu;
    let mut rest = weights;
    let mut variables = vec![];
    for parameter in spec.parameters() {
        let (own, after) = rest.split_at(parameter.len());
        let own: Vec<f32> = own.iter().map(|w| *w as f32).collect();
        variables.push(Var::from_tensor(&Tensor::from_vec(own, parameter.shape, &device).unwrap()).unwrap());
        rest = after;
    }
    let count = rows.labels.len();
    let mut x = Tensor::from_slice(&rows.features, (count, spec.inputs), &device).unwrap();
    for (layer, pair) in variables.chunks(2).enumerate() {
        x = x.matmul(&pair[0].t().unwrap()).unwrap().broadcast_add(&pair[1]).unwrap();
        if 2 * layer + 2 < variables.len() {
            let tanh = matches!(spec.architecture, Architecture::Mlp { activation: Activation::Tanh, .. });
            x = if tanh { x.tanh() } else { x.relu() }.unwrap();
        }
    }
    let y = Tensor::from_slice(&rows.labels, (count, 1), &device).unwrap();
    let soft = ((x.abs().unwrap().neg().unwrap().exp().unwrap() + 1.0).unwrap()).log().unwrap();
    let loss = ((x.relu().unwrap() - (&x * y).unwrap()).unwrap() + soft).unwrap().mean_all().unwrap();
    let gradients = loss.backward().unwrap();
    let flat = |v: &Var| gradients.get(v).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    variables.iter().flat_map(flat).map(f64::from).collect()
}

#[test]
fn shoppers_together_equal_shoppers_one_by_one() {
    let wide = [
        mlp(18, &[64], Activation::Relu),
        mlp(35, &[16], Activation::Tanh),
        mlp(74, &[64], Activation::Relu),
    ];
    for spec in small_models().into_iter().chain(wide) {
        let weights = weights(&spec, 7);
        let people = shoppers(150, 7, spec.inputs, 8);
        let found = contributions(&spec, &weights, &observations(spec.inputs, &people), &everybody);
        assert_eq!(found.len(), people.len());
        for (rows, found) in people.iter().zip(found) {
            for (found, expected) in found.iter().zip(one_by_one(&spec, &weights, rows)) {
                assert!(
                    (found - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                    "{spec:?}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn a_logistic_regression_at_zero_is_known_by_hand() {
    // σ(0) − y = ±1/2, where |z| and max(z, 0) have their corners.
    let people = [
        Rows { features: vec![1.0, -3.0], labels: vec![1.0] },
        Rows { features: vec![2.0, 4.0, 6.0, 0.0], labels: vec![0.0, 1.0] },
    ];
    let found = contributions(&logistic(2), &[0.0; 3], &observations(2, &people), &everybody);
    assert_eq!(found, [[-0.5, 1.5, -0.5], [-1.0, 1.0, 0.0]]);
}
