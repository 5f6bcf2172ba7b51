//! Merchants' files: which there are in a folder, and what is written for one merchant.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use guildhall_client::data::Table;
use guildhall_client::data::config::{RawSchema, Schema};
use parquet::basic::{Compression, ConvertedType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::DataCommandError;

/// The schema in `schema.toml`, or the extract's.
pub(super) fn schema_of(folder: &Path) -> Result<RawSchema, DataCommandError> {
    let path = folder.join("schema.toml");
    if !path.is_file() {
        return Ok(super::default_data().schema);
    }
    let text = fs::read_to_string(&path).map_err(DataCommandError::file(&path))?;
    toml::from_str(&text).map_err(|e| DataCommandError::Schema {
        path,
        expected: "keys of [data.schema]",
        found: e.message().to_string(),
    })
}

/// The `.csv` and `.parquet` files of a folder, by name.
pub(super) fn data_files(folder: &Path) -> Result<Vec<PathBuf>, DataCommandError> {
    let entries = fs::read_dir(folder).map_err(DataCommandError::file(folder))?;
    let mut files = vec![];
    for entry in entries {
        let path = entry.map_err(DataCommandError::file(folder))?.path();
        let ending = path.extension().map(|e| e.to_ascii_lowercase()).unwrap_or_default();
        if path.is_file() && (ending == "csv" || ending == "parquet") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Some rows of a table under the extract's column names: ids as texts, days counted from the first day, the rest as whole numbers.
/// A value that is missing or unfit stays missing, so that the merchant's own report counts it again.
pub(super) fn encode_rows(
    table: &Table,
    schema: &Schema,
    rows: &[usize],
) -> Result<Vec<u8>, DataCommandError> {
    let basket = schema.basket.id.as_deref().or(table.position("basket").map(|_| "basket"));
    let texts = [("household", schema.shopper.as_deref()), ("basket", basket)];
    let numbers = [
        ("day", schema.time.as_str()),
        ("hour", schema.basket.hour.as_str()),
        ("lines", schema.basket.lines.as_str()),
        ("spend_cents", schema.basket.spend_cents.as_str()),
        ("discount_cents", schema.basket.discount_cents.as_str()),
        ("coupon_lines", schema.basket.coupon_lines.as_str()),
    ];
    let mut columns = vec![];
    for (name, source) in texts {
        if let Some(position) = source.and_then(|source| table.position(source)) {
            let text = |row: &usize| {
                table.cell(position, *row).text().map(|text| ByteArray::from(text.as_bytes().to_vec()))
            };
            columns.push((name, Column::Texts(rows.iter().map(text).collect())));
        }
    }
    for (name, source) in numbers {
        if let Some(position) = table.position(source) {
            let number = |row: &usize| {
                let cell = table.cell(position, *row);
                if name == "day" { cell.day(schema.first_day) } else { cell.whole() }.ok().flatten()
            };
            columns.push((name, Column::Numbers(rows.iter().map(number).collect())));
        }
    }
    Ok(encode(&columns)?)
}

enum Column {
    Texts(Vec<Option<ByteArray>>),
    Numbers(Vec<Option<i64>>),
}

fn encode(columns: &[(&str, Column)]) -> ParquetResult<Vec<u8>> {
    let field = |(name, column): &(&str, Column)| {
        let (physical, converted) = match column {
            Column::Texts(_) => (PhysicalType::BYTE_ARRAY, ConvertedType::UTF8),
            Column::Numbers(_) => (PhysicalType::INT64, ConvertedType::NONE),
        };
        let field = Type::primitive_type_builder(name, physical).with_converted_type(converted);
        field.with_repetition(Repetition::OPTIONAL).build().map(Arc::new)
    };
    let fields = columns.iter().map(field).collect::<ParquetResult<Vec<_>>>()?;
    let schema = Arc::new(Type::group_type_builder("baskets").with_fields(fields).build()?);
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (_, column) in columns {
        let Some(mut chunk) = group.next_column()? else { continue };
        match column {
            Column::Texts(values) => {
                let (present, levels) = dense(values);
                chunk.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
            }
            Column::Numbers(values) => {
                let (present, levels) = dense(values);
                chunk.typed::<Int64Type>().write_batch(&present, Some(&levels), None)?;
            }
        }
        chunk.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

/// The values that are there, and for every row whether it has one.
fn dense<T: Clone>(values: &[Option<T>]) -> (Vec<T>, Vec<i16>) {
    (values.iter().flatten().cloned().collect(), values.iter().map(|v| i16::from(v.is_some())).collect())
}
