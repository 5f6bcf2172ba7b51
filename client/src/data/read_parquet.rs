//! Parquet into a [`Table`], column by column, without Arrow. \[shell\]: reads from what it is given.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::error::DataError;
use super::report::{Place, PlaceKind};
use super::table::{COLUMNS_MAX, Column, Nullable, ROWS_MAX, Table, Texts, Values};

/// Records decoded at once.
const BATCH_RECORDS: usize = 1 << 15;

/// The buffer type that parquet's [`ChunkReader`] is written in; the same crate stands behind axum's bodies.
type Bytes = axum::body::Bytes;

/// A Parquet file that is part of the program.
pub(super) struct InMemory(pub(super) &'static [u8]);

impl Length for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl ChunkReader for InMemory {
    type T = <Bytes as ChunkReader>::T;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Bytes::from_static(self.0).get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        Bytes::from_static(self.0).get_bytes(start, length)
    }
}

/// Reads a Parquet file. A nested column, or one of a type without a meaning here, is kept as unreadable.
pub(super) fn read<R: ChunkReader + 'static>(input: R, file: &str) -> Result<Table, DataError> {
    let unreadable = |reason: String| DataError::Unreadable { file: file.into(), reason };
    // The decoder may panic on a damaged file; a merchant's client must not.
    catch_unwind(AssertUnwindSafe(|| read_columns(input, file)))
        .unwrap_or_else(|_| Err(unreadable("the Parquet file is damaged".into())))
}

fn read_columns<R: ChunkReader + 'static>(input: R, file: &str) -> Result<Table, DataError> {
    let unreadable = |reason: String| DataError::Unreadable { file: file.into(), reason };
    let reader = SerializedFileReader::new(input).map_err(|e| unreadable(e.to_string()))?;
    let metadata = reader.metadata();
    let rows = u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(u64::MAX);
    if rows > ROWS_MAX {
        return Err(DataError::TooLarge { file: file.into(), what: "rows", limit: ROWS_MAX });
    }
    let descriptors = metadata.file_metadata().schema_descr().columns();
    if descriptors.len() > COLUMNS_MAX {
        return Err(DataError::TooLarge { file: file.into(), what: "columns", limit: COLUMNS_MAX as u64 });
    }
    let mut columns: Vec<Column> = descriptors
        .iter()
        .map(|d| Column { name: d.path().string(), values: Values::Texts(Texts::default()) })
        .collect();
    for (column, descriptor) in columns.iter_mut().zip(descriptors) {
        column.values = empty(descriptor);
    }
    for group in 0..metadata.num_row_groups() {
        let group = reader.get_row_group(group).map_err(|e| unreadable(e.to_string()))?;
        for (position, (column, descriptor)) in columns.iter_mut().zip(descriptors).enumerate() {
            read_chunk(&*group, position, descriptor, &mut column.values)
                .map_err(|e| unreadable(format!("column {:?}: {e}", column.name)))?;
        }
    }
    let places = (0..rows).map(|record| Place { record, shown: record + 1 }).collect();
    Table::new(file, columns, PlaceKind::Row, places, vec![])
}

/// What a column's values become; the type decides, never the values.
fn empty(descriptor: &ColumnDescriptor) -> Values {
    use parquet::basic::Type;
    if descriptor.max_rep_level() > 0 || descriptor.path().parts().len() > 1 {
        return Values::Unreadable("a nested column".into());
    }
    let (converted, logical) = (descriptor.converted_type(), descriptor.logical_type_ref());
    let decimal = converted == ConvertedType::DECIMAL || matches!(logical, Some(LogicalType::Decimal(_)));
    match descriptor.physical_type() {
        Type::BOOLEAN => Values::Booleans(Nullable::default()),
        Type::FLOAT | Type::DOUBLE => Values::Numbers(Nullable::default()),
        Type::INT96 => Values::Moments(Nullable::default()),
        Type::INT32 | Type::INT64 if decimal => Values::Numbers(Nullable::default()),
        Type::INT32 if converted == ConvertedType::DATE || logical == Some(&LogicalType::Date) => {
            Values::Days(Nullable::default())
        }
        Type::INT64 if time_unit(descriptor).is_some() => Values::Moments(Nullable::default()),
        Type::INT32 | Type::INT64 => Values::Integers(Nullable::default()),
        Type::BYTE_ARRAY if !decimal => Values::Texts(Texts::default()),
        other => Values::Unreadable(format!("a column of type {other}")),
    }
}

