use guildhall_shared::job::{Aggregation, PrivacySpec};
use guildhall_shared::round_parameters::{NOISE_SHARE_MIN, RoundParameters};
use proptest::prelude::*;

use super::observer::*;
use super::zcdp::charge;
use crate::noise::{NOISE_STANDARD_DEVIATION_END, NOISE_STANDARD_DEVIATION_MIN};
use crate::test_environment::TabularJob;

const PICO: u128 = 1_000_000_000_000;

fn release(honest_shares: u64, survivors: u64, sigma: u64) -> MaskedRelease {
    MaskedRelease { bound: 1 << 20, noise_standard_deviation_local: sigma, honest_shares, survivors }
}

#[test]
fn known_answers() {
    // B/σ_local = 1 and nine merchants: h = 6, m_min = 8, so 1/12, 1/16, 1/14 and 1/2.
    let costs = |release: MaskedRelease| {
        [Observer::ServerAndColluders, Observer::Outsider, Observer::Survivor, Observer::EverybodyElse]
            .map(|observer| release.charge_against(observer).pico())
    };
    assert_eq!(costs(release(6, 8, 1 << 20)), [83_333_333_334, 62_500_000_000, 71_428_571_429, PICO / 2]);
    assert_eq!(costs(release(0, 0, 1 << 20)), [u128::MAX; 4], "nobody's noise protects nobody");
    assert_eq!(costs(release(1, 1, 1 << 20))[2], u128::MAX, "the only survivor knows all there is");
}

proptest! {
    /// Against the exact fractions ρ, ρ·h/s, ρ·h/(s−1), h·ρ: never below, and less than one unit above.
    #[test]
    fn exact_and_rounded_up(
        bound in 1u64..1 << 24, sigma in NOISE_STANDARD_DEVIATION_MIN..1 << 30, honest in 1u64..1_000, dropped in 1u64..500,
    ) {
        let survivors = honest + dropped;
        let release =
            MaskedRelease { bound, noise_standard_deviation_local: sigma, honest_shares: honest, survivors };
        let twice_variance = 2 * u128::from(sigma).pow(2);
        for (observer, shares) in [
            (Observer::ServerAndColluders, honest),
            (Observer::Outsider, survivors),
            (Observer::Survivor, survivors - 1),
            (Observer::EverybodyElse, 1),
        ] {
            let charged = release.charge_against(observer).pico();
            // charged − 1 < 10¹²·B²/(2·shares·σ²) ≤ charged, multiplied out.
            let numerator = PICO * u128::from(bound).pow(2);
            let denominator = twice_variance * u128::from(shares);
            prop_assert!(charged * denominator >= numerator);
            prop_assert!((charged - 1) * denominator < numerator);
        }
        let against = |observer| release.charge_against(observer);
        prop_assert!(against(Observer::Outsider) <= against(Observer::Survivor));
        prop_assert!(against(Observer::Survivor) <= against(Observer::ServerAndColluders));
        prop_assert!(against(Observer::ServerAndColluders) <= against(Observer::EverybodyElse));
        let all_others = against(Observer::ServerAndColluders).saturating_mul(honest);
        prop_assert!(against(Observer::EverybodyElse) <= all_others);
    }
}

/// ln τ for j shares of standard deviation σ, from above: every term is at most the first, whose k is 1.
fn correction_ln(sigma: f64, shares: u32) -> f64 {
    let pi_squared = std::f64::consts::PI.powi(2);
    (10.0 * f64::from(shares.saturating_sub(1))).ln() - pi_squared * sigma * sigma
}

/// τ in full.
fn correction(sigma: f64, shares: u32) -> f64 {
    let term = |k: u32| {
        let k = f64::from(k);
        (-2.0 * std::f64::consts::PI.powi(2) * sigma * sigma * k / (k + 1.0)).exp()
    };
    10.0 * (1..shares).map(term).sum::<f64>()
}

