//! What ranks the items of a catalogue for a history. [core]
//!
//! A ranker is a function of a released model and of the history it is given, and of nothing else: it keeps no shopper's state.

mod dot_product;
mod item_item;

use super::top_k::{Scored, best_of_scores};

pub use dot_product::{DotRanker, HistoryEncoder};
pub use item_item::ItemItemRanker;

/// A ranker that cannot be made of what was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct RankerError {
    /// Which part.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

/// What an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The history that was asked with.
    History,
    /// The item that was asked with.
    Item,
    /// How popular items are, alike for everybody: nothing in the history says anything to this model.
    Popularity,
}

impl Basis {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            Basis::History => "history",
            Basis::Item => "item",
            Basis::Popularity => "popularity",
        }
    }
}

/// Items, the best first, and what the order rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The best first.
    pub items: Vec<Scored>,
    /// What the order rests on.
    pub basis: Basis,
}

/// What a reason's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    /// What an item of the history adds to the score. All of them make up the score, less what popularity adds.
    Contribution,
    /// The cosine between the vectors of the two items: they are alike. Not a part of the score.
    Similarity,
    /// How much the model looked at an item of the history.
    Attention,
}

impl ReasonKind {
    /// The word in answers.
    pub fn word(self) -> &'static str {
        match self {
            ReasonKind::Contribution => "contribution",
            ReasonKind::Similarity => "similarity",
            ReasonKind::Attention => "attention",
        }
    }
}

/// Items of a history that speak for an item, the strongest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Reasons {
    /// What the numbers mean.
    pub kind: ReasonKind,
    /// Items of the history, each once, with numbers above zero.
    pub items: Vec<(u32, f32)>,
}

/// Which items may be in an answer.
#[derive(Clone, Copy, Debug)]
pub struct Eligible<'e> {
    /// Items that may not, ascending.
    pub excluded: &'e [u32],
    /// Where there is a filter: whether an item may, one entry per item.
    pub filter: Option<&'e [bool]>,
}

impl Eligible<'_> {
    /// Every item.
    pub const ALL: Eligible<'static> = Eligible { excluded: &[], filter: None };

    /// Whether an item may be in the answer.
    pub fn allows(&self, item: u32) -> bool {
        let passes = self.filter.is_none_or(|filter| filter.get(item as usize).copied().unwrap_or(false));
        passes && self.excluded.binary_search(&item).is_err()
    }
}

/// A model that ranks items.
///
/// # Shapes
/// N items; item numbers below N; a history is in the order of time, the oldest first, and may be empty.
pub trait Ranker: Send + Sync {
    /// N.
    fn items(&self) -> usize;

    /// Whether an item of a history says anything to this model.
    fn reads(&self, item: u32) -> bool;

    /// Scores of all items for a history with at least one item that the model reads. Greater is better.
    ///
    /// # Shapes
    /// `out` N numbers.
    fn scores(&self, history: &[u32], out: &mut [f32]);

    /// How alike all items are to one that the model reads. Greater is more alike.
    ///
    /// # Shapes
    /// `out` N numbers.
    fn similar(&self, item: u32, out: &mut [f32]);

    /// Which items of a history speak for an item.
    fn reasons(&self, history: &[u32], item: u32) -> Reasons;

    /// How popular every item is, as far as it was released; N numbers, or none.
    fn popularity(&self) -> &[f32];

    /// The `k` best items for a history; the most popular ones where the model can read nothing in it.
    fn top(&self, history: &[u32], k: usize, eligible: Eligible<'_>) -> Ranked {
        if !history.iter().any(|item| self.reads(*item)) {
            return self.most_popular(k, eligible);
        }
        let mut scores = vec![0.0; self.items()];
        self.scores(history, &mut scores);
        Ranked { items: best_of_scores(&scores, k, |item| eligible.allows(item)), basis: Basis::History }
    }

    /// The `k` items that are most like one; the most popular where the model does not read it.
    fn most_similar(&self, item: u32, k: usize, eligible: Eligible<'_>) -> Ranked {
        if !self.reads(item) {
            return self.most_popular(k, eligible);
        }
        let mut scores = vec![0.0; self.items()];
        self.similar(item, &mut scores);
        Ranked { items: best_of_scores(&scores, k, |item| eligible.allows(item)), basis: Basis::Item }
    }

    /// The `k` most popular items, by number where no popularity was released.
    fn most_popular(&self, k: usize, eligible: Eligible<'_>) -> Ranked {
        let items = match self.popularity() {
            [] => {
                let all = (0..self.items() as u32).filter(|item| eligible.allows(*item));
                all.take(k).map(|item| Scored { item, score: 0.0 }).collect()
            }
            popularity => best_of_scores(popularity, k, |item| eligible.allows(item)),
        };
        Ranked { items, basis: Basis::Popularity }
    }
}

/// Checks that popularity is absent, or N finite numbers.
fn check_popularity(popularity: &[f32], items: usize) -> Result<(), RankerError> {
    let error = |expected: String, found: String| RankerError { what: "popularity".into(), expected, found };
    if !popularity.is_empty() && popularity.len() != items {
        return Err(error(format!("none or {items} numbers"), popularity.len().to_string()));
    }
    match popularity.iter().position(|value| !value.is_finite()) {
        Some(place) => Err(error("finite numbers".into(), format!("another at {place}"))),
        None => Ok(()),
    }
}

/// The strongest first, nothing without strength.
fn strongest_first(mut items: Vec<(u32, f32)>) -> Vec<(u32, f32)> {
    items.retain(|(_, strength)| *strength > 0.0);
    items.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    items
}

/// A history as a set, ascending.
fn distinct(history: &[u32]) -> Vec<u32> {
    let mut items = history.to_vec();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests;
