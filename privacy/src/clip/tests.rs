use guildhall_shared::job::ClippingSpec;

use super::*;
use crate::parameter::BOUND_MAX;
use crate::test_environment::TestRandom;

pub(super) const D: usize = 37;
pub(super) const NORM: f64 = 0.6;

fn parameters(norm_l2: f64, bound: u64, d: usize) -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2, bound }, d).expect("legal")
}

pub(super) fn squares(vector: &[i64]) -> u128 {
    vector.iter().map(|z| u128::from(z.unsigned_abs()).pow(2)).sum()
}

pub(super) fn difference(a: &[i64], b: &[i64]) -> Vec<i64> {
    a.iter().zip(b).map(|(a, b)| a.wrapping_sub(*b)).collect()
}

fn alone(parameters: &ClippingParameters, contribution: &[f64]) -> (Vec<i64>, ClipOutcome) {
    let mut sum = ShopperSum::new(parameters);
    let outcome = sum.add(contribution);
    (sum.sum.to_vec(), outcome)
}

/// A vector of the given norm, give or take a rounding.
pub(super) fn with_norm(random: &mut TestRandom, norm: f64) -> Vec<f64> {
    let direction: Vec<f64> = (0..D).map(|_| random.signed_unit()).collect();
    let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    direction.iter().map(|x| x * (norm / length)).collect()
}

pub(super) const KINDS: usize = 18;

/// One shopper of a kind, and the outcome it must have where that is certain.
pub(super) fn shopper(kind: usize, random: &mut TestRandom) -> (Vec<f64>, ClipOutcome) {
    use ClipOutcome::{Added, NonFinite};
    let grid = NORM / (1u64 << 20) as f64;
    let spoil = |mut vector: Vec<f64>, value: f64, at: usize| {
        vector[at] = value;
        vector
    };
    let at = random.below(D);
    let ordinary = with_norm(random, NORM * 0.9);
    match kind {
        0 => (ordinary, Added),
        1 => (with_norm(random, NORM * 50.0), Added),
        2 => (with_norm(random, NORM * (1.0 + 1e-12)), Added),
        3 => (with_norm(random, NORM).iter().map(|x| x.next_up()).collect(), Added),
        4 => (vec![NORM / (D as f64).sqrt(); D], Added),
        5 => (vec![-(NORM / (D as f64).sqrt()).next_up(); D], Added),
        6 => ((0..D).map(|_| random.signed_unit() * f64::MAX).collect(), Added),
        7 => (vec![f64::MAX; D], Added),
        8 => (spoil(ordinary, f64::MIN, at), Added),
        9 => ((0..D).map(|_| random.signed_unit() * 1e160).collect(), Added),
        10 => ((0..D).map(|_| random.signed_unit() * 1e-300).collect(), Added),
        11 => (vec![f64::from_bits(1 + random.below(1000) as u64); D], Added),
        12 => (vec![-0.0; D], Added),
        13 => (vec![], Added),
        14 => ((0..D).map(|_| (random.below(2000) as f64 - 1000.5) * grid).collect(), Added),
        15 => (spoil(ordinary, f64::NAN, at), NonFinite),
        16 => (spoil(vec![f64::MAX; D], f64::INFINITY, at), NonFinite),
        _ => (spoil(ordinary, f64::NEG_INFINITY, at), NonFinite),
    }
}

/// The claim's first link, on 10^5 random and hostile shoppers: leaving out any one changes the integer sum by a
/// vector of norm at most B, in exact arithmetic, and that vector is the same whoever else is there.
#[test]
fn leaving_out_any_shopper_moves_the_sum_by_at_most_the_bound() {
    let parameters = parameters(NORM, 1 << 20, D);
    let mut random = TestRandom(1);
    let shoppers: Vec<(Vec<f64>, ClipOutcome)> =
        (0..100_000).map(|i| shopper(i % KINDS, &mut random)).collect();
    // suffix[i] = the sum over shoppers i.., so prefix(..i) merged with suffix[i + 1] leaves out exactly i.
    let mut suffix = vec![vec![0i64; D]; shoppers.len() + 1];
    let mut running = ShopperSum::new(&parameters);
    for (i, (contribution, _)) in shoppers.iter().enumerate().rev() {
        running.add(contribution);
        suffix[i] = running.sum.to_vec();
    }
    let mut prefix = ShopperSum::new(&parameters);
    let mut largest = 0;
    for (i, (contribution, expected)) in shoppers.iter().enumerate() {
        let mut without = prefix.sum.to_vec();
        add_wrapping(&mut without, &suffix[i + 1]);
        let moved = difference(&suffix[0], &without);
        let (own, outcome) = alone(&parameters, contribution);
        assert_eq!(outcome, *expected, "shopper {i} of kind {}", i % KINDS);
        assert_eq!(moved, own, "shopper {i}: its integers depend on the others");
        assert!(squares(&moved) <= 1 << 40, "shopper {i}: moves the sum by more than B");
        largest = largest.max(squares(&moved));
        prefix.add(contribution);
    }
    assert_eq!(*prefix.sum, suffix[0]);
    assert!(largest > (1 << 40) - (1 << 24), "the clip is reached, so the bound is tested: {largest}");
}

