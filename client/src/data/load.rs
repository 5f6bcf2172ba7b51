//! From a file to splits. [shell]: reads files; everything else is in the cores beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use guildhall_shared::id::Name;
use guildhall_shared::task::{FeatureSpec, REPURCHASE_INPUTS, RepurchaseSpec, Task};

use super::baskets::{BasketReader, Histories};
use super::config::{DataConfig, Duplicates};
use super::error::DataError;
use super::features::{repurchase, tabular};
use super::observations::{Observations, ShopperKey, Splits};
use super::records::{RecordReader, find};
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

/// Loads a merchant's file for a task.
///
/// A tabular task tests on the rows that `test_rows` lists and trains on all others; a fifth of the training shoppers, drawn
/// by a hash of their key, is given again as `validation` (see [`Splits::tuning_train`]). A repurchase task is cut by its weeks.
///
/// # Errors
/// [`DataError`]; rows that are not as the schema says are no error: they are counted in the report.
pub fn load(config: &DataConfig, task: &Task) -> Result<(Splits, DataReport), DataError> {
    load_table(&Table::read(&config.path, config.delimiter)?, config, task)
}

/// [`load`] of a file already read.
///
/// # Errors
/// As [`load`].
pub fn load_table(table: &Table, config: &DataConfig, task: &Task) -> Result<(Splits, DataReport), DataError> {
    let test_rows = read_test_rows(config.test_rows.as_deref(), table)?;
    let rows: Vec<usize> = (0..table.rows()).collect();
    let mut tally = Tally::new(table, table.records());
    tally.flaws(table);
    build(table, &rows, config, task, &test_rows, tally)
}

/// Checks every row against the schema, without a task: as a tabular file where the schema names a label, else as baskets.
///
/// # Errors
/// [`DataError`] where file and schema do not fit together at all.
pub fn check_schema(config: &DataConfig) -> Result<DataReport, DataError> {
    let task = if config.schema.label.is_some() {
        Task::Tabular { features: vec![] }
    } else {
        let weeks = RepurchaseSpec { horizon_weeks: 0, train_weeks: vec![], validation_weeks: vec![], test_weeks: vec![] };
        Task::Repurchase(weeks)
    };
    let (_, mut report) = load(config, &task)?;
    (report.train, report.validation, report.test) = Default::default();
    Ok(report)
}

/// Every shopper's baskets, for serving a repurchase model.
///
/// # Errors
/// As [`load`].
pub fn histories(config: &DataConfig) -> Result<BTreeMap<ShopperKey, Vec<repurchase::Basket>>, DataError> {
    let table = Table::read(&config.path, config.delimiter)?;
    let mut tally = Tally::new(&table, table.records());
    let rows = without_duplicates(&table, (0..table.rows()).collect(), config.duplicates, &mut tally);
    let reader = BasketReader::new(&table, &config.schema).map_err(|mistakes| misfit(&table, mistakes))?;
    Ok(reader.histories(&rows, &mut tally))
}

/// Loads one file and cuts it into merchants.
///
/// # Errors
/// As [`load`]; also where two values of the merchant column would have the same name.
pub fn load_by_merchant(config: &SimulationConfig, task: &Task) -> Result<MerchantCut, DataError> {
    cut_by_merchant(&Table::read(&config.data.path, config.data.delimiter)?, config, task)
}

