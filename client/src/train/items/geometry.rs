//! How histories become inputs of a network, how items become vectors, and both ways back. [core]

use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::model_spec::{ItemEncoder, ModelSpec, NextItemModel};

use crate::model::sequence::real::Real;
use crate::train::slots::{ParameterLayout, RowSource, RowTarget};

/// A model of the next item over a catalogue: sizes and tags, no weights.
#[derive(Clone)]
pub(super) struct Geometry {
    pub(super) model: NextItemModel,
    pub(super) layout: ParameterLayout,
    /// Public tags of every item; empty where the model has none.
    catalogue: Option<Catalogue>,
}

impl Geometry {
    pub(super) fn new(model: &NextItemModel, spec: &ModelSpec, catalogue: &Catalogue) -> Self {
        let tags = matches!(model.encoder, ItemEncoder::TwoTower { tags, .. } if tags > 0);
        let tables = if tags || matches!(model.encoder, ItemEncoder::Transformer { .. }) { 2 } else { 1 };
        Geometry {
            model: model.clone(),
            layout: ParameterLayout::new(spec.parameters(), tables, model.width),
            catalogue: tags.then(|| catalogue.clone()),
        }
    }

    /// Rows of the item's public tags, behind all items.
    fn tag_rows(&self, item: u32) -> impl Iterator<Item = u32> + '_ {
        let tags = self.catalogue.as_ref().map_or(&[][..], |catalogue| catalogue.tags_of(item));
        let items = self.model.items as u32;
        tags.iter().map(move |tag| items + tag)
    }

    /// Rows that an item's vector is the sum of.
    pub(super) fn rows_of(&self, item: u32) -> impl Iterator<Item = u32> + '_ {
        std::iter::once(item).chain(self.tag_rows(item))
    }

    /// Row of the position `place` of a history of `length` items: the newest item is always in the last position.
    pub(super) fn position_row(&self, place: usize, length: usize) -> Option<u32> {
        let last = matches!(self.model.encoder, ItemEncoder::Transformer { .. });
        last.then(|| (self.model.items + self.model.positions - length + place) as u32)
    }

    /// All rows that a history read by the network touches.
    pub(super) fn rows_of_history<'a>(&'a self, history: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let positions = (0..history.len()).filter_map(|place| self.position_row(place, history.len()));
        history.iter().flat_map(|item| self.rows_of(*item)).chain(positions)
    }

    /// Items of a transformer come in at √width, as vectors of length one would (Vaswani et al. 2017).
    fn item_scale(&self) -> f64 {
        match self.model.encoder {
            ItemEncoder::Transformer { .. } => (self.model.width as f64).sqrt(),
            _ => 1.0,
        }
    }

    /// Writes the item's vector.
    pub(super) fn vector<T: Real>(&self, item: u32, source: &RowSource<'_, T>, out: &mut [T]) {
        out.fill(T::zero());
        self.rows_of(item).for_each(|row| source.add_to(row, T::one(), out));
    }

    /// Hands the gradient by an item's vector to its rows.
    pub(super) fn vector_back<T: Real>(
        &self,
        item: u32,
        scale: f64,
        gradient: &[T],
        target: &mut impl RowTarget<T>,
    ) {
        self.rows_of(item).for_each(|row| target.add(row, scale, gradient));
    }

    /// What the network reads of a history, the oldest first.
    ///
    /// # Shapes
    /// `history` 1 to `positions` items; `out` one row of the width for each.
    pub(super) fn assemble<T: Real>(&self, history: &[u32], source: &RowSource<'_, T>, out: &mut [T]) {
        let width = self.model.width;
        match self.model.encoder {
            ItemEncoder::Transformer { .. } | ItemEncoder::Gru => {
                let scale = T::from_f64(self.item_scale());
                for (place, (item, out)) in history.iter().zip(out.chunks_exact_mut(width)).enumerate() {
                    out.fill(T::zero());
                    source.add_to(*item, scale, out);
                    if let Some(row) = self.position_row(place, history.len()) {
                        source.add_to(row, T::one(), out);
                    }
                }
            }
            ItemEncoder::TwoTower { .. } => {
                // Running sums first, then means of them.
                for (place, item) in history.iter().enumerate() {
                    let (before, own) = out.split_at_mut(place * width);
                    let own = &mut own[..width];
                    match before.len().checked_sub(width) {
                        Some(start) => own.copy_from_slice(&before[start..]),
                        None => own.fill(T::zero()),
                    }
                    self.rows_of(*item).for_each(|row| source.add_to(row, T::one(), own));
                }
                for (place, out) in out.chunks_exact_mut(width).take(history.len()).enumerate() {
                    let count = T::from_f64((place + 1) as f64);
                    out.iter_mut().for_each(|x| *x /= count);
                }
            }
        }
    }

    /// Hands the gradient by what [`Geometry::assemble`] wrote to the rows. Uses `gradient` up.
    pub(super) fn assemble_back<T: Real>(
        &self,
        history: &[u32],
        gradient: &mut [T],
        target: &mut impl RowTarget<T>,
    ) {
        let width = self.model.width;
        match self.model.encoder {
            ItemEncoder::Transformer { .. } | ItemEncoder::Gru => {
                let scale = self.item_scale();
                for (place, (item, gradient)) in history.iter().zip(gradient.chunks_exact(width)).enumerate()
                {
                    target.add(*item, scale, gradient);
                    if let Some(row) = self.position_row(place, history.len()) {
                        target.add(row, 1.0, gradient);
                    }
                }
            }
            ItemEncoder::TwoTower { .. } => {
                for place in (0..history.len()).rev() {
                    let (before, after) = gradient.split_at_mut((place + 1) * width);
                    let own = &mut before[place * width..];
                    let count = T::from_f64((place + 1) as f64);
                    own.iter_mut().for_each(|g| *g /= count);
                    if place + 1 < history.len() {
                        own.iter_mut().zip(after.iter()).for_each(|(own, later)| *own += *later);
                    }
                    self.rows_of(history[place]).for_each(|row| target.add(row, 1.0, own));
                }
            }
        }
    }
}
