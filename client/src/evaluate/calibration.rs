//! Whether predicted chances are the shares that come true. [core]

use serde::Serialize;

use super::{check, probability};

/// Mean squared distance between predicted chance and outcome. Always saying a half gives 0.25.
///
/// # Source
/// Brier 1950, for two classes and one of them counted.
pub fn brier_score(logits: &[f32], labels: &[f32]) -> Option<f64> {
    check(logits, labels)?;
    let squares = logits.iter().zip(labels).map(|(logit, label)| {
        let away = probability(f64::from(*logit)) - f64::from(*label);
        away * away
    });
    Some(squares.sum::<f64>() / logits.len() as f64)
}

/// Rows of one bin of predicted chances.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Least chance of the bin.
    pub from: f64,
    /// Chances below this; in the last bin 1 too.
    pub to: f64,
    /// Rows.
    pub rows: u64,
    /// Mean predicted chance; `None` without rows.
    pub predicted: Option<f64>,
    /// Share of positives; `None` without rows.
    pub observed: Option<f64>,
}

/// A table over `bins` equal bins, at least one, the least chance first. Its mean of |predicted − observed|, weighted by rows, is
/// [`calibration_error`](super::calibration_error).
pub fn calibration_table(logits: &[f32], labels: &[f32], bins: usize) -> Option<Vec<CalibrationBin>> {
    check(logits, labels)?;
    let bins = bins.max(1);
    let mut sums = vec![(0u64, 0.0, 0.0); bins];
    for (logit, label) in logits.iter().zip(labels) {
        let chance = probability(f64::from(*logit));
        let (rows, predicted, observed) = &mut sums[bin_of(chance, bins)];
        *rows += 1;
        *predicted += chance;
        *observed += f64::from(*label);
    }
    let bin = |(place, (rows, predicted, observed)): (usize, (u64, f64, f64))| {
        let mean = |sum: f64| (rows > 0).then(|| sum / rows as f64);
        let edge = |place: usize| place as f64 / bins as f64;
        let (from, to) = (edge(place), edge(place + 1));
        CalibrationBin { from, to, rows, predicted: mean(predicted), observed: mean(observed) }
    };
    Some(sums.into_iter().enumerate().map(bin).collect())
}

/// The bin of a chance among `bins` equal ones.
pub(super) fn bin_of(chance: f64, bins: usize) -> usize {
    ((chance * bins as f64) as usize).min(bins - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::calibration_error;

    #[test]
    fn brier_by_hand() {
        assert_eq!(brier_score(&[0.0, 0.0], &[0.0, 1.0]), Some(0.25));
        assert_eq!(brier_score(&[1e30, -1e30], &[1.0, 0.0]), Some(0.0));
        let p = probability(1.5);
        assert_eq!(brier_score(&[1.5], &[0.0]), Some(p * p));
        assert_eq!(brier_score(&[], &[]), None);
    }

    #[test]
    fn the_table_by_hand_and_its_error() {
        // Chances .5, .5, about 1, about 0.
        let (logits, labels) = ([0.0, 0.0, 40.0, -40.0], [1.0, 0.0, 1.0, 1.0]);
        let table = calibration_table(&logits, &labels, 4).expect("rows");
        let rows: Vec<u64> = table.iter().map(|bin| bin.rows).collect();
        assert_eq!(rows, [1, 0, 2, 1]);
        assert_eq!((table[1].predicted, table[1].observed), (None, None));
        assert_eq!((table[2].from, table[2].to), (0.5, 0.75));
        assert_eq!((table[2].predicted, table[2].observed), (Some(0.5), Some(0.5)));
        let away = |bin: &CalibrationBin| {
            bin.rows as f64 * (bin.predicted.unwrap_or(0.0) - bin.observed.unwrap_or(0.0)).abs()
        };
        let error = table.iter().map(away).sum::<f64>() / 4.0;
        assert!((error - calibration_error(&logits, &labels, 4).expect("rows")).abs() < 1e-12);
        assert!((error - 0.25).abs() < 1e-12);
        assert_eq!(calibration_table(&logits, &labels, 0).map(|table| table.len()), Some(1));
    }
}
