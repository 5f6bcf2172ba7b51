//! One file cut into many merchants, for simulations and the demo. \[shell\]: reads the file; the rest is pure.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::catalogue::Catalogue;
use guildhall_shared::id::Name;
use guildhall_shared::task::Task;

use super::error::DataError;
use super::items::ItemReader;
use super::load::{build, misfit, read_test_rows, without_duplicates};
use super::observations::{ShopperKey, Splits};
use super::records::find;
use super::report::{DataReport, Problem, Tally};
use super::sequences::Sequences;
use super::simulation::{MerchantsFrom, SimulationConfig};
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
    let MerchantsFrom::Files(files) = &config.merchants_from else {
        return cut_by_merchant(&Table::read(&config.data.path, config.data.delimiter)?, config, task);
    };
    let mut cut = MerchantCut { merchants: BTreeMap::new(), file: DataReport::of_nothing() };
    for (name, file) in files {
        let table = Table::read(file, config.data.delimiter)?;
        let rows: Vec<usize> = (0..table.rows()).collect();
        let mut tally = Tally::new(&table, table.records());
        tally.flaws(&table);
        let (splits, report) = build(&table, &rows, &config.data, task, &BTreeSet::new(), tally)?;
        cut.merchants.insert(name.clone(), known(name, MerchantRows { splits, report }, config));
    }
    Ok(cut)
}

/// Restricted to the share of its shoppers that a merchant knows.
fn known(name: &Name, rows: MerchantRows, config: &SimulationConfig) -> MerchantRows {
    if config.train_share >= 1.0 {
        return rows;
    }
    let MerchantRows { splits, mut report } = rows;
    let splits = splits.knowing(|shopper| split::is_known(shopper, name, config.train_share, config.draw));
    report.describe_splits(&splits);
    report.notes.push(format!(
        "trains and validates on a drawn share of {} of its shoppers (draw {}), tests on all",
        config.train_share, config.draw
    ));
    MerchantRows { splits, report }
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
        let (splits, report) = build(table, &rows, &config.data, task, &test_rows, merchant_tally)?;
        let rows = known(&name, MerchantRows { splits, report }, config);
        merchants.insert(name, rows);
    }
    Ok(MerchantCut { merchants, file: tally.finish() })
}

/// All items in a simulation's files, in the order of their ids: its catalogue, where the job names none. Of a real job the
/// catalogue is public before anybody reads a row.
///
/// # Errors
/// As [`load_by_merchant`].
pub fn catalogue_of(config: &SimulationConfig) -> Result<Catalogue, DataError> {
    let mut items = BTreeSet::new();
    for (_, table) in tables(config)? {
        let reader = ItemReader::new(&table, &config.data.schema).map_err(|m| misfit(&table, m))?;
        items.extend(reader.catalogue(0..table.rows()));
    }
    Ok(Catalogue::of_items(items.into_iter().collect()))
}

/// Every merchant's sequences of an item task.
///
/// # Errors
/// As [`load_by_merchant`].
pub fn items_by_merchant(
    config: &SimulationConfig,
    catalogue: &Catalogue,
) -> Result<BTreeMap<Name, (Sequences, DataReport)>, DataError> {
    let mut merchants = BTreeMap::new();
    for (name, table) in tables(config)? {
        let groups = match name {
            Some(name) => BTreeMap::from([(name, (0..table.rows()).collect())]),
            None => group_rows(&table, config, &mut Tally::new(&table, table.records()))?,
        };
        let reader = ItemReader::new(&table, &config.data.schema).map_err(|m| misfit(&table, m))?;
        for (name, rows) in groups {
            let mut tally = Tally::new(&table, rows.len() as u64);
            let rows = without_duplicates(&table, rows, config.data.duplicates, &mut tally);
            let mut sequences = reader.sequences(&rows, catalogue, &mut tally);
            if config.train_share < 1.0 {
                sequences = sequences.restricted_to(|shopper| {
                    split::is_known(shopper, &name, config.train_share, config.draw)
                });
            }
            let mut report = tally.finish();
            report.describe_sequences(&sequences);
            merchants.insert(name, (sequences, report));
        }
    }
    Ok(merchants)
}

/// The files of a simulation, with the merchant where each has its own.
fn tables(config: &SimulationConfig) -> Result<Vec<(Option<Name>, Table)>, DataError> {
    let read = |path| Table::read(path, config.data.delimiter);
    match &config.merchants_from {
        MerchantsFrom::Files(files) => {
            files.iter().map(|(name, path)| Ok((Some(name.clone()), read(path)?))).collect()
        }
        _ => Ok(vec![(None, read(&config.data.path)?)]),
    }
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

/// Rows by what tells their merchant, and the column that does.
fn rows_by_value(
    table: &Table,
    config: &SimulationConfig,
    tally: &mut Tally,
) -> Result<(BTreeMap<String, Vec<usize>>, String), DataError> {
    let (name, role) = match &config.merchants_from {
        MerchantsFrom::Column(column) => (Some(column), "the merchant"),
        _ => (config.data.schema.shopper.as_ref(), "the shopper"),
    };
    let found =
        name.ok_or_else(|| "data.schema.shopper: expected the shopper's column, found none".to_string());
    let found = found.and_then(|name| find(table, name, role).map(|column| (name, column)));
    let (name, column) = found.map_err(|mistake| misfit(table, vec![mistake]))?;
    let mut rows_by_value: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for row in 0..table.rows() {
        let Some(value) = table.cell(column, row).text() else {
            tally.count(Problem::MissingMerchant, Some(name), table.place(row));
            continue;
        };
        let value = match config.merchants_from {
            MerchantsFrom::Hash(count) => {
                std::borrow::Cow::Owned(split::merchant(ShopperKey::of_id(&value), count).to_string())
            }
            _ => value,
        };
        match rows_by_value.get_mut(&*value) {
            Some(rows) => rows.push(row),
            None => drop(rows_by_value.insert(value.into_owned(), vec![row])),
        }
    }
    Ok((rows_by_value, name.clone()))
}

fn group_rows(
    table: &Table,
    config: &SimulationConfig,
    tally: &mut Tally,
) -> Result<BTreeMap<Name, Vec<usize>>, DataError> {
    let (rows_by_value, column) = rows_by_value(table, config, tally)?;
    let column = column.as_str();
    let mut groups: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    let mut others = vec![];
    let mut mistakes = vec![];
    for (value, rows) in rows_by_value {
        match config.merchant(&value) {
            Some(name) if groups.contains_key(&name) => {
                mistakes.push(format!("column {column:?}: two values would both be merchant {name}"));
            }
            Some(name) => drop(groups.insert(name, rows)),
            None => others.extend(rows),
        }
    }
    for name in config.merchants.values().filter(|name| !groups.contains_key(name)) {
        mistakes.push(format!("column {column:?}: expected rows of merchant {name}, found none"));
    }
    if let Some(most) = config.largest_merchants {
        keep_largest(table, config, most, &mut groups, &mut others);
    }
    if groups.len() > MERCHANTS_MAX {
        mistakes.push(format!(
            "column {column:?}: expected at most {MERCHANTS_MAX} merchants, found {}",
            groups.len()
        ));
    }
    if !mistakes.is_empty() {
        return Err(misfit(table, mistakes));
    }
    others.sort_unstable();
    others.into_iter().for_each(|row| tally.count(Problem::OtherMerchant, Some(column), table.place(row)));
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
