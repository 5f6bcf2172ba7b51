//! Item vectors from statistics, for networks to start from. [core]
//!
//! The leading eigenvectors of the co-occurrence, scaled so that popular items do not drown the others: what a factorisation
//! of the whole catalogue would arrive at, without a single step of training. A network that starts there needs a few
//! rounds where one that starts at random needs a hundred.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng as _, SeedableRng as _};
use faer::{Mat, Side};
use guildhall_shared::digest::Digest;

use super::Statistics;

/// Exponent of the popularity that a co-occurrence is divided by: 0.5 would be the cosine.
const EXPONENT: f64 = 0.35;
/// Added to every popularity, in shoppers.
const SHRINKAGE: f64 = 3.0;
/// Columns beyond the width that make the iteration converge.
const OVERSAMPLING: usize = 16;
/// Halko, Martinsson and Tropp 2011, algorithm 4.4: a dozen is plenty for a spectrum that decays.
const ITERATIONS: usize = 12;
/// Length, as a share of the greatest, below which a vector is no longer brought to length 1.
const LENGTH_MIN: f64 = 1e-3;
/// Standard deviation of the numbers added to every value, so that no two items are alike.
const JITTER: f64 = 0.005;

/// A vector of length about 1 for every item kept, almost zero for all others.
///
/// # Shapes
/// Items of the catalogue × width, row-major.
///
/// # Privacy
/// Post-processing of the statistics and of a public seed. `None` where the matrix is not finite.
pub fn item_vectors(statistics: &Statistics, width: usize, seed: u64) -> Option<Vec<f64>> {
    let size = statistics.size();
    let mut random = Normal::new(seed);
    let columns = (width + OVERSAMPLING).min(size);
    let matrix = scaled(statistics);
    let mut basis = Mat::<f32>::from_fn(size, columns, |_, _| random.next() as f32);
    for _ in 0..ITERATIONS {
        basis = (&matrix * &basis).qr().compute_thin_Q();
    }
    let small = basis.transpose() * (&matrix * &basis);
    let eigen = small.self_adjoint_eigen(Side::Lower).ok()?;
    let rotated = &basis * eigen.U();
    // Ascending: the greatest are last.
    let values = eigen.S().column_vector();
    let taken: Vec<usize> = (0..columns).rev().take(width).collect();
    let mut vectors = vec![0.0; statistics.popularity.len() * width];
    let vector = |row: usize| -> Vec<f64> {
        let scaled =
            |column: &usize| f64::from(rotated[(row, *column)]) * f64::from(values[*column].max(0.0)).sqrt();
        taken.iter().map(scaled).collect()
    };
    let lengths: Vec<f64> =
        (0..size).map(|row| vector(row).iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let least = LENGTH_MIN * lengths.iter().copied().fold(0.0, f64::max);
    for (row, item) in statistics.kept.iter().enumerate() {
        let out = &mut vectors[*item as usize * width..][..width];
        for (out, value) in out.iter_mut().zip(vector(row)) {
            *out = value / (lengths[row] + least).max(f64::MIN_POSITIVE);
        }
    }
    vectors.iter_mut().for_each(|value| *value += JITTER * random.next());
    vectors.iter().all(|value| value.is_finite()).then_some(vectors)
}

fn scaled(statistics: &Statistics) -> Mat<f32> {
    let size = statistics.size();
    let entry = |row: usize, column: usize| statistics.cooccurrence[row * size + column];
    let scale: Vec<f64> = (0..size).map(|i| (entry(i, i).max(0.0) + SHRINKAGE).powf(-EXPONENT)).collect();
    let threshold = 3.0 * statistics.cooccurrence_deviation;
    Mat::from_fn(size, size, |row, column| {
        let value = entry(row, column);
        let kept = if row != column && value < threshold { 0.0 } else { value };
        (kept * scale[row] * scale[column]) as f32
    })
}

/// Standard normal numbers from a public seed (Box and Muller 1958). Not for noise that protects anybody.
struct Normal(ChaCha20Rng);

impl Normal {
    fn new(seed: u64) -> Self {
        Normal(ChaCha20Rng::from_seed(Digest::of("guildhall item vectors v1", &[&seed.to_le_bytes()]).0))
    }

    fn next(&mut self) -> f64 {
        let mut unit = || ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two groups of items that never meet: vectors are alike within a group and not between them.
    #[test]
    fn items_that_go_together_point_the_same_way() {
        let size = 8;
        let entry =
            |a: usize, b: usize| if a / 4 == b / 4 { 10.0 + f64::from(u8::from(a == b)) } else { 0.0 };
        let statistics = Statistics {
            popularity: vec![10.0; 10],
            kept: (1..9).collect(),
            cooccurrence: (0..size * size).map(|place| entry(place / size, place % size)).collect(),
            cooccurrence_deviation: 0.0,
            popularity_deviation: 0.0,
        };
        let vectors = item_vectors(&statistics, 2, 7).expect("finite");
        let product =
            |a: usize, b: usize| -> f64 { (0..2).map(|i| vectors[a * 2 + i] * vectors[b * 2 + i]).sum() };
        assert!(product(1, 4) > 0.8 && product(5, 8) > 0.8, "{vectors:?}");
        assert!(product(1, 5).abs() < 0.2, "{vectors:?}");
        assert!(product(0, 0) < 0.01 && product(9, 9) < 0.01, "items that are not kept start near zero");
        assert_eq!(vectors, item_vectors(&statistics, 2, 7).expect("finite"));
    }
}
