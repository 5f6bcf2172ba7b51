//! Examples per second of private training: forward, backward, clip to an integer vector, exact norm check, sum.
//!
//! Every row is a shopper of its own, one thread, one call of the trainer per step as in a round. Run with
//! `cargo bench -p guildhall-client --bench private_training -- [--only 18-64-1] [--rows N] [--seconds S]
//! [--noise]`.
//! `--noise` adds a discrete Gaussian sample for every parameter once per step, as each release needs.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use guildhall_client::data::observations::{Observations, ShopperKey};
use guildhall_client::model::DeviceChoice;
use guildhall_client::train::Trainer;
use guildhall_privacy::noise::{BulkNoise, NoiseShare};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::{Activation, Architecture, ModelSpec};

struct Options {
    rows: usize,
    seconds: f64,
    noise: bool,
    only: Option<String>,
}

fn main() {
    guildhall_client::threads::start(Some(NonZeroUsize::MIN)).expect("one thread");
    let options = options();
    for (inputs, hidden, activation) in [
        (18, vec![64], Activation::Relu),
        (74, vec![64], Activation::Relu),
        (35, vec![16], Activation::Tanh),
        (80, vec![16], Activation::Tanh),
    ] {
        measure(&ModelSpec { architecture: Architecture::Mlp { hidden, activation }, inputs }, &options);
    }
    measure(&ModelSpec { architecture: Architecture::LogisticRegression, inputs: 80 }, &options);
}

fn options() -> Options {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1);
    Options {
        rows: after("--rows").and_then(|rows| rows.parse().ok()).unwrap_or(256),
        seconds: after("--seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(3.0),
        noise: arguments.iter().any(|a| a == "--noise"),
        only: after("--only").cloned(),
    }
}

fn measure(spec: &ModelSpec, options: &Options) {
    let widths: Vec<String> =
        std::iter::once(spec.inputs).chain(spec.layer_widths()).map(|width| width.to_string()).collect();
    let name = widths.join("-");
    if options.only.as_ref().is_some_and(|only| *only != name) {
        return;
    }
    let trainer = Trainer::new(spec, &DeviceChoice::Cpu).expect("the CPU is always there");
    let clip = ClippingSpec { norm_l2: 1.0, bound: 1 << 20 };
    let clipping = ClippingParameters::new(&clip, spec.parameter_count()).expect("a legal clip");
    let mut numbers = Numbers(1);
    let weights: Vec<f64> = (0..spec.parameter_count()).map(|_| 0.5 * numbers.signed()).collect();
    let rows = observations(options.rows, spec.inputs, &mut numbers);
    let step = || {
        let (sum, tally) =
            trainer.clipped_sum(&weights, &rows, &|_| true, &clipping).expect("the shapes fit");
        assert_eq!(tally.added, options.rows as u64);
        if options.noise {
            let share = NoiseShare::draw(&mut BulkNoise, 50 << 20, spec.parameter_count());
            black_box(sum.add_noise(share.expect("in range")));
        } else {
            black_box(sum);
        }
    };
    let times = repeat(step, Duration::from_secs_f64(options.seconds));
    let median = times[times.len() / 2].as_secs_f64();
    println!(
        "{name} {}: {:.0} examples/s (median of {} steps of {} rows; fastest {:.0}){}",
        activation(spec),
        options.rows as f64 / median,
        times.len(),
        options.rows,
        options.rows as f64 / times[0].as_secs_f64(),
        if options.noise { ", with noise" } else { "" },
    );
}

fn activation(spec: &ModelSpec) -> &'static str {
    match &spec.architecture {
        Architecture::Mlp { activation: Activation::Relu, .. } => "relu",
        Architecture::Mlp { activation: Activation::Tanh, .. } => "tanh",
        _ => "logistic",
    }
}

/// Sorted durations, after a tenth of the time to warm up.
fn repeat(step: impl Fn(), time: Duration) -> Vec<Duration> {
    let start = Instant::now();
    while start.elapsed() < time / 10 {
        step();
    }
    let start = Instant::now();
    let mut times = vec![];
    while times.len() < 3 || start.elapsed() < time {
        let begin = Instant::now();
        step();
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    times
}

fn observations(rows: usize, inputs: usize, numbers: &mut Numbers) -> Observations {
    let mut all = Observations::empty(inputs);
    for row in 0..rows {
        let features: Vec<f32> = (0..inputs).map(|_| numbers.signed() as f32).collect();
        all.push(ShopperKey((row as u128).to_be_bytes()), &features, (numbers.word() & 1) as f32);
    }
    all
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [−1, 1).
    fn signed(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}
