//! The rules that hold for every job, from a file or over the wire; all mistakes reported at once. [core]

mod model;

use std::fmt;

use super::{
    ADAPTIVE_NORM_MAX, ADAPTIVE_NORM_MIN, AdaptiveClip, Aggregation, ClippingSpec, JobSpec, PrivacySpec,
};
use crate::model_spec::PARAMETERS_MAX;
use crate::optimizer::UpdateRule;
use crate::task::{RepurchaseSpec, Task, Transform};

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

/// Collects mistakes instead of stopping at the first.
pub(super) struct Mistakes(pub(super) Vec<String>);

impl Mistakes {
    pub(super) fn require(&mut self, condition: bool, key: &str, expected: &str, found: impl fmt::Debug) {
        if !condition {
            self.0.push(format!("{key}: expected {expected}, found {found:?}"));
        }
    }

    /// A table that a job file has to have.
    pub(super) fn require_table(&mut self, there: bool, key: &str) {
        if !there {
            self.0.push(format!("missing field `{key}`: add the table [{key}]"));
        }
    }
}

pub(super) fn check(spec: &JobSpec) -> Result<(), JobError> {
    let mut mistakes = Mistakes(vec![]);
    collect(spec, &mut mistakes);
    if mistakes.0.is_empty() { Ok(()) } else { Err(JobError { mistakes: mistakes.0 }) }
}

/// The rules that hold for every job, from a file or over the wire.
pub(super) fn collect(spec: &JobSpec, m: &mut Mistakes) {
    m.require(
        !spec.purpose.trim().is_empty() && spec.purpose.len() <= 1_000,
        "purpose",
        "1 to 1,000 bytes of text",
        spec.purpose.len(),
    );
    m.require((1..=100_000).contains(&spec.rounds), "rounds", "1 to 100,000", spec.rounds);
    check_task(&spec.task, m);
    model::check(spec, m);
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
        round.colluders_min < 1_000,
        "round.colluders_min",
        "less than 1,000 merchants",
        round.colluders_min,
    );
    m.require(
        round.aggregation == Aggregation::Masked || round.colluders_min == 0,
        "round.colluders_min",
        "nothing in plain mode, where every merchant is protected by its own noise alone",
        round.colluders_min,
    );
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
        Task::Repurchase(weeks) => check_weeks(weeks, m),
        Task::RepurchaseSequence { weeks, steps } => {
            check_weeks(weeks, m);
            m.require((1..=1_000).contains(steps), "task.steps", "1 to 1,000 weeks", steps);
        }
        Task::NextItem(items) => {
            let legal = items.catalogue.check();
            if let Err(mistake) = legal {
                m.0.push(format!("task.catalogue: {mistake}"));
            }
            let cap = items.history_max;
            m.require((1..=1_000).contains(&cap), "task.history_max", "1 to 1,000 items", cap);
        }
        Task::Dummy { parameters } => {
            m.require((1..=PARAMETERS_MAX).contains(parameters), "task.parameters", "1 to 2^28", parameters);
        }
    }
}

fn check_weeks(weeks: &RepurchaseSpec, m: &mut Mistakes) {
    m.require((1..=52).contains(&weeks.horizon_weeks), "task.horizon_weeks", "1 to 52", weeks.horizon_weeks);
    for (key, list) in [
        ("task.train_weeks", &weeks.train_weeks),
        ("task.validation_weeks", &weeks.validation_weeks),
        ("task.test_weeks", &weeks.test_weeks),
    ] {
        m.require((1..=1_000).contains(&list.len()), key, "1 to 1,000 weeks", list.len());
        m.require(list.iter().all(|w| (1..=10_000).contains(w)), key, "weeks from 1 to 10,000", list);
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
    if let Some(rule) = spec.adaptive_clip {
        check_adaptive_clip(spec, rule, m);
    }
}

/// Numbers that are not a number fail every comparison.
fn check_adaptive_clip(spec: &JobSpec, rule: AdaptiveClip, m: &mut Mistakes) {
    let ClippingSpec { norm_l2, bound } = spec.clipping;
    let AdaptiveClip { indicator, quantile, rate, norm_min, norm_max } = rule;
    let fits = (1..bound).contains(&indicator);
    m.require(
        fits,
        "clipping.adaptive.indicator_share",
        &format!("a share of {bound} that comes to 1 to {bound} - 1 steps"),
        indicator,
    );
    m.require(quantile > 0.0 && quantile < 1.0, "clipping.adaptive.quantile", "a number in (0, 1)", quantile);
    m.require(rate > 0.0 && rate <= 1.0, "clipping.adaptive.rate", "a number in (0, 1]", rate);
    m.require(
        norm_min >= ADAPTIVE_NORM_MIN && norm_min <= norm_l2,
        "clipping.adaptive.norm_min",
        &format!("a number from {ADAPTIVE_NORM_MIN:e} to clipping.norm_l2, {norm_l2}"),
        norm_min,
    );
    m.require(
        norm_max <= ADAPTIVE_NORM_MAX && norm_max >= norm_l2,
        "clipping.adaptive.norm_max",
        &format!("a number from clipping.norm_l2, {norm_l2}, to {ADAPTIVE_NORM_MAX:e}"),
        norm_max,
    );
    // As for a constant clip, of the bound that is left.
    if m.0.is_empty() && !matches!(spec.task, Task::Dummy { .. }) {
        let d = spec.model().parameter_count() as u128;
        let left = rule.bound_left(bound);
        m.require(
            u128::from(left).pow(2) >= 4096 * d,
            "clipping.adaptive.indicator_share",
            "a share that leaves at least 64·√d of clipping.bound to the contribution",
            left,
        );
    }
}
