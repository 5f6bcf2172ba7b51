//! Single checks: what was measured, what was claimed, beyond what the claim is broken. [core]
//!
//! Every statistical check raises a false alarm at most once in a million; what is exact raises none.

use serde::Serialize;

use super::quantile::{FALSE_ALARM, chi_square_lower, chi_square_upper, studentised_upper};
use super::verdict::Verdict;

/// Fewest runs per arm from which a separation is judged: with 200, noise 1.5 times too small is seen in 99 of 100
/// audits where ρ = 2.
pub const RUNS_MIN: usize = 200;

/// Fewest samples of noise from which its variance is judged. The quantile is exact for fewer too; the power is not there.
pub const NOISE_SAMPLES_MIN: u64 = 500;

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub subject: String,
    /// What it came to.
    pub verdict: Verdict,
    /// The figure measured.
    pub measured: f64,
    /// The figure that follows from the claim.
    pub claimed: f64,
    /// Beyond this, on the side that harms shoppers, the claim is broken.
    pub limit: f64,
    /// Runs, samples or comparisons behind it.
    pub samples: u64,
}

/// Sums of a sample, for means and spreads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub count: f64,
    pub mean: f64,
    /// Σ (x − mean)².
    pub squares: f64,
}

impl Moments {
    pub(super) fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        let mean = if count > 0.0 { values.clone().sum::<f64>() / count } else { 0.0 };
        Moments { count, mean, squares: values.map(|x| (x - mean) * (x - mean)).sum() }
    }
}

/// How far apart the releases with and without the shopper lie, in standard deviations of the noise, against √(2ρ).
///
/// `present` and `empty` are independent runs projected on the shopper's axis, in any unit. The estimate is the
/// difference of means over the pooled standard deviation s of R runs an arm; its standard error at μ = √(2ρ) is
/// √(2/R + μ²/(4(R−1))), and the limit lies 4.753 of them beyond μ, or rather where the exact distribution of the estimate
/// says one in a million.
pub fn separation(subject: &str, present: &[f64], empty: &[f64], rho: f64) -> Check {
    let claimed = (2.0 * rho).sqrt();
    let (with, without) = (Moments::of(present.iter().copied()), Moments::of(empty.iter().copied()));
    let degrees = with.count + without.count - 2.0;
    let limit = studentised_upper(claimed, 1.0 / with.count + 1.0 / without.count, degrees, FALSE_ALARM);
    let difference = (with.mean - without.mean).abs();
    let spread = ((with.squares + without.squares) / degrees).sqrt();
    let enough = present.len().min(empty.len()) >= RUNS_MIN;
    let samples = (present.len() + empty.len()) as u64;
    Check { samples, ..judge_separation(subject, ratio(difference, spread), claimed, limit, enough) }
}

/// A difference in units of the spread; no noise at all sets any difference infinitely far apart.
pub(super) fn ratio(difference: f64, spread: f64) -> f64 {
    match spread {
        s if s > 0.0 || s.is_nan() || difference.is_nan() => difference / s,
        _ if difference > 0.0 => f64::INFINITY,
        _ => 0.0,
    }
}

/// BROKEN beyond the limit, and where there is no noise at all.
pub(super) fn judge_separation(
    subject: &str,
    measured: f64,
    claimed: f64,
    limit: f64,
    enough: bool,
) -> Check {
    let verdict = if measured == f64::INFINITY {
        Verdict::Broken
    } else if !enough || !measured.is_finite() || !limit.is_finite() {
        Verdict::Inconclusive
    } else if measured > limit {
        Verdict::Broken
    } else {
        Verdict::Pass
    };
    Check { subject: subject.into(), verdict, measured, claimed, limit, samples: 0 }
}

/// The variance of noise samples over the claimed one, by the exact χ² quantile: Σ(e/σ)² has as many degrees of freedom
/// as samples. For σ ≥ 2^10 the discrete Gaussian's second moment is σ² far beyond double precision.
///
/// Noise *larger* than claimed harms nobody, but then it is not the noise this audit knows: INCONCLUSIVE.
pub fn noise_variance(subject: &str, normalised_squares: f64, samples: u64) -> Check {
    let limit = chi_square_lower(samples.max(1), FALSE_ALARM);
    let verdict = if samples == 0 || normalised_squares.is_nan() {
        Verdict::Inconclusive
    } else if normalised_squares < limit {
        Verdict::Broken
    } else if samples < NOISE_SAMPLES_MIN || normalised_squares > chi_square_upper(samples, FALSE_ALARM) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let count = samples.max(1) as f64;
    Check {
        subject: subject.into(),
        verdict,
        measured: normalised_squares / count,
        claimed: 1.0,
        limit: limit / count,
        samples,
    }
}

/// The longest vector that emptying one shopper moved the sum by, against B. Exact.
pub fn sensitivity(subject: &str, squares_max: u128, bound: u64, comparisons: u64) -> Check {
    let broken = squares_max > u128::from(bound).pow(2);
    Check {
        subject: subject.into(),
        verdict: exact(broken, comparisons),
        measured: (squares_max as f64).sqrt(),
        claimed: bound as f64,
        limit: bound as f64,
        samples: comparisons,
    }
}

/// Whether the shopper that is looked for fills at least 99 % of the clip: else its absence would prove nothing.
pub fn reach(subject: &str, length: f64, bound: u64) -> Check {
    let limit = 0.99 * bound as f64;
    let verdict = if length >= limit { Verdict::Pass } else { Verdict::Inconclusive };
    Check { subject: subject.into(), verdict, measured: length, claimed: bound as f64, limit, samples: 1 }
}

/// How often something was found that must never be. Exact.
pub fn never(subject: &str, found: u64, comparisons: u64) -> Check {
    Check {
        subject: subject.into(),
        verdict: exact(found > 0, comparisons),
        measured: found as f64,
        claimed: 0.0,
        limit: 0.0,
        samples: comparisons,
    }
}

/// Honest shares of noise that the claim counts on, against those that are surely in what the server can unmask. Exact.
pub fn honest_shares(subject: &str, counted: u64, surely_there: u64) -> Check {
    Check {
        subject: subject.into(),
        verdict: exact(counted > surely_there, 1),
        measured: counted as f64,
        claimed: surely_there as f64,
        limit: surely_there as f64,
        samples: 1,
    }
}

fn exact(broken: bool, comparisons: u64) -> Verdict {
    if broken {
        Verdict::Broken
    } else if comparisons == 0 {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}
