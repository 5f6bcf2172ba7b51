//! Rows of a store's receipts, checked and merged into baskets, shopper by shopper. [core]

use std::collections::BTreeMap;

use super::config::Schema;
use super::features::repurchase::{Basket, DAY_MAX};
use super::observations::ShopperKey;
use super::records::find;
use super::report::{Problem, Tally};
use super::table::Table;

/// Every shopper's baskets, by day.
pub(super) type Histories = BTreeMap<ShopperKey, Vec<Basket>>;

/// Most cents or lines one row may hold; beyond it is not a receipt.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// A column and where it stands.
#[derive(Clone, Copy)]
struct Named<'t> {
    position: usize,
    name: &'t str,
}

/// Checks rows of a table as parts of baskets.
pub(super) struct BasketReader<'t> {
    table: &'t Table,
    shopper: Named<'t>,
    day: Named<'t>,
    first_day: Option<i64>,
    id: Option<Named<'t>>,
    hour: Named<'t>,
    lines: Named<'t>,
    spend: Named<'t>,
    discount: Named<'t>,
    coupons: Named<'t>,
}

/// Rows with the same key are one basket: the basket's id, else day and hour.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum BasketKey {
    Id(String),
    Hour(i64, u8),
}

impl<'t> BasketReader<'t> {
    /// # Errors
    /// What table and schema do not agree on.
    pub(super) fn new(table: &'t Table, schema: &'t Schema) -> Result<Self, Vec<String>> {
        let mut mistakes = vec![];
        let mut named = |name: &'t str, role: &str| {
            let position = find(table, name, role).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                0
            });
            Named { position, name }
        };
        let shopper = schema.shopper.as_deref().map(|name| named(name, "the shopper"));
        let id = match schema.basket.id.as_deref() {
            Some(name) => Some(named(name, "the basket")),
            None => table.position("basket").map(|position| Named { position, name: "basket" }),
        };
        let day = named(&schema.time, "the day");
        let hour = named(&schema.basket.hour, "the hour");
        let lines = named(&schema.basket.lines, "the number of lines");
        let spend = named(&schema.basket.spend_cents, "what was paid");
        let discount = named(&schema.basket.discount_cents, "what was taken off");
        let coupons = named(&schema.basket.coupon_lines, "the lines with a coupon");
        let Some(shopper) = shopper else {
            mistakes.push("data.schema.shopper: expected the shopper's column, found none".into());
            return Err(mistakes);
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let first_day = schema.first_day;
        Ok(BasketReader { table, shopper, day, first_day, id, hour, lines, spend, discount, coupons })
    }

    /// The baskets of all rows, grouped by shopper and in the order of days.
    pub(super) fn histories(&self, rows: &[usize], tally: &mut Tally) -> Histories {
        let mut parts: BTreeMap<ShopperKey, BTreeMap<BasketKey, Basket>> = BTreeMap::new();
        // Rows of one shopper mostly follow each other: hash an id once.
        let mut last: Option<(String, ShopperKey)> = None;
        for &row in rows {
            match self.row(row, &mut last) {
                Ok((shopper, key, basket)) => {
                    let baskets = parts.entry(shopper).or_default();
                    baskets.entry(key).and_modify(|sum| sum.merge(&basket)).or_insert(basket);
                }
                Err((problem, column)) => tally.count(problem, Some(column), self.table.place(row)),
            }
        }
        let histories: Histories =
            parts.into_iter().map(|(shopper, baskets)| (shopper, in_order(baskets))).collect();
        tally.shoppers = histories.len() as u64;
        tally.baskets = Some(histories.values().map(|baskets| baskets.len() as u64).sum());
        histories
    }

    fn row(
        &self,
        row: usize,
        last: &mut Option<(String, ShopperKey)>,
    ) -> Result<(ShopperKey, BasketKey, Basket), (Problem, &'t str)> {
        let cell = |named: Named<'t>| self.table.cell(named.position, row);
        let id = cell(self.shopper).text().ok_or((Problem::MissingShopper, self.shopper.name))?;
        let shopper = match last {
            Some((known, key)) if *known == *id => *key,
            _ => last.insert((id.to_string(), ShopperKey::of_id(&id))).1,
        };
        let day = cell(self.day).day(self.first_day).ok().flatten().filter(|day| (0..=DAY_MAX).contains(day));
        let day = day.ok_or((Problem::BadDay, self.day.name))?;
        let whole = |named: Named<'t>, lowest: i64, highest: i64| {
            let value = cell(named).whole().map_err(|_| (Problem::NotAWholeNumber, named.name))?;
            let value = value.ok_or((Problem::MissingDropped, named.name))?;
            if (lowest..=highest).contains(&value) {
                Ok(value)
            } else {
                Err((Problem::NotAWholeNumber, named.name))
            }
        };
        let hour = whole(self.hour, 0, 23)? as u8;
        let basket = Basket {
            day,
            hour,
            lines: whole(self.lines, 0, AMOUNT_MAX)?,
            spend_cents: whole(self.spend, -AMOUNT_MAX, AMOUNT_MAX)?,
            discount_cents: whole(self.discount, 0, AMOUNT_MAX)?,
            with_coupon: whole(self.coupons, 0, AMOUNT_MAX)? > 0,
        };
        let key = match self.id.and_then(|named| cell(named).text()) {
            Some(id) => BasketKey::Id(id.into_owned()),
            None => BasketKey::Hour(day, hour),
        };
        Ok((shopper, key, basket))
    }
}

/// By day and hour; baskets of the same hour in the order of their other fields, so that the file's order says nothing.
fn in_order(baskets: BTreeMap<BasketKey, Basket>) -> Vec<Basket> {
    let mut baskets: Vec<Basket> = baskets.into_values().collect();
    baskets.sort();
    baskets
}

#[cfg(test)]
mod tests;
