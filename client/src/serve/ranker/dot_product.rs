//! Scores that are products of a history's vector with the items' vectors.

use super::{
    Basis, Eligible, Ranked, Ranker, RankerError, ReasonKind, Reasons, check_popularity, distinct,
    strongest_first,
};
use crate::serve::top_k::{DotIndex, dot};

/// Turns a history into the vector that items' vectors are multiplied with.
pub trait HistoryEncoder: Send + Sync {
    /// Writes the vector of a history of at least one item.
    ///
    /// # Shapes
    /// `out` as wide as the items' vectors.
    fn query(&self, history: &[u32], out: &mut [f32]);

    /// Which items of the history speak for an item, where the model itself can say.
    fn reasons(&self, _history: &[u32], _item: u32) -> Option<Reasons> {
        None
    }
}

impl<F: Fn(&[u32], &mut [f32]) + Send + Sync> HistoryEncoder for F {
    fn query(&self, history: &[u32], out: &mut [f32]) {
        self(history, out);
    }
}

/// Ranks by the product of two vectors, through an exact index.
pub struct DotRanker {
    index: DotIndex,
    /// Length of every item's vector.
    lengths: Vec<f32>,
    encoder: Box<dyn HistoryEncoder>,
    popularity: Vec<f32>,
}

impl DotRanker {
    /// # Errors
    /// [`RankerError`].
    ///
    /// # Shapes
    /// `popularity` one number per item of the index, or none.
    pub fn new(
        index: DotIndex,
        encoder: Box<dyn HistoryEncoder>,
        popularity: Vec<f32>,
    ) -> Result<Self, RankerError> {
        if index.items() == 0 {
            let (expected, found) = ("at least one item".into(), "none".into());
            return Err(RankerError { what: "vectors".into(), expected, found });
        }
        check_popularity(&popularity, index.items())?;
        let mut vector = vec![0.0; index.width()];
        let length = |item: u32| {
            index.vector(item, &mut vector);
            dot(&vector, &vector).sqrt()
        };
        let lengths = (0..index.items() as u32).map(length).collect();
        Ok(DotRanker { index, lengths, encoder, popularity })
    }

    fn query(&self, history: &[u32]) -> Vec<f32> {
        let mut query = vec![0.0; self.index.width()];
        self.encoder.query(history, &mut query);
        query
    }

    fn cosine(&self, product: f32, one: usize, other: usize) -> f32 {
        let lengths = self.lengths[one] * self.lengths[other];
        if lengths > 0.0 { product / lengths } else { 0.0 }
    }
}

impl Ranker for DotRanker {
    fn items(&self) -> usize {
        self.index.items()
    }

    fn reads(&self, item: u32) -> bool {
        (item as usize) < self.index.items()
    }

    fn scores(&self, history: &[u32], out: &mut [f32]) {
        // A query that is no vector of numbers ranks nothing; no score is a number then.
        if self.index.scores(&self.query(history), out).is_err() {
            out.fill(f32::NAN);
        }
    }

    fn similar(&self, item: u32, out: &mut [f32]) {
        let mut query = vec![0.0; self.index.width()];
        self.index.vector(item, &mut query);
        if self.index.scores(&query, out).is_err() {
            out.fill(f32::NAN);
        }
        for (other, score) in out.iter_mut().enumerate() {
            *score = self.cosine(*score, item as usize, other);
        }
    }

    fn reasons(&self, history: &[u32], item: u32) -> Reasons {
        if let Some(reasons) = self.encoder.reasons(history, item) {
            return Reasons { items: strongest_first(reasons.items), ..reasons };
        }
        let width = self.index.width();
        let (mut one, mut other) = (vec![0.0; width], vec![0.0; width]);
        self.index.vector(item, &mut one);
        let cosine = |from: u32| {
            self.index.vector(from, &mut other);
            (from, self.cosine(dot(&one, &other), item as usize, from as usize))
        };
        let readable = distinct(history).into_iter().filter(|from| self.reads(*from));
        Reasons { kind: ReasonKind::Similarity, items: strongest_first(readable.map(cosine).collect()) }
    }

    fn popularity(&self) -> &[f32] {
        &self.popularity
    }

    fn top(&self, history: &[u32], k: usize, eligible: Eligible<'_>) -> Ranked {
        if !history.iter().any(|item| self.reads(*item)) {
            return self.most_popular(k, eligible);
        }
        match self.index.top(&self.query(history), k, |item| eligible.allows(item)) {
            Ok(items) => Ranked { items, basis: Basis::History },
            // The encoder gave no vector of numbers: what the model says of this history cannot be used.
            Err(_) => self.most_popular(k, eligible),
        }
    }
}
