//! Samples of the discrete Gaussian a second, on one core: our own sampler and OpenDP's in turn, and the ratio.
//!
//! `cargo bench -p guildhall-privacy --bench noise`. Prints a table; asserts nothing about time.

use std::hint::black_box;
use std::time::Instant;

use guildhall_privacy::noise::{BulkNoise, NoiseSource, OpenDpNoise};

const RUNS: usize = 15;
/// About 20 ms of each.
const OWN_SAMPLES: usize = 1_000_000;
const OPENDP_SAMPLES: usize = 1_000;

/// Samples a second of one fill.
fn rate(source: &mut dyn NoiseSource, sigma: u64, out: &mut [i64]) -> f64 {
    let start = Instant::now();
    source.fill(sigma, black_box(out)).expect("draws");
    out.len() as f64 / start.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// In turn, so that other work on the machine slows both alike.
fn compare(power: u32) {
    let (mut own, mut opendp) = (vec![0; OWN_SAMPLES], vec![0; OPENDP_SAMPLES]);
    let pairs: Vec<[f64; 2]> = (0..RUNS)
        .map(|_| {
            [rate(&mut BulkNoise, 1 << power, &mut own), rate(&mut OpenDpNoise, 1 << power, &mut opendp)]
        })
        .collect();
    let of = |value: fn(&[f64; 2]) -> f64| median(pairs.iter().map(value).collect());
    println!(
        "σ = 2^{power}: {:.1} million samples/s, OpenDP {:.0} samples/s: {:.0} times",
        of(|pair| pair[0]) / 1e6,
        of(|pair| pair[1]),
        of(|pair| pair[0] / pair[1])
    );
}

/// What a model's worth costs, tables of σ included.
fn model(parameters: usize) {
    let mut out = vec![0; parameters];
    let seconds =
        median((0..RUNS).map(|_| parameters as f64 / rate(&mut BulkNoise, 50 << 20, &mut out)).collect());
    println!("{parameters} parameters: {:.2} ms", seconds * 1e3);
}

fn main() {
    for power in [10, 20, 40, 52] {
        compare(power);
    }
    for parameters in [600, 10_000, 1_000_000] {
        model(parameters);
    }
}
