//! Jobs whose clip adapts: what each shopper says about the clip goes with its contribution, and depends on nobody else.

use guildhall_shared::digest::Digest;
use guildhall_shared::job::{AdaptiveClip, ClippingSpec, JobSpec};
use guildhall_shared::model_spec::Activation;
use guildhall_shared::model_state::ModelState;
use guildhall_shared::task::{FeatureSpec, Task, Transform};

use super::integers::hash;
use super::*;
use crate::participant::tests::harness;

const BOUND: u64 = 1 << 20;
const INDICATOR: u64 = BOUND / 10;

fn job(spec: &ModelSpec, norm_l2: f64) -> JobSpec {
    let feature =
        |i: usize| FeatureSpec { column: format!("c{i}"), transform: Transform::Positive, scale: 1.0 };
    let rule = AdaptiveClip { indicator: INDICATOR, quantile: 0.5, rate: 1.0, norm_min: 1e-3, norm_max: 1e3 };
    let mut job = harness::job();
    job.task = Task::Tabular { features: (0..spec.inputs).map(feature).collect() };
    job.architecture = spec.architecture.clone();
    job.clipping = ClippingSpec { norm_l2, bound: BOUND };
    job.adaptive_clip = Some(rule);
    job.round.expected_shoppers = 120;
    job.check().expect("a good job");
    job
}

/// Every shopper's d + 1 integers, as a digest, made in the company of all others.
struct Integers {
    clipping: ClippingParameters,
    digests: Vec<Digest>,
}

impl Integers {
    fn keep(&mut self, fill: impl FnOnce(&mut ShopperSum)) {
        let mut sum = ShopperSum::new(&self.clipping);
        fill(&mut sum);
        self.digests.push(hash(sum.finish().0));
    }
}

impl ContributionSink for Integers {
    fn add(&mut self, contribution: &[f64]) {
        self.keep(|sum| {
            sum.add(contribution);
        });
    }

    fn add_row(&mut self, gradient: &contribution::RowGradient<'_>, scratch: &mut [f64]) {
        self.keep(|sum| ContributionSink::add_row(sum, gradient, scratch));
    }
}

fn integers(job: &JobSpec, state: &ModelState, observations: &Observations) -> Vec<Digest> {
    let trainer = Trainer::new(&job.model(), &DeviceChoice::Cpu).unwrap();
    let clipping = ClippingParameters::of_round(job, state).unwrap();
    let new_sink = || Integers { clipping, digests: vec![] };
    let sinks = trainer.contributions(&state.weights, observations, &everybody, &new_sink).unwrap();
    sinks.into_iter().flat_map(|sink| sink.digests).collect()
}

/// The sum that a round without noise releases, from the contributions as they are before the clip.
fn released(job: &JobSpec, state: &ModelState, observations: &Observations) -> Vec<i64> {
    let (clip, grid) = (state.clipping(job).norm_l2, state.clipping(job).grid());
    let mut sum = vec![0i64; job.words()];
    for contribution in contributions(&job.model(), &state.weights, observations, &everybody) {
        let norm = contribution.iter().map(|x| x * x).sum::<f64>().sqrt();
        let factor = (clip / norm).min(1.0) / grid;
        sum.iter_mut().zip(&contribution).for_each(|(z, g)| *z += (g * factor) as i64);
        let coordinate = if norm <= clip { INDICATOR as i64 } else { -(INDICATOR as i64) };
        sum[contribution.len()] += coordinate;
    }
    sum
}

#[test]
fn emptying_one_shopper_changes_no_word_of_anybody_else_in_any_round() {
    for spec in [mlp(35, &[16], Activation::Tanh), mlp(18, &[64], Activation::Relu), logistic(80)] {
        let people = shoppers(120, 7, spec.inputs, 61);
        let all = observations(spec.inputs, &people);
        let job = job(&spec, 0.02);
        let mut states = vec![ModelState::initial(&job)];
        for _ in 0..5 {
            let state = &states[states.len() - 1];
            states.push(state.next(&job, &released(&job, state, &all)).unwrap());
        }
        let clips: Vec<f64> = states.iter().filter_map(|state| state.clip).collect();
        assert!(clips.windows(2).all(|pair| pair[0] != pair[1]), "the clip moves: {clips:?}");
        for emptied in [0, 1, 57, 118, 119] {
            let mut without = people.clone();
            without[emptied] = Rows::default();
            let without = observations(spec.inputs, &without);
            for (round, state) in states.iter().enumerate() {
                let mut before = integers(&job, state, &all);
                assert_eq!(before.len(), people.len());
                before.remove(emptied);
                assert_eq!(before, integers(&job, state, &without), "{spec:?} round {round}");
            }
        }
    }
}

#[test]
fn the_trainers_sum_holds_what_everybody_says_about_the_clip() {
    // At zero weights the residual is ±1/2: norms ½·√(0.5² + 0.25² + 1) = 0.573 and ½·√(2² + 1) = 1.118.
    let people = [
        Rows { features: vec![0.5, -0.25], labels: vec![1.0] },
        Rows { features: vec![2.0, 0.0], labels: vec![0.0] },
        Rows { features: vec![f32::NAN, 0.0], labels: vec![0.0] },
        Rows::default(),
    ];
    let all = observations(2, &people);
    let job = job(&logistic(2), 1.0);
    let trainer = Trainer::new(&job.model(), &DeviceChoice::Cpu).unwrap();
    let sum = |clip: f64, enters: &(dyn Fn(ShopperKey) -> bool + Sync)| {
        let state = ModelState { clip: Some(clip), ..ModelState::initial(&job) };
        let clipping = ClippingParameters::of_round(&job, &state).unwrap();
        hash(trainer.clipped_sum(&[0.0; 3], &all, enters, &clipping).unwrap().0)
    };
    let words = |words: [i64; 4]| {
        let bytes: Vec<u8> = words.iter().flat_map(|z| z.to_le_bytes()).collect();
        Digest::of_bytes(&bytes)
    };
    let (unit, beta) = (BOUND as i64, INDICATOR as i64);
    // A clip of 2: (−¼, ⅛, −½) + (1, 0, ½), a step worth twice as much. Two are within; a value that is no number is not.
    assert_eq!(sum(2.0, &everybody), words([3 * unit / 8, unit / 16, 0, beta]));
    let key = |shopper: usize| all.shoppers[shopper].key;
    assert_eq!(sum(1.0, &|k| k == key(0)), words([-unit / 4, unit / 8, -unit / 2, beta]));
    assert_eq!(sum(1.0, &|k| k == key(2)), words([0, 0, 0, -beta]));
    // Nobody, or somebody without rows, says nothing.
    assert_eq!(sum(1.0, &|_| false), words([0; 4]));
    assert_eq!(sum(1.0, &|k| all.shoppers.get(3).is_some_and(|s| s.key == k)), words([0; 4]));
}