#[test]
fn the_correction_for_sums_of_shares_is_negligible() {
    assert_eq!(NOISE_SHARE_MIN, NOISE_STANDARD_DEVIATION_MIN, "rounds and noise draw the same line");
    let log10 = |sigma: f64, shares| correction_ln(sigma, shares) / std::f64::consts::LN_10;
    // The smallest share that is ever drawn, and as many shares as rosters could ever have.
    assert!(log10(NOISE_STANDARD_DEVIATION_MIN as f64, 1 << 20) < -4_000_000.0);
    // Where the paper's bound begins to be negligible, in full: below 10⁻³⁷ from σ = 3.
    assert!(correction(3.0, 1_000) < 1e-37, "{:e}", correction(3.0, 1_000));
    assert!(correction(2.9, 1_000) > 1e-37, "the line is where it is said to be");
    for (sigma, shares) in [(0.7, 2), (1.0, 5), (3.0, 47), (3.0, 640)] {
        assert!(correction(sigma, shares).ln() <= correction_ln(sigma, shares), "{sigma} {shares}");
    }
}

/// The probabilities of N_Z(0, σ²) on −side..=side.
fn discrete_gaussian(variance: f64, side: i32) -> Vec<f64> {
    let weights: Vec<f64> =
        (-side..=side).map(|x| (-f64::from(x).powi(2) / (2.0 * variance)).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

/// Where shares are so narrow that the difference can be seen, it is there, and below the bound that is relied on.
#[test]
fn the_correction_bounds_what_sums_of_shares_really_differ_by() {
    let side = 120;
    for sigma in [0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
        let share = discrete_gaussian(sigma * sigma, side);
        let mut sum = share.clone();
        for shares in 2..=5u32 {
            let width = side as usize;
            let convolve = |x: usize| -> f64 {
                (0..=2 * width).filter_map(|i| Some(sum[i] * share.get((x + width).checked_sub(i)?)?)).sum()
            };
            sum = (0..=2 * width).map(convolve).collect();
            let one = discrete_gaussian(f64::from(shares) * sigma * sigma, side);
            // Six standard deviations of the sum: beyond, the cut tails and the floats would be compared.
            let reach = (6.0 * f64::from(shares).sqrt() * sigma) as usize;
            let differ = (width - reach..=width + reach).map(|x| (sum[x] / one[x]).ln().abs());
            let worst = differ.fold(0.0, f64::max);
            let tau = correction(sigma, shares);
            assert!(worst <= tau + 1e-12, "{shares} shares of {sigma}: differ by {worst:e}, bound {tau:e}");
            // More shares smooth out most of what two differ by.
            assert!(shares > 2 || worst >= tau / 6.0, "two shares of {sigma}: {worst:e}, bound {tau:e}");
        }
    }
}

/// The sum of h shares has at least the variance that the job asks for, in exact integers, with no step to spare; so a
/// masked round never costs more than the job's own noise does.
#[test]
fn shares_add_up_to_the_noise_of_the_job() {
    let mut random = crate::test_environment::TestRandom(11);
    let template = TabularJob::default().spec();
    assert_eq!(template.round.aggregation, Aggregation::Masked);
    let mut tried = 0;
    for merchants in (3..=128).chain([129, 200, 500, 1_000]) {
        for _ in 0..20 {
            // From the smallest to the largest noise, evenly in its logarithm.
            let bits = 16 + random.below(30);
            let sigma = (1 << bits) + random.below(1 << bits) as u64;
            assert!(sigma < NOISE_STANDARD_DEVIATION_END);
            let mut job = template.clone();
            let PrivacySpec::Gaussian { noise_standard_deviation, .. } = &mut job.privacy else {
                panic!("has noise")
            };
            *noise_standard_deviation = sigma;
            let parameters = RoundParameters::derive(&job, merchants).expect("has rounds");
            let secagg = parameters.secagg.as_ref().expect("masked");
            assert_eq!(parameters.honest_noise_shares, secagg.noise_shares());
            let (h, share) = (u128::from(secagg.noise_shares()), parameters.noise_standard_deviation_local);
            let variance = |share: u64| h * u128::from(share).pow(2);
            let wanted = u128::from(sigma).pow(2);
            assert!(h >= 1 && h <= u128::from(secagg.survivors_min - secagg.colluders));
            assert!(variance(share) >= wanted, "{merchants} merchants, σ {sigma}: too narrow");
            assert!(variance(share - 1) < wanted, "{merchants} merchants, σ {sigma}: wider than need be");
            let bound = job.clipping.bound;
            assert!(charge(bound, h as u64, share) <= charge(bound, 1, sigma));
            tried += 1;
        }
    }
    assert_eq!(tried, 130 * 20);
}
