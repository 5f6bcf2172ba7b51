use proptest::prelude::*;

use super::codes::{BLOCK, Codes, QueryCodes, query_code_max};
use super::*;

/// Scores of all, sorted.
fn naive(scores: impl Iterator<Item = f32>, k: usize, allows: impl Fn(u32) -> bool) -> Vec<Scored> {
    let mut all: Vec<Scored> = scores
        .enumerate()
        .map(|(item, score)| Scored { item: item as u32, score })
        .filter(|scored| !scored.score.is_nan() && allows(scored.item))
        .collect();
    all.sort_by(better_first);
    all.truncate(k);
    all
}

fn bits(answer: &[Scored]) -> Vec<(u32, u32)> {
    answer.iter().map(|scored| (scored.item, scored.score.to_bits())).collect()
}

/// A fixed sequence of numbers in (−1, 1), roughly normal.
fn numbers(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    let mut unit = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f32 / (1u64 << 31) as f32
    };
    move || (unit() + unit() + unit() + unit() - 2.0) / 2.0
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        4 => -1.0f32..1.0,
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(0.5),
        1 => prop::num::f32::SUBNORMAL,
        1 => (-1.0f32..1.0).prop_map(|v| v * 1e-20),
        1 => (-1.0f32..1.0).prop_map(|v| v * 1e10),
    ]
}

fn case() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, usize, u32)> {
    (1usize..40, 0usize..90).prop_flat_map(|(width, items)| {
        let vectors = prop::collection::vec(value(), items * width);
        let query = prop::collection::vec(value(), width);
        (Just(width), vectors, query, 0usize..100, 1u32..4)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_answers_as_the_scan_does_bit_for_bit((width, vectors, query, k, step) in case()) {
        let allows = |item: u32| item.is_multiple_of(step);
        let expected = naive(vectors.chunks(width).map(|v| dot(v, &query)), k, allows);
        let index = DotIndex::new(vectors.clone(), width, Precision::Exact).unwrap();
        prop_assert_eq!(bits(&index.top(&query, k, allows).unwrap()), bits(&expected));
    }

    #[test]
    fn every_score_is_within_its_bound((width, vectors, query, ..) in case()) {
        let index = DotIndex::new(vectors.clone(), width, Precision::Exact).unwrap();
        for item in 0..index.items() {
            let exact = dot(&vectors[item * width..(item + 1) * width], &query);
            let (least, most) = index.range(item, &query);
            prop_assert!(least <= exact && exact <= most, "item {}: {} {} {}", item, least, exact, most);
        }
    }

    #[test]
    fn the_best_of_scores_are_those_of_a_sort(
        scores in prop::collection::vec(prop_oneof![
            8 => -4i8..4, 1 => Just(100i8), 1 => Just(101)
        ], 0..200),
        k in 0usize..70,
        step in 1u32..4,
    ) {
        // Many ties, some that are no numbers, both zeros, both infinities.
        let scores: Vec<f32> = scores.iter().map(|s| match s {
            100 => f32::NAN,
            101 => -0.0,
            3 => f32::INFINITY,
            -4 => f32::NEG_INFINITY,
            other => f32::from(*other),
        }).collect();
        let allows = |item: u32| item % step != 1;
        prop_assert_eq!(
            bits(&best_of_scores(&scores, k, allows)),
            bits(&naive(scores.iter().copied(), k, allows))
        );
    }
}

#[test]
fn thousands_of_items_and_every_k() {
    let (items, width) = (5_003, 64);
    let mut next = numbers(3);
    let vectors: Vec<f32> = (0..items * width).map(|_| next()).collect();
    let index = DotIndex::new(vectors.clone(), width, Precision::Exact).unwrap();
    for k in [1, 10, 100, 5_003, 9_000] {
        let query: Vec<f32> = (0..width).map(|_| next()).collect();
        let expected = naive(vectors.chunks(width).map(|v| dot(v, &query)), k, |_| true);
        assert_eq!(bits(&index.top(&query, k, |_| true).unwrap()), bits(&expected), "k {k}");
    }
}

#[test]
fn few_candidates_are_scored_exactly() {
    let (items, width) = (4_000, 64);
    let mut next = numbers(7);
    let vectors: Vec<f32> = (0..items * width).map(|_| next()).collect();
    let query: Vec<f32> = (0..width).map(|_| next()).collect();
    let index = DotIndex::new(vectors, width, Precision::Exact).unwrap();
    let found = index.candidates(&query, 10);
    assert!((10..60).contains(&found), "{found} candidates for 10 answers: the bound is too wide");
}

#[test]
fn codes_alone_find_nearly_the_same() {
    let (items, width) = (3_000, 64);
    let mut next = numbers(11);
    let vectors: Vec<f32> = (0..items * width).map(|_| next()).collect();
    let exact = DotIndex::new(vectors.clone(), width, Precision::Exact).unwrap();
    let coded = DotIndex::new(vectors, width, Precision::Int8).unwrap();
    let mut same = 0;
    for _ in 0..50 {
        let query: Vec<f32> = (0..width).map(|_| next()).collect();
        let right = exact.top(&query, 10, |_| true).unwrap();
        let found = coded.top(&query, 10, |_| true).unwrap();
        assert_eq!(found.len(), 10);
        same += found.iter().filter(|f| right.iter().any(|r| r.item == f.item)).count();
    }
    assert!(same >= 475, "{same} of 500 found");
    assert!(same < 500, "codes alone lose something: {same}; is this the exact mode?");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn vector_instructions_and_the_plain_loop_agree_to_the_bit() {
    let Some(simd) = pulp::x86::V3::try_new() else { return };
    for width in [1, 2, 63, 64, 4_096] {
        let mut codes = Codes::new(width, 2 * BLOCK);
        let most = query_code_max(width) as i16;
        for item in 0..2 * BLOCK {
            for dimension in 0..width {
                // The first item has the greatest codes there are, in one direction.
                let code =
                    if item == 0 { 127 } else { ((item * 31 + dimension * 17) % 255) as i16 as i32 - 127 };
                codes.set(item, dimension, code as i8);
            }
        }
        let query = QueryCodes::new(&vec![most; width]);
        for block in 0..codes.blocks() {
            assert_eq!(codes.sums(block, &query), codes.sums_v3(simd, block, &query));
        }
        let greatest = i64::from(most) * 127 * width as i64;
        assert_eq!(i64::from(codes.sums(0, &query)[0]), greatest, "no overflow at width {width}");
    }
}

#[test]
fn vectors_and_queries_that_are_no_numbers_are_refused_without_their_values() {
    let refused =
        |vectors: Vec<f32>, width| DotIndex::new(vectors, width, Precision::Exact).err().unwrap().to_string();
    assert!(refused(vec![1.0, f32::NAN], 1).contains("vector 1"));
    assert!(refused(vec![f32::INFINITY], 1).contains("no finite number at 0"));
    assert!(refused(vec![3e38, 3e38], 2).contains("a longer one"));
    assert!(refused(vec![1.0; 3], 2).contains("a multiple of 2"));
    assert!(refused(vec![], 0).contains("width"));
    let index = DotIndex::new(vec![1.0, 2.0], 2, Precision::Exact).unwrap();
    for query in [vec![1.0], vec![f32::NAN, 1.0], vec![2e15, 1.0]] {
        let error = index.top(&query, 1, |_| true).unwrap_err();
        assert_eq!(error.place, "query", "{error}");
    }
    let empty = DotIndex::new(vec![], 3, Precision::Exact).unwrap();
    assert_eq!(empty.top(&[1.0, 2.0, 3.0], 5, |_| true).unwrap(), []);
}
