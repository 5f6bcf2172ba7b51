//! The noise on the decoded aggregate against the variance that the ledger charged for.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{Name, RoundId};
use guildhall_shared::job::{ClippingSpec, Unit};
use guildhall_shared::ring::{RingVector, RingWidth};

use crate::accountant::zcdp::calibrate_local;
use crate::clip::ShopperSum;
use crate::ledger::{BudgetLimit, Ledger, Reservation};
use crate::noise::{NoiseShare, OpenDpNoise};
use crate::parameter::{ClippingParameters, Protection, Travel};
use crate::test_environment::sample_count;

/// The standard normal quantile of 1 − 5e-7: two-sided, a false alarm once in a million runs.
const Z_ONE_IN_A_MILLION: f64 = 4.8916;

const BOUND: u64 = 1 << 20;

/// χ² quantile by Wilson and Hilferty's cube, good to 1e-5 relative at the degrees of freedom used here.
fn chi_square_quantile(degrees: f64, z: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + z * spread.sqrt()).powi(3)
}

/// One round of one merchant: clip, noise, seal, reserve, commit. Returns the bytes and the ρ charged.
fn release(clipping: &ClippingParameters, sigma: u64) -> (Vec<u8>, f64) {
    let mut sum = ShopperSum::new(clipping);
    let contribution: Vec<f64> = (0..clipping.parameters()).map(|i| (i % 7) as f64 - 3.0).collect();
    for _ in 0..5 {
        sum.add(&contribution);
    }
    let noise = NoiseShare::draw(&mut OpenDpNoise, sigma, clipping.parameters()).expect("draws");
    let sealed = sum.finish().0.add_noise(noise).seal(RingWidth::Bits64);
    let protection = Protection::Gaussian {
        bound: BOUND,
        noise_standard_deviation_local: sigma,
        honest_shares: 1,
        delta: 1e-6,
    };
    let mut ledger = Ledger::simulated(BudgetLimit { epsilon: 10.0, delta: 1e-6 }).expect("a budget");
    let reserved = ledger
        .reserve(Reservation {
            job: Name::new("noise").expect("legal"),
            job_digest: Digest([0; 32]),
            sid: Digest([1; 32]),
            round: RoundId { round: 0, attempt: 0 },
            unit: Unit::Shopper,
            protection,
            travel: Travel::Plain,
            survivors_min: 0,
            parameters: Digest([0; 32]),
            model: Digest([0; 32]),
            charge: protection.charge(),
            purpose: "test".into(),
            label: "test".into(),
            program: None,
        })
        .expect("within the budget");
    let committed = ledger.commit(reserved, sealed).expect("as reserved");
    (committed.bytes().to_vec(), ledger.spent().rho_upper_bound())
}

/// The integers everybody clips to, without noise.
fn clipped(clipping: &ClippingParameters) -> Vec<i64> {
    let mut sum = ShopperSum::new(clipping);
    let contribution: Vec<f64> = (0..clipping.parameters()).map(|i| (i % 7) as f64 - 3.0).collect();
    for _ in 0..5 {
        sum.add(&contribution);
    }
    sum.finish().0.integers().to_vec()
}

/// Σ(e/σ)² is χ² with as many degrees of freedom as samples: for σ ≥ 2^10 the discrete Gaussian's second moment
/// equals σ² to far beyond double precision. Two-sided at one false alarm in a million.
fn variance_is_plausible(normalised: &[f64]) -> bool {
    let degrees = normalised.len() as f64;
    let statistic: f64 = normalised.iter().map(|e| e * e).sum();
    (chi_square_quantile(degrees, -Z_ONE_IN_A_MILLION)..chi_square_quantile(degrees, Z_ONE_IN_A_MILLION))
        .contains(&statistic)
}

#[test]
fn the_decoded_aggregate_has_the_variance_that_was_charged() {
    let samples = sample_count(100_000, 1_000_000);
    let clipping =
        ClippingParameters::new(&ClippingSpec { norm_l2: 0.6, bound: BOUND }, samples).expect("legal");
    let sigma = calibrate_local(4.0, 1e-6, 60, BOUND, 1).expect("fits");
    let mut aggregate = RingVector::zero(RingWidth::Bits64, samples);
    let mut variance_charged = 0.0;
    for _ in 0..2 {
        let (bytes, rho) = release(&clipping, sigma);
        aggregate.add_bytes(&bytes).expect("the right length");
        variance_charged += (BOUND as f64).powi(2) / (2.0 * rho);
    }
    let expected = clipped(&clipping);
    let scale = variance_charged.sqrt();
    let noise: Vec<f64> =
        aggregate.centred().iter().zip(expected).map(|(y, x)| (y - 2 * x) as f64 / scale).collect();
    assert!(variance_is_plausible(&noise), "the noise does not have the variance that was charged");
    let (smaller, larger): (Vec<f64>, Vec<f64>) = noise.iter().map(|e| (e * 0.96, e * 1.04)).unzip();
    assert!(!variance_is_plausible(&smaller), "the test would not see noise 4 % too small");
    assert!(!variance_is_plausible(&larger), "the test would not see noise 4 % too large");
    check_shape(&noise);
}

/// Mean, correlation of neighbours and eight equally likely cells, each at one false alarm in a million.
fn check_shape(noise: &[f64]) {
    let count = noise.len() as f64;
    let mean = noise.iter().sum::<f64>() / count;
    assert!(mean.abs() < Z_ONE_IN_A_MILLION / count.sqrt(), "mean {mean}");
    let neighbours = noise.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / count;
    assert!(neighbours.abs() < 1.01 * Z_ONE_IN_A_MILLION / count.sqrt(), "correlation {neighbours}");
    // The octiles of the standard normal distribution.
    let edges =
        [-1.150_349_380, -0.674_489_750, -0.318_639_364, 0.0, 0.318_639_364, 0.674_489_750, 1.150_349_380];
    let mut cells = [0.0f64; 8];
    noise.iter().for_each(|e| cells[edges.partition_point(|edge| edge < e)] += 1.0);
    let statistic: f64 = cells.iter().map(|cell| (cell - count / 8.0).powi(2) / (count / 8.0)).sum();
    assert!(statistic < 42.0, "χ² of eight cells {statistic}: {cells:?}");
}

#[test]
fn the_quantiles_are_right() {
    // R: qchisq(c(.025, .975), 100) = 74.22193, 129.5612
    assert!((chi_square_quantile(100.0, -1.959_964) - 74.2219).abs() < 0.02);
    assert!((chi_square_quantile(100.0, 1.959_964) - 129.5612).abs() < 0.02);
}
