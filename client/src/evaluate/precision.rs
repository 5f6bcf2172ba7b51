//! Ranking by precision and recall, and decisions at a threshold. [core]

use serde::Serialize;

use super::{Scored, best_f1, check, ties_ascending};

/// Area under the precision-recall curve as average precision: precision at every logit that occurs, weighted by the recall gained
/// there. Rows of one logit are called together, so their order says nothing. Logits that say nothing give the share of
/// positives.
///
/// # Source
/// Davis and Goadrich 2006, without their interpolation; the same as scikit-learn's `average_precision_score`.
pub fn average_precision(logits: &[f32], labels: &[f32]) -> Option<f64> {
    let ties = ties_ascending(logits, labels)?;
    let positives: u64 = ties.iter().map(|tie| tie.positives).sum();
    let (mut hits, mut called, mut sum) = (0u64, 0u64, 0.0);
    for tie in ties.iter().rev() {
        hits += tie.positives;
        called += tie.positives + tie.negatives;
        sum += tie.positives as f64 * hits as f64 / called as f64;
    }
    (positives > 0).then(|| sum / positives as f64)
}

/// How rows were called at a threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Positives called positive.
    pub true_positives: u64,
    /// Negatives called positive.
    pub false_positives: u64,
    /// Negatives called negative.
    pub true_negatives: u64,
    /// Positives called negative.
    pub false_negatives: u64,
}

