//! A file's rows in memory, column by column. [core], except [`Table::read`]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use guildhall_shared::digest::Digest;

use super::cell::Cell;
use super::error::DataError;
use super::report::{Place, PlaceKind};
use super::{read_csv, read_parquet};

/// Most rows a file may have.
pub const ROWS_MAX: u64 = 100_000_000;
/// Most columns a file may have.
pub const COLUMNS_MAX: usize = 4_096;

/// Values of one type, some of them missing.
#[derive(Default)]
pub struct Nullable<T> {
    values: Vec<T>,
    present: Vec<bool>,
}

impl<T: Copy + Default> Nullable<T> {
    /// Appends a value or a gap.
    pub fn push(&mut self, value: Option<T>) {
        self.values.push(value.unwrap_or_default());
        self.present.push(value.is_some());
    }

    fn get(&self, row: usize) -> Option<T> {
        (*self.present.get(row)?).then(|| self.values[row])
    }
}

/// Texts in one buffer. An empty text is a missing one.
#[derive(Default)]
pub struct Texts {
    buffer: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Appends a text, without surrounding blanks.
    pub fn push(&mut self, text: &str) {
        self.buffer.push_str(text.trim());
        self.ends.push(self.buffer.len());
    }

    fn get(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)?;
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        (start < end).then(|| &self.buffer[start..end])
    }
}

/// The values of one column.
pub enum Values {
    /// Whole numbers.
    Integers(Nullable<i64>),
    /// Floating-point numbers.
    Numbers(Nullable<f64>),
    /// True or false.
    Booleans(Nullable<bool>),
    /// Days since 1970-01-01.
    Days(Nullable<i64>),
    /// Microseconds since 1970-01-01T00:00 UTC.
    Moments(Nullable<i64>),
    /// Texts; everything of a CSV file is one.
    Texts(Texts),
    /// A column of a kind that cannot be read, and why. No trouble unless the schema names it.
    Unreadable(String),
}

/// One column.
pub struct Column {
    /// As in the file.
    pub name: String,
    /// One per row of the table.
    pub values: Values,
}

/// Why a record of the file is not a row of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(Debug))]
pub enum Flaw {
    /// More or fewer fields than the header has.
    FieldCount,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

/// A file's rows.
pub struct Table {
    file: String,
    columns: Vec<Column>,
    index: BTreeMap<String, usize>,
    place_kind: PlaceKind,
    places: Vec<Place>,
    flaws: Vec<(Flaw, Place)>,
}

impl Table {
    /// Puts a table together. `places` has one entry per row, and every readable column one value per row.
    ///
    /// # Errors
    /// [`DataError::Unreadable`] where lengths differ or a column name stands twice, [`DataError::TooLarge`].
    pub fn new(
        file: &str,
        columns: Vec<Column>,
        place_kind: PlaceKind,
        places: Vec<Place>,
        flaws: Vec<(Flaw, Place)>,
    ) -> Result<Self, DataError> {
        let unreadable = |reason: String| DataError::Unreadable { file: file.into(), reason };
        if columns.len() > COLUMNS_MAX {
            return Err(DataError::TooLarge {
                file: file.into(),
                what: "columns",
                limit: COLUMNS_MAX as u64,
            });
        }
        let mut index = BTreeMap::new();
        for (position, column) in columns.iter().enumerate() {
            if index.insert(column.name.clone(), position).is_some() {
                return Err(unreadable(format!(
                    "expected different column names, found {:?} twice",
                    column.name
                )));
            }
            if column.values.len().is_some_and(|rows| rows != places.len()) {
                return Err(unreadable(format!(
                    "column {:?} is shorter or longer than the others",
                    column.name
                )));
            }
        }
        Ok(Table { file: file.into(), columns, index, place_kind, places, flaws })
    }

    /// Reads a `.csv` or `.parquet` file. \[shell\]
    ///
    /// # Errors
    /// [`DataError`] where the file cannot be opened or is no such file.
    pub fn read(path: &Path, delimiter: u8) -> Result<Self, DataError> {
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        let extension =
            path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let open = || {
            File::open(path).map_err(|e| DataError::Unreadable {
                file: path.display().to_string(),
                reason: e.to_string(),
            })
        };
        match extension.as_str() {
            "csv" | "tsv" | "txt" => read_csv::read(open()?, &name, delimiter),
            "parquet" => read_parquet::read(open()?, &name),
            _ => Err(DataError::Format { file: name, found: extension }),
        }
    }

    /// Reads Parquet from memory.
    ///
    /// # Errors
    /// [`DataError`] where the bytes are no Parquet file.
    pub fn from_parquet(bytes: &'static [u8], name: &str) -> Result<Self, DataError> {
        read_parquet::read(read_parquet::InMemory(bytes), name)
    }

    /// Reads CSV from memory.
    ///
    /// # Errors
    /// [`DataError`] where the bytes have no header.
    pub fn from_csv(bytes: &[u8], name: &str, delimiter: u8) -> Result<Self, DataError> {
        read_csv::read(bytes, name, delimiter)
    }

    /// Rows that have all their fields.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// The file's name, without folders.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The columns in the file's order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Where a column stands.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.index.get(column).copied()
    }

    /// One value; [`Cell::Missing`] beyond the ends.
    pub fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        self.columns.get(column).map_or(Cell::Missing, |c| c.values.cell(row))
    }

    /// Where a row stands in the file.
    pub fn place(&self, row: usize) -> Place {
        self.places[row]
    }

    /// Whether places are lines of a text or rows of a table.
    pub fn place_kind(&self) -> PlaceKind {
        self.place_kind
    }

    /// Records that are not rows.
    pub fn flaws(&self) -> &[(Flaw, Place)] {
        &self.flaws
    }

    /// All records of the file, rows or not.
    pub fn records(&self) -> u64 {
        (self.places.len() + self.flaws.len()) as u64
    }

    /// Of `rows`, those that repeat an earlier one in every column.
    pub fn duplicates(&self, rows: &[usize]) -> BTreeSet<usize> {
        let mut encoded = Vec::new();
        let mut hashed: Vec<(Digest, usize)> = Vec::with_capacity(rows.len());
        for &row in rows {
            encoded.clear();
            self.columns.iter().for_each(|column| column.values.cell(row).encode(&mut encoded));
            hashed.push((Digest::of_bytes(&encoded), row));
        }
        hashed.sort_unstable();
        hashed.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[1].1).collect()
    }
}

impl Values {
    fn len(&self) -> Option<usize> {
        match self {
            Values::Integers(v) | Values::Days(v) | Values::Moments(v) => Some(v.values.len()),
            Values::Numbers(v) => Some(v.values.len()),
            Values::Booleans(v) => Some(v.values.len()),
            Values::Texts(v) => Some(v.ends.len()),
            Values::Unreadable(_) => None,
        }
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Values::Integers(v) => v.get(row).map_or(Cell::Missing, Cell::Integer),
            Values::Numbers(v) => v.get(row).map_or(Cell::Missing, Cell::Number),
            Values::Booleans(v) => v.get(row).map_or(Cell::Missing, Cell::Boolean),
            Values::Days(v) => v.get(row).map_or(Cell::Missing, Cell::Day),
            Values::Moments(v) => v.get(row).map_or(Cell::Missing, Cell::Moment),
            Values::Texts(v) => v.get(row).map_or(Cell::Missing, Cell::Text),
            Values::Unreadable(_) => Cell::Missing,
        }
    }
}
