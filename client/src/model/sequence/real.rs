//! The floats a network is computed in: f32, and f64 where a test wants to see the last digits. [core]

use std::ops::Neg;

use candle_core::WithDType;

/// f32 or f64.
pub(crate) trait Real: WithDType + Neg<Output = Self> {
    fn exp(self) -> Self;
    fn tanh(self) -> Self;
    fn sqrt(self) -> Self;

    /// 1/(1 + e^−x) without overflow.
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Self::one() / (Self::one() + (-self).exp())
    }
}

/// e^x to the last digit or two, without a branch, so that the compiler can use vector instructions; beyond what a float can
/// hold, the ends of what it can. The same on every machine, which a system's mathematics library is not.
///
/// # Source
/// Range reduction by ln 2 in two parts (Cody and Waite 1980), then the power series.
#[inline(always)]
fn exp_f32(x: f32) -> f32 {
    // Written so that NaN stays.
    let x = if x > 88.0 { 88.0 } else { x };
    let x = if x < -87.0 { -87.0 } else { x };
    // 1.5·2^23: leaves the nearest whole number in the low bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let whole = shifted - SHIFT;
    let rest = x - whole * 0.693_359_4 + whole * 2.121_944_4e-4;
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let mantissa = series.iter().fold(0.0, |sum, term| sum * rest + term);
    mantissa * f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

impl Real for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        exp_f32(self)
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        // (1 − e^−2|x|)/(1 + e^−2|x|) with the sign of x; near 0, where that cancels, its series.
        let e = exp_f32(-2.0 * self.abs());
        let far = ((1.0 - e) / (1.0 + e)).copysign(self);
        let square = self * self;
        let near = self * (1.0 - square * (1.0 / 3.0 - square * (2.0 / 15.0)));
        if self.abs() < 0.05 { near } else { far }
    }

    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
}

impl Real for f64 {
    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn tanh(self) -> Self {
        f64::tanh(self)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}

/// Independent partial sums, so that the compiler can use vector instructions. The order of additions is fixed.
const LANES: usize = 8;

/// Σ a·b.
pub(crate) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(T::zero(), |sum, (a, b)| sum + *a * *b);
    lanes.iter().fold(rest, |sum, lane| sum + *lane)
}

/// The greatest; of nothing, or beside what is not a number, anything.
pub(crate) fn greatest<T: Real>(a: &[T]) -> T {
    let more = |most: T, x: T| if x > most { x } else { most };
    let (chunks, rest) = a.as_chunks::<LANES>();
    let mut lanes = [a.first().copied().unwrap_or(T::zero()); LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = more(lanes[i], chunk[i]);
        }
    }
    lanes.iter().chain(rest).fold(lanes[0], |most, x| more(most, *x))
}

/// Σ a.
pub(crate) fn sum<T: Real>(a: &[T]) -> T {
    let (chunks, rest) = a.as_chunks::<LANES>();
    let mut lanes = [T::zero(); LANES];
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] += chunk[i];
        }
    }
    lanes.iter().chain(rest).fold(T::zero(), |sum, value| sum + *value)
}

/// out += scale·a.
pub(crate) fn add_scaled<T: Real>(out: &mut [T], scale: T, a: &[T]) {
    out.iter_mut().zip(a).for_each(|(out, a)| *out += scale * *a);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_right_to_the_last_digits() {
        for i in -870_000..=880_000 {
            let x = i as f32 / 10_000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(Real::exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert!(Real::exp(f32::NAN).is_nan() && Real::exp(f32::INFINITY) > 1e38);
        assert!(Real::exp(f32::NEG_INFINITY) < 1e-37 && Real::exp(0.0f32) == 1.0);
    }

    #[test]
    fn hyperbolic_tangents_and_sigmoids_are_right_to_the_last_digits() {
        for i in -200_000..=200_000 {
            let x = i as f32 / 10_000.0;
            let error = (f64::from(Real::tanh(x)) - f64::from(x).tanh()).abs();
            assert!(
                error < 4e-7 * f64::from(x).tanh().abs().max(1e-6) + 1e-12 || error < 2e-7,
                "{x}: {error}"
            );
            let error = (f64::from(x.sigmoid()) - 1.0 / (1.0 + (-f64::from(x)).exp())).abs();
            assert!(error < 2e-7, "{x}: {error}");
        }
        assert_eq!((Real::tanh(0.0f32), Real::tanh(f32::INFINITY), Real::tanh(-1e30f32)), (0.0, 1.0, -1.0));
        assert!(Real::tanh(f32::NAN).is_nan() && f32::NAN.sigmoid().is_nan());
        assert_eq!((f32::INFINITY.sigmoid(), f32::NEG_INFINITY.sigmoid() < 1e-37), (1.0, true));
    }
}
