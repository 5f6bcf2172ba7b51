//! What shoppers did since their histories were loaded, and what they were shown: bounded, the newest kept. [core]
//!
//! # Privacy
//! Kept in memory, under keys in place of ids. It changes what the same shopper is recommended, and counters of an experiment; it
//! is in no log and no metric by shopper.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use guildhall_shared::catalogue::Catalogue;

use super::arms::ArmCounts;
use crate::data::observations::ShopperKey;

/// Shoppers that are kept; whoever was heard of longest ago makes room.
pub const SHOPPERS_MAX: usize = 50_000;
/// Newest items kept of every shopper.
pub const ITEMS_MAX: usize = 100;
/// First items kept of what a shopper was shown.
const SHOWN_MAX: usize = 100;

/// Items a shopper was recommended last.
struct Shown {
    counts: Arc<ArmCounts>,
    catalogue: Catalogue,
    items: Vec<u32>,
}

#[derive(Default)]
struct Shopper {
    touched: u64,
    /// The oldest first.
    items: VecDeque<Arc<str>>,
    shown: Option<Shown>,
}

/// Live state of shoppers.
pub struct Live {
    shoppers: BTreeMap<ShopperKey, Shopper>,
    /// Shoppers by when they were last heard of.
    by_touch: BTreeMap<u64, ShopperKey>,
    /// Every id once: of items that were in a catalogue when their event came.
    ids: BTreeSet<Arc<str>>,
    touches: u64,
    shoppers_max: usize,
}

impl Default for Live {
    fn default() -> Self {
        Live::with_room_for(SHOPPERS_MAX)
    }
}

impl Live {
    /// Room for this many shoppers.
    pub fn with_room_for(shoppers_max: usize) -> Self {
        Live {
            shoppers: BTreeMap::new(),
            by_touch: BTreeMap::new(),
            ids: BTreeSet::new(),
            touches: 0,
            shoppers_max: shoppers_max.max(1),
        }
    }

    /// Number of shoppers that are kept.
    pub fn len(&self) -> usize {
        self.shoppers.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.shoppers.is_empty()
    }

    /// Appends an item to a shopper's history. An item of its last recommendation counts as a click, once.
    pub fn record(&mut self, key: ShopperKey, item: &str) {
        let id = match self.ids.get(item) {
            Some(id) => Arc::clone(id),
            None => {
                let id: Arc<str> = item.into();
                self.ids.insert(Arc::clone(&id));
                id
            }
        };
        let shopper = self.touch(key);
        if let Some(shown) = &mut shopper.shown
            && let Some(number) = shown.catalogue.position(item)
            && let Some(place) = shown.items.iter().position(|other| *other == number)
        {
            shown.items.swap_remove(place);
            shown.counts.clicks.fetch_add(1, Relaxed);
        }
        shopper.items.push_back(id);
        if shopper.items.len() > ITEMS_MAX {
            shopper.items.pop_front();
        }
    }

    /// Notes what a shopper was recommended.
    pub fn show(&mut self, key: ShopperKey, counts: &Arc<ArmCounts>, catalogue: &Catalogue, items: Vec<u32>) {
        let mut items = items;
        items.truncate(SHOWN_MAX);
        let shown = Shown { counts: Arc::clone(counts), catalogue: catalogue.clone(), items };
        self.touch(key).shown = Some(shown);
    }

    /// A shopper's items, the oldest first; none for a shopper that is not kept.
    pub fn history(&self, key: ShopperKey) -> Option<Vec<Arc<str>>> {
        let items = &self.shoppers.get(&key)?.items;
        if items.is_empty() { None } else { Some(items.iter().cloned().collect()) }
    }

    fn touch(&mut self, key: ShopperKey) -> &mut Shopper {
        self.touches += 1;
        let touches = self.touches;
        if let Some(known) = self.shoppers.get(&key) {
            self.by_touch.remove(&known.touched);
        } else if self.shoppers.len() >= self.shoppers_max
            && let Some((_, oldest)) = self.by_touch.pop_first()
        {
            self.shoppers.remove(&oldest);
        }
        self.by_touch.insert(touches, key);
        let shopper = self.shoppers.entry(key).or_default();
        shopper.touched = touches;
        shopper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> ShopperKey {
        ShopperKey::of_id(&number.to_string())
    }

    fn ids(live: &Live, shopper: usize) -> Vec<String> {
        live.history(key(shopper)).unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_newest_items_and_shoppers_are_kept() {
        let mut live = Live::with_room_for(3);
        for item in 0..ITEMS_MAX + 5 {
            live.record(key(1), &item.to_string());
        }
        let history = ids(&live, 1);
        assert_eq!((history.len(), history[0].as_str()), (ITEMS_MAX, "5"));
        live.record(key(2), "a");
        live.record(key(3), "b");
        live.record(key(1), "again");
        live.record(key(4), "c");
        assert_eq!(live.len(), 3);
        assert_eq!(live.by_touch.len(), 3);
        assert_eq!(ids(&live, 2), Vec::<String>::new(), "heard of longest ago");
        assert_eq!(ids(&live, 1).last().map(String::as_str), Some("again"));
    }

    #[test]
    fn an_item_that_was_shown_counts_once_for_the_arm_that_showed_it() {
        let catalogue = Catalogue::of_items(vec!["a".into(), "b".into(), "c".into()]);
        let counts = Arc::new(ArmCounts::default());
        let mut live = Live::default();
        live.record(key(1), "a");
        live.show(key(1), &counts, &catalogue, vec![2, 0]);
        for item in ["b", "c", "c", "elsewhere"] {
            live.record(key(1), item);
            live.record(key(2), item);
        }
        assert_eq!(counts.clicks.load(Relaxed), 1);
        assert_eq!(ids(&live, 1), ["a", "b", "c", "c", "elsewhere"]);
        assert_eq!(live.ids.len(), 4, "every id is kept once");
    }

    #[test]
    fn being_shown_something_is_no_history() {
        let mut live = Live::default();
        let catalogue = Catalogue::of_items(vec!["a".into()]);
        live.show(key(1), &Arc::default(), &catalogue, vec![0]);
        assert_eq!(live.history(key(1)), None);
    }
}
