//! The choices of a simulation, all from one number.

use std::collections::BTreeSet;

use guildhall_shared::digest::Digest;
use guildhall_shared::secagg::seed::{ByteStream, SessionSeed};

/// An endless row of choices.
pub struct Draws(ByteStream);

impl Draws {
    /// From a label and a number: other labels and numbers give unrelated choices.
    pub fn new(label: &str, seed: u64) -> Self {
        let digest = Digest::of(label, &[&seed.to_le_bytes()]);
        Draws(SessionSeed::from_entropy(digest.0).holders())
    }

    /// The next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill(out);
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut out = [0; 32];
        self.fill(&mut out);
        out
    }

    /// A uniform number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.below(u16::try_from(bound).expect("simulations draw below 2^16")))
    }

    /// A uniform number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of a list that is not empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// One of a list, if there is any.
    pub fn pick_any<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        if list.is_empty() { None } else { Some(*self.pick(list)) }
    }

    /// A uniform subset of so many, or of all where there are fewer.
    pub fn subset<T: Copy + Ord>(&mut self, of: impl IntoIterator<Item = T>, size: usize) -> BTreeSet<T> {
        let mut list: Vec<T> = of.into_iter().collect();
        let mut chosen = BTreeSet::new();
        while chosen.len() < size && !list.is_empty() {
            chosen.insert(list.swap_remove(self.below(list.len())));
        }
        chosen
    }
}
