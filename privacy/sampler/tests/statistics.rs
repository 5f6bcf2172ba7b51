//! The samples of nine scales against the discrete Gaussian: moments, single values, shape, low bits, tails.
//!
//! 10^5 samples a scale, 10^7 with GUILDHALL_FULL_COUNTS=1. Seeds are fixed, so a pass stays a pass; whoever changes
//! the stream draws anew, and then each comparison fails by chance once in a million: all of them together about once
//! in ten thousand.

use guildhall_sampler::{DiscreteGaussian, Seed, Variance};

/// The standard normal quantile of 1 − 5e-7: two-sided, once in a million.
const Z_ONE_IN_A_MILLION: f64 = 4.8916;

/// σ² of 1, 3², 10.5, 10.5², 2^20, (2^10 + 1/3)², 2^40, 2^80, 2^104.
const SCALES: [(u128, u32); 9] = [
    (1, 1),
    (9, 1),
    (21, 2),
    (441, 4),
    (1 << 20, 1),
    (9_443_329, 9),
    (1 << 40, 1),
    (1 << 80, 1),
    (1 << 104, 1),
];

fn sample_count() -> usize {
    let full = std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1");
    if full { 10_000_000 } else { 100_000 }
}

fn samples(index: usize) -> Vec<i64> {
    let (numerator, denominator) = SCALES[index];
    let variance = Variance::new(numerator, denominator).expect("legal");
    let mut out = vec![0; sample_count()];
    let seed = Seed::from_entropy([index as u8 + 100; 32]);
    DiscreteGaussian::new(variance).fill(seed, &mut out).expect("draws");
    out
}

fn sigma(index: usize) -> f64 {
    let (numerator, denominator) = SCALES[index];
    (numerator as f64 / f64::from(denominator)).sqrt()
}

/// χ² quantile at one in a million by Wilson and Hilferty's cube, a little high for few degrees of freedom.
fn chi_square_limit(degrees: usize) -> f64 {
    let spread = 2.0 / (9.0 * degrees as f64);
    degrees as f64 * (1.0 - spread + 4.7534 * spread.sqrt()).powi(3)
}

/// Pearson's statistic over cells, those with fewer than 10 expected thrown together; none where it is within its limit.
fn chi_square_excess(counts: &[f64], probabilities: &[f64]) -> Option<String> {
    let total: f64 = counts.iter().sum();
    let (mut statistic, mut cells, mut rare) = (0.0, 0, (0.0, 0.0));
    let mut cell = |count: f64, expected: f64| {
        statistic += (count - expected).powi(2) / expected;
        cells += 1;
    };
    for (count, probability) in counts.iter().zip(probabilities) {
        let expected = probability * total;
        if expected >= 10.0 {
            cell(*count, expected);
        } else {
            rare = (rare.0 + count, rare.1 + expected);
        }
    }
    if rare.1 >= 10.0 {
        cell(rare.0, rare.1);
    }
    let limit = chi_square_limit(cells - 1);
    (statistic >= limit).then(|| format!("χ² of {cells} cells {statistic:.1} over {limit:.1}"))
}

/// Φ(b) − Φ(a) by Simpson's rule, within 1e-10.
fn normal_mass(a: f64, b: f64) -> f64 {
    let steps = 200;
    let h = (b - a) / f64::from(steps);
    let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (0..=steps)
        .map(|i| {
            let weight = if i == 0 || i == steps { 1.0 } else { f64::from(2 + 2 * (i % 2)) };
            weight * density(a + f64::from(i) * h) * h / 3.0
        })
        .sum()
}

/// For σ ≥ 1 the discrete Gaussian has moments 0, σ², 0, 3σ⁴ to within 2e-7 of σ², 1e-5 of σ⁴; the first four with
/// their standard errors 1, √2, √15, √96 over √n. Returns what is out of line.
fn moments_off(values: &[f64]) -> Vec<String> {
    let count = values.len() as f64;
    let power = |k: i32| values.iter().map(|t| t.powi(k)).sum::<f64>() / count;
    let expected = [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)];
    let off = |(k, mean, variance): (i32, f64, f64)| {
        let z = (power(k) - mean) * (count / variance).sqrt();
        (z.abs() >= Z_ONE_IN_A_MILLION).then(|| format!("moment {k} off by {z:.2} standard errors"))
    };
    expected.into_iter().filter_map(off).collect()
}

fn normalised(index: usize) -> Vec<f64> {
    let sigma = sigma(index);
    samples(index).into_iter().map(|x| x as f64 / sigma).collect()
}

#[test]
fn moments() {
    for (index, scale) in SCALES.iter().enumerate() {
        let values = normalised(index);
        assert_eq!(moments_off(&values), Vec::<String>::new(), "{:?}", scale);
        let wider: Vec<f64> = values.iter().map(|t| t * 1.02).collect();
        assert!(!moments_off(&wider).is_empty(), "the test would not see noise 2 % too large");
        let shifted: Vec<f64> = values.iter().map(|t| t + 0.03).collect();
        assert!(!moments_off(&shifted).is_empty(), "the test would not see noise 3 % of σ off centre");
    }
}