#[test]
fn any_order_and_any_split_gives_the_same_bits() {
    let parameters = parameters(NORM, 1 << 20, D);
    let mut random = TestRandom(2);
    let mut shoppers: Vec<Vec<f64>> = (0..3_000).map(|i| shopper(i % KINDS, &mut random).0).collect();
    let mut whole = ShopperSum::new(&parameters);
    shoppers.iter().for_each(|s| {
        whole.add(s);
    });
    random.shuffle(&mut shoppers);
    let mut parts = ShopperSum::new(&parameters);
    for part in shoppers.chunks(701) {
        let mut sum = ShopperSum::new(&parameters);
        part.iter().for_each(|s| {
            sum.add(s);
        });
        parts.merge(sum);
    }
    let ((whole, whole_tally), (parts, parts_tally)) = (whole.finish(), parts.finish());
    assert_eq!(whole.integers(), parts.integers());
    assert_eq!(whole_tally, parts_tally);
    assert_eq!(whole_tally, ClipTally { added: 2502, non_finite: 498, over_bound: 0 });
}

#[test]
fn huge_finite_contributions_are_scaled_to_the_clip_not_dropped() {
    let parameters = parameters(NORM, 1 << 20, D);
    for size in [1.0, 1e3, 1e150, 1e154, 1e160, 1e300, f64::MAX] {
        let (z, outcome) = alone(&parameters, &vec![-size; D]);
        assert_eq!(outcome, ClipOutcome::Added, "{size}");
        let norm = (squares(&z) as f64).sqrt();
        assert!(norm > (1 << 20) as f64 - (D as f64).sqrt(), "{size}: {norm}");
        assert!(z.iter().all(|x| *x == z[0] && *x < 0), "{size}");
    }
}

#[test]
fn extreme_grids_work() {
    for norm in [1e-100, 1e-30, 1e30, 1e100] {
        let parameters = parameters(norm, 1 << 20, 3);
        for size in [1e-310, 1e-60, 1e60, 1e300] {
            let (z, outcome) = alone(&parameters, &[size, -size, 0.0]);
            assert_eq!(outcome, ClipOutcome::Added, "clip {norm}, contribution {size}");
            assert!(squares(&z) <= 1 << 40);
            assert_eq!(z[0] > 700_000, size > norm, "clip {norm}, contribution {size}: {z:?}");
        }
    }
}

#[test]
fn halves_round_to_even_and_nothing_else_changes_a_small_contribution() {
    let parameters = parameters(1.0, 1 << 20, 8);
    let step = parameters.grid();
    let contribution = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.5f64.next_up(), -7.25].map(|x| x * step);
    assert_eq!(alone(&parameters, &contribution).0, [0, 2, 2, 0, -2, -2, 1, -7]);
}

#[test]
fn rounding_is_the_standard_librarys() {
    let mut random = TestRandom(3);
    for i in 0..200_000 {
        let magnitude = 2f64.powi(i % 52 - 1);
        let value = random.signed_unit() * magnitude;
        let (integer, float) = round(value);
        assert_eq!(float, value.round_ties_even(), "{value}");
        assert_eq!(integer as f64, float, "{value}");
    }
}

/// The float comparison against exact arithmetic, with clips and scales chosen so that both answers are common.
#[test]
fn the_bound_is_checked_exactly() {
    let mut random = TestRandom(4);
    let mut refused = 0;
    for i in 0..20_000 {
        let bound = [1 << 10, 12_345, 1 << 20, BOUND_MAX][i % 4];
        let d = 1 + random.below(200);
        let parameters = parameters(1.0, bound, d);
        let contribution: Vec<f64> = (0..d).map(|_| random.signed_unit()).collect();
        let root = (d as f64 / 3.0).sqrt();
        let factor = [1.0, 1.0 + 1e-6, 1e3, 1e9, 1e250][i % 5] * (0.99 + 0.02 * random.signed_unit()) / root;
        let mut out = vec![0; d];
        let outcome = quantise_scaled(&parameters, &contribution, bound as f64, factor, &mut out);
        let exact: Option<u128> = contribution.iter().try_fold(0u128, |sum, g| {
            let z = (g * bound as f64 * factor).round_ties_even();
            (z.abs() < 1e15).then(|| sum + (z.abs() as u128).pow(2))
        });
        let within = exact.is_some_and(|squares| squares <= u128::from(bound).pow(2));
        assert_eq!(outcome, if within { ClipOutcome::Added } else { ClipOutcome::OverBound }, "case {i}");
        refused += u32::from(!within);
        if within {
            assert_eq!(squares(&out), exact.expect("within"));
        }
    }
    assert!((5_000..19_000).contains(&refused), "both answers occur: {refused}");
}

#[test]
fn one_step_over_the_bound_is_over() {
    let parameters = parameters(1.0, 1 << 10, 2);
    let mut out = [0; 2];
    let at = |x: f64, y: f64, out: &mut [i64]| quantise_scaled(&parameters, &[x, y], 1.0, 1.0, out);
    assert_eq!(at(1024.0, 0.0, &mut out), ClipOutcome::Added);
    assert_eq!(at(1024.0, 1.0, &mut out), ClipOutcome::OverBound);
    assert_eq!(at(f64::NAN, 0.0, &mut out), ClipOutcome::OverBound);
    assert_eq!(at(f64::INFINITY, 0.0, &mut out), ClipOutcome::OverBound);
    assert_eq!(at(9.007_199_254_740_993e15, 0.0, &mut out), ClipOutcome::OverBound);
}

#[test]
#[should_panic(expected = "one value for each parameter")]
fn a_contribution_of_another_length_is_a_mistake() {
    ShopperSum::new(&parameters(1.0, 1 << 20, 3)).add(&[1.0; 4]);
}
