//! Nearest items by the shoppers two items share. [core]

use super::Statistics;

/// How alike two items are, given the shoppers of both, of the one and of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Similarity {
    /// both / √(one · other).
    Cosine,
    /// both / (one + other − both).
    Jaccard,
}

/// The weights of the `neighbours` nearest items of every item; all others are zero.
///
/// # Units
/// `shrinkage` in shoppers, added to the denominator. Counts that noise made negative are zero.
///
/// # Shapes
/// M × M row-major: row the item a shopper has, column the item that is scored. `neighbours` are kept per column.
pub fn weights(
    statistics: &Statistics,
    similarity: Similarity,
    neighbours: usize,
    shrinkage: f64,
) -> Vec<f32> {
    let size = statistics.size();
    let count = |row: usize, column: usize| statistics.cooccurrence[row * size + column].max(0.0);
    let mut weights = vec![0.0; size * size];
    let mut column_weights: Vec<(usize, f64)> = Vec::with_capacity(size);
    for column in 0..size {
        column_weights.clear();
        for row in (0..size).filter(|row| *row != column) {
            let both = count(row, column);
            let (one, other) = (count(row, row).max(both), count(column, column).max(both));
            let denominator = match similarity {
                Similarity::Cosine => (one * other).sqrt(),
                Similarity::Jaccard => one + other - both,
            } + shrinkage;
            if both > 0.0 && denominator > 0.0 {
                column_weights.push((row, both / denominator));
            }
        }
        column_weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (row, weight) in column_weights.iter().take(neighbours) {
            weights[row * size + column] = *weight as f32;
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics() -> Statistics {
        Statistics {
            popularity: vec![4.0, 9.0, 1.0],
            kept: vec![0, 1, 2],
            cooccurrence: vec![4.0, 3.0, -1.0, 3.0, 9.0, 1.0, -1.0, 1.0, 1.0],
            cooccurrence_deviation: 0.0,
            popularity_deviation: 0.0,
        }
    }

    #[test]
    fn similarities_by_hand() {
        let close = |found: &[f32], expected: [f32; 9]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        let third = 1.0 / 3.0;
        close(
            &weights(&statistics(), Similarity::Cosine, 9, 0.0),
            [0.0, 0.5, 0.0, 0.5, 0.0, third, 0.0, third, 0.0],
        );
        let ninth = 1.0 / 9.0;
        close(
            &weights(&statistics(), Similarity::Jaccard, 9, 0.0),
            [0.0, 0.3, 0.0, 0.3, 0.0, ninth, 0.0, ninth, 0.0],
        );
        let shrunk = weights(&statistics(), Similarity::Cosine, 1, 6.0);
        close(&shrunk, [0.0, 0.25, 0.0, 0.25, 0.0, ninth, 0.0, 0.0, 0.0]);
    }
}
