//! A clip that follows the contributions (Andrew, Thakkar, McMahan, Ramaswamy 2021): its rule, and the next clip. [core]
//!
//! Each shopper's integer vector carries one more coordinate: β if its contribution was no longer than the clip, −β if it
//! was. Its other coordinates are clipped to √(B² − β²), so the whole stays within B and a release costs what it cost
//! before. The noised sum of these coordinates tells how many were clipped, and the next clip follows from it, which is
//! post-processing. See `docs/design/0005-adaptive-clipping.md`.

use serde::{Deserialize, Serialize};

/// The smallest clip a rule may go down to.
pub const ADAPTIVE_NORM_MIN: f64 = 1e-30;

/// The largest clip a rule may go up to; single precision holds it and one step more.
pub const ADAPTIVE_NORM_MAX: f64 = 1e30;

/// How the clip follows. All of it is public and part of the job.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaptiveClip {
    /// β, what the extra coordinate of one shopper is, either way; from 1 to B − 1.
    pub indicator: u64,
    /// κ, the share of shoppers whose contribution shall be within the clip; in (0, 1).
    pub quantile: f64,
    /// η, how far one round may move the logarithm of the clip; in (0, 1].
    pub rate: f64,
    /// The clip stays from here …
    pub norm_min: f64,
    /// … to here.
    pub norm_max: f64,
}

impl AdaptiveClip {
    /// The bound that is left for the other coordinates: the greatest whole b with b² + β² ≤ B²; 0 where β ≥ B.
    pub fn bound_left(&self, bound: u64) -> u64 {
        let squares = u128::from(bound).pow(2).saturating_sub(u128::from(self.indicator).pow(2));
        squares.isqrt() as u64
    }

    /// b̄ = (1 + z/(β·W))/2, held to [0, 1]: the share of shoppers within the clip, from the noised sum z of the extra
    /// coordinates and the public number W of expected shoppers.
    pub fn share_within(&self, noised_sum: i64, expected_shoppers: u64) -> f64 {
        let scale = self.indicator as f64 * expected_shoppers.max(1) as f64;
        (0.5 + 0.5 * (noised_sum as f64 / scale)).clamp(0.0, 1.0)
    }

    /// The next clip: C·exp(−η(b̄ − κ)), rounded to single precision and held to its ends. So noise, or whoever made up the
    /// sum, moves it by a factor of e^η at most.
    ///
    /// Everybody computes it from public numbers and arrives at the same bits: the exponential is made of + and × alone.
    pub fn next(&self, clip: f64, noised_sum: i64, expected_shoppers: u64) -> f64 {
        let within = self.share_within(noised_sum, expected_shoppers);
        let next = clip * exponential(-self.rate * (within - self.quantile));
        f64::from(next as f32).max(self.norm_min).min(self.norm_max)
    }
}

/// 1/k! for k from 0 to 18. The factorials are whole numbers below 2^53, so each is one correctly rounded division.
const INVERSE_FACTORIALS: [f64; 19] = [
    1.0,
    1.0,
    1.0 / 2.0,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
    1.0 / 87_178_291_200.0,
    1.0 / 1_307_674_368_000.0,
    1.0 / 20_922_789_888_000.0,
    1.0 / 355_687_428_096_000.0,
    1.0 / 6_402_373_705_728_000.0,
];

/// e^x for |x| ≤ 1, to 10⁻¹⁵ of its value: its Taylor polynomial of degree 18 by Horner's rule, in this order.
///
/// Multiplication and addition of IEEE 754 are correctly rounded and never fused here, so the bits are the same on every
/// machine. Those of [`f64::exp`] are not: each library of mathematics has its own.
fn exponential(x: f64) -> f64 {
    INVERSE_FACTORIALS.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests;
