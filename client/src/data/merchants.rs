//! One file cut into many merchants, for simulations and the demo. \[shell\]: reads the file; the rest is pure.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::Name;
use guildhall_shared::task::Task;

use super::error::DataError;
use super::load::{build, misfit, read_test_rows};
use super::observations::Splits;
use super::records::find;
use super::report::{DataReport, Problem, Tally};
use super::simulation::SimulationConfig;
use super::split;
use super::table::Table;

/// Most merchants one file is cut into.
const MERCHANTS_MAX: usize = 1_000;

/// One merchant's part of a file.
pub struct MerchantRows {
    /// What it has.
    pub splits: Splits,
    /// What became of its rows.
    pub report: DataReport,
}

/// One file cut into merchants.
pub struct MerchantCut {
    /// The merchants by name.
    pub merchants: BTreeMap<Name, MerchantRows>,
    /// What became of the file's rows on their way to the merchants.
    pub file: DataReport,
}

impl IntoIterator for MerchantCut {
    type Item = (Name, MerchantRows);
    type IntoIter = std::collections::btree_map::IntoIter<Name, MerchantRows>;

    fn into_iter(self) -> Self::IntoIter {
        self.merchants.into_iter()
    }
}

/// Loads one file and cuts it into merchants.
///
/// # Errors
/// As [`super::load`]; also where two values of the merchant column would have the same name.
pub fn load_by_merchant(config: &SimulationConfig, task: &Task) -> Result<MerchantCut, DataError> {
    cut_by_merchant(&Table::read(&config.data.path, config.data.delimiter)?, config, task)
}

/// [`load_by_merchant`] of a file already read.
///
/// # Errors
/// As [`load_by_merchant`].
pub fn cut_by_merchant(
    table: &Table,
    config: &SimulationConfig,
    task: &Task,
) -> Result<MerchantCut, DataError> {
    let test_rows = read_test_rows(config.data.test_rows.as_deref(), table)?;
    let mut tally = Tally::new(table, table.records());
    tally.flaws(table);
    let groups = group_rows(table, config, &mut tally)?;
    let mut merchants = BTreeMap::new();
    for (name, rows) in groups {
        let merchant_tally = Tally::new(table, rows.len() as u64);
        let (mut splits, mut report) = build(table, &rows, &config.data, task, &test_rows, merchant_tally)?;
        if config.train_share < 1.0 {
            splits =
                splits.knowing(|shopper| split::is_known(shopper, &name, config.train_share, config.draw));
            report.describe_splits(&splits);
            report.notes.push(format!(
                "trains and validates on a drawn share of {} of its shoppers (draw {}), tests on all",
                config.train_share, config.draw
            ));
        }
        merchants.insert(name, MerchantRows { splits, report });
    }
    Ok(MerchantCut { merchants, file: tally.finish() })
}

/// Which rows belong to which merchant.
///
/// # Errors
/// As [`load_by_merchant`].
pub fn rows_by_merchant(
    table: &Table,
    config: &SimulationConfig,
) -> Result<BTreeMap<Name, Vec<usize>>, DataError> {
    group_rows(table, config, &mut Tally::new(table, table.records()))
}

fn group_rows(
    table: &Table,
    config: &SimulationConfig,
    tally: &mut Tally,
) -> Result<BTreeMap<Name, Vec<usize>>, DataError> {
    let column = find(table, &config.merchant_column, "the merchant")
        .map_err(|mistake| misfit(table, vec![mistake]))?;
    let mut rows_by_value: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for row in 0..table.rows() {
        match table.cell(column, row).text() {
            None => tally.count(Problem::MissingMerchant, Some(&config.merchant_column), table.place(row)),
            Some(value) => match rows_by_value.get_mut(&*value) {
                Some(rows) => rows.push(row),
                None => drop(rows_by_value.insert(value.into_owned(), vec![row])),
            },
        }
    }
    let mut groups: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    let mut others = vec![];
    let mut mistakes = vec![];
    for (value, rows) in rows_by_value {
        match config.merchant(&value) {
            Some(name) if groups.contains_key(&name) => {
                mistakes.push(format!(
                    "column {:?}: two values would both be merchant {name}",
                    config.merchant_column
                ));
            }
            Some(name) => drop(groups.insert(name, rows)),
            None => others.extend(rows),
        }
    }
    for name in config.merchants.values().filter(|name| !groups.contains_key(name)) {
        mistakes.push(format!(
            "column {:?}: expected rows of merchant {name}, found none",
            config.merchant_column
        ));
    }
    if let Some(most) = config.largest_merchants {
        keep_largest(table, config, most, &mut groups, &mut others);
    }
    if groups.len() > MERCHANTS_MAX {
        mistakes.push(format!(
            "column {:?}: expected at most {MERCHANTS_MAX} merchants, found {}",
            config.merchant_column,
            groups.len()
        ));
    }
    if !mistakes.is_empty() {
        return Err(misfit(table, mistakes));
    }
    others.sort_unstable();
    others
        .into_iter()
        .for_each(|row| tally.count(Problem::OtherMerchant, Some(&config.merchant_column), table.place(row)));
    tally.shoppers = groups.values().map(|rows| shoppers(table, config, rows)).sum::<usize>() as u64;
    Ok(groups)
}

/// Keeps the merchants with most shoppers; among equals the first names.
fn keep_largest(
    table: &Table,
    config: &SimulationConfig,
    most: usize,
    groups: &mut BTreeMap<Name, Vec<usize>>,
    others: &mut Vec<usize>,
) {
    let mut sizes: Vec<(std::cmp::Reverse<usize>, Name)> = groups
        .iter()
        .map(|(name, rows)| (std::cmp::Reverse(shoppers(table, config, rows)), name.clone()))
        .collect();
    sizes.sort();
    for (_, name) in sizes.into_iter().skip(most) {
        others.extend(groups.remove(&name).unwrap_or_default());
    }
}

/// How many shoppers some rows name.
fn shoppers(table: &Table, config: &SimulationConfig, rows: &[usize]) -> usize {
    let Some(column) = config.data.schema.shopper.as_deref().and_then(|name| table.position(name)) else {
        return rows.len();
    };
    let ids: BTreeSet<_> = rows.iter().filter_map(|row| table.cell(column, *row).text()).collect();
    ids.len()
}

#[cfg(test)]
mod tests;
