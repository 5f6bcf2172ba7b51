use guildhall_shared::model_spec::Activation;
use proptest::prelude::*;

use super::*;
use crate::explain::mlp::tests::{mlp, random, uniform};

/// A network of ten inputs, with tanh or ReLU between, that no single input decides.
fn game(seed: u64) -> (Vec<f32>, impl Fn(&[bool]) -> f64) {
    let activation = if seed.is_multiple_of(2) { Activation::Tanh } else { Activation::Relu };
    let layers = random(mlp(activation), 10, seed);
    let mut draws = Draws::new(seed + 1_000);
    let input: Vec<f32> = (0..10).map(|_| 2.0 * uniform(&mut draws) as f32).collect();
    let shown = input.clone();
    let value = move |present: &[bool]| {
        let inputs: Vec<f32> =
            shown.iter().zip(present).map(|(x, present)| if *present { *x } else { 0.0 }).collect();
        layers.logit(&inputs)
    };
    (input, value)
}

/// By definition: the mean over all orders.
fn by_all_orders(players: usize, value: &dyn Fn(&[bool]) -> f64) -> Vec<f64> {
    fn orders(rest: &[usize]) -> Vec<Vec<usize>> {
        if rest.is_empty() {
            return vec![vec![]];
        }
        let mut all = Vec::new();
        for (place, first) in rest.iter().enumerate() {
            let mut others = rest.to_vec();
            others.remove(place);
            all.extend(orders(&others).into_iter().map(|order| [vec![*first], order].concat()));
        }
        all
    }
    let all = orders(&(0..players).collect::<Vec<_>>());
    let mut gains = vec![0.0; players];
    for order in &all {
        let mut present = vec![false; players];
        for player in order {
            let before = value(&present);
            present[*player] = true;
            gains[*player] += value(&present) - before;
        }
    }
    gains.into_iter().map(|gain| gain / all.len() as f64).collect()
}

#[test]
fn exact_values_are_the_mean_over_all_orders() {
    for seed in 0..6 {
        let (_, value) = game(seed);
        let few = |present: &[bool]| value(&[present, &[true; 4][..]].concat());
        let found = exact(6, few).expect("finite");
        for (a, b) in found.values.iter().zip(by_all_orders(6, &few)) {
            assert!((a - b).abs() < 1e-10, "{a} {b}");
        }
        assert_eq!(found.answers, 64);
    }
}

/// Known: a glove game. Player 0 has a left glove, 1 and 2 a right one each; a pair is worth 1: values 2/3, 1/6, 1/6.
#[test]
fn the_glove_game() {
    let value = |p: &[bool]| f64::from(u8::from(p[0] && (p[1] || p[2])));
    let found = exact(3, value).expect("finite");
    for (a, b) in found.values.iter().zip([2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0]) {
        assert!((a - b).abs() < 1e-15);
    }
    assert_eq!(exact(0, |_| 7.0).expect("finite").values, Vec::<f64>::new());
}

/// 40 networks of ten inputs, 300 pairs each. Were the seeds fresh, t with 299 degrees of freedom would pass 6 with
/// probability 6e-9, and any of 400 values with less than 3e-6. That the standard errors are not too large either is
/// seen in the mean square of the 400 ratios: 1 in expectation, 0.6 and 1.5 are over four standard deviations
/// away even if only five of a game's ten values were independent.
#[test]
fn sampled_values_agree_with_exact_ones_within_their_stated_errors() {
    let mut squares = 0.0;
    for seed in 0..40 {
        let (_, value) = game(seed);
        let exact = exact(10, &value).expect("finite");
        let found = sampled(10, Sampling { pairs: 300, seed }, &value).expect("finite");
        for player in 0..10 {
            let ratio = (found.values[player] - exact.values[player]) / found.standard_errors[player];
            assert!(ratio.abs() < 6.0, "seed {seed}, player {player}: {ratio} standard errors");
            squares += ratio * ratio;
        }
        assert!((found.values.iter().sum::<f64>() - (found.everybody - found.nobody)).abs() < 1e-12);
        assert_eq!(found.answers, 2 + 2 * 300 * 9);
    }
    assert!((0.6..1.5).contains(&(squares / 400.0)), "{}", squares / 400.0);
}

/// Of a game of single inputs and of pairs a pair of opposite orders gives the exact values: each pair of players meets
/// once either way.
#[test]
fn opposite_orders_are_exact_for_interactions_of_two() {
    let value = |p: &[bool]| {
        let x: Vec<f64> = p.iter().map(|present| f64::from(u8::from(*present))).collect();
        2.0 * x[0] - x[1] + 3.0 * x[0] * x[2] + x[1] * x[3] * 0.5
    };
    let found = sampled(4, Sampling { pairs: 2, seed: 9 }, value).expect("finite");
    for (a, b) in found.values.iter().zip([3.5, -0.75, 1.5, 0.25]) {
        assert!((a - b).abs() < 1e-12);
    }
    assert!(found.standard_errors.iter().all(|error| *error < 1e-12));
}

