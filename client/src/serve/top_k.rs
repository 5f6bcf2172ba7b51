//! The k best of many items, exactly. [core]
//!
//! ```text
//! vectors ──▶ DotIndex: int8 codes with proven error bounds ──▶ candidates ──▶ exact scores ──▶ the k best
//! scores  ──▶ best_of_scores ────────────────────────────────────────────────────────────────▶ the k best
//! ```
//! The order is everywhere the same: the higher score first, of equal scores the lower item number. A score that is not a
//! number is never among the best.

mod codes;
mod dot;
mod index;

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

pub use dot::dot;
pub use index::{DotIndex, LENGTH_MAX, Precision, VectorError, WIDTH_MAX};

/// An item and its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Number of the item.
    pub item: u32,
    /// Score; a number.
    pub score: f32,
}

/// The order of answers: the better first. Both scores must be numbers.
pub fn better_first(a: &Scored, b: &Scored) -> Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal).then(a.item.cmp(&b.item))
}

/// [`Scored`] in a heap whose greatest is the worst.
struct Kept(Scored);

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Kept {}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        better_first(&self.0, &other.0)
    }
}

/// Items looked at together: most groups hold nothing good enough and are passed over.
const GROUP: usize = 32;

/// The `k` best of all items that `allows` lets through, by their scores.
///
/// # Shapes
/// `scores` one per item; the answer has `k` entries, or fewer where fewer are allowed.
pub fn best_of_scores(scores: &[f32], k: usize, allows: impl Fn(u32) -> bool) -> Vec<Scored> {
    if k == 0 {
        return vec![];
    }
    let mut kept: BinaryHeap<Kept> = BinaryHeap::with_capacity(k.min(scores.len()) + 1);
    // Of equal scores the earlier item is better, so a full heap is entered only by a higher score.
    let mut entry = f32::NEG_INFINITY;
    for (group, values) in scores.chunks(GROUP).enumerate() {
        let is_full = kept.len() == k;
        if is_full && values.iter().copied().fold(f32::NEG_INFINITY, f32::max) <= entry {
            continue;
        }
        for (place, score) in values.iter().copied().enumerate() {
            let item = (group * GROUP + place) as u32;
            let enters = if kept.len() == k { score > entry } else { !score.is_nan() };
            if enters && allows(item) {
                kept.push(Kept(Scored { item, score }));
                if kept.len() > k {
                    kept.pop();
                }
                entry =
                    if kept.len() == k { kept.peek().map_or(entry, |worst| worst.0.score) } else { entry };
            }
        }
    }
    kept.into_sorted_vec().into_iter().map(|kept| kept.0).collect()
}

/// The k greatest of a stream of numbers: what the k-th is at least.
struct Floor {
    k: usize,
    greatest: BinaryHeap<Reverse<Number>>,
}

/// A finite number in a heap.
#[derive(Clone, Copy, PartialEq)]
struct Number(f32);

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Floor {
    fn new(k: usize) -> Self {
        Floor { k, greatest: BinaryHeap::with_capacity(k) }
    }

    /// The k-th greatest so far; minus infinity while there are fewer.
    fn value(&self) -> f32 {
        match self.greatest.peek() {
            Some(Reverse(Number(least))) if self.greatest.len() == self.k => *least,
            _ => f32::NEG_INFINITY,
        }
    }

    fn add(&mut self, number: f32) {
        if self.greatest.len() < self.k {
            self.greatest.push(Reverse(Number(number)));
        } else if number > self.value()
            && let Some(mut least) = self.greatest.peek_mut()
        {
            *least = Reverse(Number(number));
        }
    }
}

#[cfg(test)]
mod tests;
