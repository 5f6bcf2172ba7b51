//! A radix-2 Fourier transform with a proven bound on its rounding. [core]
//!
//! Ours and not a library's, because the bound is part of the accountant's claim: for Cooley and Tukey's radix-2
//! algorithm with a table of weights Higham 2002 (Accuracy and Stability of Numerical Algorithms, Theorem 24.2) gives
//! ‖computed − exact‖₂ ≤ log₂N·η/(1 − log₂N·η)·‖exact‖₂ with η = μ + γ₄·(√2 + μ), μ the error of a weight and
//! γ₄ = 4u/(1 − 4u). With weights right to 4u, η < 10u. That is the way back. The way there runs the stages from the other
//! end (Gentleman and Sande): each computes a + b and (a − b)·w, both right to less than 8u of themselves, and so keeps the bound.

/// Half the distance of one to the next float.
pub(super) const UNIT: f64 = f64::EPSILON / 2.0;

/// A complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Complex {
    pub(super) fn times(self, other: Self) -> Self {
        Complex { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    /// To a whole power, by squaring: the relative error is at most 2·power·3u, each product's being at most √5·u.
    pub(super) fn power(self, mut power: u64) -> Self {
        let (mut square, mut result) = (self, Complex { re: 1.0, im: 0.0 });
        loop {
            if power & 1 == 1 {
                result = result.times(square);
            }
            power >>= 1;
            if power == 0 {
                return result;
            }
            square = square.times(square);
        }
    }
}

/// Blocks of so many values are transformed to their end while they are near.
const NEAR: usize = 1 << 11;

/// A transform of one length. Between there and back the values are in the order of their reversed bits: nobody needs them
/// sorted, and sorting them takes as long as several stages.
pub(super) struct Transform {
    /// The weights e^(−πik/h), k < h, for h = 1, 2, 4, …, half the length: those of h begin at h − 1.
    weights: Vec<Complex>,
}

impl Transform {
    /// For 2^`bits` points.
    pub(super) fn new(bits: u32) -> Self {
        let half = 1usize << bits >> 1;
        let mut weights = vec![Complex::default(); (2 * half).saturating_sub(1)];
        for k in 0..half {
            // k/half is exact; the angle is rounded once, sine and cosine once each.
            let (sin, cos) = (-std::f64::consts::PI * (k as f64 / half as f64)).sin_cos();
            weights[half - 1 + k] = Complex { re: cos, im: sin };
        }
        let mut shorter = half / 2;
        while shorter > 0 {
            for k in 0..shorter {
                weights[shorter - 1 + k] = weights[2 * shorter - 1 + 2 * k];
            }
            shorter /= 2;
        }
        Transform { weights }
    }

    fn len(&self) -> usize {
        self.weights.len() + 1
    }

    /// Bound on ‖computed − exact‖₂ over ‖exact‖₂, in either direction.
    pub(super) fn relative_error(&self) -> f64 {
        let error = f64::from(self.len().ilog2()) * 10.0 * UNIT;
        error / (1.0 - error)
    }

    fn weights_of(&self, half: usize) -> &[Complex] {
        &self.weights[half - 1..2 * half - 1]
    }

    /// Σ_j x_j·exp(−2πi·jk/N), in place; that of k goes to the place with k's bits reversed.
    pub(super) fn forward(&self, values: &mut [Complex]) {
        assert_eq!(values.len(), self.len(), "a transform has one length");
        self.scatter(values);
    }

    /// From long blocks to short ones (Gentleman and Sande).
    fn scatter(&self, values: &mut [Complex]) {
        if values.len() > NEAR {
            let (low, high) = values.split_at_mut(values.len() / 2);
            scatter_block(low, high, self.weights_of(low.len()));
            self.scatter(low);
            return self.scatter(high);
        }
        let mut half = values.len() / 2;
        while half > 0 {
            let weights = self.weights_of(half);
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                scatter_block(low, high, weights);
            }
            half /= 2;
        }
    }

    /// The inverse of [`Transform::forward`], in place; dividing by the length, a power of two, is exact.
    pub(super) fn inverse(&self, values: &mut [Complex]) {
        assert_eq!(values.len(), self.len(), "a transform has one length");
        self.gather(values);
        let scale = 1.0 / values.len() as f64;
        for value in values {
            *value = Complex { re: value.re * scale, im: value.im * scale };
        }
    }

    /// From short blocks to long ones (Cooley and Tukey), with the conjugate weights.
    fn gather(&self, values: &mut [Complex]) {
        if values.len() > NEAR {
            let (low, high) = values.split_at_mut(values.len() / 2);
            self.gather(low);
            self.gather(high);
            return gather_block(low, high, self.weights_of(low.len()));
        }
        let mut half = 1;
        while half < values.len() {
            let weights = self.weights_of(half);
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                gather_block(low, high, weights);
            }
            half *= 2;
        }
    }
}

