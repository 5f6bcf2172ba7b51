//! What a merchant could do alone, or all could do together without privacy: logistic regression with an L2 penalty.
//!
//! For comparison only. Nothing here is private and nothing here leaves the process.

mod newton;

use crate::data::observations::Observations;
use crate::evaluate;
use newton::{Optimum, Problem};

/// Penalties that are tried, from strong to weak. They weigh |w|²/2 against the *sum* of the rows' losses, as C = 1/λ
/// does in scikit-learn, so λ is the number of rows that the prior "all weights are 0 ± 1" is worth.
pub const PENALTIES: [f64; 11] = [3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.01];

/// What the penalty is chosen by, on the validation rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Criterion {
    /// Least log loss: defined even for one class, and steadier on few rows.
    #[default]
    LogLoss,
    /// Greatest AUC; by log loss where the validation rows have one class.
    Auc,
}

/// Which rows the chosen penalty is fitted to in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalFit {
    /// The training rows, which is all that a federated model sees too.
    #[default]
    Train,
    /// Training and validation rows.
    TrainAndValidation,
}

/// How the baseline is tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// What the penalty is chosen by.
    pub criterion: Criterion,
    /// Which rows it is fitted to in the end.
    pub final_fit: FinalFit,
}

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// One weight per input, then the bias: the parameter order of a logistic regression's model spec.
    pub parameters: Vec<f64>,
    /// The penalty chosen.
    pub penalty: f64,
}

impl Baseline {
    /// Tunes and fits on one merchant's rows, or on several merchants' together.
    ///
    /// Rows that are not finite, or have other inputs than the first merchant's, are left out. No data at all gives
    /// the zero model; one class or separable data give a finite one.
    pub fn fit(train: &[&Observations], validation: &[&Observations], tuning: Tuning) -> Self {
        let inputs = train.iter().chain(validation).map(|part| part.inputs).next().unwrap_or(0);
        let problem = Problem::new(inputs, train);
        let mut optimum = Optimum::at_zero(inputs);
        let mut best: Option<(f64, Baseline)> = None;
        for penalty in PENALTIES {
            // The last optimum is close to the next.
            optimum = problem.minimise(penalty, optimum);
            let candidate = Baseline { parameters: optimum.parameters().to_vec(), penalty };
            let score = candidate.score(validation, tuning.criterion);
            if best.as_ref().is_none_or(|(least, _)| score < *least) {
                best = Some((score, candidate));
            }
        }
        let chosen = best.map(|(_, chosen)| chosen);
        let chosen = chosen.unwrap_or(Baseline { parameters: vec![0.0; inputs + 1], penalty: PENALTIES[0] });
        match tuning.final_fit {
            FinalFit::Train => chosen,
            FinalFit::TrainAndValidation => chosen.refit(inputs, train, validation),
        }
    }

    fn refit(self, inputs: usize, train: &[&Observations], validation: &[&Observations]) -> Self {
        let all: Vec<&Observations> = train.iter().chain(validation).copied().collect();
        let optimum = Problem::new(inputs, &all).minimise(self.penalty, Optimum::from(self.parameters));
        Baseline { parameters: optimum.parameters().to_vec(), penalty: self.penalty }
    }

    /// Less is better; infinite where nothing can be said, so that the strongest penalty stays.
    fn score(&self, validation: &[&Observations], criterion: Criterion) -> f64 {
        let logits: Vec<f32> = validation.iter().flat_map(|part| self.logits(part)).collect();
        let labels: Vec<f32> = validation.iter().flat_map(|part| part.labels.iter().copied()).collect();
        let auc = match criterion {
            Criterion::LogLoss => None,
            Criterion::Auc => evaluate::auc(&logits, &labels).map(|auc| -auc),
        };
        auc.or_else(|| evaluate::log_loss(&logits, &labels)).unwrap_or(f64::INFINITY)
    }

    /// The logit of every row; NaN where a row has other inputs than the model.
    pub fn logits(&self, observations: &Observations) -> Vec<f32> {
        let Some((bias, weights)) = self.parameters.split_last() else { return vec![] };
        if observations.inputs != weights.len() {
            return vec![f32::NAN; observations.rows()];
        }
        let row = |row| {
            let products = observations.row(row).iter().zip(weights).map(|(x, w)| f64::from(*x) * w);
            (bias + products.sum::<f64>()) as f32
        };
        (0..observations.rows()).map(row).collect()
    }
}

#[cfg(test)]
mod tests;
