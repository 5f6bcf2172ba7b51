//! Contributions per second of item and sequence models: forward, backward, clip to an integer vector, exact norm check, sum.
//!
//! One thread, one call of the trainer per step as in a round. Run with
//! `cargo bench -p guildhall-client --bench sequence_training -- [--only transformer] [--shoppers N] [--seconds S]`.
//! - `transformer`: 2,000 items, width 64, 50 positions all full, 2 blocks, 2 heads, feed-forward 64, 1 counterexample.
//! - `factorization`: 2,000 items, 64 factors, 40 items a shopper with 4 counterexamples each; an example is one pair of
//!   shopper and item.
//! - `gru_items`: as the transformer, a gated recurrent unit.
//! - `gru`, `lstm`, `cnn`: 26 steps of 8 channels and a token, 35 fixed inputs, width 32, hidden 32, 7 rows a shopper.
//! - `catalogue_epoch`: seconds of one epoch of ordinary training, 12,101 items, 22,363 shoppers, softmax over all items.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use guildhall_client::data::observations::{Observations, ShopperKey};
use guildhall_client::data::sequences::Sequences;
use guildhall_client::model::DeviceChoice;
use guildhall_client::train::items::ItemTrainer;
use guildhall_client::train::ordinary::{OrdinaryTraining, go_on};
use guildhall_client::train::sequence::SequenceTrainer;
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::id::RoundId;
use guildhall_shared::job::ClippingSpec;
use guildhall_shared::model_spec::{
    Architecture, ItemEncoder, LocalTraining, MatrixFactorization, ModelSpec, NextItemModel,
    SequenceClassifier, SequenceEncoder, SequenceShape,
};

const ITEMS: usize = 2_000;
const TRAINING: LocalTraining =
    LocalTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 128 };
const ROUND: RoundId = RoundId { round: 0, attempt: 0 };

struct Options {
    shoppers: usize,
    seconds: f64,
    only: Option<String>,
    device: DeviceChoice,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == name)
    }
}

fn main() {
    guildhall_client::threads::start(Some(NonZeroUsize::MIN)).expect("one thread");
    let options = options();
    let transformer = ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 64 };
    measure_items("transformer", next_item(transformer), 51, 50, &options);
    let factorization = MatrixFactorization { items: ITEMS, factors: 64, ridge: 1.0, negatives: 4 };
    measure_items("factorization", Architecture::MatrixFactorization(factorization), 40, 40 * 5, &options);
    measure_items("gru_items", next_item(ItemEncoder::Gru), 51, 50, &options);
    measure_rows("gru", SequenceEncoder::Gru, &options);
    measure_rows("lstm", SequenceEncoder::Lstm, &options);
    measure_rows("cnn", SequenceEncoder::Convolution { kernel: 5 }, &options);
    if options.only.as_ref().is_some_and(|only| only == "catalogue_epoch") {
        catalogue_epoch();
    }
}

