use proptest::prelude::*;

use super::*;
use crate::test_environment::test_data;

#[test]
fn known_answers() {
    for (rho, expected) in [(0.1, 2.142), (0.5, 5.222), (1.0, 7.766), (2.0, 11.689)] {
        let found = epsilon_upper_bound(rho, 1e-6);
        assert!((found - expected).abs() < 5e-4, "ρ {rho}: expected {expected}, found {found}");
    }
    for (epsilon, expected) in [(1.0, 0.02435), (4.0, 0.311), (8.0, 1.052)] {
        let found = rho_lower_bound(epsilon, 1e-6).rho_upper_bound();
        assert!((found / expected - 1.0).abs() < 1e-3, "ε {epsilon}: expected {expected}, found {found}");
    }
}

/// Merchants that know the same shopper: k·ρ, and k²·ρ in one sum.
#[test]
fn known_answers_for_several_merchants() {
    for (epsilon, twice, five_times) in [(1.0, 2.1, 5.8), (4.0, 8.8, 27.0)] {
        let rho = rho_lower_bound(epsilon, 1e-6);
        let squared = |k: u64| epsilon_upper_bound(rho.saturating_mul(k * k).rho_upper_bound(), 1e-6);
        assert!((squared(2) - twice).abs() < 0.05, "{}", squared(2));
        assert!((squared(5) / five_times - 1.0).abs() < 0.02, "{}", squared(5));
    }
}

/// Column `epsilon_zcdp_cks` of the reference file: the same conversion from another hand, printed to 10 digits.
#[test]
fn agrees_with_published_accountants() {
    let Some(path) = test_data("accounting/reference.csv") else { return };
    let text = std::fs::read_to_string(path).expect("readable");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).expect("the column is there");
    let (multiplier, steps) = (column("noise_multiplier"), column("steps"));
    let (delta, zcdp, simple) = (column("delta"), column("epsilon_zcdp_cks"), column("epsilon_zcdp_simple"));
    let pld = column("epsilon_pld");
    let mut checked = 0;
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let number = |index: usize| cells.get(index).and_then(|cell| cell.parse::<f64>().ok());
        let Some(expected) = number(zcdp) else { continue };
        let z = number(multiplier).expect("a noise multiplier");
        let found =
            epsilon_upper_bound(number(steps).expect("steps") / (2.0 * z * z), number(delta).expect("delta"));
        assert!((found / expected - 1.0).abs() <= 1e-9, "{line}: expected {expected}, found {found}");
        assert!(number(pld).is_none_or(|pld| found >= pld * (1.0 - 1e-3)), "{line}: below the tight value");
        assert!(number(simple).is_none_or(|simple| found <= simple), "{line}: above the simple bound");
        checked += 1;
    }
    assert!(checked >= 8, "only {checked} rows have zCDP values");
}

#[test]
fn edges() {
    assert_eq!(epsilon_upper_bound(0.0, 1e-6), 0.0);
    assert_eq!(epsilon_upper_bound(1.0, 1.0), 0.0);
    for (rho, delta) in
        [(1.0, 0.0), (1.0, -1.0), (f64::INFINITY, 1e-6), (f64::NAN, 0.5), (-1.0, 0.5), (1.0, f64::NAN)]
    {
        assert_eq!(epsilon_upper_bound(rho, delta), f64::INFINITY, "ρ {rho} δ {delta}");
    }
    for (epsilon, delta) in [(0.0, 0.0), (-1.0, 1e-6), (f64::NAN, 1e-6), (1.0, 0.0), (1.0, f64::NAN)] {
        assert_eq!(rho_lower_bound(epsilon, delta), PicoRho::ZERO, "ε {epsilon} δ {delta}");
    }
    assert!(rho_lower_bound(f64::INFINITY, 1e-6) > PicoRho::from_pico(1 << 90));
}

#[test]
fn tiny_and_huge_losses_stay_sensible() {
    for delta in [0.999_999, 0.5, 1e-3, 1e-6, 1e-12, 1e-100, 1e-300, 5e-324] {
        let mut last = 0.0;
        for exponent in -320..309 {
            let rho = 10f64.powi(exponent);
            let found = epsilon_upper_bound(rho, delta);
            let simple = rho + 2.0 * (rho * -delta.ln()).sqrt();
            assert!(found >= last, "ρ {rho:e} δ {delta}: {found} after {last}");
            assert!(
                found <= simple * (1.0 + 1e-12) || found < 1e-290,
                "ρ {rho:e} δ {delta}: {found}, {simple}"
            );
            assert!(found >= rho * 0.99 || delta > 1e-3 || rho < 1.0, "ρ {rho:e} δ {delta}: {found}");
            last = found;
        }
    }
}

/// ln δ of the conversion at one α, in its published form.
fn log_delta(rho: f64, epsilon: f64, alpha: f64) -> f64 {
    (alpha - 1.0) * (alpha * rho - epsilon) - (alpha - 1.0).ln() + alpha * (-1.0 / alpha).ln_1p()
}