fn scatter_block(low: &mut [Complex], high: &mut [Complex], weights: &[Complex]) {
    for ((a, b), weight) in low.iter_mut().zip(high).zip(weights) {
        let difference = Complex { re: a.re - b.re, im: a.im - b.im };
        *a = Complex { re: a.re + b.re, im: a.im + b.im };
        *b = difference.times(*weight);
    }
}

fn gather_block(low: &mut [Complex], high: &mut [Complex], weights: &[Complex]) {
    for ((a, b), weight) in low.iter_mut().zip(high).zip(weights) {
        let turned = b.times(Complex { re: weight.re, im: -weight.im });
        *b = Complex { re: a.re - turned.re, im: a.im - turned.im };
        *a = Complex { re: a.re + turned.re, im: a.im + turned.im };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(count: usize) -> Vec<Complex> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        (0..count).map(|_| Complex { re: next(), im: next() }).collect()
    }

    fn distance(a: &[Complex], b: &[Complex]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (a.re - b.re).powi(2) + (a.im - b.im).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn equals_the_definition() {
        for bits in 0..8 {
            let (transform, values) = (Transform::new(bits), noise(1 << bits));
            let count = values.len();
            let expected: Vec<Complex> = (0..count)
                .map(|k| {
                    values.iter().enumerate().fold(Complex::default(), |sum, (j, x)| {
                        let (sin, cos) =
                            (-std::f64::consts::TAU * (j * k % count) as f64 / count as f64).sin_cos();
                        let term = x.times(Complex { re: cos, im: sin });
                        Complex { re: sum.re + term.re, im: sum.im + term.im }
                    })
                })
                .collect();
            let mut found = values.clone();
            transform.forward(&mut found);
            let sorted = (0..count).map(|k| found[k.reverse_bits() >> (usize::BITS - bits).min(63)]);
            let found: Vec<Complex> = sorted.collect();
            assert!(distance(&found, &expected) < 1e-13 * count as f64, "{count}");
        }
    }

    #[test]
    fn there_and_back_within_the_bound() {
        for bits in [0, 1, 5, 12, 17] {
            let (transform, values) = (Transform::new(bits), noise(1 << bits));
            let mut found = values.clone();
            transform.forward(&mut found);
            transform.inverse(&mut found);
            let norm = distance(&values, &vec![Complex::default(); values.len()]);
            let bound = 2.0 * transform.relative_error() * norm * 1.01;
            assert!(distance(&found, &values) <= bound, "{bits}: {} of {bound}", distance(&found, &values));
        }
    }

    #[test]
    fn powers() {
        let base = Complex { re: 0.6, im: 0.8 };
        assert_eq!(base.power(0), Complex { re: 1.0, im: 0.0 });
        let mut product = Complex { re: 1.0, im: 0.0 };
        for power in 1..500 {
            product = product.times(base);
            let found = base.power(power);
            assert!((found.re - product.re).hypot(found.im - product.im) < 1e-12, "{power}");
        }
    }
}
