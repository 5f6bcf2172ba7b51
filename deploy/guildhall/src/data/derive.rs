//! From the source's tables to the compact extract. \[core\], except [`derive()`]

use std::collections::BTreeMap;
use std::path::Path;

use guildhall_client::data::Table;
use guildhall_client::data::features::repurchase::week_of;

use super::error::DataCommandError;
use super::extract::{DEPARTMENTS, department_code};
use super::integer_table::{IntegerColumn, Layout, encode};
use super::new_york::local_time;

/// High enough to be small; more gains nothing here.
const ZSTD_LEVEL: i32 = 19;

/// Which row of the extract a line of a receipt belongs to, in the extract's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    household: i64,
    utc_microseconds: i64,
    basket: i64,
    store: i64,
    department: i64,
}

/// What one row of the extract sums up.
#[derive(Clone, Copy, Default)]
struct RowSums {
    lines: i64,
    spend_cents: i64,
    discount_cents: i64,
    coupon_lines: i64,
}

/// Reads the source's two tables and gives the extract as the bytes of a Parquet file, the same every time. \[shell\]
///
/// # Errors
/// [`DataCommandError::Source`] where the source is not the data set that is expected.
pub fn derive(transactions: &Path, products: &Path) -> Result<Vec<u8>, DataCommandError> {
    let departments = departments(&Table::read(products, b',')?)?;
    let rows = sum_lines(&Table::read(transactions, b',')?, &departments)?;
    Ok(encode(&columns(&rows)?, ZSTD_LEVEL)?)
}

/// The columns of a table of the source.
struct Source<'t, const N: usize> {
    table: &'t Table,
    name: &'static str,
    columns: [usize; N],
}

impl<'t, const N: usize> Source<'t, N> {
    fn new(table: &'t Table, name: &'static str, names: [&'static str; N]) -> Result<Self, DataCommandError> {
        let mut columns = [0; N];
        for (position, column) in columns.iter_mut().zip(names) {
            *position = table.position(column).ok_or_else(|| DataCommandError::Source {
                table: name,
                expected: column,
                found: "no column of that name".into(),
            })?;
        }
        Ok(Source { table, name, columns })
    }

    fn fail(&self, expected: &'static str, row: usize) -> DataCommandError {
        DataCommandError::Source {
            table: self.name,
            expected,
            found: format!("something else in row {}", row + 1),
        }
    }

    fn whole(&self, column: usize, row: usize) -> Result<i64, DataCommandError> {
        let cell = self.table.cell(self.columns[column], row);
        if let guildhall_client::data::cell::Cell::Moment(microseconds) = cell {
            return Ok(microseconds);
        }
        cell.whole().ok().flatten().ok_or_else(|| self.fail("whole numbers", row))
    }

    fn cents(&self, column: usize, row: usize) -> Result<i64, DataCommandError> {
        let amount = self.table.cell(self.columns[column], row).number().ok().flatten();
        let amount = amount.filter(|amount| (0.0..1e9).contains(amount));
        amount
            .map(|amount| (amount * 100.0).round() as i64)
            .ok_or_else(|| self.fail("amounts of money from 0", row))
    }
}

/// Department code by product.
fn departments(products: &Table) -> Result<BTreeMap<i64, i64>, DataCommandError> {
    let source = Source::new(products, "products", ["product_id", "department"])?;
    let mut codes = BTreeMap::new();
    for row in 0..products.rows() {
        let name = products.cell(source.columns[1], row).text();
        let code = name
            .and_then(|name| department_code(&name))
            .ok_or_else(|| source.fail("known departments", row))?;
        if codes.insert(source.whole(0, row)?, code as i64).is_some() {
            return Err(source.fail("every product once", row));
        }
    }
    Ok(codes)
}

/// Sums the lines of receipts by basket, store and department.
fn sum_lines(
    transactions: &Table,
    departments: &BTreeMap<i64, i64>,
) -> Result<BTreeMap<RowKey, RowSums>, DataCommandError> {
    let names = [
        "household_id",
        "store_id",
        "basket_id",
        "product_id",
        "sales_value",
        "retail_disc",
        "coupon_disc",
        "coupon_match_disc",
        "week",
        "transaction_timestamp",
    ];
    let source = Source::new(transactions, "transactions", names)?;
    let mut rows: BTreeMap<RowKey, RowSums> = BTreeMap::new();
    let mut baskets: BTreeMap<i64, (i64, i64, i64)> = BTreeMap::new();
    for row in 0..transactions.rows() {
        let key = RowKey {
            household: source.whole(0, row)?,
            utc_microseconds: source.whole(9, row)?,
            basket: source.whole(2, row)?,
            store: source.whole(1, row)?,
            department: departments.get(&source.whole(3, row)?).copied().unwrap_or(0),
        };
        let local = local_time(key.utc_microseconds.div_euclid(1_000_000))
            .ok_or_else(|| source.fail("times of 2017", row))?;
        if week_of(local.day) != source.whole(8, row)? {
            return Err(source.fail("the week that ⌊(day + 6) / 7⌋ + 1 gives for New York's local day", row));
        }
        let basket = (key.household, key.utc_microseconds, key.store);
        if *baskets.entry(key.basket).or_insert(basket) != basket {
            return Err(source.fail("one household, time and store per basket", row));
        }
        let coupons = [source.cents(6, row)?, source.cents(7, row)?];
        let sums = rows.entry(key).or_default();
        sums.lines += 1;
        sums.spend_cents += source.cents(4, row)?;
        sums.discount_cents += source.cents(5, row)? + coupons[0] + coupons[1];
        sums.coupon_lines += i64::from(coupons[0] + coupons[1] > 0);
    }
    Ok(rows)
}

/// The extract's columns. Baskets are numbered in the order of households, then time; so most columns hardly change from row to row.
fn columns(rows: &BTreeMap<RowKey, RowSums>) -> Result<Vec<IntegerColumn>, DataCommandError> {
    const NAMES: [(&str, Layout); 10] = [
        ("household", Layout::Delta),
        ("basket", Layout::Delta),
        ("department", Layout::Dictionary),
        ("store", Layout::Dictionary),
        ("day", Layout::Delta),
        ("hour", Layout::Dictionary),
        ("lines", Layout::Dictionary),
        ("spend_cents", Layout::Plain),
        ("discount_cents", Layout::Plain),
        ("coupon_lines", Layout::Dictionary),
    ];
    let mut columns: Vec<IntegerColumn> = NAMES
        .iter()
        .map(|(name, layout)| IntegerColumn { name, layout: *layout, values: Vec::with_capacity(rows.len()) })
        .collect();
    let (mut number, mut last) = (0, None);
    for (key, sums) in rows {
        if last != Some(key.basket) {
            number += 1;
            last = Some(key.basket);
        }
        let local = local_time(key.utc_microseconds.div_euclid(1_000_000));
        let (day, hour) = local.map_or((-1, -1), |t| (t.day, t.hour));
        let values = [
            key.household,
            number,
            key.department,
            key.store,
            day,
            hour,
            sums.lines,
            sums.spend_cents,
            sums.discount_cents,
            sums.coupon_lines,
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            let value = i32::try_from(value).ok().filter(|value| *value >= 0);
            column.values.push(value.ok_or_else(|| DataCommandError::Source {
                table: "transactions",
                expected: "numbers from 0 that fit 31 bits",
                found: format!("another one for {}", column.name),
            })?);
        }
    }
    debug_assert!(rows.keys().all(|key| (key.department as usize) < DEPARTMENTS.len()));
    Ok(columns)
}

#[cfg(test)]
mod tests;
