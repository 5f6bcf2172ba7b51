//! How good logits are: ranking, log loss, calibration, and a summary over merchants. [core]
//!
//! All functions take logits and labels of equal length, labels 0 or 1. They give `None` where the figure does not
//! exist: no rows, lengths that differ, a NaN, or, for ranking, only one class.

pub mod activity;
mod calibration;
pub mod paired;
mod precision;
pub mod ranking;
pub mod released;
mod summary;

pub use calibration::{CalibrationBin, brier_score, calibration_table};
pub use precision::{Confusion, ThresholdFigures, average_precision};
pub use summary::{FigureSummary, Scored};

/// Area under the ROC curve: the chance that a random positive is ranked above a random negative, ties counted half.
///
/// # Source
/// Hanley and McNeil 1982; the rank-sum form of Mann and Whitney 1947 with mean ranks for ties.
pub fn auc(logits: &[f32], labels: &[f32]) -> Option<f64> {
    let (mut positives, mut below) = (0u64, 0u64);
    // Twice the number of pairs ranked right, so that a tie's half stays an integer.
    let mut twice_right = 0u128;
    for tie in ties_ascending(logits, labels)? {
        twice_right += u128::from(tie.positives) * u128::from(2 * below + tie.negatives);
        positives += tie.positives;
        below += tie.negatives;
    }
    let pairs = u128::from(positives) * u128::from(below);
    (pairs > 0).then(|| twice_right as f64 / (2.0 * pairs as f64))
}

/// Mean binary cross entropy, in nats.
pub fn log_loss(logits: &[f32], labels: &[f32]) -> Option<f64> {
    check(logits, labels)?;
    let sum: f64 = logits.iter().zip(labels).map(|(z, y)| cross_entropy(f64::from(*z), f64::from(*y))).sum();
    Some(sum / logits.len() as f64)
}

/// −y·ln σ(z) − (1−y)·ln(1−σ(z)), stable for every finite z.
pub(crate) fn cross_entropy(z: f64, y: f64) -> f64 {
    z.max(0.0) - z * y + (-z.abs()).exp().ln_1p()
}

/// σ(z) = 1/(1+e^−z), without overflow.
pub fn probability(logit: f64) -> f64 {
    let e = (-logit.abs()).exp();
    if logit >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) }
}

/// Expected calibration error: over `bins` equal bins of predicted probability, the mean distance between the share of
/// positives and the mean prediction, weighted by rows.
///
/// # Source
/// Naeini, Cooper, Hauskrecht 2015; on the probability of the positive class.
pub fn calibration_error(logits: &[f32], labels: &[f32], bins: usize) -> Option<f64> {
    check(logits, labels)?;
    let mut excess = vec![0.0; bins.max(1)];
    for (z, y) in logits.iter().zip(labels) {
        let p = probability(f64::from(*z));
        let bin = ((p * excess.len() as f64) as usize).min(excess.len() - 1);
        excess[bin] += p - f64::from(*y);
    }
    Some(excess.iter().map(|x: &f64| x.abs()).sum::<f64>() / logits.len() as f64)
}

/// The greatest F1 over all thresholds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BestF1 {
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Rows with a logit of at least this are called positive.
    pub threshold_logit: f32,
}

/// The threshold with the greatest F1, and that F1: an optimistic figure, as the threshold is chosen on the same rows.
pub fn best_f1(logits: &[f32], labels: &[f32]) -> Option<BestF1> {
    let ties = ties_ascending(logits, labels)?;
    let positives: u64 = ties.iter().map(|tie| tie.positives).sum();
    let (mut hits, mut called) = (0u64, 0u64);
    let mut best: Option<BestF1> = None;
    for tie in ties.iter().rev() {
        hits += tie.positives;
        called += tie.positives + tie.negatives;
        let f1 = 2.0 * hits as f64 / (called + positives) as f64;
        if best.is_none_or(|best| f1 > best.f1) {
            best = Some(BestF1 { f1, threshold_logit: tie.logit });
        }
    }
    best.filter(|_| positives > 0)
}

/// Rows of one logit.
struct Tie {
    logit: f32,
    positives: u64,
    negatives: u64,
}

fn ties_ascending(logits: &[f32], labels: &[f32]) -> Option<Vec<Tie>> {
    check(logits, labels)?;
    let mut rows: Vec<(f32, f32)> = logits.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut ties: Vec<Tie> = Vec::new();
    for (logit, label) in rows {
        // `==`, so that −0 and 0 are one logit.
        if ties.last().is_none_or(|tie| tie.logit != logit) {
            ties.push(Tie { logit, positives: 0, negatives: 0 });
        }
        if let Some(tie) = ties.last_mut() {
            if label > 0.5 { tie.positives += 1 } else { tie.negatives += 1 }
        }
    }
    Some(ties)
}

fn check(logits: &[f32], labels: &[f32]) -> Option<()> {
    let numbers = logits.iter().chain(labels).all(|x| !x.is_nan());
    (!logits.is_empty() && logits.len() == labels.len() && numbers).then_some(())
}

#[cfg(test)]
mod tests;
