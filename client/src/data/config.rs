//! What a merchant says about its own file: the `[data]` table of a client's configuration. [core]
//!
//! TOML → [`RawDataConfig`] (unknown keys are refused) → [`DataConfig`], all mistakes reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::calendar::parse_date;

/// Everything wrong with a data configuration, one line each.
#[derive(Debug, PartialEq, Eq)]
pub struct DataConfigError {
    /// Each names a key, what was expected and what was found.
    pub mistakes: Vec<String>,
}

impl fmt::Display for DataConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data configuration has {} mistake(s):", self.mistakes.len())?;
        self.mistakes.iter().try_for_each(|mistake| write!(f, "\n  - {mistake}"))
    }
}

impl std::error::Error for DataConfigError {}

/// `[data]` as written by a person.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawDataConfig {
    /// `.csv` or `.parquet`, relative to the configuration file's folder.
    pub path: PathBuf,
    /// One ASCII character, CSV only; a comma if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// What to do with rows that repeat an earlier one exactly; they are kept and counted if absent.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// A CSV file with a column `row`: 0-based numbers of the data rows that are only tested on. Tabular tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_rows: Option<PathBuf>,
    /// What the columns mean.
    pub schema: RawSchema,
}

/// What to do with rows that repeat an earlier one exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// Use them; they are counted.
    #[default]
    Keep,
    /// Use the first one only; the others are counted.
    Drop,
}

/// `[data.schema]` as written by a person.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawSchema {
    /// Column with the shopper's id. Absent: every row is a shopper of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shopper: Option<String>,
    /// Column with the item of an item task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Column with the label of a tabular task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Column with the day of a basket, or with anything that orders a shopper's items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The date that is day 0, a Sunday if weeks should run from Monday to Sunday. With it, `time` holds dates; without it, day numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_day: Option<String>,
    /// The other columns of a basket.
    #[serde(default, skip_serializing_if = "RawBasket::is_default")]
    pub basket: RawBasket,
    /// Columns that hold numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numeric: BTreeMap<String, RawNumeric>,
    /// Columns that hold categories.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub categorical: BTreeMap<String, RawCategorical>,
}

/// `[data.schema.basket]` as written by a person; the names of columns, each with a default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawBasket {
    /// `basket`: rows of one shopper with the same value are one basket. Default: same day and hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `hour`: local hour, 0 to 23.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
    /// `lines`: how many lines the receipt has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<String>,
    /// `spend_cents`: what was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spend_cents: Option<String>,
    /// `discount_cents`: what was taken off, as a positive number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount_cents: Option<String>,
    /// `coupon_lines`: lines with a coupon, or 1 for "some".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon_lines: Option<String>,
}

impl RawBasket {
    fn is_default(&self) -> bool {
        *self == RawBasket::default()
    }
}

/// One column of numbers as written by a person.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawNumeric {
    /// Public lower bound.
    pub min: f64,
    /// Public upper bound.
    pub max: f64,
    /// What a missing value does; the row is dropped if absent.
    #[serde(default)]
    pub missing: MissingNumber,
}

/// What a missing number does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingNumber {
    /// Drops its row.
    #[default]
    Drop,
    /// Counts as 0.
    Zero,
}

/// One column of categories as written by a person.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawCategorical {
    /// Public values, compared without regard to ASCII case.
    pub vocabulary: Vec<String>,
    /// What a missing value does; the row is dropped if absent.
    #[serde(default)]
    pub missing: MissingCategory,
}

/// What a missing category does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingCategory {
    /// Drops its row.
    #[default]
    Drop,
    /// Counts as unknown.
    Unknown,
}

/// Checked: where the data are and what they mean.
#[derive(Clone, Debug)]
pub struct DataConfig {
    /// The file.
    pub path: PathBuf,
    /// Between two fields of a CSV file.
    pub delimiter: u8,
    /// What to do with rows that repeat an earlier one exactly.
    pub duplicates: Duplicates,
    /// Rows that are only tested on.
    pub test_rows: Option<PathBuf>,
    /// What the columns mean.
    pub schema: Schema,
}

/// Checked: what the columns mean.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Column with the shopper's id.
    pub shopper: Option<String>,
    /// Column with the item.
    pub item: Option<String>,
    /// Column that orders a shopper's items; none where the rows are in order.
    pub order: Option<String>,
    /// Column with the label.
    pub label: Option<String>,
    /// Column with the day.
    pub time: String,
    /// The date that is day 0, in days since 1970-01-01.
    pub first_day: Option<i64>,
    /// The other columns of a basket.
    pub basket: BasketColumns,
    /// Columns that hold numbers.
    pub numeric: BTreeMap<String, RawNumeric>,
    /// Columns that hold categories.
    pub categorical: BTreeMap<String, RawCategorical>,
}

/// Names of the columns of a basket.
#[derive(Clone, Debug)]
pub struct BasketColumns {
    /// Basket id; `None`: the column `basket` if there is one, else day and hour.
    pub id: Option<String>,
    /// Local hour.
    pub hour: String,
    /// Lines of the receipt.
    pub lines: String,
    /// Paid.
    pub spend_cents: String,
    /// Taken off.
    pub discount_cents: String,
    /// Lines with a coupon.
    pub coupon_lines: String,
}

