//! Two models' areas under the ROC curve. [core]

use super::{Difference, Resampling, bootstrap};
use crate::evaluate::check;

/// Two models' logits of the same rows.
#[derive(Clone, Copy, Debug)]
pub struct AucPair<'a> {
    /// The first model's, one per row.
    pub first: &'a [f32],
    /// The second model's.
    pub second: &'a [f32],
    /// Labels, 0 or 1.
    pub labels: &'a [f32],
}

/// The difference of two AUCs where every row is a shopper of its own. `None` unless there are at least two rows of either class.
///
/// # Source
/// DeLong, DeLong and Clarke-Pearson 1988, by the mean ranks of Sun and Xu 2014.
pub fn delong(pair: AucPair<'_>) -> Option<Difference> {
    check(pair.first, pair.labels)?;
    check(pair.second, pair.labels)?;
    let (a, b) = (Components::of(pair.first, pair.labels), Components::of(pair.second, pair.labels));
    let apart = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
    let (of_positives, of_negatives) = (apart(&a.positives, &b.positives), apart(&a.negatives, &b.negatives));
    if of_positives.len() < 2 || of_negatives.len() < 2 {
        return None;
    }
    let difference = of_positives.iter().sum::<f64>() / of_positives.len() as f64;
    let variance = variance_of_mean(&of_positives) + variance_of_mean(&of_negatives);
    Some(Difference::around(difference, variance.sqrt()))
}

/// For every positive the share of negatives ranked below it, for every negative the share of positives above it.
struct Components {
    positives: Vec<f64>,
    negatives: Vec<f64>,
}

impl Components {
    fn of(logits: &[f32], labels: &[f32]) -> Self {
        let of = |positive: bool| -> Vec<f32> {
            let rows = logits.iter().zip(labels).filter(|(_, label)| (**label > 0.5) == positive);
            rows.map(|(logit, _)| *logit).collect()
        };
        let (positives, negatives) = (of(true), of(false));
        let sorted = |logits: &[f32]| {
            let mut sorted = logits.to_vec();
            sorted.sort_by(f32::total_cmp);
            sorted
        };
        let (above, below) = (sorted(&positives), sorted(&negatives));
        // Those below, and half of those alike.
        let share_below = |ascending: &[f32], logit: f32| {
            let less = ascending.partition_point(|other| *other < logit);
            let alike = ascending.partition_point(|other| *other <= logit) - less;
            (less as f64 + alike as f64 / 2.0) / ascending.len().max(1) as f64
        };
        Components {
            positives: positives.iter().map(|logit| share_below(&below, *logit)).collect(),
            negatives: negatives.iter().map(|logit| 1.0 - share_below(&above, *logit)).collect(),
        }
    }
}

fn variance_of_mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0) / n
}

/// The difference of two AUCs where shoppers have several rows, by a bootstrap over shoppers.
///
/// # Shapes
/// `shopper_of_row` a number below `shoppers` for every row; see [`shopper_of_rows`](super::shopper_of_rows).
pub fn auc_difference(
    pair: AucPair<'_>,
    shopper_of_row: &[u32],
    shoppers: usize,
    resampling: Resampling,
) -> Option<Difference> {
    check(pair.first, pair.labels)?;
    check(pair.second, pair.labels)?;
    let within = shopper_of_row.iter().all(|shopper| (*shopper as usize) < shoppers);
    if !within || shopper_of_row.len() != pair.labels.len() {
        return None;
    }
    let first = Ranked::new(pair.first, pair.labels, shopper_of_row);
    let second = Ranked::new(pair.second, pair.labels, shopper_of_row);
    bootstrap(shoppers, resampling, |times| Some(first.auc(times)? - second.auc(times)?))
}

/// Rows in the order of their logits, so that resamples need not be sorted again.
struct Ranked(Vec<RankedRow>);

struct RankedRow {
    shopper: u32,
    is_positive: bool,
    /// Whether its logit is that of the row before.
    is_tied: bool,
}

impl Ranked {
    fn new(logits: &[f32], labels: &[f32], shopper_of_row: &[u32]) -> Self {
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| logits[*a].total_cmp(&logits[*b]));
        let row = |(place, row): (usize, &usize)| RankedRow {
            shopper: shopper_of_row[*row],
            is_positive: labels[*row] > 0.5,
            // `==`, so that −0 and 0 are one logit.
            is_tied: place > 0 && logits[order[place - 1]] == logits[*row],
        };
        Ranked(order.iter().enumerate().map(row).collect())
    }

    /// The AUC where every row counts as often as its shopper was drawn.
    fn auc(&self, times: &[u32]) -> Option<f64> {
        let (mut twice_right, mut positives, mut below) = (0u128, 0u64, 0u64);
        let (mut tie_positives, mut tie_negatives) = (0u64, 0u64);
        let mut close = |tie_positives: u64, tie_negatives: u64| {
            twice_right += u128::from(tie_positives) * u128::from(2 * below + tie_negatives);
            positives += tie_positives;
            below += tie_negatives;
        };
        for row in &self.0 {
            if !row.is_tied {
                close(tie_positives, tie_negatives);
                (tie_positives, tie_negatives) = (0, 0);
            }
            let drawn = u64::from(times[row.shopper as usize]);
            if row.is_positive { tie_positives += drawn } else { tie_negatives += drawn }
        }
        close(tie_positives, tie_negatives);
        let pairs = u128::from(positives) * u128::from(below);
        (pairs > 0).then(|| twice_right as f64 / (2.0 * pairs as f64))
    }
}
