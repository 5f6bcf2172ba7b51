//! Job files: TOML as written by a person, checked as a whole, all mistakes reported at once.

use std::fmt;

use serde::Deserialize;

use super::{ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use crate::id::Name;
use crate::model_spec::{Activation, Architecture, PARAMETERS_MAX};
use crate::optimizer::{OptimizerSpec, UpdateRule};
use crate::task::{FeatureSpec, RepurchaseSpec, Task, Transform};

/// The `[simulation]` table of a job file: how `simulate` cuts one data set into merchants. Not part of the job.
pub type SimulationSpec = toml::Table;

/// Turns a budget into the noise that keeps it. Implemented by the privacy crate's accountant.
pub trait NoiseCalibration {
    /// The smallest whole σ (in integer units) with which `rounds` releases of sensitivity `bound` cost at most ε at δ.
    ///
    /// # Errors
    /// A sentence saying why there is none.
    fn noise_standard_deviation(
        &self,
        epsilon: f64,
        delta: f64,
        rounds: u32,
        bound: u64,
    ) -> Result<u64, String>;
}

/// Everything wrong with a job, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct JobError {
    /// Each names a key, what was expected and what was found.
    pub mistakes: Vec<String>,
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the job has {} mistake(s):", self.mistakes.len())?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

impl std::error::Error for JobError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawJob {
    name: String,
    purpose: String,
    seed: u64,
    rounds: u32,
    unit: Unit,
    task: RawTask,
    #[serde(default)]
    model: Option<RawModel>,
    optimizer: RawOptimizer,
    clipping: RawClipping,
    privacy: RawPrivacy,
    round: RawRound,
    simulation: Option<SimulationSpec>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawTask {
    Tabular { features: Vec<RawFeature> },
    Repurchase { horizon_weeks: u32, train_weeks: Vec<u32>, validation_weeks: Vec<u32>, test_weeks: Vec<u32> },
    Dummy { parameters: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFeature {
    column: String,
    transform: RawTransform,
    min: Option<f64>,
    max: Option<f64>,
    vocabulary: Option<Vec<String>>,
    #[serde(default = "one")]
    scale: f64,
}

#[derive(Deserialize, Clone, Copy, Debug)]
#[serde(rename_all = "snake_case")]
enum RawTransform {
    Identity,
    Log1p,
    Positive,
    OneHot,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawModel {
    LogisticRegression,
    Mlp { hidden: Vec<usize>, activation: Activation },
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawOptimizer {
    Sgd {
        learning_rate: f64,
        momentum: f64,
        #[serde(default)]
        average_last_rounds: u32,
    },
    Adam {
        learning_rate: f64,
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        #[serde(default)]
        average_last_rounds: u32,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClipping {
    norm_l2: f64,
    #[serde(default = "default_bound")]
    bound: u64,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "privacy must be \"none\" or a table with epsilon and delta")]
enum RawPrivacy {
    Word(String),
    Budget(RawBudget),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBudget {
    epsilon: f64,
    delta: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRound {
    quorum: u32,
    #[serde(default = "default_accept_deadline_ms")]
    accept_deadline_ms: u64,
    update_deadline_ms: u64,
    #[serde(default)]
    upload_slot_ms: u64,
    expected_shoppers: u64,
    shoppers_per_merchant_max: u64,
    #[serde(default = "one")]
    participation_rate: f64,
}

fn one() -> f64 {
    1.0
}

/// 2^20: fine enough that rounding is far below any useful noise, small enough for exact f64 blocks.
fn default_bound() -> u64 {
    1 << 20
}

fn default_accept_deadline_ms() -> u64 {
    5_000
}

/// Collects mistakes instead of stopping at the first.
struct Mistakes(Vec<String>);

impl Mistakes {
    fn require(&mut self, condition: bool, key: &str, expected: &str, found: impl fmt::Debug) {
        if !condition {
            self.0.push(format!("{key}: expected {expected}, found {found:?}"));
        }
    }
}

pub(super) fn parse(
    text: &str,
    calibration: &dyn NoiseCalibration,
) -> Result<(JobSpec, Option<SimulationSpec>), JobError> {
    let raw: RawJob = toml::from_str(text)
        .map_err(|e| JobError { mistakes: vec![e.to_string().trim_end().to_string()] })?;
    let mut mistakes = Mistakes(vec![]);
    let name = Name::new(raw.name).unwrap_or_else(|e| {
        mistakes.0.push(format!("name: {e}"));
        Name::new("invalid").expect("a legal name")
    });
    let task = task(raw.task, &mut mistakes);
    let architecture = architecture(raw.model, &task, &mut mistakes);
    let clipping = ClippingSpec { norm_l2: raw.clipping.norm_l2, bound: raw.clipping.bound };
    let privacy = match raw.privacy {
        RawPrivacy::Word(word) => {
            mistakes.require(word == "none", "privacy", "\"none\" or a table with epsilon and delta", &word);
            PrivacySpec::None { unit: raw.unit }
        }
        RawPrivacy::Budget(RawBudget { epsilon, delta }) => {
            let noise = calibration
                .noise_standard_deviation(epsilon, delta, raw.rounds, clipping.bound)
                .unwrap_or_else(|e| {
                    mistakes.0.push(format!("privacy: {e}"));
                    1 << 10
                });
            PrivacySpec::Gaussian { unit: raw.unit, epsilon, delta, noise_standard_deviation: noise }
        }
    };
    let spec = JobSpec {
        name,
        purpose: raw.purpose,
        task,
        architecture,
        seed: raw.seed,
        rounds: raw.rounds,
        optimizer: optimizer(raw.optimizer),
        clipping,
        privacy,
        round: RoundSpec {
            quorum: raw.round.quorum,
            accept_deadline_ms: raw.round.accept_deadline_ms,
            update_deadline_ms: raw.round.update_deadline_ms,
            upload_slot_ms: raw.round.upload_slot_ms,
            expected_shoppers: raw.round.expected_shoppers,
            shoppers_per_merchant_max: raw.round.shoppers_per_merchant_max,
            participation_rate: raw.round.participation_rate,
        },
    };
    collect(&spec, &mut mistakes);
    if mistakes.0.is_empty() { Ok((spec, raw.simulation)) } else { Err(JobError { mistakes: mistakes.0 }) }
}

pub(super) fn check(spec: &JobSpec) -> Result<(), JobError> {
    let mut mistakes = Mistakes(vec![]);
    collect(spec, &mut mistakes);
    if mistakes.0.is_empty() { Ok(()) } else { Err(JobError { mistakes: mistakes.0 }) }
}

fn task(raw: RawTask, mistakes: &mut Mistakes) -> Task {
    match raw {
        RawTask::Tabular { features } => {
            Task::Tabular { features: features.into_iter().map(|f| feature(f, mistakes)).collect() }
        }
        RawTask::Repurchase { horizon_weeks, train_weeks, validation_weeks, test_weeks } => {
            Task::Repurchase(RepurchaseSpec { horizon_weeks, train_weeks, validation_weeks, test_weeks })
        }
        RawTask::Dummy { parameters } => Task::Dummy { parameters },
    }
}

fn feature(raw: RawFeature, mistakes: &mut Mistakes) -> FeatureSpec {
    let key = |part: &str| format!("task.features[column = {:?}].{part}", raw.column);
    let mut bound = |part: &str, value: Option<f64>| {
        mistakes.require(value.is_some_and(f64::is_finite), &key(part), "a public number", value);
        value.unwrap_or_default()
    };
    let transform = match raw.transform {
        RawTransform::Identity => {
            Transform::Identity { min: bound("min", raw.min), max: bound("max", raw.max) }
        }
        RawTransform::Log1p => Transform::Log1p { max: bound("max", raw.max) },
        RawTransform::Positive => Transform::Positive,
        RawTransform::OneHot => {
            let vocabulary = raw.vocabulary.clone().unwrap_or_default();
            mistakes.require(
                !vocabulary.is_empty(),
                &key("vocabulary"),
                "the public list of values",
                &vocabulary,
            );
            Transform::OneHot { vocabulary }
        }
    };
    let allowed = match raw.transform {
        RawTransform::Identity => raw.vocabulary.is_none(),
        RawTransform::Log1p => raw.vocabulary.is_none() && raw.min.is_none(),
        RawTransform::Positive => raw.vocabulary.is_none() && raw.min.is_none() && raw.max.is_none(),
        RawTransform::OneHot => raw.min.is_none() && raw.max.is_none(),
    };
    mistakes.require(allowed, &key("transform"), "only the keys this transform reads", raw.transform);
    FeatureSpec { column: raw.column, transform, scale: raw.scale }
}

fn architecture(raw: Option<RawModel>, task: &Task, mistakes: &mut Mistakes) -> Architecture {
    match (raw, task) {
        (None, Task::Dummy { .. }) => Architecture::Vector,
        (Some(_), Task::Dummy { .. }) => {
            mistakes.0.push("model: a dummy task has none; remove the table".into());
            Architecture::Vector
        }
        (None, _) => {
            mistakes
                .0
                .push("model: missing; add [model] with kind = \"logistic_regression\" or \"mlp\"".into());
            Architecture::LogisticRegression
        }
        (Some(RawModel::LogisticRegression), _) => Architecture::LogisticRegression,
        (Some(RawModel::Mlp { hidden, activation }), _) => Architecture::Mlp { hidden, activation },
    }
}

fn optimizer(raw: RawOptimizer) -> OptimizerSpec {
    match raw {
        RawOptimizer::Sgd { learning_rate, momentum, average_last_rounds } => {
            OptimizerSpec { rule: UpdateRule::Sgd { momentum }, learning_rate, average_last_rounds }
        }
        RawOptimizer::Adam { learning_rate, beta1, beta2, epsilon, average_last_rounds } => OptimizerSpec {
            rule: UpdateRule::Adam { beta1, beta2, epsilon },
            learning_rate,
            average_last_rounds,
        },
    }
}

/// The rules that hold for every job, from a file or over the wire.
fn collect(spec: &JobSpec, m: &mut Mistakes) {
    m.require(
        !spec.purpose.trim().is_empty() && spec.purpose.len() <= 1_000,
        "purpose",
        "1 to 1,000 bytes of text",
        spec.purpose.len(),
    );
    m.require((1..=100_000).contains(&spec.rounds), "rounds", "1 to 100,000", spec.rounds);
    check_task(&spec.task, m);
    check_architecture(spec, m);
    check_optimizer(spec, m);
    check_clipping(spec, m);
    if let PrivacySpec::Gaussian { epsilon, delta, noise_standard_deviation, .. } = spec.privacy {
        m.require(epsilon > 0.0 && epsilon <= 1_000.0, "privacy.epsilon", "a number in (0, 1000]", epsilon);
        m.require(
            delta > 0.0 && delta <= 0.01,
            "privacy.delta",
            "a number in (0, 0.01], below 1 / shoppers",
            delta,
        );
        m.require(
            (1 << 10..1 << 53).contains(&noise_standard_deviation),
            "privacy",
            "a noise standard deviation from 2^10 to 2^53 integer steps",
            noise_standard_deviation,
        );
    }
    let round = &spec.round;
    m.require((1..=1_000).contains(&round.quorum), "round.quorum", "1 to 1,000 merchants", round.quorum);
    m.require(
        (1..=600_000).contains(&round.accept_deadline_ms),
        "round.accept_deadline_ms",
        "1 to 600,000",
        round.accept_deadline_ms,
    );
    m.require(
        (1..=86_400_000).contains(&round.update_deadline_ms),
        "round.update_deadline_ms",
        "1 to 86,400,000",
        round.update_deadline_ms,
    );
    m.require(
        round.upload_slot_ms < round.update_deadline_ms,
        "round.upload_slot_ms",
        "less than round.update_deadline_ms",
        round.upload_slot_ms,
    );
    m.require(
        (1..1 << 40).contains(&round.expected_shoppers),
        "round.expected_shoppers",
        "at least 1",
        round.expected_shoppers,
    );
    m.require(
        (1..1 << 40).contains(&round.shoppers_per_merchant_max),
        "round.shoppers_per_merchant_max",
        "at least 1",
        round.shoppers_per_merchant_max,
    );
    m.require(
        round.participation_rate > 0.0 && round.participation_rate <= 1.0,
        "round.participation_rate",
        "a number in (0, 1]",
        round.participation_rate,
    );
}

fn check_task(task: &Task, m: &mut Mistakes) {
    match task {
        Task::Tabular { features } => {
            m.require(
                (1..=10_000).contains(&features.len()),
                "task.features",
                "1 to 10,000 features",
                features.len(),
            );
            for feature in features {
                let key = format!("task.features[column = {:?}]", feature.column);
                m.require(feature.scale.is_finite(), &key, "a finite scale", feature.scale);
                match &feature.transform {
                    Transform::Identity { min, max } => {
                        m.require(
                            min.is_finite() && max.is_finite() && min < max,
                            &key,
                            "finite min < max",
                            (min, max),
                        );
                    }
                    Transform::Log1p { max } => {
                        m.require(max.is_finite() && *max > 0.0, &key, "a finite max > 0", max)
                    }
                    Transform::OneHot { vocabulary } => {
                        m.require(
                            (1..=100_000).contains(&vocabulary.len()),
                            &key,
                            "a vocabulary of 1 to 100,000 values",
                            vocabulary.len(),
                        );
                        let distinct: std::collections::BTreeSet<String> =
                            vocabulary.iter().map(|v| v.to_ascii_lowercase()).collect();
                        m.require(
                            distinct.len() == vocabulary.len(),
                            &key,
                            "a vocabulary without repetition",
                            vocabulary.len(),
                        );
                    }
                    Transform::Positive => {}
                }
            }
        }
        Task::Repurchase(weeks) => {
            m.require(
                (1..=52).contains(&weeks.horizon_weeks),
                "task.horizon_weeks",
                "1 to 52",
                weeks.horizon_weeks,
            );
            for (key, list) in [
                ("task.train_weeks", &weeks.train_weeks),
                ("task.validation_weeks", &weeks.validation_weeks),
                ("task.test_weeks", &weeks.test_weeks),
            ] {
                m.require((1..=1_000).contains(&list.len()), key, "1 to 1,000 weeks", list.len());
                m.require(list.iter().all(|w| (1..=10_000).contains(w)), key, "weeks from 1 to 10,000", list);
            }
        }
        Task::Dummy { parameters } => {
            m.require((1..=PARAMETERS_MAX).contains(parameters), "task.parameters", "1 to 2^28", parameters);
        }
    }
}

fn check_architecture(spec: &JobSpec, m: &mut Mistakes) {
    if let Architecture::Mlp { hidden, .. } = &spec.architecture {
        m.require((1..=16).contains(&hidden.len()), "model.hidden", "1 to 16 layers", hidden.len());
        m.require(
            hidden.iter().all(|w| (1..=65_536).contains(w)),
            "model.hidden",
            "widths from 1 to 65,536",
            hidden,
        );
    }
    let dummy = matches!(spec.task, Task::Dummy { .. });
    m.require(
        dummy == (spec.architecture == Architecture::Vector),
        "model",
        "a bare vector exactly for a dummy task",
        &spec.architecture,
    );
    let inputs = spec.task.inputs();
    m.require((1..=PARAMETERS_MAX).contains(&inputs), "task", "1 to 2^28 inputs", inputs);
    if m.0.is_empty() {
        let d = spec.model().parameter_count();
        m.require((1..=PARAMETERS_MAX).contains(&d), "model", "at most 2^28 parameters", d);
    }
}

fn check_optimizer(spec: &JobSpec, m: &mut Mistakes) {
    let optimizer = &spec.optimizer;
    let rate = optimizer.learning_rate;
    m.require(rate > 0.0 && rate.is_finite(), "optimizer.learning_rate", "a finite number > 0", rate);
    m.require(
        optimizer.average_last_rounds <= spec.rounds,
        "optimizer.average_last_rounds",
        "at most the rounds",
        optimizer.average_last_rounds,
    );
    match optimizer.rule {
        UpdateRule::Sgd { momentum } => {
            m.require((0.0..1.0).contains(&momentum), "optimizer.momentum", "a number in [0, 1)", momentum);
        }
        UpdateRule::Adam { beta1, beta2, epsilon } => {
            m.require((0.0..1.0).contains(&beta1), "optimizer.beta1", "a number in [0, 1)", beta1);
            m.require((0.0..1.0).contains(&beta2), "optimizer.beta2", "a number in [0, 1)", beta2);
            m.require(
                epsilon > 0.0 && epsilon.is_finite(),
                "optimizer.epsilon",
                "a finite number > 0",
                epsilon,
            );
        }
    }
}

fn check_clipping(spec: &JobSpec, m: &mut Mistakes) {
    let ClippingSpec { norm_l2, bound } = spec.clipping;
    m.require(norm_l2 > 0.0 && norm_l2.is_finite(), "clipping.norm_l2", "a finite number > 0", norm_l2);
    m.require((1..=1 << 24).contains(&bound), "clipping.bound", "1 to 2^24", bound);
    // B ≥ 64·√d keeps the rounding of d coordinates below 1/128 of the clip. A dummy task clips nothing.
    if m.0.is_empty() && !matches!(spec.task, Task::Dummy { .. }) {
        let d = spec.model().parameter_count() as u128;
        m.require(
            u128::from(bound) * u128::from(bound) >= 4096 * d,
            "clipping.bound",
            "at least 64·√d",
            bound,
        );
    }
}

#[cfg(test)]
mod tests;
