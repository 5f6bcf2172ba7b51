//! What a shopper contributes to a metrics job: how well a released model does on the rows that are held out of it.
//!
//! Minus the vector of [`RankingLayout`] or [`ScoreLayout`], because the released sum is a gradient that is descended.
//!
//! # Privacy
//! A contribution depends on the shopper's own rows, the public job and the released model that it names, each shopper scored
//! by itself. Never on a blend, a fine-tuned copy or a merchant's own model: [`MetricsTrainer::new`] takes a version that comes
//! to the hash in the job, and its caller reads it from where only released versions are kept.

use std::collections::BTreeMap;

use guildhall_privacy::clip::{ClipTally, ShopperSum, SparseBlock};
use guildhall_privacy::parameter::ClippingParameters;
use guildhall_privacy::update::ClippedSum;
use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, Metrics};
use guildhall_shared::model_state::ModelState;
use rayon::prelude::*;

use crate::data::observations::{Observations, ShopperKey, Splits};
use crate::data::sequences::{Held, Sequences};
use crate::evaluate::ranking::{RankingFigures, rank};
use crate::evaluate::released::{RankingLayout, ReleasedLayout, ScoreLayout};
use crate::model::DeviceChoice;
use crate::recommend::ItemItem;

use super::items::{ItemScorer, ItemTrainer};
use super::sum::{check_clipping, sum_of};
use super::{JobTrainer, TrainError};

/// What a merchant holds out of training: the same rows as in its own evaluation.
pub enum HeldOut {
    /// Of tasks with labels: the test rows, and how many rows of each shopper are trained on.
    Rows {
        /// Only tested on.
        test: Observations,
        /// Rows trained on; shoppers without any are left out.
        train_rows: BTreeMap<ShopperKey, usize>,
    },
    /// Of item tasks: everything, the last item of a shopper being the one that is tested on.
    Items(Sequences),
}

impl HeldOut {
    /// Of a task with labels.
    pub fn of_rows(splits: Splits) -> Self {
        let rows = splits.train.shoppers.iter().map(|shopper| (shopper.key, shopper.end - shopper.start));
        HeldOut::Rows { train_rows: rows.collect(), test: splits.test }
    }

    /// How many shoppers have rows that are held out.
    pub fn shoppers(&self) -> usize {
        match self {
            HeldOut::Rows { test, .. } => test.shoppers.len(),
            HeldOut::Items(sequences) => sequences.test().count(),
        }
    }
}

/// A model that cannot be measured by a metrics job. Nothing depends on rows.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Not a metrics job.
    #[error("expected a job whose model is metrics")]
    NotMetrics,
    /// Another job than the one that is named.
    #[error("expected job {expected}, which model.of_job names, found {found}")]
    Job {
        /// Named.
        expected: Digest,
        /// Given.
        found: Digest,
    },
    /// Another version than the one that is named.
    #[error("expected the version with hash {expected}, which model.of_model names, found {found}")]
    Model {
        /// Named.
        expected: Digest,
        /// Given.
        found: Digest,
    },
    /// The rows would not be those that the model is for.
    #[error("task: expected that of job {measured}, whose model is measured, found another")]
    Task {
        /// Name of the measured job.
        measured: String,
    },
    /// A bare vector, metrics themselves, or statistics from which no model follows yet.
    #[error("expected a version that answers its task, found {found}")]
    NoAnswers {
        /// In words.
        found: &'static str,
    },
    /// The model cannot be computed here.
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// Computes the contributions of a metrics job from one released model.
pub struct MetricsTrainer {
    words: usize,
    scorer: Scorer,
}

enum Scorer {
    Ranking { layout: RankingLayout, k: u32, items: usize, model: ItemModel },
    Predictions { layout: ScoreLayout, trainer: Box<JobTrainer>, weights: Vec<f64> },
}

enum ItemModel {
    Statistics(Box<ItemItem>),
    Vectors(Box<ItemScorer>),
}

impl MetricsTrainer {
    /// The trainer of a metrics job over a released version of the job that it names, in a federation of so many merchants.
    ///
    /// # Errors
    /// [`MeasureError`]: above all where job, version or task are not those that the metrics job names.
    pub fn new(
        job: &JobSpec,
        measured: &JobSpec,
        state: &ModelState,
        merchants: u32,
        device: &DeviceChoice,
    ) -> Result<Self, MeasureError> {
        let Architecture::Metrics(metrics) = &job.architecture else { return Err(MeasureError::NotMetrics) };
        check(metrics, job, measured, state)?;
        let layout = ReleasedLayout::of(metrics).ok_or(MeasureError::NotMetrics)?;
        let scorer = match layout {
            ReleasedLayout::Ranking { layout, k } => {
                let model = ItemModel::released(measured, state, merchants, device)?;
                Scorer::Ranking { layout, k, items: measured.task.inputs(), model }
            }
            ReleasedLayout::Predictions(layout) => {
                // Nothing is drawn while scoring, so the secret is of no use.
                let trainer = Box::new(JobTrainer::new(measured, device, [0; 32])?);
                Scorer::Predictions { layout, trainer, weights: state.released() }
            }
        };
        Ok(MetricsTrainer { words: metrics.words(), scorer })
    }

