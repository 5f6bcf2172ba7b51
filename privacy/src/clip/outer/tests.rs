use guildhall_shared::job::ClippingSpec;

use super::*;
use crate::parameter::ClippingParameters;
use crate::test_environment::TestRandom;

/// Layers as (outputs, inputs), with widths around the vector lengths and the block.
const SHAPES: [&[(usize, usize)]; 6] = [
    &[(1, 80)],
    &[(64, 18), (1, 64)],
    &[(16, 35), (1, 16)],
    &[(3, 130), (5, 3), (1, 5)],
    &[(67, 1), (1, 67)],
    &[(1, 1)],
];

type Factors = Vec<(Vec<f32>, Vec<f32>)>;

fn parameters(norm_l2: f64, shape: &[(usize, usize)]) -> ClippingParameters {
    let d = shape.iter().map(|(outputs, inputs)| outputs * (inputs + 1)).sum();
    ClippingParameters::new(&ClippingSpec { norm_l2, bound: 1 << 20 }, d).expect("legal")
}

fn layers(factors: &Factors) -> impl Iterator<Item = OuterGradient<'_>> + Clone {
    factors.iter().map(|(delta, activation)| OuterGradient { delta, activation })
}

fn written_out(factors: &Factors) -> Vec<f64> {
    let layer = |(delta, activation): &(Vec<f32>, Vec<f32>)| {
        let products = delta.iter().flat_map(|d| activation.iter().map(|a| f64::from(*d) * f64::from(*a)));
        products.chain(delta.iter().map(|d| f64::from(*d))).collect::<Vec<f64>>()
    };
    factors.iter().flat_map(layer).collect()
}

fn alone(parameters: &ClippingParameters, factors: &Factors) -> (Vec<i64>, ClipOutcome) {
    let mut sum = ShopperSum::new(parameters);
    // Whatever an earlier shopper left in the scratch must not be added.
    sum.scratch.fill(0x5555_5555);
    let outcome = sum.add_outer(layers(factors));
    (sum.sum.to_vec(), outcome)
}

fn factors(random: &mut TestRandom, shape: &[(usize, usize)], kind: usize) -> Factors {
    let mut values = |count: usize, size: f64, dead: usize| -> Vec<f32> {
        let value = |random: &mut TestRandom| (size * random.signed_unit()) as f32;
        (0..count).map(|_| if random.below(10) < dead { 0.0 } else { value(random) }).collect()
    };
    let sizes =
        [(1e-3, 1.0, 0), (1.0, 1.0, 5), (3.0, 100.0, 5), (1e30, 1e30, 2), (1e-30, 1e-30, 0), (1.0, 1.0, 10)];
    let (delta, activation, dead) = sizes[kind % sizes.len()];
    shape
        .iter()
        .map(|(outputs, inputs)| (values(*outputs, delta, dead), values(*inputs, activation, dead / 2)))
        .collect()
}

fn squares_exactly(integers: &[i64]) -> u128 {
    integers.iter().map(|z| u128::from(z.unsigned_abs()).pow(2)).sum()
}

#[test]
fn factors_give_the_integers_of_the_written_out_gradient() {
    let mut random = TestRandom(41);
    let (mut compared, mut different) = (0usize, 0usize);
    for i in 0..6_000 {
        let shape = SHAPES[i % SHAPES.len()];
        let parameters = parameters(0.7, shape);
        let factors = factors(&mut random, shape, i / SHAPES.len());
        let (found, outcome) = alone(&parameters, &factors);
        let mut sum = ShopperSum::new(&parameters);
        assert_eq!(sum.add(&written_out(&factors)), outcome);
        for (found, expected) in found.iter().zip(sum.sum.iter()) {
            // One last bit of the scale can only tip a value that lies within 10^-9 steps of a half.
            assert!((found - expected).abs() <= 1, "{shape:?}: {found} {expected}");
            compared += 1;
            different += usize::from(found != expected);
        }
        assert!(squares_exactly(&found) <= 1 << 40);
    }
    assert!(compared > 1_000_000 && different * 1_000_000 < compared, "{different} of {compared} differ");
}

#[test]
fn a_factor_that_is_no_number_silences_the_shopper_even_beside_zeros() {
    let mut random = TestRandom(42);
    for shape in SHAPES {
        let parameters = parameters(0.7, shape);
        for kind in [1, 5] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                for layer in 0..shape.len() {
                    let mut broken = factors(&mut random, shape, kind);
                    let (delta, activation) = &mut broken[layer];
                    if random.below(2) == 0 {
                        delta[0] = value
                    } else {
                        activation[0] = value
                    }
                    let (found, outcome) = alone(&parameters, &broken);
                    assert_eq!(outcome, ClipOutcome::NonFinite);
                    assert!(found.iter().all(|z| *z == 0));
                }
            }
        }
    }
}

#[test]
fn shoppers_in_factors_and_written_out_share_one_sum() {
    let shape = SHAPES[1];
    let parameters = parameters(0.7, shape);
    let mut random = TestRandom(43);
    let people: Vec<Factors> = (0..60).map(|i| factors(&mut random, shape, i)).collect();
    let mut together = ShopperSum::new(&parameters);
    let mut expected = vec![0i64; parameters.parameters()];
    for (i, person) in people.iter().enumerate() {
        let mut single = ShopperSum::new(&parameters);
        for sum in [&mut together, &mut single] {
            if i % 3 == 0 {
                sum.add(&written_out(person))
            } else {
                sum.add_outer(layers(person))
            };
        }
        add_wrapping(&mut expected, &single.sum);
    }
    assert_eq!(together.sum.to_vec(), expected, "a shopper's integers depend on the others");
    assert_eq!(together.finish().1.added, 60);
}

#[test]
#[should_panic(expected = "one value for each parameter")]
fn layers_of_another_shape_are_refused() {
    let parameters = parameters(1.0, SHAPES[1]);
    ShopperSum::new(&parameters).add_outer([OuterGradient { delta: &[1.0], activation: &[1.0] }].into_iter());
}
