//! Linear item-item weights without a diagonal, in closed form. [core]
//!
//! # Source
//! Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", equation 8: with G = XᵀX and P = (G + λI)⁻¹,
//! B = I − P·diag(1 / diag P).

use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Mat, Side};

use super::Statistics;

/// Post-processing of noised statistics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ease {
    /// λ where nothing is noised.
    pub ridge: f64,
    /// λ is at least this many standard deviations of the noise.
    pub ridge_deviations: f64,
    /// Entries below this many standard deviations of the noise count as zero.
    pub threshold_deviations: f64,
}

/// The weights, or `None` where the matrix cannot be inverted or is not finite.
///
/// # Shapes
/// M × M row-major: row the item a shopper has, column the item that is scored.
pub fn weights(statistics: &Statistics, ease: Ease) -> Option<Vec<f32>> {
    let size = statistics.size();
    let deviation = statistics.cooccurrence_deviation;
    let ridge = ease.ridge.max(ease.ridge_deviations * deviation);
    let mut gram = denoised(statistics, ease.threshold_deviations * deviation)?;
    (0..size).for_each(|i| gram[(i, i)] += ridge);
    let inverse = gram.llt(Side::Lower).ok()?.inverse();
    let mut weights = vec![0.0; size * size];
    for column in 0..size {
        let scale = -1.0 / inverse[(column, column)];
        for row in (0..size).filter(|row| *row != column) {
            weights[row * size + column] = (inverse[(row, column)] * scale) as f32;
        }
    }
    weights.iter().all(|w| w.is_finite()).then_some(weights)
}

/// The co-occurrence with what noise drowned taken out, and positive semi-definite again.
fn denoised(statistics: &Statistics, threshold: f64) -> Option<Mat<f64>> {
    let size = statistics.size();
    let entry = |row: usize, column: usize| {
        let value = statistics.cooccurrence[row * size + column];
        if row != column && value < threshold { 0.0 } else { value }
    };
    let gram = Mat::from_fn(size, size, entry);
    if statistics.cooccurrence_deviation == 0.0 { Some(gram) } else { positive(&gram) }
}

/// The nearest positive semi-definite matrix in the Frobenius norm: negative eigenvalues become zero (Higham 1988).
fn positive(matrix: &Mat<f64>) -> Option<Mat<f64>> {
    let size = matrix.nrows();
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let kept: Vec<usize> = (0..size).filter(|i| values[*i] > 0.0).collect();
    let half = Mat::from_fn(size, kept.len(), |row, column| {
        vectors[(row, kept[column])] * values[kept[column]].sqrt()
    });
    Some(&half * half.transpose())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(size: usize, cooccurrence: Vec<f64>, deviation: f64) -> Statistics {
        Statistics {
            popularity: vec![1.0; size],
            kept: (0..size as u32).collect(),
            cooccurrence,
            cooccurrence_deviation: deviation,
            popularity_deviation: deviation,
        }
    }

    const PLAIN: Ease = Ease { ridge: 1.0, ridge_deviations: 0.0, threshold_deviations: 0.0 };

    #[test]
    fn two_items_by_hand() {
        // G + I = [[5, 2], [2, 4]], determinant 16, P = [[4, -2], [-2, 5]] / 16: B = [[0, 2/5], [2/4, 0]].
        let weights = weights(&statistics(2, vec![4.0, 2.0, 2.0, 3.0], 0.0), PLAIN).expect("invertible");
        for (found, expected) in weights.iter().zip([0.0, 0.4, 0.5, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{weights:?}");
        }
    }

    /// Every column is the ridge regression of its item on all others.
    #[test]
    fn every_column_solves_its_regression() {
        let size = 9;
        let rows: Vec<Vec<f64>> = (0..40)
            .map(|u| (0..size).map(|i| f64::from(u32::from((u * 7 + i * i * 3) % 5 < 2))).collect())
            .collect();
        let gram: Vec<f64> = (0..size * size)
            .map(|place| rows.iter().map(|row| row[place / size] * row[place % size]).sum())
            .collect();
        let ease = Ease { ridge: 2.5, ..PLAIN };
        let found = weights(&statistics(size, gram.clone(), 0.0), ease).expect("invertible");
        for column in 0..size {
            for row in (0..size).filter(|row| *row != column) {
                let residual: f64 =
                    (0..size).map(|k| gram[row * size + k] * f64::from(found[k * size + column])).sum();
                let gradient =
                    residual + 2.5 * f64::from(found[row * size + column]) - gram[row * size + column];
                assert!(gradient.abs() < 1e-4, "{row} {column} {gradient}");
            }
        }
    }

    #[test]
    fn what_noise_drowned_is_taken_out() {
        let noised = vec![10.0, 0.4, 6.0, 0.4, 10.0, -0.3, 6.0, -0.3, 10.0];
        let ease = Ease { ridge: 1.0, ridge_deviations: 4.0, threshold_deviations: 3.0 };
        let weights = weights(&statistics(3, noised, 0.5), ease).expect("invertible");
        assert!(weights[2] > 0.3 && weights[6] > 0.3);
        assert!(weights[1].abs() < 1e-6 && weights[5].abs() < 1e-6, "{weights:?}");
    }

    #[test]
    fn a_matrix_that_noise_made_indefinite_is_mended() {
        let weights = weights(&statistics(2, vec![-5.0, 9.0, 9.0, -5.0], 1.0), PLAIN).expect("mended");
        assert!(weights.iter().all(|w| w.is_finite()));
        let broken = statistics(1, vec![f64::NAN], 0.0);
        assert_eq!(super::weights(&broken, PLAIN), None);
    }
}
