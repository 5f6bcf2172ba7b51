//! One table of models on the same test rows: alone, together without and with privacy, blended, pooled.

use std::collections::BTreeMap;

use guildhall_client::data::observations::{Observations, Splits};
use guildhall_client::evaluate::{FigureSummary, Scored};
use guildhall_client::train::baseline::{Baseline, FinalFit, Tuning};
use guildhall_shared::id::Name;
use guildhall_shared::task::Task;
use rayon::prelude::*;
use serde::Serialize;

use crate::federated::Merchants;

/// A figure of each way to a model.
#[derive(Clone, Debug, Serialize)]
pub struct FiguresByMethod {
    /// Each merchant's own logistic regression, tuned on its validation rows, without privacy.
    pub local_only: FigureSummary,
    /// The federated model without privacy.
    pub federated_plain: FigureSummary,
    /// The federated model with privacy; absent for a job without.
    pub federated_private: Option<FigureSummary>,
    /// Mean of the two logits: the merchant's own and the federated one (with privacy where there is any).
    pub blend: FigureSummary,
    /// One logistic regression on everybody's rows together: what the federation avoids. For reference only.
    pub pooled: FigureSummary,
}

/// The baselines that need no federation.
pub struct Baselines {
    /// Each merchant's own model's logits on its test rows.
    pub local: BTreeMap<Name, Scored>,
    /// The pooled model's.
    pub pooled: BTreeMap<Name, Scored>,
}

impl Baselines {
    /// Fits all of them: the penalty is chosen on validation rows that were not trained on, then all training rows count.
    pub fn fit(task: &Task, merchants: &Merchants) -> Self {
        let local = merchants
            .par_iter()
            .map(|(name, splits)| {
                let own = fit_tuned(task, &[splits]);
                (name.clone(), scored(&own, &splits.test))
            })
            .collect();
        let everybody = fit_tuned(task, &merchants.values().collect::<Vec<_>>());
        let pooled =
            merchants.iter().map(|(name, splits)| (name.clone(), scored(&everybody, &splits.test))).collect();
        Baselines { local, pooled }
    }

    /// Sets the federated models beside the baselines.
    pub fn compare(
        &self,
        without_privacy: &BTreeMap<Name, Scored>,
        with_privacy: Option<&BTreeMap<Name, Scored>>,
    ) -> FiguresByMethod {
        let released = with_privacy.unwrap_or(without_privacy);
        FiguresByMethod {
            local_only: FigureSummary::of(&self.local),
            federated_plain: FigureSummary::of(without_privacy),
            federated_private: with_privacy.map(FigureSummary::of),
            blend: FigureSummary::of(&blend(&self.local, released)),
            pooled: FigureSummary::of(&self.pooled),
        }
    }
}

/// Where validation rows are a part of the training rows they are left out while the penalty is chosen.
fn fit_tuned(task: &Task, merchants: &[&Splits]) -> Baseline {
    let parts: Vec<Observations> = merchants.iter().map(|splits| splits.tuning_train(task)).collect();
    let validation: Vec<&Observations> = merchants.iter().map(|splits| &splits.validation).collect();
    // Where they were left out, the last fit takes them back in.
    let final_fit = match task {
        Task::Tabular { .. } => FinalFit::TrainAndValidation,
        _ => FinalFit::Train,
    };
    let tuning = Tuning { final_fit, ..Tuning::default() };
    Baseline::fit(&parts.iter().collect::<Vec<_>>(), &validation, tuning)
}

fn scored(model: &Baseline, test: &Observations) -> Scored {
    Scored { logits: model.logits(test), labels: test.labels.clone() }
}

/// Mean of two models' logits, merchant by merchant.
fn blend(own: &BTreeMap<Name, Scored>, federated: &BTreeMap<Name, Scored>) -> BTreeMap<Name, Scored> {
    let mean = |(name, own): (&Name, &Scored)| {
        let other = federated.get(name)?;
        let logits = own.logits.iter().zip(&other.logits).map(|(a, b)| (a + b) / 2.0).collect();
        Some((name.clone(), Scored { logits, labels: own.labels.clone() }))
    };
    own.iter().filter_map(mean).collect()
}
