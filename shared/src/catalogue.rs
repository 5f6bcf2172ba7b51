//! The public list of what is sold: item ids in a fixed order, and tags that describe them. [core]
//!
//! A catalogue is public: it is part of the job, and nothing in it may be learnt from shoppers. The place of an item in
//! the list is its number everywhere else.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Most items of one catalogue.
pub const ITEMS_MAX: usize = 200_000;
/// Most tags of one catalogue.
pub const TAGS_MAX: usize = 10_000;
/// Longest id or tag, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Most bytes of all ids and tags together: a job has to fit its message.
pub const CATALOGUE_BYTES_MAX: usize = 3 << 20;

/// The public list of items. Cheap to clone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Entries", into = "Entries")]
pub struct Catalogue(Arc<Indexed>);

/// What is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entries {
    items: Vec<String>,
    tags: Vec<String>,
    /// Of every item, ascending; empty where the catalogue has no tags.
    item_tags: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Indexed {
    entries: Entries,
    /// Item numbers in the order of their ids.
    by_id: Vec<u32>,
}

/// A list that is no catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: expected {expected}, found {found}")]
pub struct CatalogueError {
    /// Which item or tag.
    pub place: String,
    /// What belongs there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl From<Entries> for Catalogue {
    fn from(entries: Entries) -> Self {
        let mut by_id: Vec<u32> = (0..entries.items.len() as u32).collect();
        by_id.sort_by(|a, b| entries.items[*a as usize].cmp(&entries.items[*b as usize]));
        Catalogue(Arc::new(Indexed { entries, by_id }))
    }
}

impl From<Catalogue> for Entries {
    fn from(catalogue: Catalogue) -> Self {
        catalogue.0.entries.clone()
    }
}

impl PartialEq for Catalogue {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.entries == other.0.entries
    }
}

impl Catalogue {
    /// Items in this order, without tags. Call [`Catalogue::check`] on lists from outside.
    pub fn of_items(items: Vec<String>) -> Self {
        Entries { items, tags: vec![], item_tags: vec![] }.into()
    }

    /// Items in this order, each with the numbers of its tags. Call [`Catalogue::check`] on lists from outside.
    pub fn with_tags(items: Vec<String>, tags: Vec<String>, item_tags: Vec<Vec<u32>>) -> Self {
        Entries { items, tags, item_tags }.into()
    }

    /// N.
    pub fn len(&self) -> usize {
        self.0.entries.items.len()
    }

    /// Whether nothing is sold.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of an item, by its number.
    pub fn id(&self, item: u32) -> Option<&str> {
        self.0.entries.items.get(item as usize).map(String::as_str)
    }

    /// The number of an item, by its id.
    pub fn position(&self, id: &str) -> Option<u32> {
        let Indexed { entries, by_id } = &*self.0;
        let found = by_id.binary_search_by(|item| entries.items[*item as usize].as_str().cmp(id));
        found.ok().map(|place| by_id[place])
    }

    /// The public vocabulary of tags.
    pub fn tags(&self) -> &[String] {
        &self.0.entries.tags
    }

    /// The numbers of an item's tags, ascending; none where the catalogue has no tags.
    pub fn tags_of(&self, item: u32) -> &[u32] {
        self.0.entries.item_tags.get(item as usize).map_or(&[], Vec::as_slice)
    }