/// [`load_by_merchant`] of a file already read.
///
/// # Errors
/// As [`load_by_merchant`].
pub fn cut_by_merchant(table: &Table, config: &SimulationConfig, task: &Task) -> Result<MerchantCut, DataError> {
    let test_rows = read_test_rows(config.data.test_rows.as_deref(), table)?;
    let mut tally = Tally::new(table, table.records());
    tally.flaws(table);
    let groups = group_rows(table, config, &mut tally)?;
    let mut merchants = BTreeMap::new();
    for (name, rows) in groups {
        let merchant_tally = Tally::new(table, rows.len() as u64);
        let (mut splits, mut report) = build(table, &rows, &config.data, task, &test_rows, merchant_tally)?;
        if config.train_share < 1.0 {
            splits = splits.knowing(|shopper| split::is_known(shopper, &name, config.train_share, config.draw));
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
pub fn rows_by_merchant(table: &Table, config: &SimulationConfig) -> Result<BTreeMap<Name, Vec<usize>>, DataError> {
    group_rows(table, config, &mut Tally::new(table, table.records()))
}

fn group_rows(
    table: &Table,
    config: &SimulationConfig,
    tally: &mut Tally,
) -> Result<BTreeMap<Name, Vec<usize>>, DataError> {
    let column = find(table, &config.merchant_column, "the merchant").map_err(|mistake| misfit(table, vec![mistake]))?;
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
                mistakes.push(format!("column {:?}: two values would both be merchant {name}", config.merchant_column));
            }
            Some(name) => drop(groups.insert(name, rows)),
            None => others.extend(rows),
        }
    }
    for name in config.merchants.values().filter(|name| !groups.contains_key(name)) {
        mistakes.push(format!("column {:?}: expected rows of merchant {name}, found none", config.merchant_column));
    }
    if let Some(most) = config.largest_merchants {
        keep_largest(table, config, most, &mut groups, &mut others);
    }
    if groups.len() > MERCHANTS_MAX {
        mistakes.push(format!("column {:?}: expected at most {MERCHANTS_MAX} merchants, found {}", config.merchant_column, groups.len()));
    }
    if !mistakes.is_empty() {
        return Err(misfit(table, mistakes));
    }
    others.sort_unstable();
    others.into_iter().for_each(|row| tally.count(Problem::OtherMerchant, Some(&config.merchant_column), table.place(row)));
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
    let mut sizes: Vec<(std::cmp::Reverse<usize>, Name)> =
        groups.iter().map(|(name, rows)| (std::cmp::Reverse(shoppers(table, config, rows)), name.clone())).collect();
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

/// Checks some rows of a table and makes observations of them.
fn build(
    table: &Table,
    rows: &[usize],
    config: &DataConfig,
    task: &Task,
    test_rows: &BTreeSet<u64>,
    mut tally: Tally,
) -> Result<(Splits, DataReport), DataError> {
    if !test_rows.is_empty() && !matches!(task, Task::Tabular { .. }) {
        return Err(misfit(table, vec!["test_rows: expected for a tabular task only; a repurchase task names its test weeks".into()]));
    }
    let rows = without_duplicates(table, rows.to_vec(), config.duplicates, &mut tally);
    let splits = match task {
        Task::Tabular { features } => tabular_splits(table, &rows, config, features, test_rows, &mut tally)?,
        Task::Repurchase(weeks) => {
            let reader = BasketReader::new(table, &config.schema).map_err(|mistakes| misfit(table, mistakes))?;
            let histories = reader.histories(&rows, &mut tally);
            note_missing_weeks(&histories, weeks, &mut tally);
            repurchase_splits(&histories, weeks)
        }
        Task::Dummy { .. } => Splits::default(),
    };
    let mut report = tally.finish();
    report.describe_splits(&splits);
    Ok((splits, report))
}

fn without_duplicates(table: &Table, rows: Vec<usize>, policy: Duplicates, tally: &mut Tally) -> Vec<usize> {
    let duplicates = table.duplicates(&rows);
    let problem = match policy {
        Duplicates::Keep => Problem::DuplicateKept,
        Duplicates::Drop => Problem::DuplicateDropped,
    };
    duplicates.iter().for_each(|row| tally.count(problem, None, table.place(*row)));
    match policy {
        Duplicates::Keep => rows,
        Duplicates::Drop => rows.into_iter().filter(|row| !duplicates.contains(row)).collect(),
    }
}

fn tabular_splits(
    table: &Table,
    rows: &[usize],
    config: &DataConfig,
    features: &[FeatureSpec],
    test_rows: &BTreeSet<u64>,
    tally: &mut Tally,
) -> Result<Splits, DataError> {
    check_features(config, features).map_err(|mistakes| misfit(table, mistakes))?;
    let reader = RecordReader::new(table, &config.schema).map_err(|mistakes| misfit(table, mistakes))?;
    let encoder = tabular::Encoder::new(features);
    let mut encoded: Vec<(ShopperKey, usize, f32, Vec<f32>)> = vec![];
    for &row in rows {
        let Some(record) = reader.read(row, tally) else { continue };
        let mut inputs = Vec::with_capacity(encoder.inputs());
        let place = table.place(row);
        encoder
            .encode(|column| record.fields.get(column).copied(), &mut inputs, &mut |problem, column| {
                tally.count(problem, Some(column), place);
            })
            .map_err(|e| misfit(table, vec![e.to_string()]))?;
        encoded.push((record.shopper, row, record.label, inputs));
    }
    encoded.sort_by_key(|(shopper, row, ..)| (*shopper, *row));
    let empty = || Observations::empty(encoder.inputs());
    let mut splits = Splits { train: empty(), validation: empty(), test: empty() };
    let mut distinct = BTreeSet::new();
    for (shopper, row, label, inputs) in &encoded {
        distinct.insert(*shopper);
        let tested = test_rows.contains(&table.place(*row).record);
        let split = if tested { &mut splits.test } else { &mut splits.train };
        split.push(*shopper, inputs, *label);
    }
    splits.validation = splits.train.restricted_to(split::validates);
    tally.shoppers = distinct.len() as u64;
    Ok(splits)
}

/// Whether the schema says of every column that the job reads what kind it is.
fn check_features(config: &DataConfig, features: &[FeatureSpec]) -> Result<(), Vec<String>> {
    use guildhall_shared::task::Transform;
    let mut mistakes = BTreeSet::new();
    for feature in features {
        let column = feature.column.as_str();
        let numeric = config.schema.numeric.contains_key(column);
        let categorical = config.schema.categorical.contains_key(column);
        let (fits, expected) = match feature.transform {
            Transform::OneHot { .. } => (categorical, "categorical"),
            _ => (numeric, "numeric"),
        };
        if !fits {
            let found = if numeric { "numeric" } else if categorical { "categorical" } else { "nothing" };
            mistakes.insert(format!("column {column:?}: the job expects [data.schema.{expected}.{column}], found {found}"));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes.into_iter().collect()) }
}

fn repurchase_splits(histories: &Histories, weeks: &RepurchaseSpec) -> Splits {
    let observe = |list: &[u32]| {
        let ordered: BTreeSet<u32> = list.iter().copied().collect();
        let mut observations = Observations::empty(REPURCHASE_INPUTS);
        for (shopper, baskets) in histories {
            for &week in &ordered {
                if let Some(inputs) = repurchase::inputs(baskets, week) {
                    let bought = repurchase::bought_after(baskets, week, weeks.horizon_weeks);
                    observations.push(*shopper, &inputs, if bought { 1.0 } else { 0.0 });
                }
            }
        }
        observations
    };
    Splits {
        train: observe(&weeks.train_weeks),
        validation: observe(&weeks.validation_weeks),
        test: observe(&weeks.test_weeks),
    }
}

/// Tells when the file ends before the last label could be seen. Told only: what is observed never depends on other shoppers.
fn note_missing_weeks(histories: &Histories, weeks: &RepurchaseSpec, tally: &mut Tally) {
    let last = histories.values().filter_map(|baskets| baskets.last()).map(|b| repurchase::week_of(b.day)).max();
    let all = weeks.train_weeks.iter().chain(&weeks.validation_weeks).chain(&weeks.test_weeks);
    let needed = all.max().map(|week| i64::from(week.saturating_add(weeks.horizon_weeks)));
    if let (Some(last), Some(needed)) = (last, needed) {
        if last < needed {
            tally.notes.push(format!(
                "the file ends in week {last}, but the job looks at baskets up to week {needed}: later labels all say \"no\""
            ));
        }
    }
}

/// The data rows that are only tested on: a CSV file with the header `row`, 0-based numbers of the records of the data file.
fn read_test_rows(path: Option<&Path>, table: &Table) -> Result<BTreeSet<u64>, DataError> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let list = Table::read(path, b',')?;
    let refused = |line: u64, expected: &str, found| {
        Err(DataError::TestRows { file: list.file().into(), line, expected: expected.into(), found })
    };
    let Some(column) = list.position("row") else { return refused(1, "a header with the column row", "another one") };
    if let Some((_, place)) = list.flaws().first() {
        return refused(place.shown, "one number", "something else");
    }
    let mut rows = BTreeSet::new();
    for row in 0..list.rows() {
        let line = list.place(row).shown;
        let number = list.cell(column, row).whole().ok().flatten().and_then(|n| u64::try_from(n).ok());
        match number {
            Some(number) if number < table.records() => {
                if !rows.insert(number) {
                    return refused(line, "each row once", "one a second time");
                }
            }
            Some(_) => return refused(line, &format!("a row below {}", table.records()), "a greater number"),
            None => return refused(line, "a whole number from 0", "something else"),
        }
    }
    Ok(rows)
}

fn misfit(table: &Table, mistakes: Vec<String>) -> DataError {
    DataError::Misfit { file: table.file().into(), mistakes }
}

#[cfg(test)]
mod tests;
