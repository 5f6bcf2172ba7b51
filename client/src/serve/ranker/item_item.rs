//! Scores from a matrix of item-item weights, and popularity where the matrix says nothing.

use super::{Ranker, RankerError, ReasonKind, Reasons, check_popularity, distinct, strongest_first};

/// Marks an item without a row.
const NONE: u32 = u32::MAX;

/// An item's score is the sum of the weights from every item of the history to it, plus a little for its popularity.
pub struct ItemItemRanker {
    /// Items with a row and a column, ascending.
    kept: Vec<u32>,
    /// The row of every item, or [`NONE`].
    rows: Vec<u32>,
    /// `[M, M]`, row-major: from the row's item to the column's.
    weights: Vec<f32>,
    popularity: Vec<f32>,
    /// What popularity adds to every item's score.
    added: Vec<f32>,
}

impl ItemItemRanker {
    /// `backoff` is what the most popular item gets for its popularity; others get their share of that. It orders items that
    /// the matrix says nothing about, so it should be well below the weights.
    ///
    /// # Errors
    /// [`RankerError`].
    ///
    /// # Shapes
    /// `kept` M item numbers, ascending; `weights` `[M, M]`, row-major, from the row's item (in the history) to the column's (to
    /// be scored); `popularity` one number per item: N.
    pub fn new(
        kept: Vec<u32>,
        weights: Vec<f32>,
        popularity: Vec<f32>,
        backoff: f32,
    ) -> Result<Self, RankerError> {
        let items = popularity.len();
        let error =
            |what: &str, expected: String, found: String| RankerError { what: what.into(), expected, found };
        if items == 0 {
            return Err(error("popularity", "at least one item".into(), "none".into()));
        }
        check_popularity(&popularity, items)?;
        let ascending = kept.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || kept.last().is_some_and(|last| *last as usize >= items) {
            return Err(error("kept", format!("numbers below {items}, ascending"), "others".into()));
        }
        let finite = weights.iter().all(|weight| weight.is_finite());
        if weights.len() != kept.len() * kept.len() || !finite {
            let expected = format!("{0} x {0} finite numbers", kept.len());
            return Err(error("weights", expected, format!("{} numbers", weights.len())));
        }
        if !(backoff.is_finite() && backoff >= 0.0) {
            return Err(error("backoff", "a number from 0".into(), "another".into()));
        }
        let mut rows = vec![NONE; items];
        kept.iter().enumerate().for_each(|(row, item)| rows[*item as usize] = row as u32);
        let least = popularity.iter().copied().fold(f32::INFINITY, f32::min).min(0.0);
        let range = popularity.iter().copied().fold(f32::NEG_INFINITY, f32::max) - least;
        let share = |value: &f32| if range > 0.0 { (value - least) / range } else { 0.0 };
        let added = popularity.iter().map(|value| backoff * share(value)).collect();
        Ok(ItemItemRanker { kept, rows, weights, popularity, added })
    }

    /// Ranks by popularity alone, alike for everybody.
    ///
    /// # Errors
    /// [`RankerError`].
    pub fn by_popularity(popularity: Vec<f32>) -> Result<Self, RankerError> {
        ItemItemRanker::new(vec![], vec![], popularity, 0.0)
    }

    fn row(&self, item: u32) -> Option<&[f32]> {
        let row = self.rows.get(item as usize).copied().filter(|row| *row != NONE)? as usize;
        let width = self.kept.len();
        Some(&self.weights[row * width..(row + 1) * width])
    }

    /// Adds the columns of the kept items to scores of all items.
    fn add(&self, columns: &[f32], out: &mut [f32]) {
        for (item, value) in self.kept.iter().zip(columns) {
            out[*item as usize] += value;
        }
    }
}

impl Ranker for ItemItemRanker {
    fn items(&self) -> usize {
        self.rows.len()
    }

    fn reads(&self, item: u32) -> bool {
        self.row(item).is_some()
    }

    fn scores(&self, history: &[u32], out: &mut [f32]) {
        out.copy_from_slice(&self.added);
        let mut sums = vec![0.0; self.kept.len()];
        // Shoppers have an item or not: how often they had it is not what these weights were made from.
        for row in distinct(history).into_iter().filter_map(|item| self.row(item)) {
            for (sum, weight) in sums.iter_mut().zip(row) {
                *sum += weight;
            }
        }
        self.add(&sums, out);
    }

    fn similar(&self, item: u32, out: &mut [f32]) {
        out.copy_from_slice(&self.added);
        if let Some(row) = self.row(item) {
            self.add(row, out);
        }
    }

    fn reasons(&self, history: &[u32], item: u32) -> Reasons {
        let column = self.rows.get(item as usize).copied().filter(|row| *row != NONE);
        let weight = |from: u32| Some((from, *self.row(from)?.get(column? as usize)?));
        let items = distinct(history).into_iter().filter_map(weight).collect();
        Reasons { kind: ReasonKind::Contribution, items: strongest_first(items) }
    }

    fn popularity(&self) -> &[f32] {
        &self.popularity
    }
}
