use guildhall_shared::job::{AdaptiveClip, ClippingSpec, JobSpec};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::Task;
use proptest::prelude::*;

use super::super::tests::{D, KINDS, shopper, squares};
use super::*;
use crate::parameter::ClippingParameters;
use crate::test_environment::{TabularJob, TestRandom};

fn parameters(norm_l2: f64, d: usize) -> ClippingParameters {
    ClippingParameters::new(&ClippingSpec { norm_l2, bound: 1 << 20 }, d).expect("legal")
}

fn adaptive(norm_l2: f64, d: usize) -> ClippingParameters {
    let rule = AdaptiveClip { indicator: 1 << 18, quantile: 0.5, rate: 0.2, norm_min: 1e-30, norm_max: 1e30 };
    let job = JobSpec {
        task: Task::Dummy { parameters: d },
        architecture: Architecture::Vector,
        clipping: ClippingSpec { norm_l2, bound: 1 << 20 },
        adaptive_clip: Some(rule),
        ..TabularJob::default().spec()
    };
    ClippingParameters::of_round(&job, &ModelState::initial(&job)).expect("legal")
}

type Blocks = Vec<(usize, Vec<f64>)>;

fn borrowed(blocks: &Blocks) -> impl Iterator<Item = SparseBlock<'_>> + Clone {
    blocks.iter().map(|(start, values)| SparseBlock { start: *start, values })
}

fn written_out(blocks: &Blocks, d: usize) -> Vec<f64> {
    let mut all = vec![0.0; d];
    blocks.iter().for_each(|(start, values)| all[*start..start + values.len()].copy_from_slice(values));
    all
}

/// What the two ways make of one shopper on top of what was there: the sum with the extra word, and the outcome.
fn both(parameters: &ClippingParameters, blocks: &Blocks) -> [(Vec<i64>, ClipOutcome); 2] {
    let (mut sparse, mut dense) = (ShopperSum::new(parameters), ShopperSum::new(parameters));
    // Whatever an earlier shopper left in the scratch must not be added.
    sparse.scratch.fill(0x5555_5555);
    let outcomes =
        [sparse.add_sparse(borrowed(blocks)), dense.add(&written_out(blocks, parameters.parameters()))];
    assert_eq!(sparse.tally, dense.tally);
    [(sparse.sum.to_vec(), outcomes[0]), (dense.sum.to_vec(), outcomes[1])]
}

/// Blocks of a vector: its values at random, ascending, disjoint places.
fn cut(vector: &[f64], random: &mut TestRandom) -> Blocks {
    let mut blocks = vec![];
    let mut at = random.below(5);
    while at < vector.len() {
        let end = (at + random.below(12)).min(vector.len());
        blocks.push((at, vector[at..end].to_vec()));
        at = end + random.below(4);
    }
    blocks
}

#[test]
fn blocks_equal_the_vector_written_out_bit_for_bit() {
    let constant = parameters(0.6, D);
    let mut random = TestRandom(1);
    let mut seen = [0; 2];
    for i in 0..20_000 {
        let blocks = cut(&shopper(i % KINDS, &mut random).0, &mut random);
        if blocks.is_empty() {
            continue;
        }
        let [sparse, dense] = both(&constant, &blocks);
        assert_eq!(sparse, dense, "case {i}");
        assert!(squares(&sparse.0) <= 1 << 40, "case {i}");
        seen[usize::from(sparse.1 == ClipOutcome::Added)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 500), "{seen:?}");
}

#[test]
fn lengths_around_the_vector_width_agree_too() {
    let mut random = TestRandom(2);
    for d in 1..60 {
        let parameters = parameters(1.0, d);
        for _ in 0..40 {
            let size = [1e-3, 1.0, 1e160][random.below(3)];
            let vector: Vec<f64> = (0..d).map(|_| random.signed_unit() * size).collect();
            let blocks = cut(&vector, &mut random);
            if !blocks.is_empty() {
                let [sparse, dense] = both(&parameters, &blocks);
                assert_eq!(sparse, dense, "{d}");
            }
        }
    }
}

#[test]
fn the_extra_coordinate_of_a_clip_that_adapts_is_the_same() {
    let clip = adaptive(0.6, D);
    let mut random = TestRandom(3);
    let mut signs = [0; 2];
    for i in 0..5_000 {
        let blocks = cut(&shopper(i % KINDS, &mut random).0, &mut random);
        if blocks.is_empty() {
            continue;
        }
        let [sparse, dense] = both(&clip, &blocks);
        assert_eq!(sparse, dense, "case {i}");
        assert_eq!(sparse.0.len(), D + 1);
        signs[usize::from(sparse.0[D] > 0)] += 1;
    }
    assert!(signs.iter().all(|n| *n > 500), "{signs:?}");
}

#[test]
fn an_index_that_comes_twice_adds_zero_and_is_counted() {
    let parameters = parameters(1.0, 8);
    let half = vec![0.5; 3];
    for blocks in [
        vec![(2, half.clone()), (2, half.clone())],
        vec![(2, half.clone()), (4, half.clone())],
        vec![(4, half.clone()), (0, half.clone())],
        vec![(6, half.clone())],
        vec![(8, vec![0.5])],
        vec![(usize::MAX, half.clone())],
    ] {
        let mut sum = ShopperSum::new(&parameters);
        assert_eq!(sum.add_sparse(borrowed(&blocks)), ClipOutcome::OverBound, "{blocks:?}");
        assert_eq!((sum.tally.added, sum.tally.over_bound), (0, 1));
        assert!(sum.sum.iter().all(|word| *word == 0));
    }
    let clip = adaptive(0.6, 8);
    let mut sum = ShopperSum::new(&clip);
    sum.add_sparse(borrowed(&vec![(2, half.clone()), (2, half)]));
    let beta = clip.indicator().expect("adapts") as i64;
    assert_eq!(sum.sum.to_vec(), [0, 0, 0, 0, 0, 0, 0, 0, -beta]);
}

#[test]
fn no_block_is_a_shopper_without_rows() {
    let clip = adaptive(0.6, 8);
    let mut sum = ShopperSum::new(&clip);
    assert_eq!(sum.add_sparse(std::iter::empty()), ClipOutcome::Added);
    assert_eq!((sum.tally.added, sum.sum.to_vec()), (1, vec![0; 9]));
}

proptest! {
    #[test]
    fn any_blocks_agree_with_the_vector_written_out_and_stay_within_the_bound(
        gaps in proptest::collection::vec((0usize..9, proptest::collection::vec(
            prop_oneof![8 => -3.0..3.0f64, 1 => any::<f64>(), 1 => Just(0.0)], 0..20)), 1..12),
        tail in 0usize..9,
        norm in prop_oneof![Just(0.01), Just(1.0), Just(50.0)],
    ) {
        let (mut at, mut blocks) = (0, vec![]);
        for (gap, values) in gaps {
            at += gap;
            blocks.push((at, values.clone()));
            at += values.len();
        }
        let parameters = parameters(norm, (at + tail).max(1));
        let [sparse, dense] = both(&parameters, &blocks);
        prop_assert_eq!(&sparse, &dense);
        prop_assert!(squares(&sparse.0) <= 1 << 40);
    }
}
