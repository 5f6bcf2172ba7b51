//! Two models on the same shoppers: the difference of a figure, with an interval. [core]
//!
//! Rows of one shopper are alike, so shoppers are drawn and not rows. A positive difference says that the first model's figure
//! is greater.

mod auc;

use serde::Serialize;

use crate::data::observations::Observations;
use crate::draws::Draws;

pub use auc::{AucPair, auc_difference, delong};

/// The normal quantile of 97.5 %.
const QUANTILE: f64 = 1.959_963_984_540_054;

/// Share of resamples in which a figure must exist for an interval to be given.
const DEFINED_MIN: f64 = 0.95;

/// A difference and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The first model's figure less the second's.
    pub difference: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Difference {
    /// Whether the interval leaves zero out.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    fn around(difference: f64, standard_error: f64) -> Self {
        let reach = QUANTILE * standard_error;
        Difference { difference, low: difference - reach, high: difference + reach }
    }
}

/// How shoppers are drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resampling {
    /// Resamples; at least 100, so that 2.5 % of them is a number.
    pub resamples: u32,
    /// Of the draws.
    pub seed: u64,
}

impl Default for Resampling {
    /// 2,000 resamples of seed 0.
    fn default() -> Self {
        Resampling { resamples: 2_000, seed: 0 }
    }
}

/// The difference of means of one value per shopper, such as NDCG, with a normal interval: for hundreds of shoppers and more.
/// `None` of fewer than two, of lists that are not of one length, or of values that are not finite.
pub fn mean_difference(first: &[f64], second: &[f64]) -> Option<Difference> {
    let apart = differences(first, second)?;
    let n = apart.len() as f64;
    let mean = apart.iter().sum::<f64>() / n;
    let squares: f64 = apart.iter().map(|value| (value - mean) * (value - mean)).sum();
    (apart.len() > 1).then(|| Difference::around(mean, (squares / (n - 1.0) / n).sqrt()))
}

/// As [`mean_difference`], with the interval of a bootstrap: for few shoppers or values that are far from normal.
pub fn mean_difference_resampled(
    first: &[f64],
    second: &[f64],
    resampling: Resampling,
) -> Option<Difference> {
    let apart = differences(first, second)?;
    if apart.len() < 2 {
        return None;
    }
    bootstrap(apart.len(), resampling, |times| {
        let sum: f64 = apart.iter().zip(times).map(|(value, times)| value * f64::from(*times)).sum();
        Some(sum / apart.len() as f64)
    })
}

fn differences(first: &[f64], second: &[f64]) -> Option<Vec<f64>> {
    let apart: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    (first.len() == second.len() && apart.iter().all(|value| value.is_finite())).then_some(apart)
}

/// The percentile interval of a figure over shoppers drawn with replacement. `figure` gets how often each shopper was drawn, and
/// gives `None` where it does not exist for them, as an AUC of one class. `None` where it does not exist for the shoppers as they
/// are, or for more than one resample in twenty.
///
/// # Source
/// Efron and Tibshirani 1993, chapter 13; resampling of clusters: Davison and Hinkley 1997, section 3.8.
pub fn bootstrap(
    shoppers: usize,
    resampling: Resampling,
    mut figure: impl FnMut(&[u32]) -> Option<f64>,
) -> Option<Difference> {
    if shoppers == 0 || resampling.resamples < 100 {
        return None;
    }
    let mut times = vec![1; shoppers];
    let difference = figure(&times)?;
    let mut draws = Draws::new(resampling.seed);
    let mut figures = Vec::with_capacity(resampling.resamples as usize);
    for _ in 0..resampling.resamples {
        times.fill(0);
        (0..shoppers).for_each(|_| times[draws.below(shoppers)] += 1);
        figures.extend(figure(&times).filter(|value| value.is_finite()));
    }
    if (figures.len() as f64) < DEFINED_MIN * f64::from(resampling.resamples) {
        return None;
    }
    figures.sort_by(f64::total_cmp);
    let (low, high) = (percentile(&figures, 0.025), percentile(&figures, 0.975));
    Some(Difference { difference, low, high })
}

/// Between the two nearest of at least one ascending number.
fn percentile(ascending: &[f64], share: f64) -> f64 {
    let place = share * (ascending.len() - 1) as f64;
    let below = place as usize;
    let above = (below + 1).min(ascending.len() - 1);
    ascending[below] + (place - below as f64) * (ascending[above] - ascending[below])
}

/// The number of its shopper for every row.
pub fn shopper_of_rows(rows: &Observations) -> Vec<u32> {
    let numbered = rows.shoppers.iter().zip(0u32..);
    numbered.flat_map(|(shopper, number)| (shopper.start..shopper.end).map(move |_| number)).collect()
}

#[cfg(test)]
mod tests;
