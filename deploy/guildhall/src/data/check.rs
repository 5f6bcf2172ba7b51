//! `guildhall data check FILE`: what a file holds, or how it fits a client's schema. For the merchant's own screen.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use guildhall_client::data::calendar::parse_date;
use guildhall_client::data::cell::Cell;
use guildhall_client::data::table::{Flaw, Values};
use guildhall_client::data::{DataConfig, DataReport, RawDataConfig, Table, check_schema};
use serde::Serialize;

use super::error::DataCommandError;

/// Distinct values are counted up to this.
const DISTINCT_MAX: usize = 50;

/// What `data check` found out.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Checked {
    /// With a schema: what becomes of every row.
    Report(DataReport),
    /// Without: what the columns hold.
    Description(Description),
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Checked::Report(report) => report.fmt(f),
            Checked::Description(description) => description.fmt(f),
        }
    }
}

/// Looks at a file: against the `[data]` table of a client's configuration, or without one.
///
/// # Errors
/// [`DataCommandError`] where the file or the configuration cannot be used at all.
pub fn check(file: &Path, schema: Option<&Path>) -> Result<Checked, DataCommandError> {
    let Some(schema) = schema else {
        return Ok(Checked::Description(describe(&Table::read(file, b',')?)));
    };
    let mut raw = data_table(schema)?;
    raw.path = file.to_path_buf();
    raw.test_rows = None;
    Ok(Checked::Report(check_schema(&DataConfig::new(raw, Path::new(""))?)?))
}

/// The `[data]` table of a client's configuration; its other tables are left alone.
fn data_table(path: &Path) -> Result<RawDataConfig, DataCommandError> {
    let text = fs::read_to_string(path).map_err(DataCommandError::file(path))?;
    let schema = |found: String| DataCommandError::Schema {
        path: path.to_path_buf(),
        expected: "a [data] table",
        found,
    };
    let mut table: toml::Table = toml::from_str(&text).map_err(|e| schema(e.message().to_string()))?;
    let data = table.remove("data").ok_or_else(|| schema("none".into()))?;
    data.try_into().map_err(|e: toml::de::Error| schema(e.message().to_string()))
}

/// What kind of values a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Nothing at all.
    Empty,
    /// true/false or yes/no.
    Boolean,
    /// Whole numbers.
    WholeNumber,
    /// Numbers.
    Number,
    /// Dates, YYYY-MM-DD.
    Date,
    /// Points in time.
    Moment,
    /// Anything else.
    Text,
    /// Of a type that cannot be read, for example nested.
    Unreadable,
}

/// One column.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnDescription {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Rows without a value.
    pub missing: u64,
    /// The smallest number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// Distinct values; `None`: more than 50.
    pub distinct: Option<usize>,
    #[serde(skip)]
    values: BTreeSet<String>,
}

/// What a file holds.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    /// Its name.
    pub file: String,
    /// Records, good or bad.
    pub rows_read: u64,
    /// Records with another number of fields than the header.
    pub wrong_field_count: u64,
    /// Records that are not UTF-8.
    pub not_utf8: u64,
    /// Where the first bad records stand.
    pub first_bad_lines: Vec<u64>,
    /// Rows that repeat an earlier one exactly.
    pub duplicates: u64,
    /// Its columns.
    pub columns: Vec<ColumnDescription>,
    /// A `[data]` table to start from.
    pub suggested_schema: String,
    /// Whom this is for.
    pub scope: &'static str,
}

fn describe(table: &Table) -> Description {
    let rows: Vec<usize> = (0..table.rows()).collect();
    let columns: Vec<ColumnDescription> =
        (0..table.columns().len()).map(|column| describe_column(table, column)).collect();
    let flaws = |flaw: Flaw| table.flaws().iter().filter(|(found, _)| *found == flaw).count() as u64;
    Description {
        file: table.file().into(),
        rows_read: table.records(),
        wrong_field_count: flaws(Flaw::FieldCount),
        not_utf8: flaws(Flaw::NotUtf8),
        first_bad_lines: table.flaws().iter().take(5).map(|(_, place)| place.shown).collect(),
        duplicates: table.duplicates(&rows).len() as u64,
        suggested_schema: suggest(table.file(), &columns),
        columns,
        scope: "This describes private rows. It is for your own screen: nothing of it is sent.",
    }
}

fn describe_column(table: &Table, column: usize) -> ColumnDescription {
    let source = &table.columns()[column];
    let mut description = ColumnDescription {
        name: source.name.clone(),
        kind: Kind::Empty,
        missing: 0,
        min: None,
        max: None,
        distinct: None,
        values: BTreeSet::new(),
    };
    if matches!(source.values, Values::Unreadable(_)) {
        description.kind = Kind::Unreadable;
        return description;
    }
    let mut kinds = Kinds::all();
    for row in 0..table.rows() {
        let cell = table.cell(column, row);
        let Some(text) = cell.text() else {
            description.missing += 1;
            continue;
        };
        kinds.narrow(cell);
        if let Ok(Some(number)) = cell.number() {
            description.min = Some(description.min.map_or(number, |min| min.min(number)));
            description.max = Some(description.max.map_or(number, |max| max.max(number)));
        }
        if description.values.len() <= DISTINCT_MAX && !description.values.contains(&*text) {
            description.values.insert(text.into_owned());
        }
    }
    if description.missing < table.rows() as u64 {
        description.kind = kinds.narrowest();
    }
    if !matches!(description.kind, Kind::Number | Kind::WholeNumber) {
        (description.min, description.max) = (None, None);
    }
    description.distinct = Some(description.values.len()).filter(|distinct| *distinct <= DISTINCT_MAX);
    description
}