/// Ticks per microsecond as (multiply by, divide by), for points in time.
fn time_unit(descriptor: &ColumnDescriptor) -> Option<(i64, i64)> {
    match (descriptor.logical_type_ref(), descriptor.converted_type()) {
        (Some(LogicalType::Timestamp(timestamp)), _) => Some(match timestamp.unit {
            TimeUnit::MILLIS => (1_000, 1),
            TimeUnit::MICROS => (1, 1),
            TimeUnit::NANOS => (1, 1_000),
        }),
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some((1_000, 1)),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some((1, 1)),
        _ => None,
    }
}

fn read_chunk(
    group: &dyn RowGroupReader,
    position: usize,
    descriptor: &ColumnDescriptor,
    values: &mut Values,
) -> ParquetResult<()> {
    if matches!(values, Values::Unreadable(_)) {
        return Ok(());
    }
    let level = descriptor.max_def_level();
    let decimal = 10f64.powi(-descriptor.type_scale().clamp(0, 38));
    let unsigned = matches!(descriptor.converted_type(), ConvertedType::UINT_32 | ConvertedType::UINT_64);
    let (times, per) = time_unit(descriptor).unwrap_or((1, 1));
    match (group.get_column_reader(position)?, values) {
        (ColumnReader::BoolColumnReader(r), Values::Booleans(v)) => drain(r, level, |x| v.push(x.copied())),
        (ColumnReader::FloatColumnReader(r), Values::Numbers(v)) => {
            drain(r, level, |x| v.push(x.map(|x| f64::from(*x))))
        }
        (ColumnReader::DoubleColumnReader(r), Values::Numbers(v)) => drain(r, level, |x| v.push(x.copied())),
        (ColumnReader::Int32ColumnReader(r), Values::Numbers(v)) => {
            drain(r, level, |x| v.push(x.map(|x| f64::from(*x) * decimal)))
        }
        (ColumnReader::Int64ColumnReader(r), Values::Numbers(v)) => {
            drain(r, level, |x| v.push(x.map(|x| *x as f64 * decimal)))
        }
        (ColumnReader::Int32ColumnReader(r), Values::Integers(v)) if unsigned => {
            drain(r, level, |x| v.push(x.map(|x| i64::from(*x as u32))))
        }
        // An unsigned 64-bit value beyond i64 counts as missing rather than as a negative number.
        (ColumnReader::Int64ColumnReader(r), Values::Integers(v)) if unsigned => {
            drain(r, level, |x| v.push(x.copied().filter(|x| *x >= 0)))
        }
        (ColumnReader::Int32ColumnReader(r), Values::Integers(v) | Values::Days(v)) => {
            drain(r, level, |x| v.push(x.map(|x| i64::from(*x))))
        }
        (ColumnReader::Int64ColumnReader(r), Values::Integers(v)) => drain(r, level, |x| v.push(x.copied())),
        (ColumnReader::Int64ColumnReader(r), Values::Moments(v)) => {
            drain(r, level, |x| v.push(x.map(|x| x.saturating_mul(times).div_euclid(per))))
        }
        (ColumnReader::Int96ColumnReader(r), Values::Moments(v)) => {
            drain(r, level, |x| v.push(x.map(|x| x.to_micros())))
        }
        (ColumnReader::ByteArrayColumnReader(r), Values::Texts(v)) => drain(r, level, |x| v.push(&text(x))),
        _ => Ok(()),
    }
}

/// Bytes that are not UTF-8 keep their readable part; as a category they match nothing, as a number they are unfit.
fn text(value: Option<&ByteArray>) -> std::borrow::Cow<'_, str> {
    value.map_or("".into(), |bytes| String::from_utf8_lossy(bytes.data()))
}

/// Hands every value of a chunk on, `None` for a null.
fn drain<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    present_level: i16,
    mut push: impl FnMut(Option<&T::T>),
) -> ParquetResult<()> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let (records, _, _) = reader.read_records(BATCH_RECORDS, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        if present_level == 0 {
            values.iter().for_each(|value| push(Some(value)));
            continue;
        }
        let mut present = values.iter();
        levels.iter().for_each(|level| push(if *level == present_level { present.next() } else { None }));
    }
}

#[cfg(test)]
mod tests;
