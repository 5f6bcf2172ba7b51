//! From a file to splits. \[shell\]: reads files; everything else is in the cores beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use guildhall_shared::task::{FeatureSpec, NextItemSpec, RepurchaseSpec, Task};

use super::baskets::{BasketReader, Histories};
use super::config::{DataConfig, Duplicates};
use super::error::DataError;
use super::features::{repurchase, tabular};
use super::items::ItemReader;
use super::observations::{Observations, ShopperKey, Splits};
use super::records::RecordReader;
use super::report::{DataReport, Problem, Tally};
use super::sequences::Sequences;
use super::split;
use super::table::Table;

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
pub fn load_table(
    table: &Table,
    config: &DataConfig,
    task: &Task,
) -> Result<(Splits, DataReport), DataError> {
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
        let weeks = RepurchaseSpec {
            horizon_weeks: 0,
            train_weeks: vec![],
            validation_weeks: vec![],
            test_weeks: vec![],
        };
        Task::Repurchase(weeks)
    };
    let (_, mut report) = load(config, &task)?;
    (report.train, report.validation, report.test) = Default::default();
    Ok(report)
}

/// A merchant's file as sequences, for an item task.
///
/// # Errors
/// As [`load`].
pub fn load_items(config: &DataConfig, items: &NextItemSpec) -> Result<(Sequences, DataReport), DataError> {
    let table = Table::read(&config.path, config.delimiter)?;
    let mut tally = Tally::new(&table, table.records());
    tally.flaws(&table);
    let rows = without_duplicates(&table, (0..table.rows()).collect(), config.duplicates, &mut tally);
    let reader = ItemReader::new(&table, &config.schema).map_err(|mistakes| misfit(&table, mistakes))?;
    let sequences = reader.sequences(&rows, &items.catalogue, &mut tally);
    let mut report = tally.finish();
    report.describe_sequences(&sequences);
    Ok((sequences, report))
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

/// Checks some rows of a table and makes observations of them.
pub(super) fn build(
    table: &Table,
    rows: &[usize],
    config: &DataConfig,
    task: &Task,
    test_rows: &BTreeSet<u64>,
    mut tally: Tally,
) -> Result<(Splits, DataReport), DataError> {
    if !test_rows.is_empty() && !matches!(task, Task::Tabular { .. }) {
        return Err(misfit(
            table,
            vec![
                "test_rows: expected for a tabular task only; a repurchase task names its test weeks".into(),
            ],
        ));
    }
    let rows = without_duplicates(table, rows.to_vec(), config.duplicates, &mut tally);
    let splits = match task {
        Task::Tabular { features } => tabular_splits(table, &rows, config, features, test_rows, &mut tally)?,
        Task::Repurchase(weeks) | Task::RepurchaseSequence { weeks, .. } => {
            let reader =
                BasketReader::new(table, &config.schema).map_err(|mistakes| misfit(table, mistakes))?;
            let histories = reader.histories(&rows, &mut tally);
            note_missing_weeks(&histories, weeks, &mut tally);
            repurchase_splits(&histories, weeks, task)
        }
        // Items are no observations; see `sequences`.
        Task::Dummy { .. } | Task::NextItem(_) => Splits::default(),
    };
    let mut report = tally.finish();
    report.describe_splits(&splits);
    Ok((splits, report))
}

pub(super) fn without_duplicates(
    table: &Table,
    rows: Vec<usize>,
    policy: Duplicates,
    tally: &mut Tally,
) -> Vec<usize> {
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
            let found = if numeric {
                "numeric"
            } else if categorical {
                "categorical"
            } else {
                "nothing"
            };
            mistakes.insert(format!(
                "column {column:?}: the job expects [data.schema.{expected}.{column}], found {found}"
            ));
        }
    }
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes.into_iter().collect()) }
}

fn repurchase_splits(histories: &Histories, weeks: &RepurchaseSpec, task: &Task) -> Splits {
    let inputs = |baskets: &[repurchase::Basket], week| match task.sequence() {
        Some(shape) => repurchase::with_weeks(baskets, week, shape.steps),
        None => repurchase::inputs(baskets, week).map(|inputs| inputs.to_vec()),
    };
    let observe = |list: &[u32]| {
        let ordered: BTreeSet<u32> = list.iter().copied().collect();
        let mut observations = Observations::empty(task.inputs());
        for (shopper, baskets) in histories {
            for &week in &ordered {
                if let Some(inputs) = inputs(baskets, week) {
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
    let last =
        histories.values().filter_map(|baskets| baskets.last()).map(|b| repurchase::week_of(b.day)).max();
    let all = weeks.train_weeks.iter().chain(&weeks.validation_weeks).chain(&weeks.test_weeks);
    let needed = all.max().map(|week| i64::from(week.saturating_add(weeks.horizon_weeks)));
    if let (Some(last), Some(needed)) = (last, needed)
        && last < needed
    {
        tally.notes.push(format!(
            "the file ends in week {last}, but the job looks at baskets up to week {needed}: later labels all say \"no\""
        ));
    }
}

/// The data rows that are only tested on: a CSV file with the header `row`, 0-based numbers of the records of the data file.
pub(super) fn read_test_rows(path: Option<&Path>, table: &Table) -> Result<BTreeSet<u64>, DataError> {
    let Some(path) = path else { return Ok(BTreeSet::new()) };
    let list = Table::read(path, b',')?;
    let refused = |line: u64, expected: &str, found| {
        Err(DataError::TestRows { file: list.file().into(), line, expected: expected.into(), found })
    };
    let Some(column) = list.position("row") else {
        return refused(1, "a header with the column row", "another one");
    };
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

pub(super) fn misfit(table: &Table, mistakes: Vec<String>) -> DataError {
    DataError::Misfit { file: table.file().into(), mistakes }
}

#[cfg(test)]
mod tests;