proptest! {
    /// No α on a fine grid does better than what is returned, and what is returned is reached by some α: the value
    /// is the infimum, rounded up.
    #[test]
    fn epsilon_is_the_infimum_over_orders(rho in 1e-6..50.0f64, digits in 1.0..12.0f64) {
        let delta = 10f64.powf(-digits);
        let epsilon = epsilon_upper_bound(rho, delta);
        let best = |epsilon: f64| {
            (1..4_000).map(|i| log_delta(rho, epsilon, 1.0 + (f64::from(i) * 0.01 - 20.0).exp()))
                .fold(f64::INFINITY, f64::min)
        };
        prop_assert!(best(epsilon * (1.0 + 1e-3) + 1e-9) <= delta.ln(), "{epsilon} is not reached");
        prop_assert!(epsilon == 0.0 || best(epsilon * (1.0 - 1e-9)) >= delta.ln(), "{epsilon} is too large");
        // Directly: at the returned ε the order that was found certifies δ.
        let x = best_order(rho, -delta.ln(), delta);
        prop_assert!(log_delta(rho, epsilon, 1.0 + x) <= delta.ln() + 1e-9);
    }

    #[test]
    fn more_loss_is_more_epsilon(rho in 1e-9..100.0f64, more in 1e-6..10.0f64, digits in 1.0..15.0f64) {
        let delta = 10f64.powf(-digits);
        prop_assert!(epsilon_upper_bound(rho * (1.0 + more), delta) >= epsilon_upper_bound(rho, delta));
        prop_assert!(epsilon_upper_bound(rho, delta / (1.0 + more)) >= epsilon_upper_bound(rho, delta));
    }

    #[test]
    fn the_budget_in_rho_keeps_epsilon(epsilon in 1e-3..50.0f64, digits in 1.0..12.0f64) {
        let delta = 10f64.powf(-digits);
        let rho = rho_lower_bound(epsilon, delta);
        prop_assert!(epsilon_upper_bound(rho.rho_upper_bound(), delta) <= epsilon);
        let more = PicoRho::from_pico(rho.pico() + 1 + rho.pico() / 1_000_000_000);
        prop_assert!(epsilon_upper_bound(more.rho_upper_bound(), delta) > epsilon, "{rho} is not the largest");
    }

    #[test]
    fn calibration_is_the_smallest_that_fits(
        epsilon in 0.1..20.0f64, rounds in 1u32..1000, log_bound in 10u32..24, h in 1u64..50,
    ) {
        let bound = 1u64 << log_bound;
        let sigma = calibrate_local(epsilon, 1e-6, rounds, bound, h).expect("fits");
        let limit = rho_lower_bound(epsilon, 1e-6);
        let total = |sigma| charge(bound, h, sigma).saturating_mul(u64::from(rounds));
        prop_assert!(total(sigma) <= limit);
        prop_assert!(sigma == NOISE_STANDARD_DEVIATION_MIN || total(sigma - 1) > limit);
        prop_assert!(sigma >= NOISE_STANDARD_DEVIATION_MIN);
    }

    /// ⌈N/D⌉ in exact terms: charge·D covers N and one pico less would not.
    #[test]
    fn a_charge_is_rounded_up_by_less_than_one(bound in 1u64..1 << 24, h in 1u64..1000, sigma in 1u64..1 << 53) {
        let charge = charge(bound, h, sigma).pico();
        let denominator = 2 * u128::from(h) * u128::from(sigma).pow(2);
        let numerator = PICO * u128::from(bound).pow(2);
        prop_assert!(charge.checked_mul(denominator).is_none_or(|product| product >= numerator));
        prop_assert!((charge - 1) * denominator < numerator);
    }
}

#[test]
fn charges_never_overflow_into_something_cheap() {
    assert_eq!(charge(1, 1, 0), PicoRho::UNBOUNDED);
    assert_eq!(charge(1, 0, 1), PicoRho::UNBOUNDED);
    assert_eq!(charge(u64::MAX, u64::MAX, u64::MAX), PicoRho::UNBOUNDED);
    assert_eq!(charge(1 << 24, u64::MAX, u64::MAX), PicoRho::from_pico(1));
    assert_eq!(charge(0, 1, 1), PicoRho::ZERO);
    assert_eq!(charge(1 << 20, 1, 1 << 20), PicoRho::from_pico(PICO / 2));
    assert_eq!(charge(3, 2, 2), PicoRho::from_pico(9 * PICO / 16));
    assert_eq!(charge(1, 1, 1_000_003), PicoRho::from_pico(1));
}

/// The table of the documentation: σ/B for a total budget at δ = 1e-6, rounded up to three digits.
#[test]
fn noise_for_a_budget() {
    let rounds = [1, 50, 100, 200, 500];
    let table = [
        (1.0, [4.54, 32.1, 45.4, 64.1, 102.0]),
        (4.0, [1.27, 8.97, 12.7, 18.0, 28.4]),
        (8.0, [0.69, 4.88, 6.90, 9.75, 15.5]),
    ];
    for (epsilon, row) in table {
        for (rounds, expected) in rounds.into_iter().zip(row) {
            let sigma = calibrate_local(epsilon, 1e-6, rounds, 1 << 20, 1).expect("fits");
            let found = sigma as f64 / (1 << 20) as f64;
            assert!(
                (found / expected - 1.0).abs() < 0.008,
                "ε {epsilon} T {rounds}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn what_cannot_be_calibrated_says_why() {
    assert!(matches!(
        calibrate_local(0.0, 1e-6, 1, 1 << 20, 1),
        Err(CalibrationError::NothingToSpend { .. })
    ));
    assert!(matches!(calibrate_local(1.0, 0.0, 1, 1 << 20, 1), Err(CalibrationError::NothingToSpend { .. })));
    assert!(matches!(calibrate_local(1.0, 1e-6, 0, 1 << 20, 1), Err(CalibrationError::Nothing { .. })));
    assert!(matches!(calibrate_local(1.0, 1e-6, 1, 1 << 20, 0), Err(CalibrationError::Nothing { .. })));
    assert_eq!(calibrate_local(1e-3, 1e-6, 1000, 1 << 42, 1), Err(CalibrationError::TooLarge));
    let words = calibrate_local(0.0, 1e-6, 5, 1 << 20, 1).expect_err("nothing to spend").to_string();
    assert!(words.contains("nothing to spend in each of 5 rounds"), "{words}");
}
