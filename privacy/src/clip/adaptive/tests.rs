use guildhall_shared::job::{AdaptiveClip, ClippingSpec, JobSpec};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::Task;

use super::super::tests::{D, KINDS, NORM, difference, shopper, squares, with_norm};
use super::super::{ClipOutcome, OuterGradient, add_wrapping, quantise_scaled};
use super::*;
use crate::test_environment::{TabularJob, TestRandom};

const BOUND: u64 = 1 << 20;

fn parameters(norm_l2: f64, bound: u64, indicator: u64, d: usize) -> ClippingParameters {
    let rule = AdaptiveClip { indicator, quantile: 0.5, rate: 0.2, norm_min: 1e-30, norm_max: 1e30 };
    let job = JobSpec {
        task: Task::Dummy { parameters: d },
        architecture: Architecture::Vector,
        clipping: ClippingSpec { norm_l2, bound },
        adaptive_clip: Some(rule),
        ..TabularJob::default().spec()
    };
    ClippingParameters::of_round(&job, &ModelState::initial(&job)).expect("legal")
}

fn alone(parameters: &ClippingParameters, contribution: &[f64]) -> (Vec<i64>, ClipOutcome) {
    let mut sum = ShopperSum::new(parameters);
    let outcome = sum.add(contribution);
    (sum.sum.to_vec(), outcome)
}

/// The claim's first link where the clip adapts: whatever a shopper contributes, all d + 1 of its integers together are
/// within B, in exact arithmetic, leaving it out moves the sum by exactly these, and they are the same in any company.
#[test]
fn leaving_out_any_shopper_moves_all_words_by_at_most_the_bound() {
    for indicator in [1, BOUND / 10, BOUND / 2, BOUND - 1000] {
        let parameters = parameters(NORM, BOUND, indicator, D);
        let mut random = TestRandom(51);
        let shoppers: Vec<(Vec<f64>, ClipOutcome)> =
            (0..20_000).map(|i| shopper(i % KINDS, &mut random)).collect();
        let mut everybody = ShopperSum::new(&parameters);
        shoppers.iter().for_each(|(contribution, _)| {
            everybody.add(contribution);
        });
        let (mut prefix, mut largest) = (ShopperSum::new(&parameters), 0);
        for (i, (contribution, expected)) in shoppers.iter().enumerate() {
            let before = prefix.sum.to_vec();
            let outcome = prefix.add(contribution);
            let (own, own_outcome) = alone(&parameters, contribution);
            assert_eq!((outcome, own_outcome), (*expected, *expected), "kind {}", i % KINDS);
            assert_eq!(
                difference(&prefix.sum, &before),
                own,
                "shopper {i}: its integers depend on the others"
            );
            assert_eq!(own.len(), D + 1);
            assert!(
                squares(&own) <= 1 << 40,
                "shopper {i} of kind {} moves the sum by more than B",
                i % KINDS
            );
            let expected = if contribution.is_empty() { 0 } else { indicator };
            assert_eq!(own[D].unsigned_abs(), expected, "kind {}", i % KINDS);
            largest = largest.max(squares(&own));
        }
        assert_eq!(prefix.sum, everybody.sum);
        assert!(
            largest > (1 << 40) - (1 << 25),
            "the whole of B is reached, so the bound is tested: {largest}"
        );
    }
}

/// β says "within" up to the clip itself and not one last bit further.
#[test]
fn the_coordinate_says_whether_the_clip_was_kept() {
    let indicator = BOUND as i64 / 10;
    let parameters = parameters(0.5, BOUND, BOUND / 10, 3);
    for (contribution, expected) in [
        ([0.0, 0.0, 0.0], indicator),
        ([-0.0, 1e-320, 0.0], indicator),
        ([0.0, 0.25, 0.25], indicator),
        ([0.0, -0.5, 0.0], indicator),
        ([0.5f64.next_up(), 0.0, 0.0], -indicator),
        ([0.5, 0.5, 0.5], -indicator),
        ([f64::MAX, f64::MIN, 1.0], -indicator),
        ([f64::NAN, 0.0, 0.0], -indicator),
        ([0.0, f64::INFINITY, 0.0], -indicator),
        ([0.0, 0.0, f64::NEG_INFINITY], -indicator),
    ] {
        let (words, outcome) = alone(&parameters, &contribution);
        assert_eq!(words[3], expected, "{contribution:?}");
        let finite = contribution.iter().all(|value| value.is_finite());
        assert_eq!(outcome == ClipOutcome::Added, finite, "{contribution:?}");
        assert!(finite || words[..3] == [0; 3], "{contribution:?}");
    }
}

#[test]
fn an_emptied_shopper_is_zero_in_every_word() {
    let parameters = parameters(1.0, BOUND, BOUND / 10, 3);
    assert_eq!(alone(&parameters, &[]), (vec![0; 4], ClipOutcome::Added));
}

