//! Fused layers equal composed ones, forward and back, for shared weights and for weights of every group's own.

use candle_core::backprop::GradStore;
use guildhall_shared::model_spec::{
    ItemEncoder, LocalTraining, NextItemModel, SequenceClassifier, SequenceEncoder, SequenceShape,
};

use super::*;

/// In [−1, 1), repeatable: SplitMix64 (Steele, Lea, Flood 2014).
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn variable(shape: &[usize], seed: u64) -> Tensor {
    let values = numbers(shape.iter().product(), seed);
    Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap().into_inner()
}

/// The values, and the gradients by all variables of a random mix of them.
fn both_ways(y: &Tensor, variables: &[Tensor]) -> Vec<Vec<f64>> {
    let mix = Tensor::from_vec(numbers(y.elem_count(), 99), y.shape(), &Device::Cpu).unwrap();
    let gradients: GradStore = (y * mix).unwrap().sum_all().unwrap().backward().unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    std::iter::once(flat(y)).chain(variables.iter().map(|v| flat(gradients.get(v).unwrap()))).collect()
}

fn assert_close(fused: &[Vec<f64>], composed: &[Vec<f64>], what: &str) {
    assert_eq!(fused.len(), composed.len());
    for (part, (fused, composed)) in fused.iter().zip(composed).enumerate() {
        assert_eq!(fused.len(), composed.len());
        assert!(composed.iter().any(|x| x.abs() > 1e-6), "{what}: part {part} is all zero");
        for (a, b) in fused.iter().zip(composed) {
            assert!((a - b).abs() < 1e-10 * (1.0 + b.abs()), "{what}: part {part}: {a} {b}");
        }
    }
}

fn training() -> LocalTraining {
    LocalTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 1 }
}

fn layers_of(parameters: &[ParameterSpec], groups: usize, kernels: Kernels) -> Layers {
    let tensors = parameters.iter().enumerate().map(|(i, parameter)| {
        let shape: Vec<usize> = [groups].into_iter().chain(parameter.shape.iter().copied()).collect();
        variable(&shape, 1000 + i as u64)
    });
    Layers { tensors: tensors.collect(), kernels, slots: None }
}

#[test]
fn every_item_encoder_is_the_same_fused_and_composed() {
    for encoder in [
        ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 5 },
        ItemEncoder::Gru,
        ItemEncoder::TwoTower { tags: 0, hidden: 7 },
    ] {
        let model = NextItemModel {
            encoder,
            items: 3,
            positions: 5,
            width: 6,
            dropout: 0.0,
            negatives: 1,
            training: training(),
            start: None,
        };
        let leading = if matches!(encoder, ItemEncoder::Transformer { .. }) { 2 } else { 1 };
        let parameters = &model.parameters()[leading..];
        for groups in [1, 4] {
            let x = variable(&[4, 5, 6], 3);
            let hidings: Vec<Tensor> =
                (0..hiding_count(&encoder)).map(|i| variable(&[4, 5, 6], i).detach()).collect();
            let ways = [Kernels::Fused, Kernels::Composed].map(|kernels| {
                let layers = layers_of(parameters, groups, kernels);
                let y = item_encoder::encode(&encoder, &layers, &x, &hidings).unwrap();
                let variables: Vec<Tensor> =
                    [x.clone()].into_iter().chain(layers.tensors.iter().cloned()).collect();
                both_ways(&y, &variables)
            });
            assert_close_but_key_biases(&ways, &encoder);
        }
    }
}

fn hiding_count(encoder: &ItemEncoder) -> u64 {
    item_encoder::hiding_places(encoder) as u64
}

/// A key's bias adds the same to all scores of a row, so its gradient is 0 but for rounding.
fn assert_close_but_key_biases(ways: &[Vec<Vec<f64>>; 2], encoder: &ItemEncoder) {
    let [fused, composed] = ways;
    let keep = |parts: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let constant = |part: &[f64]| part.iter().all(|x| x.abs() < 1e-9);
        parts.iter().filter(|part| !constant(part)).cloned().collect()
    };
    let dropped = composed.len() - keep(composed).len();
    let expected = if let ItemEncoder::Transformer { blocks, .. } = encoder { *blocks } else { 0 };
    assert_eq!(dropped, expected, "only the biases of the keys have no gradient");
    assert_close(&keep(fused), &keep(composed), &format!("{encoder:?}"));
}

#[test]
fn every_classifier_is_the_same_fused_and_composed() {
    for encoder in [SequenceEncoder::Gru, SequenceEncoder::Lstm, SequenceEncoder::Convolution { kernel: 3 }] {
        for (hidden, fixed) in [(4, 3), (0, 0)] {
            let model = SequenceClassifier {
                encoder,
                shape: SequenceShape { fixed, steps: 6, channels: 3, tokens: 0 },
                embedding: 0,
                width: 5,
                hidden,
                dropout: 0.0,
                training: training(),
            };
            for groups in [1, 3] {
                let x = variable(&[6, 6, classifier::step_width(&model)], 3);
                let given = (fixed > 0).then(|| variable(&[6, fixed], 4));
                let hiding = variable(&[6, model.summary()], 5).detach();
                let ways = [Kernels::Fused, Kernels::Composed].map(|kernels| {
                    let layers = layers_of(&model.parameters(), groups, kernels);
                    let y = classifier::logits(&model, &layers, &x, given.as_ref(), Some(&hiding)).unwrap();
                    let variables: Vec<Tensor> =
                        given.iter().chain([&x]).chain(&layers.tensors).cloned().collect();
                    both_ways(&y, &variables)
                });
                assert_close(&ways[0], &ways[1], &format!("{model:?}"));
            }
        }
    }
}

#[test]
fn a_later_position_never_changes_an_earlier_one() {
    for encoder in [ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 5 }, ItemEncoder::Gru] {
        let model = NextItemModel {
            encoder,
            items: 3,
            positions: 8,
            width: 6,
            dropout: 0.0,
            negatives: 1,
            training: training(),
            start: None,
        };
        let leading = if matches!(encoder, ItemEncoder::Transformer { .. }) { 2 } else { 1 };
        for kernels in [Kernels::Fused, Kernels::Composed] {
            let layers = layers_of(&model.parameters()[leading..], 1, kernels);
            let outputs = |values: Vec<f64>| {
                let x = Tensor::from_vec(values, (1, 8, 6), &Device::Cpu).unwrap();
                let y = item_encoder::encode(&encoder, &layers, &x, &[]).unwrap();
                y.flatten_all().unwrap().to_vec1::<f64>().unwrap()
            };
            let before = numbers(48, 5);
            for changed in 1..8 {
                let mut after = before.clone();
                after[changed * 6..].iter_mut().for_each(|x| *x = -7.0 * *x + 1.0);
                let (before, after) = (outputs(before.clone()), outputs(after));
                assert_eq!(before[..changed * 6], after[..changed * 6], "{encoder:?} {kernels:?}");
                assert!(before[changed * 6..].iter().zip(&after[changed * 6..]).all(|(a, b)| a != b));
            }
        }
    }
}
