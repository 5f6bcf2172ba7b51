//! One figure over merchants. [core]

use std::collections::BTreeMap;

use guildhall_shared::id::Name;
use serde::Serialize;

use super::auc;

/// One merchant's logits and labels.
#[derive(Clone, Default)]
pub struct Scored {
    /// Logit per row.
    pub logits: Vec<f32>,
    /// Label per row.
    pub labels: Vec<f32>,
}

/// A figure (AUC, HR@10, NDCG@10) per merchant, averaged, and over all rows together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FigureSummary {
    /// Mean over the merchants that have one.
    pub r#macro: Option<f64>,
    /// Over all merchants' rows together.
    pub micro: Option<f64>,
    /// Each merchant's own; none where its rows are of one class.
    pub per_merchant: BTreeMap<Name, Option<f64>>,
}

impl FigureSummary {
    /// Of a figure of each merchant, and of all rows together.
    pub fn new(per_merchant: BTreeMap<Name, Option<f64>>, micro: Option<f64>) -> Self {
        let known: Vec<f64> = per_merchant.values().flatten().copied().collect();
        let r#macro = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        FigureSummary { r#macro, micro, per_merchant }
    }

    /// The AUC of what each merchant's rows were given.
    pub fn of(scored: &BTreeMap<Name, Scored>) -> Self {
        let of_merchant = |(name, rows): (&Name, &Scored)| (name.clone(), auc(&rows.logits, &rows.labels));
        let logits: Vec<f32> = scored.values().flat_map(|rows| rows.logits.iter().copied()).collect();
        let labels: Vec<f32> = scored.values().flat_map(|rows| rows.labels.iter().copied()).collect();
        FigureSummary::new(scored.iter().map(of_merchant).collect(), auc(&logits, &labels))
    }
}
