use super::*;
use crate::serve::top_k::{DotIndex, Precision};

/// Items 0 to 5; 1, 3 and 4 are in the matrix.
fn item_item() -> ItemItemRanker {
    let weights = vec![
        0.0, 0.5, -0.25, //
        0.125, 0.0, 0.75, //
        0.0, 0.25, 0.0,
    ];
    ItemItemRanker::new(vec![1, 3, 4], weights, vec![8.0, 1.0, 4.0, 2.0, 0.0, 2.0], 0.001).unwrap()
}

fn numbers_of(ranked: &Ranked) -> Vec<u32> {
    ranked.items.iter().map(|scored| scored.item).collect()
}

#[test]
fn item_item_scores_are_sums_of_rows_and_popularity_orders_the_rest() {
    let ranker = item_item();
    let mut scores = vec![9.0; 6];
    // A repeated item counts once; item 0 has no row.
    ranker.scores(&[3, 0, 1, 3], &mut scores);
    let expected = [0.001, 0.125 + 0.000_125, 0.0005, 0.5 + 0.000_25, 0.5, 0.000_25];
    for (found, expected) in scores.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-7, "{scores:?}");
    }
    let ranked = ranker.top(&[3, 1], 6, Eligible { excluded: &[1, 3], filter: None });
    assert_eq!((numbers_of(&ranked), ranked.basis), (vec![4, 0, 2, 5], Basis::History));
}

#[test]
fn a_history_the_model_cannot_read_is_answered_by_popularity_and_says_so() {
    let ranker = item_item();
    for history in [&[][..], &[0, 2, 5]] {
        let ranked = ranker.top(history, 3, Eligible { excluded: &[0], filter: None });
        assert_eq!((numbers_of(&ranked), ranked.basis), (vec![2, 3, 5], Basis::Popularity));
    }
    let alone = ItemItemRanker::by_popularity(vec![1.0, 3.0, 2.0]).unwrap();
    let ranked = alone.top(&[0, 1, 2], 2, Eligible::ALL);
    assert_eq!((numbers_of(&ranked), ranked.basis), (vec![1, 2], Basis::Popularity));
    assert_eq!(ranker.most_similar(2, 1, Eligible::ALL).basis, Basis::Popularity);
}

#[test]
fn reasons_name_items_of_the_history_and_add_up_to_the_score() {
    let ranker = item_item();
    let history = [4, 1, 0];
    let reasons = ranker.reasons(&history, 3);
    assert_eq!((reasons.kind, reasons.items), (ReasonKind::Contribution, vec![(1, 0.5), (4, 0.25)]));
    let mut scores = vec![0.0; 6];
    ranker.scores(&history, &mut scores);
    let popularity = 0.000_25;
    assert!((scores[3] - (0.75 + popularity)).abs() < 1e-7);
    // What speaks against an item is no reason for it, and an item without a column has none.
    assert_eq!(ranker.reasons(&[1], 4).items, []);
    assert_eq!(ranker.reasons(&[1], 0).items, []);
}

#[test]
fn filters_and_exclusions_hold() {
    let filter = [true, false, true, true, false, false];
    let eligible = Eligible { excluded: &[0, 3], filter: Some(&filter) };
    let allowed: Vec<u32> = (0..8).filter(|item| eligible.allows(*item)).collect();
    assert_eq!(allowed, [2]);
    assert_eq!(numbers_of(&item_item().top(&[1], 6, eligible)), [2]);
}

fn mean_ranker(precision: Precision) -> DotRanker {
    let vectors: Vec<f32> = vec![1.0, 0.0, 0.0, 2.0, 3.0, 3.0, -1.0, 0.0, 0.0, 0.0];
    let index = DotIndex::new(vectors.clone(), 2, precision).unwrap();
    let mean = move |history: &[u32], out: &mut [f32]| {
        for item in history {
            out[0] += vectors[2 * *item as usize];
            out[1] += vectors[2 * *item as usize + 1];
        }
    };
    DotRanker::new(index, Box::new(mean), vec![1.0, 5.0, 2.0, 3.0, 4.0]).unwrap()
}

#[test]
fn the_fast_path_answers_as_scores_do() {
    let ranker = mean_ranker(Precision::Exact);
    for history in [&[0][..], &[0, 1], &[3], &[4], &[2, 3]] {
        let mut scores = vec![0.0; 5];
        ranker.scores(history, &mut scores);
        let slow = best_of_scores(&scores, 3, |item| item != 2);
        let fast = ranker.top(history, 3, Eligible { excluded: &[2], filter: None });
        assert_eq!((fast.items, fast.basis), (slow, Basis::History));
    }
    assert_eq!(numbers_of(&ranker.top(&[], 2, Eligible::ALL)), [1, 4]);
}

#[test]
fn similar_items_are_those_in_the_same_direction() {
    for precision in [Precision::Exact, Precision::Int8] {
        let ranker = mean_ranker(precision);
        let mut cosines = vec![0.0; 5];
        ranker.similar(0, &mut cosines);
        for (found, expected) in cosines.iter().zip([1.0, 0.0, 0.5f32.sqrt(), -1.0, 0.0]) {
            assert!((found - expected).abs() < 0.01, "{cosines:?}");
        }
        let reasons = ranker.reasons(&[1, 0, 3, 0], 2);
        assert_eq!(reasons.kind, ReasonKind::Similarity);
        assert_eq!(reasons.items.iter().map(|(item, _)| *item).collect::<Vec<_>>(), [0, 1]);
    }
}

#[test]
fn an_encoder_that_gives_no_numbers_is_answered_by_popularity() {
    let index = DotIndex::new(vec![1.0, 2.0], 1, Precision::Exact).unwrap();
    let broken = |_: &[u32], out: &mut [f32]| out.fill(f32::NAN);
    let ranker = DotRanker::new(index, Box::new(broken), vec![]).unwrap();
    let ranked = ranker.top(&[1], 2, Eligible::ALL);
    assert_eq!((numbers_of(&ranked), ranked.basis), (vec![0, 1], Basis::Popularity));
    let mut scores = vec![0.0; 2];
    ranker.scores(&[1], &mut scores);
    assert_eq!(best_of_scores(&scores, 2, |_| true), []);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let refused = |result: Result<ItemItemRanker, RankerError>| result.err().unwrap().what;
    assert_eq!(refused(ItemItemRanker::new(vec![], vec![], vec![], 0.0)), "popularity");
    assert_eq!(refused(ItemItemRanker::new(vec![], vec![], vec![f32::NAN], 0.0)), "popularity");
    assert_eq!(refused(ItemItemRanker::new(vec![1], vec![0.0], vec![1.0], 0.0)), "kept");
    assert_eq!(refused(ItemItemRanker::new(vec![1, 0], vec![0.0; 4], vec![1.0; 2], 0.0)), "kept");
    assert_eq!(refused(ItemItemRanker::new(vec![0], vec![0.0; 2], vec![1.0], 0.0)), "weights");
    assert_eq!(refused(ItemItemRanker::new(vec![0], vec![f32::NAN], vec![1.0], 0.0)), "weights");
    assert_eq!(refused(ItemItemRanker::new(vec![0], vec![0.0], vec![1.0], f32::NAN)), "backoff");
    let index = DotIndex::new(vec![1.0, 2.0], 1, Precision::Exact).unwrap();
    let nothing = |_: &[u32], _: &mut [f32]| {};
    assert!(DotRanker::new(index, Box::new(nothing), vec![1.0]).is_err());
}