fn options() -> Options {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| arguments.iter().skip_while(|a| *a != name).nth(1);
    Options {
        shoppers: after("--shoppers").and_then(|shoppers| shoppers.parse().ok()).unwrap_or(256),
        seconds: after("--seconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(3.0),
        only: after("--only").cloned(),
        device: after("--device").and_then(|device| device.parse().ok()).unwrap_or(DeviceChoice::Cpu),
    }
}

fn next_item(encoder: ItemEncoder) -> Architecture {
    Architecture::NextItem(NextItemModel {
        encoder,
        items: ITEMS,
        positions: 50,
        width: 64,
        dropout: 0.0,
        negatives: 1,
        training: TRAINING,
        start: None,
    })
}

fn catalogue(items: usize) -> Catalogue {
    Catalogue::of_items((0..items).map(|item| item.to_string()).collect())
}

fn key(index: usize) -> ShopperKey {
    ShopperKey((index as u128).to_be_bytes())
}

fn small_weights(spec: &ModelSpec, numbers: &mut Numbers) -> Vec<f64> {
    (0..spec.parameter_count()).map(|_| 0.1 * numbers.signed()).collect()
}

fn clipping(spec: &ModelSpec) -> ClippingParameters {
    let clip = ClippingSpec { norm_l2: 1.0, bound: 1 << 20 };
    ClippingParameters::new(&clip, spec.parameter_count()).expect("a legal clip")
}

fn measure_items(name: &str, architecture: Architecture, length: usize, examples: usize, options: &Options) {
    if !options.wants(name) {
        return;
    }
    let spec = ModelSpec { architecture, inputs: ITEMS };
    let mut numbers = Numbers(1);
    let weights = small_weights(&spec, &mut numbers);
    let mut sequences = Sequences::default();
    for shopper in 0..options.shoppers {
        let items: Vec<u32> = (0..length).map(|_| (numbers.word() % ITEMS as u64) as u32).collect();
        sequences.push(key(shopper), &items);
    }
    let trainer =
        ItemTrainer::new(&spec, &catalogue(ITEMS), &options.device, [1; 32]).expect("a legal model");
    let clipping = clipping(&spec);
    let step = || {
        let sum = trainer.clipped_sum(&weights, &sequences, &|_| true, ROUND, &clipping);
        let (sum, tally) = sum.expect("the shapes fit");
        assert_eq!(tally.added, options.shoppers as u64);
        black_box(sum);
    };
    report(name, examples, options, &repeat(step, Duration::from_secs_f64(options.seconds)));
}

fn measure_rows(name: &str, encoder: SequenceEncoder, options: &Options) {
    if !options.wants(name) {
        return;
    }
    const ROWS: usize = 7;
    let shape = SequenceShape { fixed: 35, steps: 26, channels: 8, tokens: 17 };
    let model = SequenceClassifier {
        encoder,
        shape,
        embedding: 8,
        width: 32,
        hidden: 32,
        dropout: 0.0,
        training: TRAINING,
    };
    let spec = ModelSpec { architecture: Architecture::Sequence(model), inputs: shape.inputs() };
    let mut numbers = Numbers(1);
    let weights = small_weights(&spec, &mut numbers);
    let mut observations = Observations::empty(shape.inputs());
    for shopper in 0..options.shoppers {
        for _ in 0..ROWS {
            let mut row: Vec<f32> = (0..shape.inputs()).map(|_| numbers.signed() as f32).collect();
            let tokens = row[shape.fixed..].iter_mut().step_by(shape.step_inputs());
            tokens.for_each(|token| *token = (numbers.word() % 17) as f32);
            observations.push(key(shopper), &row, (numbers.word() & 1) as f32);
        }
    }
    let trainer = SequenceTrainer::new(&spec, &options.device, [1; 32]).expect("a legal model");
    let clipping = clipping(&spec);
    let step = || {
        let sum = trainer.clipped_sum(&weights, &observations, &|_| true, ROUND, &clipping);
        let (sum, tally) = sum.expect("the shapes fit");
        assert_eq!(tally.added, options.shoppers as u64);
        black_box(sum);
    };
    report(name, ROWS, options, &repeat(step, Duration::from_secs_f64(options.seconds)));
}

/// A catalogue and lengths of histories about as Amazon Beauty's.
fn catalogue_epoch() {
    let encoder = ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 64 };
    let Architecture::NextItem(model) = next_item(encoder) else { return };
    let model = NextItemModel { items: 12_101, positions: 20, dropout: 0.2, negatives: 0, ..model };
    let spec = ModelSpec { architecture: Architecture::NextItem(model), inputs: 12_101 };
    let mut numbers = Numbers(1);
    let weights = small_weights(&spec, &mut numbers);
    let mut sequences = Sequences::default();
    for shopper in 0..22_363 {
        // Mean 6.9, at least 3: exponential gaps.
        let length = 3 + (-3.9 * (0.5 + 0.5 * numbers.signed()).max(1e-9).ln()) as usize;
        let items: Vec<u32> = (0..length).map(|_| (numbers.word() % 12_101) as u32).collect();
        sequences.push(key(shopper), &items);
    }
    let trainer = ItemTrainer::new(&spec, &catalogue(12_101), &DeviceChoice::Cpu, [1; 32]).expect("legal");
    let training = OrdinaryTraining { epochs: 1, learning_rate: 1e-3, batch: 128, seed: 1 };
    let start = Instant::now();
    black_box(trainer.fit(&weights, &sequences, &training, &mut go_on).expect("the shapes fit"));
    println!("catalogue_epoch: {:.1} s", start.elapsed().as_secs_f64());
}

fn report(name: &str, examples: usize, options: &Options, times: &[Duration]) {
    let rate = |time: Duration| options.shoppers as f64 / time.as_secs_f64();
    let median = rate(times[times.len() / 2]);
    println!(
        "{name}: {median:.0} shoppers/s, {:.0} examples/s (median of {} steps of {} shoppers; fastest {:.0})",
        median * examples as f64,
        times.len(),
        options.shoppers,
        rate(times[0]),
    );
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