#[test]
fn players_may_be_groups() {
    let players = [
        Player { name: "one-hot".into(), inputs: vec![0, 2] },
        Player { name: "number".into(), inputs: vec![1] },
    ];
    let (input, baseline) = ([1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.0, 0.0]);
    let game = Game::new(&input, &baseline, &players).expect("fits");
    assert_eq!(game.inputs(&[false, true]), [0.0, 2.0, 0.0, 4.0], "the last input belongs to nobody");
    assert_eq!(game.inputs(&[true, false]), [1.0, 0.5, 3.0, 4.0]);
    let found = game.values(Sampling::default(), |x| f64::from(x[0] * x[2] + 10.0 * x[1] + x[3]));
    assert_eq!(found.expect("finite").values, [3.0, 15.0]);
}

#[test]
fn beyond_sixteen_players_orders_are_sampled() {
    let input = vec![1.0; 20];
    let players: Vec<Player> = (0..20).map(|i| Player { name: i.to_string(), inputs: vec![i] }).collect();
    let baseline = vec![0.0; 20];
    let game = Game::new(&input, &baseline, &players).expect("fits");
    let sum = |x: &[f32]| x.iter().map(|x| f64::from(*x)).sum::<f64>().powi(3);
    let found = game.values(Sampling { pairs: 50, seed: 1 }, sum).expect("finite");
    assert_eq!(found.answers, 2 + 100 * 19);
    assert!((found.values.iter().sum::<f64>() - 8_000.0).abs() < 1e-8);
    assert_eq!(exact(20, |_| 0.0), Err(ShapleyError::Players { found: 20 }));
}

#[test]
fn games_without_values_are_refused() {
    assert_eq!(exact(2, |_| f64::NAN), Err(ShapleyError::NotFinite));
    assert_eq!(sampled(2, Sampling { pairs: 1, seed: 0 }, |_| 0.0), Err(ShapleyError::Pairs { found: 1 }));
    let broken = |p: &[bool]| if p[0] && !p[1] { f64::INFINITY } else { 0.0 };
    assert_eq!(sampled(2, Sampling { pairs: 2, seed: 0 }, broken), Err(ShapleyError::NotFinite));
    let beyond = [Player { name: "x".into(), inputs: vec![3] }];
    assert_eq!(Game::new(&[1.0], &[0.0], &beyond).err(), Some(ShapleyError::Shape { expected: 1 }));
    assert_eq!(Game::new(&[1.0], &[], &[]).err(), Some(ShapleyError::Shape { expected: 1 }));
}

proptest! {
    /// Efficiency, dummy, symmetry, additivity, of games drawn at random: a table of 2^5 numbers.
    #[test]
    fn the_axioms_hold(
        table in prop::collection::vec(-5f64..5.0, 32), other in prop::collection::vec(-5f64..5.0, 32),
        seed in any::<u64>(),
    ) {
        let number = |p: &[bool]| p.iter().rev().fold(0, |n, present| 2 * n + usize::from(*present));
        // Player 5 never matters; players 0 and 1 are alike, for only how many of them there are counts.
        let alike = |p: &[bool]| {
            let both = usize::from(p[0]) + usize::from(p[1]);
            table[both + 3 * number(&p[2..5])]
        };
        for found in [exact(6, alike).unwrap(), sampled(6, Sampling { pairs: 5, seed }, alike).unwrap()] {
            let sum: f64 = found.values.iter().sum();
            prop_assert!((sum - (found.everybody - found.nobody)).abs() < 1e-9, "efficiency");
            prop_assert_eq!(found.values[5], 0.0, "dummy");
            prop_assert_eq!(found.standard_errors[5], 0.0, "dummy");
        }
        let found = exact(6, alike).unwrap();
        prop_assert!((found.values[0] - found.values[1]).abs() < 1e-9, "symmetry");
        let values = |value: &dyn Fn(&[bool]) -> f64| exact(5, value).unwrap().values;
        let both = values(&|p| table[number(p)] + other[number(p)]);
        let (one, two) = (values(&|p| table[number(p)]), values(&|p| other[number(p)]));
        for player in 0..5 {
            prop_assert!((both[player] - one[player] - two[player]).abs() < 1e-9, "additivity");
        }
    }
}