/// What all values of a column seen so far could be.
struct Kinds {
    boolean: bool,
    whole: bool,
    number: bool,
    date: bool,
    moment: bool,
}

impl Kinds {
    fn all() -> Self {
        Kinds { boolean: true, whole: true, number: true, date: true, moment: true }
    }

    fn narrow(&mut self, cell: Cell<'_>) {
        let digit = matches!(cell.text().as_deref(), Some("0" | "1"));
        self.boolean &= matches!(cell.label(), Ok(Some(_))) && !digit;
        self.date &=
            matches!(cell, Cell::Day(_)) || matches!(cell, Cell::Text(text) if parse_date(text).is_some());
        self.moment &= matches!(cell, Cell::Moment(_));
        let plain = matches!(cell, Cell::Integer(_) | Cell::Number(_) | Cell::Text(_));
        // A word that stands for a missing number is compatible with numbers.
        self.whole &= plain && cell.whole().is_ok();
        self.number &= plain && cell.number().is_ok();
    }

    fn narrowest(&self) -> Kind {
        match self {
            Kinds { boolean: true, .. } => Kind::Boolean,
            Kinds { date: true, .. } => Kind::Date,
            Kinds { moment: true, .. } => Kind::Moment,
            Kinds { whole: true, .. } => Kind::WholeNumber,
            Kinds { number: true, .. } => Kind::Number,
            _ => Kind::Text,
        }
    }
}

/// A `[data]` table to start from. Bounds and vocabularies must be public: what stands in the file is only a hint.
fn suggest(file: &str, columns: &[ColumnDescription]) -> String {
    let mut text = format!("[data]\npath = {file:?}\nduplicates = \"keep\"\n\n[data.schema]\n");
    let has = |name: &str| columns.iter().any(|column| column.name == name);
    if ["day", "hour", "lines", "spend_cents", "discount_cents", "coupon_lines"].into_iter().all(has) {
        text += "shopper = \"household\"        # the column with the shopper's id\ntime = \"day\"                 # whole days, day 0 a Sunday; the other columns of a basket are called as expected\n";
        return text;
    }
    text += "# shopper = \"…\"              # the column with the shopper's id; without it each row is a shopper of its own\n";
    let key = |column: &ColumnDescription| toml::Value::from(column.name.as_str()).to_string();
    let label = columns.iter().rfind(|column| column.kind == Kind::Boolean);
    match label {
        Some(label) => text += &format!("label = {}              # the last yes/no column\n", key(label)),
        None => text += "# label = \"…\"                # the column to predict: true/false, yes/no or 1/0\n",
    }
    text += "\n# Bounds and vocabularies must be public: known without looking at the rows. Those below are taken from the rows: replace them.\n";
    let inputs = || columns.iter().filter(|column| label.is_none_or(|label| label.name != column.name));
    let numeric = |column: &ColumnDescription| matches!(column.kind, Kind::Number | Kind::WholeNumber);
    let listed = |column: &ColumnDescription| {
        matches!(column.kind, Kind::Boolean | Kind::Text) && column.distinct.is_some()
    };
    text += "[data.schema.numeric]\n";
    for column in inputs() {
        if let (Kind::Number | Kind::WholeNumber, Some(min), Some(max)) =
            (column.kind, column.min, column.max)
        {
            let (min, max) = (0.0 - round_up(-min), round_up(max).max(1.0));
            text += &format!("{} = {{ min = {min:?}, max = {max:?}, missing = \"drop\" }}\n", key(column));
        }
    }
    text += "\n[data.schema.categorical]\n";
    for column in inputs().filter(|column| listed(column)) {
        let vocabulary = toml::Value::from(column.values.iter().cloned().collect::<Vec<_>>());
        text += &format!("{} = {{ vocabulary = {vocabulary}, missing = \"unknown\" }}\n", key(column));
    }
    for column in inputs().filter(|column| !numeric(column) && !listed(column)) {
        text += &format!("# {} cannot be an input as it stands\n", key(column));
    }
    text
}

/// The next power of ten, so that a suggested bound says little about the greatest value; 0 for what is not positive.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let power = 10f64.powf(value.log10().ceil());
    (if power < value { power * 10.0 } else { power }).min(1e300)
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} rows, {} columns", self.file, self.rows_read, self.columns.len())?;
        let bad = self.wrong_field_count + self.not_utf8;
        if bad > 0 {
            let lines: Vec<String> = self.first_bad_lines.iter().map(u64::to_string).collect();
            let more = if bad > lines.len() as u64 { ", …" } else { "" };
            writeln!(
                f,
                "  {} rows with another number of fields than the header, {} not UTF-8: they would be dropped (lines {}{more})",
                self.wrong_field_count,
                self.not_utf8,
                lines.join(", ")
            )?;
        }
        writeln!(
            f,
            "  {} rows are exactly equal to an earlier one (duplicates = \"keep\" or \"drop\" decides)",
            self.duplicates
        )?;
        let width = self.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
        for column in &self.columns {
            let kind = match column.kind {
                Kind::Empty => "nothing",
                Kind::Boolean => "yes/no",
                Kind::WholeNumber => "whole numbers",
                Kind::Number => "numbers",
                Kind::Date => "dates",
                Kind::Moment => "points in time",
                Kind::Text => "texts",
                Kind::Unreadable => "unreadable",
            };
            let distinct =
                column.distinct.map_or("more than 50".to_string(), |distinct| distinct.to_string());
            write!(
                f,
                "  {:width$}  {kind:14}  {} missing, {distinct} distinct",
                column.name, column.missing
            )?;
            if let (Some(min), Some(max)) = (column.min, column.max) {
                write!(f, ", from {min} to {max}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "\nA schema to start from:\n\n{}\n{}", self.suggested_schema, self.scope)
    }
}

#[cfg(test)]
mod tests;
