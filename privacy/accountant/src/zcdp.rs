//! Zero-concentrated differential privacy in exact integers. [core]
//!
//! # Source
//! Bun and Steinke 2016 (arXiv 1605.02065); Canonne, Kamath and Steinke 2020 (arXiv 2004.00010), Corollary 13.

use crate::{NOISE_STANDARD_DEVIATION_END, NOISE_STANDARD_DEVIATION_MIN, PicoRho};

#[cfg(test)]
mod tests;

/// Pico-ρ in one ρ.
const PICO: u128 = 1_000_000_000_000;

/// A budget larger than this is never meant; it also keeps every product within u128.
const PICO_RHO_MAX: u128 = 1 << 100;

/// What one release costs: ⌈10¹²·B²/(2·h·σ²)⌉ pico-ρ.
///
/// h shares of N_Z(0, σ_local²) add up to a discrete Gaussian of variance h·σ_local², for σ_local ≥ 2^10 to far within
/// 10⁻³⁷ (Kairouz, Liu, Steinke 2021, arXiv 2102.06387; computed in the tests of [`super::observer`]). What the release
/// costs against others than the server and C colluders is in [`super::observer`].
///
/// # Units
/// `bound` (B) and `noise_standard_deviation_local` (σ_local) in integer steps.
///
/// # Privacy
/// Never below the true cost; [`PicoRho::UNBOUNDED`] without noise, without shares, or beyond u128.
pub fn charge(bound: u64, honest_shares: u64, noise_standard_deviation_local: u64) -> PicoRho {
    let square = |x: u64| u128::from(x) * u128::from(x);
    // A saturated denominator is too small, which makes the charge too large: the safe side.
    let denominator =
        square(noise_standard_deviation_local).saturating_mul(u128::from(honest_shares)).saturating_mul(2);
    match square(bound).checked_mul(PICO) {
        Some(numerator) if denominator > 0 => PicoRho::from_pico(numerator.div_ceil(denominator)),
        _ => PicoRho::UNBOUNDED,
    }
}

/// An ε that every ρ-zCDP mechanism has at δ: never below the infimum over α of the conversion
/// δ(ε) = exp((α−1)(αρ−ε))/(α−1)·(1−1/α)^α.
///
/// Solved for ε with x = α − 1 and L = ln 1/δ it reads ε(x) = ρ(1+x) + (L − ln(1+x))/x − ln(1+1/x), and
/// ε'(x) = ρ − (L − ln(1+x))/x²: one minimum, where ρx² + ln(1+x) = L. Any x > 0 gives a valid ε, so only the
/// last evaluation has to be rounded up; the search need not.
///
/// # Privacy
/// 0 for ρ = 0 and for δ ≥ 1; infinite for a δ that is not positive or a ρ that is not a number ≥ 0.
pub fn epsilon_upper_bound(rho: f64, delta: f64) -> f64 {
    if rho.is_nan() || rho < 0.0 || delta.is_nan() {
        return f64::INFINITY;
    }
    if rho == 0.0 || delta >= 1.0 {
        return 0.0;
    }
    if delta <= 0.0 || rho.is_infinite() {
        return f64::INFINITY;
    }
    let log = -delta.ln();
    epsilon_at(best_order(rho, log, delta), rho, log)
}

