//! What item models see of a merchant's data: every shopper's items, the oldest first. [core]
//!
//! The last item of a shopper is only tested on and the one before it only tuned on ("leave last out"); all before are
//! trained on.

use super::observations::{ShopperKey, ShopperRows};

/// Fewest items of a shopper whose last two are held out; one with less is trained on whole.
pub const HELD_OUT_MIN: usize = 3;

/// Items of one merchant's shoppers, in the order of their keys.
#[derive(Clone, Default)]
pub struct Sequences {
    items: Vec<u32>,
    shoppers: Vec<ShopperRows>,
}

/// A history and the item that came next.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct Held<'s> {
    /// Whose.
    pub key: ShopperKey,
    /// All items before, the oldest first.
    pub history: &'s [u32],
    /// The item held out.
    pub target: u32,
}

impl Sequences {
    /// Number of shoppers.
    pub fn len(&self) -> usize {
        self.shoppers.len()
    }

    /// Whether there is no shopper.
    pub fn is_empty(&self) -> bool {
        self.shoppers.is_empty()
    }

    /// Appends a shopper.
    ///
    /// # Panics
    /// Where `key` is not greater than the last one.
    pub fn push(&mut self, key: ShopperKey, items: &[u32]) {
        let last = self.shoppers.last().map(|last| last.key);
        assert!(last.is_none_or(|last| last < key), "shoppers come once, in the order of their keys");
        let start = self.items.len();
        self.items.extend_from_slice(items);
        self.shoppers.push(ShopperRows { key, start, end: self.items.len() });
    }

    /// A shopper's key and all of its items.
    pub fn shopper(&self, index: usize) -> (ShopperKey, &[u32]) {
        let ShopperRows { key, start, end } = self.shoppers[index];
        (key, &self.items[start..end])
    }

    /// All shoppers.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ShopperKey, &[u32])> {
        self.shoppers.iter().map(|s| (s.key, &self.items[s.start..s.end]))
    }

    /// What may be learnt from: everybody's items less what is held out.
    pub fn train(&self) -> Sequences {
        let mut train = Sequences::default();
        for (key, items) in self.iter() {
            train.push(key, &items[..items.len() - if items.len() < HELD_OUT_MIN { 0 } else { 2 }]);
        }
        train
    }

    /// The last item but one of everybody, given those before.
    pub fn validation(&self) -> impl Iterator<Item = Held<'_>> {
        self.held(2)
    }

    /// The last item of everybody, given all before.
    pub fn test(&self) -> impl Iterator<Item = Held<'_>> {
        self.held(1)
    }

    fn held(&self, from_end: usize) -> impl Iterator<Item = Held<'_>> {
        self.iter().filter(|(_, items)| items.len() >= HELD_OUT_MIN).map(move |(key, items)| {
            let place = items.len() - from_end;
            Held { key, history: &items[..place], target: items[place] }
        })
    }

    /// Those shoppers that `keep` names.
    pub fn restricted_to(&self, keep: impl Fn(ShopperKey) -> bool) -> Self {
        let mut kept = Sequences::default();
        self.iter().filter(|(key, _)| keep(*key)).for_each(|(key, items)| kept.push(key, items));
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_is_tested_the_one_before_is_tuned_on_and_short_histories_are_trained_on() {
        let key = |byte| ShopperKey([byte; 16]);
        let mut all = Sequences::default();
        all.push(key(1), &[5, 6, 7, 8]);
        all.push(key(2), &[9, 9]);
        all.push(key(3), &[]);
        assert_eq!(all.len(), 3);
        let train: Vec<_> = all.train().iter().map(|(k, items)| (k.0[0], items.to_vec())).collect();
        assert_eq!(train, [(1, vec![5, 6]), (2, vec![9, 9]), (3, vec![])]);
        let test: Vec<_> = all.test().collect();
        assert_eq!(test, [Held { key: key(1), history: &[5, 6, 7], target: 8 }]);
        let validation: Vec<_> = all.validation().collect();
        assert_eq!(validation, [Held { key: key(1), history: &[5, 6], target: 7 }]);
        assert_eq!(all.restricted_to(|k| k != key(1)).shopper(0).1, [9, 9]);
    }

    #[test]
    #[should_panic(expected = "in the order of their keys")]
    fn a_shopper_comes_once() {
        let mut all = Sequences::default();
        all.push(ShopperKey([2; 16]), &[1]);
        all.push(ShopperKey([2; 16]), &[1]);
    }
}
