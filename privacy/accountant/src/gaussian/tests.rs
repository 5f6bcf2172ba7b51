use proptest::prelude::*;

use super::*;
use crate::zcdp;

/// From an arbitrary-precision program (60 digits): μ, ε, δ.
const DELTAS: [(f64, f64, f64); 12] = [
    (1.0, 0.0, 0.38292492254802621),
    (1.0, 1.0, 0.12693673750664395),
    (1.0, 5.0, 5.793_721_691_919_494e-7),
    (0.01, 0.02, 8.575_951_307_878_229e-5),
    (0.001, 0.003, 3.827_279_372_473_897e-7),
    (10.0, 80.0, 0.001010969051618483),
    (31.622776601683793, 634.0, 9.901_158_498_483_612e-6),
    (0.5, 3.0, 3.400_911_735_673_529e-10),
    (3.0, 0.5, 0.829_995_809_947_690_3),
    (1e-6, 5e-6, 5.346_178_899_262_712e-14),
    (2.0, 60.0, 2.1178975657208595e-186),
    (100.0, 5500.0, 2.7249362234044253e-7),
];

#[test]
fn known_answers() {
    for (mu, epsilon, expected) in DELTAS {
        let found = delta_upper_bound(mu, epsilon);
        assert!(found >= expected, "μ {mu} ε {epsilon}: {found:e} is below the truth {expected:e}");
        assert!(
            found <= expected * (1.0 + 1e-6),
            "μ {mu} ε {epsilon}: expected {expected:e}, found {found:e}"
        );
    }
}

/// The figures of the documentation: what zCDP calls 1, 4, 8 at δ = 1e-6.
#[test]
fn the_tight_figure_of_a_zcdp_budget() {
    for (budget, expected) in [(1.0, 0.93), (4.0, 3.74), (8.0, 7.51)] {
        let mu = mu_upper_bound(zcdp::rho_lower_bound(budget, 1e-6));
        let found = epsilon_upper_bound(mu, 1e-6);
        assert!((found - expected).abs() < 0.005, "{budget}: expected {expected}, found {found}");
    }
}

#[test]
fn edges() {
    assert_eq!(delta_upper_bound(0.0, 0.0), 0.0);
    assert_eq!(epsilon_upper_bound(0.0, 1e-6), 0.0);
    assert_eq!(epsilon_upper_bound(1.0, 1.0), 0.0);
    for (mu, delta) in [(f64::NAN, 1e-6), (f64::INFINITY, 1e-6), (-1.0, 1e-6), (1.0, 0.0), (1.0, f64::NAN)] {
        assert_eq!(epsilon_upper_bound(mu, delta), f64::INFINITY, "μ {mu} δ {delta}");
    }
    for (mu, epsilon) in [(f64::NAN, 1.0), (1.0, f64::NAN), (1.0, -1.0), (f64::INFINITY, 1.0)] {
        assert_eq!(delta_upper_bound(mu, epsilon), 1.0, "μ {mu} ε {epsilon}");
    }
    assert!(mu_upper_bound(PicoRho::UNBOUNDED) > 1e12);
    let one = mu_upper_bound(PicoRho::from_rho_ceiling(0.5)) / ROUNDING_FACTOR;
    assert!(one > 1.0 && one < 1.0 + 8.0 * f64::EPSILON, "{one}");
}

/// The two facts of the module's argument that are numbers.
#[test]
fn the_rounding_costs_less_than_its_factor() {
    // 16/σ² at σ = 2^10, and 2·Σ exp(−2π²·16·k²), dominated by its first term.
    let smaller = (1.0 - 16.0 / f64::from(1 << 20)).sqrt().recip();
    assert!(
        smaller < 1.0 + 2f64.powi(-17) + 2f64.powi(-33) && smaller * (1.0 + 2f64.powi(-18)) < ROUNDING_FACTOR
    );
    let log10 = -2.0 * std::f64::consts::PI.powi(2) * 16.0 / std::f64::consts::LN_10;
    assert!(log10 + 3f64.log10() < -136.0, "{log10}");
}

/// Brute force at small scale: the discrete Gaussian over one coordinate, value by value, is no worse than its Gaussian.
#[test]
fn the_discrete_gaussian_is_within_the_charge() {
    for (sigma, shift) in [(1024.0, 1024), (1024.0, 400), (2048.0, 6000)] {
        let ln_pmf = |k: i64| -((k * k) as f64) / (2.0 * sigma * sigma);
        let range = 12 * sigma as i64 + shift;
        let total: f64 = (-range..=range).map(|k| ln_pmf(k).exp()).sum();
        for epsilon in [0.1, 1.0, 3.0, 8.0] {
            let loss = |k: i64| ln_pmf(k) - ln_pmf(k - shift);
            let delta: f64 = (-range..=range)
                .filter(|k| loss(*k) > epsilon)
                .map(|k| ln_pmf(k).exp() / total * -(epsilon - loss(k)).exp_m1())
                .sum();
            let charged = delta_upper_bound(shift as f64 / sigma * ROUNDING_FACTOR, epsilon);
            assert!(delta <= charged, "σ {sigma} shift {shift} ε {epsilon}: {delta:e} against {charged:e}");
        }
    }
}

proptest! {
    /// Against the hockey-stick integral by brute force (trapezoid over ±10 standard deviations).
    #[test]
    fn delta_is_the_integral(mu in 0.05..6.0f64, share in 0.0..1.0f64) {
        let epsilon = share * (mu * mu / 2.0 + 5.0 * mu);
        let step = 1e-3;
        let integral: f64 = (0..=(20_000 + (mu / step) as i64)).map(|i| {
            let x = -10.0 + i as f64 * step;
            let loss = mu * x - mu * mu / 2.0;
            let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
            (density(x - mu) * -(epsilon - loss).min(0.0).exp_m1()) * step
        }).sum();
        let found = delta_upper_bound(mu, epsilon);
        prop_assert!((found - integral).abs() <= 1e-5 * integral + 1e-15, "{found:e} {integral:e}");
    }

    #[test]
    fn monotone_and_inverse(mu in 1e-6..60.0f64, digits in 1.0..200.0f64, more in 1e-6..1.0f64) {
        let delta = 10f64.powf(-digits);
        let epsilon = epsilon_upper_bound(mu, delta);
        prop_assert!(epsilon.is_finite() && delta_upper_bound(mu, epsilon) <= delta);
        prop_assert!(epsilon == 0.0 || delta_upper_bound(mu, epsilon * (1.0 - 1e-6)) > delta * (1.0 - 1e-5));
        prop_assert!(epsilon_upper_bound(mu * (1.0 + more), delta) >= epsilon);
        prop_assert!(epsilon_upper_bound(mu, delta / (1.0 + more)) >= epsilon);
        // Never more than what zCDP says of the same mechanism.
        prop_assert!(epsilon <= zcdp::epsilon_upper_bound(mu * mu / 2.0, delta) * (1.0 + 1e-9) + 1e-12);
    }
}