/// α − 1 that minimises ε, by bisection between bounds that hold the one minimum.
fn best_order(rho: f64, log: f64, delta: f64) -> f64 {
    // ln(1+x) ≤ x gives ρx² + x ≥ L; each term alone is at most L.
    let mut low = 2.0 * log / (1.0 + (1.0 + 4.0 * rho * log).sqrt());
    let mut high = (log.sqrt() / rho.sqrt()).min(delta.recip());
    if !(low > 0.0 && low < high && high.is_finite()) {
        // The floats have run out at one end, where both bounds meet: any order is sound.
        return high.clamp(f64::MIN_POSITIVE, f64::MAX.sqrt());
    }
    for _ in 0..128 {
        let far = high / low > 4.0;
        let middle = if far { low.sqrt() * high.sqrt() } else { low + (high - low) / 2.0 };
        if rho * middle * middle + middle.ln_1p() < log {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// ε(x), rounded up by more than the floats can have lost: every term is right to a few units in the last place.
fn epsilon_at(x: f64, rho: f64, log: f64) -> f64 {
    let terms = [rho, rho * x, log / x, -x.ln_1p() / x, -x.recip().ln_1p()];
    let magnitude: f64 = terms.iter().map(|term| term.abs()).sum();
    let epsilon = terms.iter().sum::<f64>() + 16.0 * f64::EPSILON * magnitude;
    epsilon.max(0.0).next_up()
}

/// The largest whole pico-ρ whose ε at δ is at most `epsilon`: what a budget of (ε, δ) allows to spend.
///
/// # Privacy
/// Rounded down. Zero where nothing may be spent, and for anything that is not a number.
pub fn rho_lower_bound(epsilon: f64, delta: f64) -> PicoRho {
    let allowed =
        |pico: u128| epsilon_upper_bound(PicoRho::from_pico(pico).rho_upper_bound(), delta) <= epsilon;
    let mut refused = 1;
    while allowed(refused) {
        if refused >= PICO_RHO_MAX {
            return PicoRho::from_pico(PICO_RHO_MAX);
        }
        refused *= 2;
    }
    // Invariant: `granted` is allowed (zero costs nothing), `refused` is not.
    let mut granted = refused / 2;
    while refused - granted > 1 {
        let middle = granted + (refused - granted) / 2;
        if allowed(middle) {
            granted = middle;
        } else {
            refused = middle;
        }
    }
    PicoRho::from_pico(granted)
}

/// Why no noise keeps a budget.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum CalibrationError {
    /// The budget is empty.
    #[error("epsilon {epsilon} at delta {delta:e} leaves nothing to spend in each of {rounds} rounds")]
    NothingToSpend {
        /// ε.
        epsilon: f64,
        /// δ.
        delta: f64,
        /// T.
        rounds: u32,
    },
    /// The noise would not fit the integers.
    #[error("the noise would need a standard deviation of 2^53 integer steps or more: lower clipping.bound")]
    TooLarge,
    /// Nobody releases anything.
    #[error("expected at least one round, one honest share and a clip from 1 to 2^43, found {found}")]
    Nothing {
        /// Rounds, honest shares, bound.
        found: String,
    },
}

/// The smallest whole σ_local ≥ 2^10 with which `rounds` releases, each the sum of `honest_shares` (h) honest shares
/// and perhaps others, cost at most ε at δ. With h = 1 every merchant adds its full noise.
///
/// # Errors
/// [`CalibrationError`] when no σ below 2^53 does.
pub fn calibrate_local(
    epsilon: f64,
    delta: f64,
    rounds: u32,
    bound: u64,
    honest_shares: u64,
) -> Result<u64, CalibrationError> {
    if rounds == 0 || honest_shares == 0 || !(1..1 << 43).contains(&bound) {
        let found = format!("{rounds}, {honest_shares}, {bound}");
        return Err(CalibrationError::Nothing { found });
    }
    let per_round = rho_lower_bound(epsilon, delta).pico() / u128::from(rounds);
    if per_round == 0 {
        return Err(CalibrationError::NothingToSpend { epsilon, delta, rounds });
    }
    // ⌈N/(2hσ²)⌉ ≤ p  ⇔  N ≤ 2hpσ²  ⇔  σ² ≥ ⌈N/(2hp)⌉, all in whole numbers.
    let numerator = u128::from(bound) * u128::from(bound) * PICO;
    let divisor = per_round.saturating_mul(2).saturating_mul(u128::from(honest_shares));
    let variance = numerator.div_ceil(divisor);
    let root = variance.isqrt();
    let sigma = if root * root < variance { root + 1 } else { root };
    match u64::try_from(sigma) {
        Ok(sigma) if sigma < NOISE_STANDARD_DEVIATION_END => Ok(sigma.max(NOISE_STANDARD_DEVIATION_MIN)),
        _ => Err(CalibrationError::TooLarge),
    }
}
