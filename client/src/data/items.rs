//! Rows of shoppers and items become sequences. [core]
//!
//! # Privacy
//! A sequence depends on the rows of its own shopper and on the job's public catalogue. Items that the catalogue does not
//! name are left out and counted; no vocabulary is learnt from rows.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::catalogue::Catalogue;

use super::calendar::parse_date;
use super::cell::Cell;
use super::config::Schema;
use super::observations::ShopperKey;
use super::records::find;
use super::report::{Problem, Tally};
use super::sequences::Sequences;
use super::table::Table;

/// Checks rows of a table as items of shoppers.
pub(super) struct ItemReader<'t> {
    table: &'t Table,
    shopper: (usize, &'t str),
    item: (usize, &'t str),
    /// Absent: rows are in order of time.
    time: Option<(usize, &'t str)>,
}

/// When a row happened. Numbers, dates and moments compare as numbers; other texts, ISO 8601 among them, as texts.
#[derive(Clone, PartialEq, PartialOrd)]
enum Moment {
    Number(f64),
    Text(String),
}

impl<'t> ItemReader<'t> {
    /// # Errors
    /// What table and schema do not agree on.
    pub(super) fn new(table: &'t Table, schema: &'t Schema) -> Result<Self, Vec<String>> {
        let mut mistakes = vec![];
        let mut named = |name: Option<&'t str>, key: &str, role: &str| {
            let Some(name) = name else {
                mistakes.push(format!("data.schema.{key}: expected {role}'s column, found none"));
                return (0, "");
            };
            match find(table, name, role) {
                Ok(position) => (position, name),
                Err(mistake) => {
                    mistakes.push(mistake);
                    (0, name)
                }
            }
        };
        let shopper = named(schema.shopper.as_deref(), "shopper", "the shopper");
        let item = named(schema.item.as_deref(), "item", "the item");
        let time = schema.order.as_deref().map(|name| named(Some(name), "time", "the time"));
        if mistakes.is_empty() { Ok(ItemReader { table, shopper, item, time }) } else { Err(mistakes) }
    }

    /// Ids of all items in some rows.
    pub(super) fn catalogue(&self, rows: impl Iterator<Item = usize>) -> BTreeSet<String> {
        rows.filter_map(|row| self.table.cell(self.item.0, row).text()).map(|id| id.into_owned()).collect()
    }

    /// Every shopper's items, the oldest first, each once: where a shopper has an item again, the first time counts.
    pub(super) fn sequences(&self, rows: &[usize], catalogue: &Catalogue, tally: &mut Tally) -> Sequences {
        let mut by_shopper: BTreeMap<ShopperKey, Vec<(Moment, usize, u32)>> = BTreeMap::new();
        // Rows of one shopper mostly follow each other: hash an id once.
        let mut last: Option<(String, ShopperKey)> = None;
        for &row in rows {
            match self.row(row, catalogue, &mut last) {
                Ok((key, moment, item)) => by_shopper.entry(key).or_default().push((moment, row, item)),
                Err((problem, column)) => tally.count(problem, Some(column), self.table.place(row)),
            }
        }
        let mut sequences = Sequences::default();
        let mut items = vec![];
        for (key, mut rows) in by_shopper {
            rows.sort_by(|a, b| {
                a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal).then(a.1.cmp(&b.1))
            });
            items.clear();
            let mut seen = BTreeSet::new();
            for (_, row, item) in rows {
                match seen.insert(item) {
                    true => items.push(item),
                    false => tally.count(Problem::RepeatedItem, Some(self.item.1), self.table.place(row)),
                }
            }
            sequences.push(key, &items);
        }
        tally.shoppers = sequences.len() as u64;
        sequences
    }

    fn row(
        &self,
        row: usize,
        catalogue: &Catalogue,
        last: &mut Option<(String, ShopperKey)>,
    ) -> Result<(ShopperKey, Moment, u32), (Problem, &'t str)> {
        let id =
            self.table.cell(self.shopper.0, row).text().ok_or((Problem::MissingShopper, self.shopper.1))?;
        let key = match last {
            Some((known, key)) if *known == id => *key,
            _ => {
                let key = ShopperKey::of_id(&id);
                *last = Some((id.into_owned(), key));
                key
            }
        };
        let item = self.table.cell(self.item.0, row).text().ok_or((Problem::MissingItem, self.item.1))?;
        let item = catalogue.position(&item).ok_or((Problem::UnknownItem, self.item.1))?;
        let moment = match self.time {
            None => Moment::Number(0.0),
            Some((column, name)) => {
                moment(self.table.cell(column, row)).ok_or((Problem::MissingTime, name))?
            }
        };
        Ok((key, moment, item))
    }
}

fn moment(cell: Cell<'_>) -> Option<Moment> {
    if let Cell::Text(text) = cell {
        let day = parse_date(text).map(|day| day as f64);
        let number = day.or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite()));
        return Some(number.map_or_else(|| Moment::Text(text.to_string()), Moment::Number));
    }
    cell.number().ok().flatten().map(Moment::Number)
}

#[cfg(test)]
mod tests;
