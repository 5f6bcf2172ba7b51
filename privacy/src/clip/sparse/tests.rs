use guildhall_shared::job::{AdaptiveClip, ClippingSpec, JobSpec};
use guildhall_shared::model_state::ModelState;

use crate::clip::tests::squares;
use crate::clip::{ClipOutcome, ShopperSum};
use crate::parameter::ClippingParameters;
use crate::test_environment::{TabularJob, TestRandom};

const D: usize = 501;

fn parameters() -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2: 0.7, bound: 1 << 20 }, D).expect("legal")
}

/// Ascending places and values, some of them huge, zero or not finite.
fn shopper(random: &mut TestRandom) -> (Vec<u32>, Vec<f64>) {
    let share = random.below(60);
    let size = [1e-9, 1e-3, 1.0, 1e6, 1e200, 1e308][random.below(6)];
    let indices: Vec<u32> = (0..D as u32).filter(|_| random.below(60) < share).collect();
    let odd = random.below(40);
    let value = |place: usize, random: &mut TestRandom| match (place, odd) {
        (0, 0) => f64::NAN,
        (1, 1) => f64::INFINITY,
        _ => size * random.signed_unit(),
    };
    let values = (0..indices.len()).map(|place| value(place, random)).collect();
    (indices, values)
}

fn written_out(indices: &[u32], values: &[f64]) -> Vec<f64> {
    let mut dense = vec![0.0; D];
    indices.iter().zip(values).for_each(|(index, value)| dense[*index as usize] = *value);
    dense
}

/// Whatever a step did to the scratch must not be added, and no float may differ by more than the order of an addition does.
#[test]
fn a_sparse_contribution_is_the_dense_one() {
    let mut random = TestRandom(5);
    let (mut sparse, mut moved) = (ShopperSum::new(&parameters()), 0);
    for _ in 0..2_000 {
        let (indices, values) = shopper(&mut random);
        let before = sparse.sum.to_vec();
        sparse.scratch.fill(0x5555_5555);
        let outcome = sparse.add_sparse(&indices, &values);
        let mut dense = ShopperSum::new(&parameters());
        let expected = match values.is_empty() {
            true => ClipOutcome::Added,
            false => dense.add(&written_out(&indices, &values)),
        };
        assert_eq!(outcome, expected);
        let added: Vec<i64> = sparse.sum.iter().zip(&before).map(|(a, b)| a.wrapping_sub(*b)).collect();
        assert!(squares(&added) <= 1 << 40);
        for (index, (found, expected)) in added.iter().zip(dense.sum.iter()).enumerate() {
            assert!((found - expected).abs() <= 1, "{index}: {found} {expected}");
            assert!(*found == 0 || indices.binary_search(&(index as u32)).is_ok());
        }
        moved += usize::from(added.iter().any(|z| *z != 0));
    }
    assert!(moved > 1_000, "{moved}");
}

#[test]
fn indices_that_repeat_or_go_back_or_too_far_add_nothing() {
    let mut sum = ShopperSum::new(&parameters());
    for indices in [[3, 3, 4], [4, 3, 5], [3, 4, D as u32], [0, 0, 0]] {
        assert_eq!(sum.add_sparse(&indices, &[0.5; 3]), ClipOutcome::NonFinite);
    }
    assert!(sum.sum.iter().all(|z| *z == 0));
    assert_eq!(sum.tally.non_finite, 4);
    assert_eq!(sum.add_sparse(&[], &[]), ClipOutcome::Added);
    assert_eq!(sum.add_sparse(&[0, D as u32 - 1], &[0.1, -0.1]), ClipOutcome::Added);
    assert_eq!(sum.sum[0], -sum.sum[D - 1]);
    assert!(sum.sum[0] > 0);
}

#[test]
fn where_the_clip_adapts_every_shopper_with_rows_says_so() {
    let rule = AdaptiveClip { indicator: 1 << 18, quantile: 0.5, rate: 0.2, norm_min: 0.1, norm_max: 9.0 };
    let job = JobSpec { adaptive_clip: Some(rule), ..TabularJob::default().spec() };
    let parameters = ClippingParameters::of_round(&job, &ModelState::initial(&job)).expect("legal");
    let mut sum = ShopperSum::new(&parameters);
    let mut said = |indices: &[u32], values: &[f64]| {
        let before = sum.sum.last().copied().expect("a word");
        sum.add_sparse(indices, values);
        sum.sum.last().copied().expect("a word") - before
    };
    let norm = parameters.norm_l2();
    assert_eq!(said(&[0], &[norm / 2.0]), 1 << 18);
    assert_eq!(said(&[0], &[norm * 2.0]), -(1 << 18));
    assert_eq!(said(&[0], &[f64::NAN]), -(1 << 18));
    assert_eq!(said(&[1, 1], &[0.0, 0.0]), -(1 << 18));
    assert_eq!(said(&[], &[]), 0);
}
