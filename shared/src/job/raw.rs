//! Job files: TOML as written by a person, checked as a whole, all mistakes reported at once.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::check::{JobError, Mistakes, collect};
use super::{AdaptiveClip, Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use crate::catalogue::Catalogue;
use crate::id::Name;
use crate::model_spec::Architecture;
use crate::optimizer::{OptimizerSpec, UpdateRule};
use crate::secagg::MaskGenerator;
use crate::task::{FeatureSpec, NextItemSpec, RepurchaseSpec, Task, Transform};
use model::RawModel;

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
    /// Left out only where the model is metrics.
    optimizer: Option<RawOptimizer>,
    /// As `optimizer`.
    clipping: Option<RawClipping>,
    privacy: RawPrivacy,
    round: RawRound,
    simulation: Option<SimulationSpec>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum RawTask {
    Tabular {
        features: Vec<RawFeature>,
    },
    Repurchase {
        horizon_weeks: u32,
        train_weeks: Vec<u32>,
        validation_weeks: Vec<u32>,
        test_weeks: Vec<u32>,
    },
    RepurchaseSequence {
        horizon_weeks: u32,
        train_weeks: Vec<u32>,
        validation_weeks: Vec<u32>,
        test_weeks: Vec<u32>,
        steps: usize,
    },
    NextItem {
        history_max: usize,
        /// Read from a file or from the simulation's data before the job is parsed.
        #[serde(default)]
        catalogue: Vec<RawItem>,
    },
    Dummy {
        parameters: usize,
    },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "an item must be an id, or a table with id and tags")]
enum RawItem {
    Id(String),
    Tagged(RawTaggedItem),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTaggedItem {
    id: String,
    tags: Vec<String>,
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
    adaptive: Option<RawAdaptiveClip>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAdaptiveClip {
    indicator_share: f64,
    quantile: f64,
    rate: f64,
    norm_min: f64,
    norm_max: f64,
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
    #[serde(default)]
    aggregation: Aggregation,
    #[serde(default)]
    colluders_min: u32,
    #[serde(default)]
    mask_generator: MaskGenerator,
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
    let may_leave_out = raw.model.as_ref().is_some_and(RawModel::is_metrics);
    let architecture = model::architecture(raw.model, &task, &mut mistakes);
    if !may_leave_out {
        mistakes.require_table(raw.optimizer.is_some(), "optimizer");
        mistakes.require_table(raw.clipping.is_some(), "clipping");
    }
    let clipping = clipping(raw.clipping.as_ref(), &architecture);
    let adaptive_clip = raw.clipping.and_then(|raw| raw.adaptive);
    let adaptive_clip = adaptive_clip.map(|raw| adaptive_clip_of(raw, clipping.bound, &mut mistakes));
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
        optimizer: raw.optimizer.map_or(ADDED_UP, optimizer),
        clipping,
        adaptive_clip,
        privacy,
        round: RoundSpec {
            aggregation: raw.round.aggregation,
            colluders_min: raw.round.colluders_min,
            mask_generator: raw.round.mask_generator,
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

fn task(raw: RawTask, mistakes: &mut Mistakes) -> Task {
    match raw {
        RawTask::Tabular { features } => {
            Task::Tabular { features: features.into_iter().map(|f| feature(f, mistakes)).collect() }
        }
        RawTask::Repurchase { horizon_weeks, train_weeks, validation_weeks, test_weeks } => {
            Task::Repurchase(RepurchaseSpec { horizon_weeks, train_weeks, validation_weeks, test_weeks })
        }
        RawTask::RepurchaseSequence { horizon_weeks, train_weeks, validation_weeks, test_weeks, steps } => {
            let weeks = RepurchaseSpec { horizon_weeks, train_weeks, validation_weeks, test_weeks };
            Task::RepurchaseSequence { weeks, steps }
        }
        RawTask::NextItem { history_max, catalogue: items } => {
            Task::NextItem(NextItemSpec { catalogue: catalogue(items), history_max })
        }
        RawTask::Dummy { parameters } => Task::Dummy { parameters },
    }
}

/// Tags are numbered in the order of their names.
fn catalogue(raw: Vec<RawItem>) -> Catalogue {
    let (ids, tags): (Vec<String>, Vec<Vec<String>>) = raw
        .into_iter()
        .map(|item| match item {
            RawItem::Id(id) => (id, vec![]),
            RawItem::Tagged(RawTaggedItem { id, tags }) => (id, tags),
        })
        .unzip();
    let vocabulary: BTreeSet<&String> = tags.iter().flatten().collect();
    if vocabulary.is_empty() {
        return Catalogue::of_items(ids);
    }
    let number: BTreeMap<&String, u32> = vocabulary.iter().copied().zip(0..).collect();
    let numbers = |tags: &Vec<String>| -> Vec<u32> {
        let numbers: BTreeSet<u32> = tags.iter().filter_map(|tag| number.get(tag).copied()).collect();
        numbers.into_iter().collect()
    };
    let item_tags = tags.iter().map(numbers).collect();
    Catalogue::with_tags(ids, vocabulary.into_iter().cloned().collect(), item_tags)
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

/// The share becomes whole steps here, once: what everybody computes with is the integer in the job.
fn adaptive_clip_of(raw: RawAdaptiveClip, bound: u64, mistakes: &mut Mistakes) -> AdaptiveClip {
    let RawAdaptiveClip { indicator_share, quantile, rate, norm_min, norm_max } = raw;
    let share = indicator_share > 0.0 && indicator_share < 1.0;
    mistakes.require(share, "clipping.adaptive.indicator_share", "a number in (0, 1)", indicator_share);
    // One mistake is not reported twice.
    let indicator = if share { (indicator_share * bound as f64) as u64 } else { 1 };
    AdaptiveClip { indicator, quantile, rate, norm_min, norm_max }
}

/// The optimiser of a job that leaves it out.
const ADDED_UP: OptimizerSpec =
    OptimizerSpec { rule: UpdateRule::Sgd { momentum: 0.0 }, learning_rate: 1.0, average_last_rounds: 0 };

/// The clip that the file says, or else the least that cuts no contribution to metrics.
fn clipping(raw: Option<&RawClipping>, architecture: &Architecture) -> ClippingSpec {
    match (raw, architecture) {
        (Some(raw), _) => ClippingSpec { norm_l2: raw.norm_l2, bound: raw.bound },
        (None, Architecture::Metrics(model)) => model.clipping(default_bound()),
        (None, _) => ClippingSpec { norm_l2: 1.0, bound: default_bound() },
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

#[cfg(test)]
mod tests;