    /// Checks a list from outside.
    ///
    /// # Errors
    /// The first [`CatalogueError`].
    pub fn check(&self) -> Result<(), CatalogueError> {
        let Indexed { entries, by_id } = &*self.0;
        let error =
            |place: String, expected: String, found: String| CatalogueError { place, expected, found };
        let counted =
            |what: &str, least: usize, most: usize, found: usize| match (least..=most).contains(&found) {
                true => Ok(()),
                false => Err(error(what.into(), format!("{least} to {most}"), found.to_string())),
            };
        counted("items", 1, ITEMS_MAX, entries.items.len())?;
        counted("tags", 0, TAGS_MAX, entries.tags.len())?;
        for (index, id) in entries.items.iter().chain(&entries.tags).enumerate() {
            counted(&format!("length in bytes of entry {index}"), 1, ID_BYTES_MAX, id.len())?;
        }
        let bytes = entries.items.iter().chain(&entries.tags).map(|id| id.len() + 8).sum::<usize>()
            + entries.item_tags.iter().map(|tags| 8 + 4 * tags.len()).sum::<usize>();
        counted("bytes of all ids and tags", 1, CATALOGUE_BYTES_MAX, bytes)?;
        let id = |item: &u32| entries.items[*item as usize].as_str();
        if let Some(pair) = by_id.windows(2).find(|pair| id(&pair[0]) == id(&pair[1])) {
            return Err(error(
                format!("item {:?}", id(&pair[0])),
                "every item once".into(),
                "it twice".into(),
            ));
        }
        if !entries.item_tags.is_empty() {
            counted(
                "items with a list of tags",
                entries.items.len(),
                entries.items.len(),
                entries.item_tags.len(),
            )?;
        }
        for (index, tags) in entries.item_tags.iter().enumerate() {
            let legal = tags.windows(2).all(|pair| pair[0] < pair[1])
                && tags.last().is_none_or(|tag| (*tag as usize) < entries.tags.len());
            if !legal {
                let expected = "numbers of tags, each once, ascending".into();
                return Err(error(format!("tags of item {index}"), expected, format!("{tags:?}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|id| (*id).to_string()).collect()
    }

    #[test]
    fn items_are_found_by_id_in_any_order_of_the_list() {
        let catalogue = Catalogue::of_items(ids(&["pear", "apple", "fig"]));
        assert_eq!(catalogue.check(), Ok(()));
        assert_eq!(
            [("pear", 0), ("apple", 1), ("fig", 2)].map(|(id, _)| catalogue.position(id)),
            [Some(0), Some(1), Some(2)]
        );
        assert_eq!(
            (catalogue.position("plum"), catalogue.id(1), catalogue.id(3)),
            (None, Some("apple"), None)
        );
    }

    #[test]
    fn a_catalogue_survives_the_wire() {
        let tags = vec![vec![0, 1], vec![], vec![1]];
        let catalogue = Catalogue::with_tags(ids(&["a", "b", "c"]), ids(&["red", "blue"]), tags);
        assert_eq!(catalogue.check(), Ok(()));
        let bytes = wire::encode(&catalogue).expect("encodes");
        let read: Catalogue = wire::decode(&bytes, 1 << 10).expect("decodes");
        assert_eq!(read, catalogue);
        assert_eq!((read.position("c"), read.tags_of(0), read.tags_of(9)), (Some(2), &[0, 1][..], &[][..]));
    }

    #[test]
    fn lists_that_are_no_catalogue_are_refused_with_the_place() {
        let bad = |items: &[&str], tags: &[&str], item_tags: Vec<Vec<u32>>| {
            let catalogue = Catalogue::with_tags(ids(items), ids(tags), item_tags);
            catalogue.check().expect_err("no catalogue").to_string()
        };
        assert_eq!(bad(&[], &[], vec![]), "items: expected 1 to 200000, found 0");
        assert_eq!(
            bad(&["a", "b", "a"], &[], vec![]),
            "item \"a\": expected every item once, found it twice"
        );
        assert!(bad(&["a", ""], &[], vec![]).contains("entry 1: expected 1 to 128, found 0"));
        assert!(bad(&["a"], &["t"], vec![vec![1]]).contains("tags of item 0"));
        assert!(bad(&["a"], &["t", "u"], vec![vec![1, 0]]).contains("ascending"));
        assert!(bad(&["a"], &["t"], vec![vec![], vec![]]).contains("expected 1 to 1, found 2"));
        let long = "x".repeat(ID_BYTES_MAX + 1);
        assert!(bad(&[&long], &[], vec![]).contains("found 129"));
    }
}
