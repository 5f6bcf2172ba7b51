//! One shopper in training: what it read, what came next, and what is drawn for it. [core]

use crate::data::observations::ShopperKey;
use crate::model::sequence::real::Real;
use crate::train::private_stream::{PrivateStreams, ShopperStream};
use crate::train::slots::RowSum;

use super::geometry::Geometry;

/// Draws of a counterexample before one of the shopper's own items is taken: nearly the whole catalogue is its own then.
const DRAWS_MAX: usize = 64;

/// A shopper's place in a batch. Keeps its memory.
#[derive(Default)]
pub(super) struct Slot {
    stream: Option<ShopperStream>,
    /// Items read and, one later, items to come.
    window: Vec<u32>,
    /// The counterexamples of all steps.
    negatives: Vec<u32>,
    /// The shopper's items, each once, in order.
    own: Vec<u32>,
    /// Gradients of all steps so far, and of those before this one.
    pub(super) rows: RowSum,
    pub(super) moved: RowSum,
}

/// The newest items that are read, and the one after each; nothing where there are fewer than two.
pub(super) fn window(items: &[u32], positions: usize) -> Option<&[u32]> {
    (items.len() >= 2).then(|| &items[items.len().saturating_sub(positions + 1)..])
}

impl Slot {
    /// Takes a shopper in and draws its counterexamples.
    ///
    /// # Privacy
    /// Draws from the shopper's own stream, in an order of its own.
    pub(super) fn fill(
        &mut self,
        geometry: &Geometry,
        streams: &PrivateStreams,
        (key, items): (ShopperKey, &[u32]),
        steps: usize,
    ) {
        let model = &geometry.model;
        self.window.clear();
        self.window.extend_from_slice(window(items, model.positions).unwrap_or(&[]));
        self.own.clear();
        self.own.extend_from_slice(items);
        self.own.sort_unstable();
        self.own.dedup();
        let mut stream = streams.of(key);
        let count = steps * self.positions() * model.negatives;
        self.negatives.clear();
        self.negatives.extend((0..count).map(|_| draw(&mut stream, model.items as u32, &self.own)));
        self.stream = Some(stream);
    }

    /// Empties the slot.
    pub(super) fn clear(&mut self) {
        self.window.clear();
        self.negatives.clear();
        self.stream = None;
    }

    /// Starts the sums of the rows that training will touch.
    pub(super) fn start_rows(&mut self, geometry: &Geometry) {
        let (history, negatives) = (&self.window[..self.positions()], self.negatives.iter());
        let width = geometry.model.width;
        if geometry.model.negatives == 0 {
            return self.rows.start(width, 0..geometry.layout.rows as u32);
        }
        let scored = self.window.iter().chain(negatives).flat_map(|item| geometry.rows_of(*item));
        self.rows.start(width, scored.chain(geometry.rows_of_history(history)));
    }

    /// Positions read.
    pub(super) fn positions(&self) -> usize {
        self.window.len().saturating_sub(1)
    }

    pub(super) fn history(&self) -> &[u32] {
        &self.window[..self.positions()]
    }

    pub(super) fn targets(&self) -> &[u32] {
        &self.window[self.window.len() - self.positions()..]
    }

    /// The counterexamples of one of `steps`.
    pub(super) fn negatives(&self, step: usize, steps: usize) -> &[u32] {
        let each = self.negatives.len() / steps.max(1);
        &self.negatives[step * each..(step + 1) * each]
    }

    /// Writes 0 for what is hidden and 1/(1 − share) for what is not.
    pub(super) fn hide<T: Real>(&mut self, share: f64, out: &mut [T]) {
        if let Some(stream) = &mut self.stream {
            stream.hide(share, out);
        }
    }
}

/// An item of the catalogue that is not among `own`.
pub(super) fn draw(stream: &mut ShopperStream, items: u32, own: &[u32]) -> u32 {
    let mut item = stream.below(items);
    for _ in 1..DRAWS_MAX {
        if own.binary_search(&item).is_err() {
            break;
        }
        item = stream.below(items);
    }
    item
}

/// Positions of the batch that a history of so many is put into: a few sizes, so that short histories do not pay for long
/// ones. A function of the shopper's own length and of public numbers.
pub(super) fn bucket_positions(length: usize, positions: usize) -> usize {
    length.next_power_of_two().max(4).min(positions.max(1))
}
