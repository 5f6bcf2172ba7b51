//! Figures of predictions by activity group: of every shopper where its rows' chances lie, by label. [core]

use guildhall_shared::job::ClippingSpec;
use serde::Serialize;

use super::{Estimate, NoisedSum, clip_for};
use crate::evaluate::activity::ActivityGroups;
use crate::evaluate::calibration::bin_of;
use crate::evaluate::probability;

/// Where a shopper's rows stand in the sum: by group, label and bin. Bins are equal parts of the chances from 0 to 1, so many that
/// ranking within one matters little, so few that each is seen above the noise: 20, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreLayout {
    groups: ActivityGroups,
    bins: usize,
}

impl ScoreLayout {
    /// At least two bins.
    pub fn new(groups: ActivityGroups, bins: usize) -> Self {
        ScoreLayout { groups, bins: bins.max(2) }
    }

    /// d.
    pub fn parameters(&self) -> usize {
        2 * self.bins * self.groups.len()
    }

    /// C_f for this B: a shopper's rows weigh 1 together, so no contribution is longer than that.
    pub fn clipping(&self, bound: u64) -> ClippingSpec {
        clip_for(1.0, self.parameters(), bound)
    }

    /// What one shopper adds: d values that add up to 1, each row the same. Empty for a shopper without rows, or with a logit that is
    /// not a number.
    ///
    /// # Shapes
    /// As many `labels` as `logits`; what is left over on either side is ignored.
    pub fn contribution(&self, train_rows: usize, logits: &[f32], labels: &[f32]) -> Vec<f64> {
        let rows = logits.len().min(labels.len());
        if rows == 0 || logits.iter().any(|logit| logit.is_nan()) {
            return vec![];
        }
        let mut values = vec![0.0; self.parameters()];
        let group = 2 * self.bins * self.groups.group_of(train_rows);
        for (logit, label) in logits.iter().zip(labels) {
            let bin = bin_of(probability(f64::from(*logit)), self.bins);
            let side = if *label > 0.5 { 0 } else { self.bins };
            values[group + side + bin] += 1.0 / rows as f64;
        }
        values
    }

    /// The figures of every group, and of all together; `None` for a sum of another length.
    pub fn read(&self, sum: &NoisedSum) -> Option<(Vec<ReleasedScores>, ReleasedScores)> {
        if sum.sums.len() != self.parameters() {
            return None;
        }
        let words: Vec<Estimate> =
            (0..self.parameters()).map(|word| sum.estimate(word)).collect::<Option<_>>()?;
        let each = 2 * self.bins;
        let all: Vec<Estimate> =
            (0..each).map(|place| Estimate::sum(words.iter().skip(place).step_by(each).copied())).collect();
        let of = |label: String, words: &[Estimate]| {
            let (positives, negatives) = words.split_at(self.bins);
            ReleasedScores::new(label, positives, negatives)
        };
        let groups = words.chunks_exact(each).enumerate();
        let groups = groups.map(|(group, words)| of(self.groups.label(group), words)).collect();
        Some((groups, of("all".into(), &all)))
    }
}

/// Figures of predictions read from a noised sum. Every shopper weighs 1, however many rows it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReleasedScores {
    /// Train rows of its shoppers, in words.
    pub group: String,
    /// Shoppers; may come out below zero.
    pub shoppers: Estimate,
    /// Share of positives; `None` where the shoppers are too few for the noise.
    pub positives: Option<Estimate>,
    /// Area under the ROC curve, rows of one bin counted as ties; `None` where either class is too small for the noise.
    pub auc: Option<Estimate>,
    /// Mean predicted chance, each taken as the middle of its bin, less the share of positives: above zero predicts too much.
    pub predicted_less_observed: Option<Estimate>,
    /// Calibration, the least chance first.
    pub bins: Vec<ReleasedBin>,
}

/// Predictions of about one chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ReleasedBin {
    /// Least chance of the bin.
    pub from: f64,
    /// Chances below this; in the last bin 1 too.
    pub to: f64,
    /// Shoppers, in parts where their rows are in several bins.
    pub weight: Estimate,
    /// Share of positives; `None` where they are too few for the noise.
    pub observed: Option<Estimate>,
}