/// Collects mistakes instead of stopping at the first.
pub(super) struct Mistakes(pub(super) Vec<String>);

impl Mistakes {
    pub(super) fn require(&mut self, condition: bool, key: &str, expected: &str, found: impl fmt::Debug) {
        if !condition {
            self.0.push(format!("{key}: expected {expected}, found {found:?}"));
        }
    }

    pub(super) fn into_result<T>(self, value: T) -> Result<T, DataConfigError> {
        if self.0.is_empty() { Ok(value) } else { Err(DataConfigError { mistakes: self.0 }) }
    }
}

impl DataConfig {
    /// Checks a `[data]` table; paths are relative to `folder`.
    ///
    /// # Errors
    /// [`DataConfigError`] lists every mistake.
    pub fn new(raw: RawDataConfig, folder: &Path) -> Result<Self, DataConfigError> {
        let mut mistakes = Mistakes(vec![]);
        let config = DataConfig {
            path: folder.join(raw.path),
            delimiter: delimiter(raw.delimiter.as_deref(), &mut mistakes),
            duplicates: raw.duplicates,
            test_rows: raw.test_rows.map(|path| folder.join(path)),
            schema: schema(raw.schema, &mut mistakes),
        };
        mistakes.into_result(config)
    }

    /// Parses the text of a `[data]` table alone (without the `[data]` header).
    ///
    /// # Errors
    /// [`DataConfigError`] lists every mistake.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, DataConfigError> {
        let raw = toml::from_str(text)
            .map_err(|e| DataConfigError { mistakes: vec![e.to_string().trim_end().to_string()] })?;
        Self::new(raw, folder)
    }
}

pub(super) fn delimiter(raw: Option<&str>, mistakes: &mut Mistakes) -> u8 {
    let text = raw.unwrap_or(",");
    let legal = text.len() == 1 && text.is_ascii() && !matches!(text, "\"" | "\n" | "\r");
    mistakes.require(legal, "data.delimiter", "one ASCII character", text);
    text.bytes().next().unwrap_or(b',')
}

pub(super) fn schema(raw: RawSchema, mistakes: &mut Mistakes) -> Schema {
    check_columns(&raw, mistakes);
    let first_day = raw.first_day.as_deref().and_then(|text| {
        let day = parse_date(text);
        mistakes.require(day.is_some(), "data.schema.first_day", "a date YYYY-MM-DD", text);
        day
    });
    let named = |name: Option<String>, default: &str| name.unwrap_or_else(|| default.to_string());
    Schema {
        shopper: raw.shopper,
        item: raw.item,
        order: raw.time.clone(),
        label: raw.label,
        time: named(raw.time, "day"),
        first_day,
        basket: BasketColumns {
            id: raw.basket.id,
            hour: named(raw.basket.hour, "hour"),
            lines: named(raw.basket.lines, "lines"),
            spend_cents: named(raw.basket.spend_cents, "spend_cents"),
            discount_cents: named(raw.basket.discount_cents, "discount_cents"),
            coupon_lines: named(raw.basket.coupon_lines, "coupon_lines"),
        },
        numeric: raw.numeric,
        categorical: raw.categorical,
    }
}

fn check_columns(raw: &RawSchema, mistakes: &mut Mistakes) {
    for (column, rule) in &raw.numeric {
        let key = format!("data.schema.numeric.{column}");
        let bounds = rule.min.is_finite() && rule.max.is_finite() && rule.min < rule.max;
        mistakes.require(bounds, &key, "finite min < max", (rule.min, rule.max));
        let zero = rule.missing == MissingNumber::Drop || (rule.min <= 0.0 && rule.max >= 0.0);
        mistakes.require(zero, &key, "0 within the bounds, because missing = \"zero\"", (rule.min, rule.max));
        mistakes.require(
            !raw.categorical.contains_key(column),
            &key,
            "a column that is numeric or categorical",
            "both",
        );
    }
    for (column, rule) in &raw.categorical {
        let key = format!("data.schema.categorical.{column}.vocabulary");
        let size = rule.vocabulary.len();
        mistakes.require((1..=100_000).contains(&size), &key, "1 to 100,000 values", size);
        let distinct: BTreeSet<String> =
            rule.vocabulary.iter().map(|v| v.trim().to_ascii_lowercase()).collect();
        mistakes.require(distinct.len() == size, &key, "values that differ in more than ASCII case", size);
        mistakes.require(!distinct.contains(""), &key, "values that are not empty", "an empty one");
    }
    for (key, role) in [("shopper", &raw.shopper), ("label", &raw.label)] {
        let used =
            role.as_ref().is_some_and(|c| raw.numeric.contains_key(c) || raw.categorical.contains_key(c));
        mistakes.require(!used, &format!("data.schema.{key}"), "a column that is not an input too", role);
    }
}

#[cfg(test)]
mod tests;
