//! exp(−x²/(2σ²)) between two bounds: in words of 64 bits, and to any precision. [core]
//!
//! Every step is rounded down for the lower bound and up for the upper one, so the bounds hold by construction; no error
//! analysis has to be believed. With r = q / 2^s, exp(−q) = T^(2^s) and
//! ```text
//! T = 1 − r/1·(1 − r/2·(1 − r/3·( … ))),    every bracket between 1 − r and 1
//! ```
//! The innermost bracket that is not worked out is replaced by these two ends.

use crate::natural::Natural;
use crate::variance::Variance;

/// 1 in the fast arithmetic: numbers are multiples of 2^-63.
pub(crate) const ONE: u64 = 1 << 63;

/// Fraction bits of an exponent q < 64 in the fast arithmetic.
const EXPONENT_FRACTION_BITS: u32 = 57;
/// q is divided by 2^10, which makes it less than 1/16.
const HALVINGS: u32 = 10;
/// Brackets worked out: (1/16)^11 / 11! < 2^-69.
const BRACKETS: u64 = 11;

/// Two numbers with a real number between them, ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bounds<N> {
    pub(crate) low: N,
    pub(crate) high: N,
}

fn times_down(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b)) >> 63) as u64
}

fn times_up(a: u64, b: u64) -> u64 {
    ((u128::from(a) * u128::from(b) + u128::from(ONE - 1)) >> 63) as u64
}

/// The function x ↦ exp(−x²/(2σ²)) of one σ.
#[derive(Clone, Debug)]
pub(crate) struct Bell {
    variance: Variance,
    /// ⌊2^shift · 1/(2σ²)⌋, from 2^62 to 2^63 − 1.
    inverse: u64,
    shift: u32,
}

impl Bell {
    pub(crate) fn new(variance: Variance) -> Self {
        let divisor = 2 * variance.numerator();
        let denominator = Natural::from(u128::from(variance.denominator()));
        // 1/(2σ²) is at most 1/2, so the first shift tried gives at most 2^62.
        let mut shift = 63;
        loop {
            let quotient = denominator.shifted_left(shift as usize).divided(divisor);
            match quotient.to_u64() {
                Some(inverse) if inverse >= 1 << 62 => return Bell { variance, inverse, shift },
                _ => shift += 63 - (quotient.bits() as u32).min(62),
            }
        }
    }

    /// Bounds on x²/(2σ²) in units of 2^-57; none where it may be 64 or more.
    fn exponent(&self, x: u64) -> Option<Bounds<u64>> {
        let square = u128::from(x) * u128::from(x);
        let dropped = (128 - square.leading_zeros()).saturating_sub(63);
        let head = square >> dropped;
        let exact = head << dropped == square;
        let low = head * u128::from(self.inverse);
        // The true square is below head + 1 in the units of head, the true inverse below inverse + 1.
        let high = (head + u128::from(!exact)) * u128::from(self.inverse + 1);
        // Without bits dropped this is at least 6. With some, the product is at least 2^124, so q ≥ 2^67 where it is negative.
        let down = self.shift.checked_sub(dropped + EXPONENT_FRACTION_BITS)?;
        let (low, high) = match down {
            0..=126 => (low >> down, (high + ((1 << down) - 1)) >> down),
            _ => (0, u128::from(x != 0)),
        };
        (high < ONE.into()).then_some(Bounds { low: low as u64, high: high as u64 })
    }

    /// Bounds on exp(−x²/(2σ²)) in units of 2^-63, about 2^-51 of the value apart.
    pub(crate) fn bounds(&self, x: u64) -> Bounds<u64> {
        let Some(exponent) = self.exponent(x) else {
            // exp(−63) < 2^-90.
            return Bounds { low: 0, high: 1 };
        };
        let down = HALVINGS + EXPONENT_FRACTION_BITS - 63;
        let r = Bounds { low: exponent.low >> down, high: exponent.high.div_ceil(1 << down) };
        let (mut low, mut high) = (ONE - r.high, ONE);
        for i in (1..=BRACKETS).rev() {
            let least = times_down(r.low, low) / i;
            low = ONE - times_up(r.high, high).div_ceil(i);
            high = ONE - least;
        }
        for _ in 0..HALVINGS {
            (low, high) = (times_down(low, low), times_up(high, high));
        }
        Bounds { low, high }
    }