    /// The clipped sum of the contributions of all shoppers that enter and have something held out.
    ///
    /// # Privacy
    /// Emptying one shopper changes the sum by its own integer vector, of norm at most B, and by nothing else.
    ///
    /// # Errors
    /// See [`TrainError::depends_on_rows`].
    pub fn clipped_sum(
        &self,
        data: &HeldOut,
        enters: &(dyn Fn(ShopperKey) -> bool + Sync),
        clipping: &ClippingParameters,
    ) -> Result<(ClippedSum, ClipTally), TrainError> {
        check_clipping(self.words, clipping)?;
        match (&self.scorer, data) {
            (Scorer::Ranking { layout, k, items, model }, HeldOut::Items(sequences)) => {
                let held: Vec<Held<'_>> = sequences.test().filter(|held| enters(held.key)).collect();
                let new_sum = || (ShopperSum::new(clipping), vec![0.0; *items]);
                let sums = held.par_iter().try_fold(new_sum, |(mut sum, mut scores), held| {
                    model.scores(held.history, &mut scores)?;
                    let figures = RankingFigures::of_rank(rank(&scores, held.history, held.target), *k);
                    let (words, values) = layout.contribution(held.history.len(), figures);
                    let values = values.map(|value| -value);
                    let block = SparseBlock { start: words[0] as usize, values: &values };
                    sum.add_sparse(std::iter::once(block));
                    Ok((sum, scores))
                });
                let sums = sums.map(|sum| sum.map(|(sum, _)| sum)).collect::<Result<_, TrainError>>()?;
                Ok(sum_of(sums, clipping))
            }
            (Scorer::Predictions { layout, trainer, weights }, HeldOut::Rows { test, train_rows }) => {
                let logits = trainer.logits(weights, test)?;
                let mut sum = ShopperSum::new(clipping);
                for shopper in test.shoppers.iter().filter(|shopper| enters(shopper.key)) {
                    let rows = shopper.start..shopper.end;
                    let trained = train_rows.get(&shopper.key).copied().unwrap_or(0);
                    let own = logits.get(rows.clone()).zip(test.labels.get(rows)).ok_or(TrainError::Rows)?;
                    let mut values = layout.contribution(trained, own.0, own.1);
                    values.iter_mut().for_each(|value| *value = -*value);
                    sum.add(&values);
                }
                Ok(sum.finish())
            }
            _ => Err(TrainError::Data),
        }
    }
}

/// Whether this is the released version that the metrics job is about. Nothing is believed: both hashes are computed anew.
fn check(
    metrics: &Metrics,
    job: &JobSpec,
    measured: &JobSpec,
    state: &ModelState,
) -> Result<(), MeasureError> {
    let found = measured.digest();
    if found != metrics.job {
        return Err(MeasureError::Job { expected: metrics.job, found });
    }
    let found = state.hash(&measured.model());
    if found != metrics.model {
        return Err(MeasureError::Model { expected: metrics.model, found });
    }
    if measured.task != job.task {
        return Err(MeasureError::Task { measured: measured.name.to_string() });
    }
    match measured.architecture {
        Architecture::Vector => Err(MeasureError::NoAnswers { found: "a bare vector" }),
        Architecture::Metrics(_) => Err(MeasureError::NoAnswers { found: "metrics of another model" }),
        _ => Ok(()),
    }
}

impl ItemModel {
    fn released(
        job: &JobSpec,
        state: &ModelState,
        merchants: u32,
        device: &DeviceChoice,
    ) -> Result<Self, MeasureError> {
        if let Architecture::ItemStatistics(_) = job.architecture {
            let model = ItemItem::released(job, state, merchants);
            let model =
                model.ok_or(MeasureError::NoAnswers { found: "statistics of which the first is out" })?;
            return Ok(ItemModel::Statistics(Box::new(model)));
        }
        let catalogue = &job.task.items().ok_or(TrainError::Architecture)?.catalogue;
        // Nothing is drawn while scoring, so the secret is of no use.
        let trainer = ItemTrainer::new(&job.model(), catalogue, device, [0; 32])?;
        Ok(ItemModel::Vectors(Box::new(trainer.scorer(&state.released())?)))
    }

    /// Of one history by itself.
    fn scores(&self, history: &[u32], out: &mut [f32]) -> Result<(), TrainError> {
        match self {
            ItemModel::Statistics(model) => model.scores(history, out),
            ItemModel::Vectors(model) => out.copy_from_slice(&model.scores(history)?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
