//! Fine-tuning: a released model trained on by one merchant alone, on that merchant's own rows, for itself.
//!
//! The number of epochs is chosen on the merchant's validation rows, and none is among the choices: on those rows a fine-tuned
//! model is never worse than the released one.
//!
//! # Privacy
//! What comes out holds what these rows say, unclipped and without noise: it is outside the privacy claim and stays with the
//! merchant. It is no [`ModelState`](guildhall_shared::model_state::ModelState), so nothing that takes part in a round accepts it:
//!
//! ```compile_fail,E0308
//! use guildhall_client::train::fine_tune::FineTuned;
//! use guildhall_shared::{job::JobSpec, model_state::ModelState};
//! fn next_version(tuned: &FineTuned, job: &JobSpec, sum: &[i64]) -> ModelState {
//!     ModelState::next(tuned, job, sum).unwrap()
//! }
//! ```

use std::ops::ControlFlow;

use guildhall_shared::task::Task;
use serde::Serialize;

use super::ordinary::OrdinaryTraining;
use super::{JobTrainer, TrainError, TrainingData};
use crate::data::observations::{Observations, Splits};
use crate::data::sequences::Sequences;
use crate::evaluate::log_loss;
use crate::evaluate::ranking::{RankingFigures, rank};

/// Items of a ranking that is judged.
const K: u32 = 10;
/// Epochs without a better figure after which no more are tried.
const PATIENCE: u32 = 5;

/// How a released model is trained on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FineTuning {
    /// Most epochs that are tried.
    pub epochs_max: u32,
    /// Step size of Adam.
    pub learning_rate: f64,
    /// Shoppers of one step.
    pub batch: usize,
    /// Order, dropout and counterexamples follow from it: the same seed gives the same copy.
    pub seed: u64,
}

impl Default for FineTuning {
    /// 20 epochs at most, steps of 0.002, batches of 32, seed 0.
    fn default() -> Self {
        FineTuning { epochs_max: 20, learning_rate: 0.002, batch: 32, seed: 0 }
    }
}

/// A merchant's rows: what is trained on, and what the number of epochs is chosen by.
pub struct TuningRows {
    train: TrainingData,
    validation: Validation,
}

enum Validation {
    Rows(Observations),
    /// The last item but one of every shopper.
    Items(Sequences),
}

impl TuningRows {
    /// Of a task with labels. Validation rows are not trained on; test rows are not looked at.
    pub fn of_splits(splits: &Splits, task: &Task) -> Self {
        TuningRows {
            train: TrainingData::Observations(splits.tuning_train(task)),
            validation: Validation::Rows(splits.validation.clone()),
        }
    }

    /// Of an item task. The last two items of a shopper are not trained on; the last is not looked at.
    pub fn of_items(sequences: &Sequences) -> Self {
        TuningRows {
            train: TrainingData::Items(sequences.train()),
            validation: Validation::Items(sequences.clone()),
        }
    }

    /// What the number of epochs is chosen by.
    pub fn criterion(&self) -> Criterion {
        match self.validation {
            Validation::Rows(_) => Criterion::LogLoss,
            Validation::Items(_) => Criterion::NdcgAt10,
        }
    }

    /// The criterion's figure; none without validation rows, and where the model gives something that is not a number.
    fn figure(&self, trainer: &JobTrainer, weights: &[f64]) -> Result<Option<f64>, TrainError> {
        let figure = match &self.validation {
            Validation::Rows(rows) if rows.rows() == 0 => None,
            Validation::Rows(rows) => log_loss(&trainer.logits(weights, rows)?, &rows.labels),
            Validation::Items(sequences) => {
                let (scorer, mut ranks) = (trainer.item_scorer(weights)?, vec![]);
                for held in sequences.validation() {
                    ranks.push(rank(&scorer.scores(held.history)?, held.history, held.target));
                }
                RankingFigures::mean(&ranks, K).map(|figures| figures.ndcg_at_k)
            }
        };
        Ok(figure.filter(|figure| figure.is_finite()))
    }
}

/// What the number of epochs is chosen by, on the validation rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Least log loss.
    LogLoss,
    /// Greatest NDCG at ten.
    NdcgAt10,
}

impl Criterion {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Criterion::LogLoss => "log loss",
            Criterion::NdcgAt10 => "NDCG@10",
        }
    }

    fn is_better(self, figure: f64, than: f64) -> bool {
        match self {
            Criterion::LogLoss => figure < than,
            Criterion::NdcgAt10 => figure > than,
        }
    }
}

/// What came of it. With no epochs the weights are the released ones.
///
/// # Privacy
/// The weights are made of rows; see the module.
#[derive(Clone, PartialEq)]
pub struct FineTuned {
    /// Epochs that did best on the validation rows, the fewest among equals.
    pub epochs: u32,
    /// The weights after them.
    pub weights: Vec<f64>,
    /// What they were chosen by.
    pub criterion: Criterion,
    /// The criterion on the validation rows, after 0, 1, 2, … epochs.
    pub figures: Vec<Option<f64>>,
}

impl FineTuned {
    /// The released model's figure on the validation rows.
    pub fn released_figure(&self) -> Option<f64> {
        self.figures.first().copied().flatten()
    }

    /// The figure of these weights on the validation rows.
    pub fn figure(&self) -> Option<f64> {
        self.figures.get(self.epochs as usize).copied().flatten()
    }
}

/// The best so far, while epochs go by.
struct Search<'a> {
    trainer: &'a JobTrainer,
    rows: &'a TuningRows,
    best: FineTuned,
    failed: Option<TrainError>,
}

impl Search<'_> {
    fn look(&mut self, epochs: u32, weights: &[f64]) -> ControlFlow<()> {
        let figure = match self.rows.figure(self.trainer, weights) {
            Ok(figure) => figure,
            Err(error) => {
                self.failed = Some(error);
                return ControlFlow::Break(());
            }
        };
        self.best.figures.push(figure);
        let better = |figure, than| self.best.criterion.is_better(figure, than);
        if let (Some(found), Some(best)) = (figure, self.best.figure())
            && better(found, best)
            && weights.iter().all(|weight| weight.is_finite())
        {
            self.best.epochs = epochs;
            self.best.weights = weights.to_vec();
        }
        match epochs - self.best.epochs >= PATIENCE {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Trains a released model on.
///
/// # Errors
/// [`TrainError::Statistics`] for a model of released statistics, else [`TrainError`].
pub fn fine_tune(
    trainer: &JobTrainer,
    released: &[f64],
    rows: &TuningRows,
    tuning: FineTuning,
) -> Result<FineTuned, TrainError> {
    let (criterion, first) = (rows.criterion(), rows.figure(trainer, released)?);
    let best = FineTuned { epochs: 0, weights: released.to_vec(), criterion, figures: vec![first] };
    if first.is_none() {
        // Nothing to choose by: the released model stays.
        return Ok(best);
    }
    let FineTuning { epochs_max: epochs, learning_rate, batch, seed } = tuning;
    let training = OrdinaryTraining { epochs, learning_rate, batch, seed };
    let mut search = Search { trainer, rows, best, failed: None };
    trainer.fit(released, &rows.train, &training, &mut |epochs, weights| search.look(epochs, weights))?;
    match search.failed {
        Some(error) => Err(error),
        None => Ok(search.best),
    }
}

#[cfg(test)]
mod tests;
