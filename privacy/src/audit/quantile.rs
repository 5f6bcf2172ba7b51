//! Quantiles of the normal and the χ² distribution, from the regularised incomplete gamma function. [core]
//!
//! # Source
//! Abramowitz and Stegun 1964: 6.5.29 (series), 6.5.31 (continued fraction, evaluated by Lentz's method); ln Γ by
//! Lanczos' series (g = 7, nine terms). Good to about ten digits for up to 10^7 degrees of freedom.

/// One false alarm in a million: the tail beyond which a check says BROKEN.
pub const FALSE_ALARM: f64 = 1e-6;

/// The standard normal quantile of 1 − [`FALSE_ALARM`].
pub const Z_FALSE_ALARM: f64 = 4.753_424_308_822_9;

/// The standard normal quantile of 0.95: one-sided lower bounds.
pub const Z_95: f64 = 1.644_853_626_951_5;

const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// ln Γ(x) for x > 0.
pub fn ln_gamma(x: f64) -> f64 {
    if x < 0.5 {
        // Γ(x)·Γ(1−x) = π / sin πx.
        return (std::f64::consts::PI / (std::f64::consts::PI * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let series: f64 =
        LANCZOS.iter().enumerate().skip(1).map(|(i, c)| c / (x + i as f64)).sum::<f64>() + LANCZOS[0];
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + series.ln()
}

/// (P, Q): the regularised incomplete gamma function, lower and upper, for a > 0 and x ≥ 0. They add up to one; each is
/// accurate where it is small.
fn incomplete_gamma(a: f64, x: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    let front = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let lower = front * lower_series(a, x);
        (lower, 1.0 - lower)
    } else {
        let upper = front * upper_fraction(a, x);
        (1.0 - upper, upper)
    }
}

fn lower_series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
    while term > sum * 1e-17 {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    sum
}

fn upper_fraction(a: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..1_000_000 {
        let i = f64::from(i);
        let numerator = -i * (i - a);
        b += 2.0;
        d = numerator * d + b;
        d = 1.0 / if d.abs() < TINY { TINY } else { d };
        c = b + numerator / c;
        c = if c.abs() < TINY { TINY } else { c };
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

/// Φ(x), accurate in both tails.
pub fn normal_cdf(x: f64) -> f64 {
    let (inside, outside) = incomplete_gamma(0.5, x * x / 2.0);
    if x < 0.0 { outside / 2.0 } else { 0.5 + inside / 2.0 }
}

/// The χ² value that is undercut with probability `tail`.
pub fn chi_square_lower(degrees: u64, tail: f64) -> f64 {
    let half = degrees as f64 / 2.0;
    bisect(0.0, 2.0 * half, |x| incomplete_gamma(half, x / 2.0).0 < tail)
}

/// The χ² value that is exceeded with probability `tail`.
pub fn chi_square_upper(degrees: u64, tail: f64) -> f64 {
    let half = degrees as f64 / 2.0;
    bisect(0.0, 8.0 * half + 100.0, |x| incomplete_gamma(half, x / 2.0).1 > tail)
}

/// The value that (N(mean, variance) / s) exceeds with probability `tail`, where degrees·s² is χ² with so many degrees of
/// freedom and independent: the quantile of a noncentral t distribution, by the trapezoid rule over s.
///
/// The normal approximation, mean + z·√(variance + mean²/(2·degrees)), is exceeded several times too often this far out.
pub fn studentised_upper(mean: f64, variance: f64, degrees: f64, tail: f64) -> f64 {
    const STEPS: i32 = 400;
    if !(degrees >= 3.0 && variance > 0.0 && mean.is_finite()) {
        return f64::INFINITY;
    }
    let (half, reach) = (degrees / 2.0, 12.0 / (2.0 * degrees).sqrt());
    let (low, high) = ((1.0 - reach).max(0.0), 1.0 + reach);
    let step = (high - low) / f64::from(STEPS);
    let constant = std::f64::consts::LN_2 + half * half.ln() - ln_gamma(half);
    let weights: Vec<(f64, f64)> = (1..STEPS)
        .map(|i| low + f64::from(i) * step)
        .map(|s| (s, (constant + (degrees - 1.0) * s.ln() - half * s * s).exp() * step))
        .collect();
    let deviation = variance.sqrt();
    let exceeded = |limit: f64| -> f64 {
        weights.iter().map(|(s, weight)| weight * normal_cdf((mean - limit * s) / deviation)).sum()
    };
    let mut most = mean.abs() + 10.0 * (variance + mean * mean / degrees).sqrt();
    while exceeded(most) > tail {
        most *= 2.0;
    }
    bisect(mean, most, |limit| exceeded(limit) > tail)
}

/// The point in [low, high] up to which `below` holds.
pub(super) fn bisect(mut low: f64, mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..100 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if below(middle) { low = middle } else { high = middle }
    }
    low + (high - low) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, relative: f64) {
        assert!((found / expected - 1.0).abs() < relative, "expected {expected}, found {found}");
    }

    /// Computed with mpmath at 30 digits.
    #[test]
    fn known_answers() {
        for (degrees, tail, expected) in [
            (5, 1e-6, 0.012_896_160_206_5),
            (100, 1e-6, 46.501_330_715_9),
            (500, 1e-6, 363.802_610_02),
            (2_000, 1e-6, 1_713.629_302_56),
            (16_000, 1e-6, 15_164.031_740_4),
            (1, 0.025, 0.000_982_069_117_175),
            (100, 0.025, 74.221_927_474_9),
        ] {
            close(chi_square_lower(degrees, tail), expected, 1e-10);
        }
        for (degrees, expected) in [(1, 5.023_886_187_31), (100, 129.561_197_186), (2_000, 2_125.842_302_45)]
        {
            close(chi_square_upper(degrees, 0.025), expected, 1e-10);
        }
        for (x, expected) in [
            (-6.0, 9.865_876_450_376_98e-10),
            (-1.0, 0.158_655_253_931_457_1),
            (0.5, 0.691_462_461_274_013_1),
            (3.0, 0.998_650_101_968_369_9),
        ] {
            close(normal_cdf(x), expected, 1e-13);
        }
        for (z, tail) in [(Z_FALSE_ALARM, FALSE_ALARM), (Z_95, 0.05)] {
            close(normal_cdf(-z), tail, 1e-11);
        }
    }

    #[test]
    fn student_s_quantiles_are_those_of_the_tables() {
        for (degrees, tail, expected) in
            [(10.0, 0.025, 2.228_138_852), (10.0, 0.005, 3.169_272_673), (100.0, 0.025, 1.983_971_519)]
        {
            close(studentised_upper(0.0, 1.0, degrees, tail), expected, 1e-8);
        }
        // With a spread that is known it is the normal distribution's.
        close(studentised_upper(1.0, 4.0, 1e9, 1e-6), 1.0 + 2.0 * Z_FALSE_ALARM, 1e-6);
        assert_eq!(studentised_upper(1.0, 1.0, 2.0, 1e-6), f64::INFINITY);
    }

    #[test]
    fn a_smaller_tail_is_further_out_and_more_samples_draw_closer() {
        let mut last = 0.0;
        for degrees in [10, 100, 500, 1_000, 10_000, 1_000_000] {
            let ratio = chi_square_lower(degrees, 1e-6) / degrees as f64;
            assert!(ratio > last && ratio < 1.0, "{degrees}: {ratio}");
            assert!(chi_square_lower(degrees, 1e-7) < chi_square_lower(degrees, 1e-6));
            assert!(chi_square_upper(degrees, 1e-7) > chi_square_upper(degrees, 1e-6));
            last = ratio;
        }
    }

    #[test]
    fn the_distribution_grows_from_nought_to_one() {
        let values: Vec<f64> = (-400..=400).map(|i| normal_cdf(f64::from(i) / 50.0)).collect();
        assert!(values.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(normal_cdf(0.0), 0.5);
        assert!(values[0] > 0.0 && values[0] < 1e-14);
    }
}