impl Confusion {
    /// Rows with a logit of at least `threshold_logit` are called positive.
    pub fn at(logits: &[f32], labels: &[f32], threshold_logit: f32) -> Option<Self> {
        check(logits, labels)?;
        let mut counts = Confusion::default();
        for (logit, label) in logits.iter().zip(labels) {
            let count = match (*logit >= threshold_logit, *label > 0.5) {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, false) => &mut counts.true_negatives,
                (false, true) => &mut counts.false_negatives,
            };
            *count += 1;
        }
        Some(counts)
    }

    /// Share of rows called right.
    pub fn accuracy(&self) -> Option<f64> {
        let right = self.true_positives + self.true_negatives;
        ratio(right, right + self.false_positives + self.false_negatives)
    }

    /// Share of positives among those called positive; `None` where nothing is.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }

    /// Share of positives that are called positive; `None` without positives.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positives, self.true_positives + self.false_negatives)
    }

    /// Share of negatives that are called negative; `None` without negatives.
    pub fn specificity(&self) -> Option<f64> {
        ratio(self.true_negatives, self.true_negatives + self.false_positives)
    }

    /// Harmonic mean of precision and recall, 0 where nothing positive is found; `None` without positives.
    pub fn f1(&self) -> Option<f64> {
        let twice = 2 * self.true_positives;
        let all = twice + self.false_positives + self.false_negatives;
        self.recall().and_then(|_| ratio(twice, all))
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Decisions on test rows at a threshold that was chosen without them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ThresholdFigures {
    /// The threshold of the greatest F1 on the validation rows.
    pub threshold_logit: f32,
    /// What it does on the test rows.
    pub confusion: Confusion,
    /// Share of rows called right.
    pub accuracy: Option<f64>,
    /// Share of positives among those called positive.
    pub precision: Option<f64>,
    /// Share of positives that are called positive.
    pub recall: Option<f64>,
    /// Harmonic mean of the two.
    pub f1: Option<f64>,
}

impl ThresholdFigures {
    /// Chooses on `validation`, measures on `test`. `None` where the validation rows have no positive.
    pub fn of(validation: &Scored, test: &Scored) -> Option<Self> {
        let threshold_logit = best_f1(&validation.logits, &validation.labels)?.threshold_logit;
        let confusion = Confusion::at(&test.logits, &test.labels, threshold_logit)?;
        Some(ThresholdFigures {
            threshold_logit,
            confusion,
            accuracy: confusion.accuracy(),
            precision: confusion.precision(),
            recall: confusion.recall(),
            f1: confusion.f1(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn average_precision_of_known_rankings() {
        // scikit-learn's own example.
        let found = average_precision(&[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]).expect("positives");
        assert!((found - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-15);
        assert_eq!(average_precision(&[0.0, 1.0, 2.0], &[0.0, 1.0, 1.0]), Some(1.0));
        assert_eq!(average_precision(&[3.0; 4], &[1.0, 0.0, 0.0, 0.0]), Some(0.25), "one tie: the share");
        // Two of the tie of three are positive, then one more: (2/3·2 + 3/4) / 3.
        let tied = average_precision(&[5.0, 5.0, 5.0, 1.0], &[1.0, 0.0, 1.0, 1.0]).expect("positives");
        assert!((tied - (4.0 / 3.0 + 0.75) / 3.0).abs() < 1e-15);
        assert_eq!(average_precision(&[1.0], &[0.0]), None);
        assert_eq!(average_precision(&[f32::NAN], &[1.0]), None);
    }

    #[test]
    fn counts_and_shares_by_hand() {
        let logits = [2.0, 1.0, 0.5, -1.0, -2.0];
        let labels = [1.0, 0.0, 1.0, 1.0, 0.0];
        let counts = Confusion::at(&logits, &labels, 0.5).expect("rows");
        let expected =
            Confusion { true_positives: 2, false_positives: 1, true_negatives: 1, false_negatives: 1 };
        assert_eq!(counts, expected);
        assert_eq!(counts.accuracy(), Some(0.6));
        assert_eq!((counts.precision(), counts.recall()), (Some(2.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((counts.specificity(), counts.f1()), (Some(0.5), Some(2.0 / 3.0)));
        let none = Confusion::at(&logits, &labels, 9.0).expect("rows");
        assert_eq!((none.precision(), none.recall(), none.f1()), (None, Some(0.0), Some(0.0)));
        let negative = Confusion::at(&[1.0], &[0.0], 0.0).expect("rows");
        assert_eq!((negative.recall(), negative.f1(), negative.accuracy()), (None, None, Some(0.0)));
        assert_eq!(Confusion::at(&[], &[], 0.0), None);
    }

    /// The best threshold of the test rows would give F1 = 1; that of the validation rows gives less.
    #[test]
    fn the_threshold_never_sees_the_test_rows() {
        let validation = Scored { logits: vec![0.0, 1.0, 2.0, 3.0], labels: vec![0.0, 0.0, 1.0, 1.0] };
        let test = Scored { logits: vec![0.0, 1.0, 2.5, 3.0], labels: vec![0.0, 1.0, 1.0, 0.0] };
        let found = ThresholdFigures::of(&validation, &test).expect("positives");
        assert_eq!((found.threshold_logit, found.f1), (2.0, Some(0.5)));
        let swapped = Scored { labels: vec![1.0 - 1.0; 4], ..test.clone() };
        assert_eq!(ThresholdFigures::of(&validation, &swapped).map(|f| f.threshold_logit), Some(2.0));
        assert_eq!(ThresholdFigures::of(&swapped, &validation), None);
    }

    proptest! {
        #[test]
        fn average_precision_is_its_definition(rows in prop::collection::vec((-3i8..3, any::<bool>()), 1..40)) {
            let logits: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
            let labels: Vec<f32> = rows.iter().map(|row| f32::from(u8::from(row.1))).collect();
            let (mut expected, mut before) = (0.0, 0.0);
            for threshold in (-3..3).rev() {
                let counts = Confusion::at(&logits, &labels, threshold as f32).unwrap();
                if let (Some(precision), Some(recall)) = (counts.precision(), counts.recall()) {
                    expected += precision * (recall - before);
                    before = recall;
                }
            }
            match average_precision(&logits, &labels) {
                Some(found) => prop_assert!((found - expected).abs() < 1e-12),
                None => prop_assert!(labels.iter().all(|y| *y == 0.0)),
            }
        }
    }
}