impl ReleasedScores {
    fn new(group: String, positives: &[Estimate], negatives: &[Estimate]) -> Self {
        let sum = |parts: &[Estimate]| Estimate::sum(parts.iter().copied());
        let shoppers = Estimate::sum([sum(positives), sum(negatives)]);
        let edge = |bin: usize| bin as f64 / positives.len() as f64;
        let bin = |(bin, (yes, no)): (usize, (&Estimate, &Estimate))| ReleasedBin {
            from: edge(bin),
            to: edge(bin + 1),
            weight: Estimate::sum([*yes, *no]),
            observed: share(*yes, *no),
        };
        let bins: Vec<ReleasedBin> = positives.iter().zip(negatives).enumerate().map(bin).collect();
        ReleasedScores {
            group,
            shoppers,
            positives: share(sum(positives), sum(negatives)),
            auc: auc(positives, negatives),
            predicted_less_observed: gap(&bins, positives, negatives, shoppers),
            bins,
        }
    }
}

/// part / (part + rest), whose noises are independent of each other and not of the sum's.
fn share(part: Estimate, rest: Estimate) -> Option<Estimate> {
    let whole = Estimate::sum([part, rest]);
    if !whole.is_above_noise() {
        return None;
    }
    let value = part.value / whole.value;
    let error = ((1.0 - value) * part.standard_error).hypot(value * rest.standard_error);
    Some(Estimate { value, standard_error: error / whole.value })
}

/// Σ (middle − label)·weight / Σ weight.
fn gap(
    bins: &[ReleasedBin],
    positives: &[Estimate],
    negatives: &[Estimate],
    shoppers: Estimate,
) -> Option<Estimate> {
    if !shoppers.is_above_noise() {
        return None;
    }
    let middle = |bin: &ReleasedBin| f64::midpoint(bin.from, bin.to);
    let yes = bins.iter().zip(positives).map(|(bin, part)| (middle(bin) - 1.0, part));
    let terms: Vec<(f64, &Estimate)> =
        yes.chain(bins.iter().zip(negatives).map(|(bin, part)| (middle(bin), part))).collect();
    let value = terms.iter().map(|(by, part)| by * part.value).sum::<f64>() / shoppers.value;
    let variance: f64 = terms.iter().map(|(by, part)| ((by - value) * part.standard_error).powi(2)).sum();
    Some(Estimate { value, standard_error: variance.sqrt() / shoppers.value })
}

/// Pairs ranked right, ties half, over all pairs; its error by the derivative with respect to every bin.
fn auc(positives: &[Estimate], negatives: &[Estimate]) -> Option<Estimate> {
    let total = |parts: &[Estimate]| Estimate::sum(parts.iter().copied());
    let (all_positives, all_negatives) = (total(positives), total(negatives));
    if !all_positives.is_above_noise() || !all_negatives.is_above_noise() {
        return None;
    }
    // Of every bin the negatives below and half of those in it, and the positives above and half of those in it.
    let (mut below, mut above) = (0.0, all_positives.value);
    let (mut right, mut sides) = (0.0, Vec::with_capacity(positives.len()));
    for (yes, no) in positives.iter().zip(negatives) {
        let beaten = below + no.value / 2.0;
        right += yes.value * beaten;
        sides.push((beaten, above - yes.value / 2.0));
        below += no.value;
        above -= yes.value;
    }
    let value = right / (all_positives.value * all_negatives.value);
    let variance: f64 = sides
        .iter()
        .zip(positives.iter().zip(negatives))
        .map(|((beaten, beating), (yes, no))| {
            let by_positive = (beaten / all_negatives.value - value) / all_positives.value;
            let by_negative = (beating / all_positives.value - value) / all_negatives.value;
            (by_positive * yes.standard_error).powi(2) + (by_negative * no.standard_error).powi(2)
        })
        .sum();
    Some(Estimate { value, standard_error: variance.sqrt() })
}