    /// Bounds on exp(−x²/(2σ²)) in units of 2^-precision_bits. They come as close as one likes as the precision grows.
    pub(crate) fn bounds_precise(&self, x: u64, precision_bits: usize) -> Bounds<Natural> {
        let one = Natural::power_of_two(precision_bits);
        let square = Natural::from(u128::from(x) * u128::from(x));
        let dividend = square.times(&Natural::from(u128::from(self.variance.denominator())));
        if dividend.is_zero() {
            return Bounds { low: one.clone(), high: one };
        }
        let divisor = 2 * self.variance.numerator();
        let quotient = dividend.shifted_left(precision_bits).divided(divisor);
        // r < 1/8.
        let halvings = (quotient.bits() + 3).saturating_sub(precision_bits);
        let r_low = quotient.shifted_right(halvings);
        let r_high = r_low.plus(&Natural::from(1));
        let (mut low, mut high) = (one.minus(&r_high), one.clone());
        for i in (1..=precision_bits as u128 / 3 + 1).rev() {
            let least = r_low.times(&low).shifted_right(precision_bits).divided(i);
            low = one.minus(&r_high.times(&high).shifted_right_up(precision_bits).divided_up(i));
            high = one.minus(&least);
        }
        for _ in 0..halvings {
            low = low.times(&low).shifted_right(precision_bits);
            high = high.times(&high).shifted_right_up(precision_bits);
        }
        Bounds { low, high }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bell(numerator: u128, denominator: u32) -> Bell {
        Bell::new(Variance::new(numerator, denominator).expect("legal"))
    }

    /// The bounds of both arithmetics hold the same number, and the fast ones are close.
    fn check(bell: &Bell, x: u64) {
        let fast = bell.bounds(x);
        let precise = bell.bounds_precise(x, 256);
        assert!(fast.low <= fast.high && fast.high <= ONE, "{x}: {fast:?}");
        let scaled = |bound: u64| Natural::from(u128::from(bound)).shifted_left(256 - 63);
        assert!(scaled(fast.low) <= precise.low, "{x}: {fast:?} {precise:?}");
        assert!(precise.high <= scaled(fast.high), "{x}: {fast:?} {precise:?}");
        let gap_max = 2 + (fast.high >> 50);
        assert!(fast.high - fast.low <= gap_max, "{x}: {fast:?} is too wide");
        let gap = precise.high.minus(&precise.low);
        assert!(gap <= Natural::power_of_two(40), "{x}: {precise:?} is too wide");
    }

    #[test]
    fn published_values() {
        let unit = bell(1, 1);
        for (x, expected) in [(2u64, 0.135_335_283_236_612_7), (1, 0.606_530_659_712_633_4)] {
            let value = unit.bounds(x).low as f64 / ONE as f64;
            assert!((value - expected).abs() < 1e-15, "{value}");
        }
        assert_eq!(unit.bounds(0), Bounds { low: ONE, high: ONE });
        let precise = unit.bounds_precise(2, 128);
        // e^-2 = 0.135335283236612691893999494972484403…
        let expected = 135_335_283_236_612_691_893_999_494_972_484u128;
        let decimal = |n: &Natural| n.times(&Natural::from(10u128.pow(33))).shifted_right(128);
        let gap = Natural::from(2);
        assert!(decimal(&precise.low) <= Natural::from(expected).plus(&gap));
        assert!(Natural::from(expected) <= decimal(&precise.high).plus(&gap));
    }

    #[test]
    fn fast_bounds_hold_at_every_scale() {
        let scales = [(1, 1), (3, 2), (441, 4), (1 << 20, 1), ((1 << 20) + 1, 3), (1 << 40, 1), (1 << 80, 1)];
        for (numerator, denominator) in
            scales.into_iter().chain([((1 << 106) - 1, 1), ((1 << 106) * 65535 - 1, 65535)])
        {
            let bell = bell(numerator, denominator);
            let sigma = (numerator / u128::from(denominator)).isqrt() as u64;
            for step in 0..200 {
                check(&bell, sigma / 16 * step + step % 7);
            }
        }
    }

    #[test]
    fn far_values_are_bounded_by_nothing_and_almost_nothing() {
        for x in [12, 256, 1 << 31, u64::MAX] {
            assert_eq!(bell(1, 1).bounds(x), Bounds { low: 0, high: 1 }, "{x}");
        }
    }

    proptest! {
        #[test]
        fn fast_bounds_hold(numerator in 0u32..106, mantissa: u64, denominator in 1u32..1 << 16, x: u64, narrow in 0u32..64) {
            let sigma2 = (1u128 << numerator | (u128::from(mantissa) & ((1u128 << numerator) - 1))).min((1 << 106) - 1);
            let bell = bell(sigma2 * u128::from(denominator) + u128::from(mantissa) % u128::from(denominator), denominator);
            let sigma = sigma2.isqrt() as u64;
            check(&bell, (x >> narrow) % (12 * sigma + 1));
        }
    }
}
