//! Small whole numbers as a compact Parquet file, the same bytes every time. [core]

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::Int32Type;
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type};

/// How a column's values are laid out before they are compressed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Positions in a list of the distinct values.
    Dictionary,
    /// Differences from one row to the next.
    Delta,
    /// As they are.
    Plain,
}

/// One column.
pub(super) struct IntegerColumn {
    pub(super) name: &'static str,
    pub(super) layout: Layout,
    pub(super) values: Vec<i32>,
}

/// Encodes columns of equal length.
pub(super) fn encode(columns: &[IntegerColumn], zstd_level: i32) -> ParquetResult<Vec<u8>> {
    let fields = columns
        .iter()
        .map(|c| {
            let field = Type::primitive_type_builder(c.name, PhysicalType::INT32)
                .with_repetition(Repetition::REQUIRED);
            field.build().map(Arc::new)
        })
        .collect::<ParquetResult<Vec<_>>>()?;
    let schema = Arc::new(Type::group_type_builder("baskets").with_fields(fields).build()?);
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties(columns, zstd_level)?)?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        if let Some(mut chunk) = group.next_column()? {
            chunk.typed::<Int32Type>().write_batch(&column.values, None, None)?;
            chunk.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(bytes)
}

/// One page per column compresses best; the writer's own name and statistics are left out, so that the bytes depend on the rows alone.
fn properties(columns: &[IntegerColumn], zstd_level: i32) -> ParquetResult<WriterPropertiesPtr> {
    let mut builder = WriterProperties::builder()
        .set_created_by("guildhall".into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_data_page_size_limit(1 << 26)
        .set_data_page_row_count_limit(1 << 26)
        .set_max_row_group_row_count(None);
    for column in columns {
        let path = || ColumnPath::from(column.name);
        builder = builder.set_column_dictionary_enabled(path(), column.layout == Layout::Dictionary);
        builder = match column.layout {
            Layout::Dictionary => builder,
            Layout::Delta => builder.set_column_encoding(path(), Encoding::DELTA_BINARY_PACKED),
            Layout::Plain => builder.set_column_encoding(path(), Encoding::PLAIN),
        };
    }
    Ok(Arc::new(builder.build()))
}