/// Neighbours are uncorrelated, and so are their sizes.
#[test]
fn neighbours_are_independent() {
    for (index, scale) in SCALES.iter().enumerate() {
        let values = normalised(index);
        let count = values.len() as f64;
        let sizes: Vec<f64> = values.iter().map(|t| (t * t - 1.0) / std::f64::consts::SQRT_2).collect();
        for series in [&values, &sizes] {
            for lag in [1, 2, 8] {
                let sum: f64 = series.iter().zip(&series[lag..]).map(|(a, b)| a * b).sum();
                assert!((sum / count.sqrt()).abs() < Z_ONE_IN_A_MILLION * 1.01, "{scale:?}: lag {lag}");
            }
        }
    }
}

/// Value by value up to 40 either side of zero, where σ is small enough for the count to say something.
#[test]
fn single_values_near_zero() {
    for (index, scale) in SCALES.iter().enumerate().take(6) {
        let samples = samples(index);
        let sigma = sigma(index);
        let weight = |x: i64| (-((x * x) as f64) / (2.0 * sigma * sigma)).exp();
        let reach = (40.0 * sigma) as i64;
        let mass: f64 = (-reach..=reach).map(weight).sum();
        let near: Vec<f64> = (-40..=40).map(|x| weight(x) / mass).collect();
        let elsewhere = (1.0 - near.iter().sum::<f64>()).max(0.0);
        let probabilities: Vec<f64> = near.into_iter().chain([elsewhere]).collect();
        let count = |samples: &[i64]| {
            let mut counts = vec![0.0; 82];
            samples.iter().for_each(|x| counts[if x.abs() <= 40 { (x + 40) as usize } else { 81 }] += 1.0);
            counts
        };
        let excess = chi_square_excess(&count(&samples), &probabilities);
        assert_eq!(excess, None, "{:?}", scale);
        // What an attempt at minus zero would give if it counted as zero. Needs some hundred zeros to be seen.
        let mut doubled = count(&samples);
        doubled[40] *= 2.0;
        let is_seen = chi_square_excess(&doubled, &probabilities).is_some();
        assert!(is_seen || sigma > 100.0, "the test would not see zero twice as often");
    }
}

/// 64 cells of σ/8 and the two ends; the discrete distribution is the continuous one there, rounded.
#[test]
fn shape() {
    for (index, scale) in SCALES.iter().enumerate().skip(4) {
        let (samples, sigma) = (samples(index), sigma(index));
        // Whole edges; x is in the cell if edge ≤ x < next edge, which is edge − 1/2 ≤ t < next − 1/2 in the continuous one.
        let edges: Vec<i64> = (-32..=32).map(|i| (f64::from(i) * sigma / 8.0).round() as i64).collect();
        let ends: Vec<f64> = [-12.0]
            .into_iter()
            .chain(edges.iter().map(|edge| (*edge as f64 - 0.5) / sigma))
            .chain([12.0])
            .collect();
        let probabilities: Vec<f64> = ends.windows(2).map(|pair| normal_mass(pair[0], pair[1])).collect();
        let mut counts = vec![0.0; probabilities.len()];
        samples.iter().for_each(|x| counts[edges.partition_point(|edge| edge <= x)] += 1.0);
        assert_eq!(chi_square_excess(&counts, &probabilities), None, "{:?}", scale);
        counts.rotate_left(1);
        assert!(
            chi_square_excess(&counts, &probabilities).is_some(),
            "the test would not see a shift by σ/8"
        );
    }
}

/// At large σ the low bits are uniform, whatever the float that somebody might have rounded: 256 residues.
#[test]
fn low_bits() {
    for (index, scale) in SCALES.iter().enumerate().skip(4) {
        let mut counts = vec![0.0; 256];
        samples(index).iter().for_each(|x| counts[(x & 255) as usize] += 1.0);
        assert_eq!(chi_square_excess(&counts, &[1.0 / 256.0; 256]), None, "{:?}", scale);
    }
}

/// How many are beyond 2, 3 and 3.97 σ, where the sampler's own tail begins.
#[test]
fn tails() {
    for (index, scale) in SCALES.iter().enumerate().skip(4) {
        let values = normalised(index);
        let count = values.len() as f64;
        for edge in [2.0, 3.0, 3.97] {
            // Half a unit, because the discrete value at the edge stands for what is around it.
            let probability = 2.0 * normal_mass(edge - 0.5 / sigma(index), 12.0);
            let beyond = values.iter().filter(|t| t.abs() >= edge).count() as f64;
            // Rounded up to the Poisson quantile where few are expected: 7 at 10^5 samples.
            let margin = Z_ONE_IN_A_MILLION * (count * probability).sqrt() + 5.0;
            let off = (beyond - count * probability).abs();
            assert!(off < margin, "{scale:?}: {beyond} beyond {edge}, not {}", count * probability);
        }
        let largest = values.iter().fold(0.0f64, |largest, t| largest.max(t.abs()));
        // P(|t| > 7.5) is 6e-14 a sample: with 10^7 samples less than one in a million.
        assert!((3.5..7.5).contains(&largest), "{:?}: the largest is {largest}", scale);
    }
}
