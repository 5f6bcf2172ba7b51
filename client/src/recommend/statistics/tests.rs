use guildhall_shared::model_spec::ItemRanking;

use super::*;
use crate::data::observations::ShopperKey;

fn model(items: usize, items_kept: usize) -> ItemStatistics {
    ItemStatistics {
        items,
        items_kept,
        popularity_items: 4,
        cooccurrence_pairs: 9,
        diagonal: Diagonal::Cooccurrence,
        ranking: ItemRanking::Popularity,
    }
}

fn indices(model: &ItemStatistics, weights: &[f64], items: &[u32]) -> Vec<u32> {
    let (mut items, mut indices) = (items.to_vec(), vec![7]);
    Stage::next(model, weights).indices(model, &mut items, &mut indices);
    indices
}

#[test]
fn first_the_items_then_the_pairs_of_those_kept() {
    let model = model(5, 3);
    let mut weights = vec![0.0; 5 + 6];
    assert_eq!(indices(&model, &weights, &[4, 1, 4, 9]), [1, 4]);
    // Kept: 4, 2, 0 in this order; the triangle is (4,4) (4,2) (4,0) (2,2) (2,0) (0,0).
    weights[..5].copy_from_slice(&[0.1, -0.2, 0.3, 0.0, 0.9]);
    assert_eq!(indices(&model, &weights, &[0, 4]), [5, 5 + 2, 5 + 5]);
    assert_eq!(indices(&model, &weights, &[2, 4, 0, 2, 3, 1]), [5, 6, 7, 8, 9, 10]);
    let pairs = ItemStatistics { diagonal: Diagonal::Popularity, ..model.clone() };
    assert_eq!(indices(&pairs, &weights, &[2, 4, 0, 2, 3, 1]), [6, 7, 9]);
    assert_eq!(indices(&model, &weights, &[3, 1]), [0u32; 0]);
    assert_eq!(indices(&model, &weights, &[]), [0u32; 0]);
}

#[test]
fn a_triangle_is_numbered_row_by_row() {
    for size in 1..8 {
        let places: Vec<usize> = (0..size)
            .flat_map(|row| (row..size).map(move |column| triangle_row(row, size) + column - row))
            .collect();
        assert_eq!(places, (0..size * (size + 1) / 2).collect::<Vec<_>>());
    }
}

#[test]
fn popularity_breaks_ties_by_number() {
    assert_eq!(most_popular(&[1.0, 3.0, 3.0, -1.0, 1.0], 4), [1, 2, 0, 4]);
}

#[test]
fn a_merchants_own_statistics_by_hand() {
    let mut sequences = Sequences::default();
    sequences.push(ShopperKey([1; 16]), &[0, 2, 0]);
    sequences.push(ShopperKey([2; 16]), &[2, 1, 77]);
    let own = Statistics::local(3, vec![2, 0], &sequences);
    assert_eq!(own.popularity, [1.0, 1.0, 2.0]);
    assert_eq!(own.cooccurrence, [2.0, 1.0, 1.0, 1.0]);
    assert_eq!(Statistics::popular(4, &sequences, 9), [2, 0, 1]);
}