/// The contribution is clipped to b, on the grid of B: half the clip is half of B's steps, and the clip is b's.
#[test]
fn the_contribution_keeps_its_grid_and_loses_length() {
    let parameters = parameters(1.0, BOUND, BOUND / 2, 1);
    assert_eq!(parameters.contribution_bound(), 908_093);
    assert_eq!(alone(&parameters, &[0.5]).0, [1 << 19, 1 << 19]);
    assert_eq!(alone(&parameters, &[-1.0]).0, [-908_092, 1 << 19]);
    assert_eq!(alone(&parameters, &[40.0]).0, [908_092, -(1 << 19)]);
}

/// 225² + 1000² = 1025²: the check is one over all words, and exact.
#[test]
fn one_step_over_the_bound_is_over_with_the_coordinate_counted() {
    let parameters = parameters(1.0, 1025, 225, 2);
    let mut out = [0; 2];
    let mut at = |x: f64, y: f64| quantise_scaled(&parameters, &[x, y], 1.0, 1.0, &mut out);
    assert_eq!(at(1000.0, 0.0), ClipOutcome::Added);
    assert_eq!(at(1000.0, 1.0), ClipOutcome::OverBound);
    assert_eq!(at(600.0, -800.0), ClipOutcome::Added);
    assert_eq!(at(601.0, -800.0), ClipOutcome::OverBound);
    assert_eq!(at(1025.0, 0.0), ClipOutcome::OverBound);
    assert_eq!(at(f64::NAN, 0.0), ClipOutcome::OverBound);
}

#[test]
fn any_order_and_any_split_gives_the_same_bits() {
    let parameters = parameters(NORM, BOUND, BOUND / 3, D);
    let mut random = TestRandom(52);
    let mut shoppers: Vec<Vec<f64>> = (0..1_000).map(|i| shopper(i % KINDS, &mut random).0).collect();
    let sum = |shoppers: &[Vec<f64>]| {
        let mut sum = ShopperSum::new(&parameters);
        shoppers.iter().for_each(|shopper| {
            sum.add(shopper);
        });
        sum
    };
    let whole = sum(&shoppers);
    random.shuffle(&mut shoppers);
    let mut parts = ShopperSum::new(&parameters);
    shoppers.chunks(77).for_each(|part| parts.merge(sum(part)));
    assert_eq!(whole.sum, parts.sum);
    assert_ne!(whole.sum[D], 0);
}

/// A gradient in factors says the same about the clip as the written-out one, and keeps the bound too.
#[test]
fn factors_carry_the_coordinate_too() {
    let mut random = TestRandom(53);
    let indicator = BOUND as i64 / 10;
    let mut within = 0;
    for i in 0..2_000 {
        let size = [1e-3, 0.1, 0.3, 10.0, 1e30][i % 5];
        let mut values = |count: usize, size: f64| -> Vec<f32> {
            (0..count).map(|_| (size * random.signed_unit()) as f32).collect()
        };
        let (mut delta, activation) = (values(6, size), values(5, 1.0));
        if i % 97 == 0 {
            delta[3] = f32::NAN;
        }
        let parameters = parameters(0.5, BOUND, BOUND / 10, 36);
        let mut in_factors = ShopperSum::new(&parameters);
        in_factors.scratch.fill(0x5555_5555);
        in_factors.add_outer([OuterGradient { delta: &delta, activation: &activation }].into_iter());
        let products = delta.iter().flat_map(|d| activation.iter().map(|a| f64::from(*d) * f64::from(*a)));
        let written: Vec<f64> = products.chain(delta.iter().map(|d| f64::from(*d))).collect();
        let (expected, _) = alone(&parameters, &written);
        assert_eq!(in_factors.sum[36], expected[36], "{delta:?} {activation:?}");
        let apart = in_factors.sum.iter().zip(&expected).map(|(a, b)| (a - b).abs()).max();
        assert!(apart <= Some(1), "{apart:?}");
        assert!(squares(&in_factors.sum) <= 1 << 40);
        within += u32::from(expected[36] == indicator);
    }
    assert!((500..1_500).contains(&within), "both answers occur: {within}");
}

/// Rounds up at the clip, where the floats decide: never more than B, however often.
#[test]
fn contributions_at_the_clip_stay_within_the_bound() {
    let mut random = TestRandom(54);
    for i in 0..20_000u64 {
        let (norm, indicator) = (10f64.powi((i % 60) as i32 - 30), 1 + i * 50);
        let parameters = parameters(norm, BOUND, indicator, D);
        let direction = with_norm(&mut random, 1.0);
        let stretch = 1.0 + (i % 7) as f64 * 1e-16 - 3e-16;
        let contribution: Vec<f64> = direction.iter().map(|x| x * norm * stretch).collect();
        let mut sum = vec![0; D + 1];
        let (words, outcome) = alone(&parameters, &contribution);
        add_wrapping(&mut sum, &words);
        assert_eq!(outcome, ClipOutcome::Added);
        assert!(squares(&sum) <= 1 << 40, "{i}");
    }
}
