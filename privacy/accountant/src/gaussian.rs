//! The analytic Gaussian: the exact loss of Gaussian mechanisms without sampling, rounded up. [core]
//!
//! A composition of Gaussian mechanisms with losses ρ_i is, at every ε, as private as one Gaussian mechanism with
//! μ = √(2·Σρ_i), and
//! δ(ε) = Φ(μ/2 − ε/μ) − e^ε·Φ(−μ/2 − ε/μ) (Balle and Wang 2018, arXiv 1805.06530, Theorem 8). With
//! u = ε/μ − μ/2, φ(u) = e^ε·φ(u + μ) and the Mills ratio R = P(Z > ·)/φ this is φ(u)·(R(u) − R(u + μ)), which keeps its
//! accuracy however small δ is.
//!
//! # The discrete Gaussian is no worse than a slightly smaller Gaussian
//! Derived, for σ ≥ 2^10. Take s² = σ² − 16, draw Y = x + N(0, s²) and then a whole number Z from the discrete Gaussian of
//! variance 16 centred at Y. Z is a randomised rounding of Y that does not look at x, so it costs no more than Y does. Given x,
//! P(Z = z) is ∫ φ_s(y − x)·exp(−(z − y)²/32)/N(y) dy with N(y) = Σ_k exp(−(k − y)²/32). By Poisson summation
//! N(y) = √(32π)·(1 + r) with |r| ≤ 2·Σ_{k≥1} exp(−2π²·16·k²) < 10⁻¹³⁶, and the rest of the integrand integrates to a
//! multiple of exp(−(z − x)²/(2σ²)). So Z is N_Z(x, σ²) up to a log-ratio of 10⁻¹³⁵ in each coordinate. s is smaller than σ by a factor of at least
//! √(1 − 2⁻¹⁶), so the loss is at most that of a Gaussian with μ·(1 − 2⁻¹⁶)^(−½) < μ·(1 + 2⁻¹⁷ + 2⁻³³). Charging μ·(1 + 2⁻¹⁶)
//! leaves a relative 2⁻¹⁸ of μ, which covers the log-ratios of more coordinates and rounds than can ever be: with Λ of them
//! in all ε grows by 10⁻¹³⁵·Λ. A sum of h shares is itself such a noise: see [`crate::observer`]. Sampling comes before the rounding, so
//! the same factor holds for sampled mechanisms.
//!
//! # Adaptivity
//! Each round may depend on what earlier rounds released. That a bound of Σρ_i kept round by round gives the loss of one
//! Gaussian mechanism, also where the ρ_i are chosen on the way, is Theorem 1 of Smith and Thakurta 2022 (arXiv 2210.17520).

use crate::PicoRho;
use crate::normal::{MILLS_ERROR, TAIL_ERROR, density, mills_ratio, tail};

#[cfg(test)]
mod tests;

/// What the μ of a discrete Gaussian with σ ≥ 2^10 is multiplied by to be charged as a Gaussian.
pub const ROUNDING_FACTOR: f64 = 1.0 + 1.0 / 65_536.0;

/// Relative error of ε/μ ± μ/2 before they cancel: two roundings each, and room.
const ARGUMENT_ERROR: f64 = 4.0 * f64::EPSILON;

/// Halvings after which the floats have run out.
const HALVINGS: u32 = 200;

/// The μ under which a total zCDP loss of *discrete* Gaussian releases (σ ≥ 2^10 each) is no worse than one Gaussian
/// mechanism: √(2·Σρ)·(1 + 2⁻¹⁶).
///
/// # Privacy
/// Rounded up.
pub fn mu_upper_bound(total: PicoRho) -> f64 {
    // Four roundings to nearest, each undone by less than one unit in the last place.
    let root = (2.0 * total.rho_upper_bound()).sqrt().next_up();
    (root * ROUNDING_FACTOR).next_up()
}

/// The largest advantage δ(ε) of one Gaussian mechanism with sensitivity over noise `mu`.
///
/// # Privacy
/// Never below the truth. 1 for anything that is not a number, or an infinite `mu`.
pub fn delta_upper_bound(mu: f64, epsilon: f64) -> f64 {
    if !(mu >= 0.0 && mu.is_finite()) || epsilon.is_nan() || epsilon < 0.0 {
        return 1.0;
    }
    if mu == 0.0 || epsilon == f64::INFINITY {
        return 0.0;
    }
    let (over, half) = (epsilon / mu, mu / 2.0);
    if over.is_infinite() {
        return f64::MIN_POSITIVE;
    }
    // δ falls with u for a given μ, and with R(u + μ): err downwards in the one and upwards in the other.
    let u = over - half - ARGUMENT_ERROR * (over + half);
    let v = (over + half) * (1.0 + ARGUMENT_ERROR);
    let second = mills_ratio(v) * (1.0 - MILLS_ERROR);
    let delta = if u >= 0.0 {
        // Where φ(u) has no relative accuracy left, δ is below every float that matters.
        let ratio = mills_ratio(u) * (1.0 + MILLS_ERROR) - second;
        density(u) * (1.0 + TAIL_ERROR) * ratio + f64::MIN_POSITIVE
    } else {
        let first = 1.0 - tail(-u) * (1.0 - TAIL_ERROR);
        first - density(u) * (1.0 - TAIL_ERROR) * second + 4.0 * f64::EPSILON
    };
    delta.clamp(0.0, 1.0)
}

/// The smallest ε at which one Gaussian mechanism with sensitivity over noise `mu` keeps `delta`.
///
/// # Privacy
/// Never below the truth: the ε returned was checked with [`delta_upper_bound`]. Infinite where none is.
pub fn epsilon_upper_bound(mu: f64, delta: f64) -> f64 {
    if delta.is_nan() || delta <= 0.0 || !(mu >= 0.0 && mu.is_finite()) {
        return f64::INFINITY;
    }
    let keeps = |epsilon: f64| delta_upper_bound(mu, epsilon) <= delta;
    if keeps(0.0) {
        return 0.0;
    }
    let mut refused = 0.0;
    let mut kept = mu * mu / 2.0 + mu * (-2.0 * delta.ln()).max(0.0).sqrt() + mu;
    if !keeps(kept) {
        return f64::INFINITY;
    }
    for _ in 0..HALVINGS {
        let middle = refused + (kept - refused) / 2.0;
        if middle <= refused || middle >= kept {
            break;
        }
        if keeps(middle) {
            kept = middle;
        } else {
            refused = middle;
        }
    }
    kept
}
