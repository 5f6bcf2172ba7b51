//! Tails of the normal distribution with known relative errors. [core]
//!
//! # Source
//! For x ≥ 2 Laplace's continued fraction R(x) = 1/(x + 1/(x + 2/(x + 3/(x + …)))) of the Mills ratio, whose convergents
//! lie above and below R in turn, ever closer. Below 2 the series Φ(x) = ½ + φ(x)·Σ x^(2k+1)/(1·3·…·(2k+1)), all of
//! whose terms have one sign.

/// 1/√(2π), rounded up.
const DENSITY_AT_ZERO: f64 = 0.398_942_280_401_432_75;

/// Where the continued fraction takes over.
const SERIES_END: f64 = 2.0;

/// Terms of the continued fraction: at x = 2 the 80th convergent is within 2⁻⁷⁰ of the limit.
const CONVERGENT: u32 = 80;

/// Bound on the relative error of [`mills_ratio`]. The series loses five bits where a tail of 0.023 is taken from ½;
/// everything else is a few roundings.
pub(crate) const MILLS_ERROR: f64 = 1.0 / (1u64 << 44) as f64;

/// Bound on the relative error of [`density`] and [`tail`] for |x| ≤ 40: rounding x² costs x²·2⁻⁵³ of the result.
pub(crate) const TAIL_ERROR: f64 = 1.0 / (1u64 << 41) as f64;

/// φ(x).
pub(crate) fn density(x: f64) -> f64 {
    DENSITY_AT_ZERO * (-x * x / 2.0).exp()
}

/// The Mills ratio R(x) = P(Z > x)/φ(x) for x ≥ 0.
pub(crate) fn mills_ratio(x: f64) -> f64 {
    if x < SERIES_END {
        return 0.5 / density(x) - series(x);
    }
    (1..=CONVERGENT).rev().fold(x, |below, k| x + f64::from(k) / below).recip()
}

/// P(Z > x), to within [`TAIL_ERROR`] of itself.
pub(crate) fn tail(x: f64) -> f64 {
    if x < 0.0 { 1.0 - tail(-x) } else { density(x) * mills_ratio(x) }
}

/// P(0 < Z < x)/φ(x) for 0 ≤ x < 2.
fn series(x: f64) -> f64 {
    let (mut term, mut sum) = (x, 0.0);
    for odd in (3..).step_by(2).map(f64::from) {
        sum += term;
        term *= x * x / odd;
        if term <= sum * f64::EPSILON / 16.0 {
            break;
        }
    }
    sum
}

/// An x with P(Z > x) ≤ exp(`log_probability`), by P(Z > x) ≤ exp(−x²/2) for x ≥ 0.
pub(crate) fn reach(log_probability: f64) -> f64 {
    (-2.0 * log_probability).max(0.0).sqrt().next_up()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From an arbitrary-precision program (40 digits): x and P(Z > x).
    const TAILS: [(f64, f64); 12] = [
        (0.0, 0.5),
        (0.125, 0.450_261_775_169_887_1),
        (0.5, 0.308_537_538_725_986_9),
        (1.0, 0.158_655_253_931_457_05),
        (1.75, 0.040_059_156_863_817_09),
        (2.0, 0.022_750_131_948_179_21),
        (2.5, 0.006_209_665_325_776_135),
        (4.0, 0.000_031_671_241_833_119_924),
        (8.0, 6.220_960_574_271_784e-16),
        (16.0, 6.388_754_400_538_087e-58),
        (30.0, 4.906_713_927_148_187e-198),
        (37.5, 4.605_353_009_581_955e-308),
    ];

    #[test]
    fn known_answers() {
        for (x, expected) in TAILS {
            let found = tail(x);
            assert!(
                (found / expected - 1.0).abs() <= TAIL_ERROR,
                "P(Z > {x}): expected {expected:e}, found {found:e}"
            );
        }
    }

    #[test]
    fn mills_ratio_lies_between_its_bounds_and_has_no_seam() {
        for step in 0..40_000 {
            let x = f64::from(step) * 1e-3;
            // Birnbaum 1942 and Sampford 1953.
            let lower = 2.0 / (x + (x * x + 4.0).sqrt());
            let upper = 4.0 / (3.0 * x + (x * x + 8.0).sqrt());
            let found = mills_ratio(x);
            assert!(
                found >= lower * (1.0 - MILLS_ERROR) && found <= upper * (1.0 + MILLS_ERROR),
                "{x}: {found}"
            );
            // R' = xR − 1, here between neighbours: a seam between series and fraction would show.
            let next = mills_ratio(x + 1e-3);
            let slope = (next - found) / 1e-3;
            assert!((slope - (x + 5e-4) * (found + next) / 2.0 + 1.0).abs() < 1e-6, "{x}: slope {slope}");
        }
        let both = [SERIES_END.next_down(), SERIES_END].map(mills_ratio);
        assert!((both[0] / both[1] - 1.0).abs() < MILLS_ERROR, "{both:?}");
    }

    #[test]
    fn reach_is_far_enough() {
        for exponent in 0..700 {
            let x = reach(-f64::from(exponent));
            assert!(tail(x) <= (-f64::from(exponent)).exp(), "{exponent}");
        }
    }
}
